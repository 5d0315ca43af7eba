"""Fitted estimators of any family."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractDataset

from speech_emotion.datasets.folders import Place

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

__all__ = ["EstimatorDataset"]


class EstimatorDataset(AbstractDataset["BaseEstimator", "BaseEstimator"]):
    """A folder with one fitted estimator: skops for scikit-learn, ``.keras`` for networks.

    kedro-datasets stores either kind, but which one a model is shows only when it is fitted.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None):
        """Store the estimator in the folder ``filepath``.

        Args:
            filepath: Path or URL of the folder.
            metadata: Anything; Kedro ignores it, its plugins read it.
        """
        self._filepath = filepath
        self._place = Place(filepath)
        self.metadata = metadata

    def save(self, data: BaseEstimator) -> None:
        """Write the estimator in the place of an older one."""
        from speech_emotion.models.persistence import save_estimator

        with self._place.to_write() as folder:
            shutil.rmtree(folder, ignore_errors=True)
            save_estimator(data, folder)

    def load(self) -> BaseEstimator:
        """Read the estimator without unpickling anything."""
        from speech_emotion.models.persistence import load_estimator

        with self._place.to_read() as folder:
            return load_estimator(folder)

    def _exists(self) -> bool:
        return self._place.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath}
