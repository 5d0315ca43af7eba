"""Telephone lines: level, noise, band filter and codecs at 8 kHz, all drawn from a seed.

Models train on ``training`` lines, whose filters and codecs vary. The test lines ``opus_12k``, ``gsm`` and
``steep_ulaw`` have a codec or a filter design that no training line has, so scores on them tell how well a
model copes with a line it never saw. Levels and noise are drawn alike for all lines.

libsndfile writes and reads the codecs in memory. A codec of the training lines that it cannot write is
replaced by µ-law, which every build has: the other draws stay as they are. A test line whose codec it
cannot write is an error.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np
import soundfile
import soxr

__all__ = [
    "LINES",
    "TELEPHONE_RATE",
    "TEST_LINES",
    "TRAINING_LINE",
    "BandFilter",
    "LineUnavailable",
    "TelephoneLine",
    "UnknownLine",
    "check_lines",
    "choose_test_line",
    "draw_line",
    "send_over_line",
]

logger = logging.getLogger(__name__)

TELEPHONE_RATE: Final = 8000
"""Sample rate of all telephone lines, in Hz."""
TRAINING_LINE: Final = "training"
"""Name of the lines that models are trained on."""
TEST_LINES: Final = ("opus_12k", "gsm", "steep_ulaw")
"""Names of the lines that models are tested on. Their codecs or filters are in no training line."""
LINES: Final = (TRAINING_LINE, *TEST_LINES)

LEVEL_DBFS: Final = (-20.0, -1.0)
"""Range of the peak of the sound, in dB relative to full scale."""
NOISE_DBFS: Final = (-75.0, -45.0)
"""Range of the RMS of the white noise on the line, in dB relative to full scale."""
LOW_HZ: Final = (50, 400)
HIGH_HZ: Final = (3000, 3800)
"""Ranges of the edges of the training lines' band filters."""
STEP_HZ: Final = 50
"""Edges are multiples of this, so that few filters have to be designed."""
ORDERS: Final = (1, 2, 4, 6, 8, 10)
UNFILTERED_SHARE: Final = 1 / 4
"""Share of training lines without a band filter."""
TANDEM_SHARE: Final = 0.1
"""Share of training lines with two codecs in a row, as in a call between two networks."""

DRAWS, NOISE, CHOICE = 1, 2, 3
"""Independent streams of random numbers of one seed (not 0, which is the stream of the bare seed)."""


class UnknownLine(ValueError):
    """Raised for a telephone line that does not exist."""


class LineUnavailable(RuntimeError):
    """Raised if libsndfile cannot write the codec of a test line."""


class _Codec(NamedTuple):
    """A codec, as soundfile writes it.

    Attributes:
        title: Name for readers.
        format: Container.
        subtype: Encoding.
        options: Arguments of :func:`soundfile.write` that set the bit rate.
        delay: Samples before the sound if the decoder does not remove them.
    """

    title: str
    format: str
    subtype: str
    options: Mapping[str, Any] = MappingProxyType({})
    delay: int = 0


MP3_DELAY: Final = 1105
"""576 samples of the encoder (LAME) and 529 of the decoder."""

CODECS: Final = {
    "ulaw": _Codec("µ-law", "WAV", "ULAW"),
    "alaw": _Codec("A-law", "WAV", "ALAW"),
    "ima_adpcm": _Codec("IMA ADPCM 32 kbit/s", "WAV", "IMA_ADPCM"),
    "nms_adpcm_16": _Codec("NMS ADPCM 16 kbit/s", "RAW", "NMS_ADPCM_16"),
    # At 8 kHz, level 0 is 64 kbit/s and level 1 is 8 kbit/s.
    "mp3_8k": _Codec(
        "MP3 8 kbit/s",
        "MP3",
        "MPEG_LAYER_III",
        {"bitrate_mode": "CONSTANT", "compression_level": 0.99},
        MP3_DELAY,
    ),
    "mp3_16k": _Codec(
        "MP3 16 kbit/s",
        "MP3",
        "MPEG_LAYER_III",
        {"bitrate_mode": "CONSTANT", "compression_level": 0.85},
        MP3_DELAY,
    ),
    "gsm": _Codec("GSM 06.10", "RAW", "GSM610"),
    # Level 0 is 256 kbit/s and level 1 is 6 kbit/s. The rate is variable and the container adds to it.
    "opus_12k": _Codec("Opus 12 kbit/s", "OGG", "OPUS", {"compression_level": 0.976}),
}
NO_CODEC: Final = "none"

