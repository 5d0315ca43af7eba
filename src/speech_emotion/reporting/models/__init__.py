"""Reports on models: figures, pictures and documents."""

from speech_emotion.reporting.models.documents import (
    Evidence,
    detection_title,
    evaluation_title,
    html_report,
    line_title,
    markdown_report,
    model_card,
    model_title,
)
from speech_emotion.reporting.models.figures import (
    breakdown_figure,
    confusion_figure,
    detection_figure,
    emotions_figure,
    leaderboard_figure,
    learning_curves_figure,
    lines_figure,
    pca_figure,
    reliability_figure,
    tuning_figure,
)
from speech_emotion.reporting.models.runs import (
    describe_run,
    format_leaderboard,
    headline_metrics,
    headline_table,
    name_data,
    name_run,
    run_metrics,
)
from speech_emotion.reporting.models.sounds import (
    augmentation_picture,
    mfcc_picture,
    waveform_picture,
)

__all__ = [
    "Evidence",
    "augmentation_picture",
    "breakdown_figure",
    "confusion_figure",
    "describe_run",
    "detection_figure",
    "detection_title",
    "emotions_figure",
    "evaluation_title",
    "format_leaderboard",
    "headline_metrics",
    "headline_table",
    "html_report",
    "leaderboard_figure",
    "learning_curves_figure",
    "line_title",
    "lines_figure",
    "markdown_report",
    "mfcc_picture",
    "model_card",
    "model_title",
    "name_data",
    "name_run",
    "pca_figure",
    "reliability_figure",
    "run_metrics",
    "tuning_figure",
    "waveform_picture",
]
