"""Corpora of a user's own, described by tables."""

import re

import numpy as np
import pandas as pd
import pytest
import soundfile

from speech_emotion.audio import AudioError, load_audio
from speech_emotion.corpora import (
    REJECTED,
    UTTERANCES,
    SplitError,
    SplitSettings,
    TableError,
    assign_splits,
    ingest,
    summarize_corpora,
)

COLUMNS = {"speaker": "who", "emotion": "feeling", "sex": "gender"}
ENTRY = {"table": "list.csv", "columns": COLUMNS, "language": "pl"}
RATE = 8000


@pytest.fixture
def own(tmp_path, corpora_settings):
    """Write noises and a table, and read them as a corpus."""
    for number in range(1, 7):
        folder = tmp_path / "mine" / "audio"
        folder.mkdir(parents=True, exist_ok=True)
        samples = np.random.default_rng(number).normal(0, 0.1, RATE)
        soundfile.write(folder / f"{number}.wav", samples, RATE, subtype="PCM_16")

    def run(text, name="list.csv", **changes):
        (tmp_path / "mine" / name).write_text(text)
        entry = ENTRY | changes
        settings = corpora_settings(entries={"mine": entry})
        utterances, rejected = ingest(tmp_path, settings, n_jobs=1, progress=False)
        UTTERANCES.validate(utterances)
        REJECTED.validate(rejected)
        reasons = {
            path.removeprefix(f"{tmp_path}/mine/"): reason
            for path, reason in rejected.itertuples(index=False)
        }
        return utterances, reasons, settings

    return run


GOOD = """file,who,feeling,gender
1.wav,anna,anger,F
2.wav,anna,neutral,f
3.wav,ben,anger,male
4.wav,ben,neutral,m
5.wav,cleo,anger,?
6.wav,cleo,neutral,
"""


def test_a_table_annotates_recordings(own, tmp_path):
    utterances, rejected, _ = own(GOOD)
    assert not rejected
    assert utterances["utterance_id"].tolist() == [f"mine:{n}" for n in range(1, 7)]
    assert utterances["speaker"].tolist() == [
        *["mine_anna"] * 2,
        *["mine_ben"] * 2,
        *["mine_cleo"] * 2,
    ]
    assert utterances["sex"].tolist() == [*["female"] * 2, *["male"] * 2, *["unknown"] * 2]
    assert utterances["label"].tolist() == ["angry", "neutral"] * 3
    assert (utterances["language"] == "pl").all()
    assert utterances["path"][0] == (tmp_path / "mine/audio/1.wav").as_posix()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("list.tsv", lambda text: text.replace(",", "\t")),
        ("list.csv", lambda text: text.replace(",", ";")),
        ("list.csv", lambda text: "\ufeff" + text.replace("\n", "\r\n")),
        ("list.csv", lambda text: text.replace(".wav", "")),
        ("list.csv", lambda text: text.replace("\n", "\n\n")),
        ("list.csv", lambda text: text.replace("1.wav", "C:\\data\\mine\\audio\\1.wav")),
        ("list.csv", lambda text: text.replace("1.wav", "/elsewhere/audio/1.wav")),
        ("list.csv", lambda text: text.replace("anna", '"anna"')),
    ],
)
def test_tables_as_programs_write_them(own, name, change):
    utterances, rejected, _ = own(change(GOOD), name, table=name)
    assert len(utterances) == 6
    assert not rejected


def test_parquet_and_audformat(own, tmp_path):
    """audformat writes an index of file, start and end, and durations."""
    table = pd.DataFrame(
        {
            "file": ["audio/1.wav", "audio/1.wav", "audio/2.wav"],
            "start": pd.to_timedelta([0, 0.5, 0], unit="s"),
            "end": pd.to_timedelta([0.5, 1.0, None], unit="s"),
            "who": ["anna", "anna", "ben"],
            "feeling": ["anger", "neutral", "anger"],
            "gender": ["female", "female", "male"],
        }
    ).set_index(["file", "start", "end"])
    columns = COLUMNS | {"start": "start", "end": "end"}
    expected = ["mine:audio/1#t=0,0.5", "mine:audio/1#t=0.5,1", "mine:audio/2"]
    table.to_parquet(tmp_path / "mine/db.emotion.parquet")
    for name in ("db.emotion.parquet", "db.emotion.csv"):
        if name.endswith("csv"):
            table.to_csv(tmp_path / "mine/db.emotion.csv")
        utterances, rejected, _ = own("", "unused.txt", table=name, columns=columns)
        assert utterances["utterance_id"].tolist() == expected
        assert set(rejected.values()) == {"no table of its corpus lists this recording"}


