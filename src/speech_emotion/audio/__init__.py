"""Decode, encode, augment and cut recordings: plain functions on arrays and files."""

from speech_emotion.audio.augment import (
    NONE,
    TELEPHONE_TRANSFORM,
    TRANSFORMS,
    AugmentationSettings,
    UnknownTransform,
    augment,
    over_telephone,
    plan_augmentation,
)
from speech_emotion.audio.decode import (
    AUDIO_SUFFIXES,
    SILENCE,
    AudioError,
    check_rate,
    load_audio,
    open_sound_file,
    read_samples,
)
from speech_emotion.audio.encode import (
    encode_sound,
    open_sound,
)
from speech_emotion.audio.excerpts import (
    read_envelope,
    read_excerpt,
)
from speech_emotion.audio.trim import (
    HOP,
    WINDOW,
    trim_silence,
)

__all__ = [
    "AUDIO_SUFFIXES",
    "HOP",
    "NONE",
    "SILENCE",
    "TELEPHONE_TRANSFORM",
    "TRANSFORMS",
    "WINDOW",
    "AudioError",
    "AugmentationSettings",
    "UnknownTransform",
    "augment",
    "check_rate",
    "encode_sound",
    "load_audio",
    "open_sound",
    "open_sound_file",
    "over_telephone",
    "plan_augmentation",
    "read_envelope",
    "read_excerpt",
    "read_samples",
    "trim_silence",
]
