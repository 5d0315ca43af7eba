import itertools
import json
import time

import numpy as np
import pandas as pd
import pytest
from joblib import Parallel, delayed
from pydantic import ValidationError

from speech_emotion.audio import TELEPHONE_TEST, TEST_LINES
from speech_emotion.corpora import TEST, SplitSettings, assign_splits
from speech_emotion.evaluation import (
    CLEAN,
    CROSS_VALIDATION,
    TELEPHONE,
    CandidateSettings,
    SelectionSettings,
    TuningError,
    best_parameters,
    choose_members,
    combine,
    cross_validated_uar,
    evaluate,
    make_examples,
    trial_table,
    tune,
    tuning,
)
from speech_emotion.models import (
    FAMILIES,
    Combiner,
    UntrustedModel,
    family_named,
    load_estimator,
    save_estimator,
)

QUICK = {
    "logistic_regression": {},
    "random_forest": {"model__n_estimators": 20},
    "mlp": {"model__max_iter": 20},
    "xgboost": {"model__n_estimators": 10},
    "shrinkage_lda": {},
    "rocket_lda": {},
    "svm": {},
    "two_step": {},
    "conv1d_table": {"epochs": 30, "filters": 8, "blocks": 1, "learning_rate": 0.01},
    "conv2d": {"epochs": 12, "filters": 4, "blocks": 2, "learning_rate": 0.01},
    "encoder_lda": {},
    "encoder_logistic_regression": {},
    "encoder_attention": {"epochs": 8, "units": 16, "networks": 1, "learning_rate": 0.01},
    "encoder_svm": {},
    "encoder_mlp": {"estimator__learning_rate_init": 0.01, "estimator__max_iter": 40},
    "conv1d": {"epochs": 8, "filters": 8, "blocks": 2, "learning_rate": 0.01},
}
LABELS = ["angry", "happy", "sad"]
DEPTH_RANGE = {"model__max_depth": {"type": "int", "low": 1, "high": 20}}
C_RANGE = {"model__C": {"type": "float", "low": 1e-3, "high": 10, "log": True}}


@pytest.fixture
def selection(tmp_path):
    return SelectionSettings(storage=str(tmp_path / "studies.journal"), n_jobs=1)


@pytest.fixture
def inputs_of(statistics, sequences):
    tables = dict.fromkeys(("statistics", "kernels", "embeddings"), statistics)
    return tables | {"sequences": sequences, "encoder_frames": sequences}


def candidate_of(family, **options):
    return CandidateSettings(family=family, fixed=QUICK[family], **options)


def test_examples_keep_copies_out_of_validation(index, statistics, utterances, splits):
    examples = make_examples(
        index, statistics, utterances, splits, labels=LABELS, protocol="speaker_independent"
    )
    speaker_of = utterances.set_index("utterance_id")["speaker"]
    for training, tests in [*map(examples.fold, examples.folds), examples.final()]:
        assert set(training.table["variant"]) == {0, 1}
        unseen = tests[CLEAN]
        assert set(unseen.table["variant"]) == {0}
        shared = set(training.table["utterance_id"].map(speaker_of))
        assert not shared & set(unseen.table["utterance_id"].map(speaker_of))
        assert (np.asarray(examples.labels)[training.codes] == training.table["label"]).all()
    validated = pd.concat([examples.fold(fold)[1][CLEAN].table for fold in examples.folds])
    assert validated["utterance_id"].is_unique


