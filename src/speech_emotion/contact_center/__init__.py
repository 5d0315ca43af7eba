"""A contact center: table of calls, KPIs, effects of anger, simulator, sonification."""

from speech_emotion.contact_center.calls_table import (
    CALLS,
    REJECTED_CALLS,
    ExportSettings,
    MissingColumns,
    count_emotions,
    join_emotions,
    no_rejected_calls,
    read_export,
)
from speech_emotion.contact_center.confirmed_anger import confirm_anger
from speech_emotion.contact_center.effects import (
    OUTCOMES,
    anger_effects,
    cohens_h,
)
from speech_emotion.contact_center.kpi_tables import (
    SHARES,
    angry_calls,
    calls_by_scope,
    kpi_breakdown,
    kpi_series,
    kpi_table,
)
from speech_emotion.contact_center.kpis import (
    CallSelection,
    KpiSettings,
    NoCalls,
    UnknownAgent,
    add_kpi_columns,
    choose_grain,
    select_period,
)
from speech_emotion.contact_center.simulator import (
    SimulatorSettings,
    attach_recordings,
    simulate_calls,
)
from speech_emotion.contact_center.sonification import (
    KpiSound,
    SonificationSettings,
    kpi_sound,
)
from speech_emotion.contact_center.sound_mapping import (
    SoundMapping,
    bin_of_note,
    note_name,
    scale_notes,
)

__all__ = [
    "CALLS",
    "OUTCOMES",
    "REJECTED_CALLS",
    "SHARES",
    "CallSelection",
    "ExportSettings",
    "KpiSettings",
    "KpiSound",
    "MissingColumns",
    "NoCalls",
    "SimulatorSettings",
    "SonificationSettings",
    "SoundMapping",
    "UnknownAgent",
    "add_kpi_columns",
    "anger_effects",
    "angry_calls",
    "attach_recordings",
    "bin_of_note",
    "calls_by_scope",
    "choose_grain",
    "cohens_h",
    "confirm_anger",
    "count_emotions",
    "join_emotions",
    "kpi_breakdown",
    "kpi_series",
    "kpi_sound",
    "kpi_table",
    "no_rejected_calls",
    "note_name",
    "read_export",
    "scale_notes",
    "select_period",
    "simulate_calls",
]
