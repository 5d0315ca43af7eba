"""Reports on KPIs: figures and pages."""

from speech_emotion.reporting.kpis.figures import (
    kpi_figure,
)
from speech_emotion.reporting.kpis.pages import (
    KpiEvidence,
    explorer_page,
    kpi_page,
    sound_page,
)

__all__ = [
    "KpiEvidence",
    "explorer_page",
    "kpi_figure",
    "kpi_page",
    "sound_page",
]
