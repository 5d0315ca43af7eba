import dataclasses
import logging

import numpy as np
import pandas as pd
import pytest

from speech_emotion.ablation import (
    ALL,
    PLAIN,
    RECORDINGS,
    AblationConfig,
    AblationData,
    AblationSettings,
    augmentation_configs,
    compare,
    group_configs,
    kernel_configs,
    mfcc_configs,
    network_configs,
    permutation_importance,
    seed_configs,
    spread_table,
    telephone_configs,
)
from speech_emotion.ablation.configurations import ONE, TWO
from speech_emotion.ablation.runner import predict
from speech_emotion.corpora import SplitSettings, assign_splits
from speech_emotion.evaluation import CandidateSettings, confusion, uar
from speech_emotion.features import mfcc_number

LDA = CandidateSettings(family="shrinkage_lda", fixed={"preprocess__mfcc__pca": "passthrough"})
GROUPS = {
    "telling": ("rms_0", "rms_1"),
    "noise": tuple(f"rms_{number}" for number in range(2, 8)),
    "line": ("line_0", "line_1"),
    "more noise": ("mfcc_00_mean", "mfcc_01_mean", "mfcc_delta_01_std"),
}
NAMES = [name for columns in GROUPS.values() for name in columns]
SETTINGS = AblationSettings(
    telephone_models=["shrinkage_lda"], pca_components=["none", 2, 9, 0.9], coefficients=[1, 2, 5]
)


LABELS = ["angry", "happy", "sad"]
NETWORK = {"filters": 4, "blocks": 1, "epochs": 3, "batch_size": 32, "learning_rate": 0.03}


@pytest.fixture(scope="module")
def features(utterances, codes):
    """Recordings, two copies, a random variant and telephone sound."""
    rng = np.random.default_rng(3)
    tables = []
    for variant in (-1, 0, 1, 2, 3):
        values = rng.normal(size=(len(utterances), len(NAMES))).astype(np.float32)
        table = pd.DataFrame(values, columns=NAMES)
        # Telephone sound tells by features that are noise in all other sound.
        name = "line" if variant < 0 else "rms"
        table[f"{name}_0"] += 5 * (codes == 0)
        table[f"{name}_1"] += 5 * (codes == 1)
        tables.append(table.assign(utterance_id=utterances["utterance_id"], variant=variant))
    return pd.concat(tables, ignore_index=True)


@pytest.fixture(scope="module")
def data(features, utterances, splits):
    return AblationData.select(features, utterances, splits, labels=LABELS)


@pytest.fixture(scope="module")
def plan(utterances):
    """Two copies and a random variant, every third of which is noise."""
    tables = [
        utterances[["utterance_id"]].assign(
            protocol="speaker_independent", variant=1, transform="speed"
        ),
        utterances[["utterance_id"]].assign(
            protocol="speaker_independent", variant=2, transform="speed"
        ),
        utterances[["utterance_id"]].assign(
            protocol="speaker_independent",
            variant=3,
            transform=np.where(np.arange(len(utterances)) % 3, "gain", "noise"),
        ),
    ]
    plan = pd.concat(tables, ignore_index=True)
    return pd.concat(
        [plan, plan.assign(protocol="random_split", transform="trim")], ignore_index=True
    )


def of(table, **wanted):
    rows = table
    for name, value in wanted.items():
        rows = rows[rows[name] == value]
    assert len(rows) == 1
    return rows.iloc[0]


def test_held_out_speakers_take_no_part(data, utterances, splits):
    speaker_independent = splits[splits["protocol"] == "speaker_independent"]
    held_out = set(speaker_independent.loc[speaker_independent["split"] == "test", "utterance_id"])
    strangers = set(utterances.loc[utterances["utterance_id"].isin(held_out), "speaker"])
    assert held_out
    assert strangers
    assert not held_out & set(data.index["utterance_id"])
    assert not strangers & set(data.utterances["speaker"])
    configs = seed_configs(data, SplitSettings(folds=3), SETTINGS)
    assert len(configs) == 20
    for config in configs:
        assert not strangers & set(config.examples(data).table["speaker"])
        assert not config.examples(data).has_test


