import shutil

import pandas as pd
import pytest
import soundfile
from PIL import Image

from speech_emotion.reporting.calls import (
    CallReportSettings,
    calls_page,
    channel_id,
    excerpt_table,
    read_envelopes,
)

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
    run_kedro(folder, pipeline_names=["call_report"])
    return folder / "08_reporting"


def test_passages_are_cut_with_what_is_around_them(report, scored_calls):
    table = pd.read_csv(report / "passage_sounds.csv")
    assert len(table) == len(scored_calls.call_passages) == 3
    assert {path.stem for path in (report / "calls/passages").iterdir()} == set(table["file"])
    for row in table.itertuples():
        sound, rate = soundfile.read(report / "calls/passages" / f"{row.file}.wav")
        whole, _ = soundfile.read(row.path)
        assert (row.from_s, row.to_s) == (row.start_s - 2, row.end_s + 1)
        assert (sound == whole[round(row.from_s * rate) : round(row.to_s * rate)]).all()


def test_flagged_calls_and_those_to_review_have_a_picture(report):
    pictures = report / "calls/timelines"
    names = {f"{channel_id(call, 0)}.png" for call in (ANGRY, SECOND, NOISY)}
    assert {path.name for path in pictures.iterdir()} == names
    for path in pictures.iterdir():
        assert Image.open(path).width >= 1000


def test_the_page_is_tracked_and_needs_nothing_from_elsewhere(report):
    page = (report / "calls/calls.html").read_text()
    assert next((report.parent / "mlflow").rglob("report/calls.html")).read_text() == page
    without = page.replace("http://www.w3.org/2000/svg", "")
    assert "http:" not in without
    assert "https:" not in without
    assert "<b>Müller" not in page  # names of files are no markup
    assert len(page) < 120_000


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
    return page.locator("tr.detail:visible")


@pytest.mark.browser
class TestPage:
    def test_angry_calls_come_first(self, page, scored_calls):
        summary = scored_calls.call_summary
        angry = summary[summary["flag"] == "angry"].sort_values("score", ascending=False)
        assert calls_of(page) == [*angry["call"], NOISY, CALM]

    def test_any_column_sorts_both_ways(self, page, scored_calls):
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

    def test_flags_and_words_filter(self, page):
        page.get_by_label("review (1)").uncheck()
        page.get_by_label("calm (1)").uncheck()
        assert set(calls_of(page)) == {ANGRY, SECOND}
        assert page.locator("#shown").inner_text() == "2 of 4 shown"
        page.get_by_label("Search").fill("müller")
        assert calls_of(page) == [SECOND]
        page.get_by_label("Search").fill("")
        page.get_by_label("angry (2)").uncheck()
        page.get_by_label("review (1)").check()
        assert calls_of(page) == [NOISY]
        assert "68% of 22 windows were not scored" in page.locator("tr.call:visible").inner_text()

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

    def test_a_passage_plays_and_is_as_long_as_its_file(self, page, report):
        detail = open_call(page, ANGRY)
        assert detail.locator("svg .passage").count() == 2
        audio = detail.locator("audio").nth(1)
        page.wait_for_function("audio => audio.readyState > 0", arg=audio.element_handle())
        source = audio.get_attribute("src")
        cut = soundfile.info(report / "calls" / source)
        assert audio.evaluate("audio => audio.duration") == pytest.approx(cut.duration, abs=0.01)
        detail.locator("svg .passage").nth(1).click()
        page.wait_for_function("audio => audio.currentTime > 0.3", arg=audio.element_handle())
        # A second one silences the first, and so does closing the call.
        other = detail.locator("audio").nth(0).element_handle()
        other.evaluate("audio => audio.play()")
        page.wait_for_function("audio => audio.currentTime > 0.3", arg=other)
        assert audio.evaluate("audio => audio.paused")
        assert not other.evaluate("audio => audio.paused")
        page.get_by_role("button", name=ANGRY).click()
        assert other.evaluate("audio => audio.paused")

    def test_the_keyboard_reaches_everything(self, page):
        page.get_by_role("button", name="Reason").focus()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "open"
        page.keyboard.press("Enter")
        assert page.locator("tr.detail:visible").count() == 1
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.tagName") == "AUDIO"
        page.keyboard.press("Space")
        page.wait_for_function("document.activeElement.currentTime > 0.1")

    def test_the_timeline_is_read_by_pointing(self, page):
        detail = open_call(page, ANGRY)
        svg = detail.locator("svg")
        box = svg.bounding_box()
        readout = detail.locator(".readout")
        seconds = 15.0  # in the first angry passage
        frame = svg.locator("rect:not(.passage)").first.bounding_box()
        page.mouse.move(frame["x"] + seconds / 60 * frame["width"], box["y"] + 0.4 * box["height"])
        assert readout.inner_text().startswith(("0:14 angry", "0:15 angry"))
        page.mouse.move(box["x"] + 0.98 * box["width"], box["y"] + 0.4 * box["height"])
        assert readout.inner_text().endswith("no speech")

    def test_calm_calls_say_why_there_is_no_timeline(self, page):
        detail = open_call(page, CALM)
        assert "No timeline: set call_report.timelines=all" in detail.inner_text()
        assert detail.locator("svg").count() == 0

    def test_a_narrow_window_does_not_scroll_sideways(self, page):
        page.set_viewport_size({"width": 700, "height": 900})
        detail = open_call(page, ANGRY)
        assert page.evaluate("document.documentElement.scrollWidth") <= 700
        assert "Length 1:00 · Talk 45.0%" in detail.inner_text()  # columns that had no room

    def test_a_page_without_its_sounds_says_so(self, visit, report, tmp_path):
        shutil.copy(report / "calls/calls.html", tmp_path)
        page = visit(
            tmp_path / "calls.html", expected="Failed to load resource: net::ERR_FILE_NOT_FOUND"
        )
        detail = open_call(page, SECOND)
        detail.locator(".problem").wait_for()
        assert "was not found next to this page" in detail.inner_text()


@pytest.mark.browser
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["calm", "review"], "No call was flagged as angry. 1 could not be scored"),
        (["calm"], "No call was flagged as angry."),
        ([], "No call was scored. All 1 recordings were rejected"),
    ],
)
def test_batches_without_flags_have_a_page(scored_calls, tmp_path, visit, flags, said):
    summary = scored_calls.call_summary
    summary = summary[summary["flag"].isin(flags)]
    settings = CallReportSettings(timelines="all")
    excerpts = excerpt_table(scored_calls.call_passages.iloc[:0], settings)
    tables = (excerpts, read_envelopes(summary, settings), scored_calls.rejected_recordings)
    (tmp_path / "calls.html").write_text(
        calls_page(summary, scored_calls.call_emotions, *tables, settings)
    )
    page = visit(tmp_path / "calls.html")
    assert said in page.locator("body").inner_text()
    assert len(calls_of(page)) == len(flags)
    assert "tuesday/notes.wav" in page.locator("#rejected").inner_text()
    if flags:
        assert open_call(page, CALM).locator("svg").count() == 1
