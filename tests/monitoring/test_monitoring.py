"""Drift of calls: measures, periods, alarms on simulated changes, and the pipeline."""

from datetime import date, timedelta

import mlflow
import numpy as np
import pandas as pd
import pytest

from speech_emotion.call_scoring import CallSettings, SynthesisSettings
from speech_emotion.evaluation import SelectionSettings
from speech_emotion.features import FeatureSettings
from speech_emotion.models import (
    Combiner,
    EmotionPredictor,
    Member,
    TrainingProfile,
    family_named,
)
from speech_emotion.monitoring import (
    DriftSimulationSettings,
    MonitoringSettings,
    Periods,
    alarm_rates,
    changed_calls,
    compare_periods,
    compare_with_training,
    measure_calls,
    weekly_table,
)
from speech_emotion.pipelines.monitoring_simulation.nodes import score_changed_calls
from speech_emotion.reporting.monitoring import _weeks_shown, drift_figure, weeks_figure

FIRST = date(2026, 1, 5)  # a Monday
PERIODS = Periods(FIRST + timedelta(7), FIRST + timedelta(13), FIRST, FIRST + timedelta(6))
SETTINGS = MonitoringSettings()


def simulated(seed, *, n=200, level=0.0, snr=0.0, score=0.0, bandwidth=0.0, novelty=0.0):
    """Two weeks of calls; the second one is changed."""
    rng = np.random.default_rng(seed)
    second = np.repeat([0, 1], n)
    scores = np.clip(rng.beta(2, 6, 2 * n) + score * second, 0, 1)
    return pd.DataFrame(
        {
            "call": [str(number) for number in range(2 * n)],
            "channel": 0,
            "day": [
                FIRST + timedelta(int(number)) for number in rng.integers(0, 7, 2 * n) + 7 * second
            ],
            "model": "m",
            "snr_db": rng.normal(20, 4, 2 * n) + snr * second,
            "bandwidth_hz": rng.normal(3000, 200, 2 * n) + bandwidth * second,
            "novelty": rng.normal(1.3, 0.15, 2 * n) + novelty * second,
            "loudness_dbfs": rng.normal(-25, 3, 2 * n) + level * second,
            "speech_share": rng.beta(8, 2, 2 * n),
            "minutes": rng.lognormal(1.2, 0.6, 2 * n),
            "score": scores,
            "flagged": (scores > 0.6).astype(float),
            "share_angry": rng.beta(1, 9, 2 * n),
        }
    )


def alarms(**change):
    tables = [compare_periods(simulated(seed, **change), PERIODS, SETTINGS) for seed in range(100)]
    return np.mean([table["alarm"].any() for table in tables])


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"level": -3, "snr": -2}, id="codec"),
        pytest.param({"snr": -4}, id="noise"),
        pytest.param({"score": 0.1}, id="callers"),
        pytest.param({"bandwidth": -200}, id="band"),
        pytest.param({"novelty": 0.1}, id="embeddings"),
    ],
)
def test_changes_raise_an_alarm(change):
    assert alarms(**change) >= 0.95


def test_without_a_change_hardly_any_alarm_is_raised():
    assert alarms() <= 0.02


def test_alarms_are_counted_by_change():
    unchanged = simulated(1, n=60).iloc[:60]
    measured = {"none": unchanged, "noise": unchanged.assign(snr_db=unchanged["snr_db"] - 9)}
    table = alarm_rates(measured, SETTINGS, DriftSimulationSettings(runs=20)).set_index("change")
    assert table.loc["none", ["n_runs", "n_alarms", "n_scored", "calls"]].tolist() == [
        20,
        0,
        60,
        30,
    ]
    assert table.loc["none", "high"] == pytest.approx(1 - 0.025 ** (1 / 20))
    assert table.loc["noise", "n_alarms"] == 20
    assert table.loc["noise", "measures"] == "signal-to-noise ratio, dB"


