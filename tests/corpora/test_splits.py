import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speech_emotion.corpora import (
    TEST,
    SplitError,
    SplitSettings,
    assign_splits,
    split_digest,
)


def utterances_of(speakers: int, labels: int, repetitions: int, corpora: int = 1) -> pd.DataFrame:
    rows = [
        {
            "utterance_id": f"{speaker}-{label}-{repetition}",
            "corpus": f"corpus{speaker % corpora}",
            "speaker": f"speaker{speaker:02d}",
            "label": f"label{label}",
            "content_hash": f"{speaker}{label}{repetition}",
        }
        for speaker in range(speakers)
        for label in range(labels)
        for repetition in range(repetitions)
    ]
    return pd.DataFrame(rows)


@given(
    speakers=st.integers(8, 20),
    labels=st.integers(2, 5),
    repetitions=st.integers(2, 4),
    corpora=st.integers(1, 3),
    folds=st.integers(2, 5),
    seed=st.integers(0, 1000),
)
@settings(max_examples=30, deadline=None)
def test_speaker_independent_never_shares_a_speaker(
    speakers, labels, repetitions, corpora, folds, seed
):
    utterances = utterances_of(speakers, labels, repetitions, corpora)
    splits = assign_splits(utterances, SplitSettings(folds=folds, seed=seed))
    table = splits.merge(utterances, on="utterance_id")
    assert len(splits) == (6 if utterances["corpus"].nunique() > 1 else 4) * len(utterances)
    speaker_independent = table[table["protocol"] == "speaker_independent"]
    assert (speaker_independent.groupby("speaker")["fold"].nunique() == 1).all()
    assert (speaker_independent.groupby("speaker")["split"].nunique() == 1).all()
    assert set(speaker_independent["fold"]) == {-1, *range(folds)}
    assert ((speaker_independent["split"] == TEST) == (speaker_independent["fold"] == -1)).all()


def test_enrolled_normalizes_with_neutral_utterances_and_does_not_test_them():
    utterances = utterances_of(10, 3, 4)
    settings = SplitSettings(folds=3, enrolment=2, neutral="label1")
    splits = assign_splits(utterances, settings).merge(utterances, on="utterance_id")
    enrolled = splits[splits["protocol"] == "enrolled"]
    enrolment = enrolled[enrolled["for_normalization"]]
    assert (enrolment.groupby("speaker").size() == 2).all()
    assert enrolment["speaker"].nunique() == 10
    assert set(enrolment["label"]) == {"label1"}
    assert (enrolled["tested"] == ~enrolled["for_normalization"]).all()
    speaker_independent = splits[splits["protocol"] == "speaker_independent"].set_index(
        "utterance_id"
    )["fold"]
    assert (enrolled.set_index("utterance_id")["fold"] == speaker_independent).all()
    speaker_adapted = splits[splits["protocol"] == "speaker_adapted"]
    assert (speaker_adapted["for_normalization"] & speaker_adapted["tested"]).all()
    assert not splits.loc[
        splits["protocol"].isin(["speaker_independent", "random_split"]), "for_normalization"
    ].any()


def test_speakers_without_neutral_utterances_cause_a_warning(caplog):
    assign_splits(utterances_of(10, 2, 3), SplitSettings(folds=3, neutral="calm"))
    assert "10 speaker(s) have no utterance with label 'calm'" in caplog.text


def test_folds_of_cross_corpus_are_the_corpora():
    utterances = utterances_of(12, 2, 3, corpora=3)
    splits = assign_splits(utterances, SplitSettings(folds=3)).merge(utterances, on="utterance_id")
    crossed = splits[splits["protocol"] == "cross_corpus"]
    assert (crossed.groupby("corpus")["fold"].nunique() == 1).all()
    assert set(crossed["fold"]) == {0, 1, 2}
    adapted = splits[splits["protocol"] == "cross_corpus_adapted"]
    assert adapted["for_normalization"].all()
    assert (adapted["fold"].to_numpy() == crossed["fold"].to_numpy()).all()
    one_corpus = assign_splits(utterances_of(12, 2, 3), SplitSettings(folds=3))
    assert not {"cross_corpus", "cross_corpus_adapted"} & set(one_corpus["protocol"])


def test_corpora_that_share_speakers_are_one_fold_of_cross_corpus():
    """Speech and song of the same actors are never training and test of each other."""
    utterances = utterances_of(8, 2, 2, corpora=2)
    song = utterances[utterances["corpus"] == "corpus0"].assign(corpus="corpus0_song")
    song["utterance_id"] += "-song"
    splits = assign_splits(pd.concat([utterances, song]), SplitSettings(folds=2))
    crossed = splits[splits["protocol"] == "cross_corpus"].set_index("utterance_id")["fold"]
    assert crossed[song["utterance_id"]].unique().tolist() == [0]
    assert crossed[utterances.loc[utterances["corpus"] == "corpus0", "utterance_id"]].eq(0).all()
    assert crossed[utterances.loc[utterances["corpus"] == "corpus1", "utterance_id"]].eq(1).all()
    only_shared = pd.concat([utterances[utterances["corpus"] == "corpus0"], song])
    with pytest.raises(
        SplitError, match=r"4 speakers are too few for a test set of 0\.2.*to 0\.25"
    ):
        assign_splits(only_shared, SplitSettings(folds=2))
    splits = assign_splits(only_shared, SplitSettings(folds=2, test_size=0.25))
    assert "cross_corpus" not in set(splits["protocol"])


