"""KPIs of a large export: the command from start to page, and the page of a long sonification.

``make benchmark`` prints the figures; these alone:
``python -m pytest tests/benchmarks/test_kpis_benchmarks.py --benchmark-only``.
The export is generated: two years of calls of 200 agents, in order, without any emotions, as exports are.
"""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from speech_emotion.contact_center import ExportSettings, KpiSettings, kpi_sound, read_export
from speech_emotion.reporting.kpis import sound_page

ROWS = int(os.environ.get("SPEECH_EMOTION_EXPORT_ROWS", "1000000"))
PROJECT = Path(__file__).parents[2]
AGENTS = 200
SOUND_DAYS = 2000


def export(n, days=730):
    """Return an export of ``n`` calls; calls of an agent do not overlap."""
    random = np.random.default_rng(0)
    agent = random.integers(0, AGENTS, n)
    start = pd.Timestamp("2024-01-01") + pd.to_timedelta(
        np.sort(random.integers(0, days * 14 * 3600, n)), unit="s"
    )
    opening = (start - pd.Timestamp("2024-01-01")) // pd.Timedelta(hours=14)
    start = start + opening * pd.Timedelta(hours=10) + pd.Timedelta(hours=7)
    seconds = pd.Series(start.astype("datetime64[s]").astype("int64"))
    until_next = -seconds.groupby(agent).diff(-1).fillna(-3600).to_numpy()
    talk = np.minimum(random.lognormal(5.3, 0.7, n).round(), until_next)
    return pd.DataFrame(
        {
            "call_id": [f"C{number:08d}" for number in range(n)],
            "agent_id": [f"A{number:03d}" for number in agent],
            "team": [f"T{number % 8}" for number in agent],
            "queue": random.choice(["billing", "sales", "technical"], n),
            "customer_id": [f"K{number:07d}" for number in random.integers(0, n // 2, n)],
            "start": start.strftime("%Y-%m-%dT%H:%M:%S+00:00"),
            "wait_s": random.exponential(40, n).round(),
            "talk_s": talk,
            "hold_s": 0,
            "after_call_s": random.exponential(60, n).round(),
            "resolved": random.choice(["yes", "no"], n, p=[0.8, 0.2]),
            "topic": random.choice(["bill", "contract", "fault", "order", "other"], n),
        }
    )


def run_pipeline(folder, n):
    """Run the pipeline on an export; return seconds of clock and processor, and the peak memory in GB."""
    folder.mkdir()
    export(n).to_csv(folder / "calls.csv", index=False)
    params = f"calls_csv={folder / 'calls.csv'},data_dir={folder / 'data'}"
    command = [sys.executable, "-m", "kedro", "run", "--pipelines", "call_kpis", "--params", params]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, cwd=PROJECT, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert len(pd.read_parquet(folder / "data/02_intermediate/calls.parquet")) > 0.95 * n
    return {
        "seconds": time.monotonic() - started,
        "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "peak_gb": after.ru_maxrss / 2**20,  # of the largest child
    }


@pytest.mark.benchmark(group="kpis")
def test_kpis_of_a_large_export(benchmark, ratios, figures, tmp_path):
    small = run_pipeline(tmp_path / "small", ROWS // 10)
    large = benchmark.pedantic(run_pipeline, (tmp_path / "large", ROWS), rounds=1)
    subject = f"KPIs of {ROWS:,} calls, from the command to the page"
    figures.append((subject, "seconds (at most 40)", f"{large['seconds']:.1f}"))
    figures.append((subject, "processor seconds", f"{large['cpu_s']:.1f}"))
    figures.append((subject, "peak memory, GB", f"{large['peak_gb']:.2f}"))
    ratio = large["cpu_s"] / small["cpu_s"]
    ratios.add(f"KPIs of {ROWS:,} calls", f"{ROWS // 10:,} calls", ratio, at_most=10)


@pytest.mark.benchmark(group="kpis")
def test_page_of_a_long_sonification(benchmark, figures):
    calls, _ = read_export(export(40 * SOUND_DAYS, SOUND_DAYS), ExportSettings(latest="2030-01-01"))
    settings = KpiSettings(min_calls=1)
    sound = kpi_sound(calls, agent_id="A001;A002", grain="day", settings=settings)
    page = benchmark.pedantic(sound_page, (sound,), rounds=1)
    subject = f"sonification of {sound.notes['period'].nunique():,} days, two agents"
    figures.append((subject, "page, MB (at most 10)", f"{len(page.encode()) / 1e6:.2f}"))
    figures.append((subject, "sound, seconds", f"{sound.seconds:.0f}"))
