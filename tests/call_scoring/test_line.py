import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from speech_emotion.call_scoring import (
    CallSettings,
    ChannelStream,
    FlagSettings,
    LineMean,
    capacity_threshold,
    flag_again,
    mean_of_calls,
    sustained_score,
)
from speech_emotion.call_scoring import stream as stream_module
from speech_emotion.encoders import find_encoder
from speech_emotion.features import embed, embedding_names
from speech_emotion.models import (
    Combiner,
    EmotionPredictor,
    Member,
    Threshold,
    VoiceProjection,
    family_named,
)

RATE = 8000
LABELS = ("angry", "neutral", "sad")


@pytest.fixture(scope="module")
def encoder_predictor(tiny_encoder, predictor):
    """An LDA on embeddings of noise: it means nothing, but is quick."""
    encoder = find_encoder(str(tiny_encoder))
    generator = np.random.default_rng(0)
    embedded = [embed(0.1 * generator.standard_normal(16000), encoder) for _ in range(30)]
    rows = np.stack([one.statistics for one in embedded])
    names = embedding_names("tiny", tuple(encoder.layers), 16)
    y = np.arange(30) % 3
    family = "encoder_lda"
    estimator = family_named(family).build(seed=0).fit(pd.DataFrame(rows, columns=names), y)
    return EmotionPredictor(
        labels=LABELS,
        features=predictor.features,
        members=(Member(family, estimator),),
        combiner=Combiner.single(family),
        threshold=Threshold(
            target="angry", value=0.4, false_alarms=0.05, recall=0.9, n_utterances=9, n_speakers=2
        ),
        encoder=encoder,
        synthetic=True,
    )


@pytest.fixture(scope="module")
def line(dialogue):
    return dialogue(["neutral", "sad", "neutral", "angry", "angry", "neutral"] * 3, rate=RATE)[0]


def stream_all(predictor, samples, sizes=(), **options):
    stream = ChannelStream(predictor, RATE, CallSettings(), **options)
    windows, at = [], 0
    for size in sizes:
        windows += stream.push(samples[at : at + size])
        at += size
    return windows + stream.push(samples[at:]) + stream.close()


@settings(max_examples=6, phases=[Phase.generate])
@given(sizes=st.lists(st.integers(0, 30_000), max_size=8))
def test_windows_with_an_encoder_do_not_depend_on_the_size_of_blocks(
    encoder_predictor, line, sizes
):
    whole, parts = (
        stream_all(encoder_predictor, line, batch=99),
        stream_all(encoder_predictor, line, sizes),
    )
    assert len(whole) > 2
    for one, other in zip(whole, parts, strict=True):
        assert (one.start_s, one.end_s, one.emotion) == (other.start_s, other.end_s, other.emotion)
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-5)


def test_every_second_of_speech_is_encoded_once(encoder_predictor, line, monkeypatch):
    encoded, original = [], stream_module.sum_layers

    def count(samples, encoder):
        encoded.append(len(samples) / 16000)
        return original(samples, encoder)

    monkeypatch.setattr(stream_module, "sum_layers", count)
    windows = stream_all(encoder_predictor, line, batch=99)
    assert len(windows) > 5
    assert sum(encoded) <= 2.5 * (len(windows) + 1)  # windows of 5 s overlap by half


def test_a_shifted_line_gives_the_same_scores_with_its_mean(encoder_predictor, line):
    reference = encoder_predictor.reference
    same = LineMean(reference, 1, 1)
    plain = stream_all(encoder_predictor, line, line=same)
    off = ChannelStream(encoder_predictor, RATE, CallSettings(line_calls=0))
    unadapted = [*off.push(line), *off.close()]
    for one, other in zip(plain, unadapted, strict=True):
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-5)
    shift = np.linspace(-1, 1, len(reference)).astype(np.float32)
    moved = stream_all(encoder_predictor, line, line=LineMean(reference + shift, 1, 1))
    assert any(
        not np.allclose(one.probabilities, other.probabilities, atol=1e-3)
        for one, other in zip(plain, moved, strict=True)
    )


