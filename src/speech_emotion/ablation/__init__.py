"""Ablation: the contribution of features, augmentation, telephone sound, seeds and network options."""

from speech_emotion.ablation.configurations import (
    ALL_FEATURES,
    ALL_LAYERS,
    BANDWIDTH_PAIR,
    DEFAULT_OPTIONS,
    GROUP_ADDED,
    GROUP_ALONE,
    RECORDINGS_ONLY,
    SINGLE_MODEL,
    WITHOUT_GROUP,
    WITHOUT_TELEPHONE,
    augmentation_configs,
    encoder_configs,
    group_configs,
    kernel_configs,
    mfcc_configs,
    network_configs,
    seed_configs,
    spread_table,
    telephone_configs,
)
from speech_emotion.ablation.importance import (
    permutation_importance,
)
from speech_emotion.ablation.runner import (
    AblationConfig,
    AblationData,
    compare,
    predict,
    statistic_names,
)
from speech_emotion.ablation.settings import (
    AblationModel,
    AblationSettings,
)

__all__ = [
    "ALL_FEATURES",
    "ALL_LAYERS",
    "BANDWIDTH_PAIR",
    "DEFAULT_OPTIONS",
    "GROUP_ADDED",
    "GROUP_ALONE",
    "RECORDINGS_ONLY",
    "SINGLE_MODEL",
    "WITHOUT_GROUP",
    "WITHOUT_TELEPHONE",
    "AblationConfig",
    "AblationData",
    "AblationModel",
    "AblationSettings",
    "augmentation_configs",
    "compare",
    "encoder_configs",
    "group_configs",
    "kernel_configs",
    "mfcc_configs",
    "network_configs",
    "permutation_importance",
    "predict",
    "seed_configs",
    "spread_table",
    "statistic_names",
    "telephone_configs",
]
