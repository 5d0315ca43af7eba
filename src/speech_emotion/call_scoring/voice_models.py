"""Voices by MFCC, the baseline that voices by an encoder are compared with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import librosa
import numpy as np
import pandas as pd
import soxr

from speech_emotion.audio import (
    NO_LIMITS,
    TELEPHONE_RATE,
    TRAINING_LINE,
    load_audio,
    send_over_line,
    trim_silence,
)
from speech_emotion.call_scoring.speakers import VoiceModel
from speech_emotion.features import embedding_names
from speech_emotion.models import VoiceProjection

__all__ = ["fit_mfcc_voices", "mfcc_frames"]

RATE: Final = 16000
HOP: Final = 320
"""Samples per frame, as many as a step of the encoders."""
WINDOW: Final = 512
N_MFCC: Final = 20
TRIM_DB: Final = 30.0


def mfcc_frames(samples: np.ndarray) -> np.ndarray:
    """Compute MFCC of a sound at 16 kHz as the states of an encoder with one layer.

    Example:
        >>> mfcc_frames(np.random.default_rng(0).normal(0, 0.1, 16000)).shape
        (1, 51, 20)
    """
    padded = np.pad(samples, (0, max(WINDOW - len(samples), 0)))
    coefficients = librosa.feature.mfcc(
        y=padded, sr=RATE, n_mfcc=N_MFCC, n_fft=WINDOW, hop_length=HOP
    )
    return coefficients.T[np.newaxis].astype(np.float32)


def fit_mfcc_voices(utterances: pd.DataFrame, *, per_speaker: int, seed: int = 0) -> VoiceModel:
    """Learn a voice projection on MFCC, as recorded and over the training line.

    Args:
        utterances: ``path`` and ``speaker`` of training utterances.
        per_speaker: Most utterances of a speaker, drawn at random.
        seed: Seed of the drawing.
    """
    shuffled = utterances.sample(frac=1, random_state=seed)
    chosen = shuffled.groupby("speaker", sort=True).head(per_speaker)
    rows = [_embeddings(str(path), seed + number) for number, path in enumerate(chosen["path"])]
    table = pd.DataFrame(
        np.concatenate(rows), columns=embedding_names("mfcc", (1,), N_MFCC), dtype=np.float32
    )
    speakers = pd.Series(np.repeat(chosen["speaker"].to_numpy(), 2))
    return VoiceModel(RATE, mfcc_frames, VoiceProjection.fit(table, speakers))


def _embeddings(path: str, seed: int) -> np.ndarray:
    samples = trim_silence(load_audio(path, RATE, limits=NO_LIMITS), TRIM_DB)
    narrow = soxr.resample(samples, RATE, TELEPHONE_RATE, quality="HQ")
    sent = send_over_line(narrow, TELEPHONE_RATE, line=TRAINING_LINE, seed=seed)
    received = soxr.resample(sent, TELEPHONE_RATE, RATE, quality="HQ")
    return np.stack([_statistics(sound) for sound in (samples, received)])


def _statistics(samples: np.ndarray) -> np.ndarray:
    frames = mfcc_frames(samples)[0]
    statistics: Iterable[np.ndarray] = (frames.mean(0), frames.std(0), np.zeros(N_MFCC))
    return np.concatenate(list(statistics))
