import json

import mido
import mlflow
import numpy as np
import pandas as pd
import pytest
import soundfile

from speech_emotion.pipelines.call_kpis.pipeline import FIGURES

pytestmark = pytest.mark.slow

PERIOD = {"agent_id": "A02", "from": "2026-01-15", "to": "2026-03-15"}


@pytest.fixture(scope="module")
def generated(tmp_path_factory, run_kedro):
    """Both pipelines on the generated center, with nothing scored."""
    data_dir = tmp_path_factory.mktemp("data")
    run_kedro(data_dir, pipeline_names=["call_kpis"], params=PERIOD)
    run_kedro(
        data_dir,
        pipeline_names=["sonification"],
        params=PERIOD | {"agent_id": "A01;A02", "kpi": "fcr"},
    )
    return data_dir


def test_everything_is_written(generated):
    reporting = generated / "08_reporting"
    for name in FIGURES:
        figure = json.loads((reporting / f"{name}.json").read_text())
        assert "GENERATED" in json.dumps(figure["layout"]["title"], ensure_ascii=False), name
    page = (reporting / "call_kpis/call_kpis.html").read_text()
    assert "GENERATED CALLS" in page
    (report,) = (reporting / "call_kpis/reports").glob("A02_2026-01-15_2026-03-15.html")
    assert "KPIs of A02" in report.read_text()
    assert f"reports/{report.name}" in page
    months = {
        row[0] for row in json.loads(page.split('id="data">')[1].split("</script>")[0])["rows"]
    }
    assert months == {"2026-01", "2026-02", "2026-03"}  # beyond the selected days, too
    for name in ("call_kpis", "call_series", "anger_effects", "angry_calls", "sonification_notes"):
        assert pd.read_csv(reporting / f"{name}.csv")["synthetic"].all(), name
    kpis = pd.read_csv(reporting / "call_kpis.csv")
    assert set(kpis["by"]) == {
        "all",
        "agent",
        "team",
        "topic",
        "hour",
        "weekday",
        "day",
        "week",
        "month",
    }
    days = kpis.loc[(kpis["scope"] == "A02") & (kpis["by"] == "day"), "value"]
    assert (days.min() >= "2026-01-15", days.max() <= "2026-03-15") == (True, True)
    angry = pd.read_csv(reporting / "angry_calls.csv")
    assert set(angry["agent_id"]) == {"A02"}
    assert set(angry["emotion_source"]) == {"generated"}


def test_sound_and_midi_agree(generated):
    reporting = generated / "08_reporting"
    samples, rate = soundfile.read(reporting / "sonification.wav")
    assert (rate, samples.shape[1]) == (44_100, 2)
    assert 0 < np.abs(samples).max() < 0.9
    notes = pd.read_csv(reporting / "sonification_notes.csv").dropna(subset="note")
    file = mido.MidiFile(reporting / "sonification.mid")
    played = [m.note for track in file.tracks for m in track if m.type == "note_on"]
    assert sorted(played) == sorted(notes["note"].astype(int))
    assert (
        "Left and right: A01 left, A02 right" in (reporting / "sonification_legend.txt").read_text()
    )
    sound_page = (reporting / "sonification/sonification.html").read_text()
    assert "First call resolution (FCR) by week: A01 and A02" in sound_page


def test_runs_are_tracked_with_parameters_figures_and_artifacts(generated):
    client = mlflow.MlflowClient(f"sqlite:///{generated}/mlflow.db")
    experiment = client.get_experiment_by_name("speech-emotion")
    runs = client.search_runs([experiment.experiment_id])
    sound, kpis = runs  # the latest first
    assert kpis.data.params["call_selection.agent_id"] == "A02"
    assert kpis.data.params["call_selection.from_"] == "2026-01-15"
    assert kpis.data.tags["synthetic"] == "True"
    assert int(kpis.data.tags["emotions_generated"]) > 1000
    metrics = kpis.data.metrics
    assert metrics["A02.aht_s_low"] < metrics["A02.aht_s"] < metrics["A02.aht_s_high"]
    artifacts = {
        file.path for run in runs for folder in client.list_artifacts(run.info.run_id)
        for file in client.list_artifacts(run.info.run_id, folder.path)
    }  # fmt: skip
    assert {f"figures/{name}.json" for name in FIGURES} <= artifacts
    assert {"sound/sonification.wav", "sound/sonification.mid"} <= artifacts
    # The page names calls, which have to be erasable.
    assert "report/call_kpis.html" not in artifacts
    assert sound.data.params["sonification.kpi"] == "fcr"


def test_an_export_is_read_and_joined_with_scored_recordings(tmp_path, run_kedro):
    minutes = pd.date_range("2026-03-02 09:00", periods=60, freq="30min")
    export = pd.DataFrame(
        {
            "call_id": range(60),
            "agent_id": np.resize(["07", "08"], 60),
            "customer_id": np.arange(60) // 2,
            "start": minutes.strftime("%Y-%m-%d %H:%M"),
            "talk_s": 120,
            "hold_s": 0,
            "after_call_s": 30,
            "resolved": "yes",
            "topic": "billing",
            "recording": [f"{number}.wav" for number in range(60)],
        }
    )
    export["talk_s"] = export["talk_s"].astype(object)
    export.loc[3, "talk_s"] = -1
    export.to_csv(tmp_path / "export.csv", index=False)
    heard = pd.DataFrame(
        {"call": ["0.wav", "1.wav"], "channel_role": "customer", "flag": ["angry", "not_flagged"]}
    )
    heard = heard.assign(score=0.9, share_angry=0.5, first_angry_s=3.0)
    summary = tmp_path / "data" / "07_model_output" / "calls" / "summary.parquet"
    summary.parent.mkdir(parents=True)
    heard.to_parquet(summary)
    run_kedro(
        tmp_path / "data",
        pipeline_names=["call_kpis"],
        params={"calls_csv": str(tmp_path / "export.csv")},
    )
    calls = pd.read_parquet(tmp_path / "data/02_intermediate/calls.parquet")
    assert calls["emotion_source"].value_counts().to_dict() == {"none": 57, "recording": 2}
    assert set(calls["agent_id"]) == {"07", "08"}
    rejected = pd.read_csv(tmp_path / "data/02_intermediate/rejected_calls.csv")
    assert rejected[["line", "reason"]].to_numpy().tolist() == [[5, "talk_s -1 is negative"]]
    folder = tmp_path / "data/08_reporting/call_kpis"
    page = "".join(path.read_text() for path in folder.rglob("*.html"))
    assert "GENERATED" not in page
    assert "2 from recordings, 0 generated, 57 unknown" in page
    assert "talk_s -1 is negative" in page


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"agent_id": "A99"}, "'A99' handled no call; agent_id is one of A01, A02, A03, A04"),
        ({"calls_csv": "nowhere.csv"}, "nowhere.csv does not exist"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, run_kedro, params, message):
    with pytest.raises(Exception, match=message):
        run_kedro(tmp_path, pipeline_names=["call_kpis"], params=params)
