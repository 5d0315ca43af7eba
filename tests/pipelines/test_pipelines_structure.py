import copy
import subprocess
import sys
from pathlib import Path

import pytest
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.pipeline import Pipeline
from pydantic import BaseModel

from speech_emotion.context import _current
from speech_emotion.models import FAMILIES
from speech_emotion.pipeline_registry import PIPELINES, DeferredPipeline, register_pipelines
from speech_emotion.pipelines.ingestion import create_pipeline as create_ingestion
from speech_emotion.pipelines.model_selection import create_pipeline as create_selection

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


@pytest.fixture(autouse=True)
def without_session():
    """Forget the configuration of earlier sessions."""
    _current.clear()


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def context(request, data_dir):
    parameters = {"data_dir": str(data_dir)}
    with KedroSession.create(PROJECT, env=request.param, runtime_params=parameters) as session:
        context = session.load_context()
        yield context, context.catalog


@pytest.fixture
def catalog(context):
    _current[:] = [context[0].config_loader]
    return context[1]


def test_every_stage_has_its_name():
    assert set(register_pipelines()) == {
        "__default__",
        "ablation",
        "augmentation",
        "call_report",
        "call_kpis",
        "call_evaluation",
        "call_scoring",
        "download",
        "external_evaluation",
        "feature_engineering",
        "feedback",
        "feedback_simulation",
        "ingestion",
        "model_selection",
        "monitoring",
        "monitoring_simulation",
        "recipes",
        "registration",
        "reporting",
        "separation_evaluation",
        "sonification",
    }
    assert set(pipelines) == set(register_pipelines())


def test_catalog_of_every_environment_resolves(catalog, data_dir):
    named = set().union(*(pipeline.datasets() for pipeline in register_pipelines().values()))
    in_memory = {"reporting.evidence"}
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


def test_every_result_is_written_as_a_whole(catalog):
    outputs = set().union(*(one.all_outputs() for one in register_pipelines().values()))
    for name in sorted(outputs - {"reporting.evidence"}):
        kind = type(catalog.get(name))
        assert kind.__module__.startswith("speech_emotion.datasets"), f"{name}: {kind}"


def test_parameters_of_every_environment_are_typed(catalog):
    for pipeline in register_pipelines().values():
        for name in pipeline.inputs():
            if name.startswith("params:"):
                assert isinstance(catalog.load(name), BaseModel), name


WITHOUT_ENCODER = {name for name, family in FAMILIES.items() if not family.needs_encoder}


def families_of(pipeline):
    """Families that have nodes, by the names of their namespaces."""
    names = {node.namespace for node in pipeline.nodes}
    return {name.split(".")[1] for name in names if name.startswith("model_selection.")}


def test_candidates_are_namespaces_with_equal_nodes():
    selection = create_selection(["svm", "conv1d"])
    assert families_of(selection) == {"svm", "conv1d"}
    for family in ("svm", "conv1d"):
        nodes = selection.only_nodes_with_namespaces([f"model_selection.{family}"]).nodes
        assert {node.name.rsplit(".", 1)[-1] for node in nodes} == {"tune", "evaluate", "score"}
        assert all("candidate" in node.tags for node in nodes)
        assert f"params:candidates.{family}" in selection.inputs()
    assert not {name for name in selection.datasets() if "mlp" in name}


@pytest.mark.parametrize(
    ("env", "params", "expected"),
    [
        ("test", {}, WITHOUT_ENCODER - {"conv1d_table"}),
        (
            "test",
            {"encoder": "tiny", "selection": {"families": "svm"}},
            {"svm", "encoder_lda", "encoder_logistic_regression", "encoder_attention"},
        ),
        ("recipe_d", {}, {"conv2d"}),
        ("test", {"selection": {"families": "svm;mlp"}}, {"svm", "mlp"}),
        ("full", {"selection": {"families": ["two_step"]}}, {"two_step"}),
    ],
)
def test_families_with_nodes_are_those_of_the_session(env, params, expected):
    with KedroSession.create(PROJECT, env=env, runtime_params=params) as session:
        session.load_context()
        assert families_of(pipelines["model_selection"]) == expected
        assert families_of(pipelines["__default__"]) == expected


def test_a_family_that_does_not_exist_is_named():
    params = {"selection": {"families": "svn"}}
    with KedroSession.create(PROJECT, env="test", runtime_params=params) as session:
        session.load_context()
        with pytest.raises(ValueError, match=r"no model family 'svn', expected one of: .*svm"):
            pipelines["model_selection"].nodes  # noqa: B018


def top_level(pipeline):
    """Stages and datasets that kedro-viz shows while all namespaces are collapsed."""
    stages = {(node.namespace or node.name).split(".")[0] for node in pipeline.nodes}
    names = {name.split("@")[0] for name in pipeline.datasets()}
    datasets = {name for name in names if "." not in name and not name.startswith("params:")}
    return stages, datasets


