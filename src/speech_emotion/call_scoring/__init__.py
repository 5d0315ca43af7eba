"""Score whole calls: voice activity, windows, quality checks, flags, summaries, evaluation."""

from speech_emotion.call_scoring.evaluation import (
    call_metrics,
    evaluate_calls,
    known_windows,
    score_test_calls,
)
from speech_emotion.call_scoring.flags import (
    capacity_threshold,
    flag_again,
    sustained_score,
)
from speech_emotion.call_scoring.inspection import (
    Inspection,
    Party,
    inspect_blocks,
    inspect_recording,
)
from speech_emotion.call_scoring.line import (
    LineMean,
    mean_of_calls,
)
from speech_emotion.call_scoring.metadata import (
    collect_metadata,
)
from speech_emotion.call_scoring.playback import (
    format_window,
    play,
)
from speech_emotion.call_scoring.recordings import find_recordings
from speech_emotion.call_scoring.roles import (
    AGENT,
    CUSTOMER,
    MIXED,
    UNKNOWN,
    Roles,
    assign_roles,
    find_agent_voices,
)
from speech_emotion.call_scoring.sample_calls import (
    write_dialogue,
    write_sample_calls,
)
from speech_emotion.call_scoring.scoring import (
    CHANNEL_COLUMNS,
    ScoredCall,
    embed_inspected,
    score_blocks,
    score_inspected,
    score_recording,
    window_columns,
)
from speech_emotion.call_scoring.separation import (
    evaluate_separation,
    separation_metrics,
)
from speech_emotion.call_scoring.settings import (
    CALL_FIELDS,
    CallSettings,
    FlagSettings,
)
from speech_emotion.call_scoring.speakers import (
    VoiceModel,
    voice_of,
)
from speech_emotion.call_scoring.steps import (
    collect_calls,
    estimate_line,
    identify_customers,
    index_recordings,
    inspect_calls,
    read_metadata,
    score_calls,
    scores_depend_on,
    stored_line,
    unread_calls,
)
from speech_emotion.call_scoring.store import (
    compact_calls,
    gather_calls,
    join_tables,
    list_calls,
    list_inspections,
    load_inspections,
    store_calls,
    store_inspections,
    without_empty,
)
from speech_emotion.call_scoring.stream import (
    ChannelStream,
    ScoredWindow,
    threshold_of,
)
from speech_emotion.call_scoring.summary import (
    OLD_FLAGS,
    PASSAGES,
    summarize,
)
from speech_emotion.call_scoring.synthetic_calls import (
    SynthesisSettings,
    SyntheticCall,
    synthesize_calls,
)
from speech_emotion.call_scoring.voice_activity import (
    VoiceActivityDetector,
)
from speech_emotion.call_scoring.voice_models import fit_mfcc_voices

__all__ = [
    "AGENT",
    "CALL_FIELDS",
    "CHANNEL_COLUMNS",
    "CUSTOMER",
    "MIXED",
    "OLD_FLAGS",
    "PASSAGES",
    "UNKNOWN",
    "CallSettings",
    "ChannelStream",
    "FlagSettings",
    "Inspection",
    "LineMean",
    "Party",
    "Roles",
    "ScoredCall",
    "ScoredWindow",
    "SynthesisSettings",
    "SyntheticCall",
    "VoiceActivityDetector",
    "VoiceModel",
    "assign_roles",
    "call_metrics",
    "capacity_threshold",
    "collect_calls",
    "collect_metadata",
    "compact_calls",
    "embed_inspected",
    "estimate_line",
    "evaluate_calls",
    "evaluate_separation",
    "find_agent_voices",
    "find_recordings",
    "fit_mfcc_voices",
    "flag_again",
    "format_window",
    "gather_calls",
    "identify_customers",
    "index_recordings",
    "inspect_blocks",
    "inspect_calls",
    "inspect_recording",
    "join_tables",
    "known_windows",
    "list_calls",
    "list_inspections",
    "load_inspections",
    "mean_of_calls",
    "play",
    "read_metadata",
    "score_blocks",
    "score_calls",
    "score_inspected",
    "score_recording",
    "score_test_calls",
    "scores_depend_on",
    "separation_metrics",
    "store_calls",
    "store_inspections",
    "stored_line",
    "summarize",
    "sustained_score",
    "synthesize_calls",
    "threshold_of",
    "unread_calls",
    "voice_of",
    "window_columns",
    "without_empty",
    "write_dialogue",
    "write_sample_calls",
]
