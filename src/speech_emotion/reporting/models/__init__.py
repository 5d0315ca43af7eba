"""Reports on models: figures and documents."""

from speech_emotion.reporting.models.documents import (
    Evidence,
    html_report,
    markdown_report,
    model_card,
)
from speech_emotion.reporting.models.figures import (
    COLORS,
    PROTOCOL_COLORS,
    counted_note,
    finish_figure,
)
from speech_emotion.reporting.models.sounds import (
    augmentation_picture,
)

__all__ = [
    "COLORS",
    "PROTOCOL_COLORS",
    "Evidence",
    "augmentation_picture",
    "counted_note",
    "finish_figure",
    "html_report",
    "markdown_report",
    "model_card",
]
