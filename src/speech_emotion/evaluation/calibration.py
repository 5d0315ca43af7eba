"""Calibrate probabilities by one temperature, learnt on speakers that are not judged by it.

C. Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017: temperature scaling and the
expected calibration error (ECE).
"""

from __future__ import annotations

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
    """Mean distance between confidence and accuracy over equally wide bins, by their counts."""
    table = reliability_table(confidence, correct, bins=bins)
    gaps = (table["confidence"] - table["accuracy"]).abs()
    return float((gaps * table["n"]).sum() / table["n"].sum())


def reliability_table(
    confidence: np.ndarray, correct: np.ndarray, *, bins: int = BINS
) -> pd.DataFrame:
    """Accuracy by confidence: ``confidence``, ``accuracy`` and ``n`` of each bin that has any."""
    edge = np.minimum((np.asarray(confidence) * bins).astype(int), bins - 1)
    table = pd.DataFrame({"bin": edge, "confidence": confidence, "accuracy": correct})
    grouped = table.groupby("bin")
    return grouped.mean().assign(n=grouped.size()).reset_index(drop=True)


def calibrate(predictions: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Calibrate every model under every protocol.

    A fold is calibrated by the out-of-fold predictions of the other folds, held-out utterances by
    those of all folds. Predicted labels do not change.

    Args:
        predictions: ``model``, ``protocol``, ``condition``, ``evaluation``, ``fold``, ``label``,
            ``prediction`` and probabilities.

    Returns:
        The predictions with calibrated probabilities, and one row a model, protocol, condition and
        evaluation: ``temperature`` (that of the finished model), ``ece_raw`` and ``ece``.
    """
    columns = probability_columns(predictions)
    calibrated = predictions.copy()
    rows = []
    for (model, protocol), part in predictions.groupby(["model", "protocol"], sort=True):
        values = part[columns].to_numpy()
        codes = pd.Index(columns).get_indexer("p_" + part["label"])
        learnt = (
            (part["evaluation"] == CROSS_VALIDATION) & (part["condition"] == CLEAN)
        ).to_numpy()
        folds = part["fold"].to_numpy()
        temperature = fit_temperature(values[learnt], codes[learnt])
        scaled = with_temperature(values, temperature)
        for fold in np.unique(folds[learnt]):
            others, inside = learnt & (folds != fold), folds == fold
            own = fit_temperature(values[others], codes[others]) if others.any() else temperature
            scaled[inside] = with_temperature(values[inside], own)
        calibrated.loc[part.index, columns] = scaled
        correct = (part["label"] == part["prediction"]).to_numpy()
        keys = part[["condition", "evaluation"]].reset_index(drop=True)
        for (condition, evaluation), chosen in keys.groupby(
            ["condition", "evaluation"]
        ).groups.items():
            rows.append(
                {
                    "model": model,
                    "protocol": protocol,
                    "condition": condition,
                    "evaluation": evaluation,
                    "temperature": temperature,
                    "ece_raw": calibration_error(values[chosen].max(axis=1), correct[chosen]),
                    "ece": calibration_error(scaled[chosen].max(axis=1), correct[chosen]),
                }
            )
    return calibrated, pd.DataFrame(rows)
