"""Ablation: what features, augmentation, seeds and options of networks contribute."""

from speech_emotion.ablation.configurations import (
    ADDED,
    ALL,
    ALONE,
    PLAIN,
    RECORDINGS,
    WITHOUT,
    augmentation_arms,
    group_arms,
    kernel_arms,
    mfcc_arms,
    network_arms,
    seed_arms,
    spread_table,
    telephone_arms,
)
from speech_emotion.ablation.importance import (
    permutation_importance,
)
from speech_emotion.ablation.runner import (
    Arm,
    Material,
    StudySettings,
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
    "Arm",
    "Material",
    "StudySettings",
    "augmentation_arms",
    "compare",
    "group_arms",
    "kernel_arms",
    "mfcc_arms",
    "network_arms",
    "permutation_importance",
    "seed_arms",
    "spread_table",
    "statistic_names",
    "telephone_arms",
]
