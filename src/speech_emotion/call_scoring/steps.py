"""Steps of call scoring: score what is not in the cache, then gather the calls of this run.

The pipeline ``call_scoring`` and the command ``batch`` take the same steps.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pandas as pd
from tqdm import tqdm

from speech_emotion import __version__
from speech_emotion.call_scoring.flags import capacity_threshold, flag_again, sustained_score
from speech_emotion.call_scoring.inspection import Inspection, inspect_recording
from speech_emotion.call_scoring.inspection import rejected as reject_inspection
from speech_emotion.call_scoring.line import LineMean, mean_of_calls
from speech_emotion.call_scoring.metadata import collect_metadata
from speech_emotion.call_scoring.roles import Roles, assign_roles, find_agent_voices
from speech_emotion.call_scoring.scoring import (
    CHANNEL_COLUMNS,
    ScoredCall,
    embed_inspected,
    reject_call,
    score_inspected,
    window_columns,
)
from speech_emotion.call_scoring.settings import CALL_FIELDS, CallSettings
from speech_emotion.call_scoring.store import (
    gather_calls,
    join_tables,
    list_calls,
    list_inspections,
    load_inspections,
    store_calls,
    store_inspections,
    without_empty,
)
from speech_emotion.call_scoring.stream import threshold_of
from speech_emotion.call_scoring.summary import summarize
from speech_emotion.models import EmotionPredictor, PackedPredictor
from speech_emotion.runtime import (
    KEY,
    UNREAD,
    DamagedShard,
    ShardStore,
    WorkerLost,
    as_completed,
    check_same_keys,
    digest,
    fan_out,
    join,
    locate,
    prefix_of,
)

__all__ = [
    "collect_calls",
    "estimate_line",
    "identify_customers",
    "index_recordings",
    "inspect_calls",
    "read_metadata",
    "score_calls",
    "scores_depend_on",
    "stored_line",
    "unread_calls",
]

SHARD_SIZE: Final = 64
"""Calls a shard: the most that are scored again after an interruption."""

TEXT_FIELDS: Final = tuple(name for name in CALL_FIELDS if name != "customer_channel")
PARTY_COLUMNS: Final = [
    name for name in CHANNEL_COLUMNS if name not in {"path", "unknown", "reason"}
]
NOT_DECISIVE: Final = {
    "n_jobs",
    "batch",
    "metadata",
    "metadata_columns",
    "metadata_separator",
    "metadata_encoding",
    "metadata_sheet",
    "metadata_start_format",
    "name_pattern",
}
"""Settings that do not change the scores of a call."""

RERUN: Final = "run the call_scoring pipeline without --only-missing-outputs"

LINE: Final = "line"
"""Folder of the cache for the estimates of lines."""

logger = logging.getLogger(__name__)


def read_metadata(
    recordings: pd.DataFrame, rows: bytes | None, settings: CallSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Collect the metadata of each recording from the table of calls and from its name.

    Returns:
        One row per recording, and the rejected rows and names.

    Raises:
        ValueError: If ``calls.metadata`` is set where it has no effect.
    """
    if rows is None and settings.metadata is not None:
        raise ValueError(
            f"calls.metadata is {settings.metadata!r} in the parameters, which is not read: give it as "
            "--params calls.metadata=PATH, or set the filepath of call_metadata_rows in a catalog"
        )
    metadata, rejected = collect_metadata(recordings["call"].tolist(), rows, settings)
    if rows is not None or settings.name_pattern is not None:
        known = (metadata[list(TEXT_FIELDS)] != "").any(axis=1) | (
            metadata["customer_channel"] >= 0
        )
        logger.info(
            "Metadata of %d of %d recordings; %d rows or names rejected",
            known.sum(),
            len(metadata),
            len(rejected),
        )
    return metadata, rejected


