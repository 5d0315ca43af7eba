import numpy as np
import pandas as pd
import pytest

from speech_emotion.models import SplitSettings, assign_splits
from speech_emotion.models.keras_training import import_keras

LABELS = np.array(["angry", "happy", "sad"])


@pytest.fixture(scope="session")
def utterances() -> pd.DataFrame:
    """Sixty utterances of twelve speakers, three labels."""
    rng = np.random.default_rng(0)
    n = 180
    return pd.DataFrame(
        {
            "utterance_id": [f"c:{i:03d}" for i in range(n)],
            "corpus": "c",
            "speaker": [f"s{i % 12:02d}" for i in range(n)],
            "sex": ["female" if i % 2 else "male" for i in range(n)],
            "label": LABELS[rng.permutation(np.arange(n) % 3)],
            "content_hash": [f"{i}" for i in range(n)],
        }
    )


@pytest.fixture(scope="session")
def codes(utterances) -> np.ndarray:
    return pd.Index(LABELS).get_indexer(pd.Index(utterances["label"]))


@pytest.fixture(scope="session")
def splits(utterances) -> pd.DataFrame:
    return assign_splits(utterances, SplitSettings(folds=3))


@pytest.fixture(scope="session")
def index(utterances) -> pd.DataFrame:
    """Every utterance and one augmented copy of it."""
    recordings = utterances[["utterance_id"]].assign(variant=0)
    return pd.concat([recordings, recordings.assign(variant=1)], ignore_index=True)


@pytest.fixture(scope="session")
def statistics(codes) -> pd.DataFrame:
    """Noise, with the label in one MFCC and one other feature."""
    rng = np.random.default_rng(1)
    names = [f"mfcc_{i:02d}_mean" for i in range(12)] + [f"rms_{i}" for i in range(4)]
    table = pd.DataFrame(rng.normal(size=(360, 16)).astype(np.float32), columns=names)
    both = np.tile(codes, 2)
    table["mfcc_00_mean"] += 2 * (both == 0)
    table["rms_0"] += 2 * (both == 1)
    return table


@pytest.fixture(scope="session")
def sequences(codes) -> np.ndarray:
    """Noise of 24 frames, the label in the level of two channels, the last frames padded."""
    rng = np.random.default_rng(2)
    array = rng.normal(size=(360, 24, 4)).astype(np.float32)
    both = np.tile(codes, 2)
    array[both == 0, :, 0] += 1.5
    array[both == 1, :, 1] += 1.5
    array[:, 18:] = 0
    return array


@pytest.fixture
def eagerly():
    """Compile nothing: for a tiny network that takes four times as long as its training."""
    import_keras()
    import tensorflow

    tensorflow.config.run_functions_eagerly(True)
    yield
    tensorflow.config.run_functions_eagerly(False)
