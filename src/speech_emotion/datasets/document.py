"""HTML and Markdown documents with a preview in kedro-viz."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any, Final

from kedro_datasets._typing import HTMLPreview
from kedro_datasets.text import TextDataset

__all__ = ["DocumentDataset"]

# What a preview cannot show: kedro-viz removes scripts, and charts are drawn by them.
HIDDEN: Final = re.compile(
    r"<(script|style|audio|nav)\b.*?</\1>|<div[^>]*plotly-graph-div[^>]*>\s*</div>", re.DOTALL
)
CHART: Final = re.compile(r'(<div [^>]*role="img" aria-label="([^"]*)"[^>]*>)')
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