def test_a_group_that_tells_is_missed_and_noise_is_not(data):
    table, _ = compare(group_configs(GROUPS, LDA), data, title="", resamples=300)
    table = table[table["condition"] == "clean"]
    whole = of(table, group=ALL)
    assert whole["uar"] > 0.9
    assert np.isnan(whole["difference"])
    missed = of(table, group="telling", features="without")
    assert missed["difference_high"] < -0.3
    assert missed["difference"] == pytest.approx(missed["uar"] - whole["uar"])
    assert of(table, group="telling", features="alone")["uar"] > 0.9
    noise = of(table, group="noise", features="without")
    assert noise["difference_low"] <= 0.02
    assert noise["difference_high"] >= -0.02
    alone = of(table, group="noise", features="alone")
    assert alone["uar"] == pytest.approx(1 / 3, abs=0.15)
    assert alone["n_features"] == 6
    training = data.utterances
    assert (table["n_utterances"] == len(training)).all()
    assert (table["n_speakers"] == training["speaker"].nunique()).all()
    assert (table["protocol"] == "speaker_independent").all()


def test_importance_is_positive_for_what_tells_and_nothing_for_noise(data):
    table = permutation_importance(AblationConfig("a", LDA), data, GROUPS, repeats=5, resamples=300)
    clean = table[table["condition"] == "clean"]
    assert clean["block"].iloc[0] == "telling"
    telling, noise = of(clean, block="telling"), of(clean, block="noise")
    assert telling["drop_low"] > 0.3
    # Nothing is left but chance.
    assert telling["uar"] - telling["drop"] == pytest.approx(1 / 3, abs=0.08)
    assert noise["drop_low"] <= 0.01
    assert noise["drop_high"] >= -0.01
    assert abs(noise["drop"]) < 0.03
    whole = of(
        compare([AblationConfig("a", LDA)], data, title="", resamples=100)[0], condition="clean"
    )
    assert telling["uar"] == pytest.approx(whole["uar"])
    single = permutation_importance(
        AblationConfig("a", LDA), data, {name: [name] for name in NAMES}, repeats=2, resamples=100
    )
    best = single[single["condition"] == "clean"].head(2)
    assert set(best["block"]) == {"rms_0", "rms_1"}
    assert (best["drop_low"] > 0).all()


def test_importance_does_not_depend_on_what_is_predicted_at_once(data, monkeypatch):
    options = {"repeats": 2, "resamples": 100}
    whole = permutation_importance(AblationConfig("a", LDA), data, GROUPS, **options)
    monkeypatch.setattr("speech_emotion.ablation.importance.ROWS", 1)
    pd.testing.assert_frame_equal(
        permutation_importance(AblationConfig("a", LDA), data, GROUPS, **options), whole
    )


def test_figures_are_the_same_for_any_number_of_jobs(data):
    configs = group_configs(GROUPS, LDA)[:3]
    one, two = (compare(configs, data, title="", n_jobs=n, resamples=100)[0] for n in (1, 2))
    pd.testing.assert_frame_equal(one, two)
    one, two = (
        permutation_importance(
            AblationConfig("a", LDA), data, GROUPS, repeats=2, n_jobs=n, resamples=100
        )
        for n in (1, 2)
    )
    pd.testing.assert_frame_equal(one, two)


def test_mfcc_arms_differ_in_pca_and_coefficients(data, caplog):
    stored = [name for name in NAMES if name != "mfcc_01_mean"]
    numbers = {name: mfcc_number(name) for name in NAMES}
    configs = {config.name: config for config in mfcc_configs(numbers, stored, SETTINGS)}
    assert list(configs)[:3] == [
        f"{kind}, {ALL}" for kind in ("no PCA", "PCA, 2 components", "PCA, 0.9 of variance")
    ]
    assert set(configs[f"no PCA, {ALL}"].columns) == set(stored)
    assert set(configs[f"2 coefficients, {ALL}"].columns) == set(NAMES)
    assert set(configs["1 coefficients, MFCCs alone"].columns) == {"mfcc_00_mean"}
    assert "5 coefficients, MFCCs alone" not in configs
    assert "2 MFCC columns have no 9 components" in caplog.text
    assert "hold 2 MFCCs, not 5" in caplog.text
    table, _ = compare(list(configs.values()), data, title="", resamples=100)
    two = of(table, features="MFCCs alone", mfcc="PCA, 2 components", condition="clean")
    none = of(table, features="MFCCs alone", mfcc="no PCA", condition="clean")
    # As many components as columns turn the space and lose nothing of it.
    assert two["uar"] == pytest.approx(none["uar"], abs=0.1)


