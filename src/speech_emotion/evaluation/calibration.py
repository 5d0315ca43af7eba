"""Calibrate probabilities by one temperature per model, fitted on out-of-fold predictions.

C. Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017: temperature scaling and the
expected calibration error (ECE).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from speech_emotion.evaluation.protocol_data import CLEAN, CROSS_VALIDATION, probability_columns
from speech_emotion.models import fit_temperature, with_temperature

__all__ = [
    "calibrate",
    "calibration_error",
    "reliability_table",
]

BINS = 10


def calibration_error(confidence: np.ndarray, correct: np.ndarray, *, bins: int = BINS) -> float:
    """Compute the expected calibration error.

    Args:
        confidence: Largest probability of each prediction, shape ``(n,)``.
        correct: Whether each prediction is correct, shape ``(n,)``.
        bins: Number of bins of equal width.

    Returns:
        Mean distance between confidence and accuracy of the bins, weighted by their counts.

    Example:
        >>> import numpy as np
        >>> confidence = np.full(10, 0.9)
        >>> round(calibration_error(confidence, np.arange(10) < 6), 3)  # 90 % sure, 60 % correct
        0.3
    """
    table = reliability_table(confidence, correct, bins=bins)
    gaps = (table["confidence"] - table["accuracy"]).abs()
    return float((gaps * table["n"]).sum() / table["n"].sum())


def reliability_table(
    confidence: np.ndarray, correct: np.ndarray, *, bins: int = BINS
) -> pd.DataFrame:
    """Compute mean ``confidence``, ``accuracy`` and count ``n`` of each bin that is not empty."""
    edge = np.minimum((np.asarray(confidence) * bins).astype(int), bins - 1)
    table = pd.DataFrame({"bin": edge, "confidence": confidence, "accuracy": correct})
    grouped = table.groupby("bin")
    return grouped.mean().assign(n=grouped.size()).reset_index(drop=True)


def calibrate(predictions: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Calibrate every model under every protocol.

    A fold is calibrated with the temperature of the other folds, the test set with that of all folds.
    Predicted labels do not change.

    Args:
        predictions: ``model``, ``protocol``, ``condition``, ``evaluation``, ``fold``, ``label``,
            ``prediction`` and probabilities.

    Returns:
        The predictions with calibrated probabilities, and one row a model, protocol, condition and
        evaluation: ``temperature`` (fitted on all folds), ``ece_raw`` and ``ece`` before and after.
    """
    columns = probability_columns(predictions)
    calibrated = predictions.copy()
    rows = []
    for (model, protocol), subset in predictions.groupby(["model", "protocol"], sort=True):
        raw = subset[columns].to_numpy()
        scaled, temperature = _cross_fitted(subset, columns)
        calibrated.loc[subset.index, columns] = scaled
        names = {"model": model, "protocol": protocol}
        rows += [names | row for row in _errors(subset, raw, scaled, temperature)]
    return calibrated, pd.DataFrame(rows)


def _cross_fitted(subset: pd.DataFrame, columns: list[str]) -> tuple[np.ndarray, float]:
    """Calibrate one model: scaled probabilities, and the temperature fitted on all folds."""
    values = subset[columns].to_numpy()
    codes = pd.Index(columns).get_indexer("p_" + subset["label"])
    fitted_on = (subset["evaluation"] == CROSS_VALIDATION) & (subset["condition"] == CLEAN)
    is_fitted_on, folds = fitted_on.to_numpy(), subset["fold"].to_numpy()
    temperature = fit_temperature(values[is_fitted_on], codes[is_fitted_on])
    scaled = with_temperature(values, temperature)
    for fold in np.unique(folds[is_fitted_on]):
        others, inside = is_fitted_on & (folds != fold), folds == fold
        of_others = fit_temperature(values[others], codes[others]) if others.any() else temperature
        scaled[inside] = with_temperature(values[inside], of_others)
    return scaled, temperature


def _errors(
    subset: pd.DataFrame, raw: np.ndarray, scaled: np.ndarray, temperature: float
) -> list[dict[str, Any]]:
    correct = (subset["label"] == subset["prediction"]).to_numpy()
    groups = subset[["condition", "evaluation"]].reset_index(drop=True)
    return [
        {
            "condition": condition,
            "evaluation": evaluation,
            "temperature": temperature,
            "ece_raw": calibration_error(raw[rows].max(axis=1), correct[rows]),
            "ece": calibration_error(scaled[rows].max(axis=1), correct[rows]),
        }
        for (condition, evaluation), rows in groups.groupby(
            ["condition", "evaluation"]
        ).groups.items()
    ]
