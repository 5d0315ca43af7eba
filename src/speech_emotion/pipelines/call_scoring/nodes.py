"""Nodes of call scoring: score what is not stored yet, then put the calls together."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

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

logger = logging.getLogger(__name__)


def index_recordings(
    recordings: dict[str, Path], predictor: EmotionPredictor, settings: CallSettings
) -> pd.DataFrame:
    """List the recordings, each with the key that its result is stored by.

    The key is a digest of all that decides the result: the file by its name, size and time of change,
    the model, the settings and the package's version.
    """
    threshold = threshold_of(predictor, settings)  # says what is missing before any work
    if predictor.synthetic:
        logger.warning(
            "The model was trained on the SYNTHETIC sample corpus: what it says of these calls means "
            "nothing. Train one on real corpora (--env full), or name one by model_uri"
        )
    if settings.normalization == "running" and judge_of(predictor, settings) is predictor:
        logger.warning(
            "The model carries no version for running normalization: windows are judged as they are"
        )
    decisive = settings.model_dump_json(exclude={"n_jobs", "batch"})
    shared = (__version__, predictor.digest, threshold, decisive)
    rows = []
    for call, path in recordings.items():
        try:
            facts = path.stat()
            state = (facts.st_size, facts.st_mtime_ns)
        except OSError:  # a broken link; scoring tells
            state = (0, 0)
        content = repr((*shared, str(path), *state))
        key = hashlib.sha256(content.encode()).hexdigest()[:24]
        rows.append((call, str(path), key))
    return pd.DataFrame(rows, columns=["call", "path", "key"])


def score_calls(
    index: pd.DataFrame,
    predictor: EmotionPredictor,
    settings: CallSettings,
    windows_on_disk: Shards,
    facts_on_disk: Shards,
) -> Iterator[tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame]]]:
    """Score the recordings that are not stored yet; each is stored as soon as it is done."""
    done = index["key"].isin(list(windows_on_disk)) & index["key"].isin(list(facts_on_disk))
    missing = index[~done]
    logger.info("%d of %d recordings were scored before", done.sum(), len(index))
    # A generator node must give something, or Kedro stores nothing and tells nobody.
    yield {}, {}
    calls = missing[["path", "call"]].itertuples(index=False, name=None)
    shared = (PackedPredictor.of(predictor), settings)
    results = fan_out(_score, calls, shared=shared, n_jobs=settings.n_jobs)
    found = zip(missing["key"], results, strict=True)
    for key, scored in tqdm(found, total=len(missing), desc="Scoring calls"):
        yield {key: scored.windows}, {key: scored.facts}


def _score(path: str, call: str, model: PackedPredictor, settings: CallSettings) -> ScoredCall:
    return score_recording(Path(path), model.unpacked(), settings, call=call)


def collect_calls(
    index: pd.DataFrame,
    predictor: EmotionPredictor,
    settings: CallSettings,
    windows: Shards,
    facts: Shards,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Put the recordings of this run together.

    Returns:
        Windows; the summary of each scored channel; flagged passages; rejected recordings.
    """
    every = pd.concat([facts[key]() for key in index["key"]], ignore_index=True)
    rejected = every.loc[every["reason"] != "", ["call", "path", "reason"]]
    scored = every[every["reason"] == ""]
    emotions = pd.concat([windows[key]() for key in index["key"]], ignore_index=True)
    mono = int((scored["party"] == MONO).sum())
    if mono:
        logger.info("%d mono recordings: each is judged as one party, whoever speaks", mono)
    summary, passages = summarize(
        scored,
        emotions,
        settings,
        labels=predictor.labels,
        threshold=threshold_of(predictor, settings),
    )
    summary = summary.assign(synthetic_model=predictor.synthetic)
    return emotions, summary, passages, rejected.reset_index(drop=True)
