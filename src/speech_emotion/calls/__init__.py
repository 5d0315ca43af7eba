"""Calls: find speech, score and flag it; a call centre's key figures, and how these sound."""

from speech_emotion.calls.activity import ActivityDetector
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
from speech_emotion.calls.recordings import SUFFIXES, find_recordings, open_recording
from speech_emotion.calls.scoring import (
    FACTS,
    ScoredCall,
    score_blocks,
    score_recording,
    window_columns,
)
from speech_emotion.calls.settings import CallSettings
from speech_emotion.calls.sound import KpiSound, kpi_sound
from speech_emotion.calls.stream import ChannelStream, ScoredWindow, threshold_of
from speech_emotion.calls.summary import PASSAGES, summarize
from speech_emotion.calls.synthesis import SynthesisSettings, TestCall, synthesize_calls
from speech_emotion.calls.tables import kpi_breakdown, kpi_series, kpi_table

__all__ = [
    "CALLS",
    "FACTS",
    "PASSAGES",
    "REJECTED_CALLS",
    "SUFFIXES",
    "ActivityDetector",
    "CallSelection",
    "CallSettings",
    "ChannelStream",
    "ExportSettings",
    "GeneratedCentre",
    "KpiSettings",
    "KpiSound",
    "MissingColumns",
    "NoCalls",
    "ScoredCall",
    "ScoredWindow",
    "SoundMapping",
    "SynthesisSettings",
    "TestCall",
    "UnknownAgent",
    "add_kpi_columns",
    "anger_effects",
    "find_recordings",
    "generate_calls",
    "join_emotions",
    "kpi_breakdown",
    "kpi_series",
    "kpi_sound",
    "kpi_table",
    "open_recording",
    "read_export",
    "score_blocks",
    "score_recording",
    "select_period",
    "summarize",
    "synthesize_calls",
    "threshold_of",
    "window_columns",
]
