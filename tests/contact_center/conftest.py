import numpy as np
import pandas as pd
import pytest

from speech_emotion.contact_center.calls_table import CALLS


@pytest.fixture(scope="session")
def make_calls():
    """Make a table of calls from a list of dicts; `start` is UTC, all else has a default."""

    def make(rows):
        table = pd.DataFrame(rows)
        defaults = {
            "call_id": [f"c{number}" for number in range(len(table))],
            "agent_id": "A01",
            "team": "north",
            "queue": "",
            "direction": "",
            "customer_id": [f"k{number}" for number in range(len(table))],
            "wait_s": np.nan,
            "talk_s": 100.0,
            "hold_s": 0.0,
            "after_call_s": 0.0,
            "resolved": True,
            "topic": "billing",
            "recording": "",
            "flag": "not_flagged",
            "angry_share": 0.0,
            "first_angry_s": np.nan,
            "emotion_source": "generated",
            "synthetic": False,
        }
        for name, value in defaults.items():
            fallback = pd.Series(value, index=table.index)
            table[name] = table.get(name, fallback).combine_first(fallback)
        table["start"] = pd.to_datetime(table["start"], utc=True).dt.as_unit("us")
        table = table.astype({"call_id": str, "agent_id": str, "team": str, "customer_id": str})
        table = table.astype({"resolved": bool, "synthetic": bool})
        return CALLS.validate(table[list(CALLS.columns)].sort_values("start", ignore_index=True))

    return make
