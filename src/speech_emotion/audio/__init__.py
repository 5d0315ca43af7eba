"""Sound: decode, transform, describe. Plain functions on arrays."""

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
from speech_emotion.audio.batch import extract_batch
from speech_emotion.audio.encoded import encode_sound, open_sound
from speech_emotion.audio.excerpts import read_envelope, read_excerpt
from speech_emotion.audio.features import (
    DEFAULT_FEATURE_SET,
    FEATURE_SETS,
    FeatureSettings,
    SequenceSettings,
    UnknownFeatureSet,
    extract,
    extract_features,
    feature_names,
    sequence_names,
    sequence_shape,
)
from speech_emotion.audio.frames import frame_features, trim_silence
from speech_emotion.audio.io import (
    SILENCE,
    AudioError,
    FetchError,
    file_state,
    is_url,
    load_audio,
    open_sound_file,
    read_samples,
    version_mark,
)
from speech_emotion.audio.kernels import KERNEL_PREFIX

__all__ = [
    "DEFAULT_FEATURE_SET",
    "FEATURE_SETS",
    "KERNEL_PREFIX",
    "NONE",
    "SILENCE",
    "TELEPHONE_TRANSFORM",
    "TRANSFORMS",
    "AudioError",
    "AugmentationSettings",
    "FeatureSettings",
    "FetchError",
    "SequenceSettings",
    "UnknownFeatureSet",
    "UnknownTransform",
    "augment",
    "encode_sound",
    "extract",
    "extract_batch",
    "extract_features",
    "feature_names",
    "file_state",
    "frame_features",
    "is_url",
    "load_audio",
    "open_sound",
    "open_sound_file",
    "over_telephone",
    "plan_augmentation",
    "read_envelope",
    "read_excerpt",
    "read_samples",
    "sequence_names",
    "sequence_shape",
    "trim_silence",
    "version_mark",
]