HEADER = """
name: mine
schemes:
  feeling: {dtype: str, labels: [anger, neutral]}
  who: {dtype: str, labels: {anna: {gender: female}, ben: {gender: male}}}
  voice: {dtype: str, labels: voices}
tables:
  emotion: {type: segmented, columns: {feeling: {scheme_id: feeling}}}
  files: {type: filewise, columns: {who: {scheme_id: who}, voice: {scheme_id: voice}}}
  votes: {type: filewise, columns: {feeling: {scheme_id: feeling}}}
misc_tables:
  voices: {levels: {id: str}, columns: {sex: {}}}
"""
DATABASE = {
    "emotion": "file,start,end,feeling\naudio/1.wav,0 days,0 days 00:00:00.500000,anger\n"
    "audio/1.wav,0 days 00:00:00.500000,,neutral\naudio/2.wav,0 days,,anger\n",
    "files": "file,who,voice\naudio/2.wav,ben,b\naudio/1.wav,anna,a\n",
    "votes": "file,feeling\naudio/1.wav,anger\n",
    "voices": "id,sex\na,female\nb,male\n",
}
FROM_DATABASE = {"emotion": "emotion/feeling", "speaker": "who", "sex": "who.gender"}


@pytest.fixture
def database(own, tmp_path):
    """Read a database as audformat saves it; ``changes`` are other contents of its tables, or none."""

    def read(columns=FROM_DATABASE, header=HEADER, **changes):
        for name, text in {**DATABASE, **changes}.items():
            if text is not None:
                (tmp_path / f"mine/db.{name}.csv").write_text(text)
        return own(header, "db.yaml", table="db.yaml", columns=columns)

    return read


@pytest.mark.parametrize("sex", ["who.gender", "voice.sex"])
def test_tables_of_an_audformat_database_are_joined(database, sex):
    utterances, rejected, _ = database(FROM_DATABASE | {"sex": sex})
    assert utterances["utterance_id"].tolist() == [
        "mine:audio/1#t=0,0.5",
        "mine:audio/1#t=0.5,",
        "mine:audio/2",
    ]
    assert utterances["label"].tolist() == ["angry", "neutral", "angry"]
    assert utterances["speaker"].tolist() == ["mine_anna", "mine_anna", "mine_ben"]
    assert utterances["sex"].tolist() == ["female", "female", "male"]
    assert set(rejected.values()) == {"no table of its corpus lists this recording"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"columns": FROM_DATABASE | {"emotion": "feeling"}}, "2 tables have a column 'feeling'"),
        ({"columns": FROM_DATABASE | {"speaker": "talker"}}, "no column 'talker'; its tables have"),
        ({"columns": FROM_DATABASE | {"sex": "who.age"}}, "says no 'age' of its labels"),
        ({"files": None}, "Pickled tables are not read"),
        ({"files": DATABASE["files"] + "audio/1.wav,ben,b\n"}, "audio/1.wav more than once"),
        ({"files": "file,voice\naudio/1.wav,a\n"}, "no column 'who'"),
        ({"header": "tables: ["}, "is no YAML"),
        ({"header": "a: 1"}, "it has no `tables`"),
    ],
)
def test_what_is_wrong_with_an_audformat_database_is_said(database, changes, reason):
    with pytest.raises(TableError, match=re.escape(reason)):
        database(**changes)


def test_segments_are_utterances(own, tmp_path):
    table = """file,who,feeling,gender,from,to
1.wav,anna,anger,f,0.1,0.5
1.wav,anna,neutral,f,0:00:00.5,
2.wav,ben,anger,m,,0.25
"""
    columns = COLUMNS | {"start": "from", "end": "to"}
    utterances, _, _ = own(table, columns=columns)
    assert utterances["seconds"].tolist() == [0.4, 0.5, 0.25]
    whole = load_audio(tmp_path / "mine/audio/1.wav", RATE)
    first, rest = utterances["path"][:2]
    assert first.endswith("1.wav#t=0.1,0.5")
    np.testing.assert_array_equal(load_audio(first, RATE), whole[800:4000])
    np.testing.assert_array_equal(load_audio(rest, RATE), whole[4000:])


