"""Reports on scored calls: page, timelines, figures."""

from speech_emotion.reporting.calls.figures import (
    call_evaluation_figure,
)
from speech_emotion.reporting.calls.page import (
    calls_page,
)
from speech_emotion.reporting.calls.timelines import (
    CallReportSettings,
    by_channel,
    channel_id,
    excerpt_table,
    read_envelopes,
    shown_channels,
    target_of,
    timeline_picture,
)

__all__ = [
    "CallReportSettings",
    "by_channel",
    "call_evaluation_figure",
    "calls_page",
    "channel_id",
    "excerpt_table",
    "read_envelopes",
    "shown_channels",
    "target_of",
    "timeline_picture",
]
