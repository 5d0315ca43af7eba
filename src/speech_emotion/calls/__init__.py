"""Whole calls: find speech, score it over time, flag passages, test on calls of known truth."""

from speech_emotion.calls.activity import ActivityDetector
from speech_emotion.calls.recordings import SUFFIXES, find_recordings, open_recording
from speech_emotion.calls.scoring import (
    FACTS,
    ScoredCall,
    score_blocks,
    score_recording,
    window_columns,
)
from speech_emotion.calls.settings import CallSettings
from speech_emotion.calls.stream import ChannelStream, ScoredWindow, judge_of, threshold_of
from speech_emotion.calls.summary import PASSAGES, summarize
from speech_emotion.calls.synthesis import SynthesisSettings, TestCall, synthesize_calls

__all__ = [
    "FACTS",
    "PASSAGES",
    "SUFFIXES",
    "ActivityDetector",
    "CallSettings",
    "ChannelStream",
    "ScoredCall",
    "ScoredWindow",
    "SynthesisSettings",
    "TestCall",
    "find_recordings",
    "judge_of",
    "open_recording",
    "score_blocks",
    "score_recording",
    "summarize",
    "synthesize_calls",
    "threshold_of",
    "window_columns",
]
