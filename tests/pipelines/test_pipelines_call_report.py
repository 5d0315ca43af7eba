import csv
import io
import re
import shutil

import pandas as pd
import pytest
import soundfile

from speech_emotion.call_scoring import CallSettings
from speech_emotion.reporting.calls import calls_page, channel_id, row_files

ANGRY = "monday/call 1.wav"
SECOND = "monday/Anruf <b>Müller</b> & Söhne.wav"
NOISY = "tuesday/noisy.wav"
CALM = "tuesday/quiet.flac"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(run_kedro, scored_calls, tmp_path_factory):
    """Lay the tables down where the catalog has them, and run the pipeline."""
    folder = tmp_path_factory.mktemp("data")
    tables = folder / "07_model_output/calls"
    tables.mkdir(parents=True)
    scored_calls.call_emotions.to_parquet(tables / "emotions.parquet")
    scored_calls.call_summary.to_parquet(tables / "summary.parquet")
    scored_calls.call_passages.to_parquet(tables / "passages.parquet")
    scored_calls.rejected_recordings.to_csv(tables / "rejected.csv", index=False)
    stale = folder / "08_reporting/calls/sounds/00/0000000000000000.mp3"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"")
    run_kedro(folder, params={"calls": {"n_jobs": 1}}, pipeline_names=["call_report"])
    assert not stale.exists()
    return folder / "08_reporting"


def test_without_scored_calls_it_says_what_to_run(run_kedro, tmp_path):
    with pytest.raises(ValueError, match="run the pipeline call_scoring"):
        run_kedro(tmp_path, pipeline_names=["call_report"])


def test_flags_of_older_versions_are_renamed(run_kedro, scored_calls, tmp_path):
    tables = tmp_path / "07_model_output/calls"
    tables.mkdir(parents=True)
    scored_calls.call_emotions.to_parquet(tables / "emotions.parquet")
    older = scored_calls.call_summary.replace({"flag": {"not_flagged": "calm"}})
    assert "calm" in set(older["flag"])
    older.to_parquet(tables / "summary.parquet")
    scored_calls.call_passages.to_parquet(tables / "passages.parquet")
    scored_calls.rejected_recordings.to_csv(tables / "rejected.csv", index=False)
    params = {"call_report": {"sounds": "none"}}
    run_kedro(tmp_path, params=params, pipeline_names=["call_report"])
    page = (tmp_path / "08_reporting/calls/calls.html").read_text()
    assert 'value="not_flagged"' in page
    assert 'value="calm"' not in page


def test_every_call_can_be_heard(report, scored_calls):
    sounds = pd.read_parquet(report / "calls/sounds.parquet").set_index("call")
    assert set(sounds.index) == set(scored_calls.call_summary["call"])
    assert (sounds["error"] == "").all()
    for row in scored_calls.call_summary.itertuples():
        copy = soundfile.info(report / "calls" / f"{sounds['name'][row.call]}.mp3")
        assert copy.channels == 2
        assert copy.duration == pytest.approx(60, abs=0.2)
    assert len(list((report / "calls/sounds").rglob("*.mp3"))) == 4


def test_sounds_are_kept_and_missing_recordings_explained(
    report, scored_calls, run_kedro, tmp_path
):
    shutil.copytree(report.parent, tmp_path / "data")
    path = tmp_path / "data/07_model_output/calls/summary.parquet"
    summary = pd.read_parquet(path)
    summary.loc[summary["call"] == ANGRY, "path"] = "/nowhere/missing.wav"
    summary.to_parquet(path)
    before = {
        file.name: file.stat().st_mtime_ns
        for file in (tmp_path / "data/08_reporting/calls/sounds").rglob("*.mp3")
    }
    run_kedro(
        tmp_path / "data",
        params={"calls": {"n_jobs": 1}, "call_report": {"points": 600}},
        pipeline_names=["call_report"],
    )
    after = {
        file.name: file.stat().st_mtime_ns
        for file in (tmp_path / "data/08_reporting/calls/sounds").rglob("*.mp3")
    }
    assert len(after) == 3
    assert after.items() <= before.items()
    identifier = channel_id(ANGRY, 0)
    (detail,) = (tmp_path / "data/08_reporting/calls/details").rglob(f"{identifier}.js")
    assert '"sound":"","error":"no such file' in detail.read_text()


