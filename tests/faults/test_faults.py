"""Kill, damage, fill and race real commands: nothing is lost, and nothing is wrong without a message.

``make faults`` runs all of it.
"""

import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from uuid import uuid4

import mlflow
import pandas as pd
import pytest
from fault_commands import STAGES, check, differences, results_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("SPEECH_EMOTION_FAULTS" not in os.environ, reason="make faults runs it"),
]
KILLS = {"model_selection": 2, "registration": 3, "call_scoring": 2, "batch": 2}
AFTER = dict(zip(STAGES, [*STAGES[1:], "end"], strict=True))


def moment(run, stage, seed):
    """Return a random number of seconds of CPU at which a stage is at work."""
    return random.Random(f"{stage} {seed}").uniform(0.3, 0.98) * run.cpu_s[stage]


def is_equal(run, stage):
    assert differences(run.results[stage], results_of(run.data)) == []
    return "equal"


def rerun(run, stage, compared=None):
    """Run a stage to its end and compare all tables."""
    command = check(run.run(stage))
    assert command.code == 0, command.text[-3000:]
    return is_equal(run, compared or stage)


def client_of(run):
    """A client of a copy of the store: connections to one that was replaced would stay open."""
    copied = run.commands.folder / f"{uuid4().hex}.db"
    with (
        closing(sqlite3.connect(run.data / "mlflow.db")) as store,
        closing(sqlite3.connect(copied)) as copy,
    ):
        store.backup(copy)
    return mlflow.MlflowClient(f"sqlite:///{copied}")


def runs_by_status(run):
    client = client_of(run)
    found = client.search_runs([one.experiment_id for one in client.search_experiments()])
    return {one.info.run_id: one.info.status for one in found}


def versions(run):
    client = client_of(run)
    found = client.search_model_versions("name = 'speech-emotion'")
    return [client.get_model_version("speech-emotion", one.version) for one in found]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_killed(whole, stage):
    whole.restore(stage)
    before, said = set(runs_by_status(whole)) if stage != "ingestion" else set(), []
    kills = KILLS.get(stage, 1)
    for seed in range(kills):
        command = whole.start(stage)
        whole.commands.kill(command, moment(whole, stage, seed))
        said.append(f"{command.cpu_s:.1f} s")
        assert command.code in {0, -signal.SIGKILL}
    outcome = rerun(whole, stage)
    assert "RUNNING" not in runs_by_status(whole).values()
    if stage == "registration":
        assert [one.tags.get("registration") for one in versions(whole)].count("incomplete") == 0
        assert ["champion"] in [one.aliases for one in versions(whole)]
    assert before <= set(runs_by_status(whole))
    moments = f"(after {', '.join(said)} of {whole.cpu_s[stage]:.1f} s of CPU)"
    whole.note("killed", stage, f"{kills} times {moments}", outcome)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stage_is_stopped(whole, number):
    whole.restore("model_selection")
    command = whole.start("model_selection")
    while command.is_running and "regression.tune" not in command.text:
        time.sleep(0.02)
    whole.commands.kill(command, 0, number)
    check(command)
    assert command.code == 1
    assert "KILLED" in runs_by_status(whole).values()
    outcome = rerun(whole, "model_selection")
    whole.note(number.name, "model_selection", command.message, outcome)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def scribble(path):
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    path.write_bytes(content)


def tear(path):
    """Leave half of the last line."""
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize(
    ("stored", "damage", "stage"),
    [
        ("04_feature/cache/*.parquet", cut, "feature_engineering"),
        ("04_feature/cache/*.parquet", scribble, "feature_engineering"),
        ("06_models/studies.journal", tear, "model_selection"),
        ("06_models/champion/*/*.skops", scribble, "registration"),
        ("07_model_output/calls/cache/*/*.parquet", cut, "call_scoring"),
        ("07_model_output/calls/cache/*/*.parquet", scribble, "call_scoring"),
        ("07_model_output/batch/*/*/*/*/index.parquet", cut, "batch"),
        ("07_model_output/batch/*/*/*/*/cache/*/*.parquet", cut, "batch"),
        ("07_model_output/batch_of_utterances/*/*.parquet", cut, "batch_of_utterances"),
    ],
)
def test_a_store_is_damaged(whole, stored, damage, stage):
    whole.restore(AFTER[stage])
    path = next(iter(sorted(whole.data.glob(stored))))
    damage(path)
    if stage == "batch" and "cache" in stored:  # without its index, a day is made from its cache
        for index in whole.data.glob("07_model_output/batch/*/*/*/*/index.parquet"):
            index.unlink()
    command = check(whole.run(stage))
    outcome = remedied(whole, command, stage, until=stage)
    said = command.message or next(
        (line for line in command.text.splitlines() if "WARNING" in line and path.name in line), ""
    )
    assert path.name in said
    whole.note(f"{stored}: {damage.__name__}", stage, shorten(whole, said), outcome)


