"""The projection of embeddings in which speakers differ and emotions and lines do not."""

import numpy as np
import pandas as pd
import pytest

from speech_emotion.corpora import TEST, TRAIN
from speech_emotion.evaluation import SelectionSettings
from speech_emotion.features import embedding_names
from speech_emotion.models import VoiceProjection, voices
from speech_emotion.pipelines.model_selection.nodes import fit_voices

LAYERS, WIDTH = (1, 2, 5), 6
NAMES = embedding_names("x", LAYERS, WIDTH)
SPEAKERS, EACH = 24, 8


def embeddings(generator, speakers=SPEAKERS):
    """Coefficients 0 and 1 of the means are the speaker's; the others are emotions, ten times as large."""
    values = generator.normal(0, 0.1, (speakers, EACH, len(LAYERS), 3, WIDTH))
    values[..., :2, 0, :2] += generator.normal(0, 1, (speakers, 1, 1, 2))
    values[..., 0, 2:] += generator.normal(0, 10, (1, EACH, 1, WIDTH - 2))
    values[..., 2, :] *= 1000  # the change statistic is not used
    return values.reshape(speakers * EACH, -1).astype(np.float32)


@pytest.fixture(scope="module")
def known():
    generator = np.random.default_rng(0)
    table = pd.DataFrame(embeddings(generator), columns=NAMES)
    speakers = pd.Series(np.repeat([f"s{number}" for number in range(SPEAKERS)], EACH))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(voices, "N_VALUES", 2)  # of 12 in use, as 32 of 1024 in practice
        yield table, speakers, VoiceProjection.fit(table, speakers)


def alike(found):
    """Mean cosine similarity of a speaker's other emotions, and of other speakers' same emotion."""
    units = found - found.mean(axis=0)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    similarity = units @ units.T
    speaker, emotion = np.divmod(np.arange(len(found)), EACH)
    same_speaker = speaker[:, None] == speaker
    same_emotion = emotion[:, None] == emotion
    return (
        similarity[same_speaker & ~same_emotion].mean(),
        similarity[~same_speaker & same_emotion].mean(),
    )


def test_unseen_speakers_are_apart_and_emotions_are_not(known):
    unseen = embeddings(np.random.default_rng(1), speakers=10)
    _, _, projection = known
    speaker, emotion = alike(projection(unseen))
    assert speaker > emotion + 0.4
    assert emotion < 0.1
    # Without the projection the emotion decides.
    speaker, emotion = alike(projection.without_axes()(unseen))
    assert emotion > speaker + 0.1


def test_directions_are_those_of_the_speakers(known):
    """The first two axes span the coefficients in which speakers differ; the rest hardly count."""
    _, _, projection = known
    axes = projection.axes[0] / projection.scale[0][:, None]
    used = [list(projection.columns[0]).index(NAMES.index(f"x_layer1_mean_{n}")) for n in (0, 1)]
    share = np.linalg.norm(axes[used, :2]) / np.linalg.norm(axes[:, :2])
    assert share > 0.9


def test_two_lowest_layers_and_no_changes_are_used(known):
    table, speakers, projection = known
    used = {NAMES[column] for column in projection.columns.ravel()}
    assert {name.rsplit("_", 1)[0] for name in used} == {
        "x_layer1_mean",
        "x_layer1_std",
        "x_layer2_mean",
        "x_layer2_std",
    }
    changed = table.copy()
    changed[[name for name in NAMES if name not in used]] = 7.0
    expected = VoiceProjection.fit(changed, speakers)(table.to_numpy())
    np.testing.assert_allclose(projection(changed.to_numpy()), expected, atol=1e-4)


def test_stored_projections_are_the_same(known, tmp_path):
    table, _, projection = known
    projection.save(tmp_path / "voices.npz")
    stored = VoiceProjection.load(tmp_path / "voices.npz")
    np.testing.assert_array_equal(stored(table.to_numpy()), projection(table.to_numpy()))
    assert stored.novelties == projection.novelties


def test_novelty_is_1_in_training_and_grows_with_the_distance(known):
    table, _, projection = known
    novelty = projection.novelty(table.to_numpy())
    assert np.mean(novelty**2) == pytest.approx(1, abs=1e-3)
    low, middle, high = projection.novelties
    assert np.mean(novelty < low) == pytest.approx(0.05, abs=0.01)
    assert np.mean(novelty < middle) == pytest.approx(0.5, abs=0.01)
    assert np.mean(novelty > high) == pytest.approx(0.05, abs=0.01)
    center = table.mean().to_numpy()[None]
    away = center.copy()
    away[0, projection.columns] += 3 * projection.scale
    assert projection.novelty(center)[0] == pytest.approx(0, abs=1e-3)
    assert projection.novelty(away)[0] == pytest.approx(3, abs=1e-3)


def test_other_columns_are_refused():
    with pytest.raises(ValueError, match="'mfcc_00_mean' is no column of an embedding"):
        VoiceProjection.fit(pd.DataFrame({"mfcc_00_mean": [0.0, 1.0]}), pd.Series(["a", "b"]))


def test_voices_are_learnt_from_training_speakers_as_spoken(known):
    table, speakers, _ = known
    ids = [f"u{number}" for number in range(len(table))]
    utterances = pd.DataFrame({"utterance_id": ids, "speaker": speakers})
    is_test = speakers.isin(["s0", "s1", "s2"])
    splits = pd.DataFrame(
        {
            "protocol": "speaker_independent",
            "utterance_id": ids,
            "split": np.where(is_test, TEST, TRAIN),
        }
    )
    other = splits.assign(protocol="random_split", split=TRAIN)
    rows = table.assign(utterance_id=ids, variant=0)
    line = table.assign(utterance_id=ids, variant=-1)  # over a training line
    pitch = table.assign(utterance_id=ids, variant=3)  # a copy at another pitch has another voice
    pitch[NAMES] += 5
    selection = SelectionSettings(storage="x", protocol="speaker_independent")
    found = fit_voices(
        pd.concat([rows, line, pitch], ignore_index=True),
        utterances,
        pd.concat([splits, other], ignore_index=True),
        selection,
    )
    both = pd.concat([table[~is_test]] * 2, ignore_index=True)
    expected = VoiceProjection.fit(both, pd.concat([speakers[~is_test]] * 2, ignore_index=True))
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-5)
    np.testing.assert_allclose(
        np.abs(found(table.to_numpy())), np.abs(expected(table.to_numpy())), rtol=1e-3, atol=1e-3
    )
