"""The index page, which links all pages of a reporting folder."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from speech_emotion.reporting.rendering import template
from speech_emotion.runtime import exists, to_path, write_bytes

__all__ = ["PAGES", "index_page", "write_index"]

PAGES: Final = {
    "report.html": ("Model report", "Models, confusions, detection and calibration"),
    "external_evaluation/external_evaluation.html": (
        "External evaluation",
        "The champion on other corpora, clean and over the telephone",
    ),
    "calls/calls.html": ("Calls", "Scored calls: flags, timelines and passages to listen to"),
    "call_kpis/call_kpis.html": ("KPIs", "Handle time, first call resolution and anger by agent"),
    "sonification/sonification.html": ("Sonification", "A KPI over time as sound"),
    "ablation/ablation.html": ("Ablation", "Features, augmentation and training options"),
    "recipes/recipes.html": ("Recipes", "Published recipes: claimed and reproduced accuracy"),
}
"""Title and description of each page, by its path in the reporting folder."""


def index_page(modified: dict[str, datetime]) -> str:
    """Render the index page.

    Args:
        modified: Time of the last change of each page that exists, by its path; see :data:`PAGES`.
    """
    pages = [
        {"path": path, "title": title, "description": description, "modified": modified[path]}
        for path, (title, description) in PAGES.items()
        if path in modified
    ]
    return template("index.html.j2").render(pages=pages)


def write_index(folder: str) -> None:
    """Write ``index.html`` into a reporting folder; it links the pages that exist there.

    Args:
        folder: Path or URL of the folder.
    """
    root = to_path(folder)
    modified = {
        path: datetime.fromtimestamp((root / path).stat().st_mtime, UTC)
        for path in PAGES
        if exists(f"{folder}/{path}")
    }
    write_bytes(f"{folder}/index.html", index_page(modified).encode())