TRAINING_CODECS: Final = {
    NO_CODEC: 0.15,
    "ulaw": 0.25,
    "alaw": 0.2,
    "ima_adpcm": 0.15,
    "nms_adpcm_16": 0.1,
    "mp3_8k": 0.05,
    "mp3_16k": 0.1,
}
"""Probabilities of the codecs of training lines; MP3 is the slowest of them."""


class BandFilter(NamedTuple):
    """A band-pass filter.

    Attributes:
        design: ``butterworth`` (training lines) or ``elliptic`` (0.5 dB ripple, 60 dB attenuation).
        order: Order at each edge.
        low_hz: Lower edge.
        high_hz: Upper edge.
    """

    design: str
    order: int
    low_hz: float
    high_hz: float


STEEP: Final = BandFilter("elliptic", 6, 300.0, 3400.0)


@dataclass(frozen=True)
class TelephoneLine:
    """A telephone line.

    Attributes:
        level_dbfs: Peak of the sound, in dB relative to full scale.
        noise_dbfs: RMS of the white noise that is added before the filter, in dB relative to full scale.
        band: Band filter, ``None`` for none.
        codecs: Codecs in their order.
    """

    level_dbfs: float
    noise_dbfs: float
    band: BandFilter | None
    codecs: tuple[str, ...]

    @property
    def title(self) -> str:
        """Description for readers.

        Example:
            >>> TelephoneLine(
            ...     -6.0, -60.0, BandFilter("butterworth", 4, 300.0, 3400.0), ("ulaw",)
            ... ).title
            'peak -6 dBFS, noise -60 dBFS, 300–3400 Hz, µ-law'
        """
        band = f"{self.band.low_hz:.0f}–{self.band.high_hz:.0f} Hz" if self.band else "no filter"
        codecs = [CODECS[name].title for name in self.codecs] or ["no codec"]
        levels = f"peak {self.level_dbfs:.0f} dBFS, noise {self.noise_dbfs:.0f} dBFS"
        return ", ".join([levels, band, *codecs])


def draw_line(name: str, seed: int) -> TelephoneLine:
    """Draw a telephone line.

    Args:
        name: One of :data:`LINES`.
        seed: Seed of all draws, 0 or larger.

    Raises:
        UnknownLine: If there is no such line; the message lists the known names.

    Example:
        >>> draw_line("gsm", 1).codecs
        ('gsm',)
        >>> draw_line("training", 1) == draw_line("training", 1)
        True
    """
    if name not in LINES:
        raise UnknownLine(
            f"There is no telephone line {name!r}, expected one of: {', '.join(LINES)}"
        )
    generator = np.random.default_rng([seed, DRAWS])
    level, noise = float(generator.uniform(*LEVEL_DBFS)), float(generator.uniform(*NOISE_DBFS))
    band = _draw_band(generator)
    codecs = _draw_codecs(generator)
    if name == "steep_ulaw":
        band, codecs = STEEP, ("ulaw",)
    elif name != TRAINING_LINE:
        codecs = (name,)
    return TelephoneLine(level, noise, band, codecs)


def _draw_band(generator: np.random.Generator) -> BandFilter | None:
    unfiltered = generator.random() < UNFILTERED_SHARE
    order = int(generator.choice(ORDERS))
    low, high = (
        float(generator.choice(np.arange(lowest, highest + 1, STEP_HZ)))
        for lowest, highest in (LOW_HZ, HIGH_HZ)
    )
    return None if unfiltered else BandFilter("butterworth", order, low, high)


def _draw_codecs(generator: np.random.Generator) -> tuple[str, ...]:
    """Draw one codec, or two different ones in a row; those that cannot be written become µ-law."""
    count = 2 if generator.random() < TANDEM_SHARE else 1
    names = list(TRAINING_CODECS)
    shares = list(TRAINING_CODECS.values())
    drawn = [str(name) for name in generator.choice(names, count, replace=False, p=shares)]
    usable = [name if _is_available(name) else "ulaw" for name in drawn]
    return tuple(name for name in dict.fromkeys(usable) if name != NO_CODEC)


@lru_cache(maxsize=len(CODECS) + 1)
def _is_available(name: str) -> bool:
    """Whether this build of libsndfile can write the codec."""
    if name == NO_CODEC:
        return True
    codec = CODECS[name]
    available = codec.format in soundfile.available_formats() and (
        codec.subtype in soundfile.available_subtypes(codec.format)
    )
    if not available:
        logger.warning(
            "libsndfile %s cannot write %s", soundfile.__libsndfile_version__, codec.title
        )
    return available


