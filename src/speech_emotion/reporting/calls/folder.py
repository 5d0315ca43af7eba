"""The folder of a page of calls: sounds to play, timelines, rows."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd
from tqdm import tqdm

from speech_emotion.call_scoring import OLD_FLAGS, CallSettings
from speech_emotion.reporting.calls.page import calls_page, row_files
from speech_emotion.reporting.calls.playback import playback_files, playback_name, script_file
from speech_emotion.reporting.calls.timelines import (
    CallReportSettings,
    call_details,
    channel_id,
    labels_of,
    target_of,
    windows_of_channels,
)
from speech_emotion.runtime import FileStore, fan_out

__all__ = ["encode_sounds", "write_details", "write_page"]

logger = logging.getLogger(__name__)

SOUNDS, DETAILS, ROWS = "sounds", "details", "data"


def encode_sounds(
    summary: pd.DataFrame | None,
    files: FileStore,
    settings: CallReportSettings,
    scoring: CallSettings,
) -> pd.DataFrame:
    """Compress the recordings of the calls into the folder of the page.

    Recordings that were compressed before are not read again; files of other calls are deleted.

    Returns:
        ``call``, ``channel``, ``name`` of the files without suffix (empty if there are none) and
        ``error`` (why).

    Raises:
        ValueError: If no call was scored, so that there is no summary.
    """
    if summary is None:
        raise ValueError(
            "No call was scored in this data folder: run the pipeline call_scoring with --params "
            "recordings_dir=PATH first"
        )
    table = pd.DataFrame(
        [_named(row, settings) for row in _played(summary, settings).itertuples()],
        columns=["call", "path", "channel", "played_channel", "name", "error"],
    )
    stored = files.names(SOUNDS)
    wanted = table[table["name"] != ""].drop_duplicates("name")
    missing = wanted[~(wanted["name"] + ".mp3").isin(stored)]
    calls = missing[["name", "path", "played_channel"]].itertuples(index=False, name=None)
    encoded = fan_out(_encode, calls, shared=(settings.points,), n_jobs=scoring.n_jobs)
    failed = {}
    progress = tqdm(encoded, total=len(missing), desc="Compressing calls", disable=missing.empty)
    for name, (written, error) in zip(missing["name"], progress, strict=True):
        for file, content in written.items():
            files.put(file, content)
        if error:
            failed[name] = error
    kept = {name + suffix for name in wanted["name"] for suffix in (".mp3", ".js")}
    for name in stored - kept:
        files.remove(name)
    if failed:
        logger.warning("%d recordings cannot be played: the page says why", len(failed))
    table["error"] = [
        failed.get(name, error) for name, error in zip(table["name"], table["error"], strict=True)
    ]
    table.loc[table["name"].isin(failed), "name"] = ""
    return table[["call", "channel", "name", "error"]].astype({"name": "str", "error": "str"})


def _played(summary: pd.DataFrame, settings: CallReportSettings) -> pd.DataFrame:
    if summary.empty or settings.sounds == "none":
        return summary.iloc[:0]
    unflagged = summary["flag"].isin(("not_flagged", *OLD_FLAGS))
    return summary[~unflagged] if settings.sounds == "flagged" else summary


def _named(row: Any, settings: CallReportSettings) -> tuple[str, str, int, int | None, str, str]:
    channel = int(row.channel) if settings.channels == "scored" else None
    name = error = ""
    try:
        name = playback_name(row.path, channel, settings.points)
    except OSError as problem:
        error = problem.strerror.lower() if problem.strerror else str(problem)
    return row.call, row.path, int(row.channel), channel, name, error


def _encode(
    name: str, path: str, channel: float | None, points: int
) -> tuple[dict[str, bytes], str]:
    played = None if channel is None or pd.isna(channel) else int(channel)
    return playback_files(name, path, played, points)


def write_details(
    summary: pd.DataFrame,
    windows: Iterable[pd.DataFrame],
    passages: pd.DataFrame,
    sounds: pd.DataFrame,
    files: FileStore,
    settings: CallReportSettings,
) -> None:
    """Write the timeline of each call into the folder of the page; windows are read block by block."""
    stored, written = files.names(DETAILS), set()
    for name, content in _details(summary, windows, passages, sounds, settings):
        files.put(f"{name}.js", script_file(name, content))
        written.add(f"{name}.js")
    for name in stored - written:
        files.remove(name)


def _details(
    summary: pd.DataFrame,
    windows: Iterable[pd.DataFrame],
    passages: pd.DataFrame,
    sounds: pd.DataFrame,
    settings: CallReportSettings,
) -> Iterator[tuple[str, dict]]:
    target = target_of(summary)
    labels = labels_of(summary, "share_")
    nothing = pd.DataFrame(
        columns=["start_s", "end_s", "score", *(f"p_{label}" for label in labels)], dtype=float
    )
    rows = {(str(row["call"]), int(row["channel"])): row for row in summary.to_dict("records")}
    sound_of = {(str(row.call), int(row.channel)): row for row in sounds.itertuples()}
    by_channel = {
        (str(call), int(channel)): found
        for (call, channel), found in passages.groupby(["call", "channel"])
    }
    waiting = dict(rows)

    def detail(key: tuple[str, int], of_channel: pd.DataFrame) -> tuple[str, dict]:
        identifier = channel_id(*key)
        found = by_channel.get(key, passages.iloc[:0])
        content = call_details(of_channel, found, labels, target, points=settings.points)
        sound = sound_of.get(key)
        row = rows[key]
        content |= {
            "seconds": round(float(row["minutes"]) * 60, 2),
            "shares": {  # missing without any window
                label: round(float(row[f"share_{label}"]), 3)
                for label in labels
                if pd.notna(row[f"share_{label}"])
            },
            "sound": sound.name if sound else "",
            "error": sound.error if sound else "",
        }
        return f"{DETAILS}/{identifier.rsplit('-', 2)[-2][:2]}/{identifier}", content

    for key, of_channel in windows_of_channels(windows):
        if waiting.pop(key, None) is not None:
            yield detail(key, of_channel)
    for key in waiting:  # without any window
        yield detail(key, nothing)


def write_page(
    summary: pd.DataFrame,
    rejected: pd.DataFrame,
    files: FileStore,
    settings: CallReportSettings,
    scoring: CallSettings,
) -> str:
    """Write the rows of the page into its folder, and render the page."""
    summary = summary.assign(flag=summary["flag"].replace(OLD_FLAGS))
    stored, written = files.names(ROWS), set()
    for name, content in row_files(summary):
        files.put(name, content)
        written.add(name)
    for name in stored - written:
        files.remove(name)
    return calls_page(summary, rejected, scoring, before_s=settings.before_s)
