"""Nodes of the evaluation on calls."""

from __future__ import annotations

from functools import partial

import pandas as pd
import plotly.graph_objects as go

from speech_emotion.call_scoring import (
    CallSettings,
    SynthesisSettings,
    call_metrics,
    evaluate_calls,
    synthesize_calls,
)
from speech_emotion.corpora import TEST, in_split
from speech_emotion.evaluation import SelectionSettings
from speech_emotion.models import EmotionPredictor
from speech_emotion.reporting import synthetic_note
from speech_emotion.reporting.calls import call_evaluation_figure


def flag_test_calls(
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    predictor: EmotionPredictor,
    settings: CallSettings,
    synthesis: SynthesisSettings,
    selection: SelectionSettings,
) -> pd.DataFrame:
    """Build calls from utterances of the test set and flag them."""
    tested = in_split(utterances["utterance_id"], splits, selection.protocol, TEST)
    synthesize = partial(
        synthesize_calls, utterances[tested], synthesis, target=settings.flags.target
    )
    return evaluate_calls(synthesize, predictor, settings)


def measure_flags(
    flagged: pd.DataFrame,
    utterances: pd.DataFrame,
    settings: CallSettings,
    selection: SelectionSettings,
) -> tuple[pd.DataFrame, go.Figure]:
    """Compute detection metrics of passages and calls; table and figure state if the corpus is synthetic."""
    table = call_metrics(flagged, resamples=selection.bootstrap, seed=selection.seed)
    figure = call_evaluation_figure(
        table, target=settings.flags.target, note=synthetic_note(utterances)
    )
    return table.assign(synthetic=bool(utterances["synthetic"].any())), figure
