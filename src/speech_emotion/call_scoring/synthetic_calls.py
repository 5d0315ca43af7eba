"""Test calls whose angry passages are known, built from utterances of speakers no model learnt from.

A call is a dialogue. Customer and agent take turns, each on a channel of their own: a turn is a few
utterances with pauses between them, the other channel holds noise alone. The customer speaks
neutrally, now and then with another emotion; in some calls there are passages, several turns long, in
which every utterance is angry. Pink noise lies over both channels, and the telephone condition
carries the whole channel through the band and code of a telephone line, at 8 kHz.

Everything is drawn from the seed and the number of the call: the clean and the telephone version of a
call are the same dialogue. Only one call is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

import numpy as np
import pandas as pd
import soxr
from pydantic import Field, model_validator

from speech_emotion.audio import augment, load_audio, trim_silence
from speech_emotion.config import Settings

__all__ = ["CONDITIONS", "SynthesisSettings", "TestCall", "Utterance", "synthesize_calls"]

RATE: Final = 16000
LINE_RATE: Final = 8000
TRIM_DB: Final = 30.0
CONDITIONS: Final = ("clean", "telephone")
NEUTRAL: Final = "neutral"


class SynthesisSettings(Settings):
    """Test calls.

    Attributes:
        calls: Number of calls in each condition.
        minutes: Length of a call.
        angry_calls: Share of calls with angry passages.
        max_passages: Largest number of angry passages of such a call.
        passage_turns: Fewest and most turns of a passage.
        turn_utterances: Fewest and most utterances of a turn.
        other_share: Share of the customer's other utterances that are neither neutral nor angry.
        pause_s: Shortest and longest pause between two utterances.
        snr_db: Signal-to-noise ratios in dB; calls take them in turn.
        conditions: ``clean``, ``telephone`` or both.
        seed: Seed of all that is drawn.
    """

    renamed: ClassVar[dict[str, str]] = {"most_passages": "max_passages"}

    calls: int = Field(18, ge=1)
    minutes: float = Field(3.0, ge=0.5)
    angry_calls: float = Field(0.5, ge=0, le=1)
    max_passages: int = Field(2, ge=1)
    passage_turns: tuple[int, int] = (2, 4)
    turn_utterances: tuple[int, int] = (2, 5)
    other_share: float = Field(0.1, ge=0, le=1)
    pause_s: tuple[float, float] = (0.2, 1.2)
    snr_db: tuple[float, ...] = (30.0, 20.0, 10.0)
    conditions: tuple[Literal["clean", "telephone"], ...] = CONDITIONS
    seed: int = 0

    @model_validator(mode="after")
    def _ordered(self) -> SynthesisSettings:
        for name in ("passage_turns", "turn_utterances", "pause_s"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ValueError(f"{name}: write the smaller number first, not {low}, {high}")
        if not self.snr_db or not self.conditions:
            raise ValueError("give at least one of snr_db and one of conditions")
        return self


@dataclass(frozen=True)
class Utterance:
    """Where an utterance lies in a call: channel, seconds, label."""

    channel: int
    start_s: float
    end_s: float
    label: str


@dataclass(frozen=True)
class TestCall:
    """A call and the truth about it.

    Attributes:
        name: Its number and condition.
        condition: ``clean`` or ``telephone``.
        snr_db: Signal-to-noise ratio of both channels.
        samples: Shape ``(n_samples, 2)``; the customer is channel 0, the agent channel 1.
        sample_rate: Rate in Hz.
        speakers: Customer and agent.
        utterances: All utterances in the order they are spoken.
        passages: Start and end in seconds of each angry passage.
    """

    __test__ = False  # pytest would take the name for a test

    name: str
    condition: str
    snr_db: float
    samples: np.ndarray
    sample_rate: int
    speakers: tuple[str, str]
    utterances: tuple[Utterance, ...]
    passages: tuple[tuple[float, float], ...]


def synthesize_calls(
    utterances: pd.DataFrame, settings: SynthesisSettings, *, target: str = "angry"
) -> Iterator[TestCall]:
    """Build test calls one after the other.

    Args:
        utterances: ``path``, ``speaker`` and ``label`` of utterances no model was trained on.
        settings: What the calls are like.
        target: Label of the passages.

    Raises:
        ValueError: If there are fewer than two speakers, or none is neutral as well as angry.
    """
    by_label = {
        str(speaker): {str(label): rows["path"].tolist() for label, rows in part.groupby("label")}
        for speaker, part in utterances.groupby("speaker", sort=True)
    }
    customers = [name for name, known in by_label.items() if {NEUTRAL, target} <= set(known)]
    agents = [name for name, known in by_label.items() if NEUTRAL in known]
    if not customers or len(agents) < 2:
        raise ValueError(
            f"Test calls need a held-out speaker who is {NEUTRAL} and {target}, and another who is "
            f"{NEUTRAL}; there are {len(customers)} and {len(agents)}: raise splits.test_size"
        )
    for number in range(settings.calls):
        generator = np.random.default_rng([settings.seed, number])
        customer = customers[number % len(customers)]
        agent = str(generator.choice([name for name in agents if name != customer]))
        # Every customer has calls of both kinds: the kind changes from round to round.
        angry = _is_angry(number, len(customers), settings.angry_calls)
        script = _Script(generator, by_label[customer], by_label[agent], settings, target)
        channels, spoken, passages = script.speak(angry)
        snr_db = settings.snr_db[(number // len(customers)) % len(settings.snr_db)]
        noise = generator.integers(2**32)
        for condition in settings.conditions:
            samples, rate = _line(channels, snr_db, int(noise), telephone=condition != "clean")
            yield TestCall(
                name=f"{number:03d}_{condition}",
                condition=condition,
                snr_db=snr_db,
                samples=samples,
                sample_rate=rate,
                speakers=(customer, agent),
                utterances=spoken,
                passages=passages,
            )


def _is_angry(number: int, customers: int, share: float) -> bool:
    """Spread ``share`` evenly over the calls, and over every customer's calls."""
    order = number % customers + number // customers
    return int((order + 1) * share) > int(order * share)


