"""Score whole calls: voice activity, windows, quality checks, flags, summaries, evaluation."""

from speech_emotion.call_scoring.clock import (
    format_clock,
)
from speech_emotion.call_scoring.evaluation import (
    call_metrics,
    evaluate_calls,
)
from speech_emotion.call_scoring.flags import (
    capacity_threshold,
    flag_again,
    sustained_score,
)
from speech_emotion.call_scoring.line import (
    LineMean,
    mean_of_calls,
)
from speech_emotion.call_scoring.playback import (
    format_window,
    play,
)
from speech_emotion.call_scoring.recordings import find_recordings
from speech_emotion.call_scoring.scoring import (
    CHANNEL_COLUMNS,
    MIXED,
    ScoredCall,
    embed_recording,
    score_blocks,
    score_recording,
    window_columns,
)
from speech_emotion.call_scoring.settings import (
    CallSettings,
    FlagSettings,
)
from speech_emotion.call_scoring.store import (
    UNREAD,
    gather_calls,
    join_tables,
    list_calls,
    store_calls,
    without_empty,
)
from speech_emotion.call_scoring.stream import (
    ChannelStream,
    ScoredWindow,
    threshold_of,
)
from speech_emotion.call_scoring.summary import (
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

__all__ = [
    "CHANNEL_COLUMNS",
    "MIXED",
    "PASSAGES",
    "UNREAD",
    "CallSettings",
    "ChannelStream",
    "FlagSettings",
    "LineMean",
    "ScoredCall",
    "ScoredWindow",
    "SynthesisSettings",
    "SyntheticCall",
    "VoiceActivityDetector",
    "call_metrics",
    "capacity_threshold",
    "embed_recording",
    "evaluate_calls",
    "find_recordings",
    "flag_again",
    "format_clock",
    "format_window",
    "gather_calls",
    "join_tables",
    "list_calls",
    "mean_of_calls",
    "play",
    "score_blocks",
    "score_recording",
    "store_calls",
    "summarize",
    "sustained_score",
    "synthesize_calls",
    "threshold_of",
    "window_columns",
    "without_empty",
]
