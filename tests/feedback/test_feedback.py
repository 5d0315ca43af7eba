"""Verdicts of reviewers: weights, metrics, recalibration, and the pipeline."""

import shutil

import mlflow
import numpy as np
import pandas as pd
import pytest
import soundfile
from scipy.special import expit, logit

from speech_emotion.call_scoring import FlagSettings
from speech_emotion.corpora import CorporaSettings, ingest
from speech_emotion.datasets import ModelDataset
from speech_emotion.datasets.registry import (
    CHALLENGER,
    CHAMPION,
    Registration,
    RegistryDataset,
    decide_alias,
)
from speech_emotion.features import FeatureSettings, feature_names
from speech_emotion.feedback import (
    CALIBRATION,
    TEST,
    FeedbackSettings,
    Judged,
    Operation,
    SimulationSettings,
    VerdictError,
    collect_items,
    evaluate_flags,
    flagged_items,
    recalibrate,
    reliability,
    reviewed_corpus,
    simulate_rounds,
)
from speech_emotion.feedback.items import part_of
from speech_emotion.models import (
    Combiner,
    EmotionPredictor,
    Member,
    PlattScaling,
    Threshold,
    family_named,
    fit_platt,
)
from speech_emotion.pipelines.registration.nodes import example_sound
from speech_emotion.reporting.feedback import learning_figure, simulation_page

MODEL = "speech-emotion version 1"
COLUMNS = {name: name for name in ("speaker", "emotion", "weight")}
FLAGS = FlagSettings(consecutive=2, smoothing=1)
LABELS = ("angry", "neutral", "sad")


def verdict(item, call, kind, verdict, *, score=0.6, start=0.0, probability=1.0, **changes):
    row = {
        "item_id": item,
        "call_id": call,
        "channel": 0,
        "start_s": start,
        "end_s": start + (9.0 if kind == "passage" else 3.0),
        "kind": kind,
        "sampling_probability": probability,
        "score": score,
        "model_version": MODEL,
        "verdict": verdict,
        "superseded": False,
    }
    return row | changes


def summary(*calls, minutes=30.0):
    return pd.DataFrame({"call": calls, "channel": 0, "minutes": minutes, "model": MODEL})


def collected(rows, calls, **settings):
    return collect_items(
        pd.DataFrame(rows),
        summary(*calls),
        model=MODEL,
        step_s=1.5,
        passage_s=6.0,
        settings=FeedbackSettings(**settings),
    )


def test_items_are_weighted_and_verdicts_that_say_nothing_are_counted():
    judged = collected(
        [
            verdict("a", "1", "passage", "angry"),
            verdict("a", "1", "passage", "not_angry"),
            verdict("b", "2", "window", "angry", probability=0.1),
            verdict("c", "1", "passage", "angry", superseded=True),
            verdict("d", "9", "passage", "angry"),
            verdict("e", "1", "passage", "angry", model_version="speech-emotion version 0"),
            verdict("f", "2", "call", "angry"),
            verdict("g", "2", "window", "cannot_tell"),
        ],
        ["1", "2"],
    )
    items = judged.items.set_index("item_id")
    assert items["angry"].to_dict() == {"a": 0.5, "b": 1.0}
    assert items["weight"].to_dict() == {"a": 1.0, "b": 10.0}
    assert items["seconds"].to_dict() == {"a": 9.0, "b": 1.5}
    assert items["alarms"].to_dict() == {"a": 1.0, "b": 0.25}
    assert judged.excluded["n"].tolist() == [1, 1, 1, 1, 1]
    assert sum(judged.hours.values()) == 1.0


def test_all_items_of_a_call_are_in_one_part_whatever_else_there_is():
    rows = [
        verdict(f"{call} {n}", str(call), "passage", "angry") for call in range(200) for n in (0, 1)
    ]
    every = collected(rows, map(str, range(200)), test_share=0.25).items
    assert (every.groupby("call")["part"].nunique() == 1).all()
    assert 25 < (every["part"] == TEST).sum() / 2 < 75
    some = collected(rows[:20], map(str, range(10)), test_share=0.25).items
    both = some.merge(every, on="item_id")
    assert (both["part_x"] == both["part_y"]).all()


