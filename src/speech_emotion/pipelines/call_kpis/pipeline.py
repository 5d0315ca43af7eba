"""Calls of a contact center → KPIs of agents and a period: tables, figures, one page."""

from kedro.pipeline import Node, Pipeline

from speech_emotion.pipelines.call_kpis.nodes import (
    compute_kpis,
    draw_comparisons,
    draw_over_time,
    draw_patterns,
    gather_calls,
    select_calls,
    write_kpi_page,
)

FIGURES = (
    "aht_over_time",
    "fcr_over_time",
    "angry_over_time",
    "agents_over_months",
    "handle_time",
    "call_hours",
    "kpis_by_agent",
    "kpis_by_topic",
    "anger_effects",
)
SETTINGS = ["params:kpis", "params:call_selection"]


def gathering() -> Pipeline:
    """Gather the calls: an export or a simulated year, with the emotions of scored recordings."""
    return Pipeline(
        [
            Node(
                gather_calls,
                [
                    "calls_export",
                    "call_summary",
                    "scored_passages",
                    "call_verdicts",
                    "params:calls_export",
                    "params:simulator",
                ],
                ["calls", "rejected_calls"],
                name="gather_calls",
            )
        ],
        tags="calls",
        namespace="calls",
        prefix_datasets_with_namespace=False,
    )


def create_pipeline() -> Pipeline:
    """Compute and draw the KPIs of agents beside their team and the contact center."""
    figures = {name: f"{name}_figure" for name in FIGURES}
    return gathering() + Pipeline(
        [
            Node(select_calls, ["calls", *SETTINGS], "selected_calls", name="select_calls"),
            Node(
                compute_kpis,
                ["selected_calls", *SETTINGS],
                [
                    "call_kpis_table",
                    "call_series_table",
                    "anger_effects_table",
                    "angry_calls_table",
                ],
                name="compute_kpis",
            ),
            Node(
                draw_over_time,
                ["call_series_table", "selected_calls", *SETTINGS],
                [figures[name] for name in FIGURES[:3]],
                name="draw_over_time",
            ),
            Node(
                draw_patterns,
                ["selected_calls", *SETTINGS],
                [figures[name] for name in FIGURES[3:6]],
                name="draw_patterns",
            ),
            Node(
                draw_comparisons,
                ["call_kpis_table", "anger_effects_table", "selected_calls", *SETTINGS],
                [figures[name] for name in FIGURES[6:]],
                name="draw_comparisons",
            ),
            Node(
                write_kpi_page,
                {
                    "calls": "selected_calls",
                    "all_calls": "calls",
                    "rejected": "rejected_calls",
                    "breakdown": "call_kpis_table",
                    "effects": "anger_effects_table",
                    "files": "kpi_files",
                    "settings": "params:kpis",
                    "selection": "params:call_selection",
                }
                | figures,
                "call_kpis_page",
                name="write_kpi_page",
            ),
        ],
        namespace="call_kpis",
        inputs={"calls", "rejected_calls", "kpi_files"},
        outputs={"call_kpis_page", "call_kpis_table"},
        parameters=set(SETTINGS),
        tags="call_kpis",
    )
