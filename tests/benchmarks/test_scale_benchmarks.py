"""Cost of more cores, a cluster, a filled feature store and a larger corpus, each relative to a reference.

Ingestion and feature engineering run on generated clips. ``CLIPS`` is the number of clips in the larger of
two corpora whose peak memory is compared; the smaller one has a tenth of them.

``FULL_CLIPS`` are the sizes of corpora of short clips on which the default pipeline runs up to the champion,
with budget ``quick`` and one family. The four corpora together have 12,162 clips.
"""

import contextlib
import itertools
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml

from speech_emotion.corpora import CORPORA, CorporaSettings, ingest
from speech_emotion.datasets.array import ArrayBlocks, ArrayDataset
from speech_emotion.datasets.blocks import BlocksDataset
from speech_emotion.features import (
    FeatureSettings,
    gather_features,
    index_features,
    store_features,
)
from speech_emotion.runtime import ShardStore, running_on

CLIPS = int(os.environ.get("SPEECH_EMOTION_CLIPS", "1200"))
FULL_CLIPS = os.environ.get("SPEECH_EMOTION_FULL_CLIPS", "3000,6000,12000")
FULL_GB = 16
PROJECT = Path(__file__).parents[2]
CONF = Path(__file__).parents[2] / "conf/base/ingestion/parameters.yml"
RATE = 16000
SETTINGS = FeatureSettings(feature_set="means_36", n_mfcc=20)
PLAN = ["utterance_id", "protocol", "variant", "transform", "value", "seed"]