def test_training_has_the_selected_copies_and_telephone_variants(
    index, statistics, utterances, splits
):
    recordings = index[index["variant"] == 0]
    copied = pd.concat([recordings] * 2).index
    lines = [recordings.assign(variant=number) for number in (-1, TELEPHONE_TEST)]
    index = pd.concat([index, *lines], ignore_index=True)
    statistics = pd.concat([statistics, statistics.loc[copied]], ignore_index=True)

    def variants(**options):
        examples = make_examples(
            index,
            statistics,
            utterances,
            splits,
            labels=LABELS,
            protocol="speaker_independent",
            **options,
        )
        training, tests = examples.fold(0)
        assert set(tests) == {CLEAN, TELEPHONE}
        assert set(tests[TELEPHONE].table["variant"]) == {TELEPHONE_TEST}
        assert set(tests[TELEPHONE].table["line"]) == set(TEST_LINES)
        assert set(tests[CLEAN].table["line"]) == {""}
        assert list(tests[CLEAN].table["utterance_id"]) == list(
            tests[TELEPHONE].table["utterance_id"]
        )
        return set(training.table["variant"])

    assert variants() == {0, 1}
    assert variants(copies=0) == {0}
    assert variants(telephone=True) == {-1, 0, 1}
    assert variants(telephone=True, copies=0) == {-1, 0}


def test_normalization_removes_differences_between_speakers(index, statistics, utterances, splits):
    speaker = index.merge(utterances, on="utterance_id", how="left")["speaker"]
    shifted = statistics.add(pd.factorize(speaker)[0] * 10.0, axis=0)

    def between_speakers(subset):
        return subset.inputs.groupby(subset.table["speaker"].to_numpy()).mean().std().max()

    speaker_independent, _ = make_examples(
        index, shifted, utterances, splits, labels=LABELS, protocol="speaker_independent"
    ).fold(0)
    for protocol in ("enrolled", "speaker_adapted"):
        all_normalize = splits[splits["protocol"] == "speaker_independent"].assign(
            protocol=protocol, for_normalization=True
        )
        examples = make_examples(
            index,
            shifted,
            utterances,
            all_normalize,
            labels=LABELS,
            protocol=protocol,
            enrolment_prior=0.5,
        )
        training, tests = examples.fold(0)
        for subset in (training, tests[CLEAN]):
            assert between_speakers(subset) < 0.1 * between_speakers(speaker_independent)


def test_features_without_utterance_are_refused(index, statistics, utterances, splits):
    with pytest.raises(ValueError, match="utterance_id 'c:000': the features are not of these"):
        make_examples(
            index,
            statistics,
            utterances.iloc[1:],
            splits,
            labels=LABELS,
            protocol="speaker_independent",
        )


@pytest.mark.parametrize("family", FAMILIES)
def test_family_is_trained_tested_and_saved(
    family, index, inputs_of, utterances, splits, selection, tmp_path
):
    inputs = inputs_of[FAMILIES[family].inputs]
    protocols = ["speaker_independent", "random_split"]
    if "epochs" in QUICK[family]:  # networks are slow, and their data has the same form
        del protocols[1]
        splits = assign_splits(utterances, SplitSettings(folds=2))
    examples = {
        protocol: make_examples(index, inputs, utterances, splits, labels=LABELS, protocol=protocol)
        for protocol in protocols
    }
    result = evaluate(examples, candidate_of(family), {}, selection)
    table = result.predictions
    if family == "conv1d":
        curves = result.learning_curves
        assert set(curves["run"]) == {"fold 0", "fold 1", "final"}
        assert curves["epoch"].max() == QUICK[family]["epochs"]
        assert curves.loc[curves["run"] == "fold 0", "val_loss"].notna().all()
    counts = table.groupby(["protocol", "evaluation"]).size().unstack()
    assert (counts.sum(axis=1) == len(utterances)).all()
    columns = ["p_angry", "p_happy", "p_sad"]
    np.testing.assert_allclose(table[columns].sum(axis=1), 1, atol=1e-6)
    assert cross_validated_uar(table, "speaker_independent")[family] > 0.5  # chance is 1/3
    assert (result.timings["fit_seconds"] > 0).all()
    assert (result.timings["started"] < result.timings["ended"]).all()
    assert str(result.timings["ended"].dt.tz) == "UTC"
    described = table.drop_duplicates("utterance_id").set_index("utterance_id").sort_index()
    expected = utterances.set_index("utterance_id")
    for column in ("corpus", "speaker", "sex", "label"):
        assert (described[column] == expected[column]).all()
    save_estimator(result.estimator, tmp_path / family)
    again = load_estimator(tmp_path / family)
    np.testing.assert_allclose(
        again.predict_proba(inputs), result.estimator.predict_proba(inputs), atol=1e-6
    )
    if "epochs" in QUICK[family] and family != "conv1d":
        return  # one network is trained twice
    repeated = evaluate(
        {"speaker_independent": examples["speaker_independent"]},
        candidate_of(family),
        {},
        selection,
    )
    speaker_independent = table[table["protocol"] == "speaker_independent"].reset_index(drop=True)
    pd.testing.assert_frame_equal(repeated.predictions, speaker_independent)


