import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from speech_emotion.evaluation import (
    breakdown_table,
    class_table,
    classification_metrics,
    confusion,
    line_table,
    uar,
)

LABELS = ["angry", "happy", "sad"]


def predictions_of(pairs, speakers=None):
    table = pd.DataFrame(pairs, columns=["label", "prediction"])
    table["speaker"] = speakers or [f"s{i % 3}" for i in range(len(table))]
    return table


def test_confusion_has_truth_in_rows():
    counts = confusion(LABELS, pd.Series(["angry", "angry", "sad"]), pd.Series(["sad"] * 3))
    np.testing.assert_array_equal(counts, [[0, 0, 2], [0, 0, 0], [0, 0, 1]])


def test_labels_that_are_not_listed_are_refused():
    with pytest.raises(ValueError, match="Label 'bored' is none of: angry, happy, sad"):
        confusion(LABELS, ["angry", "sad"], ["angry", "bored"])


def test_uar_weights_labels_equally_and_leaves_out_missing_ones():
    # 90 of 90 angry and 0 of 10 sad are correct, and none is happy: (1 + 0) / 2.
    counts = np.array([[90, 0, 0], [0, 0, 0], [10, 0, 0]])
    assert uar(counts) == pytest.approx(0.5)


@given(
    st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=3, max_size=60)
)
@settings(max_examples=50, deadline=None)
def test_metrics_equal_those_of_scikit_learn(pairs):
    table = predictions_of(pairs)
    metrics = classification_metrics(table, LABELS, resamples=100)
    truth, predicted = table["label"], table["prediction"]
    assert metrics["accuracy"] == pytest.approx(accuracy_score(truth, predicted))
    present = sorted(set(truth))
    by_label = [(predicted[truth == label] == label).mean() for label in present]
    assert metrics["uar"] == pytest.approx(np.mean(by_label))
    assert metrics["macro_f1"] == pytest.approx(f1_score(truth, predicted, average="macro"))
    for metric in ("accuracy", "uar", "macro_f1"):
        assert 0 <= metrics[f"{metric}_low"] <= metrics[f"{metric}_high"] <= 1
    if len(present) == len(LABELS):
        assert metrics["uar"] == pytest.approx(balanced_accuracy_score(truth, predicted))


def predictions_over_lines():
    """Clean: 1 of 8 wrong. Over the line "a" all is correct, over "b" all angry ones are wrong."""
    rows = []
    for number in range(16):
        label, line = LABELS[number % 2], "ab"[number // 8]
        wrong = LABELS[1 - number % 2]
        speaker = f"s{number // 2 % 4}"
        clean = wrong if number in {0, 8} else label
        over = wrong if line == "b" and label == "angry" else label
        rows.append((f"u{number}", speaker, label, "clean", "", clean))
        rows.append((f"u{number}", speaker, label, "telephone", line, over))
    columns = ["utterance_id", "speaker", "label", "condition", "line", "prediction"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(model="mlp", protocol="random_split", evaluation="test")


def test_lines_are_compared_with_the_same_utterances():
    predictions = predictions_over_lines()
    table = line_table(predictions.sample(frac=1, random_state=0), LABELS, resamples=300)
    assert table["line"].tolist() == ["all", "a", "b"]
    rows = table.set_index("line")
    assert rows["n_utterances"].to_dict() == {"all": 16, "a": 8, "b": 8}
    assert rows["n_speakers"].to_dict() == {"all": 4, "a": 4, "b": 4}
    # Clean, 3 of 4 angry and all happy utterances are correct.
    assert rows["uar_clean"].tolist() == pytest.approx([0.875] * 3)
    assert rows["uar"].to_dict() == pytest.approx({"all": 0.75, "a": 1.0, "b": 0.5})
    assert rows["loss"].to_dict() == pytest.approx({"all": 0.125, "a": -0.125, "b": 0.375})
    # Of the line "b", every resample without the speaker of the clean mistake loses 0.5.
    assert (rows.loc["b", "loss_low"], rows.loc["b", "loss_high"]) == pytest.approx(
        (0, 0.5), abs=0.26
    )
    assert rows.loc["b", "loss_high"] == pytest.approx(0.5)
    assert rows.loc["a", "uar_low"] == rows.loc["a", "uar_high"] == 1


def test_lines_leave_out_utterances_without_clean_sound():
    predictions = predictions_over_lines()
    gone = (predictions["utterance_id"] == "u1") & (predictions["condition"] == "clean")
    table = line_table(predictions[~gone], LABELS, resamples=50).set_index("line")
    assert table["n_utterances"].to_dict() == {"all": 15, "a": 7, "b": 8}


def test_lines_without_telephone_sound_are_an_empty_table():
    clean = predictions_over_lines().query("condition == 'clean'")
    table = line_table(clean, LABELS)
    assert table.empty
    assert {"line", "uar_clean", "loss_high"} <= set(table.columns)


def test_interval_comes_from_speakers_not_utterances():
    # All utterances of a speaker have the same result, so 400 utterances count as 4.
    right = [("angry", "angry")] * 100
    wrong = [("angry", "sad")] * 100
    speakers = [f"s{i}" for i in range(4) for _ in range(100)]
    clustered = classification_metrics(
        predictions_of(right + wrong + right + wrong, speakers), LABELS, resamples=2000
    )
    assert clustered["accuracy"] == 0.5
    # Binomial(4, 1/2) / 4: 6 % of the resamples contain only speakers with errors.
    assert clustered["accuracy_low"] == 0.0
    assert clustered["accuracy_high"] == 1.0


def test_one_speaker_has_no_interval():
    metrics = classification_metrics(predictions_of([("sad", "sad")] * 5, ["s0"] * 5), LABELS)
    assert metrics["accuracy"] == 1.0
    assert np.isnan(metrics["accuracy_low"])


def test_breakdown_and_class_tables_of_known_counts():
    table = predictions_of(
        [("angry", "angry"), ("angry", "sad"), ("sad", "sad"), ("happy", "sad")],
        ["s0", "s0", "s1", "s1"],
    ).assign(sex=["female", "female", "male", "male"], corpus="tess")
    rows = breakdown_table(table, LABELS, resamples=100).set_index(["by", "value"])
    assert rows.loc[("sex", "female"), "accuracy"] == 0.5
    assert rows.loc[("corpus", "tess"), "n_utterances"] == 4
    assert rows.loc[("speaker", "s1"), "n_speakers"] == 1
    classes = class_table(table, LABELS).set_index("label")
    assert classes.loc["sad", "precision"] == pytest.approx(1 / 3)
    assert classes.loc["angry", "recall"] == 0.5
    assert classes.loc["happy", "f1"] == 0
    assert classes["support"].tolist() == [2, 1, 1]
