import logging
from pathlib import Path

import pytest
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from speech_emotion.audio import AugmentationSettings
from speech_emotion.corpora import SplitSettings
from speech_emotion.evaluation import (
    CandidateSettings,
    Rates,
    RunSize,
    SelectionSettings,
    estimate_cost,
    format_cost,
    measure_rates,
)
from speech_emotion.features import FeatureSettings
from speech_emotion.hooks import EstimateHooks, estimate

RATES = Rates(sound=0.01, extraction=0.02, copy=0.001, line=0.002, speed=1.0)
ONLY_RECORDINGS = AugmentationSettings(copies=[], variants=0, telephone=False, transforms={})
C_RANGE = {"model__C": {"type": "float", "low": 0.1, "high": 10}}


def cost(recordings=1000, cores=1, minutes=None, **options):
    given = {
        "augmentation": ONLY_RECORDINGS,
        "splits": SplitSettings(folds=5),
        "features": FeatureSettings(),
        "selection": SelectionSettings(storage="x", compared=["speaker_independent"]),
        "candidates": {"svm": CandidateSettings(family="svm", space=C_RANGE, minutes=minutes)},
        "families": ["svm"],
        "embedding_copies": 2,
    }
    size = RunSize(recordings, 3.0 * recordings, 1)
    return estimate_cost(size, RATES, cores=cores, **(given | options))


def steps(found):
    return found.steps.set_index("step")["minutes"]


def test_extraction_costs_each_sound_and_each_second():
    assert steps(cost())["extract features"] == pytest.approx(1000 * (0.01 + 3 * 0.02) / 60)
    augmented = ONLY_RECORDINGS.model_copy(update={"telephone": True})
    # Recording, training line and test line.
    expected = 1000 * (3 * 0.01 + 3 * (3 * 0.02 + 2 * 0.002)) / 60
    found = cost(augmentation=augmented)
    assert steps(found)["extract features"] == pytest.approx(expected)
    assert "3000 sounds" in found.steps["note"].tolist()


def test_more_recordings_cost_more_and_more_cores_need_more_memory():
    small, large = cost(4000), cost(16000)
    assert steps(large)["extract features"] == pytest.approx(4 * steps(small)["extract features"])
    assert steps(large)["evaluate svm"] > 8 * steps(small)["evaluate svm"]  # quadratic
    assert large.memory_gb > small.memory_gb
    assert cost(16000, cores=4).memory_gb > large.memory_gb
    assert cost(16000, cores=4).minutes < large.minutes


def test_budgets_limit_tuning_and_evaluation():
    free, limited = steps(cost(20000)), cost(20000, minutes=1)
    assert steps(limited)["tune svm"] < free["tune svm"]
    assert "budget 1 min, one trial needs more" in limited.steps["note"].tolist()
    protocols = ["speaker_independent", "enrolled", "random_split", "cross_corpus"]
    selection = SelectionSettings(storage="x", compared=protocols, evaluation_minutes=3)
    evaluated = cost(20000, selection=selection)
    assert steps(evaluated)["evaluate svm"] == 3
    unlimited = selection.model_copy(update={"evaluation_minutes": None})
    notes = cost(20000, selection=unlimited).steps["note"].tolist()
    assert "3 protocols" in notes  # one corpus cannot be crossed


def test_rates_are_positive_and_extraction_of_more_features_takes_longer():
    many, few = (
        measure_rates(FeatureSettings(feature_set=name)) for name in ("contours_3490", "means_36")
    )
    assert min(many[1:]) > 0
    assert many.extraction > few.extraction


def test_estimate_is_readable():
    text = format_cost(cost(20000), RunSize(20000, 60000.0), 2)
    assert "20000 recordings, 16.7 h of sound, 2 cores" in text
    assert "GB" in text.splitlines()[-1]
    assert max(map(len, text.splitlines())) <= 90


@pytest.fixture
def estimated(tmp_path, write_sound, tone, monkeypatch):
    """Log the estimate of a run on three recordings, one of which is broken."""
    for number in (1, 2):
        write_sound(f"corpora/crema_d/100{number}_IEO_ANG_XX.wav", tone(seconds=2.0))
    (tmp_path / "corpora/crema_d/1003_IEO_ANG_XX.wav").write_text("no sound")
    monkeypatch.setattr(estimate, "FEWEST", 3)
    bootstrap_project(Path(__file__).parents[2])

    def run(name, **params):
        given = {"data_dir": str(tmp_path / "data"), "corpora_dir": str(tmp_path / "corpora")}
        with KedroSession.create(env="test", runtime_params=given | params) as session:
            catalog = session.load_context().catalog
            EstimateHooks().before_pipeline_run(pipelines[name], catalog)

    return run


def test_a_run_says_before_its_start_what_it_costs(estimated, caplog):
    with caplog.at_level(logging.INFO):
        estimated("__default__", selection={"families": "shrinkage_lda"})
    assert "Estimate for 3 recordings, 0.0 h of sound" in caplog.text
    assert "in all, roughly" in caplog.text


def test_other_pipelines_and_small_corpora_are_not_estimated(estimated, caplog, monkeypatch):
    with caplog.at_level(logging.INFO):
        estimated("ingestion")
        monkeypatch.setattr(estimate, "FEWEST", 4)
        estimated("__default__")
    assert "Estimate" not in caplog.text


def test_too_little_memory_is_a_warning(caplog):
    estimate._compare_memory(1e6)
    assert "may need 1000000.0 GB of memory" in caplog.text
    caplog.clear()
    estimate._compare_memory(0.0)
    assert not caplog.text
