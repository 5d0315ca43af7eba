"""Score a folder of calls, a day at a time."""

from __future__ import annotations

import logging
import tempfile
from datetime import UTC, datetime
from typing import Any, Final

import pandas as pd

from speech_emotion.audio import AUDIO_SUFFIXES, find_audio
from speech_emotion.batch.days import Day, DayStore, day_of
from speech_emotion.batch.models import on_cluster, resolve
from speech_emotion.call_scoring import (
    CALL_FIELDS,
    CallSettings,
    collect_calls,
    collect_metadata,
    compact_calls,
    estimate_line,
    identify_customers,
    index_recordings,
    inspect_calls,
    score_calls,
    scores_depend_on,
    stored_line,
    unread_calls,
)
from speech_emotion.datasets import (
    BlockwiseDataset,
    CSVDataset,
    JSONDataset,
    ParquetDataset,
)
from speech_emotion.models import EmotionPredictor
from speech_emotion.reporting.calls import (
    CallReportSettings,
    days_page,
    encode_sounds,
    write_details,
    write_page,
)
from speech_emotion.runtime import (
    FileStore,
    ShardStore,
    exists,
    holding,
    open_binary,
    write_bytes,
)

__all__ = ["score_folder"]

REPORTED: Final = ("day", "calls", "scored", "rejected", "unread")

logger = logging.getLogger(__name__)


def score_folder(
    recordings: str,
    results: str,
    *,
    model_uri: str = "models:/speech-emotion@champion",
    settings: CallSettings | None = None,
    report: CallReportSettings | None = None,
    metadata: str | None = None,
    since: str = "",
    scheduler: str | None = None,
) -> pd.DataFrame:
    """Score the calls in a folder that have no result of the model yet, day by day.

    The steps are those of the pipeline ``call_scoring``. A day with a new call gets new tables and a new
    page, in which the scores of its other calls come from its cache; days without one are not touched.
    Calls whose recordings were deleted keep their results.

    Args:
        recordings: Path or URL of the folder of recordings, searched in depth.
        results: Path or URL of the folder of the results; it is created.
        model_uri: URI of the model in MLflow's current tracking server, or the folder of a predictor.
        settings: How calls are scored.
        report: Pages of the days; ``None`` for no pages.
        metadata: Path or URL of a table with metadata of each call, see
            :func:`speech_emotion.call_scoring.collect_metadata`; it is read for calls that are scored now.
        since: First day, as ``2026-11-26``; earlier ones are not touched.
        scheduler: Address of a running Dask scheduler; without it, processes on this machine.

    Returns:
        One row for each day that was due: ``day``, its ``calls``, how many of them were ``scored`` now,
        ``rejected`` recordings, and those that were ``unread`` and are tried again by the next run.

    Raises:
        FileNotFoundError: If there is no recording below ``recordings``.
        ValueError: If the model has no threshold.
        StoreHeld: If another run uses the folder of the results.
    """
    settings = settings or CallSettings()
    listed = _listed(recordings)
    model_id, load = resolve(model_uri)
    predictor = load()
    store = DayStore(f"{results.rstrip('/')}/model={model_id}")
    with holding(store.path, f"scoring calls of {recordings}"), on_cluster(scheduler):
        known = store.read_index()
        lines = ShardStore(f"{store.path}/line")
        line = stored_line(predictor, settings, lines, recordings)
        due = _due(listed, known, scores_depend_on(predictor, settings, line))
        logger.info("%d recordings, %d of them are due", len(listed), len(due))
        due, described = _described(due, known, metadata, settings, store)
        due = due[due["day"] >= since]
        if len(due):
            _estimate(due, described, predictor, settings, lines, recordings)
        rows = []
        for name, calls in due.groupby("day", sort=True):
            day = store.day(str(name))
            of_day = described[described["call"].isin(calls["call"])]
            line = stored_line(predictor, settings, lines, recordings)
            rows.append(_score_day(day, calls, of_day, predictor, settings, line, report))
        if report is not None:
            _write_days(store, recordings, predictor, settings.flags.target, renew=bool(rows))
            logger.info("Page of the days: %s", store.page)
    return pd.DataFrame(rows, columns=list(REPORTED))


def _listed(recordings: str) -> pd.DataFrame:
    """List the recordings: ``call``, ``path``, ``size``, ``version`` and why one cannot be read."""
    found = find_audio(recordings)
    if found.recordings.empty and found.rejected.empty:
        raise FileNotFoundError(
            f"No {', '.join(AUDIO_SUFFIXES)} below {recordings}: {found.describe()}; check the path"
        )
    (logger.warning if len(found.rejected) else logger.info)("%s", found.describe())
    rejected = found.rejected.drop(columns="transient").assign(size=0, version="")
    tables = [found.recordings.assign(reason=""), rejected]
    table = pd.concat([one for one in tables if len(one)], ignore_index=True)
    return table.rename(columns={"name": "call"})[["call", "path", "size", "version", "reason"]]


