"""Folds that others have published, in place of the project's own."""

from __future__ import annotations

import json
import logging
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
import pandas as pd

from speech_emotion.corpora.entry import UnknownName
from speech_emotion.corpora.tables import Finder, TableError, read_delimited, read_parquet

__all__ = ["PUBLISHED", "FoldsError", "match_folds", "read_folds"]

PUBLISHED: Final = {
    file.name.removesuffix(".csv"): str(file)
    for file in sorted((files("speech_emotion.corpora") / "folds").iterdir(), key=str)
    if file.name.endswith(".csv")
}
"""Folds that come with this package, by name."""

KEYS: Final = {
    "utterance_id": ("utterance_id",),
    "file": ("file", "filename", "file_name", "path", "wav", "audio", "name"),
    "speaker": ("speaker", "speaker_id", "spk", "actor"),
}
FOLDS: Final = ("fold", "fold_id", "cv_fold")
SETS: Final = ("split", "set", "partition", "subset")
TRAINING: Final = ("train", "training", "dev", "devel", "development", "val", "valid", "validation")
TESTING: Final = ("test", "testing", "eval", "evaluation")

logger = logging.getLogger(__name__)


class FoldsError(ValueError):
    """Published folds cannot be used, with file, value and remedy."""


def read_folds(source: str) -> pd.DataFrame:
    """Read published folds.

    Args:
        source: A table (CSV, TSV or Parquet) with a column ``utterance_id``, ``file`` or ``speaker`` and a
            column ``fold`` or ``split``; a folder of EmoBox (``fold_1/…_test_fold_1.jsonl``, …); or a name
            of :data:`PUBLISHED`.

    Returns:
        As text: the key, which is the first column, and ``fold`` or ``split`` or both.

    Raises:
        FoldsError: If there is no such file, or a column is missing.

    Example:
        >>> read_folds("ravdess_emobox").groupby("fold").size().to_dict()
        {'1': 4, '2': 4, '3': 4, '4': 4, '5': 4, '6': 4}
    """
    path = PUBLISHED.get(source, source)
    if Path(path).is_dir():
        return _read_emobox(Path(path))
    try:
        table = read_parquet(path) if path.lower().endswith((".parquet", ".pq")) else None
        if table is None:
            table, bad = read_delimited(path, [])
            if bad:
                raise FoldsError(f"splits.file {path}, row {bad[0][0]}: {bad[0][1]}")
    except (OSError, TableError) as error:
        known = ", ".join(PUBLISHED)
        raise FoldsError(
            f"splits.file {source!r} cannot be read ({error}); give a table, or one of: {known}"
        ) from error
    columns = {str(column).strip().casefold(): column for column in table}
    key = next(
        ((name, columns[c]) for name, found in KEYS.items() for c in found if c in columns), None
    )
    fold = next((columns[name] for name in FOLDS if name in columns), None)
    part = next((columns[name] for name in SETS if name in columns), None)
    if key is None or (fold is None and part is None):
        raise FoldsError(
            f"splits.file {path} has the columns {', '.join(map(repr, table.columns))}: it needs one of "
            f"utterance_id, file or speaker, and fold or split"
        )
    named = {key[0]: table[key[1]]}
    if fold is not None:
        named["fold"] = table[fold]
    if part is not None:
        named["split"] = table[part].str.casefold()
    return pd.DataFrame(named)


def _read_emobox(folder: Path) -> pd.DataFrame:
    """Read the lists of a corpus of EmoBox; one fold alone is a test set."""
    lists = sorted(folder.glob("fold_*/*_test_fold_*.jsonl"))
    if not lists:
        raise FoldsError(f"splits.file {folder} holds no fold_1/…_test_fold_1.jsonl as EmoBox does")
    single = len(lists) == 1
    if single:
        lists = sorted(folder.glob("fold_*/*_fold_*.jsonl"))
    rows = []
    for path in lists:
        name = PurePosixPath(path.name).stem
        value = name.split("_")[-3] if single else name.rpartition("_")[2]
        for line in path.read_text(encoding="utf-8").splitlines():
            rows.append({"file": json.loads(line)["wav"], "split" if single else "fold": value})
    return pd.DataFrame(rows)


