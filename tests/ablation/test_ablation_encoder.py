import numpy as np
import pandas as pd
import pytest

from speech_emotion.ablation import AblationData, AblationSettings, compare, encoder_configs
from speech_emotion.features import embedding_names
from speech_emotion.reporting.ablation import encoder_figure

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