@pytest.mark.parametrize("name", sorted(PIPELINES))
def test_the_map_of_every_pipeline_is_readable(name):
    stages, datasets = top_level(register_pipelines()[name])
    assert len(stages) <= 6
    assert len(datasets) <= 25


def test_only_results_leave_model_selection():
    _, datasets = top_level(create_selection(["svm", "conv1d"]))
    assert datasets == {
        "features",
        "sequences",
        "rejected_features",  # sounds without features are no missing rows
        "utterances",
        "splits",
        "labels",
        "predictions",
        "trials",
        "learning_curves",
        "candidates",
        "leaderboard",
        "calibration",
        "choice",
        "champion",
    }


def test_a_cache_is_an_input_of_its_nodes_and_no_output():
    pipelines = register_pipelines()
    caches = [("__default__", "feature_cache", 2), ("call_scoring", "call_cache", 5)]
    for name, cache, expected in caches:
        readers = [node for node in pipelines[name].nodes if cache in node.inputs]
        assert len(readers) == expected
        assert cache in pipelines[name].inputs()


def test_tables_between_pipelines_are_parquet(catalog):
    kinds = ("audio", "features", "embeddings", "calls", "recordings", "metadata")
    exported = {f"rejected_{kind}" for kind in kinds}
    exported |= {"corpora_found", "reviewed_calls"}
    for pipeline in register_pipelines().values():
        for name in pipeline.datasets() - exported:
            path = str(getattr(catalog.get(name), "_filepath", ""))
            if path.endswith(".csv"):
                assert "/08_reporting/" in path or name == "download_report", name


def test_lists_of_single_calls_are_not_copied_to_mlflow(catalog):
    outputs = register_pipelines()["call_kpis"].all_outputs()
    for name in outputs & {"call_kpis.angry_calls_table", "call_kpis_page"}:
        assert type(catalog.get(name)).__name__ in {"CSVDataset", "DocumentDataset"}
    assert "call_kpis.angry_calls_table" in outputs


def test_results_to_open_have_a_title(catalog):
    names = set().union(*(pipeline.all_outputs() for pipeline in register_pipelines().values()))
    found = {name: getattr(catalog.get(name), "metadata", None) or {} for name in names}
    titles = {
        name: metadata["speech_emotion"]["open"]
        for name, metadata in found.items()
        if "speech_emotion" in metadata
    }
    assert all(titles.values())
    assert set(titles) >= {
        "ablation_page",
        "call_kpis_page",
        "calls_page",
        "html_report",
        "model_card",
        "recipes_page",
        "rejected_audio",
        "reporting.leaderboard_table",
        "sonification_sound",
    }


def test_importing_imports_neither_tensorflow_nor_other_pipelines():
    code = """
import sys
def check(step, *needless):
    assert not (found := {"tensorflow", "xgboost", *needless} & set(sys.modules)), (step, found)
import speech_emotion.datasets
check("datasets", "speech_emotion.audio", "speech_emotion.corpora", "sklearn")
from speech_emotion.pipeline_registry import register_pipelines
register_pipelines()["call_kpis"].nodes
check("call_kpis", "speech_emotion.audio", "speech_emotion.evaluation", "sklearn", "librosa", "matplotlib")
import speech_emotion.audio, speech_emotion.corpora
check("data", "scipy.signal", "sklearn")
from speech_emotion.pipeline_registry import register_pipelines
register_pipelines()["ingestion"].nodes
check("ingestion", "speech_emotion.pipelines.reporting")
from speech_emotion.models import *
check("models", "skops", "matplotlib")
[pipeline.nodes for pipeline in register_pipelines().values()]
check("pipelines")
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


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


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_pipeline_that_is_not_created_yet_can_be_copied(duplicate):
    names = {node.name for node in duplicate(register_pipelines()["ingestion"]).nodes}
    assert names == {"ingestion.read_corpora", "ingestion.split_utterances"}


@pytest.mark.parametrize(
    "read",
    [
        lambda pipeline: pipeline.nodes,
        lambda pipeline: pipeline.inputs(),
        lambda pipeline: pipeline.datasets(),
        lambda pipeline: pipeline.grouped_nodes,
        lambda pipeline: pipeline.describe(),
        lambda pipeline: pipeline.to_nodes("ingestion.split_utterances").nodes,
        lambda pipeline: pipeline.filter(tags=["ingestion"]).nodes,
        lambda pipeline: (Pipeline([]) + pipeline).nodes,
        lambda pipeline: (pipeline - Pipeline([])).nodes,
    ],
)
def test_a_deferred_pipeline_is_like_a_created_one(read):
    assert read(DeferredPipeline(("ingestion",))) == read(create_ingestion())


def test_a_deferred_pipeline_defers_all_that_kedro_creates():
    created = set(vars(Pipeline([]))) - set(dir(Pipeline))
    assert created
    assert created <= set(vars(DeferredPipeline))
