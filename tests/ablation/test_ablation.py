import dataclasses
import logging

import numpy as np
import pandas as pd
import pytest

from speech_emotion.ablation import (
    ALL_FEATURES,
    BANDWIDTH_PAIR,
    DEFAULT_OPTIONS,
    RECORDINGS_ONLY,
    SINGLE_MODEL,
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
    predict,
    seed_configs,
    spread_table,
    telephone_configs,
)
from speech_emotion.audio import TELEPHONE_TEST
from speech_emotion.corpora import SplitSettings, assign_splits
from speech_emotion.evaluation import CandidateSettings, confusion, uar
from speech_emotion.features import mfcc_number

LDA = CandidateSettings(family="shrinkage_lda", fixed={"preprocess__mfcc__pca": "passthrough"})
GROUPS = {
    "informative": ("rms_0", "rms_1"),
    "noise": tuple(f"rms_{number}" for number in range(2, 8)),
    "line": ("line_0", "line_1"),
    "more noise": ("mfcc_00_mean", "mfcc_01_mean", "mfcc_delta_01_std"),
}
NAMES = [name for columns in GROUPS.values() for name in columns]
SETTINGS = AblationSettings(
    telephone_models=["shrinkage_lda"], pca_components=["none", 2, 9, 0.9], coefficients=[1, 2, 5]
)


LABELS = ["angry", "happy", "sad"]
NETWORK = {"filters": 4, "blocks": 1, "epochs": 3, "batch_size": 96, "learning_rate": 0.1}


@pytest.fixture(scope="module")
def features(utterances, codes):
    """Features of recordings, two copies, a random variant, a training line and a test line."""
    rng = np.random.default_rng(3)
    tables = []
    for variant in (TELEPHONE_TEST, -1, 0, 1, 2, 3):
        values = rng.normal(size=(len(utterances), len(NAMES))).astype(np.float32)
        table = pd.DataFrame(values, columns=NAMES)
        # The label is in other features of telephone sound, which are noise in all other sound.
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
    """Augmentation plan of two copies and a random variant, every third with noise."""
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


def only_row(table, **wanted):
    """The only row with these values."""
    rows = table
    for name, value in wanted.items():
        rows = rows[rows[name] == value]
    assert len(rows) == 1
    return rows.iloc[0]


def test_speakers_of_the_test_set_are_not_used(data, utterances, splits):
    speaker_independent = splits[splits["protocol"] == "speaker_independent"]
    test_set = set(speaker_independent.loc[speaker_independent["split"] == "test", "utterance_id"])
    unseen = set(utterances.loc[utterances["utterance_id"].isin(test_set), "speaker"])
    assert test_set
    assert unseen
    assert not test_set & set(data.index["utterance_id"])
    assert not unseen & set(data.utterances["speaker"])
    configs = seed_configs(data, SplitSettings(folds=3), SETTINGS)
    assert len(configs) == 20
    for config in configs:
        assert not unseen & set(config.examples(data).table["speaker"])
        assert not config.examples(data).has_test


def test_removing_an_informative_group_lowers_the_uar_and_removing_noise_does_not(data):
    table, _ = compare(group_configs(GROUPS, LDA), data, title="", resamples=300)
    table = table[table["condition"] == "clean"]
    whole = only_row(table, group=ALL_FEATURES)
    assert whole["uar"] > 0.9
    assert np.isnan(whole["difference"])
    without = only_row(table, group="informative", features="without")
    assert without["difference_high"] < -0.3
    assert without["difference"] == pytest.approx(without["uar"] - whole["uar"])
    assert only_row(table, group="informative", features="alone")["uar"] > 0.9
    noise = only_row(table, group="noise", features="without")
    assert noise["difference_low"] <= 0.02
    assert noise["difference_high"] >= -0.02
    alone = only_row(table, group="noise", features="alone")
    assert alone["uar"] == pytest.approx(1 / 3, abs=0.15)
    assert alone["n_features"] == 6
    training = data.utterances
    assert (table["n_utterances"] == len(training)).all()
    assert (table["n_speakers"] == training["speaker"].nunique()).all()
    assert (table["protocol"] == "speaker_independent").all()


