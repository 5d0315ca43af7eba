"""Keys of the training data of a model, to recognize its speakers and recordings in other data.

A model carries keyed hashes instead of names and sounds. Nobody can read them back, but who has a name
and the model can test whether this name is among them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

__all__ = [
    "EXPOSURES",
    "NOT_GIVEN",
    "RECORDING_SEEN",
    "SPEAKER_SEEN",
    "UNKNOWN",
    "UNSEEN",
    "TrainingKeys",
]

FILE: Final = "training_keys.json"
DIGEST_BYTES: Final = 8
"""With 64 bits, a new recording has by chance the key of one of 100,000 others once in 10^14 times."""

UNSEEN: Final = "unseen"
SPEAKER_SEEN: Final = "speaker in training"
RECORDING_SEEN: Final = "recording in training"
NOT_GIVEN: Final = "speaker not given"
UNKNOWN: Final = "unknown"
EXPOSURES: Final = (UNSEEN, SPEAKER_SEEN, RECORDING_SEEN, NOT_GIVEN, UNKNOWN)
"""Whether an utterance was in training: ``unknown`` for models without keys."""


@dataclass(frozen=True)
class TrainingKeys:
    """Keyed hashes of the speakers and recordings that a model was trained on.

    A recording is found by its decoded samples, so that copies in other lossless formats are found and
    copies at other sample rates are not. A speaker is found by corpus and name.

    Attributes:
        salt: Key of the hashes; each set of training recordings has its own.
        speakers: Keys of the speakers.
        recordings: Keys of the recordings.

    Example:
        >>> import pandas as pd
        >>> training = pd.DataFrame({"speaker": ["c_anna"], "content_hash": ["1f"]})
        >>> keys = TrainingKeys.from_utterances(training)
        >>> tested = pd.DataFrame({"speaker": ["c_anna", "c_ben"], "content_hash": ["2a", "3b"]})
        >>> keys.compare(tested).tolist()
        ['speaker in training', 'unseen']
    """

    salt: str
    speakers: frozenset[str]
    recordings: frozenset[str]

    @classmethod
    def from_utterances(cls, training: pd.DataFrame) -> TrainingKeys:
        """Compute the keys of training utterances.

        Args:
            training: Columns ``speaker`` and ``content_hash``.
        """
        hashes = sorted(set(training["content_hash"]))
        # From the data, so that training again on the same data gives the same model.
        salt = hashlib.sha256("\n".join(hashes).encode()).hexdigest()[:32]
        return cls(
            salt,
            frozenset(_keys(salt, "speaker", training["speaker"])),
            frozenset(_keys(salt, "recording", training["content_hash"])),
        )

    def compare(self, utterances: pd.DataFrame, given: pd.Series | None = None) -> pd.Series:
        """Look up utterances in the training data.

        Args:
            utterances: Columns ``speaker`` and ``content_hash``.
            given: Whether the speaker of each utterance is given; ``None`` if all are.

        Returns:
            One of :data:`EXPOSURES` a row, aligned with ``utterances``. A speaker with one recording that
            was in training was in training, too, whatever name it has.
        """
        recordings, speakers = utterances["content_hash"], utterances["speaker"]
        in_training = _keys(self.salt, "recording", recordings).isin(self.recordings)
        by_name = _keys(self.salt, "speaker", speakers).isin(self.speakers)
        exposure = pd.Series(UNSEEN, index=utterances.index)
        if given is not None:
            exposure[~given] = NOT_GIVEN
        exposure[by_name | speakers.isin(speakers[in_training])] = SPEAKER_SEEN
        exposure[in_training] = RECORDING_SEEN
        return exposure

    def save(self, folder: Path) -> None:
        """Write the keys into the folder of a predictor."""
        card = {
            "salt": self.salt,
            "speakers": sorted(self.speakers),
            "recordings": sorted(self.recordings),
        }
        (folder / FILE).write_text(json.dumps(card, indent=0))

    @classmethod
    def load(cls, folder: Path) -> TrainingKeys | None:
        """Read the keys; ``None`` for a predictor of an older version, which has none."""
        if not (folder / FILE).exists():
            return None
        card = json.loads((folder / FILE).read_text())
        return cls(card["salt"], frozenset(card["speakers"]), frozenset(card["recordings"]))


def _keys(salt: str, kind: str, names: pd.Series) -> pd.Series:
    def key(name: str) -> str:
        text = f"{kind}\n{name}".encode()
        return hashlib.blake2b(text, key=salt.encode(), digest_size=DIGEST_BYTES).hexdigest()

    return names.map(key).astype(str)
