"""Which features describe the same thing: groups of columns by their names."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from typing import Final

import numpy as np
import pandas as pd

__all__ = ["GROUPS", "KERNELS", "OTHER", "feature_groups", "mfcc_moments", "mfcc_number"]

KERNELS: Final = "convolution kernels"
GROUPS: Final[dict[str, str]] = {
    "level": "rms",
    "pitch": "pitch",
    "voicing": "harmonicity|voiced",
    "spectral shape": "centroid|bandwidth|rolloff|zcr|flatness|flux",
    "spectral balance": "slope|alpha_ratio|hammarberg|treble_ratio",
    "spectral contrast": "contrast",
    "MFCC": r"mfcc_\d+",
    "MFCC deltas": "mfcc_delta",
    "mel bands": "band|mel",
    "modulation": "modulation",
    "chroma": "chroma",
    "timing": "duration|speech|peak_rate",
    KERNELS: "kernel",
}
"""Beginning of the names of each group's columns, up to an underscore or the end; no two overlap."""
OTHER: Final = "other"
BLOCK: Final = 1024
"""Sequences that are read at once: the array may be on disk."""
MFCC: Final = re.compile(r"mfcc_(?:delta_)?(\d+)(?:_|$)")


def feature_groups(names: Iterable[str]) -> dict[str, list[str]]:
    """Divide columns into groups.

    Args:
        names: Names of :func:`speech_emotion.audio.feature_names`, of any feature set.

    Returns:
        Columns of each group that has any, in the order of :data:`GROUPS`; every column is in exactly
        one. Columns that no pattern describes are ``other``.
    """
    groups: dict[str, list[str]] = {group: [] for group in [*GROUPS, OTHER]}
    for name in names:
        fitting = (
            group for group, pattern in GROUPS.items() if re.match(f"(?:{pattern})(?:_|$)", name)
        )
        groups[next(fitting, OTHER)].append(name)
    return {group: columns for group, columns in groups.items() if columns}


def mfcc_number(name: str) -> int | None:
    """Return which MFCC a column describes, ``None`` if it describes none."""
    found = MFCC.match(name)
    return int(found[1]) if found else None


def mfcc_moments(
    sequences: np.ndarray, channels: Sequence[str], *, known: Container[int | None] = ()
) -> pd.DataFrame:
    """Mean and standard deviation of the MFCCs of frame sequences.

    Args:
        sequences: Shape ``(n, n_frames, n_channels)``, frames of zeros are padding; may be on disk.
        channels: Names of the channels.
        known: Coefficients that are left out.

    Returns:
        Columns ``mfcc_NN_mean`` and ``mfcc_NN_std``, float32, one row a sequence.
    """
    wanted = [
        position
        for position, name in enumerate(channels)
        if (number := mfcc_number(name)) is not None and number not in known
    ]
    names = [
        f"{channels[position]}_{statistic}" for statistic in ("mean", "std") for position in wanted
    ]
    result = np.zeros((len(sequences), len(names)), dtype=np.float32)
    for start in range(0, len(sequences) if wanted else 0, BLOCK):
        block = np.asarray(sequences[start : start + BLOCK])
        heard = np.any(block != 0, axis=2, keepdims=True)
        count = np.maximum(heard.sum(axis=1), 1)
        values = block[:, :, wanted]
        mean = (values * heard).sum(axis=1) / count
        spread = (((values - mean[:, np.newaxis]) * heard) ** 2).sum(axis=1) / count
        result[start : start + BLOCK] = np.concatenate([mean, np.sqrt(spread)], axis=1)
    return pd.DataFrame(result, columns=names)
