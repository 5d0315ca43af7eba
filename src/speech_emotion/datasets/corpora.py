"""The folder of corpora, or the sample corpus where no folder is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Never

from kedro.io import AbstractDataset, DatasetError

from speech_emotion.runtime import to_path

__all__ = ["CorporaDataset"]


class CorporaDataset(AbstractDataset[Never, Path]):
    """The folder that holds ``ravdess``, ``tess``, ``savee`` and ``crema_d``, or some of them.

    The recordings stay where they are: loading gives the folder, and readers open file after file.
    Where no folder is given, the synthetic sample corpus is written to ``sample_path`` once.
    """

    def __init__(
        self,
        *,
        filepath: str | None = None,
        sample_path: str | None = None,
        sample: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ):
        """Take corpora from ``filepath``, else write the sample corpus.

        Args:
            filepath: Path or URL (``s3://…``) of the folder with the corpora.
            sample_path: Folder for the sample corpus.
            sample: Settings of the sample corpus, see
                :class:`speech_emotion.corpora.SampleSettings`.
            metadata: Anything; Kedro ignores it, its plugins read it.
        """
        self._folder = filepath
        self._sample_path = Path(sample_path) if sample_path else None
        self._sample = sample or {}
        self.metadata = metadata

    def load(self) -> Path:
        """Return the folder."""
        if self._folder is not None:
            return to_path(self._folder)
        if self._sample_path is None:
            raise DatasetError("No corpora folder is given: add --params corpora_dir=PATH")
        from speech_emotion.corpora import SampleSettings, write_sample

        write_sample(self._sample_path, SampleSettings.model_validate(self._sample))
        return self._sample_path

    def save(self, data: Never) -> Never:
        """Refuse: corpora are never written."""
        raise DatasetError("Corpora are read, never written")

    def _exists(self) -> bool:
        return self._folder is None or to_path(self._folder).is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._folder or self._sample_path), "sample": self._sample}
