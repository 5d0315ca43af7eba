"""Nodes of the simulation of drift."""

from __future__ import annotations

import logging
from functools import partial

import pandas as pd

from speech_emotion.call_scoring import (
    CallSettings,
    SynthesisSettings,
    score_test_calls,
    synthesize_calls,
)
from speech_emotion.corpora import TEST, in_split
from speech_emotion.evaluation import SelectionSettings
from speech_emotion.models import EmotionPredictor
from speech_emotion.monitoring import (
    DriftSimulationSettings,
    MonitoringSettings,
    alarm_rates,
    changed_calls,
    measure_calls,
)

logger = logging.getLogger(__name__)


def score_changed_calls(
    utterances: pd.DataFrame,
    splits: pd.DataFrame,
    predictor: EmotionPredictor,
    calls: CallSettings,
    synthesis: SynthesisSettings,
    selection: SelectionSettings,
    monitoring: MonitoringSettings,
    settings: DriftSimulationSettings,
) -> pd.DataFrame:
    """Build calls from utterances of the test set, change their line, noise or callers, and score them.

    Returns:
        Measures of each call, and its ``change``.

    Raises:
        ValueError: If half of the calls are too few for a period.
    """
    if synthesis.calls // 2 < monitoring.min_calls:
        raise ValueError(
            f"Half of test_calls.calls={synthesis.calls} is a period, and monitoring.min_calls="
            f"{monitoring.min_calls} are needed: --params test_calls.calls={2 * monitoring.min_calls}, or "
            "lower monitoring.min_calls"
        )
    tested = utterances[in_split(utterances["utterance_id"], splits, selection.protocol, TEST)]
    target = calls.flags.target
    tables = []
    for change, (spoken, changed) in changed_calls(tested, synthesis, settings).items():
        synthesize = partial(synthesize_calls, spoken, changed, target=target)
        summary, windows = score_test_calls(synthesize, predictor, calls)
        measured = measure_calls(summary, [windows], target=target)
        tables.append(measured.assign(change=change, synthetic=bool(spoken["synthetic"].any())))
        logger.info("%s: %d calls scored", change, len(summary))
    return pd.concat(tables, ignore_index=True)


def simulate(
    scored: pd.DataFrame, monitoring: MonitoringSettings, settings: DriftSimulationSettings
) -> pd.DataFrame:
    """Count the comparisons of two periods that raise an alarm, for each change."""
    measures = scored.drop(columns=["change", "synthetic"])
    by_change = {
        str(change): measures.loc[rows.index]
        for change, rows in scored.groupby("change", sort=False)
    }
    table = alarm_rates(by_change, monitoring, settings)
    for row in table.itertuples():
        logger.info("%s: an alarm in %d of %d runs", row.change, row.n_alarms, row.n_runs)
    return table.assign(synthetic=bool(scored["synthetic"].any()))
