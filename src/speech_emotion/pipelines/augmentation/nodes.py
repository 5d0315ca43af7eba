"""Node of augmentation: plan the variants of all utterances."""

from __future__ import annotations

import pandas as pd

from speech_emotion.audio import NONE, AugmentationSettings, over_telephone, plan_augmentation
from speech_emotion.corpora import TRAIN


def plan_variants(
    utterances: pd.DataFrame, splits: pd.DataFrame, settings: AugmentationSettings
) -> pd.DataFrame:
    """Plan copies of the training utterances of each protocol, and telephone sound of everything."""
    plans = []
    for protocol, rows in splits[splits["split"] == TRAIN].groupby("protocol", sort=True):
        plan = plan_augmentation(rows["utterance_id"], settings)
        plan.insert(0, "protocol", protocol)
        plans.append(plan)
    plan = pd.concat(plans, ignore_index=True)
    if settings.telephone:
        wideband = pd.concat([_recordings(utterances), plan], ignore_index=True)
        plan = pd.concat([over_telephone(wideband), plan], ignore_index=True)
    return plan[plan["utterance_id"].isin(utterances["utterance_id"])]


def _recordings(utterances: pd.DataFrame) -> pd.DataFrame:
    original = {"protocol": "all", "variant": 0, "transform": NONE, "value": 0.0}
    return utterances[["utterance_id"]].assign(**original, seed=0, telephone=False)
