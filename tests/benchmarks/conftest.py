"""Shared by all benchmarks: alternating timings, and tables of ratios and figures at the end of the run."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from speech_emotion.audio import AudioError, load_audio
from speech_emotion.features import FeatureSettings, extract
from speech_emotion.models import Combiner, EmotionPredictor, Member, family_named


@dataclass
class Ratios:
    """Ratios collected for the table.

    Attributes:
        rows: Case, reference, ratio, goal, and whether the goal is reached.
    """

    rows: list[tuple[str, str, str, str, str]] = field(default_factory=list)

    def add(
        self,
        case: str,
        against: str,
        value: float,
        *,
        at_most: float | None = None,
        at_least: float | None = None,
    ) -> None:
        """Add a ratio of times or speeds between a case and its reference."""
        goal, reached = "", ""
        if at_most is not None:
            goal, reached = f"at most {at_most:g}", "yes" if value <= at_most else "no"
        if at_least is not None:
            goal, reached = f"at least {at_least:g}", "yes" if value >= at_least else "no"
        self.rows.append((case, against, f"{value:.3g}", goal, reached))


CONF = Path(__file__).parents[2] / "conf/base/ingestion/parameters.yml"
FAMILIES = ("rocket_lda", "svm")
TRAINED_ON = 120
"""Number of utterances of the sample corpus that the model is trained on."""
RATIOS = pytest.StashKey[Ratios]()
FIGURES = pytest.StashKey[list[tuple[str, str, str]]]()


def pytest_configure(config):
    config.stash[RATIOS] = Ratios()
    config.stash[FIGURES] = []


@pytest.fixture(scope="session")
def figures(request) -> list[tuple[str, str, str]]:
    """Collect figures without a reference: subject, what was measured, value with unit."""
    return request.config.stash[FIGURES]


@pytest.fixture(scope="session")
def ratios(request) -> Ratios:
    """Collect ratios for the table at the end."""
    return request.config.stash[RATIOS]


@pytest.fixture(scope="session")
def take_turns() -> Callable[..., list[float]]:
    """Time functions alternately, so that other load affects all alike; return median seconds.

    The default clock counts processor time; ``time.perf_counter`` also counts waiting.
    """

    def measure(*functions, rounds=15, clock=time.process_time):
        seconds = np.empty((rounds, len(functions)))
        for function in functions:
            function()
        for row in seconds:
            for column, function in enumerate(functions):
                start = clock()
                function()
                row[column] = clock() - start
        return np.median(seconds, axis=0).tolist()

    return measure


@pytest.fixture(scope="session")
def utterances(tmp_path_factory):
    """Real corpora from the folder SPEECH_EMOTION_CORPORA, or the sample corpus."""
    from speech_emotion.corpora import CorporaSettings, SampleSettings, ingest, write_sample

    folder = os.environ.get("SPEECH_EMOTION_CORPORA")
    if not folder:
        folder = tmp_path_factory.mktemp("sample") / "corpora"
        write_sample(folder, SampleSettings(), progress=False)
    settings = CorporaSettings.model_validate(yaml.safe_load(CONF.read_text())["corpora"])
    return ingest(Path(folder), settings, n_jobs=1, progress=False)[0]


@pytest.fixture(scope="session")
def predictor(utterances):
    if folder := os.environ.get("SPEECH_EMOTION_CHAMPION"):
        return EmotionPredictor.load(Path(folder))
    settings, rows, names = FeatureSettings(), [], []
    for row in utterances.sample(min(TRAINED_ON, len(utterances)), random_state=0).itertuples():
        try:
            samples = load_audio(row.path, settings.sample_rate)
            rows.append(extract(samples, settings.sample_rate, settings=settings)[0])
        except AudioError:
            continue
        names.append(row.label)
    labels, codes = np.unique(names, return_inverse=True)
    table = pd.DataFrame(rows)
    members = []
    for name in FAMILIES:
        family = family_named(name)
        estimator = family.build(seed=0).fit(family.select(table, None), codes)
        members.append(Member(name, estimator))
    combiner = Combiner("soft_voting", FAMILIES, np.array([0.5, 0.5]), np.empty(0))
    return EmotionPredictor(tuple(map(str, labels)), settings, tuple(members), combiner)


def pytest_terminal_summary(terminalreporter, config):
    head = ("case", "reference", "ratio", "goal", "reached")
    show(terminalreporter, "ratios", head, config.stash[RATIOS].rows)
    show(terminalreporter, "figures", ("subject", "measured", "value"), config.stash[FIGURES])


def show(terminalreporter, title, head, rows):
    """Print a table, if it has rows."""
    if not rows:
        return
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    terminalreporter.section(title)
    for row in [head, tuple("-" * width for width in widths), *rows]:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        terminalreporter.write_line("| " + " | ".join(cells) + " |")
