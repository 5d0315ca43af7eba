import numpy as np
import pandas as pd
import pytest
import soundfile
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Node, Pipeline

from speech_emotion.datasets import CorporaDataset
from speech_emotion.hooks.estimate import _measure_corpora


def test_recordings_below_the_folder_of_corpora_are_counted_and_their_seconds_sampled(tmp_path):
    for number in range(12):
        folder = tmp_path / f"corpus{number % 2}"
        folder.mkdir(exist_ok=True)
        soundfile.write(folder / f"{number}.wav", np.zeros(8000 * (1 + number % 2)), 8000)
    (tmp_path / "notes.txt").write_text("no recording")
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    catalog = DataCatalog({"corpora": CorporaDataset(filepath=str(tmp_path))})
    ingestion = Pipeline([Node(len, "corpora", "utterances", name="read")])
    size = _measure_corpora(ingestion, catalog)
    assert size.recordings == 13
    assert size.seconds == pytest.approx(13 * 1.5, rel=0.1)
    assert size.corpora == 2


def test_stored_utterances_are_counted():
    utterances = pd.DataFrame({"seconds": [1.0, 2.5], "corpus": ["a", "b"]})
    catalog = DataCatalog({"utterances": MemoryDataset(utterances)})
    size = _measure_corpora(Pipeline([Node(len, "utterances", "n", name="count")]), catalog)
    assert (size.recordings, size.seconds, size.corpora) == (2, 3.5, 2)