def test_only_what_is_changed_differs_between_changed_calls():
    spoken = pd.DataFrame({"speaker": ["a", "b", "c", "d", "a"]})
    synthesis = SynthesisSettings(snr_db=(30.0, 10.0))
    changed = changed_calls(spoken, synthesis, DriftSimulationSettings())
    (same, base), *others = changed.values()
    assert list(changed) == ["none", "new codec", "noisier line", "new group of callers"]
    assert set(same["speaker"]) == {"a", "c"}
    differences = [
        {name for name, value in settings if value != getattr(base, name)} for _, settings in others
    ]
    assert differences == [{"lines"}, {"snr_db"}, set()]
    assert others[1][1].snr_db == (20.0,)
    assert set(others[2][0]["speaker"]) == {"b", "d"}


def test_small_effects_are_no_alarm_however_many_calls_there_are():
    table = compare_periods(simulated(0, n=20_000, snr=-0.4), PERIODS, SETTINGS)
    row = table.set_index("measure").loc["snr_db"]
    assert row["p_adjusted"] < 1e-6
    assert not row["alarm"]


def test_shares_are_compared_by_effect_size_and_exact_test():
    measured = simulated(0).assign(flagged=np.repeat([0.0, 1.0], 200))
    row = compare_periods(measured, PERIODS, SETTINGS).set_index("measure").loc["flagged"]
    assert row["reference"] == 0
    assert row["period"] == 1
    assert row["effect"] == pytest.approx(np.pi)
    assert row["alarm"]


def test_too_few_calls_are_an_error_that_names_the_period():
    with pytest.raises(
        ValueError, match=r"reference \(2026-01-05 to 2026-01-11\) has 10 .* 30 are needed"
    ):
        compare_periods(simulated(0, n=10), PERIODS, SETTINGS)


def test_periods_end_with_the_last_call_and_must_not_overlap():
    days = pd.Series([FIRST, FIRST + timedelta(20), None])
    chosen = Periods.choose(days, SETTINGS)
    assert chosen.end == FIRST + timedelta(20)
    assert chosen.start == FIRST + timedelta(14)
    assert chosen.reference_end == FIRST + timedelta(13)
    assert chosen.reference_start == FIRST + timedelta(7)
    with pytest.raises(ValueError, match="overlaps the period"):
        Periods.choose(
            days, MonitoringSettings(start=FIRST, end=FIRST + timedelta(6), reference_end=FIRST)
        )
    with pytest.raises(ValueError, match="No scored call has a start"):
        Periods.choose(pd.Series([None, None], dtype=object), SETTINGS)
    with pytest.raises(ValueError, match="end 2026-01-04 is before start 2026-01-05"):
        MonitoringSettings(start=FIRST, end=FIRST - timedelta(1))


def summary(n=80):
    rows = np.arange(n)
    started = [f"{FIRST + timedelta(int(number) % 14)}T10:00:00" for number in rows]
    return pd.DataFrame(
        {
            "call": [f"call {number}" for number in rows],
            "channel": 0,
            "minutes": 3.0,
            "talk_share": 0.4,
            "loudness_dbfs": np.where(rows % 14 < 7, -20.0, -30.0) + rows % 3,
            "score": 0.2,
            "share_angry": 0.0,
            "flag": np.where(rows % 10 == 0, "angry", "not_flagged"),
            "model": "speech-emotion version 1",
            "synthetic_model": True,
            "started": np.where(rows == 0, "yesterday", started),
        }
    )


def windows(calls):
    table = pd.DataFrame({"call": np.repeat(calls, 4), "channel": 0})
    return table.assign(
        snr_db=np.tile([10.0, 20.0, 30.0, 90.0], len(calls)),
        speech_share=0.8,
        confidence=0.5,
        p_angry=np.tile([0.1, 0.2, 0.3, 0.9], len(calls)),
        out_of_domain=np.tile(["", "", "", "noisy"], len(calls)),
    )


