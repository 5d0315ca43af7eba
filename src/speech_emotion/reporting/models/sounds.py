"""Pictures of sounds. They are made with Matplotlib's ``Figure`` directly, without pyplot's global state."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

import librosa
import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Example", "augmentation_picture", "mfcc_picture", "waveform_picture"]

Example = tuple[np.ndarray, str]
"""Samples ``(n_samples,)`` and the name of the utterance."""

COLUMNS = 4
FLOOR_DB = -80.0
TITLE_CHARS = 64  # what fits above a panel


def waveform_picture(examples: dict[str, Example], sample_rate: int, *, note: str = "") -> Figure:
    """Draw one waveform per label on one amplitude scale, so that loudness can be compared.

    Args:
        examples: An utterance for each label.
        sample_rate: Rate in Hz.
        note: Text at the end of the title.
    """
    figure, grid = _grid(len(examples), f"Waveforms, one utterance per label{note}")
    loudest = max(float(np.abs(samples).max()) for samples, _ in examples.values())
    for axes, (label, (samples, name)) in zip(grid, examples.items(), strict=False):
        times = np.arange(len(samples)) / sample_rate
        axes.plot(times, samples, linewidth=0.4, color="#31688e")
        axes.set(ylim=(-loudest, loudest), xlabel="seconds", ylabel="amplitude")
        axes.set_title(f"{label}\n{name}", fontsize=9)
    return figure


def mfcc_picture(
    examples: dict[str, Example], sample_rate: int, *, n_mfcc: int = 20, note: str = ""
) -> Figure:
    """Draw the MFCCs of one utterance per label on one color scale.

    The coefficient 0, the overall level, is left out because its range hides the others.

    Args:
        examples: An utterance for each label.
        sample_rate: Rate in Hz.
        n_mfcc: Number of coefficients, including coefficient 0.
        note: Text at the end of the title.
    """
    figure, grid = _grid(len(examples), f"MFCCs 1 to {n_mfcc - 1}, one utterance per label{note}")
    drawn = None
    for axes, (label, (samples, name)) in zip(grid, examples.items(), strict=False):
        mfcc = librosa.feature.mfcc(y=samples, sr=sample_rate, n_mfcc=n_mfcc)[1:]
        extent = (0, len(samples) / sample_rate, 0.5, n_mfcc - 0.5)
        drawn = axes.imshow(
            mfcc, origin="lower", aspect="auto", extent=extent, cmap="coolwarm", vmin=-90, vmax=90
        )
        axes.set(xlabel="seconds", ylabel="coefficient")
        axes.set_title(f"{label}\n{name}", fontsize=9)
    if drawn is not None:
        figure.colorbar(drawn, ax=list(grid), shrink=0.6)
    return figure


def augmentation_picture(
    examples: dict[str, tuple[np.ndarray, np.ndarray]], sample_rate: int, *, note: str = ""
) -> Figure:
    """Draw mel spectrograms before and after each transform, on one dB scale.

    Args:
        examples: Samples before and after, by the description of the transform.
        sample_rate: Rate in Hz.
        note: Text at the end of the title.
    """
    from matplotlib.figure import Figure

    rows = max(len(examples), 1)
    figure = Figure(figsize=(11, 2.3 * rows + 0.6), layout="constrained")
    figure.suptitle(f"Augmentation, before and after{note}")
    grid = figure.subplots(rows, 2, squeeze=False, sharey=True)
    for line, (description, pair) in zip(grid, examples.items(), strict=False):
        for axes, samples, when in zip(line, pair, ("before", "after"), strict=True):
            mel = librosa.feature.melspectrogram(y=samples, sr=sample_rate, n_mels=64)
            extent = (0, len(samples) / sample_rate, 0, 64)
            axes.imshow(
                librosa.power_to_db(mel, ref=1.0, top_db=None),
                origin="lower",
                aspect="auto",
                extent=extent,
                cmap="magma",
                vmin=FLOOR_DB,
                vmax=20,
            )
            axes.set(xlabel="seconds", ylabel="mel band")
            lines = f"{when}: {description}".splitlines()
            axes.set_title("\n".join(fill(line, TITLE_CHARS) for line in lines), fontsize=9)
    return figure


def _grid(panels: int, title: str) -> tuple[Figure, np.ndarray]:
    from matplotlib.figure import Figure

    rows = -(-max(panels, 1) // COLUMNS)
    figure = Figure(figsize=(3.6 * COLUMNS, 2.6 * rows + 0.6), layout="constrained")
    figure.suptitle(title)
    grid = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes in grid[panels:]:
        axes.set_visible(False)
    return figure, grid[: max(panels, 1)]
