import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from speech_emotion.contact_center import (
    CallSelection,
    KpiSettings,
    NoCalls,
    SimulatorSettings,
    add_kpi_columns,
    anger_effects,
    angry_calls,
    kpi_breakdown,
    kpi_series,
    kpi_sound,
    no_rejected_calls,
    select_period,
    simulate_calls,
)
from speech_emotion.pipelines.call_kpis.pipeline import FIGURES
from speech_emotion.reporting.kpis import KpiEvidence, kpi_figure, kpi_page, sound_page
from speech_emotion.reporting.kpis.figures import (
    calls_note,
    effects_figure,
    emotions_note,
    groups_figure,
    over_time_figure,
)
from speech_emotion.reporting.kpis.patterns import handle_time_figure, hours_figure, motion_figure

FAST = KpiSettings(resamples=100)


@pytest.fixture(scope="module")
def year():
    return simulate_calls(SimulatorSettings(calls=6000, days=100, agents=4, teams=2))


@pytest.fixture(scope="module")
def calls(year):
    return select_period(add_kpi_columns(year, FAST), CallSelection())


def title_of(figure):
    return f"{figure.layout.title.text} {figure.layout.title.subtitle.text}"


def test_agent_is_compared_with_team_and_center(year):
    figure = kpi_figure(
        year, agent_id="A02", start="2026-02-02", end="2026-03-29", grain="week", settings=FAST
    )
    lines = {trace.name: trace for trace in figure.data if trace.showlegend is None and trace.name}
    assert set(lines) == {"center", "team south", "A02"}
    assert len(lines["A02"].x) == 8
    assert "2026-02-02 to 2026-03-29 (GENERATED calls)" in title_of(figure)
    assert figure.layout.shapes[0].y0 == FAST.target_aht_s
    rows = year[year["agent_id"] == "A02"]
    local = rows["start"].dt.tz_convert("Europe/London").dt.strftime("%Y-%m-%d")
    week = rows[(local >= "2026-02-02") & (local < "2026-02-09")]
    expected = (week["talk_s"] + week["hold_s"] + week["after_call_s"]).mean()
    assert lines["A02"].y[0] == pytest.approx(expected)
    assert f"n = {len(week)}" not in title_of(figure)
    assert lines["A02"].customdata[0][0] == len(week)


def test_line_is_within_its_band(calls):
    series = kpi_series(calls, ["A01"], "month", FAST)
    figure = over_time_figure(series, "fcr", "month", FAST, note="")
    for low, high, line in zip(*[figure.data[place::4] for place in range(3)], strict=True):
        known = ~np.isnan(np.asarray(line.y, float))
        assert (np.asarray(low.y)[known] <= np.asarray(line.y)[known]).all()
        assert (np.asarray(line.y)[known] <= np.asarray(high.y)[known]).all()


def test_few_calls_are_gray(calls):
    most = FAST.model_copy(update={"min_calls": 10_000})
    series = kpi_series(calls, ["A01"], "month", FAST)
    for settings, grey in ((most, True), (FAST, False)):
        figure = over_time_figure(series, "aht", "month", settings, note="")
        few = [trace for trace in figure.data if str(trace.name).endswith("few calls")]
        assert all(np.isfinite(np.asarray(trace.y, float)).any() == grey for trace in few)
        groups = groups_figure(kpi_breakdown(calls, [], FAST), "agent", [], settings, note="")
        assert (set(groups.data[0].marker.color) == {"#bbbbbb"}) is grey
    hours = hours_figure(calls, most, selected="the center", note="")
    assert np.isfinite(np.asarray(hours.data[0].z, float)).any()  # counts are always shown
    assert np.isnan(np.asarray(hours.data[1].z, float)).all()


def test_frames_show_each_month_of_agents(calls):
    figure = motion_figure(calls, ["A03"], FAST, note="")
    months = sorted(calls.dropna(subset="fcr")["month"].unique())
    assert [frame.name for frame in figure.frames] == [f"{month:%Y-%m}" for month in months]
    for frame, month in zip(figure.frames, months, strict=True):
        bubbles = frame.data[0]
        assert list(bubbles.ids) == ["A01", "A02", "A03", "A04"]
        rows = calls[(calls["month"] == month) & (calls["agent_id"] == "A02")].dropna(subset="fcr")
        if len(rows):
            assert bubbles.x[1] == pytest.approx(rows["handle_s"].mean())
            assert bubbles.y[1] == pytest.approx(rows["fcr"].mean())
            assert bubbles.marker.size[1] == len(rows)
        assert bubbles.marker.line.width[2] > bubbles.marker.line.width[1]
    assert len(figure.layout.sliders[0].steps) == len(months)


