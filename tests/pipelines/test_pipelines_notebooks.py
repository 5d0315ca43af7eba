from collections import Counter
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
PLOTLY = "application/vnd.plotly.v1+json"
# How many pictures, charts and sounds the executed notebook shows.
SHOWN = {
    "call_kpis": {PLOTLY: 2, "audio": 2},
    "compare_runs": {PLOTLY: 1},
    "explore_corpora": {"image/png": 2, PLOTLY: 2, "audio": 1},
}


def shown_outputs(book):
    """Count the pictures, Plotly charts and sounds in the outputs of a notebook."""
    counts = Counter()
    for cell in book.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            counts.update(kind for kind in ("image/png", PLOTLY) if kind in data)
            counts["audio"] += "<audio" in "".join(data.get("text/html", ""))
    return counts


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_stored_without_outputs(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_executed_notebook_shows_its_pictures(path, project, monkeypatch):
    monkeypatch.setenv("KEDRO_ENV", "test")
    monkeypatch.setenv("SPEECH_EMOTION_DATA_DIR", str(project))
    book = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(path.parent)}}
    NotebookClient(book, timeout=1200, startup_timeout=300, resources=place).execute()
    counts = shown_outputs(book)
    for kind, number in SHOWN[path.stem].items():
        assert counts[kind] == number, kind
    for cell in book.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            # A figure without a picture is printed as text only.
            assert set(data) != {"text/plain"} or "Figure" not in data["text/plain"]