@pytest.mark.parametrize(
    ("stored", "damage", "stage"),
    [
        ("02_intermediate/utterances.parquet", cut, "augmentation"),
        ("02_intermediate/splits.parquet", cut, "model_selection"),
        ("03_primary/augmentation_plan.parquet", cut, "feature_engineering"),
        ("04_feature/features.parquet", scribble, "model_selection"),
        ("07_model_output/predictions.parquet", scribble, "reporting"),
        ("07_model_output/leaderboard.parquet", cut, "registration"),
        ("07_model_output/calls/emotions.parquet", scribble, "call_report"),
        ("07_model_output/calls/summary.parquet", cut, "call_report"),
    ],
)
def test_a_table_is_damaged(whole, stored, damage, stage):
    whole.restore("end")
    damage(whole.data / stored)
    command = check(whole.run(stage))
    assert command.code == 1
    assert stored in command.message
    outcome = remedied(whole, command, stage, until="end")
    whole.note(f"{stored}: {damage.__name__}", stage, shorten(whole, command.message), outcome)


@pytest.mark.parametrize("damage", [cut, scribble])
def test_a_damaged_array_is_named(whole, damage):
    """Only families that read frames load the array."""
    whole.restore("model_selection")
    damage(whole.data / "04_feature/sequences.npy")
    command = check(whole.run("model_selection", **{"selection.families": "conv1d"}))
    assert command.code == 1
    assert "04_feature/sequences.npy is damaged" in command.message
    assert check(whole.run("feature_engineering")).code == 0
    outcome = is_equal(whole, "feature_engineering")
    said = shorten(whole, command.message)
    whole.note(f"04_feature/sequences.npy: {damage.__name__}", "model_selection", said, outcome)


def test_a_damaged_table_of_calls_is_made_anew(whole):
    """Each pipeline that needs the table writes it from the export."""
    whole.restore("end")
    cut(whole.data / "02_intermediate/calls.parquet")
    outcome = rerun(whole, "sonification", compared="end")
    whole.note("02_intermediate/calls.parquet: cut", "sonification", "made anew", outcome)


def remedied(run, command, stage, until):
    """Follow the message of a command that failed, and run all stages from there to the last."""
    if command.code == 0:
        return is_equal(run, until)
    maker = re.search(r"kedro run --env test --pipelines (\w+)", command.message)
    assert maker, command.message
    first, last = STAGES.index(maker[1]), STAGES.index(stage if stage in STAGES else "call_scoring")
    for one in STAGES[first : last + 1]:
        made = check(run.run(one))
        assert made.code == 0, made.message
    if "registration" in STAGES[first:last]:  # the model has another version
        return f"made anew by `kedro run --pipelines {maker[1]}`"
    assert differences(run.results[until], results_of(run.data)) == []
    return f"equal after `kedro run --pipelines {maker[1]}`"


def shorten(run, text):
    text = text.replace(f"{run.data}/", "").replace(f"{run.commands.folder}/", "")
    text = text.split("\nTraceback")[0]
    return re.sub(r"\d\d:\d\d:\d\d WARNING +", "", text)


@pytest.mark.parametrize("damage", [cut, scribble])
def test_the_store_of_mlflow_is_damaged(whole, damage):
    whole.restore("augmentation")
    path = whole.data / "mlflow.db"
    if damage is cut:
        cut(path)
    else:
        path.write_bytes(b"#" * 4096 + path.read_bytes()[4096:])
    command = check(whole.run("ingestion"))
    assert command.code == 1
    assert "mlflow.db is damaged" in command.message
    path.rename(path.with_suffix(".old"))
    outcome = rerun(whole, "ingestion")
    whole.note(
        f"mlflow.db: {damage.__name__}", "ingestion", shorten(whole, command.message), outcome
    )


