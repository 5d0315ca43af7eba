"""Reports on scored calls: page, players, timelines, figures."""

from speech_emotion.reporting.calls.figures import (
    call_evaluation_figure,
)
from speech_emotion.reporting.calls.folder import (
    encode_sounds,
    write_details,
    write_page,
)
from speech_emotion.reporting.calls.page import (
    calls_page,
    days_page,
    row_files,
    shown_flags,
)
from speech_emotion.reporting.calls.playback import (
    Playback,
    encode_playback,
    playback_files,
    playback_name,
    script_file,
)
from speech_emotion.reporting.calls.timelines import (
    CallReportSettings,
    call_details,
    channel_id,
    color_of,
    labels_of,
    target_of,
    windows_of_channels,
)

__all__ = [
    "CallReportSettings",
    "Playback",
    "call_details",
    "call_evaluation_figure",
    "calls_page",
    "channel_id",
    "color_of",
    "days_page",
    "encode_playback",
    "encode_sounds",
    "labels_of",
    "playback_files",
    "playback_name",
    "row_files",
    "script_file",
    "shown_flags",
    "target_of",
    "windows_of_channels",
    "write_details",
    "write_page",
]
