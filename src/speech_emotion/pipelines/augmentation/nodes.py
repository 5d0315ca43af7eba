"""Node of augmentation: plan the variants of all utterances."""

from __future__ import annotations

import pandas as pd

from speech_emotion.audio import (
    NONE,
    AugmentationSettings,
    over_test_lines,
    over_training_lines,
    plan_augmentation,
)
from speech_emotion.corpora import TRAIN


def plan_variants(
    utterances: pd.DataFrame, splits: pd.DataFrame, settings: AugmentationSettings
) -> pd.DataFrame:
    """Plan copies of the training utterances of each protocol, and telephone sound of everything.

    Training utterances and their copies pass training lines; all recordings pass test lines.
    """
    plans = []
    for protocol, rows in splits[splits["split"] == TRAIN].groupby("protocol", sort=True):
        plan = plan_augmentation(rows["utterance_id"], settings)
        if settings.telephone:
            wideband = pd.concat([_recordings(rows["utterance_id"]), plan], ignore_index=True)
            plan = pd.concat([over_training_lines(wideband), plan], ignore_index=True)
        plan.insert(0, "protocol", protocol)
        plans.append(plan)
    if settings.telephone:
        tests = over_test_lines(_recordings(utterances["utterance_id"]))
        tests.insert(0, "protocol", "all")
        plans.append(tests)
    plan = pd.concat(plans, ignore_index=True)
    return plan[plan["utterance_id"].isin(utterances["utterance_id"])]


def _recordings(utterance_ids: pd.Series) -> pd.DataFrame:
    original = {"variant": 0, "transform": NONE, "value": 0.0, "seed": 0, "line": ""}
    return pd.DataFrame({"utterance_id": sorted(set(utterance_ids))}).assign(**original)
