"""Predict the emotion of a folder of recordings, on many processes or machines.

``speech-emotion batch`` is the command for it::

    speech-emotion batch RECORDINGS RESULTS --workers 16
    speech-emotion batch RECORDINGS RESULTS --scheduler tcp://10.0.0.1:8786

The second form uses a running Dask cluster whose machines see both folders under the same paths. The
workers need no tracking server: they get the model from this process.

The results are Parquet files below ``RESULTS/model=ID`` with one row a recording, and ``error`` for
those that could not be used; ``pandas.read_parquet(RESULTS)`` reads them together. Each file is complete
when it appears, so an interrupted command continues where it stopped, and a later one adds new
recordings.

Recordings are predicted as a whole, as by the served model: utterances, or calls cut into utterances.
Whole calls are scored by the ``call_scoring`` pipeline.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pandas as pd

from speech_emotion.audio import AUDIO_SUFFIXES
from speech_emotion.datasets import ModelDataset
from speech_emotion.models import PackedPredictor
from speech_emotion.runtime import ClusterSettings, DaskEngine, connect, fan_out, running_on

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
    """Predict the emotion of every recording in a folder that has no result of the model yet.

    The model is resolved and loaded once, so an alias that moves during the run changes nothing.

    Args:
        recordings: Folder of recordings, searched in depth.
        results: Folder of the results; it is created.
        model_uri: URI of the model in MLflow's current tracking server, or the folder of a predictor.
        workers: Processes on this machine; unused with ``scheduler``.
        scheduler: Address of a running Dask scheduler.
        files_per_part: Recordings a call and a file of results.

    Returns:
        One row for each part that was due: ``part``, ``recordings``, ``unusable`` (number of rows with
        ``error``) and ``failure``, which is ``None`` unless the part has no result.

    Raises:
        FileNotFoundError: If there is no recording below ``recordings``.
    """
    from tqdm import tqdm

    names = sorted(_find_recordings(recordings))
    if not names:
        raise FileNotFoundError(
            f"No {', '.join(AUDIO_SUFFIXES)} below {recordings}; check the path"
        )
    model_id, uri = _resolve(model_uri)
    folder = results / f"model={model_id}"
    due = sorted(set(names) - _predicted(folder))
    logger.info("%d recordings, %d have a result already", len(names), len(names) - len(due))
    parts = [due[start : start + files_per_part] for start in range(0, len(due), files_per_part)]
    rows: list[dict[str, Any]] = []
    if parts:
        folder.mkdir(parents=True, exist_ok=True)
        shared = (recordings, folder, PackedPredictor.pack(ModelDataset(uri=uri).load()))
        with ExitStack() as stack:
            if scheduler:
                client = connect(ClusterSettings(engine="dask", scheduler=scheduler))
                stack.enter_context(client)
                stack.enter_context(running_on(DaskEngine(client)))
            outcomes = _predict_parts(parts, shared, workers)
            for part, outcome in zip(
                parts, tqdm(outcomes, total=len(parts), desc="Parts"), strict=True
            ):
                failed = isinstance(outcome, str)
                row = {"part": _part_name(part), "recordings": len(part)}
                row |= {"unusable": pd.NA if failed else outcome}
                rows.append(row | {"failure": outcome if failed else None})
    return pd.DataFrame(rows, columns=["part", "recordings", "unusable", "failure"])


def _predict_parts(
    parts: list[list[str]], shared: tuple[Any, ...], workers: int
) -> Iterator[int | str]:
    """Yield the number of unusable recordings of each part, or why it failed.

    The loss of a worker ends all its calls. Then the part that was waited for counts as failed, which
    a later run makes up for, and the others are started again.
    """
    first = 0
    while first < len(parts):
        calls = ((part,) for part in parts[first:])
        try:
            for outcome in fan_out(_predict_part, calls, shared=shared, n_jobs=workers):
                first += 1
                yield outcome
        except Exception as error:
            first += 1
            yield repr(error)


def _predict_part(
    names: Sequence[str], recordings: Path, folder: Path, model: PackedPredictor
) -> int | str:
    """Predict some recordings and write their rows, in a worker.

    Returns:
        The number of recordings that could not be used, or what went wrong.
    """
    try:
        table = model.unpacked().predict_files([str(recordings / name) for name in names])
        table.insert(0, "recording", list(names))
        # Typed, so that a part without errors, or with nothing else, can be read with the others.
        table = table.astype({"recording": "string", "emotion": "string", "error": "string"})
        partial = folder / f".{_part_name(names)}.partial"
        table.to_parquet(partial, index=False)
        partial.rename(folder / f"{_part_name(names)}.parquet")
    except Exception as error:
        return repr(error)
    return int(table["error"].notna().sum())


def _resolve(model_uri: str) -> tuple[str, str]:
    """Return the id of a model, and a URI that always stands for this model."""
    if Path(model_uri).is_dir():
        predictor = ModelDataset(uri=model_uri).load()
        return predictor.digest[:16], model_uri
    import mlflow

    model_id = mlflow.models.get_model_info(model_uri).model_id
    return model_id, f"models:/{model_id}"


def _find_recordings(root: Path) -> Iterator[str]:
    for folder, _, names in os.walk(root):
        inside = Path(folder).relative_to(root)
        yield from (str(inside / name) for name in names if name.lower().endswith(AUDIO_SUFFIXES))


def _predicted(folder: Path) -> set[str]:
    if next(folder.glob("*.parquet"), None) is None:
        return set()
    return set(pd.read_parquet(folder, columns=["recording"])["recording"])


def _part_name(names: Sequence[str]) -> str:
    return "part-" + hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
