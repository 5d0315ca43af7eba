import dataclasses
import logging
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml

from speech_emotion.audio import AudioError, content_digest, encode_sound, read_samples
from speech_emotion.corpora import Speaker, speak
from speech_emotion.datasets import Registration, RegistryDataset
from speech_emotion.encoders import find_encoder
from speech_emotion.evaluation import (
    ExternalSettings,
    class_recall_table,
    confusion_table,
    external_table,
    extract_recordings,
    plan_recordings,
    predict_recordings,
    select_known_labels,
    summarize_exposure,
)
from speech_emotion.features import FeatureSettings, embed, embedding_names, extract, store
from speech_emotion.models import (
    FITS,
    NOT_GIVEN,
    SPEAKER_SEEN,
    UNKNOWN,
    UNSEEN,
    Combiner,
    EmotionPredictor,
    Member,
    Threshold,
    TrainingKeys,
    family_named,
)
from speech_emotion.runtime import ShardStore

LABELS = ("angry", "neutral", "sad")
CODES = {"angry": "ANG", "neutral": "NEU", "sad": "SAD", "disgust": "DIS"}
RATE = 16000
FAMILY = "logistic_regression"


def voice(speaker, emotion, sentence):
    return speak(Speaker(f"voice {speaker}", "female"), emotion, sentence, "", RATE)


@pytest.fixture(scope="module")
def predictor():
    """Logistic regression on means of synthetic voices, trained on speakers 1001 to 1004."""
    settings = FeatureSettings(feature_set="means_36", sample_rate=RATE)
    spoken = [(n, code, s) for n in range(1001, 1005) for code in range(3) for s in ("IEO", "TIE")]
    rows = [
        extract(voice(n, LABELS[code], sentence), RATE, settings=settings)[0]
        for n, code, sentence in spoken
    ]
    estimator = family_named(FAMILY).build(seed=0)
    estimator.fit(pd.DataFrame(rows), np.array([code for _, code, _ in spoken]))
    training = pd.DataFrame({"speaker": ["crema_d_1001"], "content_hash": ["unheard"]})
    return EmotionPredictor(
        LABELS,
        settings,
        (Member(FAMILY, estimator),),
        Combiner.single(FAMILY),
        threshold=Threshold(
            target="angry", value=0.5, false_alarms=0.1, recall=0.9, n_utterances=24, n_speakers=4
        ),
        training_keys=TrainingKeys.from_utterances(training),
    )


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """Speakers in the layout of CREMA-D; 1001 was in training, and no model knows disgust."""
    root = tmp_path_factory.mktemp("corpora")
    folder = root / "crema_d" / "AudioWAV"
    folder.mkdir(parents=True)
    for speaker in (1001, 1011, 1012):
        for emotion in ("angry", "neutral", "sad", *(["disgust"] if speaker == 1011 else [])):
            path = folder / f"{speaker}_IWW_{CODES[emotion]}_XX.wav"
            soundfile.write(path, voice(speaker, emotion, "IWW"), RATE)
    (folder / "1012_TIE_SAD_XX.wav").write_text("no sound")
    return root


def content_of(path):
    """Hash of the samples, as ingestion computes it; a file without sound has none."""
    try:
        return content_digest(*read_samples(path))
    except AudioError:
        return path.stem


@pytest.fixture
def tested(corpora):
    rows = [
        {
            "utterance_id": path.stem,
            "path": str(path),
            "content_hash": content_of(path),
            "corpus": "crema_d",
            "speaker": path.stem[:4],
            "sex": "female",
            "label": {code: emotion for emotion, code in CODES.items()}[path.stem[9:12]],
            "exposure": UNSEEN,
        }
        for path in sorted(corpora.rglob("*.wav"))
    ]
    table = pd.DataFrame(rows)
    return table[table["label"].isin(LABELS)].reset_index(drop=True)


