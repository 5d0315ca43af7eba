"""Pretrained speech encoders: found on disk or on the Hugging Face hub, and run with ONNX Runtime."""

from speech_emotion.encoders.card import EncoderCard
from speech_emotion.encoders.encoder import EncoderMissing, SpeechEncoder
from speech_emotion.encoders.log_mel import log_mel
from speech_emotion.encoders.sources import (
    KNOWN_ENCODERS,
    KnownEncoder,
    default_layers,
    find_encoder,
)
from speech_emotion.encoders.whisper import UnsupportedCheckpoint

__all__ = [
    "KNOWN_ENCODERS",
    "EncoderCard",
    "EncoderMissing",
    "KnownEncoder",
    "SpeechEncoder",
    "UnsupportedCheckpoint",
    "default_layers",
    "find_encoder",
    "log_mel",
]
