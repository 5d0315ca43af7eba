"""Detection of one label, by default anger: recall, false alarms, AUC and the flagging threshold."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from pydantic import Field
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from speech_emotion.bootstrap import bootstrap_counts, bootstrap_interval
from speech_emotion.config import Settings
from speech_emotion.models import Threshold

__all__ = [
    "DetectionSettings",
    "choose_threshold",
    "detection_metrics",
    "detection_table",
]

GROUPS: Final = ["model", "protocol", "condition", "evaluation", "corpus"]


class DetectionSettings(Settings):
    """Which label is detected, and how many false alarms are allowed.

    Attributes:
        target: Label that is detected.
        false_alarms: Largest share of other utterances that may be flagged.
        window_false_alarms: The same for the threshold that is stored with the champion. Calls are
            flagged only if several windows in a row exceed it, so it may be lower.
        prevalence: Share of the target in use, for the precision. Acted corpora hold far more of it
            than real calls.
    """

    target: str = "angry"
    false_alarms: float = Field(0.05, gt=0, lt=1)
    window_false_alarms: float = Field(0.12, gt=0, lt=1)
    prevalence: float = Field(0.05, gt=0, lt=1)


def choose_threshold(validation: pd.DataFrame, settings: DetectionSettings) -> Threshold | None:
    """Choose the threshold for windows: that of highest recall within ``window_false_alarms``.

    Args:
        validation: ``speaker``, ``label`` and ``p_<target>`` of utterances of unseen speakers.
        settings: Target and allowed false alarms.

    Returns:
        The threshold; ``None`` if there is no utterance of the target or none of another label.
    """
    column = f"p_{settings.target}"
    if column not in validation:
        return None
    is_target = (validation["label"] == settings.target).to_numpy()
    allowed = settings.model_copy(update={"false_alarms": settings.window_false_alarms})
    metrics = detection_metrics(is_target, validation[column].to_numpy(), allowed)
    if np.isnan(metrics["threshold"]):
        return None
    return Threshold(
        target=settings.target,
        value=metrics["threshold"],
        false_alarms=settings.window_false_alarms,
        recall=metrics["recall"],
        n_utterances=len(validation),
        n_speakers=validation["speaker"].nunique(),
    )


def detection_metrics(
    is_target: np.ndarray, scores: np.ndarray, settings: DetectionSettings
) -> dict[str, float]:
    """Compute AUC, average precision, and recall and precision at the allowed false alarms.

    Args:
        is_target: Whether each utterance has the target label, shape ``(n,)``.
        scores: Probability of the target, shape ``(n,)``.
        settings: Allowed false alarms and assumed prevalence.

    Returns:
        ``auc``, ``average_precision``, ``recall``, ``threshold`` and ``precision``, the last at the
        assumed prevalence. All are NaN if there is no utterance of the target or none of another label;
        ``precision`` is NaN if nothing is flagged.

    Example:
        >>> import numpy as np
        >>> is_target = np.array([True, True, False, False])
        >>> metrics = detection_metrics(
        ...     is_target, np.array([0.9, 0.6, 0.7, 0.1]), DetectionSettings()
        ... )
        >>> metrics["auc"], metrics["recall"], metrics["threshold"]
        (0.75, 0.5, 0.9)
    """
    if is_target.all() or not is_target.any():
        names = ("auc", "average_precision", "recall", "threshold", "precision")
        return dict.fromkeys(names, float("nan"))
    false_alarms, recalls, thresholds = roc_curve(is_target, scores, drop_intermediate=False)
    last = np.flatnonzero(false_alarms <= settings.false_alarms)[-1]
    flagged_targets = settings.prevalence * recalls[last]
    flagged_others = (1 - settings.prevalence) * false_alarms[last]
    flagged = flagged_targets + flagged_others
    return {
        "auc": float(roc_auc_score(is_target, scores)),
        "average_precision": float(average_precision_score(is_target, scores)),
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
    """Compute detection metrics of each model, protocol, condition, evaluation and corpus.

    Args:
        predictions: ``model``, ``protocol``, ``condition``, ``evaluation``, ``corpus``, ``speaker``,
            ``label`` and ``p_<target>``.
        settings: Target, allowed false alarms and prevalence.
        resamples: Resamples of speakers behind the interval of the AUC.
        seed: Seed of the resampling.

    Returns:
        One row a group with ``n_utterances``, ``n_speakers``, the metrics of :func:`detection_metrics`,
        ``auc_low`` and ``auc_high``, and one more row for ``all`` corpora together. Empty if no label is
        the target.
    """
    column = f"p_{settings.target}"
    rows = []
    if column not in predictions:
        return pd.DataFrame(columns=[*GROUPS, "n_utterances", "n_speakers", "auc"])
    all_corpora = predictions.assign(corpus="all")
    for names, subset in pd.concat([predictions, all_corpora], ignore_index=True).groupby(
        GROUPS, sort=True
    ):
        is_target = (subset["label"] == settings.target).to_numpy()
        scores = subset[column].to_numpy()
        low, high = auc_interval(
            is_target, scores, subset["speaker"].to_numpy(), resamples=resamples, seed=seed
        )
        rows.append(
            dict(zip(GROUPS, names, strict=True))
            | {"n_utterances": len(subset), "n_speakers": subset["speaker"].nunique()}
            | detection_metrics(is_target, scores, settings)
            | {"auc_low": low, "auc_high": high}
        )
    return pd.DataFrame(rows)


def auc_interval(
    is_target: np.ndarray,
    scores: np.ndarray,
    speakers: np.ndarray,
    *,
    resamples: int,
    seed: int,
) -> tuple[float, float]:
    """Compute the 95 % interval of the AUC from a bootstrap over speakers.

    The AUC is the share of pairs (target, other) in which the target has the higher score. The pairs are
    counted once for each pair of speakers, and each resample weights these counts. Scores are sorted, so that
    time and memory grow with the utterances and not with the pairs.

    Args:
        is_target: Whether each utterance has the target label, shape ``(n,)``.
        scores: Probability of the target, shape ``(n,)``.
        speakers: Speaker of each utterance, shape ``(n,)``.
        resamples: Number of resamples. Those without a pair are left out.
        seed: Seed of the resampling.

    Returns:
        Lower and upper bound; NaN with one speaker or without any pair.
    """
    names, codes = np.unique(speakers, return_inverse=True)
    n_speakers = len(names)
    of_target, of_others = (
        np.bincount(codes[subset], minlength=n_speakers) for subset in (is_target, ~is_target)
    )
    wins = np.zeros((n_speakers, n_speakers))
    for speaker in np.flatnonzero(of_others):
        ranked = np.sort(scores[~is_target & (codes == speaker)])
        lower, upper = (
            np.searchsorted(ranked, scores[is_target], side) for side in ("left", "right")
        )
        wins[:, speaker] = np.bincount(codes[is_target], (lower + upper) / 2, n_speakers)
    draws = bootstrap_counts(n_speakers, resamples=resamples, seed=seed)
    won = np.einsum("rs,st,rt->r", draws, wins, draws, optimize=True)
    pairs = (draws @ of_target) * (draws @ of_others)
    areas = np.divide(won, pairs, out=np.full(resamples, np.nan), where=pairs > 0)
    low, high = bootstrap_interval(areas, n_speakers)
    return float(low), float(high)