def test_what_is_wrong_with_rows_is_listed(own):
    table = """file,who,feeling,gender,from,to
1.wav,anna,anger,f,0,0.5
1.wav,anna,anger,f,0,0.5
1.wav,anna,neutral,f,0.4,0.9
2.wav,anna,anger,f,,
2.wav,ben,anger,m,,
3.wav,,anger,f,,
4.wav,ben,,m,,
5.wav,ben,boredom,m,,
gone.wav,ben,anger,m,,
6.wav,cleo,anger,f,0.5,0.2
6.wav,cleo,anger,f,0.5,7
6.wav,cleo,anger,f,noon,
6.wav,cleo,anger
"""
    columns = COLUMNS | {"start": "from", "end": "to"}
    utterances, rejected, _ = own(table, columns=columns)
    assert utterances["utterance_id"].tolist() == ["mine:1#t=0,0.5"]
    expected = {
        "list.csv, row 2": "repeats row 1",
        "list.csv, row 3": "overlaps the segment of row 1",
        "list.csv, row 4": "another emotion or speaker than in row 5",
        "list.csv, row 5": "another emotion or speaker than in row 4",
        "list.csv, row 6": "no speaker is given",
        "list.csv, row 7": "no emotion is given",
        "audio/5.wav": "emotion 'boredom' is not in label set 'seven'",
        "list.csv, row 9": "gone.wav: there is no such recording",
        "list.csv, row 10": "the segment ends at 0.2 s, before it starts at 0.5 s",
        "audio/6.wav#t=0.5,7": "is not inside the recording of 1.00 s",
        "list.csv, row 12": "start 'noon' is no time",
        "list.csv, row 13": "3 fields instead of 6",
    }
    for place, reason in expected.items():
        assert reason in rejected.pop(place), place
    # What only rejected rows name is not listed a second time.
    assert not rejected


def test_recordings_that_no_row_lists_are_listed(own):
    _, rejected, _ = own("".join(GOOD.splitlines(keepends=True)[:4]))
    reason = "no table of its corpus lists this recording"
    assert rejected == {f"audio/{number}.wav": reason for number in (4, 5, 6)}


def test_a_name_in_two_folders_is_ambiguous(own, tmp_path):
    (tmp_path / "mine/other").mkdir()
    samples = np.random.default_rng(99).normal(0, 0.1, RATE)
    soundfile.write(tmp_path / "mine/other/1.wav", samples, RATE)
    utterances, rejected, _ = own(GOOD)
    assert len(utterances) == 5
    assert "2 recordings have this name" in rejected["list.csv, row 1"]
    utterances, _, _ = own(GOOD.replace("1.wav", "other/1.wav"))
    assert utterances["path"].str.endswith("other/1.wav").sum() == 1


def test_a_missing_column_is_named_with_those_that_are_there(own):
    with pytest.raises(TableError, match=r"list\.csv: no column 'who'; it has 'file', 'speaker'"):
        own(GOOD.replace("who", "speaker"))


def test_without_speakers_nothing_is_evaluated_on_unseen_speakers(own, caplog):
    columns = {"emotion": "feeling"}
    utterances, _, settings = own(GOOD, columns=columns)
    found = summarize_corpora(utterances, settings).iloc[0]
    note = found["note"]
    assert found["speakers"] == 0
    assert note.startswith("speakers unknown: no evaluation on unseen speakers")
    assert note in caplog.text
    with pytest.raises(SplitError, match=r"'mine' does not say who speaks.*corpora\.entries\.mine"):
        assign_splits(utterances, SplitSettings(folds=2))


@pytest.mark.parametrize("groups", ["who", "file", "folder"])
def test_groups_stand_for_unknown_speakers(own, groups):
    utterances, _, settings = own(GOOD, columns={"emotion": "feeling"}, groups=groups)
    expected = {"who": 3, "file": 6, "folder": 1}[groups]
    assert utterances["speaker"].nunique() == expected
    note = summarize_corpora(utterances, settings)["note"][0]
    assert f"no {groups} is in training and test" in note


