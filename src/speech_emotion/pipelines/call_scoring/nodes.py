"""Nodes of call scoring: score what is not stored yet, then put the calls together."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import pandas as pd
from joblib import Parallel, delayed
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
from speech_emotion.models.predictor import EmotionPredictor

Shards = dict[str, Callable[[], pd.DataFrame]]
MODEL = "model"

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
    with tempfile.TemporaryDirectory() as folder:
        # Workers read the model themselves, once each: sending it with every call would cost more.
        model = Path(folder) / MODEL
        predictor.save(model)
        tasks = (
            delayed(_score)(row.key, row.path, row.call, str(model), settings)
            for row in missing.itertuples()
        )
        results = Parallel(n_jobs=settings.n_jobs, return_as="generator_unordered")(tasks)
        for key, scored in tqdm(results, total=len(missing), desc="Scoring calls"):
            yield {key: scored.windows}, {key: scored.facts}


def _score(
    key: str, path: str, call: str, model: str, settings: CallSettings
) -> tuple[str, ScoredCall]:
    return key, score_recording(Path(path), _predictor(model), settings, call=call)


@lru_cache(maxsize=1)
def _predictor(folder: str) -> EmotionPredictor:
    return EmotionPredictor.load(Path(folder))


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
