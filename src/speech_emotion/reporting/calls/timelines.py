"""Timelines of calls: selection, data and pictures."""

from __future__ import annotations

import hashlib
import re
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MultipleLocator
from pydantic import Field

from speech_emotion.audio import AudioError, read_envelope, read_excerpt
from speech_emotion.call_scoring import format_clock
from speech_emotion.config import Settings

__all__ = [
    "CallReportSettings",
    "by_channel",
    "channel_id",
    "color_of",
    "excerpt_table",
    "labels_of",
    "read_envelopes",
    "scored_windows",
    "shown_channels",
    "target_of",
    "timeline_picture",
]

CALM: Final = "calm"
PROBABILITY: Final = "p_"

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
INK: Final = "#44546a"
SHADE: Final = "#fbd9c6"
TICKS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)


class CallReportSettings(Settings):
    """Timelines and excerpts of the call report.

    Attributes:
        timelines: ``flagged`` draws flagged calls and calls to review; ``all`` draws every call, which
            reads every recording again and makes the page larger.
        points: Maximal number of segments of a waveform, and of windows of a timeline on the page.
        before_s: Seconds of audio before a flagged passage in its excerpt.
        after_s: Seconds of audio after a flagged passage in its excerpt.
        channels: ``all`` channels of the recording are in an excerpt, or the ``scored`` one alone.
    """

    timelines: Literal["flagged", "all"] = "flagged"
    points: int = Field(600, ge=20, le=5000)
    before_s: float = Field(2.0, ge=0, le=60)
    after_s: float = Field(1.0, ge=0, le=60)
    channels: Literal["all", "scored"] = "all"


