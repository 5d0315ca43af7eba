"""Predict the emotion of a folder of utterances: one label for each recording.

The results are Parquet files below ``RESULTS/model=ID`` with one row a recording, and ``error`` for
those that could not be used; ``pandas.read_parquet(RESULTS)`` reads them together. Each file is complete
when it appears, so an interrupted command continues where it stopped, and a later one adds new
recordings, and those that could not be opened before. ``RESULTS/_not_read.csv`` lists what was found and
not read by the last command.

Recordings are predicted as a whole, as by the served model: utterances, or calls cut into utterances.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import pandas as pd

from speech_emotion.audio import AUDIO_SUFFIXES, find_audio
from speech_emotion.batch.models import on_cluster, resolve
from speech_emotion.models import PackedPredictor
from speech_emotion.runtime import (
    DamagedShard,
    ShardStore,
    WorkerLost,
    as_completed,
    digest,
    holding,
    write_bytes,
)
from speech_emotion.text_tables import neutralize_formulas

__all__ = ["predict_folder"]

logger = logging.getLogger(__name__)

NOT_READ: Final = "_not_read.csv"
"""Name of the list of recordings that were found and not read."""

PART: Final = "part-"
"""Beginning of the names of parts."""

COMPACTED: Final = 4096
"""Rows of a part from which it is not joined with others."""

STATE: Final = ("recording", "size", "version")

State: TypeAlias = tuple[int, str] | None
"""Size and version of a recording, if they are known."""
RecordedFile: TypeAlias = tuple[str, str, int, str]
"""Name, path, size and version of a recording."""


def predict_folder(
    recordings: str | os.PathLike[str],
    results: str | os.PathLike[str],
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
        recordings: Path or URL of the folder of recordings, searched in depth.
        results: Path or URL of the folder of the results; it is created.
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
        StoreHeld: If another run uses the folder of the results.
    """
    from tqdm import tqdm

    found = find_audio(recordings)
    if found.recordings.empty and found.rejected.empty:
        raise FileNotFoundError(
            f"No {', '.join(AUDIO_SUFFIXES)} below {recordings}: {found.describe()}; check the path"
        )
    (logger.warning if len(found.rejected) else logger.info)("%s", found.describe())
    model_id, load = resolve(model_uri)
    folder = f"{os.fspath(results).rstrip('/')}/model={model_id}"
    listed = found.recordings.sort_values("name", ignore_index=True)
    parts_of_model = ShardStore(folder)
    with holding(folder, f"predicting utterances of {os.fspath(recordings)}"):
        due, replaced = _due(listed, parts_of_model)
        parts = [
            due[start : start + files_per_part] for start in range(0, len(due), files_per_part)
        ]
        rows: list[dict[str, Any]] = []
        not_read = [found.rejected[["name", "path", "reason"]]]
        shared = (folder, PackedPredictor.pack(load())) if parts else ()
        calls = ((number, (part,)) for number, part in enumerate(parts))
        with on_cluster(scheduler if parts else None):
            outcomes = as_completed(_predict_part, calls, shared=shared, n_jobs=workers)
            for number, outcome in tqdm(outcomes, total=len(parts), desc="Parts"):
                part = parts[number]
                row = {"part": _part_name(part), "recordings": len(part)}
                if isinstance(outcome, str | WorkerLost):
                    rows.append(row | {"unusable": pd.NA, "failure": str(outcome)})
                    continue
                rows.append(row | {"unusable": outcome.unusable, "failure": None})
                not_read.append(outcome.not_read)
        _remove_outdated(parts_of_model, replaced)
        _compact(parts_of_model)
        _write_not_read(pd.concat(not_read, ignore_index=True), f"{results}/{NOT_READ}")
    return pd.DataFrame(rows, columns=["part", "recordings", "unusable", "failure"])


def _due(listed: pd.DataFrame, parts: ShardStore) -> tuple[list[RecordedFile], dict[str, State]]:
    """Return the recordings without a result, and the state of those among them that were replaced."""
    files = listed[["name", "path", "size", "version"]].itertuples(index=False, name=None)
    predicted = _predicted(parts)
    due = [
        file
        for file in files
        if file[0] not in predicted or predicted[file[0]] not in {None, file[2:]}
    ]
    replaced: dict[str, State] = {file[0]: file[2:] for file in due if file[0] in predicted}
    logger.info(
        "%d recordings, %d have a result already; %d were replaced since then",
        len(listed),
        len(listed) - len(due),
        len(replaced),
    )
    return due, replaced