def index_recordings(
    recordings: pd.DataFrame, predictor: EmotionPredictor, settings: CallSettings
) -> pd.DataFrame:
    """List the recordings, each with the key of its inspection in the cache.

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


def inspect_calls(
    index: pd.DataFrame, predictor: EmotionPredictor, cache: ShardStore, settings: CallSettings
) -> pd.DataFrame:
    """Inspect the recordings that are not in the cache: channels, voice activity, voices.

    Returns:
        The index, unchanged: all its recordings are in the cache now.
    """
    prefix = _inspection_prefix(predictor, settings)
    stored = list_inspections(cache, prefix)
    done = index[KEY].isin(stored.loc[~stored[UNREAD], KEY])
    missing = index[~done & (index["reason"] == "")]
    shared = (settings, PackedPredictor.pack(predictor))
    calls = zip(missing[KEY], missing[["path"]].itertuples(index=False, name=None), strict=True)
    results = as_completed(_inspect, calls, shared=shared, n_jobs=settings.n_jobs)
    inspected = (
        (
            key,
            reject_inspection(str(found), unread=True) if isinstance(found, WorkerLost) else found,
        )
        for key, found in tqdm(results, total=len(missing), desc="Inspecting calls")
    )
    store_inspections(cache, prefix, inspected, size=SHARD_SIZE)
    return index


def _inspect(path: str, settings: CallSettings, model: PackedPredictor) -> Inspection:
    return inspect_recording(path, settings, model.unpacked())


def identify_customers(
    index: pd.DataFrame,
    metadata: pd.DataFrame,
    predictor: EmotionPredictor,
    cache: ShardStore,
    settings: CallSettings,
) -> pd.DataFrame:
    """Decide which party of each recording is the customer.

    In calls with both parties on one channel, the voice that recurs in calls of the same agent is the
    agent's.

    Returns:
        The index with the roles of the parties, and the key of the scores in the cache.
    """
    unreadable = index[index["reason"] != ""]
    index = index[index["reason"] == ""]
    known = join(index, metadata, "call", names=("call_index", "call_metadata"), remedy=RERUN)
    found = _inspected(known, predictor, cache, settings)
    agent_voice = np.full(len(known), -1)
    separated: dict[str, list[tuple[int, np.ndarray]]] = {}
    for position, inspection in enumerate(load_inspections(found, cache)):
        agent = known["agent"].iloc[position]
        if agent and inspection.mixed and len(inspection.parties) > 1:
            voices = np.stack([party.voice for party in inspection.parties])
            separated.setdefault(agent, []).append((position, voices))
    for calls in separated.values():
        positions = [position for position, _ in calls]
        agent_voice[positions] = find_agent_voices(np.stack([voices for _, voices in calls]))
    rows = []
    for record, voice, inspection in zip(
        known.to_dict("records"), agent_voice, load_inspections(found, cache), strict=True
    ):
        roles = assign_roles(inspection, settings, record, int(voice))
        content = roles.to_dict()
        key = digest(record[KEY], *content.values())
        row = {name: record[name] for name in ("call", "path", "reason")} | content
        rows.append(row | {"inspection": record[KEY], KEY: key})
    rejected = Roles(()).to_dict() | {"inspection": ""}
    rows += [record | rejected for record in unreadable.to_dict("records")]
    table = pd.DataFrame(rows, columns=["call", "path", "reason", *Roles.FIELDS, "inspection", KEY])
    return table.sort_values("path", ignore_index=True)


def _inspected(
    index: pd.DataFrame,
    predictor: EmotionPredictor,
    cache: ShardStore,
    settings: CallSettings,
) -> pd.DataFrame:
    """Locate the inspections of the recordings in the cache."""
    return locate(
        index[[KEY, "path"]],
        list_inspections(cache, _inspection_prefix(predictor, settings)),
        remedy=RERUN,
    )


def _inspection_prefix(predictor: EmotionPredictor, settings: CallSettings) -> str:
    names = {"customer_channel", "one_channel", "score_agent", "min_call_s", "limits"}
    decisive = settings.model_dump_json(include=names)
    voices = predictor.digest if predictor.voices is not None else ""
    return prefix_of("inspection", __version__, voices, decisive)


def stored_line(
    predictor: EmotionPredictor, settings: CallSettings, lines: ShardStore, center: str
) -> dict[str, Any]:
    """Return the estimate of a center's line that is stored, with the number of calls it was sampled from.

    Args:
        predictor: The model.
        settings: How calls are scored.
        lines: Where estimates are stored.
        center: Folder of the recordings.

    Returns:
        Content of a :class:`LineMean` and ``n_sampled``; empty if there is none.
    """
    if predictor.reference is None or settings.line_calls == 0:
        return {}
    name = _line_name(center, predictor, settings)
    try:
        stored = lines.load(name) if name in lines.names() else None
    except DamagedShard:
        stored = None  # it is estimated again
    if stored is None:
        return {}
    content = stored.iloc[0].to_dict()
    return LineMean.from_dict(content).to_dict() | {"n_sampled": int(content["n_sampled"])}


def estimate_line(
    roles: pd.DataFrame,
    predictor: EmotionPredictor,
    cache: ShardStore,
    settings: CallSettings,
    *,
    lines: ShardStore | None = None,
    center: str | None = None,
) -> dict[str, Any]:
    """Estimate the mean embedding of the center's line from a sample of the recordings.

    The estimate is kept in the cache, so that new recordings are scored like those before. It is replaced
    if it is from fewer than ``calls.line_calls`` calls and twice as many are available now.

    Args:
        roles: Result of :func:`identify_customers`.
        predictor: The model.
        cache: Cache with the inspections of the recordings.
        settings: How calls are scored.
        lines: Where estimates are stored; in the cache by default.
        center: Folder of the recordings; by default the one that they have in common.

    Returns:
        Content of a :class:`LineMean`; empty for models without an encoder, or if it is disabled.
    """
    if predictor.reference is None or settings.line_calls == 0:
        return {}
    store = lines or cache.within(LINE)
    center = center or _common_folder(roles)
    stored = stored_line(predictor, settings, store, center)
    usable = roles[(roles[["reason", "rejected", "unknown"]] == "").all(axis=1)]
    size = min(settings.line_calls, len(usable))
    if size == 0:
        return {}
    if stored and size < 2 * stored.pop("n_sampled"):
        return stored
    sample = usable.sort_values(KEY).head(size)  # keys are digests, so this is a random sample
    shared = (PackedPredictor.pack(predictor), settings)
    calls = _with_inspections(sample, ["path"], predictor, cache, settings)
    embedded = fan_out(_embed, calls, shared=shared, n_jobs=settings.n_jobs)
    mean = mean_of_calls(tqdm(embedded, total=size, desc="Estimating the line"))
    if mean is None:
        return {}
    name = _line_name(center, predictor, settings)
    store.put(name, pd.DataFrame([mean.to_dict() | {"n_sampled": size}]))
    logger.info("Line of the center: %d windows of %d calls", mean.n_windows, mean.n_calls)
    return mean.to_dict()


def _with_inspections(
    rows: pd.DataFrame,
    columns: list[str],
    predictor: EmotionPredictor,
    cache: ShardStore,
    settings: CallSettings,
) -> Iterator[tuple[Any, ...]]:
    """Yield some columns, the inspection and the roles of each recording."""
    keys = rows[["path"]].assign(**{KEY: rows["inspection"]})
    found = _inspected(keys, predictor, cache, settings)
    for record, inspection in zip(
        rows.to_dict("records"), load_inspections(found, cache), strict=True
    ):
        yield *(record[name] for name in columns), inspection, Roles.from_dict(record)


def _embed(
    path: str,
    inspection: Inspection,
    roles: Roles,
    model: PackedPredictor,
    settings: CallSettings,
) -> np.ndarray:
    return embed_inspected(path, inspection, roles, model.unpacked(), settings)


def _common_folder(index: pd.DataFrame) -> str:
    folders = sorted({str(path).rpartition("/")[0] for path in index["path"]})
    return os.path.commonpath(folders) if len(folders) > 1 else folders[0]


def _line_name(center: str, predictor: EmotionPredictor, settings: CallSettings) -> str:
    """Name of an estimate: the folder of the recordings, model and settings."""
    names = {"customer_channel", "one_channel", "windows", "quality"}
    decisive = settings.model_dump_json(include=names)
    return f"{prefix_of('line', center, predictor.digest, decisive)}line"


def score_calls(
    roles: pd.DataFrame,
    line: dict[str, Any],
    predictor: EmotionPredictor,
    cache: ShardStore,
    settings: CallSettings,
) -> pd.DataFrame:
    """Score the recordings that are not in the cache; each shard is stored as soon as it is done.

    A recording that an object store failed to deliver is stored as rejected, and scored again in the
    next run.

    Returns:
        Call, path and key of each recording: all are in the cache now.
    """
    prefix = scores_depend_on(predictor, settings, line)
    stored = list_calls(cache, prefix)
    done = roles[KEY].isin(stored.loc[~stored[UNREAD], KEY])
    missing = roles[~done & (roles["reason"] == "")]
    logger.info("%d of %d recordings were scored before", done.sum(), len(roles))
    rows = missing.set_index(KEY)[["call", "path"]].to_dict("index")
    calls = _with_inspections(missing, ["path", "call"], predictor, cache, settings)
    shared = (PackedPredictor.pack(predictor), settings, _line_of(line))
    keyed = zip(missing[KEY], calls, strict=True)
    results = as_completed(_score, keyed, shared=shared, n_jobs=settings.n_jobs)
    scored = (
        (key, _lost(rows[key], one, predictor) if isinstance(one, WorkerLost) else one)
        for key, one in tqdm(results, total=len(missing), desc="Scoring calls")
    )
    store_calls(cache, prefix, scored, size=SHARD_SIZE)
    return roles[["call", "path", "reason", KEY]]


def _lost(row: dict[str, str], error: WorkerLost, predictor: EmotionPredictor) -> ScoredCall:
    return reject_call(row["call"], row["path"], str(error), predictor.labels, unread=True)


def _score(
    path: str,
    call: str,
    inspection: Inspection,
    roles: Roles,
    model: PackedPredictor,
    settings: CallSettings,
    line: LineMean | None,
) -> ScoredCall:
    predictor = model.unpacked()
    return score_inspected(path, inspection, roles, predictor, settings, call=call, line=line)


def _line_of(content: dict[str, Any]) -> LineMean | None:
    return LineMean.from_dict(content) if content else None


def collect_calls(
    index: pd.DataFrame,
    metadata: pd.DataFrame,
    line: dict[str, Any],
    predictor: EmotionPredictor,
    cache: ShardStore,
    settings: CallSettings,
) -> tuple[Iterator[pd.DataFrame], pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Gather the recordings of this run, block by block.

    Returns:
        Windows; the summary of each scored party with the metadata of its call; flagged passages; the
        measures of each party; rejected recordings.

    Raises:
        ValueError: If a recording was not scored.
    """
    names = ("call_metadata", "scored_index")
    check_same_keys(metadata, index, "call", names=names, remedy=RERUN)
    unreadable = index.loc[index["reason"] != "", ["call", "path", "reason"]]
    found = locate(
        index[index["reason"] == ""].reset_index(drop=True),
        list_calls(cache, scores_depend_on(predictor, settings, line)),
        remedy=RERUN,
    )
    threshold = _operating_point(found, predictor, cache, settings)
    shared = (settings, predictor.labels, threshold)
    # Starting processes takes longer than summarizing one block.
    n_jobs = settings.n_jobs if len(found) > SHARD_SIZE else 1
    blocks = gather_calls(found, cache, size=SHARD_SIZE)
    summarized = fan_out(_summarize, blocks, shared=shared, n_jobs=n_jobs)
    summaries, passages, parties, rejected = map(list, zip(*summarized, strict=True))
    summary = join_tables(summaries).assign(
        synthetic_model=predictor.synthetic, model=predictor.title
    )
    summary = join(summary, metadata, "call", names=("call_summary", names[0]), remedy=RERUN)
    _log_roles(summary)
    windows = (
        _flagged(windows, settings, threshold)
        for _, windows in gather_calls(found, cache, size=SHARD_SIZE)
    )
    return (
        without_empty(windows),
        summary,
        join_tables(passages),
        join_tables(parties),
        join_tables([*rejected, unreadable]),
    )


