"""Nodes of call scoring: score what is not in the cache, then gather the calls of this run."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pandas as pd
from tqdm import tqdm

from speech_emotion import __version__
from speech_emotion.call_scoring import (
    MIXED,
    UNREAD,
    CallSettings,
    ScoredCall,
    gather_calls,
    join_tables,
    list_calls,
    score_recording,
    store_calls,
    summarize,
    threshold_of,
    without_empty,
)
from speech_emotion.models import EmotionPredictor, PackedPredictor
from speech_emotion.runtime import KEY, ShardStore, digest, fan_out, locate, prefix_of

SHARD_SIZE = 64
"""Calls a shard: the most that are scored again after an interruption."""

logger = logging.getLogger(__name__)


def index_recordings(
    recordings: pd.DataFrame, predictor: EmotionPredictor, settings: CallSettings
) -> pd.DataFrame:
    """List the recordings, each with the key of its result in the cache.

    The key is a digest of the file's name, size and version. Shards are named after what else decides
    the result: the model, the settings and the version of the package.
    """
    threshold_of(predictor, settings)  # raises before any work if there is no threshold
    if predictor.synthetic:
        logger.warning(
            "The model was trained on the SYNTHETIC sample corpus: its emotions mean nothing for these "
            "calls. Train a model on real corpora (--env full), or select one with model_uri"
        )
    files = recordings[["path", "size", "version"]].itertuples(index=False, name=None)
    return recordings[["call", "path"]].assign(**{KEY: [digest(*file) for file in files]})


def score_calls(
    index: pd.DataFrame, predictor: EmotionPredictor, cache: ShardStore, settings: CallSettings
) -> pd.DataFrame:
    """Score the recordings that are not in the cache; each shard is stored as soon as it is done.

    A recording that an object store failed to deliver is stored as rejected, and scored again in the
    next run.

    Returns:
        The index, unchanged: all its recordings are in the cache now.
    """
    prefix = _prefix(predictor, settings)
    stored = list_calls(cache, prefix)
    done = index[KEY].isin(stored.loc[~stored[UNREAD], KEY])
    missing = index[~done]
    logger.info("%d of %d recordings were scored before", done.sum(), len(index))
    calls = missing[["path", "call"]].itertuples(index=False, name=None)
    shared = (PackedPredictor.pack(predictor), settings)
    results = fan_out(_score, calls, shared=shared, n_jobs=settings.n_jobs)
    keyed = zip(missing[KEY], results, strict=True)
    scored = tqdm(keyed, total=len(missing), desc="Scoring calls")
    store_calls(cache, prefix, scored, size=SHARD_SIZE)
    return index


def _score(path: str, call: str, model: PackedPredictor, settings: CallSettings) -> ScoredCall:
    return score_recording(path, model.unpacked(), settings, call=call)


def collect_calls(
    index: pd.DataFrame, predictor: EmotionPredictor, cache: ShardStore, settings: CallSettings
) -> tuple[Iterator[pd.DataFrame], pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Gather the recordings of this run, block by block.

    Returns:
        Windows; the summary of each scored channel; flagged passages; rejected recordings.

    Raises:
        ValueError: If a recording was not scored.
    """
    found = locate(
        index,
        list_calls(cache, _prefix(predictor, settings)),
        remedy="run the call_scoring pipeline without --only-missing-outputs",
    )
    shared = (settings, predictor.labels, threshold_of(predictor, settings))
    # Starting processes takes longer than summarizing one block.
    n_jobs = settings.n_jobs if len(found) > SHARD_SIZE else 1
    blocks = gather_calls(found, cache, size=SHARD_SIZE)
    summarized = fan_out(_summarize, blocks, shared=shared, n_jobs=n_jobs)
    summaries, passages, rejected = map(list, zip(*summarized, strict=True))
    summary = join_tables(summaries).assign(synthetic_model=predictor.synthetic)
    if mono := int((summary["channel_role"] == MIXED).sum()):
        logger.info("%d mono recordings: all speakers are scored as one channel", mono)
    windows = (windows for _, windows in gather_calls(found, cache, size=SHARD_SIZE))
    return without_empty(windows), summary, join_tables(passages), join_tables(rejected)


def _summarize(
    channels: pd.DataFrame,
    windows: pd.DataFrame,
    settings: CallSettings,
    labels: tuple[str, ...],
    threshold: float,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return summary, passages and rejected recordings of a block of calls."""
    scored = channels[channels["reason"] == ""]
    tables = summarize(scored, windows, settings, labels=labels, threshold=threshold)
    return *tables, channels.loc[channels["reason"] != "", ["call", "path", "reason"]]


def _prefix(predictor: EmotionPredictor, settings: CallSettings) -> str:
    threshold = threshold_of(predictor, settings)
    decisive = settings.model_dump_json(exclude={"n_jobs", "batch"})
    return prefix_of(__version__, predictor.digest, threshold, decisive)
