"""Groups of feature columns, by their names."""

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
"""Pattern of the first words of each group's column names; no two patterns match the same name."""
OTHER: Final = "other"
BLOCK: Final = 1024
"""Sequences per block; the array may be memory-mapped."""
MFCC: Final = re.compile(r"mfcc_(?:delta_)?(\d+)(?:_|$)")


def feature_groups(names: Iterable[str]) -> dict[str, list[str]]:
    """Assign columns to groups.

    Args:
        names: Names of any feature set, see :func:`speech_emotion.features.feature_names`.

    Returns:
        Columns of each non-empty group, in the order of :data:`GROUPS`; columns that match no pattern
        are in ``other``.
    """
    groups: dict[str, list[str]] = {group: [] for group in [*GROUPS, OTHER]}
    for name in names:
        matching = (
            group for group, pattern in GROUPS.items() if re.match(f"(?:{pattern})(?:_|$)", name)
        )
        groups[next(matching, OTHER)].append(name)
    return {group: columns for group, columns in groups.items() if columns}


def mfcc_number(name: str) -> int | None:
    """Return the number of the MFCC of a column, or ``None`` for other columns."""
    found = MFCC.match(name)
    return int(found[1]) if found else None


def mfcc_moments(
    sequences: np.ndarray, channels: Sequence[str], *, exclude: Container[int | None] = ()
) -> pd.DataFrame:
    """Compute mean and standard deviation of the MFCCs of frame sequences.

    Args:
        sequences: Shape ``(n, n_frames, n_channels)``; all-zero frames are padding. May be
            memory-mapped.
        channels: Names of the channels.
        exclude: Numbers of MFCCs to omit.

    Returns:
        Columns ``mfcc_NN_mean`` and ``mfcc_NN_std``, float32, one row per sequence.
    """
    wanted = [
        position
        for position, name in enumerate(channels)
        if (number := mfcc_number(name)) is not None and number not in exclude
    ]
    names = [
        f"{channels[position]}_{statistic}" for statistic in ("mean", "std") for position in wanted
    ]
    result = np.zeros((len(sequences), len(names)), dtype=np.float32)
    for start in range(0, len(sequences) if wanted else 0, BLOCK):
        block = np.asarray(sequences[start : start + BLOCK])
        is_frame = np.any(block != 0, axis=2, keepdims=True)
        count = np.maximum(is_frame.sum(axis=1), 1)
        values = block[:, :, wanted]
        mean = (values * is_frame).sum(axis=1) / count
        spread = (((values - mean[:, np.newaxis]) * is_frame) ** 2).sum(axis=1) / count
        result[start : start + BLOCK] = np.concatenate([mean, np.sqrt(spread)], axis=1)
    return pd.DataFrame(result, columns=names)