def test_measures_are_means_of_scored_windows_whatever_the_blocks_are():
    table, rows = summary(4), windows([f"call {number}" for number in range(4)])
    whole = measure_calls(table, [rows], target="angry")
    split = measure_calls(table, [rows.iloc[:5], rows.iloc[5:]], target="angry")
    pd.testing.assert_frame_equal(whole, split)
    assert whole["snr_db"].tolist() == [20.0] * 4
    assert whole["mean_target"].tolist() == pytest.approx([0.2] * 4)
    assert whole["outside"].tolist() == [0.25] * 4
    assert whole["flagged"].tolist() == [1, 0, 0, 0]
    assert pd.isna(whole["day"].iloc[0])
    assert whole["day"].iloc[1] == FIRST + timedelta(1)


def test_measures_of_older_or_other_models_are_missing_not_zero():
    table, rows = summary(4), windows([f"call {number}" for number in range(4)])
    measured = measure_calls(table, [rows.assign(novelty=np.nan)], target="angry")
    assert measured[["novelty", "bandwidth_hz"]].isna().all(axis=None)
    assert measured["snr_db"].tolist() == [20.0] * 4
    only_noise = rows.assign(out_of_domain="noisy")
    assert measure_calls(table, [only_noise], target="angry")["snr_db"].isna().all()


def test_calls_are_compared_with_the_range_of_training():
    ranges = {"novelty": (0.5, 1.0, 1.5), "loudness_dbfs": (-60.0, -30.0, -1.0), "other": (0, 1, 2)}
    measured = simulated(0).assign(novelty=np.tile([1.0, 1.6, 1.7, 0.4], 100))
    table = compare_with_training(measured, PERIODS, ranges).set_index("measure")
    assert list(table.index) == ["novelty", "loudness_dbfs"]
    assert table["n_period"].tolist() == [200, 200]
    assert table["outside"].tolist() == [0.75, 0.0]
    assert table["far"].tolist() == [True, False]
    assert table.loc["novelty", "period"] == pytest.approx(1.3)


def test_rounding_noise_is_not_drawn_as_a_trend():
    values = {"snr_db": [20.0, 20.0], "score": [0.2, 0.2 - 3e-17], "flagged": [0.1, 0.3]}
    weeks = pd.DataFrame(values).assign(
        week_from=["2026-01-05", "2026-01-12"], loudness_dbfs=np.nan, n_calls=40
    )
    ranges = [axis.range for axis in weeks_figure(weeks, n_calls=80).select_yaxes()]
    assert ranges[0] == (19, 21)
    assert ranges[1] is None
    assert ranges[2] == pytest.approx((0.15, 0.25))
    assert ranges[3] == pytest.approx((0.08, 0.32))
    quiet = weeks_figure(weeks.assign(flagged=0.0), n_calls=80)
    assert list(quiet.select_yaxes())[3].range == (0, 0.02)  # there is no negative share


def test_titles_of_axes_have_no_escaped_markup():
    drift = compare_periods(simulated(0), PERIODS, SETTINGS)
    figure = drift_figure(drift, periods="now and before")
    assert "&" not in next(figure.select_xaxes()).title.text


def test_weeks_begin_on_monday():
    weeks = weekly_table(measure_calls(summary(), [], target="angry"))
    assert weeks["week_from"].tolist() == ["2026-01-05", "2026-01-12"]
    assert weeks["n_calls"].sum() == 79


@pytest.fixture
def model(tmp_path):
    """A stored model whose training utterances were as loud as the calls of the first week."""
    family = "logistic_regression"
    table = pd.DataFrame({"centroid_mean": np.arange(8.0), "centroid_std": np.arange(8.0)})
    estimator = family_named(family).build(seed=0).fit(table, np.arange(8) % 2)
    utterances = pd.DataFrame({"speaker": ["a", "b"] * 4, "rms": [0.1] * 4 + [0.11] * 4})
    predictions = pd.DataFrame({"p_angry": [0.1] * 8, "p_neutral": [0.9] * 8})
    EmotionPredictor(
        labels=("angry", "neutral"),
        features=FeatureSettings(),
        members=(Member(family, estimator),),
        combiner=Combiner.single(family),
        profile=TrainingProfile.from_training(utterances, predictions, target="angry"),
    ).save(tmp_path / "model")
    return tmp_path / "model"