def test_study_is_resumed_and_a_complete_one_is_not_changed(
    index, statistics, utterances, splits, selection
):
    examples = make_examples(
        index, statistics, utterances, splits, labels=LABELS, protocol="speaker_independent"
    )
    short = candidate_of("logistic_regression", trials=2, space=C_RANGE)
    first = [trial.params for trial in tune(examples, short, selection).trials]
    longer = candidate_of("logistic_regression", trials=4, space=C_RANGE)
    more = tune(examples, longer, selection)
    assert [trial.params for trial in more.trials[:2]] == first
    assert len({str(trial.params) for trial in more.trials}) == 4
    other = selection.model_copy(update={"storage": f"{selection.storage}.undisturbed"})
    undisturbed = tune(examples, longer, other).trials
    assert [trial.params for trial in undisturbed] == [trial.params for trial in more.trials]
    done = trial_table(more, "logistic_regression")
    more.ask()  # a running trial of another process
    pd.testing.assert_frame_equal(
        trial_table(tune(examples, longer, selection), "logistic_regression"), done
    )
    assert len(json.loads(done["fold_uar"][0])) == 3
    best = done.loc[done["uar"].idxmax(), "params"]
    assert best_parameters(more) == json.loads(best)


def test_trials_do_not_depend_on_the_number_of_processes(
    index, statistics, utterances, splits, selection, tmp_path
):
    examples = make_examples(
        index, statistics, utterances, splits, labels=LABELS, protocol="speaker_independent"
    )
    candidate = candidate_of("random_forest", trials=3, space=DEPTH_RANGE)
    alone = selection.model_copy(update={"n_jobs": 1, "storage": str(tmp_path / "alone.journal")})
    tables = [
        trial_table(tune(examples, candidate, settings, progress=False), "random_forest")
        for settings in (selection, alone)
    ]
    pd.testing.assert_frame_equal(*(table.drop(columns="seconds") for table in tables))


@pytest.mark.parametrize("place", ["{}/studies.journal", "sqlite:///{}/studies.db"])
def test_two_processes_share_a_study(place, index, statistics, utterances, splits, tmp_path):
    examples = make_examples(
        index, statistics, utterances, splits, labels=LABELS, protocol="speaker_independent"
    )
    candidate = candidate_of("logistic_regression", trials=10, space=C_RANGE)
    settings = SelectionSettings(storage=place.format(tmp_path), n_jobs=1)
    tune(
        examples, candidate.model_copy(update={"trials": 1}), settings
    )  # creates the tables of a database

    def work(name):
        (tmp_path / name).touch()
        while len(list(tmp_path.glob("ready *"))) < 2:
            time.sleep(0.01)
        tune(examples, candidate, settings, progress=False)

    Parallel(n_jobs=2)(delayed(work)(f"ready {number}") for number in range(2))
    # One beyond the budget ends without hyperparameters.
    trials = [one for one in tune(examples, candidate, settings).trials if one.params]
    alone = tune(
        examples, candidate, SelectionSettings(storage=f"{tmp_path}/alone.journal", n_jobs=1)
    ).trials
    drawn = [sorted(trial.params["model__C"] for trial in one) for one in (trials, alone)]
    assert drawn[0] == drawn[1]
    spans = sorted((trial.datetime_start, trial.datetime_complete) for trial in trials)
    assert any(later < done for (_, done), (later, _) in itertools.pairwise(spans))


