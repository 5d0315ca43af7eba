import numpy as np
import pandas as pd
import pytest

from speech_emotion.ablation import ALL_FEATURES, GROUP_ALONE, WITHOUT_GROUP
from speech_emotion.reporting import ablation as reporting

NOTE = " (SYNTHETIC sample corpus)"


def row(uar, difference=np.nan, condition="clean", **columns):
    metrics = {"uar": uar, "uar_low": uar - 0.05, "uar_high": uar + 0.05}
    metrics |= {"reference": "r", "difference": difference, "better": 0.25}
    metrics |= {"difference_low": difference - 0.01, "difference_high": difference + 0.01}
    names = {
        "model": "svm",
        "protocol": "speaker_independent",
        "condition": condition,
        "n_training": 80,
    }
    return columns | names | {"n_utterances": 40, "n_speakers": 4} | metrics


def both(uar, difference=np.nan, **columns):
    return [row(uar, difference, condition, **columns) for condition in ("clean", "telephone")]


@pytest.fixture
def tables():
    drops = [
        {"block": name, "condition": condition, "drop": drop, "drop_low": drop - 0.01}
        | {"drop_high": drop + 0.02, "uar": 0.5, "model": "svm", "protocol": "speaker_independent"}
        | {"n_features": 3, "n_utterances": 40, "n_speakers": 4}
        for condition in ("clean", "telephone")
        for name, drop in (("pitch", 0.1), ("level", 0.02), ("chroma", -0.001))
    ]
    spread = {"seed_of": "folds", "n_seeds": 3, "uar_min": 0.5, "uar_max": 0.54, "uar_sd": 0.02}
    return {
        "ablation": pd.DataFrame(
            [
                *both(0.5, group=ALL_FEATURES, features=ALL_FEATURES),
                *both(0.45, -0.05, group="level", features=WITHOUT_GROUP),
                *both(0.25, -0.25, group="level", features=GROUP_ALONE),
                *both(0.47, -0.03, group="pitch", features=WITHOUT_GROUP),
                *both(0.35, -0.15, group="pitch", features=GROUP_ALONE),
            ]
        ),
        "importance": pd.DataFrame(drops),
        "features": pd.DataFrame(drops),
        "mfcc": pd.DataFrame(
            [
                *both(0.5, features=ALL_FEATURES, mfcc="no PCA"),
                *both(0.4, -0.1, features="MFCCs alone", mfcc="no PCA"),
            ]
        ),
        "augmentation": pd.DataFrame(
            [
                *both(0.5, training="recordings only", n_added=0),
                *both(0.52, 0.02, training="+ all", n_added=400),
            ]
        ),
        "telephone": pd.DataFrame(
            [*both(0.5, telephone_copies="without"), *both(0.6, 0.1, telephone_copies="with")]
        ),
        "networks": pd.DataFrame(
            [*both(0.5, training="plain"), *both(0.6, 0.1, training="mixup")]
        ).assign(n_seeds=2),
        "seeds": pd.DataFrame([*both(0.5, seed_of="folds", seed=0)]).assign(**spread),
    }


@pytest.fixture
def figures(tables):
    return {
        "ablation": reporting.ablation_figure(tables["ablation"], note=NOTE),
        "importance": reporting.importance_figure(
            tables["importance"], tables["features"], top=2, note=NOTE
        ),
        "mfcc": reporting.mfcc_figure(tables["mfcc"], note=NOTE),
        "augmentation": reporting.augmentation_figure(tables["augmentation"], note=NOTE),
        "telephone": reporting.telephone_figure(tables["telephone"], note=NOTE),
        "networks": reporting.networks_figure(tables["networks"], note=NOTE),
        "seeds": reporting.seeds_figure(tables["seeds"], note=NOTE),
    }


def test_every_figure_states_protocol_counts_and_note(figures):
    for figure in figures.values():
        subtitle = figure.layout.title.subtitle.text
        assert "speaker_independent, cross-validation" in subtitle
        assert f"n = 40 utterances of 4 speakers{NOTE}" in subtitle
        assert {trace.name for trace in figure.data} == {"clean", "telephone"}


def test_ablation_shows_the_strongest_group_first(figures):
    left, right = figures["ablation"].data[0], figures["ablation"].data[2]
    assert list(left.y) == ["pitch", "level"]
    assert list(left.x) == [-0.03, -0.05]
    assert list(right.y) == [ALL_FEATURES, "pitch", "level"]
    assert list(right.x) == [0.5, 0.35, 0.25]
    np.testing.assert_allclose(left.error_x.array, [0.01, 0.01])


def test_importance_shows_the_largest_drops(figures):
    groups, single = figures["importance"].data[0], figures["importance"].data[2]
    assert list(groups.y) == ["pitch", "level", "chroma"]
    assert list(single.y) == ["pitch", "level"]
    np.testing.assert_allclose(single.error_x.arrayminus, [0.01, 0.01])


def test_markdown_contains_metrics_with_intervals_and_counts(tables):
    text = reporting.ablation_markdown(tables)
    for line in (
        "The same in all rows: model: SVM; training examples: 80; n: 40 / 4.",
        "| group | features | UAR, clean | difference, clean | UAR, telephone | difference, telephone |",
        "| all features | all features | 50.0% [45.0, 55.0] | – | 50.0% [45.0, 55.0] | – |",
        "| level | without | 45.0% [40.0, 50.0] | -5.0% [-6.0, -4.0] | 45.0% [40.0, 50.0] | -5.0% [-6.0",
        "| pitch | +10.0% [+9.0, +12.0] | 50.0% | +10.0% [+9.0, +12.0] |",
        "| + all | 400 | 52.0% [47.0, 57.0] |",
        "| 50.0% | 54.0% | 2.0% |",
    ):
        assert line in text
    assert "SYNTHETIC" not in text
    assert "SYNTHETIC" in reporting.ablation_markdown(tables, note=NOTE)


def test_page_is_self_contained_and_escapes(tables, figures, tmp_path, audit_file):
    tables["ablation"]["group"] = "<script>alert(1)"
    page = reporting.ablation_page(tables, figures)
    assert page.count("plotly.js v") == 1
    assert 'src="http' not in page
    assert "<script>alert(1)" not in page
    assert "SYNTHETIC SAMPLE CORPUS" not in page
    marked = reporting.ablation_page(tables, figures, note=NOTE)
    assert "SYNTHETIC SAMPLE CORPUS" in marked
    (tmp_path / "ablation.html").write_text(marked, encoding="utf-8")
    audit_file(tmp_path / "ablation.html")
