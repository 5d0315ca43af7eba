"""The page of a batch of calls: one row per call; details and sound are loaded when a call is opened."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import pandas as pd

from speech_emotion.call_scoring import CallSettings
from speech_emotion.reporting.calls.playback import script_file
from speech_emotion.reporting.calls.timelines import channel_id, color_of, labels_of, target_of
from speech_emotion.reporting.rendering import page_script, template

__all__ = ["calls_page", "days_page", "row_files", "shown_flags"]

REVIEW: Final = "review"
NOT_FLAGGED: Final = "not_flagged"
INLINE: Final = 500
"""Flagged rows in the page itself; others are in files beside it."""
CHUNK: Final = 5000
"""Rows of a file."""
REJECTED: Final = 200
"""Rejected recordings on the page; the table has all."""
COLUMNS: Final = (
    *("id", "call", "channel", "role", "flag", "score", "first", "longest", "minutes", "talk"),
    *("share", "trend", "emotion", "emotion_share", "reason", "threshold"),
    *("start", "agent", "customer", "queue", "direction"),
)
"""Values of a row, in their order in the page and its files."""
METADATA: Final = ("agent", "customer", "queue", "direction")


def shown_flags(target: str) -> dict[str, str]:
    """Return the flags in their order, with their names on pages.

    Example:
        >>> shown_flags("angry")
        {'angry': 'angry', 'review': 'review', 'not_flagged': 'not flagged'}
    """
    return {target: target, REVIEW: REVIEW, NOT_FLAGGED: "not flagged"}


def calls_page(
    summary: pd.DataFrame, rejected: pd.DataFrame, settings: CallSettings, *, before_s: float = 2.0
) -> str:
    """Render the page. It has the first flagged calls; :func:`row_files` has the others.

    Args:
        summary: One row per scored channel. Columns on model, threshold, started, agent, customer, queue and
            direction are optional.
        rejected: ``call`` and ``reason`` of recordings that were not scored.
        settings: How the calls were scored, which the page explains.
        before_s: Seconds to play before a passage.
    """
    target = target_of(summary)
    names = shown_flags(target)
    flags = summary["flag"] if len(summary) else pd.Series(dtype=str)
    calls = summary.drop_duplicates("call") if len(summary) else summary
    files = [name for name, _ in _chunks(summary)]
    flagged = _sorted(summary[summary["flag"] != NOT_FLAGGED]) if len(summary) else summary
    labels = labels_of(summary, "share_")
    header = _header(summary, settings)
    return template("calls/calls.html.j2").render(
        target=target,
        names=names,
        counts={flag: int((flags == flag).sum()) for flag in names},
        calls=len(calls),
        minutes=float(calls["minutes"].sum()) if len(calls) else 0.0,
        synthetic="synthetic_model" in summary and bool(summary["synthetic_model"].any()),
        agents=len(summary) > 0 and bool((summary["channel_role"] == "agent").any()),
        mono=int((summary["channel_role"] == "mixed").sum()) if len(summary) else 0,
        header=header,
        settings=settings,
        rejected=rejected.head(REJECTED).fillna("").to_dict("records"),
        n_rejected=len(rejected),
        data={
            "target": target,
            "flags": list(names),
            "names": names,
            "labels": labels,
            "colors": {label: color_of(label) for label in labels},
            "columns": COLUMNS,
            "rows": list(_rows(flagged.head(INLINE), target, labels)),
            "flagged": [name for name in files if name.startswith("data/flagged")],
            "others": [name for name in files if name.startswith("data/other")],
            "n_others": int((flags == NOT_FLAGGED).sum()),
            "before": before_s,
        },
        script=page_script("calls/calls.js"),
    )


def days_page(
    counts: Mapping[str, Mapping[str, Any]],
    source: str,
    target: str,
    *,
    model: str,
    synthetic: bool = False,
) -> str:
    """Render the page that links the pages of days.

    Args:
        counts: For each day, the number of ``calls``, of ``rejected`` recordings, and of channels by
            ``flags``.
        source: Folder of the recordings.
        target: Label of flagged calls; days without one have a 0.
        model: Name and version of the model.
        synthetic: Whether the model was trained on synthetic speech.
    """
    days = sorted(counts, reverse=True)
    found = {target, *(flag for day in days for flag in counts[day]["flags"])}
    flags = [*sorted(found - {REVIEW, NOT_FLAGGED}), REVIEW, NOT_FLAGGED]
    names = {NOT_FLAGGED: "not flagged"}
    return template("calls/days.html.j2").render(
        days=[(day, counts[day]) for day in days],
        flags=flags,
        names=[names.get(flag, flag) for flag in flags],
        header={
            "Recordings": source,
            "Model": model,
            "Page made": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        },
        synthetic=synthetic,
    )


def _header(summary: pd.DataFrame, settings: CallSettings) -> dict[str, str]:
    """Return what the scores depend on, by name."""
    header = {}
    starts = set(map(_start, summary.get("started", ()))) - {""}
    if starts:
        first, last = min(starts)[:10], max(starts)[:10]
        header["Calls"] = first if first == last else f"{first} to {last}"
    if "model" in summary and len(summary):
        header["Model"] = ", ".join(sorted(set(summary["model"])))
    if "threshold" in summary and len(summary):
        found = sorted({f"{value:.2g}" for value in summary["threshold"].dropna()})
        header["Flagged from"] = (
            f"score {' or '.join(found)}, {settings.flags.consecutive} in a row"
        )
    header["Windows"] = f"{settings.windows.speech_s:g} s of speech"
    header["Page made"] = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return header


def row_files(summary: pd.DataFrame) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of the files with the rows that are not in the page itself.

    Args:
        summary: One row per scored channel.
    """
    target, labels = target_of(summary), labels_of(summary, "share_")
    for name, part in _chunks(summary):
        yield (
            name,
            script_file(name.removesuffix(".js"), {"rows": list(_rows(part, target, labels))}),
        )