def write_clips(folder, count):
    """Write different clips of noise in the layout of CREMA-D."""
    fields = CORPORA["crema_d"].fields
    names = (
        f"{speaker}_{sentence}_{emotion}_{level}.wav"
        for speaker in range(1001, 1092)
        for sentence in sorted(fields["statement"].codes)
        for emotion in fields["emotion"].codes
        for level in fields["intensity"].codes
    )
    folder = folder / "crema_d" / "AudioWAV"
    folder.mkdir(parents=True)
    for number, name in zip(range(count), names, strict=False):
        noise = np.random.default_rng(number).normal(0, 0.1, RATE // 4).astype(np.float32)
        soundfile.write(folder / name, noise, RATE)


def read(corpora):
    settings = CorporaSettings.model_validate(yaml.safe_load(CONF.read_text())["corpora"])
    utterances, _ = ingest(corpora, settings, n_jobs=1, progress=False)
    return utterances, pd.DataFrame(columns=PLAN).astype(
        {"variant": int, "value": float, "seed": int}
    )


def extract(folder, utterances, plan, n_jobs=1, settings=SETTINGS):
    """Extract what is not in the cache below ``folder``; return the number of extracted rows."""
    cache = ShardStore(f"{folder}/cache")
    before = set(cache.names())
    store_features(index_features(utterances, plan), settings, cache, n_jobs=n_jobs)
    return sum(len(cache.load(name, ["key"])) for name in cache.names() if name not in before)


def collect(folder, utterances, plan):
    index = index_features(utterances, plan)
    stored = gather_features(index, SETTINGS, ShardStore(f"{folder}/cache"))
    BlocksDataset(filepath=str(folder / "features.parquet")).save(stored.statistics)
    sequences = ArrayBlocks(stored.shape, stored.sequences)
    ArrayDataset(filepath=str(folder / "sequences.npy")).save(sequences)


def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run_chain(folder, count):
    """Print the peak memory after each step; runs in its own process."""
    few = folder / "few"
    write_clips(few, 64)
    write_clips(folder / "corpora", count)
    utterances, plan = read(few)
    extract(folder / "warm", utterances, plan)  # memory of the libraries is part of the baseline
    collect(folder / "warm", utterances, plan)
    found = {"start": peak_mb()}
    utterances, plan = read(folder / "corpora")
    assert len(utterances) == count
    found["ingestion"] = peak_mb()
    extract(folder, utterances, plan)
    found["extraction"] = peak_mb()
    collect(folder, utterances, plan)
    found["collection"] = peak_mb()
    print(json.dumps(found))  # noqa: T201


@pytest.mark.benchmark(group="scale")
def test_memory_does_not_grow_with_the_corpus(benchmark, ratios, tmp_path):
    def measure():
        peaks = {}
        for count in (CLIPS // 10, CLIPS):
            command = [sys.executable, __file__, str(tmp_path / str(count)), str(count)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            peaks[count] = json.loads(done.stdout.splitlines()[-1])
        return peaks

    small, large = benchmark.pedantic(measure, rounds=1).values()
    benchmark.extra_info.update({f"{CLIPS // 10} clips, MB": small, f"{CLIPS} clips, MB": large})
    for step in ("ingestion", "extraction", "collection"):
        case, reference = f"peak memory of {step}, {CLIPS} clips", f"{CLIPS // 10} clips"
        ratios.add(case, reference, large[step] / small[step], at_most=1.25)
    assert large["collection"] < small["collection"] + 0.02 * (CLIPS - CLIPS // 10)  # MB


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    write_clips(folder, 384)
    return read(folder)


def seconds(function, *arguments):
    begun = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - begun


@pytest.mark.benchmark(group="scale")
def test_extraction_by_workers_cluster_and_store(benchmark, ratios, corpus, tmp_path):
    client = pytest.importorskip("distributed").Client
    from speech_emotion.runtime import DaskEngine

    settings = FeatureSettings(feature_set="means_184")
    taken = {name: [] for name in ("one", "two", "dask", "stored")}

    def measure():
        with client(n_workers=2, threads_per_worker=1, dashboard_address=None) as connected:
            for turn in range(
                4
            ):  # alternating, so that other load affects all; the first turn is a warm-up
                for name, jobs in (("one", 1), ("two", 2), ("dask", 1)):
                    place = tmp_path / f"{name} {turn}"
                    options = (place, *corpus, jobs, settings)
                    if name == "dask":
                        with running_on(DaskEngine(connected)):
                            taken[name].append(seconds(extract, *options))
                    else:
                        taken[name].append(seconds(extract, *options))
                taken["stored"].append(seconds(extract, *options))
                assert extract(*options) == 0

    benchmark.pedantic(measure, rounds=1)
    median = {name: float(np.median(times[1:])) for name, times in taken.items()}
    benchmark.extra_info.update(median)
    ratios.add(
        "extraction, two processes", "one process, times as fast", median["one"] / median["two"]
    )
    ratios.add(
        "extraction, Dask of two", "two processes, times as long", median["dask"] / median["two"]
    )
    ratios.add(
        "extraction, all stored", "nothing stored, times as long", median["stored"] / median["one"]
    )


def memory_gb(process):
    """Memory of a process and its descendants, shared pages counted once."""
    psutil = pytest.importorskip("psutil")
    total = 0
    try:
        root = psutil.Process(process.pid)
        for one in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                total += one.memory_full_info().pss
    except psutil.Error:
        pass
    return total / 2**30


def run_selection(folder, count):
    """Run from the corpora to the champion; return minutes of processor and clock, and peak memory."""
    write_clips(folder / "corpora", count)
    params = (
        f"corpora_dir={folder / 'corpora'},data_dir={folder / 'data'},budget=quick,"
        "selection.families=shrinkage_lda,selection.compared=speaker_independent,"
        "augmentation.telephone=false"
    )
    stages = "ingestion,augmentation,feature_engineering,model_selection"
    command = [sys.executable, "-m", "kedro", "run", "--env", "full", "--pipelines", stages]
    before, started, peak = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic(), 0.0
    with open(folder / "log.txt", "w") as log:
        running = subprocess.Popen(
            [*command, "--params", params], cwd=PROJECT, stdout=log, stderr=log
        )
        while running.poll() is None:
            peak = max(peak, memory_gb(running))
            time.sleep(2)
    assert running.returncode == 0, (folder / "log.txt").read_text()[-2000:]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found = {
        "clips": count,
        "cpu_minutes": used / 60,
        "minutes": (time.monotonic() - started) / 60,
        "peak_gb": peak,
    }
    print(json.dumps(found), flush=True)  # noqa: T201
    shutil.rmtree(folder / "data")
    return found


@pytest.mark.benchmark(group="scale")
def test_a_run_on_full_corpora_grows_linearly(benchmark, ratios, tmp_path):
    sizes = [int(size) for size in FULL_CLIPS.split(",")]
    runs = benchmark.pedantic(
        lambda: [run_selection(tmp_path / str(size), size) for size in sizes], rounds=1
    )
    benchmark.extra_info["runs"] = runs
    for small, large in itertools.pairwise(runs):
        growth = large["clips"] / small["clips"]
        case, reference = f"processor time, {large['clips']} clips", f"{small['clips']} clips"
        ratios.add(case, reference, large["cpu_minutes"] / small["cpu_minutes"], at_most=growth)
        assert large["cpu_minutes"] / small["cpu_minutes"] < 1.15 * growth
    ratios.add(f"peak memory, {sizes[-1]} clips", "1 GB", runs[-1]["peak_gb"], at_most=FULL_GB)
    assert runs[-1]["peak_gb"] < FULL_GB


if __name__ == "__main__":
    run_chain(Path(sys.argv[1]), int(sys.argv[2]))
