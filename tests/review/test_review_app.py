"""The web application over HTTP: login, protection, sound, verdicts, settings, export."""

import contextlib
import datetime as dt
import io
import logging
import re
import sqlite3

import pandas as pd
import pytest
import soundfile
import sqlalchemy as sa

pytest.importorskip("fastapi")
pytest.importorskip("httpx2")

from fastapi.testclient import TestClient

from speech_emotion.review import VERDICTS, Database, Filters, count_items, read_scored_calls
from speech_emotion.review.app import Access, create_app
from speech_emotion.review.database import calls, now, sessions, users
from speech_emotion.review.security import Exposed, check_address

PASSWORDS = {"ada": "correct horse", "ben": "battery staple", "lea": "tall red lamp"}
LOCAL = Access(hosts=frozenset({"127.0.0.1"}))


class Browser:
    """A client that follows forms like a browser."""

    def __init__(self, app, **headers):
        self.client = TestClient(
            app, base_url="http://127.0.0.1", headers=headers, follow_redirects=False
        )
        self.text = ""

    def get(self, path, **options):
        answer = self.client.get(path, **options)
        while answer.status_code == 303:
            answer = self.client.get(answer.headers["location"])
        self.text = answer.text
        return answer

    def post(self, path, **form):
        csrf = re.search(r'name="csrf" value="([^"]+)"', self.text)
        fields = {"csrf": csrf[1]} if csrf else {}
        return self.client.post(path, data=fields | form)

    def login(self, name):
        answer = self.post("/login", name=name, password=PASSWORDS[name])
        assert answer.status_code == 303, answer.text
        return self


@pytest.fixture
def app(reviewed, settings):
    return create_app(reviewed.database, reviewed.folder, settings, LOCAL)


@pytest.fixture
def ada(app):
    return Browser(app).login("ada")


@pytest.fixture
def lea(app):
    return Browser(app).login("lea")


def next_item(browser, query=""):
    browser.get(f"/next{query}")
    return re.search(r'action="/items/(\w+)/verdict"', browser.text)[1]


def test_nothing_but_the_login_is_open(app):
    browser = Browser(app)
    for path in ("/queue", "/next", "/progress", "/items/x", "/items/x/audio", "/export.csv"):
        answer = browser.client.get(path)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login?to=")
    assert browser.client.post("/undo").status_code == 401
    assert browser.get("/health").json() == {"status": "ok"}
    for path in ("/docs", "/openapi.json", "/static/../app.py", "/static/queue.html"):
        assert browser.client.get(path).status_code == 404


def test_login_leads_back_and_logout_ends_the_session(app, reviewed):
    browser = Browser(app)
    answer = browser.client.get("/progress")
    browser.get(answer.headers["location"])
    assert 'name="to" value="/progress"' in browser.text
    answer = browser.post("/login", name="ada", password=PASSWORDS["ada"], to="/progress")
    assert answer.headers["location"] == "/progress"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    browser.get("/progress")
    stolen = dict(browser.client.cookies)
    assert browser.post("/logout").status_code == 303
    assert (
        TestClient(app, base_url="http://127.0.0.1", cookies=stolen)
        .get("/queue", follow_redirects=False)
        .headers["location"]
        .startswith("/login")
    )
    elsewhere = browser.post(
        "/login", name="ada", password=PASSWORDS["ada"], to="https://evil.example/"
    )
    assert elsewhere.headers["location"] == "/"
    with reviewed.database.read() as connection:
        stored = connection.execute(sa.select(users.c.password, sessions.c.token)).all()
    text = str(stored)
    assert not any(password in text for password in PASSWORDS.values())
    assert not any(token in text for token in stolen.values())


def test_failed_logins_have_to_wait_and_are_logged_without_names(reviewed, settings, caplog):
    strict = settings.model_copy(update={"login_attempts": 1})
    browser = Browser(create_app(reviewed.database, reviewed.folder, strict, LOCAL))
    with caplog.at_level(logging.INFO):
        assert browser.post("/login", name="ada", password="typed here").status_code == 401
        # The right password has to wait, too; another name has not.
        answer = browser.post("/login", name="ADA", password=PASSWORDS["ada"])
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 0
        assert browser.post("/login", name="lea", password=PASSWORDS["lea"]).status_code == 303
        for name in ("my password", "mallory"):  # one address may fail with four names
            assert browser.post("/login", name=name, password="x").status_code == 401
        assert browser.post("/login", name="ben", password=PASSWORDS["ben"]).status_code == 429
    assert "failed" in caplog.text
    assert not any(text in caplog.text for text in ("typed here", "my password", "mallory"))


