"""Hostile exports, requests and models through whole pipelines, with their expected outcome.

Opt-in: the folder SPEECH_EMOTION_CASES holds ``reliability``. ``tests/call_scoring/test_cases.py`` reads the
other files of that folder; the default tests make files of the same classes themselves.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import soundfile
import yaml

from speech_emotion.corpora import CorporaSettings, SampleSettings, ingest, write_sample
from speech_emotion.models import load_estimator

pytestmark = pytest.mark.real_corpora
PROJECT = Path(__file__).parents[2]
FORMULAS = ("=", "+", "-", "@", "\t", "\r")


@pytest.fixture(scope="module")
def cases():
    folder = os.environ.get("SPEECH_EMOTION_CASES")
    if not folder:
        pytest.skip("SPEECH_EMOTION_CASES is not set")
    return Path(folder) / "reliability"


def kpis(run_kedro, folder, export, **params):
    run_kedro(folder, pipeline_names=["call_kpis"], params={"calls_csv": str(export)} | params)
    return pd.read_csv(folder / "08_reporting/call_kpis.csv")


def whole(table, scope):
    return table[(table["by"] == "all") & (table["scope"] == scope)].iloc[0]


@pytest.mark.parametrize(
    ("name", "calls", "fcr", "repeats"),
    [
        ("export_plain_for_comparison.csv", 60, 12, 36),
        ("export_one_start_2035.csv", 59, 11, 35),
        ("export_one_start_9999.csv", 59, 11, 35),
        ("export_start_year_0000.csv", 59, None, None),
        ("export_start_now.csv", 59, None, None),
    ],
)
def test_one_wrong_date_changes_nothing_else(cases, run_kedro, tmp_path, name, calls, fcr, repeats):
    table = kpis(run_kedro, tmp_path, cases / name)
    center = whole(table, "center")
    assert center["n_calls"] == calls
    if fcr is not None:
        assert (center["n_fcr"], center["n_repeat"]) == (fcr, repeats)
    series = pd.read_csv(tmp_path / "08_reporting/call_series.csv")
    assert len(series) < 500
    pages = (tmp_path / "08_reporting").rglob("*.html")
    assert sum(page.stat().st_size for page in pages) < 2e6


def test_an_agent_called_as_a_label_of_ours(cases, run_kedro, tmp_path):
    export = cases / "export_agent_called_centre.csv"
    table = kpis(run_kedro, tmp_path, export, agent_id="centre")
    assert [whole(table, one)["n_calls"] for one in ("center", "centre")] == [60, 20]
    table = kpis(run_kedro, tmp_path, export, agent_id="team T1")
    assert [whole(table, one)["n_calls"] for one in ("team T1", "agent team T1")] == [30, 20]
    params = {"calls_csv": str(cases / "export_agent_called_target.csv"), "agent_id": "target"}
    run_kedro(tmp_path, pipeline_names=["sonification"], params=params | {"grain": "day"})
    samples, _ = soundfile.read(tmp_path / "08_reporting/sonification.wav")
    assert abs(samples).max() > 0.01


@pytest.mark.parametrize(
    ("name", "agent"),
    [
        ("export_agent_with_dots_and_slash.csv", "../x"),
        ("export_agent_300_characters.csv", "A" * 300),
    ],
)
def test_names_of_agents_lead_to_no_other_folder(cases, run_kedro, tmp_path, name, agent):
    kpis(run_kedro, tmp_path / "a/b/data", cases / name, agent_id=agent)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert [path.name for path in (tmp_path / "a/b").iterdir()] == ["data"]
    reports = list((tmp_path / "a/b/data/08_reporting/call_kpis/reports").iterdir())
    assert reports
    assert all(len(report.name) < 255 for report in reports)
    run = mlflow.search_runs(search_all_experiments=True).iloc[0]
    assert run["status"] == "FINISHED"


@pytest.mark.browser
def test_markup_and_formulas_are_text(cases, run_kedro, tmp_path, chromium):
    kpis(run_kedro, tmp_path, cases / "export_html_and_formulas.csv")
    for path in tmp_path.rglob("*.csv"):
        with path.open(newline="") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        for cell in cells:
            is_number = cell.lstrip("-+").replace(".", "").replace("e-", "").isdigit()
            assert is_number or not cell.startswith(FORMULAS), (path, cell)
    links = "a[href*='evil'], a[href*='example'], a[href^='javascript'], img[src='x']"
    pages = sorted((tmp_path / "08_reporting").rglob("*.html"))
    assert len(pages) > 1
    for path in pages:
        page = chromium.new_page()
        page.goto(path.as_uri())
        page.wait_for_timeout(500)
        assert "PWNED" not in page.title()
        assert page.locator(links).count() == 0, path
        page.close()


def test_a_clip_that_cannot_be_used_is_listed_beside_the_others(cases, tmp_path):
    folder = tmp_path / "ravdess/Actor_77"
    base = yaml.safe_load((PROJECT / "conf/base/ingestion/parameters.yml").read_text())["corpora"]
    write_sample(tmp_path, SampleSettings(ravdess_actors=4, tess_words=0), progress=False)
    folder.mkdir()
    hostile = ["float_1e30.wav", "float_1e5_loud.wav", "truncated_60_percent.wav"]
    hostile += ["rate_1hz_4kb.wav", "flac_claims_2e36_samples.flac"]
    for number, name in enumerate(hostile, 1):
        clip = f"03-01-05-01-01-0{number}-77{Path(name).suffix}"
        shutil.copy(cases / name, folder / clip)
    utterances, rejected = ingest(tmp_path, CorporaSettings.model_validate(base), progress=False)
    assert len(utterances) > 30
    assert rejected["path"].str.contains("Actor_77/03-01-05").sum() == len(hostile)
    assert (rejected["reason"].str.len() > 10).all()


def test_a_tree_with_nodes_that_do_not_exist_is_refused(cases, tmp_path):
    """In a process of its own, which such a tree ends."""
    shutil.copy(cases / "tree_children_out_of_range.skops", tmp_path / "estimator.skops")
    load = "from pathlib import Path; from speech_emotion.models import load_estimator; "
    load += f"load_estimator(Path({str(tmp_path)!r}))"
    done = subprocess.run([sys.executable, "-c", load], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "contains a decision tree with nodes that do not exist" in done.stderr
    with pytest.raises(ValueError, match="decision tree with nodes"):
        load_estimator(tmp_path)


def test_a_request_for_a_name_that_is_not_ascii(cases, run_kedro, tmp_path):
    """The row gets an error; a good row beside it is answered."""
    from speech_emotion.audio import encode_sound
    from speech_emotion.corpora import Speaker, speak

    run_kedro(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    model = mlflow.pyfunc.load_model("models:/speech-emotion@champion")
    request = json.loads((cases / "request_non_ascii_path.json").read_text())["dataframe_split"]
    good = encode_sound(speak(Speaker("A", "male"), "angry", "statement", "", 16000), 16000)
    hostile = [
        encode_file(cases / name) for name in ("rate_1hz_4kb.wav", "flac_claims_2e36_samples.flac")
    ]
    rows = model.predict(
        pd.DataFrame({"audio": [row[0] for row in request["data"]] + [good, *hostile]})
    )
    assert rows["error"].notna().tolist() == [True, False, True, True]
    assert "sample rate 1 Hz" in rows["error"][2]
    assert "longer than" in rows["error"][3]


def encode_file(path):
    import base64

    return base64.b64encode(path.read_bytes()).decode()


def test_plain_seconds_are_not_read_as_times_of_day(cases, run_kedro, tmp_path):
    with pytest.raises(ValueError, match="is not h:mm:ss") as caught:
        kpis(
            run_kedro,
            tmp_path,
            cases / "export_hmmss_with_plain_seconds.csv",
            **{"calls_export": {"durations": "h:mm:ss"}},
        )
    assert "calls_export.durations" in str(caught.value)