def test_unknown_emotions_are_gray_and_explained(calls):
    silent = calls.assign(angry=np.nan, flag="")
    figure = motion_figure(silent, [], FAST, note="")
    assert set(figure.data[0].marker.color) == {"#bbbbbb"}
    assert not figure.data[1].marker.showscale
    assert set(motion_figure(calls, [], FAST, note="").frames[1].data[0].marker.color) != {
        "#bbbbbb"
    }
    over_time = over_time_figure(
        kpi_series(silent, [], "month", FAST), "angry", "month", FAST, note=""
    )
    groups = groups_figure(kpi_breakdown(silent, [], FAST), "agent", [], FAST, note="")
    for drawn in (over_time, groups):
        assert "unknown for all calls" in {note.text for note in drawn.layout.annotations}


def test_hours_are_grouped_if_calls_are_few(calls):
    whole = hours_figure(calls, FAST, selected="", note="")
    rows = hours_figure(calls[calls["agent_id"] == "A01"], FAST, selected="A01", note="")
    assert len(rows.data[0].x) < len(whole.data[0].x)
    assert np.nansum(np.asarray(rows.data[0].z, float)) == (calls["agent_id"] == "A01").sum()


def test_shares_of_handle_times_sum_to_one(calls):
    figure = handle_time_figure(calls, ["A01"], note="")
    assert [trace.name.split(",")[0] for trace in figure.data] == [
        "center",
        "A01",
        "angry",
        "not angry",
    ]
    for trace in figure.data:
        assert np.sum(trace.y[:-1]) == pytest.approx(1, abs=0.02)


def test_effects_are_drawn_unadjusted_and_adjusted(calls):
    effects = anger_effects(calls, FAST)
    figure = effects_figure(effects, note=emotions_note(calls))
    assert list(figure.data[0].x) == effects["ratio"].tolist()
    assert list(figure.data[1].x) == effects["adjusted_ratio"].tolist()
    assert f"{len(calls):,} generated" in title_of(figure)


@pytest.fixture(scope="module")
def evidence(calls):
    def make(**changes):
        table = calls.assign(**changes)
        return KpiEvidence(
            calls=table,
            rejected=pd.DataFrame(
                [[7, "<script>x", "A1", "k", "", "talk_s -1 is negative"]],
                columns=no_rejected_calls().columns,
            ),
            breakdown=kpi_breakdown(table, ["A01"], FAST),
            effects=anger_effects(table, FAST),
            angry_calls=angry_calls(table, ["A01"], FAST),
            agents=["A01"],
            settings=FAST,
        )

    return make