def test_forms_of_other_sites_and_sessions_are_refused(app, ada):
    item = next_item(ada)
    target = f"/items/{item}/verdict"
    text = ada.text
    ada.text = ""
    assert ada.post(target, verdict="angry").status_code == 403
    ada.text = text
    foreign = {"origin": "https://evil.example"}
    csrf = re.search(r'name="csrf" value="([^"]+)"', text)[1]
    form = {"csrf": csrf, "verdict": "angry"}
    assert ada.client.post(target, data=form, headers=foreign).status_code == 403
    cross = {"sec-fetch-site": "cross-site"}
    assert ada.client.post(target, data=form, headers=cross).status_code == 403
    assert ada.client.get("/queue", headers={"host": "evil.example"}).status_code == 421
    assert ada.client.post(target, data=form | {"note": "x" * 70_000}).status_code == 413
    assert ada.client.post(target, data=form | {"verdict": "maybe"}).status_code == 422
    assert ada.client.post(target, data=form).status_code == 303
    policy = ada.get("/queue").headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy


def test_sessions_time_out_and_requests_are_limited(reviewed, settings):
    limited = settings.model_copy(update={"requests_per_minute": 12})
    browser = Browser(create_app(reviewed.database, reviewed.folder, limited, LOCAL)).login("ada")
    assert browser.client.get("/queue").status_code == 200
    with reviewed.database.write() as connection:
        idle = now() - dt.timedelta(minutes=settings.session_minutes + 1)
        connection.execute(sessions.update().values(seen_at=idle))
    assert browser.client.get("/queue").headers["location"].startswith("/login")
    answers = [browser.client.get("/queue").status_code for _ in range(12)]
    assert answers[0] == 303
    assert answers[-1] == 429


def test_verdicts_are_stored_with_who_and_when_and_undone(ada, lea, reviewed):
    item = next_item(ada, "?reason=flagged")
    answer = ada.post(
        f"/items/{item}/verdict",
        verdict="not_angry",
        other_emotion="sad",
        note="laughs = + not, angry",
        reason="flagged",
    )
    assert answer.headers["location"].startswith("/next?reason=flagged")
    ada.get(answer.headers["location"])
    assert "Stored: not angry." in ada.text
    assert "flagged passage" in ada.text
    answer = ada.post("/undo", reason="flagged")
    assert answer.headers["location"].startswith(f"/items/{item}?reason=flagged")
    ada.get(answer.headers["location"])
    assert "The verdict was undone." in ada.text
    ada.post(f"/items/{item}/verdict", verdict="angry", note="=cmd()")
    table = pd.read_parquet(io.BytesIO(lea.get("/export.parquet").content))
    VERDICTS.validate(table)
    assert table["superseded"].tolist() == [True, False]
    assert table["verdict"].tolist() == ["not_angry", "angry"]
    assert table["other_emotion"].tolist()[0] == "sad"
    assert set(table["reviewer"]) == {"ada"}
    stored = pd.read_parquet(reviewed.folder / "09_review/verdicts.parquet")
    pd.testing.assert_frame_equal(stored, table)
    text = lea.get("/export.csv").content.decode("utf-8-sig")
    assert ",'=cmd()," in text  # a spreadsheet runs no formula
    assert ada.client.get("/export.csv").status_code == 403


def test_another_reviewer_cannot_judge_an_item_that_is_taken(app, ada):
    ben = Browser(app).login("ben")
    item = next_item(ada)
    assert next_item(ben) != item
    ben.get(f"/items/{item}")
    assert "ada has this item" in ben.text
    assert f'action="/items/{item}/verdict"' not in ben.text
    ben.get("/next")
    answer = ben.post(f"/items/{item}/verdict", verdict="angry", note="keep <this>")
    assert answer.status_code == 409
    assert "keep &lt;this&gt;" in answer.text


