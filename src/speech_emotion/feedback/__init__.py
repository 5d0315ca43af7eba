"""What reviewers' verdicts say: precision and misses on a center's calls, and a recalibrated model."""

from speech_emotion.feedback.evaluation import evaluate_flags, reliability
from speech_emotion.feedback.items import (
    CALIBRATION,
    TEST,
    Judged,
    VerdictError,
    collect_items,
)
from speech_emotion.feedback.recalibration import (
    Operation,
    Recalibration,
    flagged_items,
    recalibrate,
)
from speech_emotion.feedback.settings import FeedbackSettings

__all__ = [
    "CALIBRATION",
    "TEST",
    "FeedbackSettings",
    "Judged",
    "Operation",
    "Recalibration",
    "VerdictError",
    "collect_items",
    "evaluate_flags",
    "flagged_items",
    "recalibrate",
    "reliability",
]
