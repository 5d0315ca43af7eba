"""Label sets: which emotions of the corpora become which label."""

from __future__ import annotations

__all__ = ["LabelSetError", "check_label_set", "label_of"]


class LabelSetError(ValueError):
    """A label set is unknown or contradicts itself."""


def check_label_set(name: str, label_sets: dict[str, dict[str, list[str]]]) -> None:
    """Check that a label set exists and that every set maps each emotion once.

    Args:
        name: Name of the label set.
        label_sets: For each set and label the emotions that it takes in, as corpora name them.

    Raises:
        LabelSetError: If there is no such set, or an emotion belongs to two labels of one set.
    """
    if name not in label_sets:
        raise LabelSetError(
            f"There is no label set {name!r}; write one of: {', '.join(sorted(label_sets))}"
        )
    for each, labels in label_sets.items():
        owners: dict[str, str] = {}
        for label, emotions in labels.items():
            for emotion in emotions:
                if emotion in owners:
                    raise LabelSetError(
                        f"Label set {each!r} maps {emotion!r} to {owners[emotion]!r} and to "
                        f"{label!r}; keep one"
                    )
                owners[emotion] = label


def label_of(label_set: dict[str, list[str]]) -> dict[str, str]:
    """Turn a label set round: the label of each emotion."""
    return {emotion: label for label, emotions in label_set.items() for emotion in emotions}
