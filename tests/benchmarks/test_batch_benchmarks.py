"""The command ``batch`` with many calls: time and memory of runs, files, sizes, efficiency of Dask.

``make benchmark`` prints the figures; these alone:
``python -m pytest tests/benchmarks/test_batch_benchmarks.py --benchmark-only``.

Recordings are generated. Those that were "scored before" are names of a few files, with an index of their
days as a run writes it; new ones are scored. SPEECH_EMOTION_CALLS sets the number of calls in the store
(a million), SPEECH_EMOTION_CHAMPION the model.
"""

import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr

from speech_emotion.audio import find_audio
from speech_emotion.batch import score_folder
from speech_emotion.batch.days import DayStore
from speech_emotion.call_scoring import (
    CallSettings,
    FlagSettings,
    SynthesisSettings,
    compact_calls,
    scores_depend_on,
    synthesize_calls,
)
from speech_emotion.models import EmotionPredictor
from speech_emotion.reporting.calls import CallReportSettings
from speech_emotion.runtime import KEY, ShardStore

CALLS = int(os.environ.get("SPEECH_EMOTION_CALLS", "1000000"))
DAYS = 400
NEW = 100
"""Recordings that are scored beside those in the store."""
SHORT_MINUTES, LONG_MINUTES, LONG = 0.5, 4.0, 8
ON_CLUSTER = 300
"""Recordings that are scored on Dask."""
LINE = 8000
LINKS = 30_000
"""Names of one file: file systems allow some ten thousand."""
SETTINGS = CallSettings(n_jobs=1, flags=FlagSettings(threshold=0.5))


def run(recordings, results, model, scheduler=None, sounds="flagged"):
    """Score a folder in this process, and print days, seconds and peak memory."""
    report = None if scheduler else CallReportSettings(sounds=sounds)
    started, before = time.monotonic(), time.process_time()
    days = score_folder(
        recordings, results, model_uri=model, settings=SETTINGS, report=report, scheduler=scheduler
    )
    found = {
        "scored": int(days["scored"].sum()),
        "seconds": time.monotonic() - started,
        "cpu_s": time.process_time() - before,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(found))  # noqa: T201


def in_process(*arguments):
    """Run this file as a script, and return what it prints; ``wall_s`` includes its start."""
    started = time.monotonic()
    words = [sys.executable, __file__, *map(str, arguments)]
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout) | {"wall_s": time.monotonic() - started}


