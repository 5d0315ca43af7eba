"""Predict the emotion of a folder of recordings, on many processes or machines.

``speech-emotion batch`` is the command for it::

    speech-emotion batch RECORDINGS RESULTS --workers 16
    speech-emotion batch RECORDINGS RESULTS --scheduler tcp://10.0.0.1:8786

The second form uses a running Dask cluster whose machines see both folders under the same paths. The
workers need no tracking server: they get the model from this process.

The results are Parquet files below ``RESULTS/model=ID`` with one row a recording, and ``error`` for
those that could not be used; ``pandas.read_parquet(RESULTS)`` reads them together. Each file is complete
when it appears, so an interrupted command continues where it stopped, and a later one adds new
recordings, and those that could not be opened before. ``RESULTS/_not_read.csv`` lists what was found and
not read by the last command.

Recordings are predicted as a whole, as by the served model: utterances, or calls cut into utterances.
Whole calls are scored by the ``call_scoring`` pipeline.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import pandas as pd
from pyarrow.parquet import ParquetFile

from speech_emotion.audio import AUDIO_SUFFIXES, find_audio
from speech_emotion.datasets import ModelDataset
from speech_emotion.models import PackedPredictor
from speech_emotion.runtime import (
    ClusterSettings,
    DaskEngine,
    connect,
    fan_out,
    replacing,
    running_on,
)
from speech_emotion.text_tables import neutralize_formulas

__all__ = ["predict_folder"]

logger = logging.getLogger(__name__)

NOT_READ: Final = "_not_read.csv"
"""Name of the list of recordings that were found and not read."""

State: TypeAlias = tuple[int, str] | None
"""Size and version of a recording, if they are known."""


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

    A recording that was replaced (other size, or time of the last change) is predicted again, and its
    former result removed. Results of recordings that were deleted are kept. The model is resolved and
    loaded once, so an alias that moves during the run changes nothing.

    Args:
        recordings: Folder of recordings, searched in depth.
        results: Folder of the results; it is created.
        model_uri: URI of the model in MLflow's current tracking server, or the folder of a predictor.
        workers: Processes on this machine; unused with ``scheduler``.
        scheduler: Address of a running Dask scheduler.
        files_per_part: Recordings a call and a file of results.

    Returns:
        One row for each part that was due: ``part``, ``recordings``, ``unusable`` (number of rows with
        ``error``, and of recordings that the next run tries again) and ``failure``, which is ``None``
        unless the part has no result.

    Raises:
        FileNotFoundError: If there is no recording below ``recordings``.
    """
    from tqdm import tqdm

    found = find_audio(recordings)
    if found.recordings.empty and found.rejected.empty:
        raise FileNotFoundError(
            f"No {', '.join(AUDIO_SUFFIXES)} below {recordings}: {found.describe()}; check the path"
        )
    (logger.warning if len(found.rejected) else logger.info)("%s", found.describe())
    model_id, uri = _resolve(model_uri)
    folder = results / f"model={model_id}"
    listed = found.recordings.sort_values("name", ignore_index=True)
    states = list(zip(listed["size"], listed["version"], strict=True))
    names = listed["name"].tolist()
    predicted = _predicted(folder)
    due = [
        (name, *state)
        for name, state in zip(names, states, strict=True)
        if name not in predicted or predicted[name] not in {None, state}
    ]
    replaced: dict[str, Any] = {name: tuple(state) for name, *state in due if name in predicted}
    results.mkdir(parents=True, exist_ok=True)
    not_read = [found.rejected[["name", "path", "reason"]]]
    logger.info(
        "%d recordings, %d have a result already; %d were replaced since then",
        len(names),
        len(names) - len(due),
        len(replaced),
    )
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
                row = {"part": _part_name(part), "recordings": len(part)}
                if isinstance(outcome, str):
                    rows.append(row | {"unusable": pd.NA, "failure": outcome})
                    continue
                rows.append(row | {"unusable": outcome.unusable, "failure": None})
                not_read.append(outcome.not_read)
    _remove_outdated(folder, replaced)
    _write_not_read(pd.concat(not_read, ignore_index=True), results)
    return pd.DataFrame(rows, columns=["part", "recordings", "unusable", "failure"])


