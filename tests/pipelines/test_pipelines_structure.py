import copy
import subprocess
import sys
from pathlib import Path

import pytest
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from pydantic import BaseModel

from speech_emotion.models import FAMILIES
from speech_emotion.pipeline_registry import register_pipelines

PROJECT = Path(__file__).parents[2]
ENVIRONMENTS = sorted(
    path.name for path in (PROJECT / "conf").iterdir() if path.is_dir() and path.name != "local"
)


@pytest.fixture(scope="module", autouse=True)
def bootstrapped():
    bootstrap_project(PROJECT)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def catalog(request, data_dir):
    parameters = {"data_dir": str(data_dir)}
    with KedroSession.create(PROJECT, env=request.param, runtime_params=parameters) as session:
        yield session.load_context().catalog


def test_every_stage_has_its_name():
    assert set(register_pipelines()) == {
        "__default__",
        "augmentation",
        "call_report",
        "call_kpis",
        "call_evaluation",
        "call_scoring",
        "download",
        "feature_engineering",
        "feature_study",
        "ingestion",
        "model_selection",
        "recipes",
        "registration",
        "reporting",
        "sonification",
    }
    assert set(pipelines) == set(register_pipelines())


def test_catalog_of_every_environment_resolves(catalog, data_dir):
    named = set().union(*(pipeline.datasets() for pipeline in register_pipelines().values()))
    in_memory = {"evidence"}
    for name in sorted(named - in_memory):
        assert name in catalog or name.startswith("params:"), name  # factories included
        dataset = catalog.get(name)
        if name.startswith("params:"):
            continue
        layer = (getattr(dataset, "metadata", None) or {}).get("kedro-viz", {}).get("layer")
        assert layer, f"{name} has no layer"
        path = getattr(dataset, "_filepath", None) or getattr(dataset, "_path", None)
        elsewhere = name == "corpora" or name.startswith("environment_")
        if path is not None and not elsewhere:
            assert str(path).startswith(str(data_dir)), f"{name} is stored at {path}"


def test_parameters_of_every_environment_are_typed(catalog):
    for pipeline in register_pipelines().values():
        for name in pipeline.inputs():
            if name.startswith("params:"):
                assert isinstance(catalog.load(name), BaseModel), name


def test_candidates_are_namespaces_with_equal_nodes():
    selection = register_pipelines()["model_selection"]
    for family in FAMILIES:
        nodes = selection.only_nodes_with_namespaces([family]).nodes
        assert {node.name for node in nodes} == {
            f"{family}.tune",
            f"{family}.evaluate",
            f"{family}.score",
        }
        assert all("candidate" in node.tags for node in nodes)


@pytest.mark.parametrize(
    "code",
    [
        "import speech_emotion.audio, speech_emotion.corpora",
        "from speech_emotion.models import *",
        "from speech_emotion.pipeline_registry import register_pipelines\n"
        "[pipeline.nodes for pipeline in register_pipelines().values()]",
    ],
)
def test_importing_does_not_import_tensorflow(code):
    check = f"{code}\nimport sys; sys.exit('tensorflow' in sys.modules or 'xgboost' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def imported_by(*arguments):
    """Modules that a command of Kedro imports."""
    code = (
        "import atexit, sys; from kedro.framework.cli.cli import main\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr)); main()"
    )
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_listing_pipelines_imports_none():
    imported = imported_by("registry", "list")
    assert "speech_emotion.pipeline_registry" in imported
    assert not imported & {"speech_emotion.pipelines", "sklearn", "matplotlib", "tensorflow"}


@pytest.mark.slow
def test_ingestion_imports_no_models(tmp_path):
    run = ("run", "--pipelines", "ingestion", "--env", "test", "--params", f"data_dir={tmp_path}")
    imported = imported_by(*run)
    assert "speech_emotion.pipelines.ingestion.nodes" in imported
    heavy = {"tensorflow", "keras", "xgboost", "skops", "optuna", "matplotlib", "plotly"}
    assert not imported & {*heavy, "sklearn.ensemble", "speech_emotion.models.families"}


def test_a_pipeline_imports_no_other():
    code = (
        "from speech_emotion.pipeline_registry import register_pipelines\n"
        "register_pipelines()['ingestion'].nodes\n"
        "import sys; sys.exit('speech_emotion.pipelines.reporting' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_pipeline_that_is_not_made_yet_can_be_copied(duplicate):
    names = {node.name for node in duplicate(register_pipelines()["ingestion"]).nodes}
    assert names == {"ingestion.read_corpora", "ingestion.split_utterances"}
