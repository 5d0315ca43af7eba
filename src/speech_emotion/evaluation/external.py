"""External evaluation: score a trained model on other corpora, clean and over telephone lines.

Features are extracted into the feature cache and predicted block by block, so that memory does not grow
with the corpora and an interrupted evaluation continues where it stopped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final, NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field

from speech_emotion.audio import NONE, TELEPHONE_TEST, over_test_lines
from speech_emotion.bootstrap import bootstrap_counts, bootstrap_interval, share_interval
from speech_emotion.config import Settings, SplitNames
from speech_emotion.evaluation.calibration import BINS, calibration_error
from speech_emotion.evaluation.detection import (
    DetectionSettings,
    auc_interval,
    detection_metrics,
)
from speech_emotion.evaluation.metrics import class_table, classification_metrics, confusion
from speech_emotion.evaluation.protocol_data import CLEAN, TELEPHONE, probability_columns
from speech_emotion.features import (
    gather_embeddings,
    gather_features,
    index_features,
    store_embeddings,
    store_features,
)
from speech_emotion.models import (
    NOT_GIVEN,
    RECORDING_SEEN,
    SPEAKER_SEEN,
    UNKNOWN,
    EmotionPredictor,
    Threshold,
)
from speech_emotion.runtime import ShardStore, join

__all__ = [
    "EXTERNAL",
    "EXTERNAL_METRICS",
    "Exposure",
    "ExternalSettings",
    "class_recall_table",
    "confusion_table",
    "external_table",
    "extract_recordings",
    "find_exposure",
    "plan_recordings",
    "predict_recordings",
    "select_known_labels",
    "summarize_exposure",
]

EXTERNAL: Final = "external"
"""Value of the columns ``protocol`` and ``evaluation`` of external evaluations."""
EXTERNAL_METRICS: Final = (
    "accuracy",
    "uar",
    "macro_f1",
    "auc",
    "recall_at_threshold",
    "false_alarms_at_threshold",
    "calibration_error",
)
"""Metrics of :func:`external_table`, each with ``_low`` and ``_high``."""
GROUPS: Final = ("corpus", "language", "sex", "speaker")
DESCRIPTION: Final = ["utterance_id", "corpus", "language", "speaker", "sex", "label", "exposure"]
AGAIN: Final = "run the external_evaluation pipeline again"
KEYS: Final = ["utterance_id", "variant"]


class ExternalSettings(Settings):
    """How a trained model is evaluated on other corpora.

    Attributes:
        telephone: Whether each utterance is also scored over a telephone line.
        by: Columns of the utterances that the results are broken down by; those that the corpora do
            not have are left out.
        bootstrap: Resamples of speakers behind each interval.
        seed: Seed of the resampling.
    """

    telephone: bool = True
    by: Annotated[list[str], SplitNames] = Field(default=list(GROUPS))
    bootstrap: int = Field(1000, ge=100, le=100_000)
    seed: int = 0


class Exposure(NamedTuple):
    """How much of the evaluated data was in the training data of the model.

    Attributes:
        known: Whether the model carries keys of its training data.
        n_speakers: Speakers of the evaluated data.
        n_recordings: Recordings of the evaluated data.
        speakers_seen: Speakers that were in training, by name or by a recording.
        recordings_seen: Recordings that were in training.
        not_given: Other recordings whose speaker is not given.
    """

    known: bool
    n_speakers: int
    n_recordings: int
    speakers_seen: int
    recordings_seen: int
    not_given: int

    @property
    def unseen(self) -> bool:
        """Whether the data may be called unseen."""
        return self.known and not (self.speakers_seen or self.recordings_seen or self.not_given)

    @property
    def verdict(self) -> str:
        """Whether the data may be called unseen, in words."""
        if not self.known:
            return (
                "It is not known whether these data are unseen: the model carries no keys of its training "
                "data, because it was saved by an older version. Train it again to find out."
            )
        if self.unseen:
            return (
                f"Unseen data: none of the {self.n_speakers} speakers and none of the "
                f"{self.n_recordings} recordings was in the training data of the model."
            )
        if not self.speakers_seen:
            return (
                f"It is not known whether these data are unseen: the speakers of {self.not_given} of "
                f"{self.n_recordings} recordings are not given. None of the recordings was in the training "
                "data of the model."
            )
        return (
            f"NOT unseen data: {self.speakers_seen} of {self.n_speakers} speakers and "
            f"{self.recordings_seen} of {self.n_recordings} recordings were in the training data of the "
            "model. Scores on these data are too high; only those of the unseen speakers count."
        )


def find_exposure(
    utterances: pd.DataFrame, predictor: EmotionPredictor, given: pd.Series
) -> pd.Series:
    """Look up the utterances in the training data of the model.

    Args:
        utterances: Columns ``speaker`` and ``content_hash``.
        predictor: The model.
        given: Whether the speaker of each utterance is given.

    Returns:
        One of :data:`speech_emotion.models.EXPOSURES` a row.
    """
    if predictor.training_keys is None:
        return pd.Series(UNKNOWN, index=utterances.index)
    return predictor.training_keys.compare(utterances, given)


def summarize_exposure(utterances: pd.DataFrame) -> Exposure:
    """Count the speakers and recordings that were in training.

    Args:
        utterances: Columns ``speaker`` and ``exposure``.
    """
    seen = utterances["exposure"].isin([SPEAKER_SEEN, RECORDING_SEEN])
    return Exposure(
        known=not (utterances["exposure"] == UNKNOWN).any(),
        n_speakers=utterances["speaker"].nunique(),
        n_recordings=len(utterances),
        speakers_seen=utterances.loc[seen, "speaker"].nunique(),
        recordings_seen=int((utterances["exposure"] == RECORDING_SEEN).sum()),
        not_given=int((utterances["exposure"] == NOT_GIVEN).sum()),
    )


def select_known_labels(
    utterances: pd.DataFrame, labels: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Leave out utterances with labels that a model does not know.

    Args:
        utterances: Column ``label``.
        labels: Labels of the model.

    Returns:
        The other utterances; and ``label``, ``n_utterances`` of the labels that are left out.

    Raises:
        ValueError: If no label is known.

    Example:
        >>> utterances = pd.DataFrame({"label": ["sad", "bored", "sad"]})
        >>> known, left_out = select_known_labels(utterances, ["angry", "sad"])
        >>> len(known), left_out.to_dict("records")
        (2, [{'label': 'bored', 'n_utterances': 1}])
    """
    known = utterances["label"].isin(labels)
    counts = utterances.loc[~known, "label"].value_counts().sort_index()
    if not known.any():
        raise ValueError(
            f"The model knows none of the labels of these data ({', '.join(counts.index)}), only "
            f"{', '.join(labels)}: choose another corpora.label_set, or map the labels to those of the model"
        )
    left_out = pd.DataFrame({"label": counts.index, "n_utterances": counts.to_numpy()})
    return utterances[known].reset_index(drop=True), left_out