def test_blocks_predict_what_the_model_predicts_for_files(tested, predictor, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "BLOCK", 4)  # several blocks
    cache = ShardStore(f"{tmp_path}/cache")
    index = plan_recordings(tested, telephone=True)
    extract_recordings(index, predictor, cache, n_jobs=1)
    blocks, rejected = predict_recordings(index, tested, predictor, cache)
    blocks = list(blocks)
    assert [len(block) for block in blocks] == [4, 4, 4, 4, 2]
    predictions = pd.concat(blocks, ignore_index=True)
    assert predictions["condition"].value_counts().to_dict() == {"clean": 9, "telephone": 9}
    assert set(predictions.loc[predictions["condition"] == "clean", "line"]) == {""}
    assert set(rejected["path"]) == set(tested["path"]) - set(
        tested.merge(predictions, on="utterance_id")["path"]
    )
    clean = predictions[predictions["condition"] == "clean"].merge(
        tested[["utterance_id", "path"]], on="utterance_id"
    )
    expected = predictor.predict_files(clean["path"].tolist())
    assert expected["emotion"].tolist() == clean["prediction"].tolist()
    columns = [f"p_{label}" for label in LABELS]
    np.testing.assert_allclose(clean[columns], expected[list(LABELS)], atol=1e-5)
    telephone = predictions[predictions["condition"] == "telephone"]
    assert set(telephone["line"]) <= {"opus_12k", "gsm", "steep_ulaw"}
    assert not np.allclose(telephone[columns], clean[columns], atol=1e-3)


@pytest.fixture
def encoder_predictor(predictor, tiny_encoder):
    """Members on features, and on statistics and frames of an encoder of random weights."""
    encoder = find_encoder(str(tiny_encoder))
    spoken = [(n, code) for n in range(1001, 1005) for code in range(3)]
    embedded = [embed(voice(n, LABELS[code], "IEO"), encoder) for n, code in spoken]
    codes = np.array([code for _, code in spoken])
    names = embedding_names("tiny", tuple(encoder.layers), encoder.card.width)
    table = pd.DataFrame([one.statistics for one in embedded], columns=names)
    attention = family_named("encoder_attention").build(seed=0)
    attention.set_params(networks=1, epochs=1, units=8)
    members = (
        *predictor.members,
        Member("encoder_lda", family_named("encoder_lda").build(seed=0).fit(table, codes)),
        Member("encoder_attention", attention.fit(np.stack([e.frames for e in embedded]), codes)),
    )
    stacked = np.full((12, 3, 3), 1 / 3)
    combiner = FITS["soft_voting"](tuple(member.family for member in members), stacked, codes)
    return dataclasses.replace(predictor, members=members, combiner=combiner, encoder=encoder)


@pytest.mark.usefixtures("eagerly")
def test_blocks_of_an_encoder_are_those_of_the_features(
    tested, encoder_predictor, tmp_path, monkeypatch
):
    monkeypatch.setattr(store, "BLOCK", 4)
    cache = ShardStore(f"{tmp_path}/cache")
    index = plan_recordings(tested, telephone=False)
    extract_recordings(index, encoder_predictor, cache, n_jobs=1)
    blocks, _ = predict_recordings(index, tested, encoder_predictor, cache)
    found = pd.concat(list(blocks), ignore_index=True).merge(
        tested[["utterance_id", "path"]], on="utterance_id"
    )
    assert len(found) == 9
    expected = encoder_predictor.predict_files(found["path"].tolist())
    columns = [f"p_{label}" for label in LABELS]
    np.testing.assert_allclose(found[columns], expected[list(LABELS)], atol=2e-3)


@pytest.fixture
def predictions():
    """Two speakers, six utterances; the first speaker is recognized, the second is not."""
    rows = [
        ("anna", "angry", "angry", 0.9),
        ("anna", "angry", "angry", 0.6),
        ("anna", "sad", "sad", 0.2),
        ("ben", "angry", "sad", 0.4),
        ("ben", "sad", "angry", 0.8),
        ("ben", "sad", "sad", 0.1),
    ]
    table = pd.DataFrame(rows, columns=["speaker", "label", "prediction", "p_angry"])
    return table.assign(p_sad=1 - table["p_angry"], corpus="c", condition="clean", exposure=UNSEEN)


