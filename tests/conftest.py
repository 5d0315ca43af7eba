import numpy as np
import pytest
import soundfile

RATE = 22050


@pytest.fixture(scope="session")
def tone():
    """Make a sine: frequency in Hz, seconds, amplitude, rate."""

    def make(frequency=440.0, seconds=1.0, amplitude=0.5, rate=RATE):
        times = np.arange(round(seconds * rate)) / rate
        return (amplitude * np.sin(2 * np.pi * frequency * times)).astype(np.float32)

    return make


@pytest.fixture
def write_sound(tmp_path):
    """Write samples into a file below the test's folder and return its path."""

    def write(name, samples, rate=RATE, **options):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, samples, rate, **options)
        return path

    return write
