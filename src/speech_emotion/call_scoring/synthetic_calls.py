"""Synthetic calls with known angry passages, built from utterances of the test set.

A call is a dialogue of a customer and an agent on separate channels. They take turns; a turn is a few
utterances with pauses, and a share of the turns starts before the other one ends. The customer speaks
neutrally, with a few utterances of other emotions. Some calls contain passages of several turns in which all
of the customer's utterances are angry. Pink noise is added to both channels. The telephone condition passes
the complete channels through telephone lines in rotation, at 8 kHz: by default the test lines of
:mod:`speech_emotion.audio.telephone`, on which no model is trained.

Calls depend only on the seed and their number: the clean and the telephone version of a call are the same
dialogue. Only one call at a time is in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Literal

import numpy as np
import pandas as pd
import soxr
from pydantic import Field, model_validator

from speech_emotion.audio import (
    LINES,
    NO_LIMITS,
    TELEPHONE_RATE,
    TEST_LINES,
    load_audio,
    pink_noise,
    send_over_line,
    trim_silence,
)
from speech_emotion.config import Settings, SplitNames

__all__ = ["CONDITIONS", "SynthesisSettings", "SyntheticCall", "Utterance", "synthesize_calls"]

RATE: Final = 16000
TRIM_DB: Final = 30.0
CONDITIONS: Final = ("clean", "telephone")
NEUTRAL: Final = "neutral"


class SynthesisSettings(Settings):
    """Number and properties of synthetic calls.

    Attributes:
        calls: Number of calls per condition.
        minutes: Length of a call.
        angry_calls: Share of calls with angry passages.
        max_passages: Largest number of angry passages in such a call.
        passage_turns: Smallest and largest number of turns in a passage.
        turn_utterances: Smallest and largest number of utterances in a turn.
        other_share: Share of other emotions among the customer's utterances outside angry passages.
        pause_s: Shortest and longest pause between two utterances, in seconds.
        overlaps: Share of turns that start before the turn of the other party ends.
        overlap_s: Shortest and longest such overlap, in seconds.
        snr_db: Signal-to-noise ratios in dB, used in rotation.
        conditions: ``clean``, ``telephone`` or both.
        lines: Telephone lines of ``telephone``, used in rotation; see :data:`speech_emotion.audio.LINES`.
        seed: Seed of the random numbers.
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
    overlaps: float = Field(0.0, ge=0, le=1)
    overlap_s: tuple[float, float] = (0.2, 0.8)
    snr_db: tuple[float, ...] = (30.0, 20.0, 10.0)
    conditions: Annotated[tuple[Literal["clean", "telephone"], ...], SplitNames] = CONDITIONS
    lines: Annotated[tuple[str, ...], SplitNames] = TEST_LINES
    seed: int = 0

    @model_validator(mode="after")
    def _ordered(self) -> SynthesisSettings:
        for name in ("passage_turns", "turn_utterances", "pause_s", "overlap_s"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ValueError(f"{name}: write the smaller number first, not {low}, {high}")
        if not self.snr_db or not self.conditions:
            raise ValueError("give at least one of snr_db and one of conditions")
        if not self.lines or (unknown := set(self.lines) - set(LINES)):
            raise ValueError(
                f"lines: {', '.join(sorted(unknown)) if self.lines else 'none'}, expected some of "
                f"{', '.join(LINES)}"
            )
        return self


@dataclass(frozen=True)
class Utterance:
    """Position of an utterance in a call, and its label."""

    channel: int
    start_s: float
    end_s: float
    label: str


@dataclass(frozen=True)
class SyntheticCall:
    """A call with known utterances and angry passages.

    Attributes:
        name: Number and condition.
        condition: ``clean`` or ``telephone``.
        snr_db: Signal-to-noise ratio of both channels.
        samples: Shape ``(n_samples, 2)``: the customer on channel 0, the agent on channel 1.
        sample_rate: Rate in Hz.
        speakers: Customer and agent.
        utterances: All utterances in order of time.
        passages: Start and end in seconds of each angry passage.
        line: Name of the telephone line, empty under ``clean``.
    """

    name: str
    condition: str
    snr_db: float
    samples: np.ndarray
    sample_rate: int
    speakers: tuple[str, str]
    utterances: tuple[Utterance, ...]
    passages: tuple[tuple[float, float], ...]
    line: str = ""

    def mixed(self) -> np.ndarray:
        """Return the sum of both channels, shape ``(n_samples, 1)``: the call as one channel."""
        return np.clip(self.samples.sum(axis=1, keepdims=True), -1, 1)


def synthesize_calls(
    utterances: pd.DataFrame, settings: SynthesisSettings, *, target: str = "angry"
) -> Iterator[SyntheticCall]:
    """Build synthetic calls one after the other.

    Args:
        utterances: ``path``, ``speaker`` and ``label`` of utterances of the test set.
        settings: Number and properties of the calls.
        target: Label of the passages.

    Raises:
        ValueError: If there are fewer than two speakers with neutral utterances, or none of them also
            has utterances of the target.

    Example:
        >>> calls = synthesize_calls(test_utterances, SynthesisSettings())  # doctest: +SKIP
        >>> next(calls).passages  # doctest: +SKIP
        ((41.2, 58.9),)
    """
    by_label = {
        str(speaker): {str(label): rows["path"].tolist() for label, rows in spoken.groupby("label")}
        for speaker, spoken in utterances.groupby("speaker", sort=True)
    }
    customers = [name for name, paths in by_label.items() if {NEUTRAL, target} <= set(paths)]
    agents = [name for name, paths in by_label.items() if NEUTRAL in paths]
    if not customers or len(agents) < 2:
        raise ValueError(
            f"Synthetic calls need a speaker of the test set with {NEUTRAL} and {target} utterances and "
            f"another one with {NEUTRAL} utterances; found {len(customers)} and {len(agents)}: "
            "raise splits.test_size"
        )
    for number in range(settings.calls):
        generator = np.random.default_rng([settings.seed, number])
        customer = customers[number % len(customers)]
        agent = str(generator.choice([name for name in agents if name != customer]))
        angry = _is_angry(number, len(customers), settings.angry_calls)
        dialogue = _Dialogue(generator, by_label[customer], by_label[agent], settings, target)
        dialogue.build(angry)
        snr_db = settings.snr_db[(number // len(customers)) % len(settings.snr_db)]
        noise = generator.integers(2**32)
        telephone_line = settings.lines[_order(number, len(customers)) % len(settings.lines)]
        for condition in settings.conditions:
            line = "" if condition == "clean" else telephone_line
            samples, rate = _transmit(dialogue.channels, snr_db, int(noise), line=line)
            yield SyntheticCall(
                name=f"{number:03d}_{condition}",
                condition=condition,
                snr_db=snr_db,
                samples=samples,
                sample_rate=rate,
                speakers=(customer, agent),
                utterances=tuple(dialogue.utterances),
                passages=dialogue.passages(),
                line=line,
            )


def _is_angry(number: int, customers: int, share: float) -> bool:
    """Spread ``share`` evenly over all calls, and over the calls of every customer."""
    order = _order(number, customers)
    return int((order + 1) * share) > int(order * share)


def _order(number: int, customers: int) -> int:
    """Position of a call in a rotation that gives each customer another start in every round."""
    return number % customers + number // customers


class _Dialogue:
    """Draw the turns of one call and write them into two channels of samples."""

    def __init__(
        self,
        generator: np.random.Generator,
        customer: dict[str, list[str]],
        agent: dict[str, list[str]],
        settings: SynthesisSettings,
        target: str,
    ):
        self.generator, self.settings, self.target = generator, settings, target
        self.paths = (customer, agent)  # of utterances, by label
        self.length = round(settings.minutes * 60 * RATE)
        self.channels = np.zeros((self.length, 2), dtype=np.float32)
        self.utterances: list[Utterance] = []
        self.time = 0.0
        self.ends_s = [0.0, 0.0]  # of the last utterance of each channel

    def build(self, angry: bool) -> None:
        """Add turns until the call is full."""
        starts = self._passage_starts() if angry else []
        turns_left = 0
        has_room = True
        while has_room:
            if turns_left == 0 and starts and self.time >= starts[0]:
                starts.pop(0)
                turns_left = int(
                    self.generator.integers(*self.settings.passage_turns, endpoint=True)
                )
            has_room = self._add_turn(0, angry=turns_left > 0) and self._add_turn(1, angry=False)
            turns_left = max(turns_left - 1, 0)

    def _passage_starts(self) -> list[float]:
        """Draw earliest starts of passages; each begins with the customer's next turn."""
        count = int(self.generator.integers(1, self.settings.max_passages, endpoint=True))
        return sorted(self.generator.uniform(0, 0.75 * self.length / RATE, count).tolist())

    def _add_turn(self, channel: int, *, angry: bool) -> bool:
        """Add a turn; return whether all of it fitted into the call."""
        paths = self.paths[channel]
        self._move_into_previous_turn(channel)
        for _ in range(self.generator.integers(*self.settings.turn_utterances, endpoint=True)):
            label = self._draw_label(paths, channel, angry)
            samples = _load_utterance(str(self.generator.choice(paths[label])))
            start = round(self.time * RATE)
            if start + len(samples) > self.length:
                return False
            self.channels[start : start + len(samples), channel] = samples
            end_s = (start + len(samples)) / RATE
            self.utterances.append(Utterance(channel, start / RATE, end_s, label))
            self.ends_s[channel] = end_s
            self.time = end_s + self.generator.uniform(*self.settings.pause_s)
        return True

    def _move_into_previous_turn(self, channel: int) -> None:
        """Let a share of the turns start before the end of the other party's turn."""
        if self.settings.overlaps == 0 or self.generator.random() >= self.settings.overlaps:
            return
        start_s = self.ends_s[1 - channel] - self.generator.uniform(*self.settings.overlap_s)
        self.time = max(start_s, self.ends_s[channel])

    def _draw_label(self, paths: dict[str, list[str]], channel: int, angry: bool) -> str:
        if angry:
            return self.target
        others = [label for label in paths if label not in {NEUTRAL, self.target}]
        if channel == 0 and others and self.generator.random() < self.settings.other_share:
            return str(self.generator.choice(others))
        return NEUTRAL

    def passages(self) -> tuple[tuple[float, float], ...]:
        """Return the spans of the customer's consecutive angry utterances, in seconds."""
        spans: list[tuple[float, float]] = []
        previous = ""
        for utterance in self.utterances:
            if utterance.channel:
                continue
            if utterance.label == self.target:
                start = spans.pop()[0] if previous == self.target else utterance.start_s
                spans.append((start, utterance.end_s))
            previous = utterance.label
        return tuple(spans)


def _load_utterance(path: str) -> np.ndarray:
    return trim_silence(load_audio(path, RATE, limits=NO_LIMITS), TRIM_DB)


def _transmit(
    channels: np.ndarray, snr_db: float, seed: int, *, line: str
) -> tuple[np.ndarray, int]:
    """Add noise to each channel, relative to its speech, and send it over a line unless it is empty."""
    generator = np.random.default_rng(seed)
    received = []
    for number, channel in enumerate(channels.T):
        speech = channel[channel != 0]
        level = float(np.sqrt((speech**2).mean())) if len(speech) else 0.01
        noise = pink_noise(generator, len(channel)) * level * 10 ** (-snr_db / 20)
        sound = (channel + noise).astype(np.float32)
        if line:
            sound = soxr.resample(sound, RATE, TELEPHONE_RATE, quality="HQ")
            sound = send_over_line(sound, TELEPHONE_RATE, line=line, seed=seed + number)
        received.append(np.clip(sound, -1, 1))
    return np.stack(received, axis=1), TELEPHONE_RATE if line else RATE