def test_copies_are_added_kind_by_kind(data, plan):
    configs = augmentation_configs(data, plan, ["speed 0.9", "speed 1.1"], LDA)
    n = len(data.utterances)
    added = {config.name: config.facts["n_added"] for config in configs}
    noisy = plan[(plan["transform"] == "noise") & (plan["protocol"] == "speaker_independent")]
    noises = noisy["utterance_id"].isin(data.utterances["utterance_id"]).sum()
    assert added == {
        RECORDINGS: 0,
        "+ 1 copy (speed 0.9)": n,
        "+ 2 copies (… speed 1.1)": 2 * n,
        "+ random variants": n,
        "+ random gain": n - noises,
        "+ random noise": noises,
        "+ telephone copies": n,
        "+ copies and random variants": 3 * n,
        "+ copies and telephone": 3 * n,
        "+ all": 4 * n,
    }
    for config in configs:
        training = [len(config.examples(data).fold(fold)[0].codes) for fold in range(3)]
        assert sum(training) == 2 * (n + config.facts["n_added"])
        for fold in range(3):
            _, tests = config.examples(data).fold(fold)
            assert set(tests) == {"clean", "telephone"}
            assert (tests["clean"].table["variant"] == 0).all()


def test_without_copies_and_telephone_there_is_one_way_to_train(features, utterances, splits, plan):
    recordings = features[features["variant"] == 0]
    data = AblationData.select(recordings, utterances, splits, labels=LABELS)
    configs = augmentation_configs(data, plan.iloc[:0], [], LDA)
    assert [config.name for config in configs] == [RECORDINGS]
    table, _ = compare(configs, data, title="", resamples=100)
    assert list(table["condition"]) == ["clean"]


def _trained(config, data):
    table = config.examples(data).final()[0].table
    return table[["utterance_id", "variant"]].to_numpy()


def test_telephone_copies_teach_telephone_sound(data, plan):
    planned = plan.assign(transform=plan["transform"].replace("noise", "telephone"))
    configs = telephone_configs(data, planned, SETTINGS)
    sounds = planned[
        (planned["transform"] == "telephone") & (planned["protocol"] == "speaker_independent")
    ]
    without, everything, _ = (set(map(tuple, _trained(config, data))) for config in configs)
    drawn = set(zip(sounds["utterance_id"], sounds["variant"], strict=True))
    assert everything - without > {(name, -1) for name in data.utterances["utterance_id"]}
    assert everything - without <= drawn | {(row, -1) for row, _ in everything}
    table, _ = compare(configs, data, title="", resamples=200)
    one = of(table, condition="telephone", telephone_copies=ONE)
    assert one["difference_low"] > 0.3
    # Without what tells the band, one model is for both.
    assert of(table, condition="telephone", telephone_copies=TWO)["uar"] == one["uar"]
    without = of(table, condition="telephone", telephone_copies="without")
    assert without["uar"] == pytest.approx(1 / 3, abs=0.1)


def test_copies_are_added_with_their_telephone_sound(features, utterances, splits, plan):
    twins = features[features["variant"] > 0]
    twins = twins.assign(variant=-1 - twins["variant"])
    data = AblationData.select(pd.concat([features, twins]), utterances, splits, labels=LABELS)
    configs = augmentation_configs(data, plan, ["speed 0.9", "speed 1.1"], LDA)
    n = len(data.utterances)
    added = {config.name: config.facts["n_added"] for config in configs}
    assert added["+ 2 copies (… speed 1.1)"] == 2 * n
    assert added["+ copies and telephone"] == 5 * n
    assert added["+ all"] == 7 * n
    for config in configs:
        assert len(_trained(config, data)) == n + config.facts["n_added"]


