"""What the training data of a model are like, to compare calls with."""

from __future__ import annotations

from typing import Final, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field

__all__ = ["TrainingProfile"]

PERCENTILES: Final = (5, 50, 95)


class TrainingProfile(BaseModel):
    """Ranges of measures over the training utterances of a model.

    Attributes:
        n_utterances: Number of utterances.
        n_speakers: Number of speakers.
        ranges: 5th, 50th and 95th percentile by measure: ``loudness_dbfs``, and ``confidence`` and
            ``mean_target`` of predictions in cross-validation, clean and over telephone lines.
    """

    n_utterances: int = Field(ge=1)
    n_speakers: int = Field(ge=1)
    ranges: dict[str, tuple[float, float, float]]

    @classmethod
    def from_training(
        cls, utterances: pd.DataFrame, predictions: pd.DataFrame, *, target: str
    ) -> Self:
        """Compute the ranges.

        Args:
            utterances: Training utterances, columns ``speaker`` and ``rms``.
            predictions: Calibrated predictions for them by models that were not trained on them, columns
                ``p_<label>``.
            target: Label that flags.
        """
        probabilities = predictions.filter(regex="^p_")
        values = {"loudness_dbfs": 20 * np.log10(utterances["rms"].to_numpy())}
        if len(predictions):
            values["confidence"] = probabilities.max(axis=1).to_numpy()
        if len(predictions) and f"p_{target}" in probabilities:
            values["mean_target"] = probabilities[f"p_{target}"].to_numpy()
        ranges = {}
        for name, measured in values.items():
            low, middle, high = np.percentile(measured, PERCENTILES)
            ranges[name] = float(low), float(middle), float(high)
        return cls(
            n_utterances=len(utterances),
            n_speakers=utterances["speaker"].nunique(),
            ranges=ranges,
        )