def check_lines() -> None:
    """Check that all test lines can be simulated.

    Raises:
        LineUnavailable: If libsndfile cannot write the codec of one of them.
    """
    for name in TEST_LINES:
        _check_available(name, draw_line(name, 0))


def _check_available(name: str, line: TelephoneLine) -> None:
    for codec in line.codecs:
        if not _is_available(codec):
            raise LineUnavailable(
                f"The test line {name} needs {CODECS[codec].title}, which libsndfile "
                f"{soundfile.__libsndfile_version__} cannot write: install libsndfile 1.2 or newer (the "
                "wheels of soundfile on PyPI contain it), or set augmentation.telephone to false"
            )


def choose_test_line(seed: int) -> str:
    """Draw the name of a test line; all are equally likely."""
    return str(np.random.default_rng([seed, CHOICE]).choice(TEST_LINES))


def send_over_line(samples: np.ndarray, sample_rate: int, *, line: str, seed: int) -> np.ndarray:
    """Simulate a telephone line: resample to 8 kHz, set the level, add noise, filter, encode and decode.

    Delays of codecs are removed. Sound without any sample above 0 keeps its level.

    Args:
        samples: Shape ``(n_samples,)``.
        sample_rate: Rate in Hz.
        line: One of :data:`LINES`.
        seed: Seed of the line and of its noise, 0 or larger.

    Returns:
        float32 samples of the same length and rate, without anything above 4 kHz.

    Raises:
        UnknownLine: If there is no such line.
        LineUnavailable: If libsndfile cannot write the codec of this test line.

    Example:
        >>> tone = 0.1 * np.sin(2 * np.pi * 440 * np.arange(22050) / 22050)
        >>> len(send_over_line(tone, 22050, line="gsm", seed=0))
        22050
    """
    drawn = draw_line(line, seed)
    _check_available(line, drawn)
    samples = np.asarray(samples, dtype=np.float32)
    narrow = soxr.resample(samples, sample_rate, TELEPHONE_RATE, quality="HQ")
    if not len(narrow):
        return np.zeros_like(samples)
    peak = float(np.abs(narrow).max())
    if peak > 0:
        narrow = narrow * np.float32(10 ** (drawn.level_dbfs / 20) / peak)
    noise = np.random.default_rng([seed, NOISE]).standard_normal(len(narrow), dtype=np.float32)
    sound = narrow + noise * np.float32(10 ** (drawn.noise_dbfs / 20))
    if drawn.band is not None:
        from scipy import signal

        sound = signal.sosfilt(_sections(drawn.band), sound).astype(np.float32)
    sound = np.clip(sound, -1, 1)
    for name in drawn.codecs:
        sound = _encode_and_decode(sound, CODECS[name])
    return _fit(soxr.resample(sound, TELEPHONE_RATE, sample_rate, quality="HQ"), len(samples))


@lru_cache(maxsize=512)
def _sections(band: BandFilter) -> np.ndarray:
    """Second-order sections of a filter at 8 kHz."""
    from scipy import signal

    edges = [band.low_hz, band.high_hz]
    shape = {"btype": "bandpass", "fs": TELEPHONE_RATE, "output": "sos"}
    if band.design == "elliptic":
        return signal.ellip(band.order, 0.5, 60, edges, **shape)
    return signal.butter(band.order, edges, **shape)


def _encode_and_decode(samples: np.ndarray, codec: _Codec) -> np.ndarray:
    """Encode and decode in memory; the length stays the same."""
    buffer = io.BytesIO()
    kind = {"format": codec.format, "subtype": codec.subtype}
    soundfile.write(buffer, samples, TELEPHONE_RATE, **kind, **codec.options)
    buffer.seek(0)
    header = {} if codec.format != "RAW" else kind | {"samplerate": TELEPHONE_RATE, "channels": 1}
    decoded, _ = soundfile.read(buffer, dtype="float32", **header)
    # MP3 files of low bit rates have no room for the delay, so the decoder cannot remove it.
    if len(decoded) > len(samples):
        decoded = decoded[codec.delay :]
    return _fit(decoded, len(samples))


def _fit(samples: np.ndarray, length: int) -> np.ndarray:
    """Cut at the end, or pad with zeros, to ``length`` samples of float32."""
    fitted = np.zeros(length, dtype=np.float32)
    fitted[: len(samples)] = samples[:length]
    return fitted
