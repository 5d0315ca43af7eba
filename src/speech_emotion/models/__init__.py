"""Models: protocols, families, search, evaluation, votes, and the predictor they end in."""

from speech_emotion.models.calibration import calibrate, calibration_error, reliability_table
from speech_emotion.models.combining import (
    COMBINATIONS,
    Combiner,
    choose_members,
    combine,
    cross_validated_choice,
    cross_validated_uar,
)
from speech_emotion.models.conv1d import Conv1DClassifier
from speech_emotion.models.detection import (
    DetectionSettings,
    Threshold,
    choose_threshold,
    detection_table,
)
from speech_emotion.models.estimators import FAMILIES, Family, UnknownFamily, family_named
from speech_emotion.models.evaluation import (
    CLEAN,
    CROSS_VALIDATION,
    ENROLLED,
    TELEPHONE,
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
    paired_table,
    uar,
)
from speech_emotion.models.settings import (
    CandidateSettings,
    RecipesSettings,
    SelectionSettings,
    SplitSettings,
)
from speech_emotion.models.splits import (
    HELD_OUT,
    PROTOCOLS,
    TRAIN,
    SplitError,
    assign_splits,
    split_digest,
)

__all__ = [
    "CLEAN",
    "COMBINATIONS",
    "CROSS_VALIDATION",
    "ENROLLED",
    "FAMILIES",
    "HELD_OUT",
    "PROTOCOLS",
    "TELEPHONE",
    "TRAIN",
    "CandidateSettings",
    "Combiner",
    "Conv1DClassifier",
    "DetectionSettings",
    "Evaluation",
    "Examples",
    "Family",
    "Part",
    "RecipesSettings",
    "SelectionSettings",
    "SplitError",
    "SplitSettings",
    "Threshold",
    "UnknownFamily",
    "assign_splits",
    "breakdown_table",
    "calibrate",
    "calibration_error",
    "choose_members",
    "choose_threshold",
    "class_table",
    "combine",
    "confusion",
    "cross_validated_choice",
    "cross_validated_uar",
    "detection_table",
    "evaluate",
    "family_named",
    "figures_of_merit",
    "make_examples",
    "paired_table",
    "reliability_table",
    "split_digest",
    "uar",
]
