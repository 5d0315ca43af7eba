"""Start-up time of commands relative to a bare Kedro project with the same plugins.

The processor time of the whole command counts. The start-up of a run ends before its first node; complete
runs are compared with two nodes that store a table of three rows.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
BARE = {
    "pyproject.toml": """\
[tool.kedro]
package_name = "bare"
project_name = "bare"
kedro_init_version = "1.7.0"
source_dir = "src"
""",
    "src/bare/__init__.py": "",
    "src/bare/settings.py": "",
    "src/bare/pipeline_registry.py": """\
import pandas as pd
from kedro.pipeline import Node, Pipeline


def make() -> pd.DataFrame:
    return pd.DataFrame({"number": [1, 2, 3]})


def double(table: pd.DataFrame) -> pd.DataFrame:
    return 2 * table


def register_pipelines() -> dict[str, Pipeline]:
    return {"__default__": Pipeline([Node(make, None, "table"), Node(double, "table", "doubled")])}
""",
    "conf/logging.yml": (PROJECT / "conf/logging.yml").read_text(),
    "conf/local/.gitkeep": "",
    "conf/base/parameters.yml": "{}",
    "conf/base/catalog.yml": """\
table: {type: pandas.ParquetDataset, filepath: data/table.parquet}
doubled: {type: pandas.CSVDataset, filepath: data/doubled.csv}
""",
    "conf/base/mlflow.yml": """\
server: {mlflow_tracking_uri: "sqlite:///FOLDER/mlflow.db"}
tracking: {disable_tracking: {disable_autologging: false}}
""",
}
KEDRO = "from kedro.framework.cli.cli import main; main()"
UNTIL_FIRST_NODE = (
    f"import os; from kedro.pipeline import Node; Node.run = lambda *_: os._exit(0); {KEDRO}"
)
INGESTION = ("run", "--pipelines", "ingestion", "--env", "test")
CASES = {
    "kedro registry list": (KEDRO, ("registry", "list"), ("registry", "list"), 1.3),
    "kedro run --pipelines ingestion, start-up": (UNTIL_FIRST_NODE, INGESTION, ("run",), 1.3),
    "kedro run --pipelines ingestion, with its nodes": (KEDRO, INGESTION, ("run",), None),
}


def seconds_of_children() -> float:
    times = os.times()
    return times.children_user + times.children_system


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bare")
    for name, text in BARE.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text.replace("FOLDER", str(folder)))
    return folder


@pytest.mark.benchmark(group="start")
@pytest.mark.parametrize("case", CASES)
def test_start(benchmark, folder, take_turns, ratios, case):
    code, ours, bare, most = CASES[case]
    if ours is INGESTION:
        ours = (*INGESTION, "--params", f"data_dir={folder / 'ours'}")

    def starting(project, arguments):
        command = [sys.executable, "-c", code, *arguments]
        environment = os.environ | {"DO_NOT_TRACK": "1", "KEDRO_DISABLE_TELEMETRY": "1"}
        return lambda: subprocess.run(
            command, cwd=project, env=environment, capture_output=True, check=True
        )

    def measure():
        commands = starting(PROJECT, ours), starting(folder, bare)
        return take_turns(*commands, rounds=3, clock=seconds_of_children)

    taken, reference = benchmark.pedantic(measure, rounds=1)
    benchmark.extra_info.update({"seconds": taken, "bare project, seconds": reference})
    ratios.add(case, "bare Kedro project", taken / reference, at_most=most)
