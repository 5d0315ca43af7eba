"""Nodes of call scoring: score what is not in the cache, then gather the calls of this run."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pandas as pd
from tqdm import tqdm

from speech_emotion import __version__
from speech_emotion.call_scoring import (
    MIXED,
    UNREAD,
    CallSettings,
    LineMean,
    ScoredCall,
    capacity_threshold,
    embed_recording,
    flag_again,
    gather_calls,
    join_tables,
    list_calls,
    mean_of_calls,
    score_recording,
    store_calls,
    summarize,
    sustained_score,
    threshold_of,
    without_empty,
)
from speech_emotion.models import EmotionPredictor, PackedPredictor
from speech_emotion.runtime import KEY, ShardStore, digest, fan_out, locate, prefix_of

SHARD_SIZE: Final = 64
"""Calls a shard: the most that are scored again after an interruption."""

LINE: Final = "line"
"""Folder of the cache for the estimates of lines."""

logger = logging.getLogger(__name__)


def index_recordings(
    recordings: pd.DataFrame, predictor: EmotionPredictor, settings: CallSettings
) -> pd.DataFrame:
    """List the recordings, each with the key of its result in the cache.

    The key is a digest of the file's name, size and version. Shards are named after what else decides
    the result: the model, the settings and the version of the package. Recordings with a ``reason``
    cannot be read; they have no result in the cache.
    """
    threshold_of(predictor, settings)  # raises before any work if there is no threshold
    if predictor.synthetic:
        logger.warning(
            "The model was trained on the SYNTHETIC sample corpus: its emotions mean nothing for these "
            "calls. Train a model on real corpora (--env full), or select one with model_uri"
        )
    files = recordings[["path", "size", "version"]].itertuples(index=False, name=None)
    return recordings[["call", "path", "reason"]].assign(**{KEY: [digest(*file) for file in files]})


def estimate_line(
    index: pd.DataFrame, predictor: EmotionPredictor, cache: ShardStore, settings: CallSettings
) -> dict[str, Any]:
    """Estimate the mean embedding of the center's line from a sample of the recordings.

    The estimate is kept in the cache, so that new recordings are scored like those before. It is replaced
    if it is from fewer than ``calls.line_calls`` calls and twice as many are available now.

    Returns:
        Content of a :class:`LineMean`; empty for models without an encoder, or if it is disabled.
    """
    if predictor.reference is None or settings.line_calls == 0:
        return {}
    index = index[index["reason"] == ""]
    if index.empty:
        return {}
    name = f"{_line_prefix(index, predictor, settings)}line"
    store = cache.within(LINE)
    stored = store.load(name) if name in store.names() else None
    size = min(settings.line_calls, len(index))
    if stored is not None and size < 2 * int(stored["n_sampled"].iloc[0]):
        return LineMean.from_dict(stored.iloc[0].to_dict()).to_dict()
    sample = index.sort_values(KEY).head(size)  # keys are digests, so this is a random sample
    shared = (PackedPredictor.pack(predictor), settings)
    calls = sample[["path"]].itertuples(index=False, name=None)
    embedded = fan_out(_embed, calls, shared=shared, n_jobs=settings.n_jobs)
    mean = mean_of_calls(tqdm(embedded, total=size, desc="Estimating the line"))
    if mean is None:
        return {}
    store.put(name, pd.DataFrame([mean.to_dict() | {"n_sampled": size}]))
    logger.info("Line of the center: %d windows of %d calls", mean.n_windows, mean.n_calls)
    return mean.to_dict()


def _embed(path: str, model: PackedPredictor, settings: CallSettings) -> np.ndarray:
    return embed_recording(path, model.unpacked(), settings)


def _line_prefix(index: pd.DataFrame, predictor: EmotionPredictor, settings: CallSettings) -> str:
    """Beginning of the names of the estimates: the folder of the recordings, model and settings."""
    folders = sorted({str(path).rpartition("/")[0] for path in index["path"]})
    center = os.path.commonpath(folders) if len(folders) > 1 else folders[0]
    decisive = settings.model_dump_json(include={"customer_channel", "windows", "quality"})
    return prefix_of("line", center, predictor.digest, decisive)


def score_calls(
    index: pd.DataFrame,
    line: dict[str, Any],
    predictor: EmotionPredictor,
    cache: ShardStore,
    settings: CallSettings,
) -> pd.DataFrame:
    """Score the recordings that are not in the cache; each shard is stored as soon as it is done.

    A recording that an object store failed to deliver is stored as rejected, and scored again in the
    next run.

    Returns:
        The index, unchanged: all its recordings are in the cache now.
    """
    prefix = _prefix(predictor, settings, line)
    stored = list_calls(cache, prefix)
    readable = index[index["reason"] == ""]
    done = readable[KEY].isin(stored.loc[~stored[UNREAD], KEY])
    missing = readable[~done]
    logger.info("%d of %d recordings were scored before", done.sum(), len(readable))
    calls = missing[["path", "call"]].itertuples(index=False, name=None)
    shared = (PackedPredictor.pack(predictor), settings, _line_of(line))
    results = fan_out(_score, calls, shared=shared, n_jobs=settings.n_jobs)
    keyed = zip(missing[KEY], results, strict=True)
    scored = tqdm(keyed, total=len(missing), desc="Scoring calls")
    store_calls(cache, prefix, scored, size=SHARD_SIZE)
    return index


def _score(
    path: str, call: str, model: PackedPredictor, settings: CallSettings, line: LineMean | None
) -> ScoredCall:
    return score_recording(path, model.unpacked(), settings, call=call, line=line)


def _line_of(content: dict[str, Any]) -> LineMean | None:
    return LineMean.from_dict(content) if content else None


def collect_calls(
    index: pd.DataFrame,
    line: dict[str, Any],
    predictor: EmotionPredictor,
    cache: ShardStore,
    settings: CallSettings,
) -> tuple[Iterator[pd.DataFrame], pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Gather the recordings of this run, block by block.

    Returns:
        Windows; the summary of each scored channel; flagged passages; rejected recordings.

    Raises:
        ValueError: If a recording was not scored.
    """
    unreadable = index.loc[index["reason"] != "", ["call", "path", "reason"]]
    found = locate(
        index[index["reason"] == ""].reset_index(drop=True),
        list_calls(cache, _prefix(predictor, settings, line)),
        remedy="run the call_scoring pipeline without --only-missing-outputs",
    )
    threshold = _operating_point(found, predictor, cache, settings)
    shared = (settings, predictor.labels, threshold)
    # Starting processes takes longer than summarizing one block.
    n_jobs = settings.n_jobs if len(found) > SHARD_SIZE else 1
    blocks = gather_calls(found, cache, size=SHARD_SIZE)
    summarized = fan_out(_summarize, blocks, shared=shared, n_jobs=n_jobs)
    summaries, passages, rejected = map(list, zip(*summarized, strict=True))
    summary = join_tables(summaries).assign(
        synthetic_model=predictor.synthetic, model=predictor.title
    )
    if mono := int((summary["channel_role"] == MIXED).sum()):
        logger.info("%d mono recordings: all speakers are scored as one channel", mono)
    windows = (
        _flagged(windows, settings, threshold)
        for _, windows in gather_calls(found, cache, size=SHARD_SIZE)
    )
    return (
        without_empty(windows),
        summary,
        join_tables(passages),
        join_tables([*rejected, unreadable]),
    )