def _log_roles(summary: pd.DataFrame) -> None:
    """Log how customers are known in calls with both parties on one channel."""
    calls = summary[summary["layout"].isin({"mono", "same"})]
    if len(calls):
        known = calls["customer_known_by"].replace("", "unknown, not scored").value_counts()
        counts = ", ".join(f"{count} {name}" for name, count in known.items())
        logger.info("%d calls on one channel; the customer is known by: %s", len(calls), counts)


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
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return summary, passages, parties and rejected recordings of a block of calls."""
    scored = channels[channels["reason"] == ""]
    windows = _flagged(windows, settings, threshold)
    tables = summarize(scored, windows, settings, labels=labels, threshold=threshold)
    parties = scored[PARTY_COLUMNS]
    return *tables, parties, channels.loc[channels["reason"] != "", ["call", "path", "reason"]]


def unread_calls(
    index: pd.DataFrame,
    line: dict[str, Any],
    predictor: EmotionPredictor,
    cache: ShardStore,
    settings: CallSettings,
) -> list[str]:
    """Return the calls that could not be read, for a reason outside of the recording.

    Args:
        index: Result of :func:`score_calls`.
        line: Result of :func:`estimate_line`.
        predictor: The model.
        cache: The cache.
        settings: How calls are scored.
    """
    stored = list_calls(cache, scores_depend_on(predictor, settings, line))
    unread = stored.loc[stored[UNREAD], KEY]
    return index.loc[index[KEY].isin(unread), "call"].tolist()


def scores_depend_on(
    predictor: EmotionPredictor, settings: CallSettings, line: dict[str, Any]
) -> str:
    """Return a digest of all that scores depend on besides the recording: model, settings, line, version.

    It begins the names of the shards.
    """
    line = {name: value for name, value in line.items() if name != "n_sampled"}
    threshold = threshold_of(predictor, settings)
    decisive = settings.model_dump_json(exclude=NOT_DECISIVE)
    columns = ",".join(window_columns(predictor.labels))
    return prefix_of(__version__, columns, predictor.digest, threshold, decisive, digest(line))
