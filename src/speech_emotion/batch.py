"""The registered model over a folder of recordings, on many processes or machines, by Dask.

``pip install speech-emotion[dask]``, then::

    python -m speech_emotion.batch RECORDINGS RESULTS --workers 16
    python -m speech_emotion.batch RECORDINGS RESULTS --scheduler tcp://10.0.0.1:8786

The second form uses a running cluster whose machines see both folders and the tracking server.
Results are Parquet files below ``RESULTS/model=ID``, read at once by ``pandas.read_parquet(RESULTS)``:
one row a recording, with ``error`` for those that could not be used. Each file is complete when it
appears, so an interrupted run goes on where it stopped, and a later one adds what is new.

This judges recordings as wholes, as the model does over HTTP: utterances, or calls cut into them.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from speech_emotion.audio import AUDIO_SUFFIXES

__all__ = ["predict_folder"]


logger = logging.getLogger(__name__)


def predict_folder(
    recordings: Path,
    results: Path,
    *,
    model_uri: str = "models:/speech-emotion@champion",
    workers: int = 1,
    scheduler: str | None = None,
    files_per_part: int = 256,
) -> pd.DataFrame:
    """Predict the emotion of every recording in a folder that has no result of this model yet.

    The model is resolved once, so an alias that moves during the run changes nothing, and is loaded
    once a worker.

    Args:
        recordings: Folder of recordings, searched in depth.
        results: Folder of results, made if need be.
        model_uri: The model; its store is MLflow's present tracking URI.
        workers: Processes on this machine, one thread each; unused with ``scheduler``.
        scheduler: Address of a running Dask scheduler.
        files_per_part: Recordings a task and a file of results.

    Returns:
        One row a part that was due: ``part``, ``recordings``, ``unusable`` (rows with ``error``)
        and ``failure``, which is empty unless the part has no result, e.g. because workers died.

    Raises:
        FileNotFoundError: If there is no recording below ``recordings``.
    """
    import mlflow

    from speech_emotion.runtime import ClusterSettings, DaskEngine, connect

    found = sorted(_recordings(recordings))
    if not found:
        raise FileNotFoundError(
            f"No {', '.join(AUDIO_SUFFIXES)} below {recordings}; check the path"
        )
    model = mlflow.models.get_model_info(model_uri).model_id
    folder = results / f"model={model}"
    folder.mkdir(parents=True, exist_ok=True)
    done = (
        set(pd.read_parquet(folder, columns=["recording"])["recording"]) if _any(folder) else set()
    )
    due = [name for name in found if name not in done]
    logger.info("%d recordings, %d have a result already", len(found), len(found) - len(due))
    parts = [due[start : start + files_per_part] for start in range(0, len(due), files_per_part)]
    rows = []
    store = mlflow.get_tracking_uri()
    cluster = ClusterSettings(engine="dask", scheduler=scheduler, workers=workers)
    with connect(cluster) as client:
        calls = ((part, recordings, folder, model, store) for part in parts)
        attempts = DaskEngine(client).attempt(predict_part, calls)
        for (part, *_), unusable, failure in tqdm(attempts, total=len(parts), desc="Parts"):
            row = {"part": _name(part), "recordings": len(part)}
            row["unusable"] = pd.NA if failure else unusable
            rows.append(row | {"failure": repr(failure) if failure else None})
    return pd.DataFrame(rows, columns=["part", "recordings", "unusable", "failure"])


def predict_part(
    names: Sequence[str], recordings: Path, folder: Path, model: str, store: str
) -> int:
    """Predict some recordings and write their rows; what a worker does.

    Args:
        names: Paths below ``recordings``.
        recordings: Folder of recordings.
        folder: Folder that the rows are written into.
        model: Id of the model.
        store: MLflow's tracking URI.

    Returns:
        How many could not be used.
    """
    paths = [str(recordings / name) for name in names]
    table = _load(model, store).predict(pd.DataFrame({"audio": paths}))
    table.insert(0, "recording", list(names))
    # Typed, or a part without errors, or without anything else, would not read with the others.
    table = table.astype({"recording": "string", "emotion": "string", "error": "string"})
    partial = folder / f".{_name(names)}.partial"
    table.to_parquet(partial, index=False)
    partial.rename(folder / f"{_name(names)}.parquet")
    return int(table["error"].notna().sum())


@lru_cache(maxsize=1)
def _load(model: str, store: str) -> Any:
    import mlflow

    mlflow.set_tracking_uri(store)
    return mlflow.pyfunc.load_model(f"models:/{model}")


def _recordings(root: Path) -> Iterator[str]:
    for folder, _, names in os.walk(root):
        inside = Path(folder).relative_to(root)
        yield from (str(inside / name) for name in names if name.lower().endswith(AUDIO_SUFFIXES))


def _any(folder: Path) -> bool:
    return next(folder.glob("*.parquet"), None) is not None


def _name(names: Sequence[str]) -> str:
    return "part-" + hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line; returns 1 if a part has no result."""
    import mlflow

    parser = argparse.ArgumentParser(prog="python -m speech_emotion.batch", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("recordings", type=Path, help="folder of recordings, searched in depth")
    parser.add_argument("results", type=Path, help="folder of results")
    parser.add_argument("--model", default="models:/speech-emotion@champion", help="model URI")
    parser.add_argument("--tracking-uri", help="for example sqlite:///data/full/mlflow.db")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes here")
    parser.add_argument("--scheduler", help="address of a running Dask scheduler")
    parser.add_argument("--files-per-part", type=int, default=256, help="recordings a task")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if options.tracking_uri:
        mlflow.set_tracking_uri(options.tracking_uri)
    parts = predict_folder(
        options.recordings.resolve(),
        options.results.resolve(),
        model_uri=options.model,
        workers=options.workers,
        scheduler=options.scheduler,
        files_per_part=options.files_per_part,
    )
    failed = parts[parts["failure"].notna()]
    predicted = int(parts["recordings"].sum() - failed["recordings"].sum())
    unusable = int(parts["unusable"].sum())
    logger.info("%d recordings predicted, %d of them unusable", predicted, unusable)
    for row in failed.itertuples():
        logger.error("%s, %d recordings, failed: %s", row.part, row.recordings, row.failure)
    return int(len(failed) > 0)


if __name__ == "__main__":
    # By its name: what workers get from `__main__` is copied, and would load the model each time.
    from speech_emotion.batch import main as named

    raise SystemExit(named())
