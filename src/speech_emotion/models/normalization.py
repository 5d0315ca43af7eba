"""Measure features from what is known of a speaker."""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from speech_emotion.models.bandwidth import BANDWIDTH_FEATURE

__all__ = ["SpeakerNormalizer", "with_normalized_values"]

SMALLEST = 1e-6


class SpeakerNormalizer(TransformerMixin, BaseEstimator):
    """Centre features on each speaker's mean, and scale them by the spread inside speakers.

    The statistics are running ones: :meth:`partial_fit` takes further utterances of any speaker in
    any portions, with the result of all at once (T. F. Chan et al., *Updating formulae and a pairwise
    algorithm for computing sample variances*, 1979). They are drawn towards those of the training
    speakers by ``prior`` utterances, so a speaker nobody has heard of gets the global ones.

    Args:
        prior: Utterances of an average speaker that each mean starts from.
        own_scale: Whether known speakers are scaled by their own spread; else by the global one.
        prior_scale: Utterances of an average speaker that each spread starts from.

    Attributes:
        mean_: Mean of the training speakers' means, shape ``(n_features,)``.
        scale_: Spread inside training speakers, shape ``(n_features,)``.
        speakers_: For each known speaker the number of utterances, their mean and the sum of their
            squared deviations.
    """

    def __init__(self, prior: float = 0.5, own_scale: bool = True, prior_scale: float = 5.0):
        self.prior = prior
        self.own_scale = own_scale
        self.prior_scale = prior_scale

    def fit(
        self, X: ArrayLike, y: None = None, *, speakers: ArrayLike, known: ArrayLike | None = None
    ) -> Self:
        """Learn what an average speaker is, and forget all others.

        Args:
            X: Features, shape ``(n, n_features)``, or sequences ``(n, n_frames, n_features)`` in
                which frames of zeros are padding.
            y: Not used.
            speakers: Speaker of each row, shape ``(n,)``.
            known: Rows that speakers are measured from; all without it.
        """
        rows, names = _utterances(X), np.asarray(speakers)
        chosen = np.ones(len(rows), dtype=bool) if known is None else np.asarray(known, dtype=bool)
        self.speakers_: dict[str, tuple[int, np.ndarray, np.ndarray]] = {}
        self.partial_fit(rows[chosen], speakers=names[chosen])
        if not self.speakers_:
            raise ValueError("No training speaker has a known utterance: nothing to measure from")
        self.mean_ = np.mean([mean for _, mean, _ in self.speakers_.values()], axis=0)
        squares = np.zeros(rows.shape[1])
        for name in np.unique(names):
            own = rows[names == name].astype(np.float64)
            squares += ((own - own.mean(axis=0)) ** 2).sum(axis=0)
        spread = np.sqrt(squares / len(rows))
        self.scale_ = np.where(spread > SMALLEST, spread, 1.0)  # constant features stay as they are
        return self

    def partial_fit(self, X: ArrayLike, y: None = None, *, speakers: ArrayLike) -> Self:
        """Add utterances to what is known of their speakers."""
        rows, names = _utterances(X), np.asarray(speakers)
        for name in np.unique(names):
            own = rows[names == name].astype(np.float64)
            count, mean, squares = self.speakers_.get(
                str(name), (0, np.zeros(rows.shape[1]), np.zeros(rows.shape[1]))
            )
            step = own.mean(axis=0) - mean
            total = count + len(own)
            squares = squares + ((own - own.mean(axis=0)) ** 2).sum(axis=0)
            squares += step**2 * count * len(own) / total
            self.speakers_[str(name)] = (total, mean + step * len(own) / total, squares)
        return self

    def transform(self, X: ArrayLike, *, speakers: ArrayLike | None = None) -> np.ndarray:
        """Centre and scale; without ``speakers``, or for unknown ones, by the global statistics."""
        check_is_fitted(self)
        values = np.asarray(X, dtype=np.float32)
        names = np.full(len(values), "") if speakers is None else np.asarray(speakers)
        result = np.empty_like(values)
        for name in np.unique(names):
            own = names == name
            mean, scale = self.statistics(str(name))
            result[own] = (values[own] - mean) / scale
        if values.ndim == 3:
            result[~np.any(values != 0, axis=2)] = 0
        return result

    def statistics(self, speaker: str) -> tuple[np.ndarray, np.ndarray]:
        """Mean and scale of a speaker, each of shape ``(n_features,)``."""
        nothing = (0, np.zeros_like(self.mean_), np.zeros_like(self.mean_))
        count, mean, squares = self.speakers_.get(speaker, nothing)
        if count == 0:
            return self.mean_, self.scale_
        centre = (count * mean + self.prior * self.mean_) / (count + self.prior)
        if not self.own_scale:
            return centre, self.scale_
        variance = (squares + self.prior_scale * self.scale_**2) / (count + self.prior_scale)
        return centre, np.where(variance > SMALLEST**2, np.sqrt(variance), self.scale_)


def with_normalized_values(
    inputs: pd.DataFrame | np.ndarray, values: np.ndarray
) -> pd.DataFrame | np.ndarray:
    """Put measured values in the place of a table's or an array's.

    What tells wide-band from narrow-band sound stays: it is about the line, not about the speaker.

    Args:
        inputs: What was measured, shape ``(n, …)``.
        values: The result, of the same shape.
    """
    if not isinstance(inputs, pd.DataFrame):
        return values
    table = pd.DataFrame(values, index=inputs.index, columns=inputs.columns)
    return (
        table.assign(**{BANDWIDTH_FEATURE: inputs[BANDWIDTH_FEATURE]})
        if BANDWIDTH_FEATURE in table
        else table
    )


def _utterances(X: ArrayLike) -> np.ndarray:
    """One row an utterance: sequences are averaged over the frames that are not padding."""
    values = np.asarray(X)
    if values.ndim == 2:
        return values
    values = values.astype(np.float64)
    heard = np.any(values != 0, axis=2, keepdims=True)
    return (values * heard).sum(axis=1) / np.maximum(heard.sum(axis=1), 1)
