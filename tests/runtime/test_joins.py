import pandas as pd
import pytest

from speech_emotion.runtime import JoinError, check_same_keys, join

ROWS = pd.DataFrame({"key": ["a", "b", "a"], "x": [1, 2, 3]})
NAMES = ("rows", "labels")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (["a"], "1 of 3 rows of rows have none in labels, the first: key 'b': make labels again"),
        (["a", "b", "b"], "labels: key 'b' occurs twice: make labels again"),
    ],
)
def test_rows_are_neither_lost_nor_doubled(keys, message):
    labels = pd.DataFrame({"key": keys, "label": keys})
    with pytest.raises(JoinError, match=message):
        join(ROWS, labels, "key", names=NAMES, remedy="make labels again")


def test_order_and_further_rows_do_not_matter():
    labels = pd.DataFrame({"key": ["c", "b", "a"], "label": ["z", "y", "x"]})
    joined = join(ROWS, labels, ["key"], names=NAMES, remedy="")
    assert joined["label"].tolist() == ["x", "y", "x"]
    with pytest.raises(JoinError, match="1 of 3 rows of labels have none in rows"):
        check_same_keys(ROWS.head(2), labels, "key", names=NAMES, remedy="")
    check_same_keys(ROWS.head(2), labels.tail(2), "key", names=NAMES, remedy="")