def test_the_registered_model_is_damaged(whole):
    whole.restore("call_scoring")
    path = next((whole.data / "mlflow").rglob("*.skops"))
    scribble(path)
    command = check(whole.run("call_scoring"))
    assert command.code == 1
    assert path.name in command.message
    assert check(whole.run("registration")).code == 0
    mended = check(whole.run("call_scoring", model_uri="models:/speech-emotion/2"))
    assert mended.code == 0, mended.message
    expected = whole.results["call_scoring"]["07_model_output/calls/summary.parquet"]
    found = results_of(whole.data)["07_model_output/calls/summary.parquet"]
    assert set(found.pop("model")) == {"speech-emotion version 2"}
    assert differences({"summary": expected.drop(columns="model")}, {"summary": found}) == []
    outcome = "equal"
    whole.note(
        "file of the registered model: scribble",
        "call_scoring",
        shorten(whole, command.message),
        f"{outcome} with the version that `registration` makes",
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
@pytest.mark.parametrize(
    ("stage", "share"),
    [
        ("feature_engineering", 0.5),
        ("model_selection", 0.2),
        ("registration", 0.5),
        ("reporting", 0.5),
        ("call_scoring", 0.4),
    ],
)
def test_the_disk_fills(whole, stage, share):
    def size(folder):
        return sum(one.stat().st_size for one in folder.rglob("*") if one.is_file())

    growth = size(whole.snapshots / AFTER[stage]) - size(whole.snapshots / stage)
    shutil.rmtree(whole.data)
    whole.data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", whole.data], check=True)
    try:
        whole.restore(stage)
        used = shutil.disk_usage(whole.data).used
        full = int(used + share * growth)
        subprocess.run(["mount", "-o", f"remount,size={full}", whole.data], check=True)
        command = check(whole.run(stage))
        assert command.code == 1
        subprocess.run(["mount", "-o", "remount,size=1g", whole.data], check=True)
        outcome = rerun(whole, stage)
    finally:
        subprocess.run(["umount", whole.data], check=True)
    free = f"{share * growth / 1e6:.1f} of {growth / 1e6:.1f} MB left"
    whole.note("disk full", stage, f"{shorten(whole, command.message)} ({free})", outcome)


def both(run, stage, **parameters):
    """Start a stage twice at once and wait for both."""
    started = [run.start(stage, **parameters) for _ in range(2)]
    return [check(run.commands.wait(one)) for one in started]


def test_two_runs_fill_one_store(whole):
    stages = ["ingestion", "augmentation", "feature_engineering", "model_selection"]
    whole.restore("augmentation")
    two = both(whole, ",".join(stages))
    said = " / ".join(one.message for one in two if one.code)
    assert 0 in [one.code for one in two], said
    outcome = is_equal(whole, "model_selection") if not said else rerun(whole, "model_selection")
    whole.note(
        "two runs at once", " to ".join((stages[0], stages[-1])), shorten(whole, said), outcome
    )


@pytest.mark.parametrize("stage", ["registration", "call_scoring", "batch"])
def test_two_commands_at_once(whole, stage):
    whole.restore(stage)
    two = both(whole, stage)
    said = " / ".join(one.message for one in two if one.code)
    assert 0 in [one.code for one in two], said
    if stage == "registration":
        aliases = sorted(alias for one in versions(whole) for alias in one.aliases)
        assert aliases in (["champion"], ["challenger", "champion"])
        assert not any(one.tags.get("registration") for one in versions(whole))
    whole.note("two at once", stage, shorten(whole, said), is_equal(whole, stage))


@pytest.mark.parametrize("stage", ["call_scoring", "batch"])
def test_a_recording_is_cut_mended_replaced_and_deleted(whole, stage):
    """What is scored is what the file contains now, whatever was in it before."""
    whole.restore("end")
    first, second = sorted(whole.calls.glob("*.wav"))
    contents = {path: path.read_bytes() for path in (first, second)}
    header = contents[first][:44]
    reversed_ = header + contents[first][:43:-1]

    def summary():
        command = check(whole.run(stage))
        assert command.code == 0, command.message
        pattern = "batch/*/*/07_model_output/calls" if stage == "batch" else "calls"
        found = (whole.data / "07_model_output").glob(f"{pattern}/summary.parquet")
        tables = map(pd.read_parquet, found)
        return pd.concat(tables).sort_values("call", ignore_index=True)

    try:
        before = summary()
        first.write_bytes(contents[first][:-20000])
        assert first.name not in set(summary()["call"])  # rejected as cut
        first.write_bytes(contents[first])
        pd.testing.assert_frame_equal(summary(), before)  # mended
        first.write_bytes(reversed_)  # the same name and size
        replaced = summary()
        whole.restore(stage)
        pd.testing.assert_frame_equal(replaced, summary())  # without any cache
        assert not replaced.equals(before)
        first.unlink()
        remaining = summary()
        assert second.name in set(remaining["call"])
        assert (first.name in set(remaining["call"])) == (stage == "batch")  # batch keeps results
    finally:
        for path, content in contents.items():
            path.write_bytes(content)
    said = "the current content is scored, as without a cache"
    kept = "deleted: its result is kept" if stage == "batch" else "deleted: it is left out"
    whole.note("a recording is cut, mended, replaced (same name and size)", stage, said, kept)
