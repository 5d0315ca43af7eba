"""The short form of ``make faults``: a stage is killed, and a result is damaged."""

import random
import signal

from fault_commands import ForkedCommands, check, differences, restore, results_of

from speech_emotion.corpora import SampleSettings, write_sample

TINY = SampleSettings(
    ravdess_actors=6,
    ravdess_statements=1,
    tess_words=0,
    savee_speakers=0,
    crema_d_speakers=0,
)


def test_a_killed_stage_goes_on_and_a_damaged_table_is_named(tmp_path, empty_store):
    write_sample(tmp_path / "corpora", TINY, progress=False)
    commands = ForkedCommands(tmp_path, {"corpora_dir": tmp_path / "corpora"})
    before = tmp_path / "before"
    before.mkdir()
    (before / "mlflow.db").write_bytes(empty_store.read_bytes())

    def run(stage):
        return check(commands.wait(commands.start_pipelines(stage)))

    restore(before, commands.data)
    whole = run("ingestion")
    assert whole.code == 0, whole.text
    expected = results_of(commands.data)
    assert any(name.endswith("utterances.parquet") for name in expected)
    restore(before, commands.data)
    killed = commands.start_pipelines("ingestion")
    commands.kill(killed, random.Random(0).uniform(0.4, 0.9) * whole.cpu_s)
    assert killed.code == -signal.SIGKILL
    assert run("ingestion").code == 0
    assert differences(expected, results_of(commands.data)) == []

    table = commands.data / "02_intermediate/utterances.parquet"
    table.write_bytes(table.read_bytes()[:-40])
    damaged = run("augmentation")
    assert damaged.code == 1
    assert f"{table} is damaged" in damaged.message
    assert "kedro run --env test --pipelines ingestion" in damaged.message