class _Script:
    def __init__(
        self,
        generator: np.random.Generator,
        customer: dict[str, list[str]],
        agent: dict[str, list[str]],
        settings: SynthesisSettings,
        target: str,
    ):
        self.generator, self.settings, self.target = generator, settings, target
        self.voices = (customer, agent)
        self.length = round(settings.minutes * 60 * RATE)
        self.channels = np.zeros((self.length, 2), dtype=np.float32)
        self.spoken: list[Utterance] = []
        self.time = 0.0

    def speak(
        self, angry: bool
    ) -> tuple[np.ndarray, tuple[Utterance, ...], tuple[tuple[float, float], ...]]:
        """Write the dialogue: channels, utterances and angry passages."""
        starts = self._passage_starts() if angry else []
        turns_left = 0
        talking = True
        while talking:
            if turns_left == 0 and starts and self.time >= starts[0]:
                starts.pop(0)
                turns_left = int(
                    self.generator.integers(*self.settings.passage_turns, endpoint=True)
                )
            talking = self._turn(0, angry=turns_left > 0) and self._turn(1, angry=False)
            turns_left = max(turns_left - 1, 0)
        return self.channels, tuple(self.spoken), self._spans()

    def _passage_starts(self) -> list[float]:
        """Seconds from which each passage begins with the customer's next turn."""
        count = int(self.generator.integers(1, self.settings.max_passages, endpoint=True))
        return sorted(self.generator.uniform(0, 0.75 * self.length / RATE, count).tolist())

    def _turn(self, channel: int, *, angry: bool) -> bool:
        """Speak a turn; return whether there was room for all of it."""
        voice = self.voices[channel]
        for _ in range(self.generator.integers(*self.settings.turn_utterances, endpoint=True)):
            label = self._label(voice, channel, angry)
            samples = _utterance(str(self.generator.choice(voice[label])))
            start = round(self.time * RATE)
            if start + len(samples) > self.length:
                return False
            self.channels[start : start + len(samples), channel] = samples
            end_s = (start + len(samples)) / RATE
            self.spoken.append(Utterance(channel, start / RATE, end_s, label))
            self.time = end_s + self.generator.uniform(*self.settings.pause_s)
        return True

    def _label(self, voice: dict[str, list[str]], channel: int, angry: bool) -> str:
        if angry:
            return self.target
        others = [label for label in voice if label not in {NEUTRAL, self.target}]
        if channel == 0 and others and self.generator.random() < self.settings.other_share:
            return str(self.generator.choice(others))
        return NEUTRAL

    def _spans(self) -> tuple[tuple[float, float], ...]:
        """Angry passages: from the first to the last of the customer's angry utterances in a row."""
        spans: list[tuple[float, float]] = []
        before = ""
        for utterance in self.spoken:
            if utterance.channel:
                continue
            if utterance.label == self.target:
                start = spans.pop()[0] if before == self.target else utterance.start_s
                spans.append((start, utterance.end_s))
            before = utterance.label
        return tuple(spans)


def _utterance(path: str) -> np.ndarray:
    return trim_silence(load_audio(path, RATE), TRIM_DB)


def _line(
    channels: np.ndarray, snr_db: float, seed: int, *, telephone: bool
) -> tuple[np.ndarray, int]:
    """Add noise to each channel, relative to its speech, and carry it over a telephone line."""
    noises = np.random.default_rng(seed)
    carried = []
    for channel in channels.T:
        spoken = channel[channel != 0]
        level = float(np.sqrt((spoken**2).mean())) if len(spoken) else 0.01
        noise = _pink(noises, len(channel)) * level * 10 ** (-snr_db / 20)
        line = (channel + noise).astype(np.float32)
        if telephone:
            line = augment(line, RATE, transform="telephone", value=0.0, seed=seed)
            line = soxr.resample(line, RATE, LINE_RATE, quality="HQ")
        carried.append(np.clip(line, -1, 1))
    length = min(map(len, carried))
    samples = np.stack([line[:length] for line in carried], axis=1)
    return samples, LINE_RATE if telephone else RATE


def _pink(generator: np.random.Generator, count: int) -> np.ndarray:
    """Noise of equal power an octave, with a mean square of 1."""
    spectrum = np.fft.rfft(generator.standard_normal(count))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
    noise = np.fft.irfft(spectrum, count)
    return noise / np.sqrt((noise**2).mean())
