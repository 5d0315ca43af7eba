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
from speech_emotion.contact_center.notes import render_notes
from speech_emotion.pipelines.call_kpis.pipeline import FIGURES
from speech_emotion.reporting.kpis import (
    KpiEvidence,
    explorer_page,
    kpi_figure,
    kpi_page,
    pages,
    sound_page,
)
from speech_emotion.reporting.kpis.figures import (
    agent_colors,
    calls_note,
    effects_figure,
    emotions_note,
    groups_figure,
    over_time_figure,
    scope_colors,
)
from speech_emotion.reporting.kpis.patterns import handle_time_figure, hours_figure, motion_figure
from speech_emotion.reporting.plotting import NEUTRAL
from speech_emotion.reporting.rendering import figure_html, read_template

FAST = KpiSettings(resamples=100)


@pytest.fixture(scope="module")
def year():
    return simulate_calls(SimulatorSettings(calls=6000, days=100, agents=4, teams=2))


@pytest.fixture(scope="module")
def calls(year):
    return select_period(add_kpi_columns(year, FAST), CallSelection())


def title_of(figure):
    return f"{figure.layout.title.text} {figure.layout.title.subtitle.text}"


def luminance(color):
    shares = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return np.dot(linear, [0.2126, 0.7152, 0.0722])


def test_lines_can_be_seen_on_white_and_on_dark_pages(calls):
    papers = re.findall(r"--paper: (#\w{6})", read_template("style.css.j2"))
    assert len(set(papers)) == 2
    colors = scope_colors(["center", "team a", "A01", "A02"]).values()
    for color in {*colors, NEUTRAL}:
        for paper in papers:
            low, high = sorted([luminance(color), luminance(paper)])
            assert (high + 0.05) / (low + 0.05) >= 3, (color, paper)
    # Lines without a color of their own would be dark blue.
    targets = motion_figure(calls, [], FAST, note="").layout.shapes
    assert {shape.line.color for shape in targets} == {NEUTRAL}
    drawn = groups_figure(kpi_breakdown(calls, [], FAST), "agent", FAST, note="")
    assert {*drawn.data[0].marker.color, drawn.data[0].error_x.color} == {NEUTRAL}


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
    for low, high, line in zip(*[figure.data[place::5] for place in range(3)], strict=True):
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
        groups = groups_figure(kpi_breakdown(calls, [], FAST), "agent", settings, note="")
        assert (set(groups.data[0].marker.color) == {"#bbbbbb"}) is grey
    far = most.model_copy(update={"target_aht_s": 7200.0})
    ticks = over_time_figure(series, "aht", "month", far, note="").layout.yaxis.tickvals
    assert len(ticks) <= 7  # the line of the target is on the axis, too
    assert np.all(np.diff(ticks) >= 600)
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
    groups = groups_figure(kpi_breakdown(silent, [], FAST), "agent", FAST, note="")
    for drawn in (over_time, groups):
        assert "unknown for all calls" in {note.text for note in drawn.layout.annotations}


def test_hours_are_grouped_if_calls_are_few(calls):
    whole = hours_figure(calls, FAST, selected="", note="")
    rows = hours_figure(calls[calls["agent_id"] == "A01"], FAST, selected="A01", note="")
    assert len(rows.data[0].x) < len(whole.data[0].x)
    assert np.nansum(np.asarray(rows.data[0].z, float)) == (calls["agent_id"] == "A01").sum()


def test_reports_of_a_team_show_the_team(calls):
    team = CallSelection(team="north")
    members = set(calls.loc[calls["team"] == "north", "agent_id"])
    assert 0 < len(members) < calls["agent_id"].nunique()
    times = handle_time_figure(calls, team.agents, team="north", note="")
    assert [trace.name.split(",")[0] for trace in times.data[:2]] == ["center", "team north"]
    colors = agent_colors(calls, team)
    assert set(colors) == members
    bubbles = motion_figure(calls, list(colors), FAST, note="").data[0]
    wide = [
        name
        for name, width in zip(bubbles.ids, bubbles.marker.line.width, strict=True)
        if width > 1
    ]
    assert set(wide) == members
    drawn = groups_figure(kpi_breakdown(calls, [], FAST), "agent", FAST, colors=colors, note="")
    marks = dict(zip(drawn.data[0].y, drawn.data[0].marker.color, strict=True))
    assert all((marks[name] == colors.get(name)) == (name in members) for name in marks)