class _Outcome(NamedTuple):
    """Result of a part: number of unusable recordings, and those that are tried again."""

    unusable: int
    not_read: pd.DataFrame


def _write_not_read(table: pd.DataFrame, file: str) -> None:
    """Write the recordings that were found and not read; the name hides it from readers of Parquet."""
    write_bytes(file, neutralize_formulas(table).to_csv(index=False).encode())
    if len(table):
        first = table.iloc[0]
        logger.warning(
            "%d recordings or folders were not read, see %s; the first: %s: %s",
            len(table),
            file,
            first["name"],
            first["reason"],
        )


def _predict_part(
    files: Sequence[RecordedFile], folder: str, model: PackedPredictor
) -> _Outcome | str:
    """Predict some recordings and write their rows, in a worker.

    Recordings that could not be opened get no row, so that the next run tries them again.

    Returns:
        The outcome, or what went wrong.
    """
    try:
        names, paths, sizes, versions = map(list, zip(*files, strict=True))
        predicted = model.unpacked().predict_each(paths)
        table, transient = predicted.table, predicted.transient
        table.insert(0, "recording", names)
        table["size"], table["version"] = sizes, versions
        unusable = int(table["error"].notna().sum())
        not_read = pd.DataFrame({"name": names, "path": paths, "reason": table["error"]})[transient]
        table = table[~transient]
        # Typed, so that a part without errors, or with nothing else, can be read with the others.
        table = table.astype({"recording": "string", "emotion": "string", "error": "string"})
        table = table.astype({"size": "int64", "version": "string"})
        if len(table):
            ShardStore(folder).put(_part_name(files), table)
    except Exception as error:
        return repr(error)
    return _Outcome(unusable, not_read)


def _stored(parts: ShardStore, columns: Sequence[str]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the name of each part and its columns; a damaged one is set aside and made anew."""
    for name in parts.names(PART):
        try:
            yield name, parts.load(name, columns)
        except (DamagedShard, FileNotFoundError):  # or another run has just joined it with others
            continue


def _states(table: pd.DataFrame) -> list[tuple[str, State]]:
    """Return the recordings of a part, in order; those of older versions have no state."""
    names = table["recording"].tolist()
    if "version" not in table:
        return [(name, None) for name in names]
    return list(zip(names, zip(table["size"], table["version"], strict=True), strict=True))


def _predicted(parts: ShardStore) -> dict[str, State]:
    """Return size and version of each recording that has a result."""
    tables = (table for _, table in _stored(parts, STATE))
    return dict(pair for table in tables for pair in _states(table))


def _remove_outdated(parts: ShardStore, current: dict[str, State]) -> None:
    """Remove the former results of recordings that were replaced and have a new result."""
    if not current:
        return
    stored = {name: _states(table) for name, table in _stored(parts, STATE)}
    done = {one for states in stored.values() for one in states} & set(current.items())
    renewed = {recording for recording, _ in done}
    for name, states in stored.items():
        kept = [
            recording not in renewed or state == current[recording] for recording, state in states
        ]
        if all(kept):
            continue
        if any(kept):
            parts.put(name, parts.load(name)[kept])
        else:
            parts.remove(name)


def _compact(parts: ShardStore) -> None:
    """Join small parts, so that there is about one file for :data:`COMPACTED` recordings."""
    counts = {name: len(table) for name, table in _stored(parts, ["recording"])}
    small = {name: count for name, count in counts.items() if count < COMPACTED}
    if sum(small.values()) < COMPACTED:
        return  # a few small parts do no harm
    pending: list[str] = []
    n_rows = 0
    for name, count in small.items():
        pending.append(name)
        n_rows += count
        if n_rows >= COMPACTED:
            _join(pending, parts)
            pending, n_rows = [], 0


def _join(names: list[str], parts: ShardStore) -> None:
    try:
        tables = [parts.load(name) for name in names]
    except (
        DamagedShard,
        FileNotFoundError,
    ):  # the next run makes it anew, or another run joins them
        return
    # What an interruption left twice is the same.
    table = pd.concat(tables, ignore_index=True).drop_duplicates(["recording", "size", "version"])
    parts.put(f"{PART}{digest(*names)}", table)
    for name in names:
        parts.remove(name)


def _part_name(files: Sequence[RecordedFile]) -> str:
    return f"{PART}{digest(*((name, size, version) for name, _, size, version in files))}"
