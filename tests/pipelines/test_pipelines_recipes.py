import pandas as pd
import pytest

from speech_emotion.evaluation import RecipesSettings
from speech_emotion.pipelines.recipes.nodes import compare_recipes, write_recipes

RECIPES = RecipesSettings.model_validate(
    {
        "environments": {
            "recipe_a": {"description": "a CNN", "corpora": ["ravdess", "savee"], "claimed": 0.9},
            "recipe_b": {"description": "an MLP", "corpora": ["tess"], "claimed": 0.88},
            "full": {"description": "ours", "corpora": ["ravdess", "tess"]},
        }
    }
)


def board(random, speaker_independent):
    rows = [
        {"model": model, "protocol": protocol, "evaluation": evaluation, "accuracy": value + bonus}
        for protocol, value in (
            ("random_split", random),
            ("speaker_independent", speaker_independent),
        )
        for model, bonus in (("mlp", 0.0), ("lda", 0.02))
        for evaluation in ("test", "cross-validation")
    ]
    table = pd.DataFrame(rows).assign(condition="clean", n_utterances=100, n_speakers=9)
    # The best in cross-validation is taken, though another one is better on the held-out speakers.
    folds = table["evaluation"] == "cross-validation"
    table["uar"] = table["accuracy"].where(~folds, 1 - table["accuracy"])
    for metric in ("accuracy", "uar"):
        table[f"{metric}_low"] = table[metric] - 0.1
        table[f"{metric}_high"] = table[metric] + 0.1
    return table


def spoken(*corpora, synthetic=False):
    return lambda: pd.DataFrame({"corpus": corpora, "synthetic": synthetic})


@pytest.fixture
def boards():
    boards = {"recipe_a": board(0.8, 0.4), "full": board(0.7, 0.5), "other": board(1, 1)}
    return {name: lambda name=name: boards[name] for name in boards}


@pytest.fixture
def utterances():
    return {"recipe_a": spoken("ravdess", "ravdess"), "full": spoken("ravdess", "tess")}


def test_claims_stand_beside_what_the_recipes_give(boards, utterances):
    table = compare_recipes(boards, utterances, RECIPES)
    rows = table.set_index(["environment", "protocol"])
    assert rows.loc[("recipe_a", "random_split"), "accuracy"] == pytest.approx(0.8)
    assert rows.loc[("recipe_a", "speaker_independent"), "accuracy"] == pytest.approx(0.4)
    assert rows.loc[("full", "speaker_independent"), "accuracy"] == pytest.approx(0.5)
    assert set(table["environment"]) == {"recipe_a", "recipe_b", "full"}
    missing = table[table["environment"] == "recipe_b"].iloc[0]
    assert missing["claimed"] == 0.88
    assert pd.isna(missing["accuracy"])
    figure, _, _ = write_recipes(table)
    bars = {bar.name: dict(zip(bar.x, bar.y, strict=True)) for bar in figure.data}
    assert bars["claimed"] == {"recipe_a": 0.9, "recipe_b": 0.88}
    assert set(bars["speaker_independent"]) == {"recipe_a", "full"}


def test_documents_say_what_was_run_and_what_was_not_at_hand(boards, utterances, tmp_path):
    table = compare_recipes(boards, utterances, RECIPES)
    table.to_csv(tmp_path / "table.csv", index=False)
    for read in (table, pd.read_csv(tmp_path / "table.csv")):  # as the catalog gives it
        _, text, page = write_recipes(read)
        for line in (
            "| recipe_a: a CNN | ravdess | savee | 90.0% | 40.0% [30.0, 50.0], n = 100/9 | 80.0%",
            "| recipe_b: an MLP | not run | – | 88.0% | – | – |",
            "| full: ours | ravdess, tess | – | – | 50.0% [40.0, 60.0], n = 100/9 | 70.0% [60.0, 80.0]",
        ):
            assert line in text
        assert "not run" in page
        assert "SYNTHETIC" not in text + page


def test_what_is_synthetic_says_so(boards, utterances):
    utterances["recipe_a"] = spoken("ravdess", synthetic=True)
    figure, text, page = write_recipes(compare_recipes(boards, utterances, RECIPES))
    assert "| SYNTHETIC ravdess |" in text
    assert "SYNTHETIC" in figure.layout.title.subtitle.text
    assert "SYNTHETIC SAMPLE CORPUS" in page
