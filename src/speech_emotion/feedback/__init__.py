"""What reviewers' verdicts say: precision and misses on a center's calls, and a recalibrated model."""

from speech_emotion.feedback.corpus import (
    CORPUS_COLUMNS,
    REVIEWED_FOLDER,
    clips_of,
    cut_clip,
    reviewed_corpus,
)
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
from speech_emotion.feedback.simulation import SimulationSettings, simulate_rounds

__all__ = [
    "CALIBRATION",
    "CORPUS_COLUMNS",
    "REVIEWED_FOLDER",
    "TEST",
    "FeedbackSettings",
    "Judged",
    "Operation",
    "Recalibration",
    "SimulationSettings",
    "VerdictError",
    "clips_of",
    "collect_items",
    "cut_clip",
    "evaluate_flags",
    "flagged_items",
    "recalibrate",
    "reliability",
    "reviewed_corpus",
    "simulate_rounds",
]
