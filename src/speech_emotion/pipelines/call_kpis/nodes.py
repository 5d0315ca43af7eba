"""Nodes of a contact center's key figures."""

from __future__ import annotations

import logging
from typing import Final

import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from speech_emotion.contact_center import (
    CallSelection,
    ExportSettings,
    KpiSettings,
    SimulatorSettings,
    add_kpi_columns,
    anger_effects,
    angry_calls,
    attach_recordings,
    choose_grain,
    confirm_anger,
    count_emotions,
    join_emotions,
    kpi_breakdown,
    kpi_series,
    no_rejected_calls,
    read_export,
    select_period,
    simulate_calls,
)
from speech_emotion.reporting.kpis import KpiEvidence, explorer_page, kpi_page
from speech_emotion.reporting.kpis import figures as kpis
from speech_emotion.reporting.kpis import patterns as kpi_patterns
from speech_emotion.runtime import FileStore

REPORTS = "reports"
"""Folder of the reports, one file a selection."""

MANY_REJECTED: Final = 0.01
"""Share of rejected rows from which a warning is shown."""

logger = logging.getLogger(__name__)


def gather_calls(
    export: bytes | None,
    scored: pd.DataFrame | None,
    passages: pd.DataFrame | None,
    verdicts: pd.DataFrame | None,
    reading: ExportSettings,
    simulator: SimulatorSettings,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the export, or simulate a year of calls without one, and join the scored emotions.

    Args:
        export: The file of the export, or ``None`` to simulate calls.
        scored: Summary of scored recordings, or ``None`` if none was scored.
        passages: Their flagged passages, or ``None``.
        verdicts: Verdicts of reviewers, which replace flags, or ``None`` if nothing was reviewed.
        reading: Settings of the export.
        simulator: Settings of the simulated calls.

    Returns:
        The calls, and the rejected rows of the export.
    """
    if scored is not None:
        scored = confirm_anger(scored, passages, verdicts)
    if export is None:
        calls, rejected = attach_recordings(simulate_calls(simulator), scored), no_rejected_calls()
    else:
        calls, rejected = read_export(export, reading, scored=scored)
        _check_rejected(calls, rejected)
    calls = join_emotions(calls, scored)
    emotions = count_emotions(calls)
    if (
        scored is not None
        and emotions["recording"] + emotions["verdict"] < scored["call"].nunique()
    ):
        logger.warning(
            "%d recordings were scored, but only %d calls name one of them: by the column recording, "
            "or by a call_id that calls.metadata or calls.name_pattern gave to the recording",
            scored["call"].nunique(),
            emotions["recording"] + emotions["verdict"],
        )
    if scored is not None and "synthetic_model" in scored and scored["synthetic_model"].any():
        logger.warning(
            "Recordings were scored by a model of the SYNTHETIC sample corpus: their emotions mean "
            "nothing. Score them with one of real corpora (--env full)"
        )
    logger.info(
        "%d calls%s, %d rows rejected; emotions: %d by verdicts, %d from recordings, %d generated, "
        "%d unknown",
        len(calls),
        " (GENERATED)" if export is None else "",
        len(rejected),
        *emotions.values(),
    )
    return calls, rejected


def _check_rejected(calls: pd.DataFrame, rejected: pd.DataFrame) -> None:
    """Refuse an export without a usable row, and warn if many rows are rejected."""
    if rejected.empty:
        return
    first = f"line {rejected['line'].iloc[0]}: {rejected['reason'].iloc[0]}"
    if calls.empty:
        raise ValueError(
            f"None of the {len(rejected)} rows of the export can be used; the first: {first}"
        )
    if len(rejected) > MANY_REJECTED * (len(calls) + len(rejected)):
        logger.warning(
            "%d of %d rows of the export are rejected; the first: %s",
            len(rejected),
            len(calls) + len(rejected),
            first,
        )


def select_calls(
    calls: pd.DataFrame, settings: KpiSettings, selection: CallSelection
) -> pd.DataFrame:
    """Select the calls of the period, of all agents, and add the columns that KPIs need."""
    return select_period(add_kpi_columns(calls, settings), selection)


def compute_kpis(
    calls: pd.DataFrame, settings: KpiSettings, selection: CallSelection
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Compute KPIs by dimension and over time, effects of anger, and the list of angry calls."""
    return (
        kpi_breakdown(calls, selection.agents, settings, team=selection.team or ""),
        kpi_series(
            calls,
            selection.agents,
            choose_grain(calls, selection),
            settings,
            team=selection.team or "",
        ),
        anger_effects(calls, settings),
        angry_calls(calls, selection.agents, settings, team=selection.team or ""),
    )


def draw_over_time(
    series: pd.DataFrame, calls: pd.DataFrame, settings: KpiSettings, selection: CallSelection
) -> tuple[go.Figure, go.Figure, go.Figure]:
    """Draw AHT, FCR and angry share over time, of the agents against team and center."""
    grain, note = choose_grain(calls, selection), kpis.calls_note(calls)
    aht, fcr, angry = (
        kpis.over_time_figure(series, kpi, grain, settings, note=note)
        for kpi in ("aht", "fcr", "angry")
    )
    return aht, fcr, angry


def draw_patterns(
    calls: pd.DataFrame, settings: KpiSettings, selection: CallSelection
) -> tuple[go.Figure, go.Figure, go.Figure]:
    """Draw agents over the months, handling times, and hours by weekday."""
    note, selected = kpis.calls_note(calls), selection.of(calls)
    outlined = list(kpis.agent_colors(calls, selection))
    return (
        kpi_patterns.motion_figure(calls, outlined, settings, note=note),
        kpi_patterns.handle_time_figure(
            calls, selection.agents, team=selection.team or "", note=note
        ),
        kpi_patterns.hours_figure(
            selected,
            settings,
            selected=selection.title,
            note=kpis.calls_note(selected),
        ),
    )


def draw_comparisons(
    breakdown: pd.DataFrame,
    effects: pd.DataFrame,
    calls: pd.DataFrame,
    settings: KpiSettings,
    selection: CallSelection,
) -> tuple[go.Figure, go.Figure, go.Figure]:
    """Draw agents and topics beside each other, and the effects of anger."""
    note, colors = kpis.calls_note(calls), kpis.agent_colors(calls, selection)
    return (
        kpis.groups_figure(breakdown, "agent", settings, colors=colors, note=note),
        kpis.groups_figure(breakdown, "topic", settings, note=note),
        kpis.effects_figure(effects, note=f"{note}; {kpis.emotions_note(calls)}"),
    )


def write_kpi_page(
    calls: pd.DataFrame,
    all_calls: pd.DataFrame,
    rejected: pd.DataFrame,
    breakdown: pd.DataFrame,
    effects: pd.DataFrame,
    files: FileStore,
    settings: KpiSettings,
    selection: CallSelection,
    **figures: go.Figure,
) -> str:
    """Write the report of the selection beside those of others, and render the page that links all.

    Args:
        calls: Selected calls.
        all_calls: Calls of all days; the page that links all reports shows any of their months.
        rejected: Rows of the export that were left out.
        breakdown: KPIs by all dimensions.
        effects: Effects of anger.
        files: Folder of the page.
        settings: Settings of the KPIs.
        selection: Agents or team, and period.
        figures: Plotly figures, by the names of their sections.
    """
    evidence = KpiEvidence(
        calls=calls,
        rejected=rejected,
        breakdown=breakdown,
        effects=effects,
        # Not as stored: a CSV file does not tell agent 007 from agent 7.
        angry_calls=angry_calls(calls, selection.agents, settings, team=selection.team or ""),
        selection=selection,
        settings=settings,
    )
    files.put(f"{REPORTS}/{evidence.name}.html", kpi_page(evidence, figures).encode())
    files.put(f"{REPORTS}/plotly.js", get_plotlyjs().encode())
    reports = {name.removeprefix(f"{REPORTS}/") for name in files.names(REPORTS)}
    names = {name.removesuffix(".html") for name in reports if name.endswith(".html")}
    return explorer_page(add_kpi_columns(all_calls, settings), settings, names, selection)
