"""Find, decode, encode, augment and cut recordings: plain functions on arrays and files."""

from speech_emotion.audio.augment import (
    NONE,
    TELEPHONE_TEST,
    TRANSFORMS,
    AugmentationSettings,
    UnknownTransform,
    augment,
    line_of_test,
    over_test_lines,
    over_training_lines,
    pink_noise,
    plan_augmentation,
)
from speech_emotion.audio.codecs import CODEC_SUFFIXES, has_codecs
from speech_emotion.audio.decode import (
    AUDIO_SUFFIXES,
    SILENCE,
    AudioError,
    Recording,
    SoundLimits,
    check_rate,
    load_audio,
    open_recording,
    read_samples,
)
from speech_emotion.audio.discovery import FoundRecordings, find_audio
from speech_emotion.audio.encode import (
    encode_sound,
    open_sound,
)
from speech_emotion.audio.excerpts import (
    read_envelope,
    read_excerpt,
)
from speech_emotion.audio.segments import (
    Segment,
    split_segment,
    with_segment,
)
from speech_emotion.audio.telephone import (
    LINES,
    TELEPHONE_RATE,
    TEST_LINES,
    TRAINING_LINE,
    BandFilter,
    LineUnavailable,
    TelephoneLine,
    UnknownLine,
    draw_line,
    send_over_line,
)
from speech_emotion.audio.trim import (
    HOP,
    WINDOW,
    trim_silence,
)

__all__ = [
    "AUDIO_SUFFIXES",
    "CODEC_SUFFIXES",
    "HOP",
    "LINES",
    "NONE",
    "SILENCE",
    "TELEPHONE_RATE",
    "TELEPHONE_TEST",
    "TEST_LINES",
    "TRAINING_LINE",
    "TRANSFORMS",
    "WINDOW",
    "AudioError",
    "AugmentationSettings",
    "BandFilter",
    "FoundRecordings",
    "LineUnavailable",
    "Recording",
    "Segment",
    "SoundLimits",
    "TelephoneLine",
    "UnknownLine",
    "UnknownTransform",
    "augment",
    "check_rate",
    "draw_line",
    "encode_sound",
    "find_audio",
    "has_codecs",
    "line_of_test",
    "load_audio",
    "open_recording",
    "open_sound",
    "over_test_lines",
    "over_training_lines",
    "pink_noise",
    "plan_augmentation",
    "read_envelope",
    "read_excerpt",
    "read_samples",
    "send_over_line",
    "split_segment",
    "trim_silence",
    "with_segment",
]
