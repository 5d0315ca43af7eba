"""Timelines of calls: which are shown, what they hold, and how they look as pictures."""

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
from speech_emotion.config import Settings

__all__ = [
    "CallReportSettings",
    "by_channel",
    "channel_id",
    "clock",
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

# Okabe and Ito's colours, which colour-blind readers can tell apart.
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
OTHER_COLOUR: Final = "#8a8a8a"
INK: Final = "#44546a"
SHADE: Final = "#fbd9c6"
TICKS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)


class CallReportSettings(Settings):
    """What can be seen and heard of scored calls.

    Attributes:
        timelines: ``flagged`` draws flagged calls and those to review, ``all`` every one, which reads
            every recording once more and makes a larger page.
        points: Stretches of a drawn waveform, and windows of a timeline on the page, at most.
        before_s: Seconds that are heard before a flagged passage.
        after_s: Seconds that are heard behind it.
        channels: ``all`` channels of the recording are heard, or the ``scored`` one alone.
    """

    timelines: Literal["flagged", "all"] = "flagged"
    points: int = Field(600, ge=20, le=5000)
    before_s: float = Field(2.0, ge=0, le=60)
    after_s: float = Field(1.0, ge=0, le=60)
    channels: Literal["all", "scored"] = "all"


def channel_id(call: str, channel: int) -> str:
    """Return a name for files of one channel of a call: readable, ASCII, and unlike any other."""
    readable = re.sub(r"[^\w.-]+", "_", call, flags=re.ASCII).strip("._")[-60:]
    digest = hashlib.sha256(call.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{readable}-{digest}-{channel}"


def clock(seconds: float) -> str:
    """Write seconds as ``m:ss`` or ``h:mm:ss``; a dash for none."""
    if pd.isna(seconds):
        return "–"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def target_of(summary: pd.DataFrame) -> str:
    """Return the label that was looked for, which names columns of the summary."""
    found = [re.fullmatch(r"first_(.+)_s", str(column)) for column in summary]
    return next((match.group(1) for match in found if match), "angry")


def labels_of(windows: pd.DataFrame) -> list[str]:
    """Return the labels that windows have probabilities of, in their order."""
    columns = [str(column) for column in windows]
    return [name.removeprefix(PROBABILITY) for name in columns if name.startswith(PROBABILITY)]


def color_of(label: str) -> str:
    """Return the colour of a label, the same in pictures and on the page."""
    return COLORS.get(label, OTHER_COLOUR)


def shown_channels(summary: pd.DataFrame, settings: CallReportSettings) -> pd.DataFrame:
    """Return the rows of the summary that get a timeline."""
    if summary.empty or settings.timelines == "all":
        return summary
    return summary[summary["flag"] != CALM]


def by_channel(table: pd.DataFrame) -> dict[tuple[str, int], pd.DataFrame]:
    """Divide a table into the rows of each channel of each call."""
    if table.empty:
        return {}
    groups = table.groupby(["call", "channel"], sort=False)
    return {(str(call), int(channel)): rows for (call, channel), rows in groups}


def read_envelopes(summary: pd.DataFrame, settings: CallReportSettings) -> pd.DataFrame:
    """Read the waveforms of the channels that are shown, block by block.

    Args:
        summary: One row a scored channel.
        settings: Which are shown, and how finely.

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
    """Plan what is cut out of the recordings, and check that it is there.

    Args:
        passages: Flagged passages: ``call``, ``path``, ``channel``, ``start_s``, ``end_s``, ``peak``.
        settings: Seconds before and after, and the channels.

    Returns:
        The passages with ``from_s`` and ``to_s`` (what is heard), ``file`` (a name without suffix,
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
    """Order the windows of one channel and cut their overlaps.

    Returns:
        The windows by time with ``until_s``: where the window ends or the next one starts.
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
    """Draw one channel of a call: waveform, score with threshold, emotions; passages are shaded.

    Args:
        row: Its row of the summary; the threshold is drawn if the row has one.
        windows: Its windows.
        passages: Its flagged passages.
        envelope: Its waveform.
        target: The label that is looked for.
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
    emotions.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: clock(max(seconds, 0))))
    figure.align_ylabels()
    return figure


def _draw_envelope(axes: Axes, envelope: pd.DataFrame) -> None:
    drawn = envelope.dropna(subset=["low", "high"])
    if drawn.empty:
        errors = envelope["error"].tolist()
        said = f"recording not read: {errors[0]}" if errors else "recording not read"
        axes.text(0.5, 0.5, said, ha="center", transform=axes.transAxes, fontsize=8, wrap=True)
    else:
        middles = (drawn["start_s"] + drawn["end_s"]) / 2
        axes.fill_between(middles, drawn["low"], drawn["high"], color=INK, linewidth=0.3)
        loudest = max(float(drawn[["low", "high"]].abs().max().max()), 0.01)
        axes.set_ylim(-1.05 * loudest, 1.05 * loudest)
    axes.set_ylabel("amplitude")


def _draw_score(axes: Axes, windows: pd.DataFrame, threshold: object, target: str) -> None:
    judged = windows[windows["emotion"].isin(labels_of(windows))]
    axes.hlines(judged["score"], judged["start_s"], judged["until_s"], color=color_of(target), lw=2)
    middles = (judged["start_s"] + judged["until_s"]) / 2
    axes.plot(middles, judged["score"], color=color_of(target), lw=0.8, alpha=0.5)
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
    judged = windows[windows["emotion"].isin(labels)]
    floor = np.zeros(len(judged))
    for label in labels:
        top = floor + judged[PROBABILITY + label].to_numpy()
        _draw_columns(axes, judged, floor, top, facecolor=color_of(label), label=label)
        floor = top
    others = windows[~windows["emotion"].isin(labels)]
    style = {"hatch": "////", "facecolor": "white", "edgecolor": "#bbbbbb", "label": "not judged"}
    _draw_columns(axes, others, np.zeros(len(others)), np.ones(len(others)), **style)
    axes.set(ylim=(0, 1), ylabel="probability")
    axes.legend(ncols=len(labels) + 1, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.28))


def _draw_columns(
    axes: Axes, windows: pd.DataFrame, floor: np.ndarray, top: np.ndarray, **style: Any
) -> None:
    """Draw a column a window, all in one piece: bars of their own would take seconds an hour."""
    left, right = windows["start_s"].to_numpy(), windows["until_s"].to_numpy()
    corners = [(left, floor), (left, top), (right, top), (right, floor)]
    columns = np.stack([np.stack(corner, axis=1) for corner in corners], axis=1)
    axes.add_collection(PolyCollection(list(columns), **style))