def plan_recordings(utterances: pd.DataFrame, *, telephone: bool) -> pd.DataFrame:
    """List what is scored, with keys in the feature cache: each recording, clean and over a test line.

    Args:
        utterances: Columns of :func:`speech_emotion.features.index_features`.
        telephone: Whether telephone sound is scored, too.

    Raises:
        LineUnavailable: If libsndfile cannot write the codec of a test line.
    """
    original = {"variant": 0, "transform": NONE, "value": 0.0, "seed": 0, "line": ""}
    recordings = utterances[["utterance_id"]].assign(**original)
    plan = over_test_lines(recordings) if telephone else recordings.head(0)
    return index_features(utterances, plan.assign(protocol=EXTERNAL))


def extract_recordings(
    index: pd.DataFrame, predictor: EmotionPredictor, cache: ShardStore, *, n_jobs: int = -1
) -> None:
    """Extract what the model needs and the cache does not have.

    Args:
        index: Result of :func:`plan_recordings`.
        predictor: The model.
        cache: The feature cache.
        n_jobs: Processes if no cluster is used.
    """
    if predictor.needs_features:
        store_features(index, predictor.features, cache, n_jobs=n_jobs)
    if predictor.encoder is not None:
        store_embeddings(index, predictor.encoder, cache, n_jobs=n_jobs)


def predict_recordings(
    index: pd.DataFrame, utterances: pd.DataFrame, predictor: EmotionPredictor, cache: ShardStore
) -> tuple[Iterator[pd.DataFrame], pd.DataFrame]:
    """Predict from the cache, block by block.

    Args:
        index: Result of :func:`plan_recordings`.
        utterances: Columns ``utterance_id``, ``corpus``, ``speaker``, ``sex``, ``label`` and
            ``exposure``, and if the corpora have it ``language``.
        predictor: The model.
        cache: The feature cache, filled by :func:`extract_recordings`.

    Returns:
        Predictions with the columns of ``utterances`` and ``model``, ``protocol``, ``evaluation``,
        ``condition``, ``line``, ``prediction`` and ``p_<label>``; and ``path``, ``variant`` and ``reason``
        of sounds without prediction.

    Raises:
        ValueError: If no sound can be predicted.
    """
    rejected = []
    if predictor.needs_features:
        rejected.append(gather_features(index, predictor.features, cache).rejected)
        index = _without(index, rejected[-1])
    if predictor.encoder is not None:
        rejected.append(gather_embeddings(index, predictor.encoder, cache).rejected)
        index = _without(index, rejected[-1])
    unusable = pd.concat(rejected, ignore_index=True)
    if index.empty:
        first = unusable.iloc[0]
        raise ValueError(
            f"None of {len(unusable)} sounds can be predicted, the first: {first['path']}: {first['reason']}"
        )
    return _predict(index, utterances, predictor, cache), unusable


