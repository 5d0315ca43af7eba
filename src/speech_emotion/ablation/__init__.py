"""Ablation: what features, augmentation, seeds and options of networks contribute."""

from speech_emotion.ablation.configurations import (
    ADDED,
    ALL,
    ALONE,
    PLAIN,
    RECORDINGS,
    WITHOUT,
    augmentation_configs,
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
    AblationSettings,
    compare,
    statistic_names,
)

__all__ = [
    "ADDED",
    "ALL",
    "ALONE",
    "PLAIN",
    "RECORDINGS",
    "WITHOUT",
    "AblationConfig",
    "AblationData",
    "AblationSettings",
    "augmentation_configs",
    "compare",
    "group_configs",
    "kernel_configs",
    "mfcc_configs",
    "network_configs",
    "permutation_importance",
    "seed_configs",
    "spread_table",
    "statistic_names",
    "telephone_configs",
]