def test_other_data_have_another_study(index, statistics, utterances, splits, selection):
    candidate = candidate_of("logistic_regression", trials=1, space=C_RANGE)
    examples = make_examples(
        index, statistics, utterances, splits, labels=LABELS, protocol="speaker_independent"
    )
    moved = make_examples(
        index, statistics * 2, utterances, splits, labels=LABELS, protocol="speaker_independent"
    )
    names = {tune(data, candidate, selection).study_name for data in (examples, moved)}
    assert len(names) == 2


def test_time_spent_counts_against_the_budget(index, statistics, utterances, splits, selection):
    examples = make_examples(
        index, statistics, utterances, splits, labels=LABELS, protocol="speaker_independent"
    )
    brief = candidate_of("logistic_regression", trials=5, minutes=1e-6, space=C_RANGE)
    assert len(tune(examples, brief, selection).trials) == 1
    assert len(tune(examples, brief, selection).trials) == 1


def test_a_trial_ends_when_the_minutes_are_over(
    index, statistics, utterances, splits, selection, monkeypatch
):
    examples = make_examples(
        index, statistics, utterances, splits, labels=LABELS, protocol="speaker_independent"
    )
    # Each look at the clock takes a second: the first trial is complete after its folds, the second is late.
    clock = itertools.count()
    monkeypatch.setattr(tuning.time, "monotonic", lambda: float(next(clock)))
    brief = candidate_of("logistic_regression", trials=2, minutes=2.5 / 60, space=C_RANGE)
    trials = trial_table(tune(examples, brief, selection), "logistic_regression")
    assert trials["state"].tolist() == ["complete", "pruned"]
    assert [len(json.loads(scores)) for scores in trials["fold_uar"]] == [3, 1]


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        (None, {"speaker_independent", "enrolled", "random_split"}),
        (1e-9, {"speaker_independent"}),
        (60, {"speaker_independent", "enrolled", "random_split"}),
    ],
)
def test_protocols_that_need_more_time_than_allowed_are_left_out(
    index, statistics, utterances, splits, selection, caplog, minutes, expected
):
    examples = {
        protocol: make_examples(
            index, statistics, utterances, splits, labels=LABELS, protocol=protocol
        )
        for protocol in ("random_split", "enrolled", "speaker_independent")
    }
    settings = selection.model_copy(update={"evaluation_minutes": minutes})
    result = evaluate(examples, candidate_of("shrinkage_lda"), {}, settings)
    assert set(result.predictions["protocol"]) == expected
    assert set(result.left_out) == set(examples) - expected
    assert ("evaluation_minutes is 1e-09" in caplog.text) == (minutes == 1e-9)
    assert hasattr(result.estimator, "classes_")


def test_lists_reach_the_estimator_as_tuples(index, statistics, utterances, splits, selection):
    examples = make_examples(
        index, statistics, utterances, splits, labels=LABELS, protocol="speaker_independent"
    )
    layers = {"model__hidden_layer_sizes": {"type": "categorical", "choices": [[8], [8, 4]]}}
    study = tune(examples, candidate_of("mlp", trials=1, space=layers), selection)
    assert best_parameters(study)["model__hidden_layer_sizes"] in {(8,), (8, 4)}