def test_a_stored_model_knows_the_range_of_its_training(model):
    ranges = EmotionPredictor.load(model).training_ranges
    assert ranges["confidence"] == pytest.approx((0.9, 0.9, 0.9))
    assert ranges["mean_target"] == pytest.approx((0.1, 0.1, 0.1))
    assert ranges["loudness_dbfs"][0] == pytest.approx(-20)
    assert ranges["loudness_dbfs"][2] == pytest.approx(20 * np.log10(0.11))


def test_the_pipeline_reports_alarms_and_logs_weeks(run_kedro, model, tmp_path, caplog, audit_file):
    folder = tmp_path / "07_model_output/calls"
    folder.mkdir(parents=True)
    table = summary()
    table.to_parquet(folder / "summary.parquet")
    windows(table["call"]).to_parquet(folder / "emotions.parquet")
    run_kedro(
        tmp_path,
        params={"from": "2026-01-12", "to": "2026-01-18", "model_uri": str(model)},
        pipeline_names=["monitoring"],
    )
    assert "loudness, dBFS has changed: -19 before, -29 now" in caplog.text
    page = (tmp_path / "08_reporting/monitoring/monitoring.html").read_text()
    assert "1 calls have no start" in page
    assert "SYNTHETIC" in page
    audit_file(tmp_path / "08_reporting/monitoring/monitoring.html")
    assert "loudness, dBFS: 100 % of n = " in caplog.text
    training = pd.read_csv(tmp_path / "08_reporting/monitoring/training.csv").set_index("measure")
    assert training.index[training["far"]].tolist() == [
        "loudness_dbfs",
        "confidence",
        "mean_target",
    ]
    assert "Compared with the training data" in page
    drift = pd.read_csv(tmp_path / "08_reporting/monitoring/drift.csv").set_index("measure")
    assert drift.index[drift["alarm"]].tolist() == ["loudness_dbfs"]
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiments = [each.experiment_id for each in client.search_experiments()]
    run = next(run for run in client.search_runs(experiments) if "alarms" in run.data.metrics)
    assert run.data.metrics["alarms"] == 1
    assert run.data.tags["drift_alarms"] == "loudness_dbfs"
    history = client.get_metric_history(run.info.run_id, "week.loudness_dbfs")
    assert len({each.step for each in history}) == 2


def test_too_few_test_calls_are_refused_before_they_are_scored():
    with pytest.raises(ValueError, match=r"test_calls\.calls=60, or lower monitoring\.min_calls"):
        score_changed_calls(
            pd.DataFrame(),
            pd.DataFrame(),
            None,
            CallSettings(),
            SynthesisSettings(calls=59),
            SelectionSettings(storage="sqlite://"),
            SETTINGS,
            DriftSimulationSettings(),
        )


def test_the_table_of_weeks_has_the_titles_of_measures_and_fits_a_page():
    measured = simulated(0)
    drift = compare_periods(measured, PERIODS, SETTINGS)
    days = [FIRST + timedelta(7 * (number % 9)) for number in range(len(measured))]
    weeks = weekly_table(measured.assign(day=days)).assign(snr_db=np.nan)
    assert len(weeks) == 9
    table = _weeks_shown(weeks, drift).set_index("measure, by week from")
    assert table.columns.tolist() == weeks["week_from"].tolist()[-6:]
    assert table.loc["calls"].astype(int).tolist() == weeks["n_calls"].tolist()[-6:]
    assert set(table.loc["signal-to-noise ratio, dB"]) == {"–"}
    loud = table.loc["loudness, dBFS"].astype(float).to_numpy()
    np.testing.assert_allclose(loud, weeks["loudness_dbfs"].tail(6), rtol=0.01)