def _chunks(summary: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    if summary.empty:
        return
    flagged = summary["flag"] != NOT_FLAGGED
    parts = {"flagged": _sorted(summary[flagged])[INLINE:], "other": _sorted(summary[~flagged])}
    for kind, part in parts.items():
        for number, start in enumerate(range(0, len(part), CHUNK), start=1):
            yield f"data/{kind}-{number:04d}.js", part.iloc[start : start + CHUNK]


def _sorted(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the rows by flag and score, the highest first."""
    order = {REVIEW: 1, NOT_FLAGGED: 2}
    rank = summary["flag"].map(order).fillna(0)
    ranked = summary.assign(rank=rank).sort_values(
        ["rank", "score"], ascending=[True, False], kind="stable"
    )
    return ranked.drop(columns="rank")


def _rows(summary: pd.DataFrame, target: str, labels: list[str]) -> Iterator[list[Any]]:
    """Yield the values of each row, in the order of :data:`COLUMNS`."""
    for row in summary.to_dict("records"):
        shares = {label: _rounded(row.get(f"share_{label}")) or 0.0 for label in labels}
        likeliest = max(shares, key=lambda label: shares[label], default="")
        has_emotion = shares.get(likeliest, 0.0) > 0
        values = {
            "id": channel_id(str(row["call"]), int(row["channel"])),
            "call": str(row["call"]),
            "channel": int(row["channel"]),
            "role": row["channel_role"],
            "flag": row["flag"],
            "score": _rounded(row["score"]),
            "first": _rounded(row[f"first_{target}_s"], 1),
            "longest": _rounded(row[f"longest_{target}_s"], 1),
            "minutes": _rounded(row["minutes"], 4),
            "talk": _rounded(row["talk_share"]),
            "share": _rounded(row.get(f"share_{target}")),
            "trend": _rounded(row["trend"]),
            "emotion": likeliest if has_emotion else "",
            "emotion_share": shares[likeliest] if has_emotion else None,
            "reason": str(row["reason"]),
            "threshold": _rounded(row.get("threshold")),
            "start": _start(row.get("started")),
        }
        values |= {name: _text(row.get(name)) for name in METADATA}
        yield [values[name] for name in COLUMNS]


def _rounded(value: Any, digits: int = 3) -> float | None:
    return None if value is None or pd.isna(value) else round(float(value), digits)


def _start(value: Any) -> str:
    return f"{pd.Timestamp(value):%Y-%m-%d %H:%M}" if _text(value) else ""


def _text(value: Any) -> str:
    return "" if value is None or pd.isna(value) else str(value)
