"""Size and speed of pages in a browser: 100,000 calls, and 50 agents over three years.

``make benchmark`` prints the figures; these alone:
``python -m pytest tests/benchmarks/test_pages_benchmarks.py --benchmark-only``.
"""

import os
import time

import numpy as np
import pandas as pd
import pytest

from speech_emotion.call_scoring import CallSettings
from speech_emotion.contact_center import (
    CallSelection,
    KpiSettings,
    SimulatorSettings,
    add_kpi_columns,
    kpi_sound,
    simulate_calls,
)
from speech_emotion.reporting.calls import calls_page, row_files
from speech_emotion.reporting.kpis import explorer_page, sound_page

pytestmark = pytest.mark.browser

CALLS = int(os.environ.get("SPEECH_EMOTION_PAGE_CALLS", "100000"))
CENTER = SimulatorSettings(calls=300_000, days=1095, agents=50, teams=4)
LABELS = ("angry", "disgust", "fearful", "happy", "neutral", "sad", "surprised")


@pytest.fixture
def timed(figures):
    """Wait until a page has drawn what an action changes, and note the seconds."""

    def run(page, subject, what, action, until=None):
        start = time.perf_counter()
        result = action()
        if until:
            (page or result).wait_for_function(until)
        if page:
            page.evaluate(
                "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
            )
        figures.append((subject, what, f"{time.perf_counter() - start:.2f} s"))
        return result

    return run


def summary_of(n):
    """Summary of scored calls: 3 % angry, 7 % to review."""
    random = np.random.default_rng(0)
    shares = random.dirichlet([1, 1, 1, 1, 6, 1, 1], n)
    flag = np.where(
        random.random(n) < 0.03, "angry", np.where(random.random(n) < 0.07, "review", "not_flagged")
    )
    angry = flag == "angry"
    starts = pd.to_timedelta(random.integers(0, 365 * 24 * 60, n), "min")
    return pd.DataFrame(
        {
            "call": [f"2026/{number // 1000:03d}/call_{number:06d}.wav" for number in range(n)],
            "path": "x",
            "channel": 0,
            "channel_role": "customer",
            "minutes": random.gamma(3, 1.5, n),
            "talk_share": random.random(n),
            "silence_share": 0.1,
            **{f"share_{label}": shares[:, column] for column, label in enumerate(LABELS)},
            "longest_angry_s": np.where(angry, random.gamma(3, 4, n), 0),
            "first_angry_s": np.where(angry, random.gamma(3, 40, n), np.nan),
            "trend": random.normal(0, 0.1, n),
            "score": random.beta(1, 6, n),
            "flag": flag,
            "threshold": 0.34,
            "reason": "not angry: score at most 0.21, flagged from 0.34",
            "started": pd.Timestamp("2026-01-01 08:00") + starts,
            "agent": [f"A{number:02d}" for number in random.integers(0, 50, n)],
            "queue": random.choice(["billing", "sales", "technical"], n),
        }
    )


def test_a_page_of_many_calls_stays_usable(benchmark, visit, tmp_path, timed, figures):
    summary, subject = summary_of(CALLS), f"page of {CALLS:,} calls"
    rejected = pd.DataFrame(columns=["call", "path", "reason"])
    size = 0
    for name, content in row_files(summary):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
        size += len(content)
    text = benchmark.pedantic(calls_page, (summary, rejected, CallSettings()), rounds=1)
    path = tmp_path / "calls.html"
    path.write_text(text, encoding="utf-8")
    figures.append((subject, "size", f"{len(text) / 1e6:.2f} MB, rows beside it {size / 1e6:.1f}"))
    shown = "document.querySelectorAll('tr.call').length > 0"
    page = timed(None, subject, "first rows", lambda: visit(path), shown)
    loaded = f"document.getElementById('shown').textContent.includes('of {CALLS:,} shown')"
    not_flagged = page.locator("input[value=not_flagged]")
    timed(
        page,
        subject,
        "load all",
        not_flagged.check,
        f"{loaded} && !document.getElementById('shown').textContent.startsWith('0')",
    )
    page.get_by_text(f"{CALLS:,} of {CALLS:,} shown").wait_for()
    for column in ("Score", "Call"):
        button = page.get_by_role("button", name=column, exact=True)
        timed(page, subject, f"sort by {column.lower()}", button.click)
    timed(page, subject, "next page", page.get_by_role("button", name="Next").click)
    assert page.locator("#place").inner_text().startswith("Page 2 of ")
    timed(page, subject, "one agent", lambda: page.get_by_label("Agent").select_option("A07"))
    assert set(page.locator("tr.call td:nth-child(4)").all_inner_texts()) == {"A07"}
    timed(page, subject, "search", lambda: page.get_by_label("Search").fill("call_0001"))
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    heap = session.send("Runtime.getHeapUsage")["usedSize"]
    figures.append((subject, "memory of the script with all calls", f"{heap / 1e6:.0f} MB"))
    assert page.evaluate("document.querySelectorAll('*').length") < 5000
    assert page.evaluate("document.documentElement.scrollHeight") < 10_000


def test_kpis_of_fifty_agents_and_three_years(benchmark, visit, tmp_path, timed, figures):
    settings = KpiSettings(resamples=100)
    simulated = simulate_calls(CENTER)
    calls = add_kpi_columns(simulated, settings)
    subject = f"KPIs of {CENTER.agents} agents, 3 years, {len(calls):,} calls"
    arguments = (calls, settings, [], CallSelection())
    path = tmp_path / "kpis.html"
    path.write_text(benchmark.pedantic(explorer_page, arguments, rounds=1), encoding="utf-8")
    figures.append((subject, "size", f"{path.stat().st_size / 1e6:.2f} MB"))
    shown = "document.querySelectorAll('#charts svg').length === 3"
    page = timed(None, subject, "first charts", lambda: visit(path), shown)
    agent = page.get_by_label("Agent")
    timed(page, subject, "choose an agent", lambda: agent.select_option("A17"))
    own = calls[calls["agent_id"] == "A17"]
    assert page.locator("#tiles b").first.inner_text() == f"{len(own):,}"
    period = page.get_by_label("From month")
    timed(page, subject, "choose a period", lambda: period.select_option(index=24))
    timed(page, subject, "sort angry calls", page.get_by_role("button", name="Handled").click)

    subject = "sound of 2 agents, 3 years by week"
    options = {"agent_id": "A01;A17", "grain": "week", "settings": settings}
    sound = kpi_sound(simulated, **options)
    path = tmp_path / "sound.html"
    path.write_text(sound_page(sound), encoding="utf-8")
    figures.append((subject, "size", f"{path.stat().st_size / 1e6:.2f} MB, {sound.seconds:.0f} s"))
    ready = "[...document.querySelectorAll('audio')].every(a => a.readyState === 4)"
    page = timed(None, subject, "chart and sound", lambda: visit(path), ready)
    assert page.locator("#chart [data-voice=A17] line").count() > 150
