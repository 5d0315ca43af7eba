"""One label against the rest: how well angry speech is found, and at what cost of false alarms."""

from __future__ import annotations

import numpy as np
import pandas as pd
from pydantic import Field
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from speech_emotion.config import Settings
from speech_emotion.models import Threshold

__all__ = [
    "DetectionSettings",
    "choose_threshold",
    "detection_metrics",
    "detection_table",
]


class DetectionSettings(Settings):
    """What is looked for, and where.

    Attributes:
        target: Label that is to be found.
        false_alarms: Share of other utterances that may be flagged.
        prevalence: Share of the target where the detector is used; corpora hold far more of it.
    """

    target: str = "angry"
    false_alarms: float = Field(0.05, gt=0, lt=1)
    prevalence: float = Field(0.05, gt=0, lt=1)


def choose_threshold(validation: pd.DataFrame, settings: DetectionSettings) -> Threshold | None:
    """Choose the threshold of highest recall within the allowed false alarms.

    Args:
        validation: ``speaker``, ``label`` and ``p_<target>`` of utterances of speakers that the
            judging model had not learnt from.
        settings: Target and allowed false alarms.

    Returns:
        The threshold, ``None`` where the target, or anything else, is missing.
    """
    column = f"p_{settings.target}"
    if column not in validation:
        return None
    truth = (validation["label"] == settings.target).to_numpy()
    figures = detection_metrics(truth, validation[column].to_numpy(), settings)
    if np.isnan(figures["threshold"]):
        return None
    return Threshold(
        target=settings.target,
        value=figures["threshold"],
        false_alarms=settings.false_alarms,
        recall=figures["recall"],
        n_utterances=len(validation),
        n_speakers=validation["speaker"].nunique(),
    )


def detection_metrics(
    truth: np.ndarray, scores: np.ndarray, settings: DetectionSettings
) -> dict[str, float]:
    """AUC, average precision, and recall and precision at the allowed false alarms.

    Args:
        truth: Whether each utterance is the target, shape ``(n,)``.
        scores: Probability of the target, shape ``(n,)``.
        settings: Allowed false alarms and assumed prevalence.

    Returns:
        ``auc``, ``average_precision``, ``recall``, ``threshold`` and ``precision``, the last at the
        assumed prevalence; NaN where the target, or anything else, is missing.
    """
    if truth.all() or not truth.any():
        names = ("auc", "average_precision", "recall", "threshold", "precision")
        return dict.fromkeys(names, float("nan"))
    false_alarms, recalls, thresholds = roc_curve(truth, scores, drop_intermediate=False)
    last = np.flatnonzero(false_alarms <= settings.false_alarms)[-1]
    flagged_targets = settings.prevalence * recalls[last]
    flagged_others = (1 - settings.prevalence) * false_alarms[last]
    flagged = flagged_targets + flagged_others
    return {
        "auc": float(roc_auc_score(truth, scores)),
        "average_precision": float(average_precision_score(truth, scores)),
        "recall": float(recalls[last]),
        "threshold": float(min(thresholds[last], 1.0)),
        "precision": float(flagged_targets / flagged) if flagged else float("nan"),
    }


def detection_table(
    predictions: pd.DataFrame,
    settings: DetectionSettings,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Detection figures of each model, protocol, condition, evaluation and corpus.

    Args:
        predictions: ``model``, ``protocol``, ``condition``, ``evaluation``, ``corpus``, ``speaker``,
            ``label`` and ``p_<target>``.
        settings: Target, allowed false alarms and prevalence.
        resamples: Resamples of speakers behind the interval of the AUC.
        seed: Seed of the resampling.

    Returns:
        One row a group, and one for ``all`` corpora of it; empty if no label is the target.
    """
    keys = ["model", "protocol", "condition", "evaluation"]
    column = f"p_{settings.target}"
    rows = []
    if column not in predictions:
        return pd.DataFrame(columns=[*keys, "corpus", "n_utterances", "n_speakers", "auc"])
    everything = pd.concat([predictions, predictions.assign(corpus="all")], ignore_index=True)
    for names, part in everything.groupby([*keys, "corpus"], sort=True):
        truth = (part["label"] == settings.target).to_numpy()
        scores = part[column].to_numpy()
        low, high = _interval(truth, scores, part["speaker"].to_numpy(), resamples, seed)
        rows.append(
            dict(zip([*keys, "corpus"], names, strict=True))
            | {"n_utterances": len(part), "n_speakers": part["speaker"].nunique()}
            | detection_metrics(truth, scores, settings)
            | {"auc_low": low, "auc_high": high}
        )
    return pd.DataFrame(rows)


def _interval(
    truth: np.ndarray, scores: np.ndarray, speakers: np.ndarray, resamples: int, seed: int
) -> tuple[float, float]:
    """95 % interval of the AUC from a bootstrap over speakers; NaN with one speaker.

    The AUC is the share of pairs in which the target scores higher, so the pairs are counted once,
    speaker by speaker, and each resample only weighs them.
    """
    names, codes = np.unique(speakers, return_inverse=True)
    count = len(names)
    if count < 2 or truth.all() or not truth.any():
        return float("nan"), float("nan")
    higher = scores[truth][:, np.newaxis] > scores[~truth]
    equal = scores[truth][:, np.newaxis] == scores[~truth]
    member = np.eye(count, dtype=np.float32)[codes]
    wins = member[truth].T @ (higher + np.float32(0.5) * equal) @ member[~truth]
    draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), resamples)
    won = np.einsum("rs,st,rt->r", draws, wins, draws, optimize=True)
    pairs = (draws @ member[truth].sum(axis=0)) * (draws @ member[~truth].sum(axis=0))
    low, high = np.percentile((won / pairs)[pairs > 0], [2.5, 97.5])
    return float(low), float(high)
