"""Nodes of call scoring: score what is not stored yet, then put the calls together."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

import pandas as pd
from tqdm import tqdm

from speech_emotion import __version__
from speech_emotion.calls import (
    CallSettings,
    ScoredCall,
    judge_of,
    score_recording,
    summarize,
    threshold_of,
)
from speech_emotion.calls.scoring import MONO
from speech_emotion.models.predictor import EmotionPredictor, PackedPredictor
from speech_emotion.parallel import fan_out

Shards = dict[str, Callable[[], pd.DataFrame]]
SHARD_SIZE = 64
"""Calls a shard: what is scored again after an interruption, at most."""
RECENT = 8
"""Shards at hand when calls are put together: several runs store neighbours in a few."""
KEY = "key"
UNREAD = "unread"

logger = logging.getLogger(__name__)


def index_recordings(
    recordings: pd.DataFrame, predictor: EmotionPredictor, settings: CallSettings
) -> pd.DataFrame:
    """List the recordings, each with the key that its result is stored by.

    The key is a digest of the file's name, size and version; shards are named after what else decides
    the result: the model, the settings and the package's version.
    """
    threshold_of(predictor, settings)  # says what is missing before any work
    if predictor.synthetic:
        logger.warning(
            "The model was trained on the SYNTHETIC sample corpus: what it says of these calls means "
            "nothing. Train one on real corpora (--env full), or name one by model_uri"
        )
    if settings.normalization == "running" and judge_of(predictor, settings) is predictor:
        logger.warning(
            "The model carries no version for running normalization: windows are judged as they are"
        )
    files = recordings[["path", "size", "version"]].itertuples(index=False, name=None)
    return recordings[["call", "path"]].assign(**{KEY: [_digest(*file) for file in files]})


def score_calls(
    index: pd.DataFrame,
    predictor: EmotionPredictor,
    settings: CallSettings,
    windows_on_disk: Shards,
    facts_on_disk: Shards,
) -> Iterator[tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame]]]:
    """Score the recordings that are not stored yet; each shard is stored as soon as it is done.

    One that an object store failed to give is stored as rejected, and is scored again the next time.
    """
    prefix = _prefix(predictor, settings)
    stored = _stored(prefix, windows_on_disk, facts_on_disk)
    done = index[KEY].isin(stored.loc[~stored[UNREAD], KEY])
    missing = index[~done]
    logger.info("%d of %d recordings were scored before", done.sum(), len(index))
    # A generator node must give something, or Kedro stores nothing and tells nobody.
    yield {}, {}
    calls = missing[["path", "call"]].itertuples(index=False, name=None)
    shared = (PackedPredictor.of(predictor), settings)
    results = fan_out(_score, calls, shared=shared, n_jobs=settings.n_jobs)
    scored = zip(missing[KEY], results, strict=True)
    yield from _shards(prefix, tqdm(scored, total=len(missing), desc="Scoring calls"))


def _shards(
    prefix: str, scored: Iterable[tuple[str, ScoredCall]]
) -> Iterator[tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame]]]:
    """Put calls together that come one by one; those before a failure are kept, too."""
    part: list[tuple[str, ScoredCall]] = []
    try:
        for one in scored:
            part.append(one)
            if len(part) == SHARD_SIZE:
                yield _shard(prefix, part)
                part = []
    except Exception:
        if part:
            yield _shard(prefix, part)
        raise
    if part:
        yield _shard(prefix, part)


def _shard(
    prefix: str, part: list[tuple[str, ScoredCall]]
) -> tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame]]:
    name = f"{prefix}{_digest(*(key for key, _ in part))}"
    windows = [one.windows.assign(**{KEY: key}) for key, one in part]
    facts = [one.facts.assign(**{KEY: key, UNREAD: one.unread}) for key, one in part]
    return {name: _joined(windows)}, {name: _joined(facts)}


def _score(path: str, call: str, model: PackedPredictor, settings: CallSettings) -> ScoredCall:
    return score_recording(path, model.unpacked(), settings, call=call)


def collect_calls(
    index: pd.DataFrame,
    predictor: EmotionPredictor,
    settings: CallSettings,
    windows: Shards,
    facts: Shards,
) -> tuple[Iterator[pd.DataFrame], pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Put the recordings of this run together, block by block.

    Returns:
        Windows; the summary of each scored channel; flagged passages; rejected recordings.

    Raises:
        ValueError: If a recording was not scored.
    """
    stored = _stored(_prefix(predictor, settings), windows, facts)
    found = index.merge(stored, on=KEY, how="left")
    if (missing := found["shard"].isna()).any():
        raise ValueError(
            f"{missing.sum()} recordings, {found['path'][missing].iloc[0]} among them, were not scored: "
            "run the call_scoring pipeline without --only-missing-outputs"
        )
    blocks = zip(_gathered(found, facts), _gathered(found, windows), strict=True)
    shared = (settings, predictor.labels, threshold_of(predictor, settings))
    # Processes take longer to start than one block takes.
    n_jobs = settings.n_jobs if len(found) > SHARD_SIZE else 1
    parts = fan_out(_summarized, blocks, shared=shared, n_jobs=n_jobs)
    summaries, passages, rejected = map(list, zip(*parts, strict=True))
    summary = _joined(summaries).assign(synthetic_model=predictor.synthetic)
    if mono := int((summary["party"] == MONO).sum()):
        logger.info("%d mono recordings: each is judged as one party, whoever speaks", mono)
    emotions = _unless_empty(_gathered(found, windows))
    return emotions, summary, _joined(passages), _joined(rejected)