def match_folds(folds: pd.DataFrame, utterances: pd.DataFrame, source: str) -> pd.DataFrame:
    """Find fold and set of each utterance.

    Args:
        folds: Result of :func:`read_folds`.
        utterances: Columns ``utterance_id``, ``path``, ``corpus``, ``speaker``.
        source: Where the folds come from, for messages.

    Returns:
        Aligned with ``utterances``: ``listed``, ``is_test``, and ``fold`` (0, 1, …; -1 if the folds do
        not give one).

    Raises:
        FoldsError: If no utterance is listed, one is in two folds or sets, or a set has another name
            than training, development or test.
    """
    key = str(folds.columns[0])
    values = folds.drop(columns=key).copy()
    if "split" in values and (other := sorted({*values["split"]} - {*TRAINING, *TESTING})):
        raise FoldsError(f"splits.file {source}: split {other[0]!r} is none of train, dev, test")
    values["at"] = _positions(folds[key], utterances, key)
    missing = int(values["at"].isna().sum())
    if missing:
        logger.warning(
            "%s lists %d of %d entries that are not among the utterances, %s among them",
            *(source, missing, len(values), folds.loc[values["at"].isna(), key].iloc[0]),
        )
    values = values.dropna(subset="at").explode("at").drop_duplicates()
    if twice := values.loc[values["at"].duplicated(), "at"].tolist():
        name = utterances["utterance_id"].iloc[int(twice[0])]
        raise FoldsError(f"splits.file {source}: {name} is in two folds or sets; keep one")
    if values.empty:
        raise FoldsError(
            f"splits.file {source} lists none of the {len(utterances)} utterances; compare its column "
            f"{key!r} with `utterances`, for example {utterances['utterance_id'].iloc[0]!r}"
        )
    found = values.set_index("at").reindex(range(len(utterances)))
    result = pd.DataFrame(index=utterances.index)
    result["listed"] = found.notna().any(axis=1).to_numpy()
    result["is_test"] = found["split"].isin(TESTING).to_numpy() if "split" in found else False
    result["fold"] = -1
    if "fold" in found:
        trained = (result["listed"] & ~result["is_test"]).to_numpy()
        names = sorted(set(found["fold"][trained]), key=_natural)
        result.loc[trained, "fold"] = [names.index(name) for name in found["fold"][trained]]
    if left := int((~result["listed"]).sum()):
        logger.warning(
            "%s does not list %d utterances; they are left out of all splits", source, left
        )
    return result


def _natural(name: str) -> tuple[bool, float, str]:
    """Sort numbers by value, then other names."""
    number = float(name) if name.replace(".", "", 1).isdigit() else np.inf
    return number == np.inf, number, name


def _positions(keys: pd.Series, utterances: pd.DataFrame, key: str) -> pd.Series:
    """Positions of the utterances of each entry, missing if there are none."""
    by_name: dict[str, list[int]] = {}
    if key == "speaker":
        for position, (speaker, corpus) in enumerate(
            zip(utterances["speaker"], utterances["corpus"], strict=True)
        ):
            by_name.setdefault(speaker, []).append(position)
            by_name.setdefault(speaker.removeprefix(f"{corpus}_"), []).append(position)
    elif key == "utterance_id":
        by_name = {name: [i] for i, name in enumerate(utterances["utterance_id"])}
    else:
        paths = [path.lstrip("/") for path in utterances["path"]]
        places = {path: position for position, path in enumerate(paths)}
        find = Finder("", "", paths)
        for name in keys.unique():
            try:
                by_name[name] = [places[find(name)]]
            except UnknownName:
                continue
    return keys.map(by_name)
