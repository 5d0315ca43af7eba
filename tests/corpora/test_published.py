"""Published folds in place of the project's own."""

import json

import pandas as pd
import pytest

from speech_emotion.corpora import (
    LEFT_OUT,
    PUBLISHED,
    SplitError,
    SplitSettings,
    assign_splits,
    read_folds,
)
from speech_emotion.pipelines.ingestion.nodes import split_utterances

LABELS = ("angry", "neutral", "sad")


@pytest.fixture(scope="module")
def utterances():
    """Eight speakers of RAVDESS with three labels each, two clips a label."""
    rows = [
        {
            "utterance_id": f"ravdess:{actor:02d}-{label}-{take}",
            "corpus": "ravdess",
            "speaker": f"ravdess_{actor:02d}",
            "label": label,
            "path": f"/data/ravdess/Actor_{actor:02d}/{label}-{take}-{actor:02d}.wav",
        }
        for actor in (1, 2, 3, 4, 6, 8, 11, 20)
        for label in LABELS
        for take in (1, 2)
    ]
    return pd.DataFrame(rows)


def splits_of(utterances, tmp_path, table, **settings):
    path = tmp_path / "folds.csv"
    table.to_csv(path, index=False)
    return assign_splits(utterances, SplitSettings(file=str(path), **settings))


def folds_of(splits, utterances, protocol="speaker_independent"):
    """Fold and set by speaker."""
    rows = splits[splits["protocol"] == protocol].merge(utterances, on="utterance_id")
    return {
        speaker: sorted(set(zip(group["split"], group["fold"], strict=True)))
        for speaker, group in rows.groupby("speaker")
    }


def test_emobox_divides_ravdess_into_six_groups_of_four_actors(utterances):
    table = read_folds("ravdess_emobox")
    assert sorted(table["speaker"]) == [f"ravdess_{actor:02d}" for actor in range(1, 25)]
    assert table["fold"].value_counts().to_dict() == dict.fromkeys("123456", 4)
    assert list(PUBLISHED) == ["ravdess_emobox"]
    splits = assign_splits(utterances, SplitSettings(file="ravdess_emobox"))
    assert set(splits["protocol"]) == {
        *("speaker_independent", "enrolled", "speaker_adapted", "random_split")
    }
    # 01, 11 and 20 are tested together.
    assert folds_of(splits, utterances) == {
        "ravdess_01": [("train", 0)],
        "ravdess_11": [("train", 0)],
        "ravdess_20": [("train", 0)],
        "ravdess_04": [("train", 1)],
        "ravdess_08": [("train", 2)],
        "ravdess_03": [("train", 3)],
        "ravdess_02": [("train", 4)],
        "ravdess_06": [("train", 5)],
    }
    assert not (splits["split"] == "test").any()
    enrolled = splits[splits["protocol"] == "enrolled"]
    assert enrolled["for_normalization"].sum() == 8 * 2


@pytest.mark.parametrize("key", ["file", "utterance_id", "speaker", "name"])
def test_entries_are_found_by_file_name_or_speaker(utterances, tmp_path, key):
    table = pd.DataFrame({"fold": utterances["speaker"].isin(["ravdess_01", "ravdess_02"]) + 1})
    if key == "file":  # of another computer
        table[key] = "downloads/x/" + utterances["path"].str.removeprefix("/data/ravdess/")
    elif key == "name":
        table[key] = utterances["path"].str.rpartition("/")[2].str.removesuffix(".wav")
    elif key == "speaker":
        table[key] = utterances["speaker"].str.removeprefix("ravdess_")
        table = table.drop_duplicates()
    else:
        table[key] = utterances["utterance_id"]
    found = folds_of(splits_of(utterances, tmp_path, table), utterances)
    assert found["ravdess_01"] == found["ravdess_02"] == [("train", 1)]
    assert found["ravdess_03"] == found["ravdess_20"] == [("train", 0)]


def test_a_training_and_a_test_set_of_a_paper(utterances, tmp_path):
    parts = {"ravdess_01": "Test", "ravdess_02": "test", "ravdess_03": "dev"}
    table = pd.DataFrame(
        {
            "speaker": utterances["speaker"].unique(),
            "Partition": [parts.get(s, "train") for s in utterances["speaker"].unique()],
        }
    )
    splits = splits_of(utterances, tmp_path, table, folds=2)
    found = folds_of(splits, utterances)
    assert found["ravdess_01"] == found["ravdess_02"] == [("test", -1)]
    rest = [found[speaker] for speaker in found if speaker not in ("ravdess_01", "ravdess_02")]
    assert all(len(parts) == 1 for parts in rest)
    assert {fold for ((_, fold),) in rest} == {0, 1}
    random = splits[splits["protocol"] == "random_split"]
    assert (random["split"] == "test").any()