def channel_id(call: str, channel: int) -> str:
    """Return a unique, readable ASCII file name for one channel of a call."""
    readable = re.sub(r"[^\w.-]+", "_", call, flags=re.ASCII).strip("._")[-60:]
    digest = hashlib.sha256(call.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{readable}-{digest}-{channel}"


def target_of(summary: pd.DataFrame) -> str:
    """Return the target label, which is part of column names of the summary."""
    found = [re.fullmatch(r"first_(.+)_s", str(column)) for column in summary]
    return next((match.group(1) for match in found if match), "angry")


def labels_of(windows: pd.DataFrame) -> list[str]:
    """Return the labels with probability columns, in their order."""
    columns = [str(column) for column in windows]
    return [name.removeprefix(PROBABILITY) for name in columns if name.startswith(PROBABILITY)]


def color_of(label: str) -> str:
    """Return the color of a label in pictures and on the page."""
    return COLORS.get(label, OTHER_COLOR)


def shown_channels(summary: pd.DataFrame, settings: CallReportSettings) -> pd.DataFrame:
    """Return the rows of the summary that are shown with a timeline."""
    if summary.empty or settings.timelines == "all":
        return summary
    return summary[summary["flag"] != CALM]


def by_channel(table: pd.DataFrame) -> dict[tuple[str, int], pd.DataFrame]:
    """Group the rows of a table by call and channel."""
    if table.empty:
        return {}
    groups = table.groupby(["call", "channel"], sort=False)
    return {(str(call), int(channel)): rows for (call, channel), rows in groups}


def read_envelopes(summary: pd.DataFrame, settings: CallReportSettings) -> pd.DataFrame:
    """Read the waveform envelopes of the shown channels, block by block.

    Args:
        summary: One row per scored channel.
        settings: Selection of calls and number of points.

    Returns:
        ``call``, ``channel``, ``start_s``, ``end_s``, ``low``, ``high`` and ``error``; a recording
        that cannot be read has one row with the reason in ``error``.
    """
    tables = [pd.DataFrame({name: [] for name in ("start_s", "end_s", "low", "high")}, dtype=float)]
    for row in shown_channels(summary, settings).itertuples():
        try:
            table = read_envelope(row.path, channel=row.channel, points=settings.points)
            table["error"] = ""
        except AudioError as error:
            table = pd.DataFrame({"error": [error.reason]})
        tables.append(table.assign(call=row.call, channel=row.channel))
    columns = ["call", "channel", "start_s", "end_s", "low", "high", "error"]
    joined = pd.concat(tables, ignore_index=True).reindex(columns=columns)
    return joined.astype({"call": "str", "channel": "Int64", "error": "str"})


def excerpt_table(passages: pd.DataFrame, settings: CallReportSettings) -> pd.DataFrame:
    """Determine the excerpt of each flagged passage, and check that it can be read.

    Args:
        passages: Flagged passages: ``call``, ``path``, ``channel``, ``start_s``, ``end_s``, ``peak``.
        settings: Seconds before and after, and the channels.

    Returns:
        The passages with ``from_s`` and ``to_s`` (the excerpt), ``file`` (a name without suffix,
        empty if there is nothing to hear) and ``error`` (why).
    """
    rows = []
    for (call, channel), part in passages.groupby(["call", "channel"], sort=False):
        for number, row in enumerate(part.sort_values("start_s").to_dict("records"), start=1):
            start = max(row["start_s"] - settings.before_s, 0.0)
            end = row["end_s"] + settings.after_s
            file, error = f"{channel_id(str(call), channel)}-{number:02d}", ""
            try:
                samples, rate = read_excerpt(row["path"], start, end)
                end = start + len(samples) / rate
            except AudioError as problem:
                file, error = "", problem.reason
            rows.append(row | {"from_s": start, "to_s": end, "file": file, "error": error})
    columns = ["call", "path", "channel", "start_s", "end_s", "peak"]
    return pd.DataFrame(rows, columns=[*columns, "from_s", "to_s", "file", "error"])


def scored_windows(windows: pd.DataFrame) -> pd.DataFrame:
    """Sort the windows of one channel and remove overlaps.

    Returns:
        The windows by time with ``until_s``: the end of the window or the start of the next one.
    """
    ordered = windows.sort_values("start_s", ignore_index=True)
    following = ordered["start_s"].shift(-1).fillna(np.inf)
    return ordered.assign(until_s=np.minimum(ordered["end_s"], following))


def timeline_picture(
    row: dict[str, object],
    windows: pd.DataFrame,
    passages: pd.DataFrame,
    envelope: pd.DataFrame,
    *,
    target: str = "angry",
) -> Figure:
    """Draw one channel of a call: waveform, score with threshold, and emotions; passages are shaded.

    Args:
        row: Row of the summary; the threshold is drawn if the row has one.
        windows: Windows of the channel.
        passages: Flagged passages of the channel.
        envelope: Waveform of the channel.
        target: The target label.
    """
    figure = Figure(figsize=(12, 6.2), layout="constrained")
    note = " (model of the SYNTHETIC sample corpus)" if row.get("synthetic_model") else ""
    figure.suptitle(
        f"{row['call']}, channel {row['channel']} ({row['channel_role']}): {row['flag']}{note}\n"
        f"{row['reason']}",
        fontsize=10,
        wrap=True,
    )
    sound, score, emotions = figure.subplots(3, 1, sharex=True, height_ratios=[2, 3, 3])
    length = float(row["minutes"]) * 60  # type: ignore[arg-type]
    for axes in (sound, score):
        for passage in passages.itertuples():
            axes.axvspan(passage.start_s, passage.end_s, color=SHADE, zorder=0)
    _draw_envelope(sound, envelope)
    ordered = scored_windows(windows)
    _draw_score(score, ordered, row.get("threshold"), target)
    _draw_emotions(emotions, ordered)
    emotions.set(xlim=(0, length), xlabel="time (minutes:seconds)")
    apart = next((step for step in TICKS if length / step <= 12), TICKS[-1])
    emotions.xaxis.set_major_locator(MultipleLocator(apart))
    emotions.xaxis.set_major_formatter(
        FuncFormatter(lambda seconds, _: format_clock(max(seconds, 0)))
    )
    figure.align_ylabels()
    return figure


def _draw_envelope(axes: Axes, envelope: pd.DataFrame) -> None:
    drawn = envelope.dropna(subset=["low", "high"])
    if drawn.empty:
        errors = envelope["error"].tolist()
        text = f"recording not read: {errors[0]}" if errors else "recording not read"
        axes.text(0.5, 0.5, text, ha="center", transform=axes.transAxes, fontsize=8, wrap=True)
    else:
        middles = (drawn["start_s"] + drawn["end_s"]) / 2
        axes.fill_between(middles, drawn["low"], drawn["high"], color=INK, linewidth=0.3)
        loudest = max(float(drawn[["low", "high"]].abs().max().max()), 0.01)
        axes.set_ylim(-1.05 * loudest, 1.05 * loudest)
    axes.set_ylabel("amplitude")


def _draw_score(axes: Axes, windows: pd.DataFrame, threshold: object, target: str) -> None:
    scored = windows[windows["emotion"].isin(labels_of(windows))]
    axes.hlines(scored["score"], scored["start_s"], scored["until_s"], color=color_of(target), lw=2)
    middles = (scored["start_s"] + scored["until_s"]) / 2
    axes.plot(middles, scored["score"], color=color_of(target), lw=0.8, alpha=0.5)
    if isinstance(threshold, int | float) and not pd.isna(threshold):
        axes.axhline(threshold, color="#333333", linestyle="--", linewidth=1)
        axes.annotate(
            f"threshold {threshold:.2f}",
            (1, threshold),
            xycoords=("axes fraction", "data"),
            xytext=(-3, 3),
            textcoords="offset points",
            ha="right",
            fontsize=8,
        )
    axes.set(ylim=(0, 1), ylabel=f"{target}, smoothed")


def _draw_emotions(axes: Axes, windows: pd.DataFrame) -> None:
    labels = labels_of(windows)
    scored = windows[windows["emotion"].isin(labels)]
    floor = np.zeros(len(scored))
    for label in labels:
        top = floor + scored[PROBABILITY + label].to_numpy()
        _draw_columns(axes, scored, floor, top, facecolor=color_of(label), label=label)
        floor = top
    others = windows[~windows["emotion"].isin(labels)]
    style = {"hatch": "////", "facecolor": "white", "edgecolor": "#bbbbbb", "label": "not scored"}
    _draw_columns(axes, others, np.zeros(len(others)), np.ones(len(others)), **style)
    axes.set(ylim=(0, 1), ylabel="probability")
    axes.legend(ncols=len(labels) + 1, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.28))


def _draw_columns(
    axes: Axes, windows: pd.DataFrame, floor: np.ndarray, top: np.ndarray, **style: Any
) -> None:
    """Draw one column per window as one collection, which is much faster than separate bars."""
    left, right = windows["start_s"].to_numpy(), windows["until_s"].to_numpy()
    corners = [(left, floor), (left, top), (right, top), (right, floor)]
    columns = np.stack([np.stack(corner, axis=1) for corner in corners], axis=1)
    axes.add_collection(PolyCollection(list(columns), **style))