def test_mlflow_gets_no_name_of_a_call(report, scored_calls):
    names = {call.rsplit("/")[-1].encode() for call in scored_calls.call_summary["call"]}
    files = [report.parent / "mlflow.db", *(report.parent / "mlflow").rglob("*")]
    for path in filter(lambda path: path.is_file(), files):
        assert not any(name in path.read_bytes() for name in names), path


def test_the_page_needs_nothing_from_elsewhere(report):
    page = (report / "calls/calls.html").read_text()
    without = page.replace("http://www.w3.org/2000/svg", "")
    assert "http:" not in without
    assert "https:" not in without
    assert "<b>Müller" not in page  # names of files are no markup
    assert len(page) < 60_000


# What a browser makes of the page.


@pytest.fixture
def page(visit, report):
    return visit(report / "calls/calls.html")


def calls_of(page):
    """Names of the calls that are shown, from top to bottom."""
    rows = page.locator("tr.call:visible .open")
    return [text.strip() for text in rows.all_inner_texts()]


def open_call(page, name):
    page.get_by_role("button", name=name).click()
    detail = page.locator("tr.detail")
    detail.locator(".timeline, .problem").first.wait_for()
    return detail


def show_all(page):
    page.get_by_label("not flagged (1)").check()
    page.locator("tr.call").nth(3).wait_for()


