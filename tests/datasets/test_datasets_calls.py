import mido
import pandas as pd
import pytest
from kedro.io import DatasetError

from speech_emotion.datasets.midi import MidiDataset
from speech_emotion.datasets.optional import OptionalDataset


@pytest.fixture
def parquet(tmp_path):
    return {"type": "pandas.ParquetDataset", "filepath": str(tmp_path / "sub" / "table.parquet")}


def test_what_was_never_saved_is_none_and_what_was_is_loaded(parquet):
    dataset = OptionalDataset(dataset=parquet)
    assert not dataset.exists()
    assert dataset.load() is None
    table = pd.DataFrame({"a": [1, 2]})
    dataset.save(table)
    assert dataset.exists()
    pd.testing.assert_frame_equal(dataset.load(), table)


def test_no_path_is_none(parquet):
    dataset = OptionalDataset(dataset=parquet | {"filepath": None}, must_exist=True)
    assert dataset.load() is None
    assert not dataset.exists()
    with pytest.raises(DatasetError, match="no path"):
        dataset.save(pd.DataFrame({"a": [1]}))


def test_a_path_that_is_given_must_hold_something(parquet):
    with pytest.raises(DatasetError, match=r"table\.parquet does not exist"):
        OptionalDataset(dataset=parquet, must_exist=True).load()


def test_midi_comes_back(tmp_path):
    file = mido.MidiFile(ticks_per_beat=96)
    file.tracks.append(mido.MidiTrack([mido.Message("note_on", note=60, time=5)]))
    dataset = MidiDataset(filepath=str(tmp_path / "sub" / "tune.mid"))
    assert not dataset.exists()
    with pytest.raises(DatasetError):
        dataset.load()
    dataset.save(file)
    assert dataset.exists()
    assert dataset.load().ticks_per_beat == 96
    assert dataset.load().tracks[0][0].note == 60