def test_spread_over_seeds_is_that_of_the_rows(data, utterances):
    settings = AblationSettings(
        fold_seeds=3,
        model_seeds=2,
        models={"mlp": {"fixed": {"model__hidden_layer_sizes": [4], "model__max_iter": 3}}},
    )
    configs = seed_configs(data, SplitSettings(folds=3), settings)
    table, predictions = compare(configs, data, title="", resamples=100)
    spread = spread_table(table, predictions, data.labels, by="seed_of", resamples=100)
    assert list(zip(spread["seed_of"], spread["condition"], strict=True)) == [
        ("folds", "clean"),
        ("folds", "telephone"),
        ("model", "clean"),
        ("model", "telephone"),
    ]
    for row in spread.itertuples():
        own = table[(table["seed_of"] == row.seed_of) & (table["condition"] == row.condition)]
        assert row.n_seeds == len(own)
        assert (row.uar_min, row.uar_max) == (own["uar"].min(), own["uar"].max())
        assert row.uar == pytest.approx(own["uar"].mean())
        assert row.uar_sd == pytest.approx(np.std(own["uar"], ddof=1))
        assert row.uar_low <= row.uar <= row.uar_high
        assert row.n_utterances == len(data.utterances)
    seeds = table[(table["seed_of"] == "model") & (table["condition"] == "clean")]
    assert seeds["uar"].nunique() == 2
    first = assign_splits(data.utterances, SplitSettings(folds=3, test_size=0, seed=1))
    pd.testing.assert_frame_equal(configs[1].splits, first)


@pytest.mark.usefixtures("eagerly")
def test_a_network_is_seeded_beside_a_table_model(features, utterances, splits):
    # Frames that tell as the table does, padded.
    frames = np.zeros((len(features), 6, 2), np.float32)
    frames[:, :4] = features[["rms_0", "rms_1"]].to_numpy()[:, None]
    data = AblationData.select(features, utterances, splits, labels=LABELS, sequences=frames)
    settings = AblationSettings(
        fold_seeds=1,
        model_seeds=2,
        seeded_models=["mlp", "conv1d"],
        models={
            "mlp": {"fixed": {"model__hidden_layer_sizes": [4], "model__max_iter": 3}},
            "conv1d": {"copies": 0, "fixed": NETWORK},
        },
    )
    configs = seed_configs(data, SplitSettings(folds=3), settings)
    table, predictions = compare(configs, data, title="", resamples=100)
    spread = spread_table(table, predictions, data.labels, by="seed_of", resamples=100)
    clean = spread[(spread["condition"] == "clean") & (spread["seed_of"] == "model")]
    assert list(clean["model"]) == ["mlp", "conv1d"]
    own = table[(table["model"] == "conv1d") & (table["condition"] == "clean")]
    assert clean["uar"].iloc[1] == pytest.approx(own["uar"].mean())
    assert own["uar"].min() > 0.6  # chance is 1/3
    assert own["n_features"].unique().tolist() == [2]
    with pytest.raises(ValueError, match="conv1d 0 reads frames, and the data has none"):
        predict(configs[-2], dataclasses.replace(data, sequences=None))


@pytest.mark.usefixtures("eagerly")
def test_options_of_networks_are_compared_with_the_plain_one(features, utterances, splits):
    frames = np.zeros((len(features), 6, 2), np.float32)
    frames[:, :4] = features[["rms_0", "rms_1"]].to_numpy()[:, None]
    data = AblationData.select(features, utterances, splits, labels=LABELS, sequences=frames)
    settings = AblationSettings(
        networks=["conv1d"],
        network_options=[{"learning_rate": 1e-9}],
        models={"conv1d": {"copies": 0, "fixed": NETWORK}},
    )
    configs = network_configs(settings)
    assert [config.candidate.fixed.get("learning_rate") for config in configs] == [
        None,
        None,
        1e-9,
        1e-9,
    ]
    configs = [
        dataclasses.replace(
            config,
            candidate=config.candidate.model_copy(
                update={"fixed": NETWORK | config.candidate.fixed}
            ),
        )
        for config in configs
    ]
    table, predictions = compare(configs, data, title="", resamples=100)
    spread = spread_table(
        table, predictions, data.labels, by="training", reference=PLAIN, resamples=100
    )
    clean = spread[spread["condition"] == "clean"].set_index("training")
    assert list(clean["n_seeds"]) == [2, 2]
    assert np.isnan(clean.loc[PLAIN, "difference"])
    stuck = clean.loc["learning_rate 1e-09"]  # what never learns is worse
    assert stuck["difference"] == pytest.approx(stuck["uar"] - clean.loc[PLAIN, "uar"])
    assert stuck["difference_high"] < 0


