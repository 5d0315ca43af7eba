"""Nodes of the evaluation of separated voices."""

from __future__ import annotations

import logging
from typing import Final

import pandas as pd

from speech_emotion.call_scoring import (
    CallSettings,
    SynthesisSettings,
    VoiceModel,
    evaluate_separation,
    fit_mfcc_voices,
    separation_metrics,
    synthesize_calls,
    voice_of,
)
from speech_emotion.corpora import TEST, TRAIN, in_split
from speech_emotion.evaluation import SelectionSettings
from speech_emotion.models import EmotionPredictor

PER_SPEAKER: Final = 20
"""Most training utterances of a speaker that the projection of MFCC is learnt from."""
IN_USE: Final = "encoder, projection"

logger = logging.getLogger(__name__)


def separate_test_calls(
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    predictor: EmotionPredictor,
    settings: CallSettings,
    synthesis: SynthesisSettings,
    selection: SelectionSettings,
) -> pd.DataFrame:
    """Mix both channels of test calls into one and separate the voices again, in several ways.

    Voices by MFCC are learnt from utterances of the training speakers.
    """
    in_training = in_split(utterances["utterance_id"], splits, selection.protocol, TRAIN)
    mfcc = fit_mfcc_voices(utterances[in_training], per_speaker=PER_SPEAKER, seed=selection.seed)
    voices = {"MFCC": _unprojected(mfcc), "MFCC, projection": mfcc}
    encoder = voice_of(predictor)
    if encoder is None:
        logger.warning("The model has no speech encoder: only voices by MFCC are evaluated")
    else:
        voices |= {"encoder": _unprojected(encoder), IN_USE: encoder}
    tested = in_split(utterances["utterance_id"], splits, selection.protocol, TEST)
    calls = synthesize_calls(utterances[tested], synthesis, target=settings.flags.target)
    return evaluate_separation(calls, predictor, settings, voices=voices)


def measure_separation(
    separated: pd.DataFrame, utterances: pd.DataFrame, selection: SelectionSettings
) -> pd.DataFrame:
    """Compute error rates with intervals, and log them."""
    table = separation_metrics(separated, resamples=selection.bootstrap, seed=selection.seed)
    for row in table.to_dict("records"):
        logger.info(
            "%s, %s: %.1f %% of the speech assigned to the wrong voice [%.1f, %.1f], n = %d calls",
            row["voice"],
            row["condition"],
            *(100 * row[f"confused_share{end}"] for end in ("", "_low", "_high")),
            row["n_calls"],
        )
    return table.assign(synthetic=bool(utterances["synthetic"].any()))


def _unprojected(voice: VoiceModel) -> VoiceModel:
    return voice._replace(projection=voice.projection.without_axes())