@pytest.fixture(scope="module")
def model(predictor, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "predictor"
    predictor.save(folder)
    return folder


def write_calls(folder, utterances, count, minutes, day="2026-11-26"):
    """Write telephone calls of two parties on two channels."""
    place = folder / day.replace("-", "/")
    place.mkdir(parents=True)
    made = SynthesisSettings(calls=min(count, 12), minutes=minutes, conditions=("telephone",))
    pool = [
        soxr.resample(call.samples, call.sample_rate, LINE)
        for call in synthesize_calls(utterances, made)
    ]
    noise = np.random.default_rng(0)
    for number in range(count):
        samples = pool[number % len(pool)]
        samples = samples * noise.uniform(0.7, 1.0)
        soundfile.write(place / f"call_{number:05d}.wav", samples, LINE)
    return folder


def write_known(folder, results, model, count):
    """Write ``count`` names of recordings over many days, and the index of a run that has scored them."""
    folder.mkdir(parents=True, exist_ok=True)
    base, days = folder.parent / f"base of {folder.name}", np.arange(count) * DAYS // count
    names = [f"{day:%Y/%m/%d}" for day in pd.date_range("2025-01-01", periods=DAYS, freq="D")]
    for name in names:
        (folder / name).mkdir(parents=True)
    for number in range(count):
        if number % LINKS == 0:
            base.unlink(missing_ok=True)
            soundfile.write(base, np.zeros(80), LINE, format="WAV")
        os.link(base, folder / names[days[number]] / f"call_{number:07d}.wav")
    predictor = EmotionPredictor.load(model)
    store = DayStore(f"{results}/model={predictor.digest[:16]}")
    table = find_audio(folder).recordings.rename(columns={"name": "call"})
    table = table.assign(reason="", unread=False)
    scoring = scores_depend_on(predictor, SETTINGS, {})
    for day, calls in table.groupby(table["call"].str[:10]):
        store.day(day.replace("/", "-")).write_index(calls, scoring)


@pytest.mark.benchmark(group="batch")
def test_a_run_with_nothing_new(benchmark, figures, model, tmp_path):
    recordings, results = tmp_path / "calls", tmp_path / "results"
    write_known(recordings, results, model, CALLS)
    found = benchmark.pedantic(in_process, ("run", recordings, results, model), rounds=1)
    assert found["scored"] == 0
    subject = f"nothing new, {CALLS:,} scored calls of {DAYS} days"
    figures.append((subject, "seconds (at most 30)", f"{found['wall_s']:.1f}"))
    figures.append((subject, "processor seconds", f"{found['cpu_s']:.1f}"))
    figures.append((subject, "peak memory, MB (below 1000)", f"{found['peak_mb']:.0f}"))
    index = sum(path.stat().st_size for path in results.rglob("index.parquet"))
    figures.append((subject, "index, bytes a call", f"{index / CALLS:.1f}"))


@pytest.mark.benchmark(group="batch")
def test_scoring_beside_many_scored_calls(benchmark, ratios, model, utterances, tmp_path):
    sizes = {"small": min(1000, CALLS // 100), "large": min(100_000, CALLS // 10)}
    for name, size in sizes.items():
        write_known(tmp_path / name, tmp_path / f"{name} results", model, size)
        write_calls(tmp_path / name, utterances, NEW, SHORT_MINUTES)
        shutil.copytree(tmp_path / f"{name} results", tmp_path / f"{name} again")

    def measure():
        taken = {name: [] for name in sizes}
        for results in ("results", "again"):  # alternating, so that other load affects both
            for name in sizes:
                arguments = ("run", tmp_path / name, tmp_path / f"{name} {results}", model)
                found = in_process(*arguments)
                assert found["scored"] == NEW
                taken[name].append(found["cpu_s"])
        return {name: min(times) for name, times in taken.items()}

    taken = benchmark.pedantic(measure, rounds=1)
    benchmark.extra_info.update(taken)
    case = f"scoring {NEW} calls beside {sizes['large']:,} scored ones, processor time"
    ratios.add(case, f"beside {sizes['small']:,}", taken["large"] / taken["small"], at_most=1.1)


def copy_shards(cache, times):
    """Store the calls of a cache ``times`` over, under other keys, as so many calls would be."""
    for kind in ("inspection", "channel", "window"):
        store = cache.within(kind)
        for name in store.names():
            table = store.load(name)
            for number in range(times):
                changed = table.assign(**{KEY: table[KEY] + f"-{number}"})
                if "path" in changed:
                    changed["path"] = changed["path"] + f"-{number}"
                store.put(f"{name}{number:05d}", changed)


@pytest.mark.benchmark(group="batch")
def test_small_files_are_joined(benchmark, figures, model, utterances, tmp_path):
    recordings, results = tmp_path / "calls", tmp_path / "results"
    write_calls(recordings, utterances, 64, SHORT_MINUTES)
    in_process("run", recordings, results, model)
    (cache,) = results.rglob("cache")
    times = min(CALLS // 1000, 400)
    copy_shards(ShardStore(str(cache)), times)
    n_calls, before = 64 * (times + 1), len(list(cache.rglob("*.parquet")))
    benchmark.pedantic(compact_calls, (ShardStore(str(cache)),), rounds=1)
    after = len(list(cache.rglob("*.parquet")))
    subject = f"cache of a day of {n_calls:,} calls"
    figures.append((subject, "files before and after they are joined", f"{before:,}, {after:,}"))
    figures.append((subject, "calls per file", f"{n_calls / after:,.0f}"))
    figures.append(
        (subject, "ms a call to join them", f"{1e3 * benchmark.stats['mean'] / n_calls:.2f}")
    )


@pytest.mark.benchmark(group="batch")
def test_core_hours_and_size_of_calls(benchmark, figures, model, predictor, utterances, tmp_path):
    few, many, results = tmp_path / "few", tmp_path / "many", tmp_path / "results"
    write_calls(few, utterances, 2, LONG_MINUTES)
    write_calls(many, utterances, 2 + LONG, LONG_MINUTES)

    def measure():
        # The difference of two runs is without the start and the loading of the model.
        found = [
            in_process("run", few, tmp_path / "1", model, "", "none"),
            in_process("run", many, tmp_path / "2", model, "", "none"),
            in_process("run", many, results, model, "", "all"),
        ]
        return [one["cpu_s"] for one in found]

    start, scored, played = benchmark.pedantic(measure, rounds=1)
    hours = LONG * LONG_MINUTES / 60
    kind = "encoder" if predictor.encoder else ", ".join(one.family for one in predictor.members)
    subject = f"calls of {LONG_MINUTES:g} minutes on two channels, {kind}"
    core_hours = (scored - start) / 3.6 / hours
    figures.append((subject, "core-hours per 1,000 hours", f"{core_hours:.2f}"))
    sounds = (played - scored) / 3.6 / (hours * (2 + LONG) / LONG)
    figures.append((subject, "the same, to compress all sounds", f"{sounds:.2f}"))
    (window_table,) = results.glob("model=*/day=*/07_model_output/calls/emotions.parquet")
    windows = pd.read_parquet(window_table)
    figures.append((subject, "windows a call", f"{len(windows) / (2 + LONG):.0f}"))
    (day,) = results.glob("model=*/day=*")
    parts = {
        "cache": day / "07_model_output/calls/cache",
        "tables": day / "07_model_output/calls",
        "page without sounds": day / "08_reporting/calls",
        "sounds of the page": day / "08_reporting/calls/sounds",
    }
    sizes = {
        name: sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        for name, folder in parts.items()
    }
    sizes["tables"] -= sizes["cache"]
    sizes["page without sounds"] -= sizes["sounds of the page"]
    for name, size in sizes.items():
        figures.append((subject, f"{name}, kB a call", f"{size / (2 + LONG) / 1000:.1f}"))


@pytest.mark.benchmark(group="batch")
def test_efficiency_of_dask(benchmark, ratios, figures, model, utterances, tmp_path):
    distributed = pytest.importorskip("distributed")
    few = write_calls(tmp_path / "few", utterances, 8, SHORT_MINUTES)
    recordings = write_calls(tmp_path / "calls", utterances, ON_CLUSTER, SHORT_MINUTES)

    def measure():
        taken = {(count, kind): [] for count in (1, 2) for kind in ("start", "run")}
        for turn in range(2):
            for count in (1, 2):
                options = {"n_workers": count, "threads_per_worker": 1, "dashboard_address": None}
                with distributed.LocalCluster(**options) as cluster:
                    cluster.get_client().wait_for_workers(count)
                    address = cluster.scheduler_address
                    for kind, folder in (("start", few), ("run", recordings)):
                        results = tmp_path / f"{kind} {count} {turn}"
                        found = in_process("run", folder, results, model, address)
                        taken[count, kind].append(found["seconds"])
        return {case: min(times) for case, times in taken.items()}

    taken = benchmark.pedantic(measure, rounds=1)
    case = f"{ON_CLUSTER} calls, Dask of two workers that have scored before, efficiency"
    ratios.add(case, "one", taken[1, "run"] / taken[2, "run"] / 2, at_least=0.9)
    for count in (1, 2):
        times = f"{taken[count, 'start']:.1f}, {taken[count, 'run']:.1f}"
        figures.append((f"Dask, workers: {count}", f"seconds for 8 and {ON_CLUSTER} calls", times))
    with contextlib.suppress(OSError):
        load = f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
        figures.append(("efficiency of Dask", "load of the machine at the end", load))


if __name__ == "__main__":
    _, _, *given = sys.argv
    run(*given[:3], given[3] or None if len(given) > 3 else None, *given[4:])
