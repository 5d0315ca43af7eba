"""Normalize features by the statistics of each speaker."""

from __future__ import annotations

from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import Tags, check_array
from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data

from speech_emotion.models.bandwidth import BANDWIDTH_FEATURE

__all__ = ["SpeakerNormalizer", "with_normalized_values"]

SMALLEST = 1e-6


class SpeakerNormalizer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Center features on each speaker's mean and scale them by the spread within speakers.

    Statistics are updated incrementally: :meth:`partial_fit` accepts further utterances of any speaker
    in any batches, with the result of a single batch (T. F. Chan et al., *Updating formulae and a
    pairwise algorithm for computing sample variances*, 1979). They are shrunk towards the population
    statistics of the training speakers, which unseen speakers get unchanged.

    Args:
        prior: Weight of the population mean in each speaker's mean, in utterances.
        scale_by_speaker: Whether a speaker in ``speakers_`` is scaled by their own spread instead of the
            population's.
        prior_scale: Weight of the population variance in each speaker's variance, in utterances.

    Attributes:
        mean_: Mean of the training speakers' means, shape ``(n_features,)``.
        scale_: Spread within training speakers, shape ``(n_features,)``.
        speakers_: For each speaker the number of utterances, their mean and the sum of squared
            deviations.

    Examples:
        >>> X = [[1.0], [3.0], [11.0], [13.0]]
        >>> normalizer = SpeakerNormalizer(prior=0).fit(X, speakers=["anna", "anna", "ben", "ben"])
        >>> normalizer.transform(X, speakers=["anna", "anna", "ben", "ben"]).ravel().tolist()
        [-1.0, 1.0, -1.0, 1.0]
        >>> normalizer.transform([[7.0]], speakers=["unseen"]).tolist()
        [[0.0]]
    """

    def __init__(self, prior: float = 0.5, scale_by_speaker: bool = True, prior_scale: float = 5.0):
        self.prior = prior
        self.scale_by_speaker = scale_by_speaker
        self.prior_scale = prior_scale

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = []  # always float32
        return tags

    def fit(
        self,
        X: ArrayLike,
        y: None = None,
        *,
        speakers: ArrayLike | None = None,
        known: ArrayLike | None = None,
    ) -> Self:
        """Fit population statistics and those of the training speakers, resetting state.

        Args:
            X: Features, shape ``(n, n_features)``, or sequences, shape ``(n, n_frames, n_features)``,
                in which all-zero frames are padding.
            y: Ignored.
            speakers: Speaker of each row, shape ``(n,)``; without it all rows belong to one speaker.
            known: Mask of the rows that a speaker's statistics are computed from; all by default.

        Raises:
            ValueError: If ``known`` excludes every row.
        """
        rows, names = self._validated(X, speakers, reset=True)
        chosen = np.ones(len(rows), dtype=bool) if known is None else np.asarray(known, dtype=bool)
        self.speakers_: dict[str, tuple[int, np.ndarray, np.ndarray]] = {}
        self._update(rows[chosen], names[chosen])
        if not self.speakers_:
            raise ValueError("known excludes every row: no speaker has statistics")
        self.mean_ = np.mean([mean for _, mean, _ in self.speakers_.values()], axis=0)
        squares = np.zeros(rows.shape[1])
        for name in np.unique(names):
            of_speaker = rows[names == name].astype(np.float64)
            squares += ((of_speaker - of_speaker.mean(axis=0)) ** 2).sum(axis=0)
        spread = np.sqrt(squares / len(rows))
        self.scale_ = np.where(spread > SMALLEST, spread, 1.0)  # constant features are not scaled
        return self

    def partial_fit(
        self, X: ArrayLike, y: None = None, *, speakers: ArrayLike | None = None
    ) -> Self:
        """Add utterances to the statistics of their speakers; population statistics stay.

        The first call fits the population statistics, too, if :meth:`fit` was not called before.

        Args:
            X: Features or sequences, as in :meth:`fit`.
            y: Ignored.
            speakers: Speaker of each row, shape ``(n,)``; without it all rows belong to one speaker.
        """
        if not hasattr(self, "speakers_"):
            return self.fit(X, speakers=speakers)
        self._update(*self._validated(X, speakers, reset=False))
        return self

    def transform(self, X: ArrayLike, *, speakers: ArrayLike | None = None) -> np.ndarray:
        """Center and scale.

        Args:
            X: Features or sequences, as in :meth:`fit`; padding stays zero.
            speakers: Speaker of each row, shape ``(n,)``. Unseen speakers, and all rows without it,
                get the population statistics.

        Returns:
            float32 array of the shape of ``X``.
        """
        check_is_fitted(self)
        values = self._array(X, reset=False).astype(np.float32, copy=False)
        names = np.full(len(values), "") if speakers is None else np.asarray(speakers)
        check_consistent_length(values, names)
        result = np.empty_like(values)
        for name in np.unique(names):
            rows = names == name
            mean, scale = (
                (self.mean_, self.scale_) if speakers is None else self.statistics(str(name))
            )
            result[rows] = (values[rows] - mean) / scale
        if values.ndim == 3:
            result[~np.any(values != 0, axis=2)] = 0
        return result

    def statistics(self, speaker: str) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and scale of a speaker, each of shape ``(n_features,)``."""
        unseen = (0, np.zeros_like(self.mean_), np.zeros_like(self.mean_))
        count, mean, squares = self.speakers_.get(speaker, unseen)
        if count == 0:
            return self.mean_, self.scale_
        center = (count * mean + self.prior * self.mean_) / (count + self.prior)
        if not self.scale_by_speaker:
            return center, self.scale_
        variance = (squares + self.prior_scale * self.scale_**2) / (count + self.prior_scale)
        return center, np.where(variance > SMALLEST**2, np.sqrt(variance), self.scale_)

    def _validated(
        self, X: ArrayLike, speakers: ArrayLike | None, *, reset: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return one row per utterance, and the speakers as text."""
        rows = _utterance_means(self._array(X, reset=reset))
        names = np.full(len(rows), "") if speakers is None else np.asarray(speakers)
        check_consistent_length(rows, names)
        return rows, names

    def _array(self, X: ArrayLike, *, reset: bool) -> np.ndarray:
        options = {"dtype": [np.float64, np.float32], "ensure_min_samples": int(reset)}
        if not (isinstance(X, np.ndarray) and X.ndim == 3):
            return validate_data(self, X, reset=reset, **options)
        sequences = check_array(X, allow_nd=True, **options)
        if reset:
            self.n_features_in_ = sequences.shape[2]
        return sequences

    def _update(self, rows: np.ndarray, names: np.ndarray) -> None:
        for name in np.unique(names):
            added = rows[names == name].astype(np.float64)
            count, mean, squares = self.speakers_.get(
                str(name), (0, np.zeros(rows.shape[1]), np.zeros(rows.shape[1]))
            )
            step = added.mean(axis=0) - mean
            total = count + len(added)
            squares = squares + ((added - added.mean(axis=0)) ** 2).sum(axis=0)
            squares += step**2 * count * len(added) / total
            self.speakers_[str(name)] = (total, mean + step * len(added) / total, squares)


def with_normalized_values(
    inputs: pd.DataFrame | np.ndarray, values: np.ndarray
) -> pd.DataFrame | np.ndarray:
    """Return normalized values in the container of the inputs, keeping the bandwidth column.

    :data:`BANDWIDTH_FEATURE` describes the channel, not the speaker, so it is not normalized.

    Args:
        inputs: Table or array before normalization, shape ``(n, …)``.
        values: Normalized values of the same shape.
    """
    if not isinstance(inputs, pd.DataFrame):
        return values
    table = pd.DataFrame(values, index=inputs.index, columns=inputs.columns)
    if BANDWIDTH_FEATURE in table:
        table[BANDWIDTH_FEATURE] = inputs[BANDWIDTH_FEATURE]
    return table


def _utterance_means(values: np.ndarray) -> np.ndarray:
    """Return one row per utterance; sequences are averaged over the frames that are not padding."""
    if values.ndim == 2:
        return values
    values = values.astype(np.float64)
    is_frame = np.any(values != 0, axis=2, keepdims=True)
    return (values * is_frame).sum(axis=1) / np.maximum(is_frame.sum(axis=1), 1)