def test_windows_say_how_far_they_are_from_training(encoder_predictor, line):
    reference = encoder_predictor.reference
    names = embedding_names("tiny", tuple(encoder_predictor.encoder.layers), 16)
    values = np.random.default_rng(0).normal(reference, 1, (40, len(names))).astype(np.float32)
    speakers = pd.Series(np.arange(40) % 4)
    voices = VoiceProjection.fit(pd.DataFrame(values, columns=names), speakers)
    known = dataclasses.replace(encoder_predictor, voices=voices)
    shift = np.linspace(-1, 1, len(reference)).astype(np.float32)
    there, here = (
        stream_all(known, line, line=LineMean(reference + moved, 1, 1)) for moved in (0, shift)
    )
    novelty = [window.novelty for window in there]
    assert np.isfinite(novelty).all()
    assert [window.novelty for window in here] == novelty  # the line is not adapted before
    samples = [window.bandwidth_hz for window in there]
    assert all(100 < bandwidth <= RATE / 2 for bandwidth in samples)
    assert np.isnan([window.novelty for window in stream_all(encoder_predictor, line)]).all()


def test_the_mean_of_calls_weighs_calls_equally():
    calls = [np.full((1, 3), 1.0), np.full((9, 3), 3.0), np.empty((0, 3))]
    mean = mean_of_calls(calls)
    np.testing.assert_allclose(mean.mean, 2.0)
    assert (mean.n_calls, mean.n_windows) == (2, 10)
    assert mean_of_calls([np.empty((0, 3))]) is None
    restored = LineMean.from_dict(mean.to_dict())
    np.testing.assert_array_equal(restored.mean, mean.mean)


def test_the_reference_is_the_mean_of_neutral_training_data(encoder_predictor):
    means = encoder_predictor.members[0].estimator.class_means_
    np.testing.assert_array_equal(encoder_predictor.reference, means[LABELS.index("neutral")])


def test_a_predictor_with_an_encoder_survives_saving_and_predicts_files(
    encoder_predictor, tmp_path, line
):
    import soundfile

    soundfile.write(tmp_path / "a.wav", line[: 3 * RATE], RATE)
    encoder_predictor.save(tmp_path / "model")
    loaded = EmotionPredictor.load(tmp_path / "model")
    files = [str(tmp_path / "a.wav"), str(tmp_path / "missing.wav")]
    one, other = encoder_predictor.predict_files(files), loaded.predict_files(files)
    pd.testing.assert_frame_equal(one, other)
    assert one["error"].isna().tolist() == [True, False]
    assert one.loc[0, list(LABELS)].sum() == pytest.approx(1)
    assert dataclasses.replace(loaded, encoder=None).needs_features is False


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=60),
    st.floats(0.5, 99),
)
def test_capacity_is_never_exceeded(scores, per_100_calls):
    sustained = np.array(scores)
    threshold = capacity_threshold(sustained, per_100_calls)
    assert (sustained >= threshold).sum() <= len(scores) * per_100_calls / 100


def test_capacity_is_used_if_scores_differ():
    sustained = np.random.default_rng(0).permutation(np.linspace(0.1, 0.9, 200))
    assert (sustained >= capacity_threshold(sustained, 5)).sum() == 10


def test_flags_are_raised_anew_from_stored_scores():
    windows = pd.DataFrame(
        {
            "call": "a",
            "channel": 0,
            "score": [0.2, 0.5, 0.6, 0.9, 0.1],
            "out_of_domain": ["", "", "noisy", "", ""],
            "flagged": False,
        }
    )
    scored = windows.loc[windows["out_of_domain"] == "", "score"]
    assert sustained_score(scored, 2) == 0.5
    flags = FlagSettings(consecutive=2, release=0.7)
    assert flag_again(windows, 0.5, flags)["flagged"].tolist() == [
        False,
        False,
        False,
        True,
        False,
    ]
    assert not flag_again(windows, 0.51, flags)["flagged"].any()
