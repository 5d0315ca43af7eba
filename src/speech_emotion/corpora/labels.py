"""Label sets: mapping of the emotions of the corpora to labels."""

from __future__ import annotations

__all__ = ["LabelSetError", "check_label_set", "label_of"]


class LabelSetError(ValueError):
    """A label set is unknown, or maps an emotion to two labels."""


def check_label_set(name: str, label_sets: dict[str, dict[str, list[str]]]) -> None:
    """Check that a label set exists, and that every set maps each emotion once.

    Args:
        name: Name of the label set.
        label_sets: Emotions of each label of each set, in the words of the corpora.

    Raises:
        LabelSetError: If there is no such set, or an emotion belongs to two labels of one set.
    """
    if name not in label_sets:
        raise LabelSetError(
            f"There is no label set {name!r}; write one of: {', '.join(sorted(label_sets))}"
        )
    for set_name, labels in label_sets.items():
        assigned: dict[str, str] = {}
        for label, emotions in labels.items():
            for emotion in emotions:
                if emotion in assigned:
                    raise LabelSetError(
                        f"Label set {set_name!r} maps {emotion!r} to {assigned[emotion]!r} and to "
                        f"{label!r}; keep one"
                    )
                assigned[emotion] = label


def label_of(label_set: dict[str, list[str]]) -> dict[str, str]:
    """Invert a label set.

    Example:
        >>> label_of({"angry": ["anger", "angry"], "sad": ["sad"]})
        {'anger': 'angry', 'angry': 'angry', 'sad': 'sad'}
    """
    return {emotion: label for label, emotions in label_set.items() for emotion in emotions}
