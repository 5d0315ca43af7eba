"""Nodes of call scoring: score what is not stored yet, then put the calls together."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pandas as pd
from tqdm import tqdm

from speech_emotion.call_scoring import (
    MIXED,
    UNREAD,
    CallSettings,
    ScoredCall,
    gather_calls,
    join_tables,
    list_calls,
    score_recording,
    shard_calls,
    summarize,
    threshold_of,
    without_empty,
)
from speech_emotion.models import EmotionPredictor, PackedPredictor
from speech_emotion.runtime import KEY, Shards, digest, fan_out, locate, prefix_of

SHARD_SIZE = 64
"""Calls a shard: what is scored again after an interruption, at most."""

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
    files = recordings[["path", "size", "version"]].itertuples(index=False, name=None)
    return recordings[["call", "path"]].assign(**{KEY: [digest(*file) for file in files]})


def score_calls(
    index: pd.DataFrame,
    predictor: EmotionPredictor,
    settings: CallSettings,
    windows_on_disk: Shards,
    channels_on_disk: Shards,
) -> Iterator[tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame]]]:
    """Score the recordings that are not stored yet; each shard is stored as soon as it is done.

    One that an object store failed to give is stored as rejected, and is scored again the next time.
    """
    prefix = _prefix(predictor, settings)
    stored = list_calls(windows_on_disk, channels_on_disk, prefix)
    done = index[KEY].isin(stored.loc[~stored[UNREAD], KEY])
    missing = index[~done]
    logger.info("%d of %d recordings were scored before", done.sum(), len(index))
    # A generator node must give something, or Kedro stores nothing and tells nobody.
    yield {}, {}
    calls = missing[["path", "call"]].itertuples(index=False, name=None)
    shared = (PackedPredictor.pack(predictor), settings)
    results = fan_out(_score, calls, shared=shared, n_jobs=settings.n_jobs)
    keyed = zip(missing[KEY], results, strict=True)
    scored = tqdm(keyed, total=len(missing), desc="Scoring calls")
    yield from shard_calls(prefix, scored, size=SHARD_SIZE)


def _score(path: str, call: str, model: PackedPredictor, settings: CallSettings) -> ScoredCall:
    return score_recording(path, model.unpacked(), settings, call=call)


def collect_calls(
    index: pd.DataFrame,
    predictor: EmotionPredictor,
    settings: CallSettings,
    windows: Shards,
    channels: Shards,
) -> tuple[Iterator[pd.DataFrame], pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Put the recordings of this run together, block by block.

    Returns:
        Windows; the summary of each scored channel; flagged passages; rejected recordings.

    Raises:
        ValueError: If a recording was not scored.
    """
    found = locate(
        index,
        list_calls(windows, channels, _prefix(predictor, settings)),
        remedy="run the call_scoring pipeline without --only-missing-outputs",
    )

    def gathered(shards: Shards) -> Iterator[pd.DataFrame]:
        return gather_calls(found, shards, size=SHARD_SIZE)

    blocks = zip(gathered(channels), gathered(windows), strict=True)
    shared = (settings, predictor.labels, threshold_of(predictor, settings))
    # Processes take longer to start than one block takes.
    n_jobs = settings.n_jobs if len(found) > SHARD_SIZE else 1
    parts = fan_out(_summarized, blocks, shared=shared, n_jobs=n_jobs)
    summaries, passages, rejected = map(list, zip(*parts, strict=True))
    summary = join_tables(summaries).assign(synthetic_model=predictor.synthetic)
    if mono := int((summary["channel_role"] == MIXED).sum()):
        logger.info("%d mono recordings: each is judged as one channel_role, whoever speaks", mono)
    emotions = without_empty(gathered(windows))
    return emotions, summary, join_tables(passages), join_tables(rejected)


def _summarized(
    channels: pd.DataFrame,
    windows: pd.DataFrame,
    settings: CallSettings,
    labels: tuple[str, ...],
    threshold: float,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Summary, passages and rejected recordings of a block of calls."""
    scored = channels[channels["reason"] == ""]
    tables = summarize(scored, windows, settings, labels=labels, threshold=threshold)
    return *tables, channels.loc[channels["reason"] != "", ["call", "path", "reason"]]


def _prefix(predictor: EmotionPredictor, settings: CallSettings) -> str:
    threshold = threshold_of(predictor, settings)
    decisive = settings.model_dump_json(exclude={"n_jobs", "batch"})
    return prefix_of(predictor.digest, threshold, decisive)