def test_all_calls_of_a_customer_are_in_one_part():
    rows = [verdict(str(call), str(call), "passage", "angry") for call in range(40)]
    table = summary(*map(str, range(40))).assign(
        customer_id=[str(call // 4) if call < 36 else "" for call in range(40)]
    )
    judged = collect_items(
        pd.DataFrame(rows),
        table,
        model=MODEL,
        step_s=1.5,
        passage_s=6.0,
        settings=FeedbackSettings(),
    )
    items = judged.items
    assert items["caller"].nunique() == 9 + 4
    assert (items.groupby("caller")["part"].nunique() == 1).all()
    assert set(items["part"]) == {CALIBRATION, TEST}
    assert evaluate_flags(items, {"all": np.ones(40, bool)}, 1.0)["n_callers"].tolist() == [13]


def test_reviewed_windows_are_a_corpus_weighted_by_agreement():
    windows = pd.concat(
        [windows_of("1", [0.9] * 6), windows_of("2", [0.9] * 2), windows_of("3", [0.9])]
    )
    rows = [
        verdict("a", "1", "passage", "angry", start=0.0),
        verdict("a", "1", "passage", "angry", start=0.0),
        verdict("a", "1", "passage", "not_angry", start=0.0, other_emotion="Happy"),
        verdict("b", "2", "window", "not_angry", other_emotion="sad"),
        verdict("c", "3", "window", "not_angry"),
        verdict("d", "2", "window", "angry", start=1.5),
        verdict("d", "2", "window", "not_angry", start=1.5),
        verdict("e", "9", "window", "angry"),
    ]
    table = pd.DataFrame(rows).assign(recording="r.wav")
    calls = summary("1", "2", "3").assign(customer_id=["7", "8", "7"])
    corpus, left_out = reviewed_corpus(table, calls, windows, target="angry", test_share=1e-9)
    first = corpus[corpus["call"] == "1"]
    assert first["start_s"].tolist() == [0.0, 3.0, 6.0]  # none overlaps another
    assert set(first["emotion"]) == {"angry"}
    assert first["weight"].tolist() == pytest.approx([2 / 3] * 3)
    second = corpus[corpus["call"] == "2"]
    assert second[["start_s", "emotion", "weight"]].values.tolist() == [[0.0, "sad", 1.0]]
    assert set(corpus["call"]) == {"1", "2"}
    assert corpus.groupby("call")["speaker"].nunique().tolist() == [1, 1]
    assert corpus["speaker"].nunique() == 2
    assert not corpus["speaker"].str.contains("7|8").any()
    assert left_out["n"].tolist() == [0, 1, 1]


def test_callers_whose_verdicts_test_models_are_not_trained_on():
    calls = [str(number) for number in range(40)]
    rows = [verdict(call, call, "window", "angry", probability=0.5) for call in calls]
    table, settings = pd.DataFrame(rows).assign(recording="r.wav"), FeedbackSettings()
    scored = summary(*calls).assign(customer_id=[str(int(call) // 2) for call in calls])
    windows = pd.concat([windows_of(call, [0.9]) for call in calls])
    corpus, left_out = reviewed_corpus(
        table, scored, windows, target="angry", test_share=settings.test_share
    )
    judged = collect_items(table, scored, model=MODEL, step_s=1.5, passage_s=6.0, settings=settings)
    tested = judged.items.loc[judged.items["part"] == TEST, "call"]
    assert len(corpus) + len(tested) == len(calls)
    assert 0 < len(tested) < len(calls)
    assert not set(corpus["call"]) & set(tested)
    assert left_out["n"].tolist() == [len(tested), 0, 0]


def test_a_table_without_columns_says_how_to_write_it():
    with pytest.raises(VerdictError, match=r"lacks item_id, .*speech-emotion review export"):
        collect_items(
            pd.DataFrame({"call_id": []}),
            summary("1"),
            model=MODEL,
            step_s=1.5,
            passage_s=6.0,
            settings=FeedbackSettings(),
        )


def test_precision_recall_and_false_alarms_are_weighted_by_sampling():
    judged = collected(
        [
            verdict("a", "1", "passage", "angry"),  # 9 s of anger found
            verdict("b", "2", "passage", "not_angry"),
            verdict(
                "c", "3", "window", "angry", probability=0.1
            ),  # stands for 15 s that are missed
            verdict("d", "3", "window", "not_angry", probability=0.1),
        ],
        ["1", "2", "3"],
    )
    flagged = {"now": np.array([True, True, False, False]), "none": np.zeros(4, dtype=bool)}
    table = evaluate_flags(judged.items, flagged, 2.0, resamples=200).set_index("operation")
    now = table.loc["now"]
    assert now["precision"] == 0.5
    assert now["recall"] == pytest.approx(9 / 24)
    assert now["f1"] == pytest.approx(2 * 0.5 * 0.375 / 0.875)
    assert now["false_alarms_per_hour"] == 0.5
    assert table.loc["none", "recall"] == table.loc["none", "f1"] == 0
    assert np.isnan(table.loc["none", "precision"])
    assert table.loc["none", "f1_difference"] == pytest.approx(-now["f1"])
    assert now["n_items"] == 4
    assert now["n_calls"] == 3


def windows_of(call, probabilities, step=1.5):
    starts = np.arange(len(probabilities)) * step
    return pd.DataFrame(
        {
            "call": call,
            "channel": 0,
            "start_s": starts,
            "end_s": starts + 3.0,
            "p_angry": probabilities,
            "out_of_domain": "",
        }
    )


def test_stored_windows_are_flagged_anew_with_the_rule():
    windows = windows_of("1", [0.1, 0.7, 0.8, 0.1, 0.1, 0.1, 0.7, 0.1])
    judged = collected(
        [
            verdict("a", "1", "passage", "angry", start=1.5, end_s=6.0),
            verdict("b", "1", "window", "angry", start=9.0),  # one window is not enough
        ],
        ["1"],
    )
    assert flagged_items(judged.items, windows, Operation(0.6), FLAGS).tolist() == [True, False]
    assert flagged_items(judged.items, windows, Operation(0.75), FLAGS).tolist() == [False, False]
    # Half the odds: 0.7 becomes 0.54, 0.8 becomes 0.67.
    lower = PlattScaling(slope=1.0, intercept=-np.log(2))
    assert flagged_items(judged.items, windows, Operation(0.55, lower), FLAGS).tolist() == [
        False,
        False,
    ]
    assert flagged_items(judged.items, windows, Operation(0.5, lower), FLAGS).tolist() == [
        True,
        False,
    ]


def simulated(n_calls=400, *, seed=0, intercept=-2.0):
    """Calls whose passages are angry with probability sigmoid(1.5 logit(score) + intercept)."""
    generator = np.random.default_rng(seed)
    rows, windows = [], []
    for call in range(n_calls):
        score = float(generator.uniform(0.5, 0.98))
        angry = generator.random() < expit(1.5 * logit(score) + intercept)
        name = f"call {call}"
        windows.append(windows_of(name, [0.1, score, score, score, 0.1]))
        said = "angry" if angry else "not_angry"
        rows.append(verdict(name, name, "passage", said, score=score, start=1.5))
    return pd.DataFrame(rows), pd.concat(windows, ignore_index=True)


def test_platt_scaling_finds_slope_and_intercept():
    table, _ = simulated(4000)
    shares = (table["verdict"] == "angry").to_numpy(float)
    scaling = fit_platt(table["score"].to_numpy(), shares, np.ones(len(table)))
    assert scaling.slope == pytest.approx(1.5, abs=0.15)
    assert scaling.intercept == pytest.approx(-2.0, abs=0.2)
    scaled = scaling.scale(np.array([[0.5, 0.3, 0.2], [1.0, 0.0, 0.0]]), 0)
    np.testing.assert_allclose(scaled.sum(axis=1), 1)
    np.testing.assert_allclose(scaled[0, 1] / scaled[0, 2], 1.5)
    np.testing.assert_allclose(scaled[0, 0], expit(scaling.intercept))
    with pytest.raises(ValueError, match="same verdict"):
        fit_platt(np.array([0.5]), np.array([1.0]), np.array([1.0]))


def test_the_threshold_keeps_the_accepted_false_alarms():
    table, windows = simulated()
    calls = table["call_id"].unique()
    settings = FeedbackSettings(false_alarms_per_hour=0.5, thresholds=40)
    judged = collect_items(
        table,
        summary(*calls, minutes=12.0),
        model=MODEL,
        step_s=1.5,
        passage_s=4.5,
        settings=settings,
    )
    found = recalibrate(judged, windows, Operation(0.5), FLAGS, settings)
    assert found.proposed is not None
    for part, most in ((CALIBRATION, 0.5), (TEST, 0.8)):
        rows = judged.items[judged.items["part"] == part]
        flagged = {
            "now": flagged_items(rows, windows, found.current, FLAGS),
            "new": flagged_items(rows, windows, found.proposed, FLAGS),
        }
        result = evaluate_flags(rows, flagged, judged.hours[part], resamples=100)
        now, new = result.to_dict("records")
        assert now["false_alarms_per_hour"] > 1
        assert new["false_alarms_per_hour"] <= most
        assert new["precision"] > now["precision"] + 0.1
        assert new["recall"] > 0.3


def test_too_few_verdicts_and_scores_that_say_nothing_do_not_recalibrate():
    table, windows = simulated(20)
    judged = collected(table.to_dict("records"), table["call_id"])
    found = recalibrate(judged, windows, Operation(0.5), FLAGS, FeedbackSettings())
    assert found.proposed is None
    assert "20 of each are needed" in found.reason
    table, windows = simulated(400)
    turned = table.assign(verdict=np.where(table["score"] > 0.8, "not_angry", "angry"))
    judged = collected(turned.to_dict("records"), table["call_id"])
    found = recalibrate(judged, windows, Operation(0.5), FLAGS, FeedbackSettings())
    assert found.proposed is None
    assert "no higher scores" in found.reason


def test_reliability_has_weighted_shares():
    items = pd.DataFrame({"angry": [1.0, 0.0, 1.0, 1.0], "weight": [1.0, 3.0, 1.0, 1.0]})
    table = reliability(items, np.array([0.1, 0.2, 0.8, 0.9]), bins=2)
    assert table["angry"].tolist() == [0.25, 1.0]
    assert table["score"].tolist() == pytest.approx([0.175, 0.85])
    assert (table["low"] < table["angry"]).all()
    assert isinstance(Judged(items, {}, table), Judged)


@pytest.mark.parametrize(("better", "alias"), [(True, CHAMPION), (False, CHALLENGER)])
def test_verdicts_decide_the_alias(better, alias):
    registration = Registration(None, "uar", 0.1, "s", "", decision=(better, "why"))
    assert decide_alias(registration, {"uar": "0.9", "split": "s"}) == (alias, "why")


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory, empty_store):
    """A registered champion, calls that it scored, and verdicts."""
    data_dir = tmp_path_factory.mktemp("data")
    shutil.copy(empty_store, data_dir / "mlflow.db")
    settings = FeatureSettings(feature_set="means_36", sample_rate=16000)
    generator = np.random.default_rng(0)
    names = feature_names(settings.feature_set, n_mfcc=settings.n_mfcc)
    table = pd.DataFrame(generator.normal(size=(60, len(names))), columns=names)
    family = "logistic_regression"
    estimator = family_named(family).build(seed=0).fit(table, np.arange(60) % 3)
    threshold = Threshold(
        target="angry", value=0.5, false_alarms=0.1, recall=0.8, n_utterances=60, n_speakers=6
    )
    predictor = EmotionPredictor(
        LABELS, settings, (Member(family, estimator),), Combiner.single(family), threshold=threshold
    )
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{data_dir}/mlflow.db")
    experiment = mlflow.create_experiment("speech-emotion", str(data_dir / "mlflow"))
    with mlflow.start_run(experiment_id=experiment):
        registration = Registration(predictor, "uar", 0.5, "split", example_sound())
        RegistryDataset(name="speech-emotion").save(registration)
    verdicts, windows = simulated()
    calls = data_dir / "07_model_output/calls"
    calls.mkdir(parents=True)
    minutes = summary(*verdicts["call_id"], minutes=12.0).assign(threshold=0.5)
    (data_dir / "09_review").mkdir()
    # Channel 1 of four recordings to learn from can be read; the others have moved.
    verdicts["channel"] = windows["channel"] = minutes["channel"] = 1
    verdicts["recording"] = [str(data_dir / f"{call}.wav") for call in verdicts["call_id"]]
    learned = [call for call in verdicts["call_id"] if part_of(f"call {call}", 0.5) == CALIBRATION]
    for call in learned[:4]:
        sound = np.column_stack([np.zeros(96_000), generator.normal(0, 0.1, 96_000)])
        soundfile.write(data_dir / f"{call}.wav", sound, 8000)
    verdicts["other_emotion"] = np.where(verdicts["verdict"] == "not_angry", "sadness", None)
    windows.to_parquet(calls / "emotions.parquet")
    minutes.to_parquet(calls / "summary.parquet")
    verdicts.to_parquet(data_dir / "09_review/verdicts.parquet")
    yield data_dir
    mlflow.set_tracking_uri(before)


def test_feedback_registers_a_recalibrated_version(reviewed, run_kedro, audit_file):
    flags = {"calls": {"flags": {"consecutive": 2}}, "feedback": {"bootstrap": 200}}
    run_kedro(reviewed, params=flags, pipeline_names=["feedback"])
    folder = reviewed / "08_reporting/feedback"
    metrics = pd.read_csv(folder / "metrics.csv")
    assert metrics["verdicts"].tolist() == ["all", "test", "test"]
    page = (folder / "feedback.html").read_text()
    assert "<td>nan</td>" not in page
    # Also if version 2 has become champion.
    assert "Flags of speech-emotion version 1" in page
    assert "Current flags, all verdicts: precision" in page
    assert "Recalibration" in page
    audit_file(folder / "feedback.html")
    mlflow.set_tracking_uri(f"sqlite:///{reviewed}/mlflow.db")
    client = mlflow.MlflowClient()
    second = client.get_model_version("speech-emotion", "2")
    test = metrics[metrics["verdicts"] == "test"].set_index("operation")
    better = test.loc["recalibrated", "f1_difference_low"] > 0
    expected = CHAMPION if better else CHALLENGER
    assert client.get_model_version_by_alias("speech-emotion", expected).version == second.version
    assert second.tags["recalibrated_from"] == "speech-emotion version 1"
    assert second.tags["uar"] == "0.5"
    loaded = ModelDataset(uri="models:/speech-emotion/2").load()
    assert loaded.scaling.slope == pytest.approx(1.5, abs=0.6)
    changes = pd.read_csv(folder / "changes.csv").set_index("operation")
    assert loaded.threshold.value == pytest.approx(changes.loc["recalibrated", "threshold"])


def test_reviewed_calls_are_read_as_a_corpus_with_weights(reviewed, tmp_path):
    folder = reviewed / "09_review/reviewed_calls"
    entry = {"table": "reviewed_calls.csv", "path": str(folder), "columns": COLUMNS}
    table = pd.read_csv(folder / "reviewed_calls.csv")
    assert table["speaker"].nunique() == table["call"].nunique() == 4
    table.loc[0, "weight"] = 0.75
    table.to_csv(folder / "reviewed_calls.csv", index=False)
    corpora = CorporaSettings(
        select=["reviewed_calls"],
        entries={"reviewed_calls": entry},
        label_sets={"seven": {"angry": ["angry"], "sad": ["sadness"]}},
    )
    utterances, _ = ingest(tmp_path, corpora, n_jobs=1, progress=False)
    assert len(utterances) == len(table)
    assert sorted(utterances["weight"])[:2] == [0.75, 1.0]
    assert set(utterances["channels"]) == {1}
    assert utterances["rms"].min() > 0.05  # of the channel that was scored
    assert utterances["speaker"].nunique() == 4
    left_out = pd.read_csv(reviewed / "08_reporting/feedback/left_out.csv")
    unread = left_out["reason"].str.contains("the recording cannot be read")
    aside = left_out["reason"].str.contains("set aside for testing")
    assert left_out.loc[unread, "n"].sum() > 100
    assert left_out.loc[aside, "n"].sum() > 100


def test_simulated_reviewers_with_errors_raise_f1_on_other_callers(tmp_path, audit_file):
    generator = np.random.default_rng(0)
    tables = []
    for call in range(12):
        angry = np.repeat(generator.random(20) < 0.3, 4)
        odds = np.where(angry, -1.0, -3.5) + generator.normal(0, 0.7, len(angry))
        truth = np.where(angry, "angry", "neutral")
        tables.append(windows_of(str(call), expit(odds)).assign(caller=str(call // 2), truth=truth))
    windows = pd.concat(tables, ignore_index=True)
    settings = SimulationSettings(rounds=3, verdicts=40, repeats=3, bootstrap=100)
    rounds = simulate_rounds(windows, FLAGS, 0.5, settings)
    assert rounds["n_verdicts"].tolist() == [0, 40, 80, 120] * 2
    first, last = rounds[rounds["round"] == 0], rounds[rounds["round"] == 3]
    assert (first["f1"] < 0.6).all()  # the threshold of the model is too high for these calls
    assert (last["f1_gain_low"] > 0.2).all()
    assert (last["precision"] > 0.85).all()
    # Without an error and without a scaled score, nothing changes in round 0.
    assert first["f1_gain"].tolist() == [0, 0]
    page = simulation_page(rounds, learning_figure(rounds), error=settings.error)
    (tmp_path / "simulation.html").write_text(page, encoding="utf-8")
    audit_file(tmp_path / "simulation.html")
    with pytest.raises(ValueError, match="6 callers are too few"):
        simulate_rounds(windows, FLAGS, 0.5, SimulationSettings(folds=7))