def _without(index: pd.DataFrame, rejected: pd.DataFrame) -> pd.DataFrame:
    both = ["path", "variant"]
    out = pd.MultiIndex.from_frame(index[both]).isin(pd.MultiIndex.from_frame(rejected[both]))
    return index[~out].reset_index(drop=True)


def _predict(
    index: pd.DataFrame, utterances: pd.DataFrame, predictor: EmotionPredictor, cache: ShardStore
) -> Iterator[pd.DataFrame]:
    described = utterances[[name for name in DESCRIPTION if name in utterances]]
    for keys, inputs in _blocks(index, predictor, cache):
        values = predictor.predict_proba(**inputs)
        table = join(keys, described, "utterance_id", names=("sounds", "utterances"), remedy=AGAIN)
        table["condition"] = np.where(keys["variant"] == TELEPHONE_TEST, TELEPHONE, CLEAN)
        table = join(
            table, index[[*KEYS, "line"]], KEYS, names=("sounds", "index of sounds"), remedy=AGAIN
        )
        table = table.drop(columns="variant").assign(
            model=predictor.name,
            protocol=EXTERNAL,
            evaluation=EXTERNAL,
            prediction=np.asarray(predictor.labels)[values.argmax(axis=1)],
            **{f"p_{label}": values[:, code] for code, label in enumerate(predictor.labels)},
        )
        yield table


def _blocks(
    index: pd.DataFrame, predictor: EmotionPredictor, cache: ShardStore
) -> Iterator[tuple[pd.DataFrame, dict[str, Any]]]:
    """Yield keys and inputs of the predictor, both in the same blocks."""
    embeddings = frames = features = sequences = None
    if predictor.encoder is not None:
        encoded = gather_embeddings(index, predictor.encoder, cache)
        embeddings, frames = encoded.statistics, encoded.sequences
    if predictor.needs_features:
        stored = gather_features(index, predictor.features, cache)
        features, sequences = stored.statistics, stored.sequences
    for block in features if features is not None else embeddings or ():
        inputs: dict[str, Any] = {}
        if features is not None and sequences is not None:
            inputs["statistics"] = block.drop(columns=KEYS)
            inputs["sequences"] = next(sequences)
            if embeddings is not None:
                inputs["embeddings"] = next(embeddings).drop(columns=KEYS).to_numpy()
        else:
            inputs["embeddings"] = block.drop(columns=KEYS).to_numpy()
        if frames is not None:
            inputs["encoder_frames"] = next(frames)
        yield block[KEYS], inputs


def external_table(
    predictions: pd.DataFrame,
    labels: Sequence[str],
    settings: ExternalSettings,
    *,
    target: str,
    threshold: Threshold | None,
) -> pd.DataFrame:
    """Compute all metrics of the whole data and of each group, with 95 % intervals over speakers.

    Args:
        predictions: Table of :func:`predict_recordings`.
        labels: Labels of the model.
        settings: Groups, resamples and seed.
        target: Label that is detected.
        threshold: Decision threshold that is stored with the model; ``None`` for older models.

    Returns:
        One row a condition and group: ``condition``, ``by`` (``all``, ``exposure`` or one of
        ``settings.by``), ``value``, ``n_utterances``, ``n_speakers``, ``n_labels`` (labels that occur)
        and each of :data:`EXTERNAL_METRICS` with ``_low`` and ``_high``. Detection metrics are NaN
        without utterances of the target or without others; bounds are NaN with one speaker.
    """
    by = ["all", "exposure", *(name for name in settings.by if name in predictions)]
    rows = []
    for condition, subset in predictions.assign(all="all").groupby("condition", sort=True):
        for column in by:
            for value, group in subset.groupby(column, sort=True):
                names = {"condition": condition, "by": column, "value": value}
                metrics = _group_metrics(group, labels, settings, target, threshold)
                rows.append(names | metrics)
    bounded = [f"{name}{end}" for name in EXTERNAL_METRICS for end in ("", "_low", "_high")]
    described = ["condition", "by", "value", "n_utterances", "n_speakers", "n_labels"]
    return pd.DataFrame(rows, columns=[*described, *bounded])