def test_mixed_languages_and_unknown_sexes_are_said(own, caplog):
    table = "file,who,feeling,gender,lang\n1.wav,a,anger,f,pl\n2.wav,b,anger,,en\n"
    utterances, _, settings = own(table, columns=COLUMNS | {"language": "lang"}, language=None)
    found = summarize_corpora(utterances, settings).iloc[0]
    assert found["languages"] == "en, pl"
    assert found["unknown_sex"] == 1
    assert "Mixed languages" in caplog.text
    assert "the sex of 1 utterances is unknown" in caplog.text


def test_a_corpus_elsewhere_joins_those_of_the_folder(own, tmp_path, corpora_settings):
    own(GOOD)
    folder = tmp_path / "corpora" / "tess"
    folder.mkdir(parents=True)
    soundfile.write(
        folder / "OAF_back_sad.wav", np.random.default_rng(0).normal(0, 0.1, RATE), RATE
    )
    entry = ENTRY | {"path": str(tmp_path / "mine")}
    utterances, _ = ingest(
        tmp_path / "corpora", corpora_settings(entries={"mine": entry}), n_jobs=1, progress=False
    )
    assert utterances["corpus"].value_counts().to_dict() == {"mine": 6, "tess": 1}


def test_the_folder_of_an_entry_may_be_below_the_folder_of_all(own, tmp_path, corpora_settings):
    own(GOOD)
    for root in (tmp_path, tmp_path / "mine"):
        settings = corpora_settings(entries={"mine": ENTRY | {"path": str(tmp_path / "mine")}})
        utterances, rejected = ingest(root, settings, n_jobs=1, progress=False)
        assert len(utterances) == 6
        assert rejected.empty


def test_meld_and_iemocap_are_tables(tmp_path, corpora_settings):
    def write(path, seed):
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.random.default_rng(seed).normal(0, 0.1, RATE), RATE)

    meld, iemocap = tmp_path / "MELD.Raw", tmp_path / "IEMOCAP_full_release"
    header = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID\n"
    for seed, (table, folder) in enumerate(
        {
            "train/train_sent_emo.csv": "train/train_splits",
            "dev_sent_emo.csv": "dev_splits_complete",
            "test_sent_emo.csv": "output_repeated_splits_test",
        }.items()
    ):
        write(meld / folder / "dia0_utt1.wav", seed)
        (meld / table).parent.mkdir(parents=True, exist_ok=True)
        (meld / table).write_text(f'{header}1,"Oh, no!",Joey,anger,negative,0,1\n')
    for name in ("Ses01F_impro01_F000", "Ses01F_impro01_M001"):
        write(iemocap / "Session1/sentences/wav/Ses01F_impro01" / f"{name}.wav", hash(name) % 1000)
    labels = iemocap / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    labels.parent.mkdir(parents=True)
    labels.write_text(
        "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
        "[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]\n"
        "C-E2:\tNeutral;\t()\n"
        "[10.0100 - 11.3925]\tSes01F_impro01_M001\txxx\t[2.5000, 2.5000, 2.5000]\n"
    )
    utterances, rejected = ingest(tmp_path, corpora_settings(), n_jobs=1, progress=False)
    found = utterances.set_index("utterance_id")
    assert found["speaker"].to_dict() == {
        "iemocap:Ses01F_impro01_F000": "iemocap_01F",
        **{
            f"meld:{part}/dia0_utt1": "meld_Joey"
            for part in ("train_splits", "dev_splits_complete", "output_repeated_splits_test")
        },
    }
    assert found.loc["iemocap:Ses01F_impro01_F000", "sex"] == "female"
    assert rejected["reason"].tolist() == ["emotion 'no agreement' is not in label set 'seven'"]


def test_a_segment_outside_of_its_recording_is_no_audio(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(RATE), RATE)
    for segment in ("#t=2,3", "#t=0.5,1.5", "#t=0.5,0.5"):
        with pytest.raises(AudioError, match=r"segment"):
            load_audio(f"{tmp_path}/a.wav{segment}")
