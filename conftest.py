"""Collection of doctests: only modules with an example are imported."""

from pathlib import Path

SOURCES = Path(__file__).parent / "src"


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Skip modules without examples, whose import would take longer than running all examples.

    Files with fixtures are skipped as modules, too: their names are not unique.
    """
    if collection_path.name == "conftest.py":
        return True
    if SOURCES in collection_path.parents and collection_path.suffix == ".py":
        return True if ">>>" not in collection_path.read_text(encoding="utf-8") else None
    return None