def test_folds_that_leak_have_a_name_of_their_own(utterances, tmp_path, caplog):
    table = pd.DataFrame(
        {"utterance_id": utterances["utterance_id"], "fold": [1, 2] * (len(utterances) // 2)}
    )
    splits = splits_of(utterances, tmp_path, table)
    assert set(splits["protocol"]) == {"leaking_folds", "random_split"}
    rows = splits[splits["protocol"] == "leaking_folds"].set_index("utterance_id")
    assert rows.loc[table["utterance_id"], "fold"].tolist() == [0, 1] * (len(utterances) // 2)
    assert "leaks speakers: 8 of 8 are in two folds" in caplog.text


def test_a_speaker_in_training_and_test_is_a_leak(utterances, tmp_path):
    table = pd.DataFrame({"utterance_id": utterances["utterance_id"], "split": "train"})
    table.loc[utterances["speaker"].isin(["ravdess_01", "ravdess_02"]), "split"] = "test"
    assert "speaker_independent" in set(splits_of(utterances, tmp_path, table)["protocol"])
    table.loc[0, "split"] = "train"
    assert set(splits_of(utterances, tmp_path, table, folds=2)["protocol"]) == {
        *("leaking_folds", "random_split")
    }


def test_utterances_that_are_not_listed_are_left_out(utterances, tmp_path, caplog):
    speakers = utterances["speaker"].unique()
    table = pd.DataFrame({"speaker": [*speakers[:6], "ravdess_99"], "fold": [1, 2, 1, 2, 1, 2, 1]})
    splits = splits_of(utterances, tmp_path, table)
    assert "lists 1 of 7 entries that are not among the utterances, ravdess_99" in caplog.text
    assert "does not list 12 utterances" in caplog.text
    for _, rows in splits.groupby("protocol"):
        assert set(rows["utterance_id"]) == set(utterances["utterance_id"])
        left_out = rows[rows["split"] == LEFT_OUT]
        assert len(left_out) == 12
        assert (left_out["fold"] == -1).all()
        assert not left_out["tested"].any()
    ids = splits.loc[splits["split"] == LEFT_OUT, "utterance_id"]
    assert set(ids.str.slice(8, 10)) == {"11", "20"}


def test_a_folder_of_emobox(utterances, tmp_path):
    for fold, actors in enumerate((("01", "02", "03", "04"), ("06", "08", "11", "20")), start=1):
        folder = tmp_path / f"fold_{fold}"
        folder.mkdir()
        inside = utterances["speaker"].str.slice(-2).isin(actors)
        for part, rows in (("test", utterances[inside]), ("train", utterances[~inside])):
            lines = [
                json.dumps({"wav": path.replace("/data", "downloads/audio"), "emo": "Sad"})
                for path in rows["path"]
            ]
            (folder / f"ravdess_{part}_fold_{fold}.jsonl").write_text("\n".join(lines) + "\n")
    found = folds_of(assign_splits(utterances, SplitSettings(file=str(tmp_path))), utterances)
    assert found["ravdess_01"] == [("train", 0)]
    assert found["ravdess_20"] == [("train", 1)]
    for path in (tmp_path / "fold_2").iterdir():
        path.unlink()
    splits = assign_splits(utterances, SplitSettings(file=str(tmp_path), folds=2))
    found = folds_of(splits, utterances)
    assert found["ravdess_01"] == [("test", -1)]
    assert found["ravdess_20"][0][0] == "train"


def test_leaking_folds_have_to_be_chosen_by_name(utterances, tmp_path):
    path = tmp_path / "leaky.csv"
    fold = [1, 2] * (len(utterances) // 2)
    utterances[["utterance_id"]].assign(fold=fold).to_csv(path, index=False)
    settings = SplitSettings(file=str(path))
    with pytest.raises(SplitError, match=r"leaky\.csv share speakers.*selection\.protocol=leaking"):
        split_utterances(utterances, settings, {"protocol": "speaker_independent"})
    splits = split_utterances(utterances, settings, {"protocol": "leaking_folds"})
    assert set(splits["protocol"]) == {"leaking_folds", "random_split"}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"speaker": ["nobody"], "fold": [1]}, "lists none of the 48 utterances"),
        ({"speaker": ["01", "01"], "fold": [1, 2]}, "ravdess:01-angry-1 is in two folds or sets"),
        ({"speaker": ["01"], "split": ["tset"]}, "split 'tset' is none of train, dev, test"),
        ({"speaker": ["01"], "group": [1]}, "it needs one of utterance_id, file or speaker"),
        ({"who": ["01"], "fold": [1]}, "it needs one of utterance_id, file or speaker"),
    ],
)
def test_folds_that_do_not_fit_are_refused(utterances, tmp_path, table, message):
    with pytest.raises(SplitError, match=message):
        splits_of(utterances, tmp_path, pd.DataFrame(table))


def test_a_missing_file_is_named_with_the_published_folds(utterances):
    with pytest.raises(SplitError, match=r"'gone\.csv' cannot be read.*ravdess_emobox"):
        assign_splits(utterances, SplitSettings(file="gone.csv"))