def test_metrics_of_known_predictions(predictions):
    threshold = Threshold(
        target="angry", value=0.5, false_alarms=0.1, recall=1, n_utterances=9, n_speakers=3
    )
    settings = ExternalSettings(bootstrap=200)
    table = external_table(
        predictions, ["angry", "sad"], settings, target="angry", threshold=threshold
    ).set_index(["by", "value"])
    everything = table.loc[("all", "all")]
    assert everything["uar"] == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert everything["recall_at_threshold"] == pytest.approx(2 / 3)
    assert everything["false_alarms_at_threshold"] == pytest.approx(1 / 3)
    assert everything["auc"] == pytest.approx(7 / 9)
    # Bins of confidence: 0.6 twice (one correct), 0.8 twice (one correct), 0.9 twice (all correct).
    expected = (abs(1.2 - 1) + abs(1.6 - 1) + abs(1.8 - 2)) / 6
    assert everything["calibration_error"] == pytest.approx(expected)
    assert everything["recall_at_threshold_low"] == 0
    assert everything["recall_at_threshold_high"] == 1
    anna = table.loc[("speaker", "anna")]
    assert (anna["uar"], anna["recall_at_threshold"]) == (1, 1)
    assert np.isnan(anna["uar_low"])
    assert np.isnan(anna["recall_at_threshold_low"])
    assert np.isnan(anna["calibration_error_low"])
    assert ("corpus", "c") in table.index
    assert not {"language", "sex"} & set(table.index.get_level_values("by"))


def test_groups_without_the_target_have_no_detection_metrics(predictions):
    calm = predictions[predictions["label"] == "sad"]
    row = external_table(
        calm, ["angry", "sad"], ExternalSettings(bootstrap=100), target="angry", threshold=None
    ).iloc[0]
    assert np.isnan(row["auc"])
    assert np.isnan(row["recall_at_threshold"])
    assert row["n_labels"] == 1


def test_recall_and_confusion_of_each_label(predictions):
    recalls = class_recall_table(predictions, ["angry", "happy", "sad"], ExternalSettings())
    assert recalls["label"].tolist() == ["angry", "sad"]
    assert recalls["recall"].tolist() == pytest.approx([2 / 3, 2 / 3])
    assert recalls["recall_low"].tolist() == [0.0, 0.5]
    assert recalls["recall_high"].tolist() == [1.0, 1.0]
    counts = confusion_table(predictions, ["angry", "happy", "sad"])
    shares = counts.set_index(["label", "prediction"])["share"]
    assert shares["angry", "sad"] == pytest.approx(1 / 3)
    assert shares["angry", "happy"] == 0
    assert "happy" not in shares.index.get_level_values("label")


def test_labels_that_the_model_does_not_know_are_counted_or_refused():
    utterances = pd.DataFrame({"label": ["sad", "bored", "bored", "disgust"]})
    known, left_out = select_known_labels(utterances, LABELS)
    assert known["label"].tolist() == ["sad"]
    assert left_out.set_index("label")["n_utterances"].to_dict() == {"bored": 2, "disgust": 1}
    with pytest.raises(ValueError, match=r"knows none of the labels.*bored, disgust.*label_set"):
        select_known_labels(utterances[1:], LABELS)


@pytest.mark.parametrize(
    ("exposures", "unseen", "verdict"),
    [
        ([UNSEEN, UNSEEN], True, "Unseen data: none of the 2 speakers"),
        ([UNSEEN, SPEAKER_SEEN], False, "NOT unseen data: 1 of 2 speakers and 0 of 2 recordings"),
        ([UNKNOWN, UNKNOWN], False, "carries no keys"),
        ([UNSEEN, NOT_GIVEN], False, "the speakers of 1 of 2 recordings are not given"),
    ],
)
def test_only_data_without_speakers_of_training_are_called_unseen(exposures, unseen, verdict):
    table = pd.DataFrame({"speaker": ["a", "b"], "exposure": exposures})
    exposure = summarize_exposure(table)
    assert exposure.unseen is unseen
    assert verdict in exposure.verdict


def test_defaults_equal_the_base_configuration():
    path = Path(__file__).parents[2] / "conf/base/external_evaluation/parameters.yml"
    written = yaml.safe_load(path.read_text())["external_evaluation"]
    assert ExternalSettings().model_dump() == written


