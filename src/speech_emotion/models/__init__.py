"""Models: estimators, networks, ensembles, calibration, predictor, persistence."""

from speech_emotion.models.attention import AttentionClassifier
from speech_emotion.models.bandwidth import (
    BANDWIDTH_FEATURE,
    BandwidthModels,
)
from speech_emotion.models.calibration import (
    PlattScaling,
    Threshold,
    fit_platt,
    fit_temperature,
    with_temperature,
)
from speech_emotion.models.conv1d import (
    Conv1DClassifier,
)
from speech_emotion.models.conv2d import (
    Conv2DClassifier,
)
from speech_emotion.models.ensembles import (
    COMBINATIONS,
    FITS,
    Combiner,
)
from speech_emotion.models.estimators import (
    MarginSVC,
    SexThenEmotion,
    ShrinkageLDA,
)
from speech_emotion.models.families import (
    FAMILIES,
    Family,
    UnknownFamily,
    family_named,
)
from speech_emotion.models.integrity import DamagedModel
from speech_emotion.models.layer_average import LayerAverage
from speech_emotion.models.normalization import (
    SpeakerNormalizer,
    with_normalized_values,
)
from speech_emotion.models.persistence import (
    UntrustedModel,
    load_estimator,
    save_estimator,
)
from speech_emotion.models.predictor import (
    CARD,
    EmotionPredictor,
    ExtractedFeatures,
    Member,
    NotFinite,
    PackedPredictor,
)
from speech_emotion.models.training_keys import (
    EXPOSURES,
    NOT_GIVEN,
    RECORDING_SEEN,
    SPEAKER_SEEN,
    UNKNOWN,
    UNSEEN,
    TrainingKeys,
)
from speech_emotion.models.training_profile import TrainingProfile
from speech_emotion.models.voices import VoiceProjection

__all__ = [
    "BANDWIDTH_FEATURE",
    "CARD",
    "COMBINATIONS",
    "EXPOSURES",
    "FAMILIES",
    "FITS",
    "NOT_GIVEN",
    "RECORDING_SEEN",
    "SPEAKER_SEEN",
    "UNKNOWN",
    "UNSEEN",
    "AttentionClassifier",
    "BandwidthModels",
    "Combiner",
    "Conv1DClassifier",
    "Conv2DClassifier",
    "DamagedModel",
    "EmotionPredictor",
    "ExtractedFeatures",
    "Family",
    "LayerAverage",
    "MarginSVC",
    "Member",
    "NotFinite",
    "PackedPredictor",
    "PlattScaling",
    "SexThenEmotion",
    "ShrinkageLDA",
    "SpeakerNormalizer",
    "Threshold",
    "TrainingKeys",
    "TrainingProfile",
    "UnknownFamily",
    "UntrustedModel",
    "VoiceProjection",
    "family_named",
    "fit_platt",
    "fit_temperature",
    "load_estimator",
    "save_estimator",
    "with_normalized_values",
    "with_temperature",
]