def test_folds_that_cannot_be_are_left_out_and_said(data, caplog):
    own = data.utterances[data.utterances["speaker"].isin(["s00", "s01", "s02"])]
    few = dataclasses.replace(data, utterances=own)
    with caplog.at_level(logging.WARNING):
        configs = seed_configs(
            few, SplitSettings(folds=3), AblationSettings(fold_seeds=2, model_seeds=1)
        )
    assert [config.name for config in configs] == ["mlp 0"]
    assert "Folds of seed 1 are left out: 3 speaker(s)" in caplog.text


def test_predictions_are_those_of_other_folds(data):
    predictions = predict(AblationConfig("a", LDA), data)
    clean = predictions[predictions["condition"] == "clean"]
    assert sorted(clean["utterance_id"]) == sorted(data.utterances["utterance_id"])
    counts = confusion(data.labels, clean["label"], clean["prediction"])
    table, _ = compare([AblationConfig("a", LDA)], data, title="", resamples=100)
    assert of(table, condition="clean")["uar"] == uar(counts)


def test_lists_can_be_written_on_the_command_line():
    settings = AblationSettings.model_validate(
        {
            "telephone_models": "svm; mlp",
            "seeded_models": "mlp;conv1d",
            "pca_components": "none;20;0.9",
            "coefficients": "13;20",
        }
    )
    assert settings.telephone_models == ["svm", "mlp"]
    assert settings.seeded_models == ["mlp", "conv1d"]
    assert settings.pca_components == [None, 20, 0.9]
    assert settings.coefficients == [13, 20]
    assert settings.with_pca(0.9).fixed == {"preprocess__mfcc__pca__n_components": 0.9}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"reference": "transformer"}, "no model family 'transformer'"),
        ({"reference": "conv2d"}, "conv2d reads frames"),
        ({"telephone_models": ["svm", "conv1d"]}, "conv1d reads frames"),
        ({"telephone_models": []}, "at least 1"),
        ({"seeded_models": ["shrinkage_lda"]}, "shrinkage_lda has no random_state"),
        ({"pca_model": "two_step"}, "two_step has no preprocess__mfcc__pca"),
        ({"pca_components": [0]}, "0 is neither a number nor a share"),
        ({"models": {"mlp": {"fixed": {"depth": 3}}}}, "mlp has no hyperparameter 'depth'"),
        ({"models": {"mlp": {"trials": 3}}}, "trials"),
        ({"repeats": 0}, "greater than or equal to 1"),
    ],
)
def test_wrong_settings_are_refused_with_a_remedy(wrong, message):
    with pytest.raises(ValueError, match=message):
        AblationSettings.model_validate(wrong)


def test_kernels_are_studied_beside_the_other_features(features, utterances, splits):
    told = features.assign(kernel_voice_1_000_peak=features["rms_0"], kernel_voice_1_000_share=0.5)
    told = told.drop(columns="rms_0")
    data = AblationData.select(told, utterances, splits, labels=LABELS)
    assert data.kernels == ("kernel_voice_1_000_peak", "kernel_voice_1_000_share")
    assert not set(data.kernels) & set(data.names)
    candidate = CandidateSettings(family="rocket_lda")
    reference = AblationConfig(ALL, candidate, columns=data.names)
    configs = [reference, *kernel_configs(data.names, data.kernels, candidate)]
    table, _ = compare(configs, data, title="test", resamples=100)
    added = table[(table["model"] == "added convolution kernels") | (table["features"] == "added")]
    clean = added[added["condition"] == "clean"]
    assert list(clean["n_features"]) == [len(NAMES) + 1]
    assert clean["difference_low"].iloc[0] > 0  # the label is in a kernel
    assert kernel_configs(data.names, (), candidate) == []