def _summarized(
    facts: pd.DataFrame,
    windows: pd.DataFrame,
    settings: CallSettings,
    labels: tuple[str, ...],
    threshold: float,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Summary, passages and rejected recordings of a block of calls."""
    scored = facts[facts["reason"] == ""]
    tables = summarize(scored, windows, settings, labels=labels, threshold=threshold)
    return *tables, facts.loc[facts["reason"] != "", ["call", "path", "reason"]]


def _stored(prefix: str, windows: Shards, facts: Shards) -> pd.DataFrame:
    """Find the shard of each key that is stored, and whether its recording could not be read."""
    listed = [pd.DataFrame({KEY: [], UNREAD: [], "shard": []}).astype({KEY: "str", UNREAD: "bool"})]
    for name, load in facts.items():
        if name.startswith(prefix) and name in windows:
            listed.append(load()[[KEY, UNREAD]].assign(shard=name))
    # The same may be stored twice: by two runs at the same time, or because it was unread before.
    return pd.concat(listed).sort_values(UNREAD, kind="stable").drop_duplicates(KEY)


def _gathered(found: pd.DataFrame, shards: Shards) -> Iterator[pd.DataFrame]:
    """Give the rows of the calls in the order of ``found``, a block of calls at a time."""
    recent = lru_cache(RECENT)(lambda name: shards[name]())
    for start in range(0, len(found), SHARD_SIZE):
        part = found.iloc[start : start + SHARD_SIZE]
        tables = []
        for name, keys in part.groupby("shard", sort=False)[KEY]:
            table = recent(name)
            tables.append(table[table[KEY].isin(keys)])
        rows = _joined(tables)
        order = rows[KEY].map(dict(zip(part[KEY], range(len(part)), strict=True)))
        rows = rows.iloc[order.to_numpy(dtype=int).argsort(kind="stable")]
        yield rows.drop(columns=[KEY, UNREAD], errors="ignore").reset_index(drop=True)


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Put tables below one another; those without rows, whose types are anything, only say the columns."""
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)


def _unless_empty(tables: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Leave out tables without rows: a file takes its types from the first; give one at least."""
    given = False
    for table in tables:
        if len(table):
            given = True
            yield table
    if not given:
        yield table


def _prefix(predictor: EmotionPredictor, settings: CallSettings) -> str:
    """Mark shards by how they were scored; another version of the package may do it otherwise."""
    threshold = threshold_of(predictor, settings)
    decisive = settings.model_dump_json(exclude={"n_jobs", "batch"})
    return f"{_digest(__version__, predictor.digest, threshold, decisive)[:12]}-"


def _digest(*facts: object) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:24]