class _Outcome(NamedTuple):
    """Result of a part: number of unusable recordings, and those that are tried again."""

    unusable: int
    not_read: pd.DataFrame


def _write_not_read(table: pd.DataFrame, results: Path) -> None:
    """Write the recordings that were found and not read; the name hides it from readers of Parquet."""
    with replacing(results / NOT_READ) as partial:
        neutralize_formulas(table).to_csv(partial, index=False)
    if len(table):
        first = table.iloc[0]
        logger.warning(
            "%d recordings or folders were not read, see %s; the first: %s: %s",
            len(table),
            results / NOT_READ,
            first["name"],
            first["reason"],
        )


def _predict_parts(
    parts: list[list[tuple[str, int, str]]], shared: tuple[Any, ...], workers: int
) -> Iterator[_Outcome | str]:
    """Yield the outcome of each part, or why it failed.

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
    files: Sequence[tuple[str, int, str]], recordings: Path, folder: Path, model: PackedPredictor
) -> _Outcome | str:
    """Predict some recordings and write their rows, in a worker.

    Recordings that could not be opened get no row, so that the next run tries them again.

    Returns:
        The outcome, or what went wrong.
    """
    try:
        names = [name for name, *_ in files]
        paths = [str(recordings / name) for name in names]
        predicted = model.unpacked().predict_each(paths)
        table, transient = predicted.table, predicted.transient
        table.insert(0, "recording", names)
        table["size"], table["version"] = [size for _, size, _ in files], [one[2] for one in files]
        unusable = int(table["error"].notna().sum())
        not_read = pd.DataFrame({"name": names, "path": paths, "reason": table["error"]})[transient]
        table = table[~transient]
        # Typed, so that a part without errors, or with nothing else, can be read with the others.
        table = table.astype({"recording": "string", "emotion": "string", "error": "string"})
        table = table.astype({"size": "int64", "version": "string"})
        if len(table):
            with replacing(folder / f"{_part_name(files)}.parquet") as partial:
                table.to_parquet(partial, index=False)
    except Exception as error:
        return repr(error)
    return _Outcome(unusable, not_read)


def _resolve(model_uri: str) -> tuple[str, str]:
    """Return the id of a model, and a URI that always stands for this model."""
    if Path(model_uri).is_dir():
        predictor = ModelDataset(uri=model_uri).load()
        return predictor.digest[:16], model_uri
    import mlflow

    model_id = mlflow.models.get_model_info(model_uri).model_id
    return model_id, f"models:/{model_id}"


def _predicted(folder: Path) -> dict[str, State]:
    """Return size and version of each recording that has a result."""
    return dict(pair for path in sorted(folder.glob("*.parquet")) for pair in _states(path))


def _states(path: Path) -> list[tuple[str, State]]:
    """Return the recordings of a part, in order; those of older versions have no state."""
    file = ParquetFile(path)
    if "version" not in file.schema_arrow.names:
        return [(name, None) for name in file.read(["recording"])["recording"].to_pylist()]
    names, sizes, versions = file.read(["recording", "size", "version"]).to_pydict().values()
    return [(one[0], one[1:]) for one in zip(names, sizes, versions, strict=True)]


def _remove_outdated(folder: Path, current: dict[str, State]) -> None:
    """Remove the former results of recordings that were replaced and have a new result."""
    paths = sorted(folder.glob("*.parquet")) if current else []
    stored = {path: _states(path) for path in paths}
    done = {one for states in stored.values() for one in states} & set(current.items())
    renewed = {name for name, _ in done}
    for path, states in stored.items():
        kept = [name not in renewed or state == current[name] for name, state in states]
        if all(kept):
            continue
        if not any(kept):
            path.unlink()
            continue
        table = pd.read_parquet(path)[kept]
        with replacing(path) as partial:
            table.to_parquet(partial, index=False)


def _part_name(files: Sequence[tuple[str, int, str]]) -> str:
    lines = "\n".join(" ".join(map(str, file)) for file in files)
    return "part-" + hashlib.sha256(lines.encode()).hexdigest()[:16]