def test_importance_is_positive_for_informative_features_and_zero_for_noise(data):
    table = permutation_importance(AblationConfig("a", LDA), data, GROUPS, repeats=5, resamples=300)
    clean = table[table["condition"] == "clean"]
    assert clean["block"].iloc[0] == "informative"
    informative, noise = only_row(clean, block="informative"), only_row(clean, block="noise")
    assert informative["drop_low"] > 0.3
    # Only chance is left.
    assert informative["uar"] - informative["drop"] == pytest.approx(1 / 3, abs=0.08)
    assert noise["drop_low"] <= 0.01
    assert noise["drop_high"] >= -0.01
    assert abs(noise["drop"]) < 0.03
    whole = only_row(
        compare([AblationConfig("a", LDA)], data, title="", resamples=100)[0], condition="clean"
    )
    assert informative["uar"] == pytest.approx(whole["uar"])
    single = permutation_importance(
        AblationConfig("a", LDA), data, {name: [name] for name in NAMES}, repeats=2, resamples=100
    )
    best = single[single["condition"] == "clean"].head(2)
    assert set(best["block"]) == {"rms_0", "rms_1"}
    assert (best["drop_low"] > 0).all()


def test_importance_does_not_depend_on_the_number_of_rows_predicted_at_once(data, monkeypatch):
    options = {"repeats": 2, "resamples": 100}
    whole = permutation_importance(AblationConfig("a", LDA), data, GROUPS, **options)
    monkeypatch.setattr("speech_emotion.ablation.importance.ROWS", 1)
    pd.testing.assert_frame_equal(
        permutation_importance(AblationConfig("a", LDA), data, GROUPS, **options), whole
    )


def test_results_are_the_same_for_any_number_of_jobs(data):
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


def test_mfcc_configurations_differ_in_pca_and_coefficients(data, caplog):
    stored = [name for name in NAMES if name != "mfcc_01_mean"]
    numbers = {name: mfcc_number(name) for name in NAMES}
    configs = {config.name: config for config in mfcc_configs(numbers, stored, SETTINGS)}
    assert list(configs)[:3] == [
        f"{kind}, {ALL_FEATURES}"
        for kind in ("no PCA", "PCA, 2 components", "PCA, 0.9 of variance")
    ]
    assert set(configs[f"no PCA, {ALL_FEATURES}"].features) == set(stored)
    assert set(configs[f"2 coefficients, {ALL_FEATURES}"].features) == set(NAMES)
    assert set(configs["1 coefficients, MFCCs alone"].features) == {"mfcc_00_mean"}
    assert "5 coefficients, MFCCs alone" not in configs
    assert "2 MFCC columns have no 9 components" in caplog.text
    assert "Features have 2 MFCCs, not 5" in caplog.text
    table, _ = compare(list(configs.values()), data, title="", resamples=100)
    two = only_row(table, features="MFCCs alone", mfcc="PCA, 2 components", condition="clean")
    none = only_row(table, features="MFCCs alone", mfcc="no PCA", condition="clean")
    # PCA with as many components as columns keeps all information.
    assert two["uar"] == pytest.approx(none["uar"], abs=0.1)


