"""Speed of the review application: 50 reviewers, 100,000 items, SQLite.

The application runs in a process of its own. Each reviewer loads the queue once, and then judges items: the
verdict, the next item, the page of the item. Between two items they listen for 2 to 8 s, which is less than a
person needs. Every request is timed, from sending it to the last byte.
"""

import datetime as dt
import http.client
import os
import random
import re
import subprocess
import sys
import threading
import time
from urllib.parse import urlencode

import numpy as np
import pytest

pytest.importorskip("fastapi")

from speech_emotion.review import Database
from speech_emotion.review.database import calls, items, users
from speech_emotion.review.users import User, start_session

REVIEWERS, CALLS, ITEMS_OF_A_CALL = 50, 20_000, 5
SECONDS = 60
LABELS = ["angry", "happy", "neutral", "sad"]
SERVER = """
import sys
from pathlib import Path
import uvicorn
from speech_emotion.review import Database
from speech_emotion.review.app import create_app
database = Database(f"sqlite:///{sys.argv[1]}/review.db")
app = create_app(database, Path(sys.argv[1]))
uvicorn.run(app, port=int(sys.argv[2]), access_log=False, log_level="warning")
"""


def fill(database):
    """Fill the database; return the tokens of the reviewers' sessions."""
    rng, moment = np.random.default_rng(0), dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
    starts = np.arange(0, 300, 1.5).round(1).tolist()
    timeline = {
        "starts": starts,
        "ends": [start + 1.5 for start in starts],
        "scores": rng.integers(0, 100, len(starts)).tolist(),
        "probabilities": [[25] * len(starts)] * len(LABELS),
    }
    place = {"channel": 0, "channel_role": "customer", "direction": "", "call_id": ""}
    with database.write() as connection:
        for first in range(0, CALLS, 1000):
            rows = [
                place
                | {"id": f"c{n}", "call": f"{n}.wav", "recording": f"/none/{n}.wav"}
                | {"agent": f"A{n % 40:02d}", "queue": f"Q{n % 5}"}
                | {"started_at": moment + dt.timedelta(minutes=n), "seconds": 300.0}
                | {"flag": "angry", "why": "", "score": 0.5, "threshold": 0.3}
                | {"model_version": "m", "scored_at": moment, "current": True}
                | {"labels": LABELS, "timeline": timeline}
                for n in range(first, first + 1000)
            ]
            connection.execute(calls.insert(), rows)
            connection.execute(
                items.insert(),
                [
                    {"id": f"{row['id']}-{k}", "scored_call": row["id"], "kind": "passage"}
                    | {"reason": ("flagged", "random")[k % 2], "sampling_probability": 1.0}
                    | {"start_s": 20.0 * k, "end_s": 20.0 * k + 9, "score": rng.random()}
                    | {"label": "angry", "status": "open", "position": rng.random()}
                    | {"double": rng.random(), "reviews": 1}
                    | {name: row[name] for name in ("agent", "queue", "started_at")}
                    for row in rows
                    for k in range(ITEMS_OF_A_CALL)
                ],
            )
        tokens = []
        for number in range(1, REVIEWERS + 1):
            user = {"id": number, "name": f"r{number}", "role": "reviewer", "active": True}
            connection.execute(users.insert().values(created_at=moment, **user))
            person = User(number, f"r{number}", "reviewer")
            tokens.append(start_session(connection, person, dt.datetime.now(dt.UTC)).token)
    return tokens


def work(port, token, end, times, failures):
    """Review until the end; collect the seconds of each kind of request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    listen = random.Random(token)

    def ask(kind, method, path, form=None):
        headers = {"Cookie": f"speech_emotion_session={token}"}
        body = None
        if form is not None:
            body = urlencode(form)
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        start = time.perf_counter()
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        times.append((kind, time.perf_counter() - start))
        if answer.status not in {200, 303}:
            failures.append((kind, answer.status))
            raise ConnectionError(f"{kind}: {answer.status}")
        return answer.headers.get("Location"), text

    time.sleep(listen.uniform(0, 8))
    ask("queue", "GET", "/queue")
    place, _ = ask("next", "GET", "/next")
    while time.monotonic() < end:
        _, page = ask("item", "GET", place)
        time.sleep(listen.uniform(2, 8))
        csrf = re.search(r'name="csrf" value="([^"]+)"', page)[1]
        item = place.partition("?")[0]
        form = {"csrf": csrf, "verdict": listen.choice(("angry", "not_angry"))}
        place, _ = ask("verdict", "POST", f"{item}/verdict", form)
        place, _ = ask("next", "GET", place)


def processor_s(process):
    """Processor time of a process so far, which other load does not change."""
    with open(f"/proc/{process}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_fifty_reviewers_and_a_hundred_thousand_items(benchmark, tmp_path, capsys):
    database = Database(f"sqlite:///{tmp_path}/review.db")
    tokens = fill(database)
    database.close()
    port = 8931
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(tmp_path), str(port)])
    times, failures = [], []
    try:
        for _ in range(600):
            try:
                probe = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                probe.request("GET", "/health")
                assert probe.getresponse().status == 200
                break
            except OSError:
                time.sleep(0.5)

        def load():
            end = time.monotonic() + SECONDS
            threads = [
                threading.Thread(target=work, args=(port, token, end, times, failures))
                for token in tokens
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        before = processor_s(server.pid)
        benchmark.pedantic(load, rounds=1)
        spent = processor_s(server.pid) - before
    finally:
        server.terminate()
        server.wait()
    assert failures == []
    lines = []
    for kind in ("queue", "next", "item", "verdict"):
        values = 1000 * np.array([seconds for name, seconds in times if name == kind])
        median, high = np.percentile(values, (50, 95))
        lines.append(f"{kind}: median {median:.0f} ms, 95 % below {high:.0f} ms, n = {len(values)}")
    each = 1000 * spent / len(times)
    lines.append(f"processor time of the application: {each:.0f} ms a request")
    lines.append(f"load of the machine: {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores")
    with capsys.disabled():
        print("", *lines, sep="\n")  # noqa: T201
    pages = [seconds for kind, seconds in times if kind in {"queue", "item"}]
    assert len({kind for kind, _ in times}) == 4
    assert np.median(pages) < 0.1
