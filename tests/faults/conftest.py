"""An undisturbed run of every stage, and what faults are compared with."""

import fcntl
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import gettempdir

import pytest
from fault_commands import STAGES, Commands, check, note, restore, results_of

from speech_emotion.call_scoring import write_sample_calls
from speech_emotion.corpora import SampleSettings, write_sample

PARAMETERS = {
    "features.feature_set": "means_184",
    "augmentation.variants": 1,
    "augmentation.telephone": "false",
    "selection.families": "shrinkage_lda;logistic_regression",
    "selection.compared": "speaker_independent",
    "selection.n_jobs": 1,
    "simulator.calls": 400,
    "simulator.days": 30,
}
SAMPLE = SampleSettings(
    ravdess_actors=4,
    ravdess_statements=1,
    tess_words=0,
    savee_speakers=0,
    crema_d_speakers=4,
    crema_d_sentences=1,
)
BATCHES = {"batch": "calls", "batch_of_utterances": "utterances"}
TABLE = "SPEECH_EMOTION_FAULTS_TABLE"
RULE = "|---|---|---|---|---|"
HEAD = f"""# Faults that were tried

`make faults` writes this page. Each fault was made with real processes, files and servers, and the command
was run again. *Equal* means that all tables are those of the undisturbed run. The last column is the commit
that was tested; a fault that a run leaves out keeps its row.

| fault | command | what it said | the next run | commit |
{RULE}
"""


@dataclass
class Undisturbed:
    """What each stage leaves without a fault.

    Attributes:
        commands: Starts commands with the data folder of this run.
        snapshots: Folder with a copy of the data before each stage and after the last.
        results: Tables after each stage.
        cpu_s: Seconds of CPU of each stage.
        table: Table of faults.
    """

    commands: Commands
    snapshots: Path
    corpora: Path
    calls: Path
    table: dict
    results: dict = field(default_factory=dict)
    cpu_s: dict = field(default_factory=dict)

    @property
    def data(self):
        return self.commands.data

    def start(self, stage, environment=None, options=(), **parameters):
        """Start a stage, or several pipelines."""
        if stage in BATCHES:
            kind = BATCHES[stage]
            source = self.calls if kind == "calls" else self.corpora / "ravdess"
            places = [source, self.data / "07_model_output" / stage]
            uri = f"sqlite:///{self.data}/mlflow.db"
            few = ["--as", kind, "--workers", "1", "--files-per-part", "8"]
            return self.commands.start("batch", *places, "--tracking-uri", uri, *few)
        if stage == "call_scoring":
            parameters.setdefault("recordings_dir", self.calls)
        return self.commands.start_pipelines(stage, environment, options, **parameters)

    def run(self, stage, environment=None, options=(), **parameters):
        return self.commands.wait(self.start(stage, environment, options, **parameters))

    def restore(self, stage):
        """Restore the data as before a stage."""
        restore(self.snapshots / stage, self.data)

    def note(self, *cells):
        note(self.table, *cells)


@pytest.fixture(scope="session")
def table():
    """Rows of the table of faults by fault and command; those of tests that do not run are kept."""
    rows = {}
    yield rows
    target = os.environ.get(TABLE)
    if target and rows:
        with Path(gettempdir(), "speech_emotion_faults.lock").open("w") as lock:  # of two workers
            fcntl.flock(lock, fcntl.LOCK_EX)
            merged = dict(sorted((read_rows(Path(target)) | rows).items()))
            Path(target).write_text(HEAD + "\n".join(merged.values()) + "\n")


def read_rows(path):
    if not path.exists():
        return {}
    lines = path.read_text().splitlines()
    cells = ((line, line.split("|")) for line in lines[lines.index(RULE) + 1 :])
    return {tuple(one.strip() for one in parts[1:3]): line for line, parts in cells}


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, table):
    folder = tmp_path_factory.mktemp("faults")
    corpora, calls = folder / "corpora", folder / "calls"
    write_sample(corpora, SAMPLE, progress=False)
    write_sample_calls(calls, calls=2)
    commands = Commands(folder, PARAMETERS | {"corpora_dir": corpora})
    run = Undisturbed(commands, folder / "snapshots", corpora, calls, table)
    commands.data.mkdir()
    yield run
    commands.close()


@pytest.fixture(scope="session")
def whole(undisturbed):
    """All stages are run without a fault."""
    for stage in STAGES:
        shutil.copytree(undisturbed.data, undisturbed.snapshots / stage)
        command = check(undisturbed.run(stage))
        assert command.code == 0, command.text
        undisturbed.cpu_s[stage] = command.cpu_s
        undisturbed.results[stage] = results_of(undisturbed.data)
    shutil.copytree(undisturbed.data, undisturbed.snapshots / "end")
    undisturbed.results["end"] = undisturbed.results[STAGES[-1]]
    return undisturbed
