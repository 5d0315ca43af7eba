"""Models: protocols, families, search, evaluation, votes, and the predictor they end in."""

from speech_emotion.models.conv1d import Conv1DClassifier
from speech_emotion.models.estimators import FAMILIES, Family, UnknownFamily, family_named
from speech_emotion.models.evaluation import (
    CROSS_VALIDATION,
    Evaluation,
    Examples,
    Part,
    evaluate,
    make_examples,
)
from speech_emotion.models.metrics import (
    breakdown_table,
    class_table,
    confusion,
    figures_of_merit,
    uar,
)
from speech_emotion.models.settings import CandidateSettings, SelectionSettings, SplitSettings
from speech_emotion.models.splits import (
    HELD_OUT,
    PROTOCOLS,
    TRAIN,
    SplitError,
    assign_splits,
    split_digest,
)
from speech_emotion.models.voting import VOTING, choose_voters, cross_validated_uar, vote

__all__ = [
    "CROSS_VALIDATION",
    "FAMILIES",
    "HELD_OUT",
    "PROTOCOLS",
    "TRAIN",
    "VOTING",
    "CandidateSettings",
    "Conv1DClassifier",
    "Evaluation",
    "Examples",
    "Family",
    "Part",
    "SelectionSettings",
    "SplitError",
    "SplitSettings",
    "UnknownFamily",
    "assign_splits",
    "breakdown_table",
    "choose_voters",
    "class_table",
    "confusion",
    "cross_validated_uar",
    "evaluate",
    "family_named",
    "figures_of_merit",
    "make_examples",
    "split_digest",
    "uar",
    "vote",
]