@pytest.mark.browser
class TestPage:
    def test_angry_calls_come_first_and_others_are_collapsed(self, page, scored_calls):
        summary = scored_calls.call_summary
        angry = summary[summary["flag"] == "angry"].sort_values("score", ascending=False)
        assert calls_of(page) == [*angry["call"], NOISY]
        assert page.locator("#shown").inner_text() == "3 of 4 shown"
        show_all(page)
        assert calls_of(page) == [*angry["call"], NOISY, CALM]
        row = page.locator("tr.call").nth(3).inner_text()
        assert "not flagged" in row
        assert "neutral" in row

    def test_any_column_sorts_both_ways(self, page, scored_calls):
        show_all(page)
        summary = scored_calls.call_summary
        header = page.get_by_role("columnheader", name="Score")
        header.get_by_role("button").click()
        falling = summary.sort_values("score", ascending=False)["call"].tolist()
        assert calls_of(page) == falling
        assert header.get_attribute("aria-sort") == "descending"
        header.get_by_role("button").click()
        assert calls_of(page) == falling[::-1]
        page.get_by_role("button", name="Call", exact=True).click()
        assert calls_of(page) == [SECOND, ANGRY, NOISY, CALM]
        page.get_by_role("button", name="First angry").click()
        assert calls_of(page)[:2] == [SECOND, ANGRY]  # calls without such a moment are last
        page.get_by_role("button", name="First angry").click()
        assert calls_of(page)[:2] == [ANGRY, SECOND]

    def test_flags_words_and_scores_filter(self, page):
        page.get_by_label("review (1)").uncheck()
        assert set(calls_of(page)) == {ANGRY, SECOND}
        assert page.locator("#shown").inner_text() == "2 of 4 shown"
        page.get_by_label("Search").fill("müller")
        assert calls_of(page) == [SECOND]
        page.get_by_label("Search").fill("")
        page.get_by_label("angry (2)").uncheck()
        page.get_by_label("review (1)").check()
        assert calls_of(page) == [NOISY]
        assert "68% of 22 windows were not scored" in page.locator("tr.call").inner_text()
        page.get_by_label("Score from").fill("0.99")
        assert calls_of(page) == []

    def test_the_table_is_saved_as_it_is_shown(self, page):
        page.get_by_label("review (1)").uncheck()
        with page.expect_download() as download:
            page.get_by_role("button", name="Save as CSV").click()
        text = download.value.path().read_text(encoding="utf-8-sig")
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [row["call"] for row in rows] == calls_of(page)
        assert {row["flag"] for row in rows} == {"angry"}

    def test_an_open_call_goes_with_its_row(self, page):
        detail = open_call(page, ANGRY)
        assert detail.count() == 1
        page.get_by_label("angry (2)").uncheck()
        assert detail.count() == 0
        page.get_by_label("angry (2)").check()
        page.get_by_role("button", name="Score").click()
        above = detail.evaluate("row => row.previousElementSibling.textContent")
        assert ANGRY in above
        page.get_by_role("button", name=ANGRY).click()
        assert detail.count() == 0

    def test_timeline_and_lists_play_the_call(self, page):
        detail = open_call(page, ANGRY)
        assert detail.locator("svg .passage").count() == 2
        assert detail.locator("svg .mark").count() == 5
        audio = detail.locator("audio").element_handle()
        page.wait_for_function("audio => audio.readyState > 0", arg=audio)
        assert audio.evaluate("audio => audio.duration") == pytest.approx(60, abs=0.2)
        audio.evaluate(
            "audio => { audio.onseeking = () => { audio.sought ??= audio.currentTime; }; }"
        )
        sought = "audio => { const at = audio.sought; audio.sought = undefined; return at; }"
        frame = detail.locator("svg .frame").first.bounding_box()
        page.mouse.click(frame["x"] + 0.5 * frame["width"], frame["y"] + 10)
        page.wait_for_function("audio => !audio.paused && audio.currentTime > 30.2", arg=audio)
        assert audio.evaluate(sought) == pytest.approx(30, abs=0.2)
        detail.get_by_role("button", name="0:39–").first.click()
        page.wait_for_function("audio => audio.sought !== undefined", arg=audio)
        assert audio.evaluate(sought) == pytest.approx(37, abs=1)
        # Another call silences the first.
        page.get_by_role("button", name=SECOND).click()
        other = page.locator("audio").nth(0 if SECOND in calls_of(page)[0] else 1)
        other.wait_for()
        other.evaluate("audio => audio.play()")
        page.wait_for_function("audio => audio.paused", arg=audio)

    def test_a_link_opens_a_call_at_a_moment(self, visit, report):
        page = visit(report / "calls/calls.html")
        page.evaluate("call => { location.hash = `call=${encodeURIComponent(call)}&t=42`; }", CALM)
        detail = page.locator("tr.detail")
        detail.locator("audio").wait_for()
        assert CALM in detail.evaluate("row => row.previousElementSibling.textContent")
        audio = detail.locator("audio").element_handle()
        page.wait_for_function("audio => Math.abs(audio.currentTime - 42) < 0.1", arg=audio)
        link = detail.get_by_role("link", name="Link to this moment")
        page.wait_for_function("link => link.href.endsWith('&t=42')", arg=link.element_handle())
        assert channel_id(CALM, 0) in link.get_attribute("href")

    def test_the_keyboard_reaches_everything(self, page):
        page.get_by_role("button", name="Reason").focus()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "open"
        page.keyboard.press("Enter")
        slider = page.get_by_role("slider", name="Timeline")
        slider.wait_for()
        audio = page.locator("audio").element_handle()
        page.wait_for_function("audio => audio.readyState > 0", arg=audio)
        slider.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        page.wait_for_function("audio => audio.currentTime === 10", arg=audio)
        page.wait_for_function(
            "slider => slider.ariaValueNow === '10'", arg=slider.element_handle()
        )
        page.keyboard.press("Space")
        page.wait_for_function("audio => audio.currentTime > 10.1", arg=audio)

    def test_the_timeline_is_read_by_pointing(self, page):
        detail = open_call(page, ANGRY)
        detail.locator("svg").scroll_into_view_if_needed()
        box = detail.locator("svg").bounding_box()
        seconds = 15.0  # in the first angry passage
        frame = detail.locator("svg .frame").first.bounding_box()
        page.mouse.move(frame["x"] + seconds / 60 * frame["width"], box["y"] + 0.4 * box["height"])
        detail.locator(".readout", has_text=re.compile(r"^0:1[45]\s+angry")).wait_for()
        page.mouse.move(frame["x"] + 0.99 * frame["width"], box["y"] + 0.4 * box["height"])
        detail.locator(".readout", has_text=re.compile("no speech$")).wait_for()

    def test_a_phone_shows_everything(self, page):
        page.set_viewport_size({"width": 390, "height": 844})
        detail = open_call(page, ANGRY)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert "length 1:00 · talk 45" in detail.inner_text()  # columns that had no room
        assert "2 windows and more in a row" in page.locator("tr.call").first.inner_text()

    def test_no_serious_finding_of_an_audit(self, page, audit):
        open_call(page, ANGRY)
        page.get_by_text("What score, threshold").click()
        audit(page)

    def test_a_page_without_its_files_says_so(self, visit, report, tmp_path):
        shutil.copy(report / "calls/calls.html", tmp_path)
        page = visit(
            tmp_path / "calls.html", expected="Failed to load resource: net::ERR_FILE_NOT_FOUND"
        )
        assert len(calls_of(page)) == 3
        detail = open_call(page, SECOND)
        assert "was not found next to this page" in detail.inner_text()


