import json

import pandas as pd
import pytest

from speech_emotion.ablation import BANDWIDTH_PAIR, DEFAULT_OPTIONS, SINGLE_MODEL
from speech_emotion.features import KERNELS, feature_names
from speech_emotion.features.groups import GROUPS
from speech_emotion.pipeline_registry import register_pipelines

TABLES = (
    "groups",
    "importance",
    "features",
    "mfcc",
    "augmentation",
    "telephone",
    "networks",
    "seeds",
    "spread",
)


def test_ablation_is_not_part_of_the_default_pipeline():
    pipelines = register_pipelines()
    assert not {node.name for node in pipelines["__default__"].nodes} & {
        node.name for node in pipelines["ablation"].nodes
    }
    stored = {"features", "sequences", "utterances", "splits", "labels", "augmentation_plan"}
    inputs = pipelines["ablation"].inputs()
    assert {name for name in inputs if not name.startswith("params:")} == stored


@pytest.mark.slow
def test_ablation_runs_on_the_results_of_a_run(project, run_kedro, uncompiled):
    with uncompiled():
        run_kedro(project, pipeline_names=["ablation"])
    folder = project / "08_reporting/ablation"
    splits = pd.read_parquet(project / "02_intermediate/splits.parquet")
    training = (splits["protocol"] == "speaker_independent") & (splits["split"] == "train")
    tables = {name: pd.read_csv(folder / f"{name}.csv") for name in TABLES}
    for name, table in tables.items():
        assert set(table["protocol"]) == {"speaker_independent"}, name
        assert set(table["condition"]) == {"clean", "telephone"}, name
        assert (table["n_utterances"] == training.sum()).all(), name
        assert (table["n_speakers"] > 1).all(), name
    assert set(tables["groups"]["group"]) == {"all features", *GROUPS}
    assert set(tables["importance"]["block"]) == set(GROUPS) - {KERNELS}
    assert set(tables["features"]["block"]) == set(feature_names("functionals_610"))
    # Coefficients beyond the twenty of the functionals come from the sequences.
    forty = tables["mfcc"][tables["mfcc"]["mfcc"] == "40 coefficients"]
    assert set(forty["n_features"]) == {610 + 40, 240 + 40}
    assert tables["augmentation"]["training"].iloc[0] == "recordings only"
    assert set(tables["telephone"]["telephone_copies"]) == {"without", SINGLE_MODEL, BANDWIDTH_PAIR}
    networks = tables["networks"]
    assert set(networks["training"]) == {DEFAULT_OPTIONS, "mixup 0.2"}
    assert (networks["n_seeds"] == 2).all()
    assert (networks["difference"].isna() == (networks["training"] == DEFAULT_OPTIONS)).all()
    assert set(tables["spread"]["seed_of"]) == {"folds", "model"}
    assert "SYNTHETIC" in (folder / "ablation.md").read_text()
    assert "SYNTHETIC SAMPLE CORPUS" in (folder / "ablation.html").read_text()
    for name in set(TABLES) - {"features", "spread"}:
        figure = json.loads((folder / f"{name}.json").read_text())
        assert "SYNTHETIC" in figure["layout"]["title"]["subtitle"]["text"]
