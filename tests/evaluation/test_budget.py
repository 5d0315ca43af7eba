from pathlib import Path

import pytest
from click.testing import CliRunner
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from speech_emotion.cli import cli
from speech_emotion.evaluation import BudgetSettings, scale_parameters

PROJECT = Path(__file__).parents[2]

PARAMETERS = {
    "selection": {
        "families": ["svm", "mlp", "shrinkage_lda"],
        "encoder_families": ["encoder_lda", "encoder_logistic_regression"],
        "protocol": "speaker_independent",
        "compared": ["speaker_independent", "enrolled", "random_split"],
        "bootstrap": 1000,
        "evaluation_minutes": 40,
    },
    "candidates": {
        "svm": {"trials": 4, "minutes": 5, "copies": 2},
        "mlp": {"trials": 1, "minutes": None, "copies": None},
        "conv1d": {"trials": 3, "copies": 0},
    },
    "augmentation": {"copies": ["first", "second"], "variants": 3},
    "embeddings": {"copies": 2},
    "test_calls": {"calls": 18},
}


def test_a_small_budget_scales_everything():
    budget = BudgetSettings(
        trials=0.5,
        minutes=0.25,
        resamples=0.05,
        calls=0.5,
        max_copies=1,
        families=["shrinkage_lda", "svm"],
        encoder_families=["encoder_lda"],
        protocols=["random_split"],
    )
    scaled = scale_parameters(PARAMETERS, budget, {})
    assert scaled["selection"] == {
        "families": ["svm", "shrinkage_lda"],
        "encoder_families": ["encoder_lda"],
        "protocol": "speaker_independent",
        "compared": ["speaker_independent", "random_split"],
        "bootstrap": 100,
        "evaluation_minutes": 10,
    }
    assert scaled["candidates"] == {
        "svm": {"trials": 2, "minutes": 1.25, "copies": 1},
        "mlp": {"trials": 1, "minutes": None, "copies": None},
        "conv1d": {"trials": 2, "copies": 0},
    }
    assert scaled["augmentation"] == {"copies": ["first"], "variants": 0}
    assert scaled["embeddings"] == {"copies": 1}
    assert scaled["test_calls"] == {"calls": 9}
    assert PARAMETERS["augmentation"]["copies"] == ["first", "second"]


def test_a_large_budget_adds_copies_and_families():
    budget = BudgetSettings(trials=2, extra_copies=2, extra_encoder_families=["encoder_mlp"])
    scaled = scale_parameters(PARAMETERS, budget, {})
    assert scaled["augmentation"]["variants"] == 5
    assert [block["copies"] for block in scaled["candidates"].values()] == [4, None, 0]
    assert scaled["embeddings"]["copies"] == 4
    assert scaled["selection"]["encoder_families"][-1] == "encoder_mlp"
    assert scaled["selection"]["families"] == PARAMETERS["selection"]["families"]


def test_what_the_command_gives_is_not_scaled():
    given = {"selection": {"families": "mlp"}, "candidates": {"svm": {"trials": 4}}}
    budget = BudgetSettings(trials=0.25, families=["svm"], max_copies=0)
    scaled = scale_parameters(PARAMETERS, budget, given)
    assert scaled["selection"]["families"] == PARAMETERS["selection"]["families"]
    assert scaled["candidates"]["svm"]["trials"] == 4
    assert scaled["candidates"]["svm"]["copies"] == 0


def test_families_of_an_environment_stay_if_the_budget_has_none_of_them():
    scaled = scale_parameters(PARAMETERS, BudgetSettings(families=["rocket_lda"]), {})
    assert scaled["selection"]["families"] == PARAMETERS["selection"]["families"]


def parameters(**given):
    bootstrap_project(PROJECT)
    with KedroSession.create(PROJECT, env="full", runtime_params=given) as session:
        return session.load_context().config_loader["parameters"]


def test_the_command_chooses_a_budget():
    standard, quick, thorough = (
        parameters(budget=name) for name in ("standard", "quick", "thorough")
    )
    assert standard == parameters()
    trials = [block["candidates"]["svm"]["trials"] for block in (quick, standard, thorough)]
    assert trials == [2, 3, 12]
    minutes = [block["selection"]["evaluation_minutes"] for block in (quick, standard, thorough)]
    assert minutes == [15, 60, 240]
    assert quick["augmentation"]["copies"] == []
    assert quick["augmentation"]["telephone"]
    assert quick["selection"]["families"] == ["logistic_regression", "shrinkage_lda", "rocket_lda"]
    assert parameters(budget="quick", selection={"bootstrap": 500})["selection"]["bootstrap"] == 500


def test_a_budget_that_does_not_exist_is_one_message():
    done = CliRunner().invoke(cli, ["run", "--params", "budget=fast"])
    assert done.exit_code == 1
    assert "There is no budget 'fast', expected one of: quick, standard, thorough" in done.output
    assert "Traceback (most recent" not in done.output


@pytest.mark.parametrize("name", ["quick", "standard", "thorough"])
def test_budgets_of_the_configuration_are_valid(name):
    BudgetSettings.model_validate(parameters()["budgets"][name])