class Links(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.outside = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in {"src", "href"} and value and not value.startswith("data:"):
                self.outside.append(value)


def page_of(evidence, calls):
    note = calls_note(calls)
    figure = handle_time_figure(calls, [], note=note)
    return kpi_page(evidence, dict.fromkeys(FIGURES, figure))


def test_report_is_self_contained_and_escapes_text(evidence, calls):
    page = page_of(evidence(), calls)
    assert Links(page).outside == []
    assert page.count("plotly.js v") == 1
    assert "<script>x" not in page
    assert "talk_s -1 is negative" in page
    assert "1 rows of the export" in page
    assert "0 from recordings" in page
    assert "Angry calls last longer" in page


def test_generated_calls_are_marked(evidence, calls):
    assert "GENERATED CALLS" in page_of(evidence(), calls)
    page = page_of(
        evidence(synthetic=False, emotion_source="recording"), calls.assign(synthetic=False)
    )
    assert "GENERATED" not in page
    assert f"{len(calls):,} from recordings, 0 generated" in page


def test_report_states_how_many_calls_are_excluded_from_resolution(evidence, calls):
    undecided = int(calls["fcr"].isna().sum())
    assert undecided > 0
    assert f"{undecided:,} calls are excluded" in evidence().to_dict()["FCR"]


def test_effects_are_unknown_without_emotions(evidence):
    answers = evidence(angry=np.nan, flag="").answers()
    assert all("unknown" in answer for answer in answers)


@pytest.fixture(scope="module")
def sound(year):
    return kpi_sound(
        year, agent_id="A01;A02", start="2026-02-02", end="2026-03-15", grain="week", settings=FAST
    )


def test_sound_page_contains_sound_chart_and_legend(sound):
    page = sound_page(sound)
    assert Links(page).outside == []
    assert "data:audio/wav;base64," in page
    assert page.count("<title>A0") == sound.notes["voice"].str.startswith("A").sum() == 12
    for name, text in sound.legend.items():
        assert f"<th>{name}</th><td>{text.replace('&', '&amp;')}" in page
    assert "GENERATED CALLS" in page


@pytest.mark.browser
def test_cursor_follows_playback(sound, visit, tmp_path):
    (tmp_path / "sound.html").write_text(sound_page(sound), encoding="utf-8")
    state = """() => { draw(); return {
        time: sound.currentTime, x: Number(cursor.getAttribute("x1")),
        past: Number(reveal.getAttribute("width")), now: now.textContent} }"""
    moved = "Number(document.getElementById('cursor').getAttribute('x1')) > {}"
    page = visit(tmp_path / "sound.html")
    page.wait_for_function("sound.readyState === 4")
    assert page.evaluate("sound.duration") == pytest.approx(sound.seconds, abs=0.01)
    left, width = 80, 900

    def where(seconds):
        return pytest.approx(left + width * seconds / sound.seconds, abs=0.01)

    assert page.evaluate("Number(cursor.getAttribute('x1'))") == left
    # Slowly, or it would be over before a busy machine has looked twice.
    page.evaluate("() => { sound.playbackRate = 0.1; sound.play() }")
    page.wait_for_function(moved.format(left + width * 0.1 / sound.seconds))
    first = page.evaluate(state)
    page.wait_for_function(moved.format(first["x"] + 20))  # moved by the page, not by the test
    second = page.evaluate(state)
    assert second["time"] > first["time"] > 0
    for moment in (first, second):
        assert moment["x"] == where(moment["time"])
        assert moment["past"] == moment["x"]
    page.evaluate("() => { sound.pause(); sound.currentTime = 1.25 }")
    page.wait_for_function("!sound.seeking")
    page.wait_for_function("now.textContent === '2026-02-16'")  # the third beat of 0.5 s
    assert page.evaluate("Number(cursor.getAttribute('x1'))") == where(1.25)
    page.evaluate(
        "() => { sound.playbackRate = 1; sound.currentTime = sound.duration - 0.1; sound.play() }"
    )
    page.wait_for_function("sound.ended")
    page.wait_for_function(moved.format(left + width - 1))


def test_empty_period_is_an_error(year):
    with pytest.raises(NoCalls, match="No call from 2030-01-01"):
        kpi_figure(year, start="2030-01-01", end="2030-02-01", settings=FAST)


def test_one_call_is_reported(year):
    calls = select_period(add_kpi_columns(year.iloc[[0]], FAST), CallSelection())
    note, agents = calls_note(calls), list(calls["agent_id"])
    series, breakdown = kpi_series(calls, agents, "day", FAST), kpi_breakdown(calls, agents, FAST)
    effects = anger_effects(calls, FAST)
    drawn = [
        *(over_time_figure(series, kpi, "day", FAST, note=note) for kpi in ("aht", "fcr", "angry")),
        motion_figure(calls, agents, FAST, note=note),
        handle_time_figure(calls, agents, note=note),
        hours_figure(calls, FAST, selected="", note=note),
        groups_figure(breakdown, "agent", agents, FAST, note=note),
        groups_figure(breakdown, "topic", agents, FAST, note=note),
        effects_figure(effects, note=note),
    ]
    assert "FCR is unknown" in title_of(drawn[3])
    assert all("n = 1 calls" in title_of(figure) for figure in drawn)
    listed = angry_calls(calls, agents, FAST)
    rejected = no_rejected_calls()
    evidence = KpiEvidence(calls, rejected, breakdown, effects, listed, agents, FAST)
    page = page_of(evidence, calls)
    assert "nan" not in re.sub("<script.*?</script>", "", page, flags=re.DOTALL)
    assert "1 calls are excluded" in page