def test_sound_is_served_in_ranges_and_only_of_known_calls(ada, reviewed, scored_calls):
    item = next_item(ada, "?reason=flagged")
    whole = ada.get(f"/items/{item}/audio")
    assert whole.headers["content-type"] == "audio/mpeg"
    assert soundfile.info(io.BytesIO(whole.content)).duration == pytest.approx(60, abs=0.2)
    part = ada.get(f"/items/{item}/audio", headers={"range": "bytes=1000-1999"})
    assert part.status_code == 206
    assert part.content == whole.content[1000:2000]
    assert part.headers["content-range"] == f"bytes 1000-1999/{len(whole.content)}"
    beyond = {"range": f"bytes={len(whole.content) + 5}-"}
    assert ada.get(f"/items/{item}/audio", headers=beyond).status_code == 416
    for path in ("/items/..%2f..%2fetc/audio", "/items/none/audio"):
        assert ada.client.get(path).status_code in {404, 410}
    wave = ada.get(f"/items/{item}/waveform.svg")
    assert wave.text.startswith("<svg")
    picture = ada.get(f"/items/{item}/spectrogram.png")
    assert picture.content.startswith(b"\x89PNG")
    assert picture.headers["cache-control"] == "private, no-store"


def test_audio_that_moved_is_explained_and_found_again(ada, lea, reviewed, settings):
    with reviewed.database.write() as connection:
        there = dict(connection.execute(sa.select(calls.c.call, calls.c.recording)).all())
        connection.execute(calls.update().values(recording="/nowhere/call.wav"))
    item = next_item(ada, "?reason=flagged")
    assert "The recording is not at /nowhere/call.wav any more" in ada.text
    assert ada.client.get(f"/items/{item}/audio").status_code == 404
    lea.get("/queue")
    lea.get(lea.post("/read").headers["location"])
    assert "4 recordings moved" in lea.text
    with reviewed.database.read() as connection:
        assert dict(connection.execute(sa.select(calls.c.call, calls.c.recording)).all()) == there
    assert ada.get(f"/items/{item}/audio").status_code == 200


def test_calls_that_were_erased_or_scored_again_meanwhile(ada, reviewed, settings):
    first = next_item(ada, "?reason=flagged")
    page = ada.text
    place = reviewed.folder / "07_model_output/calls/summary.parquet"
    summary = pd.read_parquet(place)
    summary.assign(model="speech-emotion version 9").to_parquet(place)
    read_scored_calls(reviewed.database, reviewed.folder, settings)
    ada.get(f"/items/{first}")
    assert "The call was scored again" in ada.text
    answer = ada.post(f"/items/{first}/verdict", verdict="angry")
    ada.get(answer.headers["location"])
    assert "Stored: angry. The call was scored again meanwhile" in ada.text
    with reviewed.database.write() as connection:
        connection.execute(calls.delete())
        assert count_items(connection, Filters(), "open") == 0
    ada.text = page
    answer = ada.post(f"/items/{first}/verdict", verdict="angry", note="my note")
    assert answer.status_code == 410
    assert "my note" in answer.text
    ada.get("/next")
    assert "Nothing is left for you" in ada.text


