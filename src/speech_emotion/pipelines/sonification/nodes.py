"""Nodes of the sonification."""

from __future__ import annotations

import logging

import mido  # not for type checkers alone: Kedro reads the annotations to build parameters
import pandas as pd

from speech_emotion.contact_center import (
    CallSelection,
    KpiSettings,
    SonificationSettings,
    kpi_sound,
)
from speech_emotion.datasets.audio import Sound
from speech_emotion.reporting.kpis import sound_page

logger = logging.getLogger(__name__)


def sonify(
    calls: pd.DataFrame,
    settings: KpiSettings,
    selection: CallSelection,
    sonification: SonificationSettings,
) -> tuple[Sound, mido.MidiFile, pd.DataFrame, str, str]:
    """Make a key figure audible: samples, MIDI, the table of notes, the legend, and the page."""
    sound = kpi_sound(
        calls,
        agent_id=selection.agent_id,
        kpi=sonification.kpi,
        start=selection.from_,
        end=selection.to,
        grain=selection.grain,
        settings=settings,
        mapping=sonification.mapping,
    )
    logger.info("%.1f s of sound\n%s", sound.seconds, sound.legend_text())
    return (
        Sound(sound.samples, sound.sample_rate),
        sound.midi(),
        sound.notes,
        sound.legend_text(),
        sound_page(sound),
    )