def test_there_is_no_test_set_with_size_zero():
    splits = assign_splits(utterances_of(10, 2, 3), SplitSettings(folds=5, test_size=0))
    assert set(splits["split"]) == {"train"}
    assert set(splits["fold"]) == set(range(5))


def test_random_split_shares_speakers():
    utterances = utterances_of(10, 4, 5)
    splits = assign_splits(utterances, SplitSettings(folds=3))
    table = splits.merge(utterances, on="utterance_id")
    leaky = table[table["protocol"] == "random_split"]
    assert (leaky.groupby("speaker")["split"].nunique() == 2).any()


def test_labels_and_corpora_are_balanced():
    utterances = utterances_of(20, 4, 5, corpora=2)
    splits = assign_splits(utterances, SplitSettings(folds=4)).merge(utterances, on="utterance_id")
    speaker_independent = splits[splits["protocol"] == "speaker_independent"]
    shares = speaker_independent.groupby(["fold", "corpus"]).size().unstack()
    assert (shares > 0).to_numpy().all()
    assert (
        speaker_independent.groupby("label")["split"].apply(lambda s: (s == TEST).mean()).std()
        < 0.05
    )


def test_order_of_rows_does_not_matter():
    utterances = utterances_of(12, 3, 3)
    shuffled = utterances.sample(frac=1, random_state=1)
    first = assign_splits(utterances, SplitSettings())
    pd.testing.assert_frame_equal(first, assign_splits(shuffled, SplitSettings()))


@pytest.mark.parametrize(
    ("utterances", "message"),
    [
        (utterances_of(1, 3, 10), "1 speaker"),
        (utterances_of(4, 3, 10), "too few"),
    ],
)
def test_too_few_speakers_are_an_error(utterances, message):
    with pytest.raises(SplitError, match=message):
        assign_splits(utterances, SplitSettings(folds=5))


def test_label_of_one_speaker_is_an_error():
    utterances = utterances_of(10, 3, 3)
    rare = utterances["speaker"] == "speaker03"
    utterances.loc[rare, "label"] = "whisper"
    with pytest.raises(SplitError, match="whisper"):
        assign_splits(utterances, SplitSettings(folds=3))


def test_label_with_fewer_speakers_than_folds_causes_a_warning(caplog):
    utterances = utterances_of(12, 3, 4)
    rare = utterances["speaker"].isin(["speaker03", "speaker05", "speaker07", "speaker09"])
    utterances.loc[rare & (utterances["label"] == "label2"), "label"] = "whisper"
    assign_splits(utterances, SplitSettings(folds=5))
    assert "'whisper' has 4 speaker(s)" in caplog.text


def test_digest_depends_only_on_the_test_set():
    utterances = utterances_of(10, 3, 3)
    splits = assign_splits(utterances, SplitSettings(folds=3))
    digest = split_digest(splits, utterances, "speaker_independent")
    other_folds = splits.assign(fold=np.where(splits["fold"] >= 0, 0, -1))
    assert split_digest(other_folds, utterances, "speaker_independent") == digest
    test_set = splits[(splits["protocol"] == "speaker_independent") & (splits["split"] == TEST)]
    changed = utterances.copy()
    changed.loc[changed["utterance_id"] == test_set["utterance_id"].iloc[0], "label"] = "label9"
    assert split_digest(splits, changed, "speaker_independent") != digest


@pytest.mark.parametrize("speakers", [2, 3, 4, 7])
@pytest.mark.parametrize("settings", [SplitSettings(), SplitSettings(test_size=0, folds=8)])
def test_the_remedy_for_few_speakers_helps(speakers, settings):
    rows = [(f"{s}-{n}", f"s{s}", n % 3) for s in range(speakers) for n in range(9)]
    table = pd.DataFrame(rows, columns=["utterance_id", "speaker", "label"])
    table = table.assign(corpus="c", label="label " + table["label"].astype(str))
    try:
        splits = assign_splits(table, settings)
    except SplitError as error:
        (params,) = re.findall(r"--params (\S+)", str(error)) or [""]
        values = dict(one.removeprefix("splits.").split("=") for one in params.split(","))
        splits = assign_splits(table, SplitSettings.model_validate(settings.model_dump() | values))
    assert "speaker_independent" in set(splits["protocol"])


def test_one_speaker_or_one_label_is_an_error_with_its_reason():
    table = pd.DataFrame({"utterance_id": list("abcd"), "speaker": "s", "corpus": "c"})
    with pytest.raises(SplitError, match=r"1 speaker\(s\) \(s\) are too few .*: add a corpus$"):
        assign_splits(table.assign(label=list("xyxy")), SplitSettings())
    with pytest.raises(SplitError, match=r"All 4 utterances have the label 'angry'.*other labels"):
        assign_splits(table.assign(label="angry", speaker=list("stuv")), SplitSettings())