def write_page(folder, summary, rejected):
    for name, content in row_files(summary):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "calls.html").write_text(calls_page(summary, rejected, CallSettings()))
    return folder / "calls.html"


@pytest.mark.browser
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            ["not_flagged", "review"],
            "No call was flagged as angry. 1 to review, because the model is uncertain",
        ),
        (["not_flagged"], "No call was flagged as angry."),
        ([], "No call was scored. All 1 recordings were rejected"),
    ],
)
def test_batches_without_flags_have_a_page(scored_calls, tmp_path, visit, flags, said):
    summary = scored_calls.call_summary
    summary = summary[summary["flag"].isin(flags)]
    page = visit(write_page(tmp_path, summary, scored_calls.rejected_recordings))
    page.locator("body").get_by_text(said).first.wait_for()
    assert "tuesday/notes.wav" in page.locator("#rejected").inner_text()
    if flags:
        page.locator("tr.call").first.wait_for()
        assert calls_of(page) == [NOISY if "review" in flags else CALM]


@pytest.mark.browser
def test_a_large_batch_is_paged_and_filtered(scored_calls, tmp_path, visit):
    numbers = range(6000)
    summary = scored_calls.call_summary.iloc[[0, 2, 3, 3, 3, 3, 3, 3, 3, 3]]
    summary = pd.concat([summary] * 600, ignore_index=True).assign(
        call=[f"{number:04d}.wav" for number in numbers],
        score=[number / 6000 for number in numbers],
        started=pd.Timestamp("2026-03-01")
        + pd.to_timedelta([number // 100 for number in numbers], "D"),
        agent=[f"A{number % 7}" for number in numbers],
        queue=["billing" if number % 2 else "sales" for number in numbers],
    )
    page = visit(write_page(tmp_path, summary, scored_calls.rejected_recordings))
    page.get_by_text("1,200 of 6,000 shown").wait_for()
    assert len(calls_of(page)) == 50
    assert page.locator("#place").inner_text() == "Page 1 of 24"
    page.get_by_role("button", name="Next").click()
    assert calls_of(page)[0] == "5490.wav"  # the 51st angry call by score
    page.get_by_label("Agent").select_option("A3")
    page.get_by_label("Queue").select_option("billing")
    page.get_by_label("From day").fill("2026-03-02")
    page.get_by_label("To day").fill("2026-03-04")
    expected = summary[
        (summary["flag"] != "not_flagged")
        & (summary["agent"] == "A3")
        & (summary["queue"] == "billing")
        & summary["started"].between("2026-03-02", "2026-03-04")
    ]
    assert 0 < len(expected) < 50
    assert sorted(calls_of(page)) == sorted(expected["call"])
    page.get_by_label("not flagged (4,800)").check()
    page.wait_for_function(
        "n => document.querySelectorAll('tr.call').length > n", arg=len(expected)
    )
    assert page.evaluate("document.documentElement.scrollHeight") < 8000
