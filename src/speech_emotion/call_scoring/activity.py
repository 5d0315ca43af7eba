"""Talk, silence, overlap, interruptions and monologues of the parties of a call.

All follow from voice activity alone, so they may be computed for agents, too.
"""

from __future__ import annotations

import itertools
from typing import Final

import numpy as np
import pandas as pd

__all__ = ["PARTY_MEASURES", "party_measures"]

TURN_GAP_S: Final = 0.6
"""Shorter pauses do not end a turn."""
MIN_TURN_S: Final = 1.0
"""Shorter turns are listener's signals ("yes", "mhm"): they neither interrupt nor end a monologue."""
MIN_OVERLAP_S: Final = 0.3
"""Shorter overlaps at a change of turns are no interruption."""
MONOLOGUE_GAP_S: Final = 2.0
"""Longer pauses end a monologue."""
PARTY_MEASURES: Final = (
    "talk_s",
    "talk_share",
    "silence_share",
    "overlap_share",
    "interruptions",
    "longest_monologue_s",
    "loudness_dbfs",
)


def party_measures(
    speech: np.ndarray, power: np.ndarray, frame_s: float, *, separable: bool = True
) -> pd.DataFrame:
    """Compute the measures of each party.

    Args:
        speech: Whether each party speaks in each frame, shape ``(n_parties, n_frames)``.
        power: Power of each party's channel in the speech band, shape ``(n_parties, n_frames)``.
        frame_s: Seconds of a frame.
        separable: Whether parties can be heard at the same time. In one channel they cannot be told apart
            where they overlap; then ``overlap_share`` and ``interruptions`` are missing.

    Returns:
        One row per party: ``talk_s``, seconds of speech; ``talk_share``, ``silence_share`` (nobody speaks)
        and ``overlap_share`` (another party speaks, too) of the call; ``interruptions``, turns of a second
        or more that start at least 0.3 s before another party's turn ends; ``longest_monologue_s``, from
        start to end, without a turn of another party and without a pause of 2 s; ``loudness_dbfs``, mean
        level of the speech relative to full scale.

    Example:
        >>> speech = np.array([[True] * 4 + [False] * 4, [False] * 3 + [True] * 4 + [False]])
        >>> measures = party_measures(speech, np.ones((2, 8)), 1.0)
        >>> measures["interruptions"].tolist(), measures["overlap_share"].tolist()
        ([0.0, 1.0], [0.125, 0.125])
    """
    n_frames = max(speech.shape[1], 1)
    silence = float((~speech.any(axis=0)).sum()) / n_frames
    turns = [_turns(party, frame_s) for party in speech]
    rows = []
    for number, party in enumerate(speech):
        others = np.delete(speech, number, axis=0).any(axis=0)
        other_turns = [
            turn for other, of_other in enumerate(turns) if other != number for turn in of_other
        ]
        level = float(power[number][party].mean()) if party.any() else np.nan
        rows.append(
            {
                "talk_s": float(party.sum()) * frame_s,
                "talk_share": float(party.sum()) / n_frames,
                "silence_share": silence,
                "overlap_share": float((party & others).sum()) / n_frames if separable else np.nan,
                "interruptions": _interruptions(turns[number], other_turns, frame_s)
                if separable
                else np.nan,
                "longest_monologue_s": _longest_monologue(party, other_turns, frame_s),
                "loudness_dbfs": 10 * np.log10(max(level, 1e-12)) if party.any() else np.nan,
            }
        )
    return pd.DataFrame(rows, columns=list(PARTY_MEASURES)).astype(float)


def stretches(speech: np.ndarray, gap: int) -> np.ndarray:
    """Return first and end frame of each stretch of speech without a pause of ``gap`` frames.

    Example:
        >>> stretches(np.array([1, 0, 1, 0, 0, 1]), 2).tolist()
        [[0, 3], [5, 6]]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[0], speech.astype(np.int8), [0]])))
    spans = edges.reshape(-1, 2)
    if len(spans) < 2:
        return spans
    apart = spans[1:, 0] - spans[:-1, 1] >= gap
    starts = spans[np.concatenate([[True], apart]), 0]
    ends = spans[np.concatenate([apart, [True]]), 1]
    return np.stack([starts, ends], axis=1)


def _turns(speech: np.ndarray, frame_s: float) -> list[tuple[int, int]]:
    spans = stretches(speech, max(round(TURN_GAP_S / frame_s), 1))
    return [(start, end) for start, end in spans.tolist() if (end - start) * frame_s >= MIN_TURN_S]


def _interruptions(
    own: list[tuple[int, int]], others: list[tuple[int, int]], frame_s: float
) -> float:
    least = MIN_OVERLAP_S / frame_s
    return float(
        sum(
            any(start < first and end - first >= least for start, end in others) for first, _ in own
        )
    )


def _longest_monologue(speech: np.ndarray, others: list[tuple[int, int]], frame_s: float) -> float:
    undisturbed = speech.copy()
    ends = []
    for start, end in others:
        undisturbed[start:end] = False
        ends.append(start)
    longest = 0
    breaks = np.sort(np.array(ends, dtype=int))
    for start, end in stretches(undisturbed, max(round(MONOLOGUE_GAP_S / frame_s), 1)).tolist():
        inner = breaks[(breaks > start) & (breaks < end)].tolist()
        cuts = [start, *inner, end]
        for first, last in itertools.pairwise(cuts):
            frames = np.flatnonzero(undisturbed[first:last])
            if len(frames):
                longest = max(longest, int(frames[-1] - frames[0]) + 1)
    return longest * frame_s
