"""HTML and Markdown documents with a preview in kedro-viz."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any, Final

from kedro_datasets._typing import HTMLPreview

from speech_emotion.datasets.stored import TextDataset

__all__ = ["DocumentDataset", "ModelCardDataset"]

# What a preview cannot show: kedro-viz removes scripts, and charts are drawn by them.
HIDDEN: Final = re.compile(
    r"<(script|style|audio|nav)\b.*?</\1>|<div[^>]*plotly-graph-div[^>]*>\s*</div>", re.DOTALL
)
CHART: Final = re.compile(r'(<div [^>]*role="(?:img|group)" aria-label="([^"]*)"[^>]*>)')
BODY: Final = re.compile(r"<body[^>]*>(.*)</body>", re.DOTALL)


class DocumentDataset(TextDataset):
    """A text file in HTML or Markdown, which kedro-viz previews as a formatted document.

    Saving a page also updates ``index.html`` in the folder ``index``, which links all pages of the
    folder that exist.

    Example:
        >>> dataset = DocumentDataset(filepath="data/report.md")
    """

    def __init__(self, *, filepath: str, index: str | None = None, **options: Any):
        """Store the document at ``filepath``.

        Args:
            filepath: Path or URL, ending in ``.html`` or ``.md``.
            index: Folder of the index page; ``None`` for no index.
            options: Further options of ``text.TextDataset``.
        """
        super().__init__(filepath=filepath, **options)
        self._index = index

    def save(self, data: str) -> None:
        """Write the document and update the index page."""
        super().save(data)
        if self._index is not None:
            from speech_emotion.reporting import write_index

            write_index(self._index)

    def preview(self) -> HTMLPreview:
        """Return the document as HTML without scripts; charts are replaced by their description."""
        text = self.load()
        if PurePosixPath(self._filepath).suffix == ".md":
            from markdown_it import MarkdownIt

            return HTMLPreview(MarkdownIt("commonmark").enable("table").render(text))
        body = BODY.search(text)
        content = HIDDEN.sub("", body.group(1) if body else text)
        return HTMLPreview(CHART.sub(r"<p><em>Chart: \2</em></p>\1", content))


class ModelCardDataset(DocumentDataset):
    """A model card, which also describes the version that the present run has registered."""

    def __init__(self, *, filepath: str, name: str, **options: Any):
        """Store the card at ``filepath``.

        Args:
            filepath: Path or URL, ending in ``.md``.
            name: Name in the MLflow model registry.
            options: Further options of :class:`DocumentDataset`.
        """
        super().__init__(filepath=filepath, **options)
        self._name = name

    def save(self, data: str) -> None:
        """Write the card, and make it the description of the registered version."""
        super().save(data)
        from speech_emotion.datasets.registry import describe_registered

        describe_registered(self._name, data)
