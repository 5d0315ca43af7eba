"""Timelines of calls: settings, names and the numbers of one channel."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Final, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from speech_emotion.config import Settings

__all__ = [
    "CallReportSettings",
    "call_details",
    "channel_id",
    "color_of",
    "labels_of",
    "scored_windows",
    "target_of",
    "windows_of_channels",
]

PROBABILITY: Final = "p_"
STRONGEST: Final = 5
"""Windows of a call that are marked as the strongest."""

# The palette of Okabe and Ito, which color-blind readers can distinguish.
COLORS: Final = {
    "angry": "#d55e00",
    "disgust": "#009e73",
    "fearful": "#cc79a7",
    "happy": "#e6c200",
    "calm": "#dfe8b0",
    "neutral": "#c9ced6",
    "sad": "#0072b2",
    "surprised": "#7cc4ee",
}
OTHER_COLOR: Final = "#8a8a8a"


class CallReportSettings(Settings):
    """Players and timelines of the call report.

    Attributes:
        sounds: Calls with a player: ``all``, ``flagged`` (flagged calls and those to review), or
            ``none``. A minute of stereo takes 240 kB.
        channels: ``all`` channels of the recording are played, or the ``scored`` one alone.
        points: Maximal number of segments of a waveform, and of windows of a timeline.
        before_s: Seconds to play before a passage, for its context.
    """

    renamed: ClassVar[dict[str, str]] = {
        "timelines": "was removed: every call has a timeline; delete it",
        "after_s": "was removed: the whole call can be played; delete it",
    }

    sounds: Literal["all", "flagged", "none"] = "all"
    channels: Literal["all", "scored"] = "all"
    points: int = Field(600, ge=20, le=5000)
    before_s: float = Field(2.0, ge=0, le=60)


def channel_id(call: str, channel: int) -> str:
    """Return a unique, readable ASCII file name for one channel of a call."""
    readable = re.sub(r"[^\w.-]+", "_", call, flags=re.ASCII).strip("._")[-60:]
    digest = hashlib.sha256(call.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{readable}-{digest}-{channel}"


def target_of(summary: pd.DataFrame) -> str:
    """Return the target label, which is part of column names of the summary."""
    found = [re.fullmatch(r"first_(.+)_s", str(column)) for column in summary]
    return next((match.group(1) for match in found if match), "angry")


def labels_of(table: pd.DataFrame, prefix: str = PROBABILITY) -> list[str]:
    """Return the labels with columns ``<prefix><label>``, in their order."""
    columns = [str(column) for column in table]
    return [name.removeprefix(prefix) for name in columns if name.startswith(prefix)]


def color_of(label: str) -> str:
    """Return the color of a label in charts."""
    return COLORS.get(label, OTHER_COLOR)


def windows_of_channels(
    blocks: Iterable[pd.DataFrame],
) -> Iterator[tuple[tuple[str, int], pd.DataFrame]]:
    """Yield call, channel and windows of each channel; one block is in memory at a time.

    Args:
        blocks: The table of windows in pieces; the rows of a channel follow each other, also across
            pieces.
    """
    rest: pd.DataFrame | None = None
    for block in blocks:
        joined = block if rest is None else pd.concat([rest, block], ignore_index=True)
        groups = [
            ((str(call), int(channel)), rows)
            for (call, channel), rows in joined.groupby(["call", "channel"], sort=False)
        ]
        yield from groups[:-1]
        rest = groups[-1][1] if groups else None
    if rest is not None and len(rest):
        yield (str(rest["call"].iloc[0]), int(rest["channel"].iloc[0])), rest


def scored_windows(windows: pd.DataFrame) -> pd.DataFrame:
    """Sort the windows of one channel and remove overlaps.

    Returns:
        The windows by time with ``until_s``: the end of the window or the start of the next one.
    """
    ordered = windows.sort_values("start_s", ignore_index=True)
    following = ordered["start_s"].shift(-1).fillna(np.inf)
    return ordered.assign(until_s=np.minimum(ordered["end_s"], following))


def call_details(
    windows: pd.DataFrame,
    passages: pd.DataFrame,
    labels: list[str],
    target: str,
    *,
    points: int,
) -> dict[str, Any]:
    """Return the numbers of one channel's timeline, for JSON.

    Windows are lists of whole percents; neighbors are merged to at most ``points`` windows. A merged
    window has the highest score of its windows, so that the cause of each flag is shown.

    Args:
        windows: Windows of the channel.
        passages: Flagged passages of the channel.
        labels: Labels of the model.
        target: The target label.
        points: Maximal number of windows.
    """
    ordered = scored_windows(windows)
    each = max(-(-len(ordered) // points), 1)
    aggregated = {"start_s": "min", "until_s": "max", "score": "max"}
    aggregated |= {PROBABILITY + label: "mean" for label in labels}
    joined = ordered.groupby(np.arange(len(ordered)) // each).agg(aggregated)
    scored_rows = joined[[PROBABILITY + label for label in labels]].notna().all(axis=1)
    strongest = ordered.dropna(subset=PROBABILITY + target)
    strongest = strongest.nlargest(STRONGEST, PROBABILITY + target)
    return {
        "starts": joined["start_s"].round(1).tolist(),
        "ends": joined["until_s"].round(1).tolist(),
        "scores": _percents(joined["score"].where(scored_rows)),
        "probabilities": [_percents(joined[PROBABILITY + label]) for label in labels],
        "strongest": [
            [round(row["start_s"], 1), round(row["end_s"], 1), round(row[PROBABILITY + target], 3)]
            for row in strongest.to_dict("records")
        ],
        "passages": [
            {
                name: round(float(row[name]), 2)
                for name in ("start_s", "end_s", "speech_s", "peak", "peak_s")
            }
            for row in passages.sort_values("start_s").to_dict("records")
        ],
    }


def _percents(values: pd.Series) -> list[int | None]:
    return [None if pd.isna(value) else round(100 * value) for value in values]
