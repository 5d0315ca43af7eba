"""How often the alarm rule raises an alarm, on test calls whose line, noise or callers are changed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Final

import numpy as np
import pandas as pd
from pydantic import Field
from scipy import stats

from speech_emotion.call_scoring import SynthesisSettings
from speech_emotion.config import Settings
from speech_emotion.monitoring.drift import compare_periods
from speech_emotion.monitoring.measures import Periods
from speech_emotion.monitoring.settings import MonitoringSettings

__all__ = ["DriftSimulationSettings", "alarm_rates", "changed_calls"]

UNCHANGED: Final = "none"
CODEC: Final = "new codec"
NOISE: Final = "noisier line"
CALLERS: Final = "new group of callers"


class DriftSimulationSettings(Settings):
    """How drift is simulated.

    Attributes:
        line: Telephone line of the calls before the change.
        new_line: Line of the calls after the codec has changed.
        noise_db: How much the signal-to-noise ratio falls on the noisier line, in dB.
        runs: Comparisons of two periods for each change, with other calls drawn.
        seed: Seed of the draws.
    """

    line: str = "opus_12k"
    new_line: str = "gsm"
    noise_db: float = Field(10.0, gt=0, le=60)
    runs: int = Field(100, ge=1, le=10_000)
    seed: int = 0


def changed_calls(
    utterances: pd.DataFrame, synthesis: SynthesisSettings, settings: DriftSimulationSettings
) -> dict[str, tuple[pd.DataFrame, SynthesisSettings]]:
    """Say how the calls of each change are built.

    Without a change, with a new codec and on a noisier line the dialogues are the same. Every second
    speaker is in the new group of callers, and in no other call.

    Args:
        utterances: Utterances of the test set.
        synthesis: Number and properties of the calls; the first ratio of ``snr_db`` is used.
        settings: Lines and noise.

    Returns:
        Utterances and settings for :func:`speech_emotion.call_scoring.synthesize_calls`, by change.
    """
    speakers = sorted(utterances["speaker"].astype(str).unique())
    new = utterances["speaker"].astype(str).isin(speakers[1::2])
    snr_db = synthesis.snr_db[0]
    same = {"conditions": ("telephone",), "lines": (settings.line,), "snr_db": (snr_db,)}
    base = synthesis.model_copy(update=same)
    return {
        UNCHANGED: (utterances[~new], base),
        CODEC: (utterances[~new], base.model_copy(update={"lines": (settings.new_line,)})),
        NOISE: (
            utterances[~new],
            base.model_copy(update={"snr_db": (snr_db - settings.noise_db,)}),
        ),
        CALLERS: (utterances[new], base),
    }


def alarm_rates(
    measured: Mapping[str, pd.DataFrame],
    monitoring: MonitoringSettings,
    settings: DriftSimulationSettings,
) -> pd.DataFrame:
    """Compare periods of scored calls, before and after each change.

    One half of the unchanged calls, drawn at random, is the period before; the changed versions of the
    other half are the period after. So no call counts twice, and no dialogue is in both periods.

    Args:
        measured: Measures of the scored calls (:func:`measure_calls`), by change, the unchanged ones first,
            in the same order.
        monitoring: The alarm rule; ``min_calls`` is at most half of the calls.
        settings: Number of runs.

    Returns:
        One row per change: ``change``, ``n_runs``, ``n_alarms`` (runs with an alarm), ``share`` with ``low``
        and ``high`` (95 %, Clopper-Pearson), ``measures`` that raise an alarm in most runs, ``n_scored``
        calls, and ``calls`` in each period.
    """
    first, second = date(2026, 1, 5), date(2026, 1, 12)
    periods = Periods(second, second + timedelta(6), first, first + timedelta(6))
    before = next(iter(measured.values())).reset_index(drop=True)
    half = len(before) // 2
    rows = []
    for number, (change, after) in enumerate(measured.items()):
        found: list[str] = []
        n_alarms = 0
        for run in range(settings.runs):
            generator = np.random.default_rng([settings.seed, number, run])
            order = generator.permutation(len(before))
            later = order[half : 2 * half] % len(after)
            both = [
                before.iloc[order[:half]].assign(day=first),
                after.iloc[later].assign(day=second),
            ]
            drift = compare_periods(pd.concat(both, ignore_index=True), periods, monitoring)
            alarms = drift.loc[drift["alarm"], "title"].tolist()
            n_alarms += bool(alarms)
            found += alarms
        interval = stats.binomtest(n_alarms, settings.runs).proportion_ci(method="exact")
        often = pd.Series(found, dtype=str).value_counts() > settings.runs / 2
        rows.append(
            {
                "change": change,
                "n_runs": settings.runs,
                "n_alarms": n_alarms,
                "share": n_alarms / settings.runs,
                "low": float(interval.low),
                "high": float(interval.high),
                "measures": "; ".join(sorted(often.index[often])),
                "n_scored": len(after),
                "calls": half,
            }
        )
    return pd.DataFrame(rows)
