"""What all documents are rendered with."""

from __future__ import annotations

import base64
import io
from importlib.resources import files
from typing import Any, Final

import numpy as np
import pandas as pd
import soundfile
from jinja2 import Environment, FunctionLoader, StrictUndefined

__all__ = ["PLOT_OPTIONS", "template", "wav_base64"]

# No button of a page may send data away.
PLOT_OPTIONS: Final = {"responsive": True, "modeBarButtonsToRemove": ["sendChartToCloud"]}


def template(name: str) -> Any:
    """Return a template of this package by its file name."""
    environment = Environment(
        loader=FunctionLoader(
            lambda file: (
                files("speech_emotion.reporting").joinpath("templates", file).read_text("utf-8")
            )
        ),
        autoescape=name.endswith(".html.j2"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda value: "–" if pd.isna(value) else f"{value:.1%}"
    environment.filters["decimal"] = lambda value: "–" if pd.isna(value) else f"{value:.2f}"
    return environment.get_template(name)


def wav_base64(samples: np.ndarray, sample_rate: int) -> str:
    """Return a 16-bit WAV file of samples, for a page to hold."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(samples, -1, 1), sample_rate, format="WAV", subtype="PCM_16")
    return base64.b64encode(buffer.getvalue()).decode()