def test_each_kind_of_copy_has_a_configuration(data, plan):
    configs = augmentation_configs(data, plan, ["speed 0.9", "speed 1.1"], LDA)
    n = len(data.utterances)
    added = {config.name: config.description["n_added"] for config in configs}
    noisy = plan[(plan["transform"] == "noise") & (plan["protocol"] == "speaker_independent")]
    noises = noisy["utterance_id"].isin(data.utterances["utterance_id"]).sum()
    assert added == {
        RECORDINGS_ONLY: 0,
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
        assert sum(training) == 2 * (n + config.description["n_added"])
        for fold in range(3):
            _, tests = config.examples(data).fold(fold)
            assert set(tests) == {"clean", "telephone"}
            assert (tests["clean"].table["variant"] == 0).all()


def test_data_without_copies_and_telephone_has_one_configuration(
    features, utterances, splits, plan
):
    recordings = features[features["variant"] == 0]
    data = AblationData.select(recordings, utterances, splits, labels=LABELS)
    configs = augmentation_configs(data, plan.iloc[:0], [], LDA)
    assert [config.name for config in configs] == [RECORDINGS_ONLY]
    table, _ = compare(configs, data, title="", resamples=100)
    assert list(table["condition"]) == ["clean"]


def trained_rows(config, data):
    table = config.examples(data).final()[0].table
    return table[["utterance_id", "variant"]].to_numpy()


def test_telephone_copies_raise_the_uar_on_telephone_sound(data):
    configs = telephone_configs(SETTINGS)
    without, everything, _ = (set(map(tuple, trained_rows(config, data))) for config in configs)
    assert everything - without == {(name, -1) for name in data.utterances["utterance_id"]}
    table, _ = compare(configs, data, title="", resamples=200)
    one = only_row(table, condition="telephone", telephone_copies=SINGLE_MODEL)
    assert one["difference_low"] > 0.3
    # The features lack the bandwidth, so both are one model.
    assert (
        only_row(table, condition="telephone", telephone_copies=BANDWIDTH_PAIR)["uar"] == one["uar"]
    )
    without = only_row(table, condition="telephone", telephone_copies="without")
    assert without["uar"] == pytest.approx(1 / 3, abs=0.1)


def test_copies_are_added_with_their_telephone_variants(features, utterances, splits, plan):
    telephone = features[features["variant"] > 0]
    telephone = telephone.assign(variant=-1 - telephone["variant"])
    data = AblationData.select(pd.concat([features, telephone]), utterances, splits, labels=LABELS)
    configs = augmentation_configs(data, plan, ["speed 0.9", "speed 1.1"], LDA)
    n = len(data.utterances)
    added = {config.name: config.description["n_added"] for config in configs}
    assert added["+ 2 copies (… speed 1.1)"] == 2 * n
    assert added["+ copies and telephone"] == 5 * n
    assert added["+ all"] == 7 * n
    for config in configs:
        assert len(trained_rows(config, data)) == n + config.description["n_added"]


def test_spread_over_seeds_summarizes_the_rows(data, utterances):
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
        group = table[(table["seed_of"] == row.seed_of) & (table["condition"] == row.condition)]
        assert row.n_seeds == len(group)
        assert (row.uar_min, row.uar_max) == (group["uar"].min(), group["uar"].max())
        assert row.uar == pytest.approx(group["uar"].mean())
        assert row.uar_sd == pytest.approx(np.std(group["uar"], ddof=1))
        assert row.uar_low <= row.uar <= row.uar_high
        assert row.n_utterances == len(data.utterances)
    seeds = table[(table["seed_of"] == "model") & (table["condition"] == "clean")]
    assert seeds["uar"].nunique() == 2
    first = assign_splits(data.utterances, SplitSettings(folds=3, test_size=0, seed=1))
    pd.testing.assert_frame_equal(configs[1].splits, first)


@pytest.mark.usefixtures("eagerly")
def test_networks_and_table_models_are_trained_with_several_seeds(features, utterances, splits):
    # Padded frames with the label in both channels.
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
    networks = table[(table["model"] == "conv1d") & (table["condition"] == "clean")]
    assert clean["uar"].iloc[1] == pytest.approx(networks["uar"].mean())
    assert networks["uar"].min() > 0.6  # chance is 1/3
    assert networks["n_features"].unique().tolist() == [2]
    with pytest.raises(ValueError, match="conv1d 0 reads frames, and the data has none"):
        predict(configs[-2], dataclasses.replace(data, sequences=None))


@pytest.mark.usefixtures("eagerly")
def test_options_of_networks_are_compared_with_default_options(features, utterances, splits):
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
        table, predictions, data.labels, by="training", reference=DEFAULT_OPTIONS, resamples=100
    )
    clean = spread[spread["condition"] == "clean"].set_index("training")
    assert list(clean["n_seeds"]) == [2, 2]
    assert np.isnan(clean.loc[DEFAULT_OPTIONS, "difference"])
    stuck = clean.loc["learning_rate 1e-09"]  # a network that cannot learn
    assert stuck["difference"] == pytest.approx(stuck["uar"] - clean.loc[DEFAULT_OPTIONS, "uar"])
    assert stuck["difference_high"] < 0