def _group_metrics(
    group: pd.DataFrame,
    labels: Sequence[str],
    settings: ExternalSettings,
    target: str,
    threshold: Threshold | None,
) -> dict[str, float]:
    options: dict[str, Any] = {"resamples": settings.bootstrap, "seed": settings.seed}
    metrics = classification_metrics(group, labels, **options)
    metrics["n_labels"] = group["label"].nunique()
    speakers, n_speakers = pd.factorize(group["speaker"])
    draws = bootstrap_counts(len(n_speakers), **options)
    if f"p_{target}" in group:
        is_target = (group["label"] == target).to_numpy()
        scores = group[f"p_{target}"].to_numpy()
        metrics["auc"] = detection_metrics(is_target, scores, DetectionSettings())["auc"]
        if not np.isnan(metrics["auc"]):
            bounds = auc_interval(is_target, scores, group["speaker"].to_numpy(), **options)
            metrics["auc_low"], metrics["auc_high"] = bounds
        if threshold is not None:
            flagged = scores >= threshold.value
            metrics |= _share("recall_at_threshold", flagged, is_target, speakers, draws)
            metrics |= _share("false_alarms_at_threshold", flagged, ~is_target, speakers, draws)
    return metrics | _calibration(group, speakers, draws)


def _share(
    name: str, hits: np.ndarray, among: np.ndarray, speakers: np.ndarray, draws: np.ndarray
) -> dict[str, float]:
    """Share of ``hits`` in ``among`` with its interval."""
    n_speakers = draws.shape[1]
    numerator = np.bincount(speakers, hits & among, n_speakers)
    denominator = np.bincount(speakers, among, n_speakers)
    value, low, high = share_interval(numerator, denominator, draws)
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def _calibration(group: pd.DataFrame, speakers: np.ndarray, draws: np.ndarray) -> dict[str, float]:
    """Calibration error with its interval."""
    confidence = group[probability_columns(group)].to_numpy().max(axis=1)
    correct = (group["label"] == group["prediction"]).to_numpy()
    n_speakers = draws.shape[1]
    place = speakers * BINS + np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(place, confidence - correct, n_speakers * BINS).reshape(n_speakers, BINS)
    sizes = draws @ np.bincount(speakers, minlength=n_speakers)
    low, high = bootstrap_interval(np.abs(draws @ gaps).sum(axis=1) / sizes, n_speakers)
    return {
        "calibration_error": calibration_error(confidence, correct),
        "calibration_error_low": float(low),
        "calibration_error_high": float(high),
    }


def class_recall_table(
    predictions: pd.DataFrame, labels: Sequence[str], settings: ExternalSettings
) -> pd.DataFrame:
    """Compute recall with intervals, precision, F1 and support of each label that occurs.

    Args:
        predictions: Table of :func:`predict_recordings`.
        labels: Labels of the model.
        settings: Resamples and seed.

    Returns:
        One row a condition and label: ``condition``, ``label``, ``recall``, ``recall_low``,
        ``recall_high``, ``precision``, ``f1``, ``support`` and ``n_speakers`` of the label.
    """
    tables = []
    for condition, subset in predictions.groupby("condition", sort=True):
        present = [label for label in labels if (subset["label"] == label).any()]
        table = class_table(subset, present).assign(condition=condition)
        speakers, names = pd.factorize(subset["speaker"])
        draws = bootstrap_counts(len(names), resamples=settings.bootstrap, seed=settings.seed)
        hits = (subset["label"] == subset["prediction"]).to_numpy()
        among = [(subset["label"] == label).to_numpy() for label in present]
        intervals = pd.DataFrame([_share("recall", hits, one, speakers, draws) for one in among])
        table[["recall_low", "recall_high"]] = intervals[["recall_low", "recall_high"]]
        table["n_speakers"] = [len(set(speakers[one])) for one in among]
        tables.append(table)
    ends = ["recall", "recall_low", "recall_high", "precision", "f1", "support", "n_speakers"]
    return pd.concat(tables, ignore_index=True)[["condition", "label", *ends]]


def confusion_table(predictions: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Count predictions by true label.

    Returns:
        One row a condition, ``label`` and ``prediction``: ``n_utterances``, and ``share`` of the label.
    """
    tables = []
    for condition, subset in predictions.groupby("condition", sort=True):
        counts = confusion(labels, subset["label"], subset["prediction"])
        present = counts.sum(axis=1) > 0
        rows = pd.DataFrame(counts[present], index=np.asarray(labels)[present], columns=labels)
        long = rows.stack().rename("n_utterances").rename_axis(["label", "prediction"])
        table = long.reset_index()
        table["share"] = table["n_utterances"] / table.groupby("label")["n_utterances"].transform(
            "sum"
        )
        tables.append(table.assign(condition=condition))
    columns = ["condition", "label", "prediction", "n_utterances", "share"]
    return pd.concat(tables, ignore_index=True)[columns]
