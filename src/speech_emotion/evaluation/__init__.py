"""Evaluate models: data of a protocol, cross-validation, tuning, metrics, bootstrap, detection."""

from speech_emotion.bootstrap import (
    bootstrap_counts,
    bootstrap_interval,
)
from speech_emotion.evaluation.calibration import (
    calibrate,
    calibration_error,
    reliability_table,
)
from speech_emotion.evaluation.combination import (
    choose_members,
    combine,
    cross_validated_choice,
    cross_validated_uar,
)
from speech_emotion.evaluation.cross_validation import (
    CURVES,
    Evaluation,
    evaluate,
    fit_estimator,
    probabilities,
)
from speech_emotion.evaluation.detection import (
    DetectionSettings,
    choose_threshold,
    detection_table,
)
from speech_emotion.evaluation.metrics import (
    ALL_LINES,
    METRICS,
    average_recall,
    breakdown_table,
    class_table,
    classification_metrics,
    confusion,
    headline_first,
    line_table,
    paired_table,
    uar,
)
from speech_emotion.evaluation.protocol_data import (
    CLEAN,
    CROSS_VALIDATION,
    TELEPHONE,
    Examples,
    Subset,
    make_examples,
    probability_columns,
)
from speech_emotion.evaluation.settings import (
    CandidateSettings,
    FamilyName,
    PasswordGiven,
    RecipesSettings,
    SelectionSettings,
)
from speech_emotion.evaluation.tuning import (
    TuningError,
    best_parameters,
    trial_table,
    tune,
)

__all__ = [
    "ALL_LINES",
    "CLEAN",
    "CROSS_VALIDATION",
    "CURVES",
    "METRICS",
    "TELEPHONE",
    "CandidateSettings",
    "DetectionSettings",
    "Evaluation",
    "Examples",
    "FamilyName",
    "PasswordGiven",
    "RecipesSettings",
    "SelectionSettings",
    "Subset",
    "TuningError",
    "average_recall",
    "best_parameters",
    "bootstrap_counts",
    "bootstrap_interval",
    "breakdown_table",
    "calibrate",
    "calibration_error",
    "choose_members",
    "choose_threshold",
    "class_table",
    "classification_metrics",
    "combine",
    "confusion",
    "cross_validated_choice",
    "cross_validated_uar",
    "detection_table",
    "evaluate",
    "fit_estimator",
    "headline_first",
    "line_table",
    "make_examples",
    "paired_table",
    "probabilities",
    "probability_columns",
    "reliability_table",
    "trial_table",
    "tune",
    "uar",
]
