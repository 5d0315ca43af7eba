"""A call centre: its calls, their key figures, and how these sound."""

from speech_emotion.calls.centre import (
    CALLS,
    REJECTED_CALLS,
    ExportSettings,
    MissingColumns,
    join_emotions,
    read_export,
)
from speech_emotion.calls.effects import anger_effects
from speech_emotion.calls.generator import GeneratedCentre, generate_calls
from speech_emotion.calls.kpis import (
    CallSelection,
    KpiSettings,
    NoCalls,
    UnknownAgent,
    add_kpi_columns,
    select_period,
)
from speech_emotion.calls.mapping import SoundMapping
from speech_emotion.calls.sound import KpiSound, kpi_sound
from speech_emotion.calls.tables import kpi_breakdown, kpi_series, kpi_table

__all__ = [
    "CALLS",
    "REJECTED_CALLS",
    "CallSelection",
    "ExportSettings",
    "GeneratedCentre",
    "KpiSettings",
    "KpiSound",
    "MissingColumns",
    "NoCalls",
    "SoundMapping",
    "UnknownAgent",
    "add_kpi_columns",
    "anger_effects",
    "generate_calls",
    "join_emotions",
    "kpi_breakdown",
    "kpi_series",
    "kpi_sound",
    "kpi_table",
    "read_export",
    "select_period",
]