def test_space_without_a_valid_trial_is_an_error(index, statistics, utterances, splits, selection):
    examples = make_examples(
        index, statistics, utterances, splits, labels=LABELS, protocol="speaker_independent"
    )
    huge = {"preprocess__mfcc__pca__n_components": {"type": "int", "low": 500, "high": 500}}
    candidate = candidate_of("logistic_regression", trials=2, space=huge)
    with pytest.raises(TuningError, match="n_components=500"):
        tune(examples, candidate, selection)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"family": "transformer"}, "no model family 'transformer', expected one of: logistic"),
        ({"family": "mlp", "space": {"model__depth": C_RANGE["model__C"]}}, "model__alpha"),
        ({"family": "mlp", "fixed": {"epochs": 3}}, "no hyperparameter 'epochs'"),
        ({"family": "mlp", "trials": 0}, "trials"),
        ({"family": "mlp", "protocols": ["cold"]}, "'cold' is now 'speaker_independent'"),
        ({"family": "mlp", "colour": "red"}, "colour"),
        (
            {"family": "logistic_regression", "space": C_RANGE, "fixed": {"model__C": 1.0}},
            "both fixed and searched",
        ),
        (
            {
                "family": "logistic_regression",
                "space": {"model__C": {"type": "float", "low": 2.0, "high": 1.0}},
            },
            "low 2.0 above high 1.0",
        ),
        (
            {
                "family": "logistic_regression",
                "space": {"model__C": {"type": "float", "low": 0.0, "high": 1.0, "log": True}},
            },
            "log scale",
        ),
    ],
)
def test_invalid_candidates_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        CandidateSettings.model_validate(settings)


def test_each_fold_fits_its_own_scaling_and_pca(statistics, codes):
    estimator = family_named("logistic_regression").build(seed=0)
    half = estimator.fit(statistics[:90], codes[:90])
    scaler = half.named_steps["preprocess"].named_transformers_["mfcc"].named_steps["scale"]
    np.testing.assert_allclose(scaler.mean_, statistics[:90].filter(like="mfcc_").mean(), atol=1e-5)
    pca = half.named_steps["preprocess"].named_transformers_["mfcc"].named_steps["pca"]
    assert pca.n_features_in_ == 12


