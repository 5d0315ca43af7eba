import pandas as pd
import pytest
from kedro_datasets.partitions import PartitionedDataset

from speech_emotion.evaluation import SelectionSettings
from speech_emotion.pipelines.model_selection.nodes import (
    compare_candidates,
    gather_candidates,
    score_candidate,
)
from speech_emotion.pipelines.registration.nodes import obstacle
from speech_emotion.runtime import JoinError

LABELS = ["angry", "sad"]
SELECTION = SelectionSettings(
    families=["svm", "mlp"],
    compared=["speaker_independent"],
    bootstrap=100,
    storage="unused.journal",
)


def predictions_of(model, correct):
    """Predictions of 40 utterances of four speakers in two folds, ``correct`` of ten right."""
    rows = []
    for number in range(40):
        label = LABELS[number % 2]
        right = number % 10 < correct
        prediction = label if right else LABELS[1 - number % 2]
        p_angry = 0.8 if prediction == "angry" else 0.2
        rows.append(
            {
                "utterance_id": f"c:{number:02d}",
                "corpus": "c",
                "speaker": f"s{number // 10}",
                "sex": "female",
                "model": model,
                "protocol": "speaker_independent",
                "condition": "clean",
                "evaluation": "cross-validation",
                "fold": number // 20,
                "label": label,
                "prediction": prediction,
                "p_angry": p_angry,
                "p_sad": 1 - p_angry,
            }
        )
    return pd.DataFrame(rows)


def tables_of(model, correct, *, trials):
    keys = {"model": model, "protocol": "speaker_independent"}
    timings = pd.DataFrame([keys | {"fit_seconds": 1.0, "predict_ms": 2.0}])
    searched = pd.DataFrame({"model": [model] * trials, "trial": range(trials)})
    curves = pd.DataFrame(columns=["model", "protocol", "epoch"])
    candidate = pd.DataFrame([{"model": model, "family": model, "hyperparameters": "{}"}])
    tables = (predictions_of(model, correct), timings, searched, curves, candidate)
    return score_candidate(*tables, LABELS, SELECTION)


@pytest.fixture
def stored(tmp_path):
    """Tables of two families, as the catalog stores and loads them; nothing was searched for one."""
    loaded = []
    for model, correct, trials in (("svm", 9, 2), ("mlp", 7, 0)):
        dataset = PartitionedDataset(
            path=str(tmp_path / model), dataset="pandas.ParquetDataset", filename_suffix=".parquet"
        )
        dataset.save(tables_of(model, correct, trials=trials))
        loaded.append(dataset.load())
    return loaded


def test_tables_of_families_are_concatenated_by_kind(stored):
    predictions, metrics, trials, curves, candidates = gather_candidates(*stored)
    assert predictions["model"].value_counts().to_dict() == {"svm": 40, "mlp": 40}
    assert metrics.set_index("model")["accuracy"].to_dict() == pytest.approx(
        {"svm": 0.9, "mlp": 0.7}
    )
    assert trials[["model", "trial"]].to_numpy().tolist() == [["svm", 0], ["svm", 1]]
    assert curves.empty
    assert candidates["family"].tolist() == ["svm", "mlp"]


def test_the_best_model_in_cross_validation_is_the_champion(stored):
    predictions, metrics, *_ = gather_candidates(*stored)
    calibrated, board, calibration, choice = compare_candidates(
        predictions, metrics, LABELS, SELECTION
    )
    best = board.sort_values("uar", ascending=False, kind="stable").iloc[0]
    assert set(board["model"]) == {"svm", "mlp", "soft_voting", "stacking"}
    assert board.loc[board["champion"], "model"].tolist() == [choice["champion"]]
    assert board.loc[board["champion"], "uar"].item() == best["uar"] >= 0.9
    assert set(calibrated["model"]) == set(calibration["model"]) == set(board["model"])
    assert choice["temperature"] > 0


def test_missing_predictions_of_a_family_are_an_error_and_another_kind_of_input_is_not(stored):
    predictions, metrics, *_ = gather_candidates(*stored)
    is_lost = (predictions["model"] == "mlp") & predictions["utterance_id"].isin(["c:01", "c:02"])
    few = predictions[~is_lost]
    with pytest.raises(
        JoinError, match=r"2 of 40 rows of predictions of .* the first: utterance_id"
    ):
        compare_candidates(few, metrics, LABELS, SELECTION)
    # A model on embeddings may lack sounds that have features.
    for table in (few, metrics):
        table["model"] = table["model"].replace("mlp", "encoder_mlp")
    calibrated, *_ = compare_candidates(few, metrics, LABELS, SELECTION)
    assert set(calibrated["model"].value_counts()) == {38}


@pytest.mark.parametrize(
    ("protocol", "accepted", "allowed"),
    [
        ("speaker_independent", False, True),
        ("leaking_folds", False, False),
        ("random_split", False, False),
        ("leaking_folds", True, True),
    ],
)
def test_a_model_of_leaking_speakers_becomes_champion_only_on_request(protocol, accepted, allowed):
    update = {"protocol": protocol, "leaking_champion": accepted}
    reason = obstacle(SELECTION.model_copy(update=update))
    assert (reason == "") is allowed
    assert allowed or "selection.leaking_champion=true" in reason
