"""Estimate how long a run takes and how much memory it needs, before it starts.

The rates of extraction are measured on this machine in about a second. The rates of the families were
measured once, on one core, and are scaled by the speed of this machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import pandas as pd

from speech_emotion.audio import TRAINING_LINE, AugmentationSettings, augment, send_over_line
from speech_emotion.corpora import SplitSettings
from speech_emotion.evaluation.settings import CandidateSettings, SelectionSettings
from speech_emotion.features import FeatureSettings, extract, feature_names, sequence_shape
from speech_emotion.models import family_named
from speech_emotion.runtime import on_one_thread

__all__ = ["Cost", "FitRate", "Rates", "RunSize", "estimate_cost", "format_cost", "measure_rates"]

SHORT_S: Final = 0.5
LONG_S: Final = 3.0
"""Lengths of the sounds that rates are measured with."""
REFERENCE_EXTRACTION: Final = 0.0077
"""Seconds of one core per second of sound for ``contours_3490``, measured with the rates of the families."""
REFERENCE_COLUMNS: Final = 3490
READING: Final = 0.004
"""Seconds of one core to decode and check a recording of three seconds."""
ENCODING: Final = 0.04
"""Seconds of one core per second of sound for four layers of whisper-base."""
EMBEDDING_COLUMNS: Final = 6144
FRAME_COLUMNS: Final = 16_384
"""Frames of the encoder are half as many float32 columns, because they are float16."""
EFFICIENCY: Final = 0.75
"""Share of each further core that parallel work gains."""
BASE_GB: Final = 0.6
"""Memory of the libraries of the run, and of each worker a third of it."""
TABLE_COPIES: Final = 2.0
"""Copies of the table of inputs that the run holds at most."""
TRAINING_COPIES: Final = 2.0
"""Copies of its training examples that a worker holds at most."""


class FitRate(NamedTuple):
    """Seconds of one core to train a family once on ``n`` thousand examples.

    Attributes:
        fixed: Seconds that do not depend on the number of examples.
        slope: Seconds for the first thousand examples.
        power: Exponent of the number of examples.
    """

    fixed: float
    slope: float
    power: float = 1.0

    def seconds(self, examples: float) -> float:
        """Seconds for a number of examples."""
        return self.fixed + self.slope * (examples / 1000) ** self.power


FIT_RATES: Final = {
    "shrinkage_lda": FitRate(0.1, 0.06),
    "rocket_lda": FitRate(0.05, 0.33),
    "two_step": FitRate(0.25, 0.1),
    "logistic_regression": FitRate(0.15, 0.4),
    "svm": FitRate(0.15, 0.09, 2.0),
    "random_forest": FitRate(0.5, 2.4, 1.1),
    "xgboost": FitRate(0.3, 2.5),
    "mlp": FitRate(0.15, 0.55),
    "conv1d_table": FitRate(2.0, 6.0),
    "conv1d": FitRate(2.0, 1.0),  # a thousand examples an epoch
    "conv2d": FitRate(2.0, 3.0),
    "encoder_lda": FitRate(0.1, 0.85),
    "encoder_logistic_regression": FitRate(0.0, 2.2),
    "encoder_svm": FitRate(0.3, 4.0, 2.3),
    "encoder_mlp": FitRate(0.0, 5.5),
    "encoder_attention": FitRate(1.0, 3.3),  # an epoch of one network
}
"""Measured on sample and real corpora; :data:`REFERENCE_EXTRACTION` tells the speed of the machine."""
EPOCHS: Final = 20
"""Epochs of networks that do not fix their number."""


class Rates(NamedTuple):
    """Speed of this machine, on one core.

    Attributes:
        sound: Seconds for each sound, whatever its length.
        extraction: Seconds to extract the features of a second of sound.
        copy: Seconds to make an augmented copy of a second of sound.
        line: Seconds to send a second of sound over a telephone line.
        speed: Time of this machine relative to the one that the families were measured on.
    """

    sound: float
    extraction: float
    copy: float
    line: float
    speed: float


class RunSize(NamedTuple):
    """What a run works on.

    Attributes:
        recordings: Number of recordings.
        seconds: Seconds of sound of all of them.
        corpora: Number of corpora.
    """

    recordings: int
    seconds: float
    corpora: int = 1


class Cost(NamedTuple):
    """Estimated cost of a run.

    Attributes:
        steps: ``step``, ``minutes`` and ``note``.
        memory_gb: Largest memory of all processes together.
        disk_gb: Features, sequences and embeddings on disk, the cache included.
    """

    steps: pd.DataFrame
    memory_gb: float
    disk_gb: float

    @property
    def minutes(self) -> float:
        """Minutes of all steps."""
        return float(self.steps["minutes"].sum())


def measure_rates(features: FeatureSettings) -> Rates:
    """Measure extraction, augmentation and telephone lines on a few seconds of noise.

    Args:
        features: Settings of feature extraction.
    """
    rate = features.sample_rate
    long, short = (_noise(seconds, rate) for seconds in (LONG_S, SHORT_S))
    of_long = _processor_s(lambda: extract(long, rate, settings=features))
    of_short = _processor_s(lambda: extract(short, rate, settings=features))
    slope = max(of_long - of_short, 0.1 * of_long) / (LONG_S - SHORT_S)
    standard = FeatureSettings()
    noise = _noise(LONG_S, standard.sample_rate)
    of_standard = _processor_s(lambda: extract(noise, standard.sample_rate, settings=standard))
    copied = _processor_s(lambda: augment(long, rate, transform="speed", value=0.9, seed=0))
    sent = _processor_s(lambda: send_over_line(long, rate, line=TRAINING_LINE, seed=1))
    return Rates(
        sound=max(0.0, of_short - slope * SHORT_S),
        extraction=slope,
        copy=copied / LONG_S,
        line=sent / LONG_S,
        speed=of_standard / LONG_S / REFERENCE_EXTRACTION,
    )


def _noise(seconds: float, rate: int) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, round(seconds * rate)).astype(np.float32)


def _processor_s(function: Callable[[], object]) -> float:
    """Processor time of a function in seconds; the first call warms up."""
    on_one_thread(function)
    taken = []
    for _ in range(3):
        started = time.process_time()
        on_one_thread(function)
        taken.append(time.process_time() - started)
    return float(np.median(taken))


def estimate_cost(
    size: RunSize,
    rates: Rates,
    *,
    augmentation: AugmentationSettings,
    splits: SplitSettings,
    features: FeatureSettings,
    selection: SelectionSettings,
    candidates: Mapping[str, CandidateSettings],
    families: Sequence[str],
    embedding_copies: int | None,
    cores: int,
) -> Cost:
    """Estimate the cost of a run from the corpora to the champion, with an empty cache.

    Args:
        size: Recordings and their duration.
        rates: Speed of this machine.
        augmentation: Copies and telephone sound.
        splits: Size of the test set and number of folds.
        features: Feature set.
        selection: Protocols and time budget.
        candidates: Settings of all families.
        families: Families that are trained.
        embedding_copies: Copies that are encoded; unused without families on embeddings.
        cores: Number of calls that run at the same time.
    """
    parallel = 1 + (cores - 1) * EFFICIENCY
    copies = len(augmentation.copies) + augmentation.variants
    on_embeddings = any(family_named(name).needs_encoder for name in families)
    encoded = min(copies, copies if embedding_copies is None else embedding_copies)
    rows = [("read recordings", size.recordings * READING * rates.speed / 60 / parallel, "")]
    work = {"extract features": (copies, rates.extraction)}
    if on_embeddings:
        work["encode speech"] = (encoded, ENCODING * rates.speed)
    for step, (count, rate) in work.items():
        sounds = _sounds(size.recordings, count, augmentation.telephone)
        over_lines = sounds - size.recordings * (1 + count) if augmentation.telephone else 0
        per_second = sounds * rate + size.recordings * count * rates.copy + over_lines * rates.line
        mean = size.seconds / max(size.recordings, 1)
        seconds = sounds * rates.sound + per_second * mean
        rows.append((step, seconds / 60 / parallel, f"{sounds} sounds"))
    training = size.recordings * (1 - splits.test_size)
    largest = 0.0
    for name in families:
        candidate = candidates[name]
        examples = training * _examples(copies, candidate, augmentation.telephone)
        fit = _fit_minutes(name, candidate, examples, features) * rates.speed
        rows += _family_rows(name, candidate, fit, size, splits, selection, cores)
        columns = _columns(name, features)
        largest = max(largest, examples * columns * 4 / 2**30)
    tables = _sounds(size.recordings, copies, augmentation.telephone) * _width(features)
    if on_embeddings:
        encodings = _sounds(size.recordings, encoded, augmentation.telephone)
        tables += encodings * (EMBEDDING_COLUMNS + FRAME_COLUMNS)
    disk = 2 * tables * 4 / 2**30
    statistics = _sounds(size.recordings, copies, augmentation.telephone) * _statistics(features)
    loaded = max(
        statistics,
        _sounds(size.recordings, encoded, augmentation.telephone) * EMBEDDING_COLUMNS
        if on_embeddings
        else 0,
    )
    memory = (
        BASE_GB * (1 + cores / 3)
        + TABLE_COPIES * loaded * 4 / 2**30
        + cores * TRAINING_COPIES * largest
    )
    return Cost(pd.DataFrame(rows, columns=["step", "minutes", "note"]), memory, disk)


def _sounds(recordings: int, copies: int, telephone: bool) -> int:
    """Recordings, copies and telephone versions; every recording may be in training of a protocol."""
    return recordings * ((1 + copies) * (2 if telephone else 1) + int(telephone))


def _examples(copies: int, candidate: CandidateSettings, telephone: bool) -> int:
    """Training examples of each recording."""
    used = copies if candidate.copies is None else min(copies, candidate.copies)
    return (1 + used) * (2 if telephone and candidate.telephone else 1)


def _statistics(features: FeatureSettings) -> int:
    return len(feature_names(features.feature_set, n_mfcc=features.n_mfcc))


def _width(features: FeatureSettings) -> int:
    """Values of a sound: statistics and sequence."""
    return _statistics(features) + int(np.prod(sequence_shape(features)))


def _columns(family: str, features: FeatureSettings) -> int:
    inputs = family_named(family).inputs
    if inputs == "embeddings":
        return EMBEDDING_COLUMNS
    if inputs == "encoder_frames":
        return FRAME_COLUMNS
    if inputs == "sequences":
        return int(np.prod(sequence_shape(features)))
    return _statistics(features)


def _fit_minutes(
    name: str, candidate: CandidateSettings, examples: float, features: FeatureSettings
) -> float:
    rate = FIT_RATES.get(name, FitRate(1.0, 3.0))
    seconds = rate.seconds(examples)
    kind = family_named(name).inputs
    if kind in ("sequences", "encoder_frames"):
        seconds *= candidate.fixed.get("epochs", EPOCHS) * candidate.fixed.get("networks", 1)
    elif kind != "embeddings":
        seconds *= max(0.1, _statistics(features) / REFERENCE_COLUMNS)
    return seconds / 60


def _family_rows(
    name: str,
    candidate: CandidateSettings,
    fit: float,
    size: RunSize,
    splits: SplitSettings,
    selection: SelectionSettings,
    cores: int,
) -> list[tuple[str, float, str]]:
    """Tuning and evaluation of a family, within its budgets of trials and minutes."""
    at_once = 1 + (min(cores, splits.folds) - 1) * EFFICIENCY
    rows = []
    if candidate.only_choice is None:
        trial = fit * splits.folds / at_once
        minutes, note = trial * candidate.trials, f"{candidate.trials} trials"
        if candidate.minutes is not None and minutes > candidate.minutes:
            # The first trial is never cut short, others end between two folds.
            minutes = max(candidate.minutes + trial / splits.folds, trial)
            note = f"budget {candidate.minutes:g} min" + (
                ", one trial needs more" if trial > candidate.minutes else ""
            )
        rows.append((f"tune {name}", minutes, note))
    protocols = [
        protocol
        for protocol in selection.compared
        if protocol in (candidate.protocols or selection.compared)
        and (size.corpora > 1 or not protocol.startswith("cross_corpus"))
    ]
    trainings = [
        size.corpora if protocol.startswith("cross_corpus") else splits.folds + 1
        for protocol in protocols
    ]
    minutes = fit * sum(trainings) / at_once
    note = f"{len(protocols)} protocols"
    limit = selection.evaluation_minutes
    if limit is not None and minutes > limit:
        minutes = max(limit, fit * (splits.folds + 1) / at_once)
        note = f"budget {limit:g} min, some protocols are left out"
    return [*rows, (f"evaluate {name}", minutes, note)]


def format_cost(cost: Cost, size: RunSize, cores: int) -> str:
    """Format an estimate as text of at most 80 columns.

    Args:
        cost: The estimate.
        size: Recordings and their duration.
        cores: Number of calls that run at the same time.
    """
    lines = [
        f"Estimate for {size.recordings} recordings, {size.seconds / 3600:.1f} h of sound, {cores} "
        "cores, nothing in the cache"
    ]
    lines += [
        f"  {row.step:38}{_clock(row.minutes):>10}  {row.note}"
        for row in cost.steps.itertuples()
        if row.minutes >= 0.1
    ]
    lines.append(
        f"  {'in all, roughly':38}{_clock(cost.minutes):>10}  memory {cost.memory_gb:.1f} GB, "
        f"disk {cost.disk_gb:.1f} GB"
    )
    return "\n".join(lines)


def _clock(minutes: float) -> str:
    return f"{minutes / 60:.1f} h" if minutes >= 90 else f"{minutes:.1f} min"