def _operating_point(
    found: pd.DataFrame, predictor: EmotionPredictor, cache: ShardStore, settings: CallSettings
) -> float:
    """Return the threshold: that of the model or the settings, or the one that fits the capacity."""
    flags = settings.flags
    if flags.per_100_calls is None:
        return threshold_of(predictor, settings)
    sustained = [
        sustained_score(scored["score"], flags.consecutive)
        for _, windows in gather_calls(found, cache, size=SHARD_SIZE)
        for _, scored in windows[windows["out_of_domain"] == ""].groupby(["call", "channel"])
    ]
    threshold = capacity_threshold(np.array(sustained), flags.per_100_calls)
    logger.info(
        "Threshold %.3f flags at most %g of 100 channels with speech",
        threshold,
        flags.per_100_calls,
    )
    return threshold


def _flagged(windows: pd.DataFrame, settings: CallSettings, threshold: float) -> pd.DataFrame:
    """Flag windows anew if the threshold was set by capacity."""
    if settings.flags.per_100_calls is None:
        return windows
    return flag_again(windows, threshold, settings.flags)


def _summarize(
    channels: pd.DataFrame,
    windows: pd.DataFrame,
    settings: CallSettings,
    labels: tuple[str, ...],
    threshold: float,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return summary, passages and rejected recordings of a block of calls."""
    scored = channels[channels["reason"] == ""]
    windows = _flagged(windows, settings, threshold)
    tables = summarize(scored, windows, settings, labels=labels, threshold=threshold)
    return *tables, channels.loc[channels["reason"] != "", ["call", "path", "reason"]]


def _prefix(predictor: EmotionPredictor, settings: CallSettings, line: dict[str, Any]) -> str:
    threshold = threshold_of(predictor, settings)
    decisive = settings.model_dump_json(exclude={"n_jobs", "batch"})
    return prefix_of(__version__, predictor.digest, threshold, decisive, digest(line))
