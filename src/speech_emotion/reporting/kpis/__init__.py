"""Reports on KPIs: figures and pages."""

from speech_emotion.reporting.kpis.figures import (
    kpi_figure,
)
from speech_emotion.reporting.kpis.pages import (
    KpiEvidence,
    kpi_page,
    sound_page,
)

__all__ = [
    "KpiEvidence",
    "kpi_figure",
    "kpi_page",
    "sound_page",
]