def test_a_locked_database_loses_no_verdict(ada, reviewed, monkeypatch):
    item = next_item(ada)
    csrf = re.search(r'name="csrf" value="([^"]+)"', ada.text)[1]

    @contextlib.contextmanager
    def short_wait(self):
        with self._explained(), self._engine.connect() as connection:
            connection.connection.driver_connection.execute("PRAGMA busy_timeout = 100")
            writing = connection.execution_options(writes=True)
            with writing.begin():
                yield writing

    target, form = f"/items/{item}/verdict", {"verdict": "angry", "note": "do not lose"}
    other = sqlite3.connect(reviewed.database.url.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(Database, "write", short_wait)
    answer = ada.post(target, **form)
    assert answer.status_code == 503
    assert "Nothing was stored" in answer.text
    assert "do not lose" in answer.text
    other.execute("ROLLBACK")
    other.close()
    # "Send again" sends all of it.
    sent = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', answer.text))
    assert sent == {"csrf": csrf, "verdict": "angry"}
    assert ada.client.post(target, data=sent | {"note": "do not lose"}).status_code == 303


def test_blind_review_hides_what_the_model_said(ada, lea):
    lea.get("/settings")
    values = {"random": "5", "uncertain": "3", "uncertain_from": "0.5", "double_review": "0"}
    values |= {"context_s": "10", "lease_minutes": "30", "version": "0"}
    assert lea.post("/settings", blind="true", **values).status_code == 303
    item = next_item(ada, "?reason=flagged")
    for word in ("Score", "flagged passage", "Emotions"):
        assert word not in ada.text.replace("Dominant", "")
    ada.post(f"/items/{item}/verdict", verdict="angry")
    ada.get(f"/items/{item}")
    assert "Emotions" in ada.text


def test_two_leads_do_not_overwrite_each_other(app, lea):
    other = Browser(app).login("lea")
    values = {"random": "5", "uncertain": "3", "uncertain_from": "0.5", "double_review": "0"}
    values |= {"context_s": "10", "lease_minutes": "30", "version": "0"}
    lea.get("/settings")
    other.get("/settings")
    assert lea.post("/settings", **values).status_code == 303
    answer = other.post("/settings", **(values | {"random": "77"}))
    assert answer.status_code == 409
    assert "lea changed the settings" in answer.text
    assert 'value="77"' in answer.text
    assert "stored: 5" in answer.text
    wrong = other.post("/settings", **(values | {"double_review": "7"}))
    assert wrong.status_code == 422
    assert "double_review" in wrong.text
    assert Browser(app).login("ada").client.get("/settings").status_code == 403


def test_wrong_filters_are_told_and_filter_nothing(ada):
    ada.get("/queue?told=Call+0800+now")
    assert "0800" not in ada.text
    ada.get("/queue?score_from=high")
    assert "nothing is filtered" in ada.text
    ada.get("/queue?from=31.12.2026&page=999")
    assert "is no day" in ada.text
    ada.get("/queue?from=2026-10-27&to=2026-10-27")
    assert "1 item open" in ada.text


def test_a_proxy_names_the_user(reviewed, settings):
    access = Access(proxy_header="X-User", trusted_proxies=frozenset({"testclient"}))
    app = create_app(reviewed.database, reviewed.folder, settings, access)
    browser = Browser(app, **{"X-User": "ada"})
    browser.get("/queue")
    assert "ada (reviewer)" in browser.text
    item = next_item(browser)
    assert browser.post(f"/items/{item}/verdict", verdict="angry").status_code == 303
    # A cookie of one user does not help another one.
    browser.client.headers["X-User"] = "lea"
    browser.get("/queue")
    assert "lea (lead)" in browser.text
    assert "no user" in Browser(app, **{"X-User": "mallory"}).get("/queue").text
    assert Browser(app).get("/queue").status_code == 403
    untrusted = Access(proxy_header="X-User")
    app = create_app(reviewed.database, reviewed.folder, settings, untrusted)
    assert Browser(app, **{"X-User": "lea"}).get("/queue").status_code == 403


def test_one_person_on_this_machine_needs_no_password(reviewed, settings):
    access = Access(single_user=True, hosts=frozenset({"127.0.0.1"}))
    app = create_app(reviewed.database, reviewed.folder, settings, access)
    browser = Browser(app)
    browser.get("/queue")
    assert "local (lead)" in browser.text
    assert "Log out" not in browser.text


@pytest.mark.parametrize(
    ("host", "options", "message"),
    [
        ("127.0.0.1", {}, "add-user NAME --role lead"),
        ("0.0.0.0", {}, "Nobody can log in"),
        ("0.0.0.0", {"single_user": True}, "listens on 127.0.0.1 only"),
        ("192.168.1.5", {"single_user": True, "has_login": True}, "listens on 127.0.0.1 only"),
        ("0.0.0.0", {"has_login": True}, None),
        ("0.0.0.0", {"proxy_header": "X-User"}, None),
        ("::1", {"single_user": True}, None),
    ],
)
def test_addresses_without_a_login_are_refused(host, options, message):
    given = {"has_login": False, "proxy_header": None, "single_user": False} | options
    if message is None:
        check_address(host, **given)
        return
    with pytest.raises(Exposed, match=message):
        check_address(host, **given)


def test_progress_shows_precision_and_agreement(app, ada, lea, reviewed):
    lea.get("/settings")
    values = {"random": "5", "uncertain": "3", "uncertain_from": "0.5", "double_review": "1"}
    values |= {"context_s": "10", "lease_minutes": "30", "version": "0"}
    lea.post("/settings", **values)
    ben = Browser(app).login("ben")
    for browser, given in ((ada, ("angry", "angry", "not_angry")), (ben, ("angry",) * 3)):
        for verdict in given:
            item = next_item(browser, "?reason=flagged")
            browser.post(f"/items/{item}/verdict", verdict=verdict)
    lea.get("/progress")
    assert "n = 3 items with two verdicts" in lea.text
    assert "83%" in lea.text  # (1 + 1 + 0.5) / 3
    assert "67% of 3 items got the same verdict twice" in lea.text
    ada.get("/progress")
    assert "Your verdicts" in ada.text
    assert ">ben<" not in ada.text