def test_folds_that_cannot_be_assigned_are_left_out_with_a_warning(data, caplog):
    three_speakers = data.utterances[data.utterances["speaker"].isin(["s00", "s01", "s02"])]
    few = dataclasses.replace(data, utterances=three_speakers)
    with caplog.at_level(logging.WARNING):
        configs = seed_configs(
            few, SplitSettings(folds=4), AblationSettings(fold_seeds=2, model_seeds=1)
        )
    assert [config.name for config in configs] == ["mlp 0"]
    assert "Folds of seed 1 are left out: 3 speaker(s)" in caplog.text


def test_predictions_cover_all_training_utterances(data):
    predictions = predict(AblationConfig("a", LDA), data)
    clean = predictions[predictions["condition"] == "clean"]
    assert sorted(clean["utterance_id"]) == sorted(data.utterances["utterance_id"])
    counts = confusion(data.labels, clean["label"], clean["prediction"])
    table, _ = compare([AblationConfig("a", LDA)], data, title="", resamples=100)
    assert only_row(table, condition="clean")["uar"] == uar(counts)


def test_lists_can_be_written_as_text():
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
        ({"reference": "kernel_lda"}, "'kernel_lda' is now 'rocket_lda'"),
        ({"models": {"kernel_lda": {}}}, "'kernel_lda' is now 'rocket_lda'"),
        ({"reference": "conv2d"}, "conv2d reads frames"),
        ({"telephone_models": ["svm", "conv1d"]}, "conv1d reads frames"),
        ({"telephone_models": []}, "at least 1"),
        ({"seeded_models": ["shrinkage_lda"]}, "shrinkage_lda has no random_state"),
        ({"pca_model": "two_step"}, "two_step has no preprocess__mfcc__pca"),
        ({"pca_components": [0]}, "0 is neither a number of components"),
        ({"models": {"mlp": {"fixed": {"depth": 3}}}}, "mlp has no hyperparameter 'depth'"),
        ({"models": {"mlp": {"trials": 3}}}, "trials"),
        ({"repeats": 0}, "greater than or equal to 1"),
    ],
)
def test_invalid_settings_are_refused_with_a_remedy(wrong, message):
    with pytest.raises(ValueError, match=message):
        AblationSettings.model_validate(wrong)


def test_kernels_are_compared_with_the_other_features(features, utterances, splits):
    with_kernels = features.assign(
        kernel_voice_1_000_peak=features["rms_0"], kernel_voice_1_000_share=0.5
    )
    with_kernels = with_kernels.drop(columns="rms_0")
    data = AblationData.select(with_kernels, utterances, splits, labels=LABELS)
    assert data.kernels == ("kernel_voice_1_000_peak", "kernel_voice_1_000_share")
    assert not set(data.kernels) & set(data.names)
    candidate = CandidateSettings(family="rocket_lda")
    reference = AblationConfig(ALL_FEATURES, candidate, features=data.names)
    configs = [reference, *kernel_configs(data.names, data.kernels, candidate)]
    table, _ = compare(configs, data, title="test", resamples=100)
    added = table[(table["model"] == "added convolution kernels") | (table["features"] == "added")]
    clean = added[added["condition"] == "clean"]
    assert list(clean["n_features"]) == [len(NAMES) + 1]
    assert clean["difference_low"].iloc[0] > 0  # the label is in a kernel
    assert kernel_configs(data.names, (), candidate) == []
