from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from speech_emotion.ablation import (
    ENCODER_ALONE,
    AblationConfig,
    AblationData,
    AblationSettings,
    choice_configs,
    columns_of_encoders,
    compare,
    encoder_configs,
    fusion_table,
    join_tables,
)
from speech_emotion.features import embedding_names
from speech_emotion.models.bandwidth import BANDWIDTH_FEATURE
from speech_emotion.reporting.ablation import encoder_figure, fusion_figure

WIDTH = 5


@pytest.fixture(scope="module")
def data():
    """Embeddings of six speakers with a speed copy and telephone versions; layer 2 carries emotion."""
    generator = np.random.default_rng(0)
    names = embedding_names("e", (1, 2), WIDTH)
    rows = []
    for speaker in range(6):
        for number in range(12):
            code = number % 3
            for variant in (0, 1, -1, -2, -1000):
                values = pd.Series(generator.normal(size=len(names)), index=names)
                values[f"e_layer2_mean_{code}"] += 4
                rows.append((f"{speaker}-{number}", variant, *values))
    embeddings = pd.DataFrame(rows, columns=["utterance_id", "variant", *names])
    ids = embeddings["utterance_id"].unique()
    speakers = [one.split("-")[0] for one in ids]
    labels = ["angry", "neutral", "sad"]
    utterances = pd.DataFrame(
        {
            "utterance_id": ids,
            "corpus": "c",
            "speaker": speakers,
            "sex": "female",
            "label": [labels[int(one.split("-")[1]) % 3] for one in ids],
        }
    )
    splits = pd.DataFrame(
        {
            "utterance_id": ids,
            "protocol": "speaker_independent",
            "split": "train",
            "fold": [int(speaker) % 3 for speaker in speakers],
            "for_normalization": True,
            "tested": True,
        }
    )
    return AblationData.select(embeddings, utterances, splits, labels=labels)


def test_the_layer_that_carries_emotion_is_found(data):
    candidate = AblationSettings().candidate("encoder_lda")
    configs = encoder_configs([1, 2], candidate, copies=1)
    table, _ = compare(configs, data, title="Layers", resamples=100)
    clean = table[table["condition"] == "clean"].set_index("training")
    assert clean.loc["layer 2 alone", "uar"] > 0.9
    assert clean.loc["layer 1 alone", "uar"] < 0.6
    assert clean.loc["layer 1 alone", "difference_high"] < 0
    assert pd.isna(clean.loc["all layers averaged", "difference"])
    copies = clean["n_training"]
    assert copies["all layers averaged"] == 2 * copies["without telephone copies"]
    assert copies["all layers averaged"] == 2 * copies["without augmented copies"]
    figure = encoder_figure(table)
    assert "layer 2 alone" in str(figure.to_dict()["data"][0]["y"])


def test_the_model_of_the_encoder_must_read_embeddings():
    with pytest.raises(ValueError, match="svm does not read embeddings"):
        AblationSettings(encoder_model="svm")


def test_fusion_averages_log_probabilities():
    labels = ["angry", "sad"]
    of_encoder = [[0.9, 0.1], [0.6, 0.4], [0.4, 0.6]]
    of_features = [[0.1, 0.9], [0.01, 0.99], [0.3, 0.7]]
    tables = [
        pd.DataFrame(
            {
                "utterance_id": ["a", "b", "c"],
                "speaker": ["1", "2", "2"],
                "label": ["angry", "sad", "sad"],
                "condition": "clean",
                "model": model,
                "p_angry": np.array(values)[:, 0],
                "p_sad": np.array(values)[:, 1],
                "prediction": np.where(np.array(values)[:, 0] > 0.5, "angry", "sad"),
            }
        )
        for model, values in (("encoder_lda", of_encoder), ("svm", of_features))
    ]
    settings = AblationSettings(fusion_models=["svm"], fusion_weights=[0.25])
    table = fusion_table(pd.concat(tables), labels, settings, resamples=50)
    table = table.set_index("training")
    # Alone, the embeddings call b angry; 0.75 log(0.6 / 0.4) + 0.25 log(0.01 / 0.99) is negative: sad.
    assert table["uar"].to_dict() == {ENCODER_ALONE: 0.75, "+ 25% svm": 1.0, "svm alone": 0.5}
    assert table.loc["+ 25% svm", "difference"] == 0.25
    assert pd.isna(table.loc[ENCODER_ALONE, "difference"])
    assert "svm alone" in str(fusion_figure(table.reset_index()).to_dict()["data"][0]["y"])


def test_tables_are_joined_by_sound_and_columns_belong_to_encoders():
    keys = {"utterance_id": ["a", "a", "b"], "variant": [0, 1, 0]}
    first = pd.DataFrame(keys | {name: [1.0, 2, 3] for name in embedding_names("e", (1,), 1)})
    second = first.iloc[[2, 0]].rename(columns=lambda name: name.replace("e_layer", "other_layer"))
    joined = join_tables([first, second])
    assert joined[["utterance_id", "variant"]].to_numpy().tolist() == [["a", 0], ["b", 0]]
    columns = columns_of_encoders(joined.columns)
    assert {name: len(found) for name, found in columns.items()} == {"e": 3, "other": 3}
    configs = choice_configs(columns, AblationSettings().candidate("encoder_lda"), reference="e")
    assert [(config.name, config.candidate.copies) for config in configs] == [
        ("e", 0),
        ("other", 0),
    ]


@pytest.mark.parametrize(
    ("family", "expected"),
    [("encoder_lda", []), ("shrinkage_lda", [BANDWIDTH_FEATURE])],
)
def test_only_bandwidth_models_read_the_bandwidth_of_joined_tables(data, family, expected):
    """It is no column of a layer: with it, a model on embeddings averages one layer of all columns."""
    names = data.names
    values = np.column_stack([data.values, np.zeros(len(data.values), dtype=np.float32)])
    joined = replace(data, values=values, names=(*names, BANDWIDTH_FEATURE))
    candidate = AblationSettings().candidate(family)
    config = AblationConfig(family, candidate, features=names)
    assert list(config.inputs(joined)) == [*names, *expected]