def test_shares_of_handle_times_sum_to_one(calls):
    figure = handle_time_figure(calls, ["A01"], note="")
    assert [trace.name.split(",")[0] for trace in figure.data] == [
        "center",
        "team north",
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
            selection=CallSelection(agent_id="A01"),
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
    assert set(Links(page).outside) == {"plotly.js", "#main", "../call_kpis.html", "#effects"}
    assert page.count("plotly.js v") == 0
    assert "<script>x" not in page
    assert "talk_s -1 is negative" in page
    assert "1 rows of the export" in page
    assert "0 from recordings" in page
    assert "longer." in page


def test_the_share_of_confirmed_anger_is_a_column_where_verdicts_exist(evidence, calls):
    plain = evidence()
    assert not plain.has_verdicts
    assert "confirmed" not in page_of(plain, calls)
    own = calls[(calls["agent_id"] == "A01") & calls["angry"].eq(1)]
    judged = evidence(
        emotion_source=calls["emotion_source"].where(calls.index != own.index[0], "verdict")
    )
    row = re.search(r"A01</th>.*?</tr>", page_of(judged, calls), re.DOTALL)[0]
    assert row.endswith(f">{1 / len(own):.1%}</td></tr>")
    assert "share of the angry calls that reviewers have confirmed" in page_of(judged, calls)


def test_effects_are_words_before_numbers(evidence):
    answers = evidence().answers()
    assert re.fullmatch(r"Angry calls last \d+:\d\d longer\.", answers[0]["words"])
    assert re.match(r"\d+:\d\d against \d+:\d\d, difference \+", answers[0]["numbers"])
    assert "Cliff's delta" in answers[0]["footnote"]
    assert not any("delta" in answer["words"] + answer["numbers"] for answer in answers)


def test_tiles_compare_with_targets(evidence, calls):
    tiles = {tile["name"]: tile for tile in evidence().tiles()}
    own = calls[calls["agent_id"] == "A01"]
    assert tiles["calls"]["value"] == f"{len(own):,}"
    minutes, seconds = divmod(int(own["handle_s"].mean()), 60)
    assert tiles["AHT"]["value"] == f"{minutes}:{seconds:02d}"
    assert "target 8:00" in tiles["AHT"]["note"]
    assert tiles["FCR"]["value"] == f"{own['fcr'].mean():.1%}"
    unknown = {tile["name"]: tile for tile in evidence(fcr=np.nan).tiles()}
    assert unknown["FCR"]["note"] == "target 70%"
    assert evidence().name == f"A01_{calls['day'].min():%Y-%m-%d}_{calls['day'].max():%Y-%m-%d}"


def test_incomplete_weeks_are_hollow(year):
    days = select_period(
        add_kpi_columns(year, FAST), CallSelection.model_validate({"from": "2026-02-04"})
    )
    series = kpi_series(days, [], "week", FAST)
    assert series["complete"].tolist()[0] is False
    assert all(series["complete"].tolist()[1:-1])
    figure = over_time_figure(series, "aht", "week", FAST, note="")
    (hollow,) = (trace for trace in figure.data if str(trace.name).endswith("incomplete"))
    known = ~np.isnan(np.asarray(hollow.y, float))
    assert known.tolist() == (~series["complete"]).tolist()


def test_a_team_is_a_selection(year):
    selection = CallSelection(team="north")
    chosen = select_period(add_kpi_columns(year, FAST), selection)
    assert set(selection.of(chosen)["team"]) == {"north"}
    assert set(kpi_series(chosen, [], "month", FAST, team="north")["scope"]) == {
        "center",
        "team north",
    }
    listed = angry_calls(chosen, [], FAST, team="north")
    assert set(listed["team"]) == {"north"}
    with pytest.raises(ValueError, match="'west' handled no call; team is one of north, south"):
        select_period(add_kpi_columns(year, FAST), CallSelection(team="west"))
    with pytest.raises(ValueError, match="agent_id or team, not both"):
        CallSelection(team="north", agent_id="A01")


def explorer_of(calls, folder, selection=None):
    page = explorer_page(
        calls, FAST, ["center_2026-01-01_2026-03-31"], selection or CallSelection()
    )
    (folder / "kpis.html").write_text(page, encoding="utf-8")
    return folder / "kpis.html"


@pytest.mark.browser
def test_pickers_show_any_agent_and_period(calls, visit, tmp_path, audit):
    calls = calls.assign(recording=np.where(calls["agent_id"] == "A02", "a/b c.wav", None))
    calls["emotion_source"] = calls["emotion_source"].where(calls["angry"] != 1, "verdict")
    page = visit(explorer_of(calls, tmp_path))
    tiles = page.locator("#tiles li")
    assert "100.0\xa0% of them confirmed by reviewers" in tiles.nth(3).inner_text()
    assert tiles.nth(0).locator("b").inner_text() == f"{len(calls):,}"
    page.get_by_label("Agent").select_option("A02")
    page.get_by_label("From month").select_option("2026-02")
    page.get_by_label("To month").select_option("2026-02")
    own = calls[(calls["agent_id"] == "A02") & (calls["month"] == "2026-02-01")]
    assert tiles.nth(0).locator("b").inner_text() == f"{len(own):,}"
    minutes, seconds = divmod(int(own["handle_s"].mean()), 60)
    assert tiles.nth(1).locator("b").inner_text() == f"{minutes}:{seconds:02d}"
    assert tiles.nth(2).locator("b").inner_text() == f"{100 * own['fcr'].mean():.1f}\xa0%"
    assert page.locator("#charts svg").count() == 3
    angry = own[own["flag"] == "angry"]
    assert page.locator("#count").inner_text() == f"{len(angry)} angry calls, 100 shown."
    rows = page.locator("#angry tbody tr")
    assert rows.count() == min(len(angry), 100)
    assert set(rows.locator("td").nth(2).all_inner_texts()) == {"A02"}
    link = rows.first.get_by_role("link")
    assert link.get_attribute("href") == "../calls/calls.html#call=a%2Fb%20c.wav"
    page.get_by_role("button", name="Handled").click()
    shown = [text.split(":") for text in rows.locator("td:nth-child(9)").all_inner_texts()]
    seconds = [60 * int(minutes) + int(rest) for minutes, rest in shown]
    assert seconds == sorted(seconds, reverse=True)
    assert seconds == sorted(angry["handle_s"].astype(int), reverse=True)[:100]
    audit(page)
    page.emulate_media(media="print")  # Chromium repeats headers of tables, without buttons
    shown = "[...document.querySelectorAll('th button')].map(one => getComputedStyle(one).display)"
    assert set(page.evaluate(shown)) == {"contents"}


@pytest.mark.browser
def test_fifty_agents_and_three_years_fit_on_a_page(visit, tmp_path, monkeypatch):
    monkeypatch.setattr(pages, "EXPLORED", 100)
    simulated = simulate_calls(SimulatorSettings(calls=20_000, days=1095, agents=50, teams=4))
    calls = add_kpi_columns(simulated, FAST)
    path = explorer_of(calls, tmp_path, CallSelection(agent_id="A17"))
    assert path.stat().st_size < 1_000_000
    page = visit(path)
    assert page.locator("#agent option").count() == 51
    assert page.locator("#from option").count() >= 36
    assert "Agent A17" in page.locator("#chosen").inner_text()
    own = calls[calls["agent_id"] == "A17"]
    assert page.locator("#tiles b").first.inner_text() == f"{len(own):,}"
    listed = page.locator("#angry tbody tr").count()
    assert 0 < listed < own["angry"].sum()
    assert page.locator("#count").inner_text() == (
        f"{own['angry'].sum():.0f} angry calls, the {listed} angriest of them on this page."
    )


@pytest.mark.browser
def test_report_passes_an_audit(evidence, calls, visit, tmp_path, audit):
    from plotly.offline import get_plotlyjs

    (tmp_path / "plotly.js").write_text(get_plotlyjs(), encoding="utf-8")
    (tmp_path / "report.html").write_text(page_of(evidence(), calls), encoding="utf-8")
    page = visit(tmp_path / "report.html")
    audit(page)
    table = page.get_by_role("region", name="KPIs by Agent").locator("table")
    page.locator("summary").filter(has_text="gent, team").click()
    table.get_by_role("button", name="calls").click()
    counts = [
        int(text.replace(",", "")) for text in table.locator("td:nth-child(2)").all_inner_texts()
    ]
    assert counts == sorted(counts, reverse=True)


def test_agents_called_as_labels_of_ours_have_figures_of_their_own(year):
    names = {"A01": "center", "A02": "team north", "A03": "target", "A04": "../" + "x" * 300}
    calls = year.assign(agent_id=year["agent_id"].replace(names))
    chosen = select_period(add_kpi_columns(calls, FAST), CallSelection())
    table = kpi_breakdown(chosen, list(names.values()), FAST)
    counts = table[table["by"] == "all"].set_index("scope")["n_calls"]
    per_agent = year["agent_id"].value_counts()
    assert counts["center"] == len(year)
    assert counts["agent center"] == per_agent["A01"]
    assert counts["team north"] == year["team"].eq("north").sum()
    assert counts["agent team north"] == per_agent["A02"]
    sound = kpi_sound(calls, agent_id="target", grain="month", settings=FAST)
    assert sound.voices == ["agent target"]
    assert np.abs(sound.samples).max() > 0.01
    selection = CallSelection(agent_id=";".join(names.values()))
    name = KpiEvidence(chosen, *[table] * 4, selection, FAST).name
    assert "/" not in name
    assert len(name.encode()) < 250


@pytest.mark.browser
def test_figures_show_names_as_text_and_not_as_links(year, visit, tmp_path):
    from plotly.offline import get_plotlyjs

    name = '<a href="https://evil.example">A01</a><b>'
    named = year.assign(agent_id=year["agent_id"].replace("A01", name))
    chosen = select_period(add_kpi_columns(named, FAST), CallSelection())
    both = {
        "lines": kpi_figure(named, agent_id=name, grain="month", settings=FAST),
        "groups": groups_figure(kpi_breakdown(chosen, [name], FAST), "agent", FAST, note=""),
        "bubbles": motion_figure(chosen, [name], FAST, note=""),
        "times": handle_time_figure(chosen, [name], note=""),
    }
    (tmp_path / "plotly.js").write_text(get_plotlyjs(), encoding="utf-8")
    shown = "".join(figure_html(figure, key) for key, figure in both.items())
    html = f'<meta charset="utf-8"><script src="plotly.js"></script>{shown}'
    (tmp_path / "page.html").write_text(html, encoding="utf-8")
    page = visit(tmp_path / "page.html")
    for key in both:
        page.locator(f"#figure-{key} .main-svg").first.wait_for()
    assert page.locator("a[href*=evil]").count() == 0
    for key in both:
        texts = page.locator(f"#figure-{key} svg text").all_text_contents()
        assert any(name in text for text in texts), (key, texts)


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
    assert all("unknown" in answer["words"] for answer in answers)


@pytest.fixture(scope="module")
def sound(year):
    return kpi_sound(
        year, agent_id="A01;A02", start="2026-02-02", end="2026-03-15", grain="week", settings=FAST
    )


def test_sound_page_contains_sound_chart_and_legend(sound):
    page = sound_page(sound)
    assert Links(page).outside == ["#main", "../index.html"]
    assert len(page) < 200_000
    assert page.count("<title>A0") == sound.notes["voice"].str.startswith("A").sum() == 12
    for name, text in sound.legend.items():
        assert f'<th scope="row">{name}</th><td>{text.replace("&", "&amp;")}' in page
    assert "GENERATED CALLS" in page


# The page plays into a buffer of two seconds, at the time 0.
RECORDING = """() => {
  window.AudioContext = class extends OfflineAudioContext {
    constructor() { super(2, 2 * 44100, 44100); window.recording = this; }
    get state() { return "running"; }
  };
}"""
RENDER = """async () => {
  const buffer = await window.recording.startRendering();
  return [0, 1].map((channel) => Array.from(buffer.getChannelData(channel)));
}"""


@pytest.mark.browser
@pytest.mark.parametrize("muted", ["", "A01"])
def test_the_page_plays_the_samples(sound, visit, tmp_path, muted):
    (tmp_path / "sound.html").write_text(sound_page(sound), encoding="utf-8")
    page = visit(tmp_path / "sound.html")
    page.evaluate(RECORDING)
    if muted:
        page.get_by_role("checkbox", name=muted).uncheck()
    page.get_by_role("button", name="Play").click()
    played = np.array(page.evaluate(RENDER)).T
    rests = sound.notes["voice"] == muted
    expected = render_notes(sound.notes.assign(note=sound.notes["note"].mask(rests)), sound.mapping)
    np.testing.assert_allclose(played, expected[: len(played)], atol=0.01)
    assert np.abs(played).max() > 0.1


@pytest.mark.browser
def test_chart_plays_seeks_and_mutes(sound, visit, tmp_path, audit):
    (tmp_path / "sound.html").write_text(sound_page(sound), encoding="utf-8")
    page = visit(tmp_path / "sound.html")
    bars = page.locator("#chart [data-voice=A01] line")
    assert bars.count() == 6
    assert bars.last.evaluate("bar => bar.getBoundingClientRect().width") > 5  # before it is played
    left, width = 80, 900
    cursor = page.locator("#cursor")
    assert float(cursor.get_attribute("x1")) == left
    box = page.locator("#chart").bounding_box()
    x = left + width * 1.25 / sound.seconds
    page.mouse.click(box["x"] + x / 1000 * box["width"], box["y"] + 100)
    page.wait_for_function("Number(document.getElementById('position').value) > 1.3")
    page.get_by_role("button", name="Pause").click()
    stopped = float(page.locator("#position").input_value())
    page.wait_for_timeout(300)
    assert float(page.locator("#position").input_value()) == stopped
    page.locator("#position").fill("1.25")
    now = page.locator("#now")
    page.wait_for_function("document.getElementById('now').textContent.startsWith('2026-02-16')")
    row = sound.notes[(sound.notes["voice"] == "A02") & (sound.notes["period"] == "2026-02-16")]
    minutes, seconds = divmod(int(row["value"].item()), 60)
    assert f"A02 {minutes}:{seconds:02d}, angry {row['angry'].item():.1%}" in now.inner_text()
    page.get_by_role("checkbox", name="A01").uncheck()
    assert "muted" in page.locator("#chart g[data-voice=A01]").get_attribute("class")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("ArrowRight")
    assert float(cursor.get_attribute("x1")) == pytest.approx(
        left + width * 1.75 / sound.seconds, 0.01
    )
    page.locator("#speed").select_option("8")
    page.get_by_role("button", name="Play").click()
    page.wait_for_function(
        f"Number(document.getElementById('position').value) >= {sound.seconds - 0.01}"
    )
    page.get_by_role("button", name="Play").wait_for()  # it has stopped at the end
    audit(page)


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
        groups_figure(breakdown, "agent", FAST, note=note),
        groups_figure(breakdown, "topic", FAST, note=note),
        effects_figure(effects, note=note),
    ]
    assert "FCR is unknown" in title_of(drawn[3])
    assert all("n = 1 calls" in title_of(figure) for figure in drawn)
    listed = angry_calls(calls, agents, FAST)
    rejected = no_rejected_calls()
    selection = CallSelection(agent_id=agents[0])
    evidence = KpiEvidence(calls, rejected, breakdown, effects, listed, selection, FAST)
    page = page_of(evidence, calls)
    assert "nan" not in re.sub("<script.*?</script>", "", page, flags=re.DOTALL)
    assert "1 calls are excluded" in page