def predictions_of(model: str, probabilities: list[list[float]]) -> pd.DataFrame:
    labels = ["angry", "sad"]
    table = pd.DataFrame(probabilities, columns=[f"p_{label}" for label in labels])
    return pd.DataFrame(
        {
            "utterance_id": [f"u{i}" for i in range(len(table))],
            "corpus": "c",
            "speaker": [f"s{i // 2 % 2}" for i in range(len(table))],
            "sex": "female",
            "model": model,
            "protocol": "speaker_independent",
            "condition": CLEAN,
            "evaluation": CROSS_VALIDATION,
            "fold": np.arange(len(table)) // 2 % 2,
            "label": ["angry", "sad"] * (len(table) // 2),
            "prediction": np.asarray(labels)[table.to_numpy().argmax(axis=1)],
        }
    ).join(table)


@pytest.fixture
def candidates():
    """Predictions of two models with independent errors, and of a third that guesses."""
    generator = np.random.default_rng(0)
    truth = np.tile([1.0, 0.0], 60)
    noisy = np.clip(truth + generator.normal(0, 0.45, (2, 120)), 0.02, 0.98)
    guesses = generator.uniform(0.02, 0.98, 120)
    tables = {"a": noisy[0], "b": noisy[1], "c": guesses}
    return pd.concat(
        [
            predictions_of(name, np.column_stack([angry, 1 - angry]).tolist())
            for name, angry in tables.items()
        ],
        ignore_index=True,
    )


@pytest.mark.parametrize("name", ["soft_voting", "stacking"])
def test_combination_weights_the_better_models(candidates, name):
    assert choose_members(candidates, name, most=1) == ()
    assert set(choose_members(candidates, name, most=3)) >= {"a", "b"}
    combined, combiner = combine(candidates, name, ["a", "b", "c"])
    scores = cross_validated_uar(pd.concat([candidates, combined]), "speaker_independent")
    assert scores[name] > scores[["a", "b", "c"]].max()
    assert list(combined) == list(candidates)
    assert set(combined["speaker"]) == {"s0", "s1"}
    probabilities = combined[["p_angry", "p_sad"]]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert set(combined["evaluation"]) == {CROSS_VALIDATION} != {TEST}
    size = np.abs(combiner.weights).reshape(-1, 3, 1 if name == "soft_voting" else 2)
    assert size.mean(axis=(0, 2))[2] < size.mean(axis=(0, 2))[:2].min()
    again = type(combiner).from_dict(json.loads(json.dumps(combiner.to_dict())))
    stacked = np.full((1, 3, 2), 0.5)
    np.testing.assert_allclose(again(stacked), combiner(stacked))


def test_soft_voting_is_the_same_without_members_of_weight_zero():
    vote = Combiner("soft_voting", ("a", "b", "c"), np.array([0.6, 0.0, 0.3]), np.empty(0))
    stacked = np.random.default_rng(0).dirichlet(np.ones(4), (5, 3))
    trimmed = vote.trimmed()
    assert trimmed.members == ("a", "c")
    np.testing.assert_allclose(trimmed(stacked[:, [0, 2]]), vote(stacked))
    assert Combiner.single("a").trimmed().members == ("a",)


def test_weights_for_a_fold_are_fitted_on_the_other_folds(candidates):
    # Swapping the labels of one fold must not change the probabilities of that fold.
    changed = candidates.copy()
    inside = changed["fold"] == 0
    changed.loc[inside, "label"] = changed.loc[inside, "label"].map(
        {"angry": "sad", "sad": "angry"}
    )
    for name in ("soft_voting", "stacking"):
        before = combine(candidates, name, ["a", "b", "c"])[0].set_index("utterance_id")
        after = combine(changed, name, ["a", "b", "c"])[0].set_index("utterance_id")
        changed_fold = before["fold"] == 0
        np.testing.assert_allclose(before.loc[changed_fold, "p_sad"], after["p_sad"][changed_fold])
        assert not np.allclose(before.loc[~changed_fold, "p_sad"], after["p_sad"][~changed_fold])


def test_untrusted_types_are_not_loaded(tmp_path):
    import skops.io
    from sklearn.preprocessing import FunctionTransformer

    skops.io.dump(FunctionTransformer(np.fromregex), tmp_path / "estimator.skops")
    with pytest.raises(UntrustedModel, match="fromregex"):
        load_estimator(tmp_path)
    with pytest.raises(FileNotFoundError, match="contains no estimator"):
        load_estimator(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"protocol": "cold"}, "'cold' is now 'speaker_independent'"),
        ({"compared": "speaker_independent;adapted"}, "'adapted' is now 'speaker_adapted'"),
        ({"compared": ["random"]}, "'random' is now 'random_split'"),
        ({"families": "svm;kernel_lda"}, "'kernel_lda' is now 'rocket_lda'"),
        ({"voters": 3}, "'voters' is now 'max_members'"),
    ],
)
def test_old_names_are_refused_with_the_new_one(settings, message):
    with pytest.raises(ValidationError, match=message):
        SelectionSettings(storage="", **settings)


def test_protocols_can_be_written_as_text():
    settings = SelectionSettings(compared="speaker_independent; enrolled", storage="")
    assert settings.compared == ["speaker_independent", "enrolled"]


def test_space_with_one_choice_is_not_searched():
    space = {
        "model__alpha": {"type": "float", "low": 0.5, "high": 0.5},
        "model__max_iter": {"type": "int", "low": 20, "high": 20},
        "model__hidden_layer_sizes": {"type": "categorical", "choices": [[8, 4]]},
    }
    fixed = {"model__learning_rate_init": 0.01}
    candidate = CandidateSettings.model_validate({"family": "mlp", "fixed": fixed, "space": space})
    expected = {"model__alpha": 0.5, "model__max_iter": 20, "model__hidden_layer_sizes": (8, 4)}
    assert candidate.only_choice == fixed | expected
    space["model__max_iter"]["high"] = 21
    candidate = CandidateSettings.model_validate({"family": "mlp", "fixed": fixed, "space": space})
    assert candidate.only_choice is None
    assert CandidateSettings(family="mlp").only_choice == {}
