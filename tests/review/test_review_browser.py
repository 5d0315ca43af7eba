"""The application in a real browser: play, judge by keyboard, undo, two reviewers, a restart."""

import contextlib
import threading
import time

import pytest
import sqlalchemy as sa

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

import uvicorn

from speech_emotion.review import Database, load_verdicts
from speech_emotion.review.app import Access, create_app
from speech_emotion.review.database import items

PASSWORDS = {"ada": "correct horse", "ben": "battery staple", "lea": "tall red lamp"}
PATIENCE_MS = 300_000

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@contextlib.contextmanager
def running(database, folder, settings, port=0):
    """Serve the application from a thread, like the command does."""
    app = create_app(database, folder, settings, Access(hosts=frozenset({"127.0.0.1"})))
    options = {"log_level": "warning", "proxy_headers": False, "timeout_graceful_shutdown": 1}
    config = uvicorn.Config(app, port=port, **options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.05)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def people(chromium):
    """Open a browser of its own for each reviewer; whatever it complains of fails the test."""
    complaints, contexts = [], []

    def person(address, name, **options):
        context = chromium.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{address}/queue")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(PASSWORDS[name])
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("heading", name="Queue").wait_for()
        return page

    yield person
    for context in contexts:
        context.close()
    assert complaints == []


def judge(page, key):
    """Press a key of a verdict, and wait for the next page."""
    before = page.url
    page.wait_for_load_state()  # the form is there before the script that reads keys
    page.keyboard.press(key)
    page.wait_for_url(lambda url: url.partition("?")[0] != before.partition("?")[0])


def item_of(page):
    return page.url.partition("/items/")[2].partition("?")[0]


def test_two_people_review_the_queue(reviewed, settings, people, audit):
    with running(reviewed.database, reviewed.folder, settings) as port:
        address = f"http://127.0.0.1:{port}"
        ada = people(address, "ada", viewport={"width": 1400, "height": 900})
        ben = people(address, "ben", viewport={"width": 390, "height": 800})
        audit(ada)
        for page in (ada, ben):
            page.get_by_role("link", name="Start reviewing").click()
            page.locator("#verdict").wait_for()
        assert item_of(ada) != item_of(ben)
        # Play with context, only the passage, at another speed.
        audio = ada.locator("#audio").element_handle()
        ada.wait_for_function("audio => audio.readyState > 0", arg=audio)
        ada.keyboard.press("Space")
        ada.wait_for_function("audio => !audio.paused && audio.currentTime > 0", arg=audio)
        ada.keyboard.press("Space")
        ada.wait_for_function("audio => audio.paused", arg=audio)
        ada.get_by_label("Speed").select_option("1.5")
        assert audio.evaluate("audio => audio.playbackRate") == 1.5
        at = audio.evaluate("audio => audio.currentTime")
        ada.keyboard.press("Escape")
        ada.locator("h1").click()
        ada.keyboard.press("ArrowRight")
        assert audio.evaluate("audio => audio.currentTime") == pytest.approx(at + 3, abs=0.5)
        for picture in ("waveform.svg", "spectrogram.png"):
            image = ada.locator(f"img[src$='{picture}']").element_handle()
            ada.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=image)
        audit(ada)
        # A note with the letters of verdicts is a note.
        first = item_of(ada)
        ada.keyboard.press("m")
        ada.keyboard.type("can not")
        ada.keyboard.press("Escape")
        judge(ada, "a")
        assert ada.get_by_role("status").inner_text() == "Stored: angry."
        ada.keyboard.press("u")
        ada.wait_for_url(lambda url: f"/items/{first}" in url)
        assert "The verdict was undone." in ada.content()
        # Both judge by keyboard until nothing is left; with the one that was undone, ten verdicts.
        for number in range(4):
            judge(ada, "anc"[number % 3])
            judge(ben, "n")
        judge(ada, "a")
        ada.get_by_text("Nothing is left for you").wait_for()
        ada.get_by_role("link", name="Progress").click()
        audit(ada)
    table = load_verdicts(reviewed.database)
    assert len(table) == 10
    assert table["note"].tolist()[0] == "can not"
    valid = table[~table["superseded"]]
    assert valid["item_id"].is_unique
    assert valid["reviewer"].value_counts().to_dict() == {"ada": 5, "ben": 4}
    with reviewed.database.read() as connection:
        assert set(connection.scalars(sa.select(items.c.status))) == {"done"}


def test_a_restart_loses_nothing(reviewed, settings, people, audit):
    with running(reviewed.database, reviewed.folder, settings) as port:
        page = people(f"http://127.0.0.1:{port}", "lea", viewport={"width": 390, "height": 800})
        page.get_by_role("link", name="Start reviewing").click()
        page.locator("#verdict").wait_for()
        judge(page, "c")
        open_item = item_of(page)
        page.get_by_label("Note").fill("half written")
    reviewed.database.close()
    again = Database(str(reviewed.database.url))
    with running(again, reviewed.folder, settings, port):
        # The same page, session and item go on.
        page.get_by_role("button", name="Not angry").click()
        page.get_by_text("Stored: not angry.").wait_for()
        assert item_of(page) != open_item
        page.goto(f"http://127.0.0.1:{port}/settings")
        audit(page)
    table = load_verdicts(again)
    assert table["verdict"].tolist() == ["cannot_tell", "not_angry"]
    assert table["note"].tolist()[1] == "half written"
    again.close()
