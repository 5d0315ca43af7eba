"""Stored values of features: models and the feature cache rely on them.

The values of each ``EXTRACTION_VERSION`` are in a file of its own. If a change of values is intended:
increase ``EXTRACTION_VERSION`` in ``speech_emotion/features/store.py``, run
``python tests/features/test_stored_values.py`` and add the printed line to ``DIGESTS``.
"""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from speech_emotion.audio import TRANSFORMS, augment, send_over_line
from speech_emotion.features import (
    EXTRACTION_VERSION,
    FeatureSettings,
    extract,
    extract_features,
)

RATE = 22050
STORED = Path(__file__).with_name(f"stored_features_{EXTRACTION_VERSION}.npz")
# SHA-256 of the file of each version. Lines are added, never changed.
DIGESTS = {
    "1": "abb5cf770f5a227244db21669d03443a00976297b13269b017e9de7fdd13047f",
    "2": "887d59e02f431569d2c037a054be357a58bb066fa77676c95ada54aa7f18806b",
    "3": "4a55f78afde6aa686f586e95746ba03e04623386a762ac991fb44f7d5759d9c4",
}
CHANGED = (
    "values in the feature cache would no longer be those of the code: increase EXTRACTION_VERSION in "
    "speech_emotion/features/store.py and store the new values (see the docstring of this file)"
)


def sentence():
    """Return two gliding voices with pauses, over noise; 3.2 s, so several blocks of frames."""
    times = np.arange(round(1.5 * RATE)) / RATE
    parts = []
    for low, high, loudness in ((110, 170, 0.08), (240, 180, 0.2)):
        phase = 2 * np.pi * np.cumsum(np.linspace(low, high, len(times))) / RATE
        voice = sum(np.sin(number * phase) / number for number in range(1, 25))
        syllables = 0.6 - 0.4 * np.cos(2 * np.pi * 4.5 * times)
        parts += [loudness * voice * syllables, np.zeros(round(0.1 * RATE))]
    sound = np.concatenate(parts)
    # The stream of the legacy generator is frozen.
    return (sound + 1e-3 * np.random.RandomState(0).normal(size=len(sound))).astype(np.float32)


def values():
    """Compute the values that are stored for a version, by name."""
    sound = sentence()
    found = {
        name: extract_features(sound, RATE, name).to_numpy()
        for name in ("means_184", "moments_370", "contours_3490")
    }
    _, sequence = extract(sound, RATE, settings=FeatureSettings())
    found["sequence"] = sequence.mean(axis=0)
    for name, transform in TRANSFORMS.items():
        value = transform.smallest + 0.7 * (transform.largest - transform.smallest)
        changed = augment(sound, RATE, transform=name, value=value, seed=1)
        found[f"augmented by {name}"] = extract_features(changed, RATE, "means_184").to_numpy()
    # Opus and MP3 are left out: their values depend on the libraries that libsndfile was built with.
    for name, seed in (("training", 3), ("gsm", 1), ("steep_ulaw", 1)):
        received = send_over_line(sound, RATE, line=name, seed=seed)
        found[f"over line {name}"] = extract_features(received, RATE, "means_184").to_numpy()
    return found


def test_values_are_those_of_the_extraction_version():
    assert STORED.exists(), f"no values are stored for this version: {CHANGED}"
    with np.load(STORED) as stored:
        for name, found in values().items():
            np.testing.assert_allclose(
                found, stored[name], rtol=1e-4, atol=1e-4, err_msg=f"{name}: {CHANGED}"
            )


@pytest.mark.parametrize("version", DIGESTS)
def test_values_of_a_version_are_never_replaced(version):
    file = STORED.with_name(f"stored_features_{version}.npz")
    assert hashlib.sha256(file.read_bytes()).hexdigest() == DIGESTS[version], CHANGED


def test_the_current_version_is_listed():
    assert EXTRACTION_VERSION in DIGESTS, CHANGED


if __name__ == "__main__":
    if STORED.exists():
        raise SystemExit(f"{STORED} exists: increase EXTRACTION_VERSION first")
    np.savez_compressed(STORED, **values())
    digest = hashlib.sha256(STORED.read_bytes()).hexdigest()
    print(f'"{EXTRACTION_VERSION}": "{digest}"')  # noqa: T201
