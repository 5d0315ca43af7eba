"""Nodes of augmentation: which variants there will be, and what the transforms do."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from speech_emotion.audio import (
    NONE,
    TELEPHONE_TRANSFORM,
    TRANSFORMS,
    AugmentationSettings,
    augment,
    load_audio,
    over_telephone,
    plan_augmentation,
)
from speech_emotion.corpora import TRAIN
from speech_emotion.datasets.audio import Sound
from speech_emotion.reporting import synthetic_note
from speech_emotion.reporting.models import augmentation_picture

RATE = 22050


def plan_variants(
    utterances: pd.DataFrame, splits: pd.DataFrame, settings: AugmentationSettings
) -> pd.DataFrame:
    """Plan copies of the training utterances of each protocol, and telephone sound of everything."""
    plans = []
    for protocol, part in splits[splits["split"] == TRAIN].groupby("protocol", sort=True):
        plan = plan_augmentation(part["utterance_id"], settings)
        plan.insert(0, "protocol", protocol)
        plans.append(plan)
    plan = pd.concat(plans, ignore_index=True)
    if settings.telephone:
        heard = pd.concat([_recordings(utterances), plan], ignore_index=True)
        plan = pd.concat([over_telephone(heard), plan], ignore_index=True)
    return plan[plan["utterance_id"].isin(utterances["utterance_id"])]


def _recordings(utterances: pd.DataFrame) -> pd.DataFrame:
    facts = {"protocol": "all", "variant": 0, "transform": NONE, "value": 0.0}
    return utterances[["utterance_id"]].assign(**facts, seed=0, telephone=False)


def draw_examples(utterances: pd.DataFrame, plan: pd.DataFrame) -> tuple[dict[str, Sound], Figure]:
    """Take one utterance for each transform, before and after, and one as recorded: to hear and see."""
    paths = utterances.set_index("utterance_id")["path"]
    examples = {}
    # Where nothing is augmented there is still something to hear: Kedro cannot load an empty folder.
    sounds = {"recording": Sound(load_audio(paths.iloc[0], RATE), RATE)}
    # A telephone is shown with recordings alone, other transforms without one.
    alone = plan[~plan["telephone"] | (plan["transform"] == NONE)]
    for transform, rows in alone.groupby(
        alone["transform"].replace(NONE, TELEPHONE_TRANSFORM), sort=True
    ):
        known = TRANSFORMS[str(transform)]
        row = rows.loc[(rows["value"] - known.neutral).abs().idxmax()]  # the clearest one
        before = load_audio(paths[row["utterance_id"]], RATE)
        after = augment(
            before, RATE, transform=str(transform), value=row["value"], seed=row["seed"]
        )
        value = f" {row['value']:.2f}" if known.smallest < known.largest else ""
        described = f"{transform}{value} {known.unit}\n{row['utterance_id']}"
        examples[described] = (before, after)
        sounds[f"{transform}_before"] = Sound(before, RATE)
        sounds[f"{transform}_after"] = Sound(after, RATE)
    return sounds, augmentation_picture(examples, RATE, note=synthetic_note(utterances))
