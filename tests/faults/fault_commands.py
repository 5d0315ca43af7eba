"""Run commands of ``speech-emotion`` as processes, kill them, and compare what they leave."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import zygote

PROJECT = Path(__file__).resolve().parents[2]
TICKS = os.sysconf("SC_CLK_TCK")
TIMINGS = ["fit_seconds", "predict_ms", "seconds", "started", "ended", "trial"]
"""Columns that differ from run to run."""
STAGES = (
    *("ingestion", "augmentation", "feature_engineering", "model_selection"),
    *("registration", "reporting", "call_scoring", "call_kpis", "sonification"),
    *("batch", "batch_of_utterances"),
)
LONGEST_S = 600
RESULTS = (
    "02_intermediate",
    "03_primary",
    "04_feature",
    "06_models",
    "07_model_output",
    "08_reporting",
)
STORES = ("cache", "voices_cache")


@dataclass
class Command:
    """A started command."""

    process: int
    output: Path
    code: int | None = None
    cpu_s: float = 0.0

    @property
    def text(self):
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    @property
    def is_running(self):
        return cpu_of(self.process) is not None

    @property
    def used_s(self):
        """Seconds of CPU until now."""
        return cpu_of(self.process) or 0.0

    @property
    def message(self):
        """The error for people, or an empty text."""
        found = re.search(r"^Error: (.*)", self.text, re.DOTALL | re.MULTILINE)
        return found[1].strip() if found else ""


class Commands:
    """Starts commands in the project, all with one data folder."""

    def __init__(self, folder, parameters):
        self.folder, self.data = Path(folder), Path(folder) / "data"
        self.parameters = {"data_dir": self.data} | parameters
        self._count = 0
        self._start()

    def _start(self):
        self._zygote = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(Path(__file__).with_name("zygote.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
            env=os.environ
            | {"LOKY_MAX_CPU_COUNT": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{PROJECT}/src"},
        )

    def close(self):
        self._zygote.stdin.close()
        self._zygote.wait()

    def start(self, *arguments, environment=None):
        self._count += 1
        output = self.folder / f"{self._count:03d}.log"
        process = self._ask(
            arguments=[str(one) for one in arguments],
            output=str(output),
            environment={"SPEECH_EMOTION_LOG_COLUMNS": "1000"} | (environment or {}),
            folder=str(PROJECT),
        )
        return Command(process, output)

    def start_pipelines(self, pipelines, environment=None, options=(), **parameters):
        both = self.parameters | parameters
        text = ",".join(f"{name}={value}" for name, value in both.items())
        return self.start(
            "run",
            "--env",
            "test",
            "--pipelines",
            pipelines,
            "--params",
            text,
            *options,
            environment=environment,
        )

    def wait(self, command):
        """Wait for the end of a command; one that takes too long is killed and fails."""
        end = time.monotonic() + LONGEST_S
        while cpu_of(command.process) is not None:
            if time.monotonic() > end:
                os.kill(command.process, signal.SIGKILL)
                raise TimeoutError(f"{command.output} is not finished after {LONGEST_S} s")
            time.sleep(0.05)
        command.code, command.cpu_s = self._ask(wait=command.process)
        return command

    def kill(self, command, cpu_s, number=signal.SIGKILL):
        """Send a signal after some seconds of CPU, if the command has not ended by then."""
        while (used := cpu_of(command.process)) is not None and used < cpu_s:
            time.sleep(0.01)
        if used is not None:
            os.kill(command.process, number)
        return self.wait(command)

    def _ask(self, **request):
        print(json.dumps(request), file=self._zygote.stdin, flush=True)
        return json.loads(self._zygote.stdout.readline())


class ForkedCommands(Commands):
    """Forks the commands from this process, which has imported most of what they need."""

    def _start(self):
        for module in zygote.MODULES:
            import_module(module)

    def close(self):
        """Nothing is left open."""

    def _ask(self, **request):
        return zygote.answer(request)


def cpu_of(process):
    """Return the seconds of CPU that a process has used; ``None`` if it has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return None
    return None if fields[0] == "Z" else (int(fields[11]) + int(fields[12])) / TICKS


def check(command):
    """Check that a command ended well, or with one message for people."""
    assert "Traceback (most recent call last)" not in command.text, command.text[-3000:]
    if command.code != 0:
        assert command.message, command.text[-3000:]
    return command


def results_of(data):
    """Return all tables below a data folder, and the names of all other files."""
    found = {}
    for folder in RESULTS:
        for path in sorted((data / folder).rglob("*")):
            name = path.relative_to(data).as_posix()
            if (
                path.is_dir()
                or any(part in STORES for part in path.parts)
                or path.suffix in {".journal", ".damaged"}
            ):
                continue
            found[name] = _content(path)
    return found


def _content(path):
    if path.suffix == ".parquet":
        return _sorted(pd.read_parquet(path))
    if path.suffix == ".csv" and path.stat().st_size > 1:
        return _sorted(pd.read_csv(path))
    if path.suffix == ".npy":
        return np.load(path)
    return None


def _sorted(table):
    table = table.drop(columns=TIMINGS, errors="ignore")
    return table.sort_values(
        list(table.columns), ignore_index=True, key=lambda one: one.astype(str)
    )


def differences(expected, found):
    """Return the names of results that are missing, new or different."""
    names = [name for name in expected.keys() ^ found.keys() if "mlflow" not in name]
    for name in expected.keys() & found.keys():
        one, other = expected[name], found[name]
        if isinstance(one, pd.DataFrame):
            try:
                pd.testing.assert_frame_equal(one, other)
            except AssertionError as error:
                names.append(f"{name}: {' '.join(str(error).split())[:200]}")
        elif isinstance(one, np.ndarray) and not np.array_equal(one, other):
            names.append(name)
    return sorted(names)


def restore(snapshot, data):
    """Replace the content of a data folder by a snapshot of it."""
    data.mkdir(exist_ok=True)
    for path in data.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(snapshot, data, dirs_exist_ok=True)


def note(table, fault, command, said, after):
    """Add a row to the table of faults; one of the same fault and command is replaced."""
    cells = [
        " ".join(str(one).replace("|", "\\|").replace("<", "&lt;").split())
        for one in (fault, command, said, after, commit())
    ]
    table[tuple(cells[:2])] = f"| {' | '.join(cells)} |"


@cache
def commit():
    """The commit that is tested."""
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"
