"""Nodes of the call report: waveforms, passages to hear, timelines."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from speech_emotion.audio import read_excerpt
from speech_emotion.datasets.audio import Sound
from speech_emotion.reporting.calls import (
    CallReportSettings,
    by_channel,
    channel_id,
    excerpt_table,
    read_envelopes,
    shown_channels,
    target_of,
    timeline_picture,
)


def read_waveforms(summary: pd.DataFrame, settings: CallReportSettings) -> pd.DataFrame:
    """Read the waveform envelopes of the recordings that the page shows."""
    return read_envelopes(summary, settings)


def cut_passages(
    passages: pd.DataFrame, settings: CallReportSettings
) -> tuple[dict[str, Callable[[], Sound]], pd.DataFrame]:
    """Cut the flagged passages out of their recordings; each is read when it is written."""
    table = excerpt_table(passages, settings)
    sounds: dict[str, Callable[[], Sound]] = {
        row.file: partial(
            _cut,
            row.path,
            row.from_s,
            row.to_s,
            row.channel if settings.channels == "scored" else None,
        )
        for row in table[table["file"] != ""].itertuples()
    }
    return sounds, table


def _cut(path: str, start_s: float, end_s: float, channel: int | None) -> Sound:
    return Sound(*read_excerpt(path, start_s, end_s, channel=channel))


def draw_timelines(
    summary: pd.DataFrame,
    windows: pd.DataFrame,
    passages: pd.DataFrame,
    envelopes: pd.DataFrame,
    settings: CallReportSettings,
) -> dict[str, Callable[[], Figure]]:
    """Draw the timeline of each channel that the page shows; a figure is drawn when it is saved."""
    tables = [(table, by_channel(table)) for table in (windows, passages, envelopes)]
    pictures: dict[str, Callable[[], Figure]] = {}
    for row in shown_channels(summary, settings).to_dict("records"):
        key = (row["call"], row["channel"])
        tables_of_channel = [groups.get(key, table.iloc[:0]) for table, groups in tables]
        drawn = partial(timeline_picture, row, *tables_of_channel, target=target_of(summary))
        pictures[channel_id(*key)] = drawn
    return pictures
