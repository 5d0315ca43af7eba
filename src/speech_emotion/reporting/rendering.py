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

__all__ = ["PLOT_OPTIONS", "interval", "template", "wav_base64"]

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


def interval(value: float, low: float, high: float, *, signed: bool = False) -> str:
    """Write a share in percent with its interval, where it has one; with its sign if it is a difference."""
    if pd.isna(value):
        return "–"
    form = "+.1f" if signed else ".1f"
    # Adding zero leaves no minus before it.
    said, *bounds = (f"{round(100 * part, 1) + 0.0:{form}}" for part in (value, low, high))
    return said if pd.isna(low) else f"{said} [{', '.join(bounds)}]"


def wav_base64(samples: np.ndarray, sample_rate: int) -> str:
    """Return a 16-bit WAV file of samples, for a page to hold."""
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(samples, -1, 1), sample_rate, format="WAV", subtype="PCM_16")
    return base64.b64encode(buffer.getvalue()).decode()
