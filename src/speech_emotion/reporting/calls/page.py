"""The HTML page of a batch of calls: flags, reasons, timelines and excerpts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from speech_emotion.reporting.calls.timelines import (
    PROBABILITY,
    CallReportSettings,
    by_channel,
    channel_id,
    color_of,
    labels_of,
    scored_windows,
    shown_channels,
    target_of,
)
from speech_emotion.reporting.rendering import read_template, template

__all__ = ["calls_page"]

ORDER = {"review": 1, "calm": 2}
"""Order of the flags after the target label."""


def calls_page(
    summary: pd.DataFrame,
    windows: pd.DataFrame,
    excerpts: pd.DataFrame,
    envelopes: pd.DataFrame,
    rejected: pd.DataFrame,
    settings: CallReportSettings,
    *,
    sounds: str = "passages",
) -> str:
    """Render the page as one HTML file; only the excerpts are separate files.

    The page contains the numbers of each timeline (about 15 kB per call) and draws a timeline when its
    call is opened. Excerpts are separate files because embedded audio would slow the page down.

    Args:
        summary: One row per scored channel. The column ``threshold`` is optional.
        windows: Scored windows.
        excerpts: Flagged passages, see :func:`speech_emotion.reporting.calls.timelines.excerpt_table`.
        envelopes: Waveforms, see :func:`speech_emotion.reporting.calls.timelines.read_envelopes`.
        rejected: ``call`` and ``reason`` of recordings that were not scored.
        settings: Selection of calls with a timeline.
        sounds: Folder of the excerpts, relative to the page.
    """
    target, labels = target_of(summary), labels_of(windows)
    order = {target: 0} | ORDER
    ranked = summary
    if len(summary):
        ranked = summary.assign(rank=summary["flag"].map(order).fillna(len(order)).astype(int))
        ranked = ranked.sort_values(["rank", "score"], ascending=[True, False], kind="stable")
    shown = {(row.call, row.channel) for row in shown_channels(summary, settings).itertuples()}
    excerpts_of, windows_of = by_channel(excerpts), by_channel(windows)
    envelopes_of = by_channel(envelopes)
    rows, timelines = [], {}
    for record in ranked.to_dict("records"):
        call, channel = str(record["call"]), int(record["channel"])
        key, place = channel_id(call, channel), (call, channel)
        first, longest = record[f"first_{target}_s"], record[f"longest_{target}_s"]
        rows.append(record | {"id": key, "first": first, "longest": longest})
        timelines[key] = {
            "seconds": round(float(record["minutes"]) * 60, 2),
            "threshold": _rounded(record.get("threshold")),
            "shares": {label: _rounded(record.get(f"share_{label}")) for label in labels},
            "passages": _passages(excerpts_of.get(place, excerpts.iloc[:0]), sounds),
        }
        if place in shown:
            scored = windows_of.get(place, windows.iloc[:0])
            timelines[key] |= _windows(scored, labels, settings.points)
            timelines[key]["envelope"] = _envelope(envelopes_of.get(place, envelopes.iloc[:0]))
    flags = [target, "review", "calm"]
    counts = {flag: sum(row["flag"] == flag for row in rows) for flag in flags}
    return template("calls/calls.html.j2").render(
        target=target,
        rows=rows,
        counts=counts,
        synthetic="synthetic_model" in summary and bool(summary["synthetic_model"].any()),
        ranks=order,
        calls=len({row["call"] for row in rows}),
        minutes=sum(row["minutes"] for row in {row["call"]: row for row in rows}.values()),
        agents=any(row["channel_role"] == "agent" for row in rows),
        mono=sum(row["channel_role"] == "mixed" for row in rows),
        rejected=rejected.fillna("").to_dict("records"),
        data={
            "target": target,
            "colors": {label: color_of(label) for label in labels},
            "calls": timelines,
        },
        script=read_template("calls/calls.js"),
    )


def _rounded(value: Any, digits: int = 3) -> float | None:
    return None if value is None or pd.isna(value) else round(float(value), digits)


def _text(value: Any) -> str:
    """Return the text of a CSV cell, empty for a missing value."""
    return "" if pd.isna(value) else str(value)


def _passages(excerpts: pd.DataFrame, sounds: str) -> list[dict[str, Any]]:
    columns = ("start_s", "end_s", "from_s", "to_s", "peak")
    return [
        {name: _rounded(row[name], 2) for name in columns}
        | {
            "source": f"{sounds}/{row['file']}.wav" if _text(row["file"]) else "",
            "error": _text(row["error"]),
        }
        for row in excerpts.to_dict("records")
    ]


def _windows(windows: pd.DataFrame, labels: list[str], most: int) -> dict[str, Any]:
    """Return windows as lists of whole percents; neighbors are merged to at most ``most`` windows.

    A merged window has the highest score of its windows, so that the cause of each flag is shown.
    """
    ordered = scored_windows(windows)
    each = max(-(-len(ordered) // most), 1)
    aggregated = {"start_s": "min", "until_s": "max", "score": "max"}
    aggregated |= {PROBABILITY + label: "mean" for label in labels}
    joined = ordered.groupby(np.arange(len(ordered)) // each).agg(aggregated)
    scored_rows = joined[[PROBABILITY + label for label in labels]].notna().all(axis=1)
    return {
        "starts": joined["start_s"].round(1).tolist(),
        "ends": joined["until_s"].round(1).tolist(),
        "scores": _percents(joined["score"].where(scored_rows)),
        "probabilities": [_percents(joined[PROBABILITY + label]) for label in labels],
    }


def _envelope(envelope: pd.DataFrame) -> dict[str, Any]:
    drawn = envelope.dropna(subset=["low", "high"])
    if drawn.empty:
        errors = envelope["error"].tolist()
        return {"error": errors[0] if errors else "was not read"}
    return {"low": _percents(drawn["low"]), "high": _percents(drawn["high"])}


def _percents(values: pd.Series) -> list[int | None]:
    return [None if pd.isna(value) else round(100 * value) for value in values]
