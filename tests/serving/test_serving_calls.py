import io
import json
import queue
import threading
from dataclasses import replace

import numpy as np
import pytest
import soundfile

pytest.importorskip("fastapi")
pytest.importorskip("httpx2")

from fastapi.testclient import TestClient

from speech_emotion.call_scoring import CallSettings, score_recording, summarize
from speech_emotion.corpora import Speaker, speak
from speech_emotion.service import ServiceSettings, create_app
from speech_emotion.service.app import _Abandoned, _until

RATE = 16000


SCORING = CallSettings(flags={"threshold": 0.5})


@pytest.fixture(scope="module")
def call():
    """Thirty seconds of a customer, left, who gets angry after 15 s, and a silent agent."""
    sound = np.random.default_rng(0).normal(0, 1e-3, (30 * RATE, 2))
    at = turn = 0
    while at < len(sound):
        emotion = "angry" if at > 15 * RATE else "neutral"
        spoken = speak(Speaker("speaker 1", "male"), emotion, "statement", f"{turn}", RATE)
        spoken = spoken[: len(sound) - at]
        sound[at : at + len(spoken), 0] += spoken
        at, turn = at + len(spoken), turn + 1
    return sound.clip(-1, 1).astype(np.float32)


def encoded(call, **options):
    buffer = io.BytesIO()
    soundfile.write(buffer, call, RATE, format="WAV", **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def client(predictor):
    predictor = replace(predictor, synthetic=True, version="m version 3")
    limits = ServiceSettings(max_bytes=2_500_000, max_seconds=35)
    return TestClient(create_app(predictor, SCORING, limits), raise_server_exceptions=False)


def test_a_stereo_call_is_scored_like_a_recording(client, predictor, call, tmp_path):
    answer = client.post("/calls", params={"call": "a/b.wav"}, content=encoded(call))
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["model"] == "m version 3"
    assert "SYNTHETIC" in body["notice"]
    (channel,) = body["channels"]
    (tmp_path / "x.wav").write_bytes(encoded(call))
    scored = score_recording(tmp_path / "x.wav", predictor, SCORING, call="x")
    summary, passages = summarize(
        scored.channels, scored.windows, SCORING, labels=predictor.labels, threshold=0.5
    )
    for name in ("flag", "reason", "channel_role"):
        assert channel[name] == summary[name].item()
    assert channel["score"] == pytest.approx(summary["score"].item(), abs=0.01)  # sent in 16 bit
    starts = [row["start_s"] for row in body["windows"]]
    assert starts == pytest.approx(scored.windows["start_s"].tolist(), abs=1e-4)
    assert [row["peak_s"] for row in body["passages"]] == passages["peak_s"].tolist()
    assert body["windows"][0]["probabilities"].keys() == set(predictor.labels)
    short = client.post("/calls", params={"windows": False}, content=encoded(call)).json()
    assert short["windows"] == []
    assert short["channels"][0]["score"] == channel["score"]


def test_the_customers_channel_is_a_parameter(client, call):
    answer = client.post("/calls", params={"customer_channel": 1}, content=encoded(call))
    assert answer.status_code == 200, answer.text
    assert [row["channel"] for row in answer.json()["channels"]] == [1]
    answer = client.post("/calls", params={"customer_channel": 2}, content=encoded(call))
    assert answer.status_code == 422
    assert "there is no customer_channel 2" in answer.json()["detail"]
    answer = client.post("/calls", params={"customer_channel": -7, "direction": "up"})
    assert answer.status_code == 422
    assert (
        "customer_channel: Input should be greater than or equal to -1; direction: "
        in (answer.json()["detail"])
    )


def test_both_parties_on_one_channel_go_to_review(client, call):
    answer = client.post("/calls", content=encoded(call.mean(axis=1)))
    assert answer.status_code == 200, answer.text
    (channel,) = answer.json()["channels"]
    assert channel["flag"] == "review"
    assert "one channel" in channel["reason"]
    assert answer.json()["windows"] == []


@pytest.mark.parametrize(
    ("content", "status", "message"),
    [
        (b"", 422, "The body is empty"),
        (b"Dear Sirs, no sound", 422, "call.wav: "),
        (b"\0" * 2_500_001, 413, "larger than the limit, 2.5 MB"),
        (encoded(np.zeros((RATE, 2), np.float32)), 422, "too short to score"),
        (encoded(np.full((36 * RATE, 1), 0.1, np.float32)), 422, "35"),
    ],
)
def test_bad_recordings_are_refused_with_a_reason(client, content, status, message):
    answer = client.post("/calls", content=content)
    assert answer.status_code == status
    assert message in answer.json()["detail"]
    assert "/tmp" not in answer.text
    assert "object at 0x" not in answer.text


@pytest.mark.parametrize(
    "request_body", [{"files": {"file": ("call.wav", b"RIFF")}}, {"json": {"audio": "UklGRg=="}}]
)
def test_forms_and_json_are_refused_with_what_to_send(client, request_body):
    answer = client.post("/calls", **request_body)
    assert answer.status_code == 415
    assert "curl --data-binary" in answer.json()["detail"]


def test_names_are_no_paths(client, call):
    answer = client.post("/calls", params={"call": "../../etc/passwd"}, content=encoded(call))
    assert answer.status_code == 200
    assert answer.json()["call"] == "../../etc/passwd"


def test_scoring_ends_at_the_time_limit(predictor, call):
    client = TestClient(create_app(predictor, SCORING, ServiceSettings(timeout_s=1e-9)))
    answer = client.post("/calls", content=encoded(call))
    assert answer.status_code == 504
    assert "took over" in answer.json()["detail"]


@pytest.fixture
def held(monkeypatch):
    """Hold scoring until ``finish`` is set; ``started`` says that it has begun."""
    from speech_emotion.service import app

    started, finish = threading.Event(), threading.Event()
    score = app._score

    def slow(*arguments):
        started.set()
        assert finish.wait(60)
        return score(*arguments)

    monkeypatch.setattr(app, "_score", slow)
    yield started, finish
    finish.set()


@pytest.mark.parametrize("limits", [{"wait_s": 0}, {"waiting": 1, "wait_s": 60}])
def test_further_calls_are_told_to_try_again(predictor, call, held, limits):
    started, finish = held
    answers = queue.Queue()
    with TestClient(
        create_app(predictor, SCORING, ServiceSettings(parallel=1, **limits))
    ) as client:

        def post():
            answers.put(client.post("/calls", content=encoded(call)))

        n_further = limits.get("waiting", 0) + 1
        threads = [threading.Thread(target=post) for _ in range(1 + n_further)]
        threads[0].start()
        assert started.wait(60)
        for one in threads[1:]:
            one.start()
        refused = answers.get(timeout=60)  # while the first one is being scored
        finish.set()
        for one in threads:
            one.join()
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "5"
    assert [answers.get().status_code for _ in range(n_further)] == [200] * n_further


def test_further_calls_wait_for_their_turn(predictor, call, held):
    started, finish = held
    with TestClient(create_app(predictor, SCORING, ServiceSettings(parallel=1))) as client:
        codes = []

        def post():
            codes.append(client.post("/calls", content=encoded(call[: 5 * RATE])).status_code)

        threads = [threading.Thread(target=post) for _ in range(4)]
        for one in threads:
            one.start()
        assert started.wait(60)
        finish.set()
        for one in threads:
            one.join()
    assert codes == [200] * 4


def test_work_ends_when_the_client_has_gone():
    gone = threading.Event()
    blocks = _until(iter([np.zeros(1), np.zeros(1)]), 1.0, lambda: 0.0, gone)
    next(blocks)
    gone.set()
    with pytest.raises(_Abandoned):
        next(blocks)


def test_unexpected_errors_show_no_objects(predictor, call, monkeypatch):
    from speech_emotion.service import app

    monkeypatch.setattr(app, "_score", lambda *arguments: 1 / 0)
    client = TestClient(create_app(predictor, SCORING), raise_server_exceptions=False)
    answer = client.post("/calls", content=encoded(call))
    assert answer.status_code == 500
    assert answer.json() == {"detail": "Scoring failed; the log of the server says why"}


def test_health_and_documentation(client):
    assert client.get("/health").json()["status"] == "ok"
    schema = client.get("/openapi.json").json()
    assert set(schema["paths"]) == {"/health", "/calls"}
    assert set(schema["paths"]["/calls"]["post"]["responses"]) >= {
        "200",
        "413",
        "415",
        "422",
        "503",
        "504",
    }
    assert "example" in json.dumps(schema["components"]["schemas"]["CallScores"])


def test_a_missing_threshold_is_an_error(predictor):
    with pytest.raises(ValueError, match=r"set calls\.flags\.threshold"):
        create_app(predictor, CallSettings())
