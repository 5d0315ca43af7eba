import pandas as pd

from speech_emotion.corpora import CORPORA, CorpusEntry, has_speaker


def test_names_that_only_stand_for_speakers_are_told_apart():
    entries = {
        "mine": CorpusEntry(name="mine", table="t.csv", columns={"emotion": "e"}, groups="folder"),
        "theirs": CorpusEntry(name="theirs", table="t.csv", columns={"emotion": "e"}),
        "ravdess": CORPORA["ravdess"],
    }
    speakers = {
        "mine_folder_day 1": False,
        "mine_anna": True,
        "theirs_unknown": False,
        "theirs_folder_1": True,
        "ravdess_01": True,
    }
    table = pd.DataFrame(
        {"corpus": [name.split("_")[0] for name in speakers], "speaker": list(speakers)}
    )
    assert has_speaker(table, entries).tolist() == list(speakers.values())
