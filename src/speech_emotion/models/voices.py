"""Represent voices: a projection of embeddings in which speakers differ and emotions and lines do not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

import numpy as np
import pandas as pd
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from speech_emotion.features import EMBEDDING

__all__ = ["VoiceProjection"]

N_LAYERS: Final = 2
"""Layers in use, the lowest ones: they contain more of the voice than later layers."""
STATISTICS: Final = ("mean", "std")
N_VALUES: Final = 32
"""Dimensions of a layer, fewer if there are not so many speakers."""
SHRINKAGE: Final = 0.3
PERCENTILES: Final = (5, 50, 95)


@dataclass(frozen=True)
class VoiceProjection:
    """Linear discriminant analysis of speakers on the lowest layers of an encoder.

    Attributes:
        columns: Positions of the values in use in an embedding, shape ``(n_layers, n_used)``.
        mean: Mean of training, same shape.
        scale: Standard deviation, same shape.
        axes: Discriminant directions, shape ``(n_layers, n_used, n_values)``.
        novelties: 5th, 50th and 95th percentile of :meth:`novelty` in training; NaN in projections saved
            without them.
    """

    columns: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    axes: np.ndarray
    novelties: tuple[float, float, float] = (np.nan, np.nan, np.nan)

    @classmethod
    def fit(cls, embeddings: pd.DataFrame, speakers: pd.Series) -> Self:
        """Learn which directions tell speakers apart.

        Args:
            embeddings: Columns of :func:`speech_emotion.features.embedding_names`; several utterances of
                each speaker with different emotions, and over telephone lines if these are to be ignored.
            speakers: Speaker of each row, at least two different ones; dozens are needed for unseen speakers.
        """
        names = pd.DataFrame([_parts(name) for name in embeddings.columns])
        used = names[names["statistic"].isin(STATISTICS)]
        layers = [rows.index.to_numpy() for _, rows in used.groupby("layer")][:N_LAYERS]
        values = embeddings.to_numpy(dtype=np.float32)
        means, scales, axes = [], [], []
        for columns in layers:
            chosen = values[:, columns]
            mean, scale = chosen.mean(axis=0), chosen.std(axis=0) + 1e-6
            analysis = LinearDiscriminantAnalysis(solver="eigen", shrinkage=SHRINKAGE)
            analysis.fit((chosen - mean) / scale, speakers)
            n_values = min(N_VALUES, speakers.nunique() - 1)
            means.append(mean)
            scales.append(scale)
            axes.append(analysis.scalings_[:, :n_values])
        fitted = cls(
            np.stack(layers),
            np.stack(means),
            np.stack(scales),
            np.stack(axes).astype(np.float32),
        )
        low, middle, high = np.percentile(fitted.novelty(values), PERCENTILES)
        return replace(fitted, novelties=(float(low), float(middle), float(high)))

    def novelty(self, embeddings: np.ndarray) -> np.ndarray:
        """Compute how far embeddings are from those of training.

        Args:
            embeddings: Shape ``(n, n_features)``.

        Returns:
            Root mean square of the standardized values in use, shape ``(n,)``. Its mean square over the
            training utterances is 1.
        """
        scaled = (embeddings[:, self.columns] - self.mean) / self.scale
        return np.sqrt(np.square(scaled).mean(axis=(1, 2), dtype=np.float64))

    def without_axes(self) -> Self:
        """Return one that scales the values in use like this one, and keeps them all."""
        n_layers, n_used = self.columns.shape
        return replace(self, axes=np.repeat(np.eye(n_used, dtype=np.float32)[None], n_layers, 0))

    def __call__(self, embeddings: np.ndarray) -> np.ndarray:
        """Return voices, shape ``(n, n_layers * n_values)``, of embeddings ``(n, n_features)``."""
        parts = [
            ((embeddings[:, columns] - mean) / scale) @ axes
            for columns, mean, scale, axes in zip(
                self.columns, self.mean, self.scale, self.axes, strict=True
            )
        ]
        return np.concatenate(parts, axis=1).astype(np.float32)

    def save(self, path: Path) -> None:
        """Save the projection as an ``.npz`` file."""
        np.savez(
            path,
            columns=self.columns,
            mean=self.mean,
            scale=self.scale,
            axes=self.axes,
            novelties=self.novelties,
        )

    @classmethod
    def load(cls, path: Path) -> Self:
        """Load what :meth:`save` saved."""
        with np.load(path, allow_pickle=False) as content:
            fitted = cls(*(content[name] for name in ("columns", "mean", "scale", "axes")))
            if "novelties" not in content:
                return fitted
            low, middle, high = map(float, content["novelties"])
            return replace(fitted, novelties=(low, middle, high))


def _parts(name: str) -> dict[str, str | int]:
    found = EMBEDDING.match(name)
    if found is None:
        raise ValueError(f"{name!r} is no column of an embedding")
    return {"layer": int(found["layer"]), "statistic": found["statistic"]}
