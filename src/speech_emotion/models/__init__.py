"""Models: estimators, networks, ensembles, calibration, predictor, persistence."""

from speech_emotion.models.bandwidth import (
    BANDWIDTH_FEATURE,
    BandwidthModels,
)
from speech_emotion.models.calibration import (
    Threshold,
    fit_temperature,
    with_temperature,
)
from speech_emotion.models.conv1d import (
    Conv1DClassifier,
)
from speech_emotion.models.ensembles import (
    COMBINATIONS,
    FITS,
    Combiner,
)
from speech_emotion.models.estimators import (
    SexThenEmotion,
)
from speech_emotion.models.families import (
    FAMILIES,
    Family,
    UnknownFamily,
    family_named,
)
from speech_emotion.models.normalization import (
    SpeakerNormalizer,
    with_normalized_values,
)
from speech_emotion.models.persistence import (
    load_estimator,
    save_estimator,
)
from speech_emotion.models.predictor import (
    CARD,
    EmotionPredictor,
    Member,
    PackedPredictor,
)

__all__ = [
    "BANDWIDTH_FEATURE",
    "CARD",
    "COMBINATIONS",
    "FAMILIES",
    "FITS",
    "BandwidthModels",
    "Combiner",
    "Conv1DClassifier",
    "EmotionPredictor",
    "Family",
    "Member",
    "PackedPredictor",
    "SexThenEmotion",
    "SpeakerNormalizer",
    "Threshold",
    "UnknownFamily",
    "family_named",
    "fit_temperature",
    "load_estimator",
    "save_estimator",
    "with_normalized_values",
    "with_temperature",
]