@pytest.fixture
def registered(tmp_path, empty_store, predictor):
    """Register the predictor in the store of a data folder."""
    import shutil

    data_dir = tmp_path / "data"
    data_dir.mkdir()
    shutil.copy(empty_store, data_dir / "mlflow.db")
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{data_dir}/mlflow.db")
    experiment = mlflow.create_experiment("speech-emotion", str(data_dir / "mlflow"))
    example = encode_sound(voice(1001, "neutral", "IEO"), RATE)
    with mlflow.start_run(experiment_id=experiment):
        registration = Registration(predictor, "uar", 0.5, "split", example)
        RegistryDataset(name="speech-emotion").save(registration)
    yield data_dir
    mlflow.set_tracking_uri(before)


def test_champion_is_evaluated_on_a_corpus(registered, corpora, run_kedro, caplog, audit_file):
    with caplog.at_level(logging.INFO):
        run_kedro(
            registered,
            params={"corpora_dir": str(corpora), "external_evaluation": {"bootstrap": 100}},
            pipeline_names=["external_evaluation"],
        )
    assert "NOT unseen data: 1 of 3 speakers and 0 of 9 recordings" in caplog.text
    assert "the model does not know the label 'disgust'" in caplog.text
    folder = registered / "08_reporting/external_evaluation"
    metrics = pd.read_csv(folder / "metrics.csv").set_index(["condition", "by", "value"])
    assert metrics.loc[("clean", "all", "all"), "n_utterances"] == 9
    assert metrics.loc[("clean", "exposure", UNSEEN), "n_utterances"] == 6
    assert metrics.loc[("telephone", "exposure", SPEAKER_SEEN), "n_speakers"] == 1
    predictions = pd.read_parquet(
        registered / "07_model_output/external_evaluation/predictions.parquet"
    )
    clean = predictions[predictions["condition"] == "clean"]
    recalls = (clean["label"] == clean["prediction"]).groupby(clean["label"]).mean()
    assert metrics.loc[("clean", "all", "all"), "uar"] == pytest.approx(recalls.mean())
    rejected = pd.read_csv(folder / "rejected.csv")
    assert rejected["path"].str.contains("1012_TIE_SAD_XX.wav").tolist() == [True]
    data = pd.read_csv(folder / "data.csv").set_index("group")["n"]
    assert data["label that the model does not know"] == 1
    page = (folder / "external_evaluation.html").read_text()
    assert "NOT unseen data" in page
    assert "speech-emotion version 1 (champion)" in page
    assert "external_evaluation.html" in (registered / "08_reporting/index.html").read_text()
    audit_file(folder / "external_evaluation.html")
    audit_file(registered / "08_reporting/index.html")

    client = mlflow.MlflowClient(f"sqlite:///{registered}/mlflow.db")
    version = client.get_model_version_by_alias("speech-emotion", "champion")
    (run,) = client.search_runs(["1"], "tags.unseen = 'False'")
    assert run.data.metrics["uar"] == pytest.approx(recalls.mean())
    assert run.info.run_id in version.tags["external/crema_d"]
    run = client.get_run(run.info.run_id)  # a search leaves the models out
    (model,) = client.search_logged_models(["1"])
    assert [entry.model_id for entry in run.inputs.model_inputs] == [model.model_id]
    linked = {metric.key for metric in client.get_logged_model(model.model_id).metrics}
    assert {"uar", "auc", "telephone/uar"} <= linked


def test_a_model_without_keys_says_so(predictor, corpora, run_kedro, tmp_path, caplog):
    dataclasses.replace(predictor, training_keys=None).save(tmp_path / "old")
    params = {"corpora_dir": str(corpora), "model_uri": str(tmp_path / "old")}
    params["external_evaluation"] = {"telephone": False, "bootstrap": 100}
    with caplog.at_level(logging.WARNING):
        run_kedro(tmp_path / "data", params=params, pipeline_names=["external_evaluation"])
    assert "the model carries no keys of its training data" in caplog.text
    page = tmp_path / "data/08_reporting/external_evaluation/external_evaluation.html"
    assert "not known whether these data are unseen" in page.read_text()
    assert "Telephone sound was not scored" in page.read_text()