def _due(listed: pd.DataFrame, known: pd.DataFrame, scoring: str) -> pd.DataFrame:
    """Return the calls that have no result of this model and settings, or a former one that does not count.

    Args:
        listed: Recordings that are there now.
        known: Index of all days.
        scoring: What scores depend on besides the recordings.

    Returns:
        The calls with the ``day`` under which they are known; empty for new ones.
    """
    columns = ["call", "size", "version", "reason", "unread", "day", "scoring"]
    # Without the paths, which take most of the memory.
    joined = listed[columns[:4]].merge(
        known[columns], on="call", how="left", suffixes=("", "_known")
    )
    same = (joined["size"] == joined["size_known"]) & (joined["version"] == joined["version_known"])
    # What cannot be opened, as before, is not tried; what was not read, and can be opened now, is.
    again = joined["unread"].eq(True) & (joined["reason"] == "")
    changed_reason = (joined["reason"] != "") & (
        joined["reason"] != joined["reason_known"].astype("str")
    )
    done = same & ~again & ~changed_reason & joined["scoring"].eq(scoring)
    due = (~done).to_numpy()
    return listed[due].assign(day=joined.loc[due, "day"].astype("str").fillna("").to_numpy())


def _described(
    due: pd.DataFrame,
    known: pd.DataFrame,
    metadata: str | None,
    settings: CallSettings,
    store: DayStore,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Collect the metadata of the due calls, and assign each new one to its day.

    Calls that the table does not describe keep the metadata that they were scored with.
    """
    rows = None
    if metadata is not None and len(due):
        with open_binary(metadata) as file:
            rows = file.read()
    described, rejected = collect_metadata(due["call"].tolist(), rows, settings)
    if rows is not None:
        rejected = rejected[~_names_known(rejected, known)]
        CSVDataset(filepath=f"{store.path}/rejected_metadata.csv", save_args={"index": False}).save(
            rejected
        )
        logger.info("%d rows or names of metadata rejected", len(rejected))
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    new = due["day"] == ""
    started = described["started"].set_axis(due.index)
    due = due.assign(day=due["day"].where(~new, day_of(due, started, today)))
    return due, described


def _names_known(rejected: pd.DataFrame, known: pd.DataFrame) -> pd.Series:
    """Whether rejected rows name a call that was scored before, by its path or file name."""
    if rejected.empty or known.empty:
        return pd.Series(False, index=rejected.index)
    calls = known["call"].astype("str")
    names = pd.concat([calls, calls.str.rsplit("/", n=1).str[-1]])
    names = pd.concat([names, names.str.replace(r"\.[^./]*$", "", regex=True)])
    return (rejected["line"] > 0) & rejected["recording"].astype("str").isin(names)


def _estimate(
    due: pd.DataFrame,
    described: pd.DataFrame,
    predictor: EmotionPredictor,
    settings: CallSettings,
    lines: ShardStore,
    center: str,
) -> None:
    """Estimate the line from a sample of the due calls of all days, if it is not known yet."""
    if predictor.reference is None or settings.line_calls == 0:
        return
    stored = stored_line(predictor, settings, lines, center)
    if stored and int(stored["n_sampled"]) >= settings.line_calls:
        return
    index = index_recordings(due, predictor, settings)
    sample = index[index["reason"] == ""].sort_values("key").head(2 * settings.line_calls)
    of_sample = described[described["call"].isin(sample["call"])]
    with tempfile.TemporaryDirectory() as folder:
        cache = ShardStore(folder)
        inspect_calls(sample, predictor, cache, settings)
        roles = identify_customers(sample, of_sample, predictor, cache, settings)
        estimate_line(roles, predictor, cache, settings, lines=lines, center=center)


def _score_day(
    day: Day,
    due: pd.DataFrame,
    described: pd.DataFrame,
    predictor: EmotionPredictor,
    settings: CallSettings,
    line: dict[str, Any],
    report: CallReportSettings | None,
) -> dict[str, Any]:
    """Score the due calls of a day, and write tables and page of all its calls; the index comes last."""
    stored, _ = day.read_index()
    kept = stored[~stored["call"].isin(due["call"])]
    columns = ["call", "path", "size", "version", "reason"]
    # What was rejected when it was read has its reason in the cache.
    kept = kept.assign(reason=kept["reason"].where(kept["size"] == 0, ""))
    calls = pd.concat([due[columns], kept[columns]], ignore_index=True)
    calls = calls.astype({"size": "int64", "version": "str", "reason": "str"})
    calls = calls.sort_values("path", ignore_index=True)
    metadata = _metadata_of(calls, described, day.read_metadata())
    cache = ShardStore(f"{day.tables}/cache")
    index = inspect_calls(index_recordings(calls, predictor, settings), predictor, cache, settings)
    roles = identify_customers(index, metadata, predictor, cache, settings)
    scored = score_calls(roles, line, predictor, cache, settings)
    windows, *tables = collect_calls(scored, metadata, line, predictor, cache, settings)
    BlockwiseDataset(filepath=f"{day.tables}/emotions.parquet").save(windows)
    for name, table in zip(("summary", "passages", "parties"), tables, strict=False):
        ParquetDataset(filepath=f"{day.tables}/{name}.parquet").save(table)
    ParquetDataset(filepath=f"{day.tables}/roles.parquet").save(roles)
    ParquetDataset(filepath=day.metadata_file).save(metadata)
    JSONDataset(filepath=f"{day.tables}/line.json").save(line)
    rejected = tables[-1]
    CSVDataset(filepath=f"{day.tables}/rejected.csv", save_args={"index": False}).save(rejected)
    compact_calls(cache)
    if report is not None:
        _write_page(day, report, settings)
    unread = unread_calls(scored, line, predictor, cache, settings)
    reasons = dict(zip(rejected["call"], rejected["reason"], strict=True))
    written = calls.assign(
        reason=[reasons.get(call, "") for call in calls["call"]],
        unread=calls["call"].isin(unread) | (calls["reason"] != ""),
    )
    day.write_index(written, scores_depend_on(predictor, settings, line))
    return {
        "day": day.name,
        "calls": len(calls),
        "scored": len(due),
        "rejected": len(rejected),
        "unread": int(written["unread"].sum()),
    }


def _metadata_of(
    calls: pd.DataFrame, described: pd.DataFrame, stored: pd.DataFrame | None
) -> pd.DataFrame:
    """Return the metadata of each call of a day: of now, or else as stored."""
    known = described[_is_described(described)]
    tables = [known]
    if stored is not None:
        tables.append(stored[~stored["call"].isin(known["call"])])
    tables.append(described[~described["call"].isin(pd.concat(tables)["call"])])
    table = pd.concat([one for one in tables if len(one)], ignore_index=True)
    table = table[table["call"].isin(calls["call"])]
    nothing = collect_metadata(
        calls.loc[~calls["call"].isin(table["call"]), "call"].tolist(), None, CallSettings()
    )[0]
    table = pd.concat([one for one in (table, nothing) if len(one)], ignore_index=True)
    return table.set_index("call").loc[calls["call"]].reset_index()[["call", *CALL_FIELDS]]


def _is_described(metadata: pd.DataFrame) -> pd.Series:
    text = [name for name in CALL_FIELDS if name != "customer_channel"]
    return (metadata[text] != "").any(axis=1) | (metadata["customer_channel"] >= 0)


def _write_page(day: Day, report: CallReportSettings, settings: CallSettings) -> None:
    """Write the page of a day, with what it plays and shows when a call is opened."""
    files = FileStore(day.page_folder)
    summary, passages = (
        ParquetDataset(filepath=f"{day.tables}/{name}.parquet").load()
        for name in ("summary", "passages")
    )
    rejected = CSVDataset(
        filepath=f"{day.tables}/rejected.csv",
        load_args={"dtype": "str", "keep_default_na": False},
    ).load()
    windows = BlockwiseDataset(filepath=f"{day.tables}/emotions.parquet").load()
    sounds = encode_sounds(summary, files, report, settings)
    ParquetDataset(filepath=f"{day.page_folder}/sounds.parquet").save(sounds)
    write_details(summary, windows, passages, sounds, files, report)
    page = write_page(summary, rejected, files, report, settings)
    files.put("calls.html", page.encode("utf-8", "backslashreplace"))


def _write_days(
    store: DayStore, recordings: str, predictor: EmotionPredictor, target: str, *, renew: bool
) -> None:
    """Write the page that links the pages of the days, if one has changed or is not linked."""
    linked = ""
    if exists(store.page):
        with open_binary(store.page) as file:
            linked = file.read().decode()
    days = [day for day in store.days() if day.link in linked or exists(f"{store.path}/{day.link}")]
    if renew or any(day.link not in linked for day in days):
        counts = {day.name: day.counts() for day in days}
        page = days_page(
            counts,
            recordings,
            target,
            model=predictor.title,
            synthetic=predictor.synthetic,
        )
        write_bytes(store.page, page.encode())
