"""Nodes of the simulation of learning from verdicts."""

from __future__ import annotations

from functools import partial

import pandas as pd
import plotly.graph_objects as go

from speech_emotion.call_scoring import (
    CallSettings,
    SynthesisSettings,
    known_windows,
    synthesize_calls,
    threshold_of,
)
from speech_emotion.corpora import TEST, in_split
from speech_emotion.evaluation import SelectionSettings
from speech_emotion.feedback import SimulationSettings, simulate_rounds
from speech_emotion.models import EmotionPredictor
from speech_emotion.reporting import feedback as pages
from speech_emotion.reporting import synthetic_note


def score_test_calls(
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    predictor: EmotionPredictor,
    settings: CallSettings,
    synthesis: SynthesisSettings,
    selection: SelectionSettings,
) -> pd.DataFrame:
    """Build calls from utterances of the test set, score them, and say what is in each window."""
    tested = in_split(utterances["utterance_id"], splits, selection.protocol, TEST)
    synthesize = partial(
        synthesize_calls, utterances[tested], synthesis, target=settings.flags.target
    )
    return known_windows(synthesize, predictor, settings)


def simulate(
    windows: pd.DataFrame,
    predictor: EmotionPredictor,
    calls: CallSettings,
    settings: SimulationSettings,
) -> pd.DataFrame:
    """Let reviewers with errors judge windows in rounds, learn from them, and test on other callers."""
    threshold = threshold_of(predictor, calls)
    return simulate_rounds(windows, calls.flags, threshold, settings)


def report(
    rounds: pd.DataFrame, utterances: pd.DataFrame, settings: SimulationSettings
) -> tuple[go.Figure, str]:
    """Draw the learning curves, and write one page."""
    note = synthetic_note(utterances)
    figure = pages.learning_figure(rounds, note=note)
    return figure, pages.simulation_page(rounds, figure, error=settings.error, note=note)
