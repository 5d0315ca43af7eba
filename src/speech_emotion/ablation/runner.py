"""Train and compare ablation configurations.

All comparisons use protocol ``speaker_independent`` and cross-validation over the training speakers.
The test set is not used.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd
from tqdm import tqdm

from speech_emotion.corpora import TRAIN, in_split
from speech_emotion.evaluation import (
    CandidateSettings,
    Examples,
    SelectionSettings,
    classification_metrics,
    fit_estimator,
    make_examples,
    paired_table,
    probabilities,
)
from speech_emotion.features import KERNEL_PREFIX
from speech_emotion.models import BANDWIDTH_FEATURE, family_named
from speech_emotion.runtime import fan_out

__all__ = [
    "AblationConfig",
    "AblationData",
    "compare",
    "difference",
    "in_parallel",
    "predict",
    "probability_columns",
    "statistic_names",
]

PROTOCOL: Final = "speaker_independent"
KEYS: Final = ["utterance_id", "variant"]
METRIC_COLUMNS: Final = ["n_utterances", "n_speakers", "uar", "uar_low", "uar_high"]
DIFFERENCE: Final = ["difference", "difference_low", "difference_high", "better"]


def statistic_names(features: Iterable[str]) -> list[str]:
    """Columns of a features table without keys and responses of convolution kernels."""
    return [name for name in features if name not in KEYS and not name.startswith(KERNEL_PREFIX)]


@dataclass(frozen=True)
class AblationData:
    """Features and utterances of the training speakers.

    Attributes:
        index: ``utterance_id`` and ``variant`` of each row.
        values: Features, float32 of shape ``(n, n_features)``: first ``names``, then ``kernels``.
        names: Names of the features.
        kernels: Names of the responses of convolution kernels, which only ``rocket_lda`` reads.
        utterances: Utterances of the training speakers.
        splits: Folds under ``speaker_independent``.
        labels: All labels.
        sequences: Frames, shape ``(n, n_frames, n_channels)``; ``None`` if no model reads them.
    """

    index: pd.DataFrame
    values: np.ndarray
    names: tuple[str, ...]
    kernels: tuple[str, ...]
    utterances: pd.DataFrame
    splits: pd.DataFrame
    labels: tuple[str, ...]
    sequences: np.ndarray | None = None

    @classmethod
    def select(
        cls,
        features: pd.DataFrame,
        utterances: pd.DataFrame,
        splits: pd.DataFrame,
        *,
        labels: Sequence[str],
        sequences: np.ndarray | None = None,
    ) -> AblationData:
        """Select the training speakers of ``speaker_independent``.

        Args:
            features: Features table with the columns ``utterance_id`` and ``variant``.
            utterances: All utterances.
            splits: Table of :func:`speech_emotion.corpora.assign_splits`.
            labels: All labels.
            sequences: Frames with the rows of ``features``; ``None`` if no model reads them.
        """
        folds = splits[(splits["protocol"] == PROTOCOL) & (splits["split"] == TRAIN)]
        in_training = in_split(features["utterance_id"], splits, PROTOCOL, TRAIN)
        rows = features[in_training]
        kernels = [name for name in features if name.startswith(KERNEL_PREFIX)]
        statistics = statistic_names(features)
        of_training = in_split(utterances["utterance_id"], splits, PROTOCOL, TRAIN)
        return cls(
            rows[KEYS].reset_index(drop=True),
            np.ascontiguousarray(rows[statistics + kernels], dtype=np.float32),
            tuple(statistics),
            tuple(kernels),
            utterances[of_training].reset_index(drop=True),
            folds.reset_index(drop=True),
            tuple(labels),
            None if sequences is None else np.asarray(sequences[np.flatnonzero(in_training)]),
        )


@dataclass(frozen=True)
class AblationConfig:
    """One ablation configuration: a model, and the features and examples it is trained on.

    Attributes:
        name: Unique name within the comparison.
        candidate: Family, hyperparameters and copies to train on.
        description: Further columns of its rows in the table of :func:`compare`.
        reference: Name of the configuration that it is compared with; ``None`` for none.
        features: Features to read; ``None`` for all.
        rows: Mask of the rows of the data to use, shape ``(n,)``; ``None`` for all.
        splits: Folds to use instead of those of the data.
        seed: Seed of the estimator.
    """

    name: str
    candidate: CandidateSettings
    description: dict[str, Any] = field(default_factory=dict)
    reference: str | None = None
    features: tuple[str, ...] | None = None
    rows: np.ndarray | None = None
    splits: pd.DataFrame | None = None
    seed: int = 0

    def inputs(self, data: AblationData) -> pd.DataFrame | np.ndarray:
        """Select the features or the frames that the configuration reads."""
        rows = slice(None) if self.rows is None else np.flatnonzero(self.rows)
        if family_named(self.candidate.family).inputs == "sequences":
            if data.sequences is None:
                raise ValueError(
                    f"{self.name} reads frames, and the data has none: pass `sequences` to "
                    "AblationData.select"
                )
            return data.sequences[rows]
        chosen = data.names if self.features is None else self.features
        # Bandwidth models need the bandwidth to choose a model, even if they do not train on it. A model
        # on embeddings would take it for a layer.
        per_bandwidth = family_named(self.candidate.family).per_bandwidth
        bandwidth = {BANDWIDTH_FEATURE} & set(data.names) if per_bandwidth else ()
        names = list(dict.fromkeys([*chosen, *bandwidth]))
        positions = pd.Index(data.names + data.kernels).get_indexer(pd.Index(names))
        return pd.DataFrame(data.values[rows][:, positions], columns=names)

    def examples(self, data: AblationData) -> Examples:
        """Select the examples that the configuration uses."""
        rows = slice(None) if self.rows is None else np.flatnonzero(self.rows)
        return make_examples(
            data.index.iloc[rows].reset_index(drop=True),
            self.inputs(data),
            data.utterances,
            data.splits if self.splits is None else self.splits,
            labels=data.labels,
            protocol=PROTOCOL,
            copies=self.candidate.copies,
            telephone=self.candidate.telephone,
        )

    @property
    def estimator_settings(self) -> SelectionSettings:
        """Seed and number of threads (one) of its estimators."""
        return SelectionSettings(seed=self.seed, n_jobs=1, storage="")


def probability_columns(labels: Iterable[str]) -> list[str]:
    """Columns of predictions that hold the probability of each label."""
    return [f"p_{label}" for label in labels]


def predict(config: AblationConfig, data: AblationData) -> pd.DataFrame:
    """Predict each fold with a model of the other folds.

    Returns:
        ``model`` (name of the configuration), ``condition``, ``utterance_id``, ``speaker``, ``label``,
        ``prediction``, ``n_training`` (training examples of the fold), ``n_features`` (features, or
        channels of a frame, that the model reads) and ``p_<label>`` for each label.
    """
    examples = config.examples(data)
    labels = np.asarray(examples.labels)
    tables = []
    for fold in examples.folds:
        training, tests = examples.fold(fold)
        estimator = fit_estimator(config.candidate, {}, training, config.estimator_settings)
        for condition, tested in tests.items():
            predicted = probabilities(estimator, tested, examples.labels)
            codes = predicted.argmax(axis=1)
            n_inputs = tested.inputs.shape[-1]
            tables.append(
                tested.table[["utterance_id", "speaker", "label"]].assign(
                    model=config.name,
                    condition=condition,
                    prediction=labels[codes],
                    n_training=len(training.codes),
                    n_features=n_inputs if config.features is None else len(config.features),
                    **dict(zip(probability_columns(labels), predicted.T, strict=True)),
                )
            )
    return pd.concat(tables, ignore_index=True)


def in_parallel(
    function: Callable[..., Any],
    calls: Iterable[tuple[Any, ...]],
    *,
    shared: tuple[Any, ...],
    n_jobs: int,
    title: str,
) -> list[Any]:
    """Call ``function`` like :func:`speech_emotion.runtime.fan_out`, with a progress bar."""
    calls = list(calls)
    results = fan_out(function, calls, shared=shared, n_jobs=n_jobs)
    return list(tqdm(results, total=len(calls), desc=title))


def compare(
    configs: Sequence[AblationConfig],
    data: AblationData,
    *,
    title: str,
    n_jobs: int = 1,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Train and test all configurations, and compare each with its reference on the same speakers.

    Args:
        configs: Configurations to compare.
        data: Data that all of them are trained and tested on.
        title: Title of the progress bar.
        n_jobs: Configurations trained at the same time; the results are the same for any number.
        resamples: Resamples of speakers behind each interval.
        seed: Seed of the resampling.

    Returns:
        A table with one row a configuration and condition, and all predictions. The table has the
        columns ``config``, those of its description, ``model``, ``protocol``, ``condition``,
        ``n_features``, ``n_training`` (mean over folds), ``n_utterances``, ``n_speakers``, ``uar`` with
        its interval, ``reference``, and the ``difference`` of UAR to the reference with its interval and
        the share of resamples in which the configuration is ``better``.
    """
    calls = ((config,) for config in configs)
    results = in_parallel(predict, calls, shared=(data,), n_jobs=n_jobs, title=title)
    predictions = {config.name: table for config, table in zip(configs, results, strict=True)}
    bootstrap = {"resamples": resamples, "seed": seed}
    rows = [
        _row(config, condition, predictions, data.labels, bootstrap)
        for config, condition in itertools.product(configs, results[0]["condition"].unique())
    ]
    return pd.DataFrame(rows), pd.concat(results, ignore_index=True)


def _row(
    config: AblationConfig,
    condition: str,
    predictions: dict[str, pd.DataFrame],
    labels: Sequence[str],
    bootstrap: dict[str, int],
) -> dict[str, Any]:
    """Metrics of a configuration under one condition, and their differences to the reference."""
    subset = _of_condition(predictions[config.name], condition)
    metrics = classification_metrics(subset, labels, **bootstrap)
    row = {"config": config.name} | config.description
    row |= {
        "model": config.candidate.family,
        "protocol": PROTOCOL,
        "condition": condition,
        "n_features": int(subset["n_features"].iloc[0]),
        "n_training": round(subset.groupby("n_training")["n_training"].first().mean()),
    }
    row |= {name: metrics[name] for name in METRIC_COLUMNS}
    row |= dict.fromkeys(["reference", *DIFFERENCE], np.nan)
    if config.reference is not None and config.reference != config.name:
        of_reference = _of_condition(predictions[config.reference], condition)
        row |= difference(subset, of_reference, labels, **bootstrap)
        row |= {"reference": config.reference}
    return row


def difference(
    predictions: pd.DataFrame,
    reference: pd.DataFrame,
    labels: Sequence[str],
    *,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Compare two configurations on the same speakers.

    Args:
        predictions: Predictions of a configuration.
        reference: Predictions of another configuration for the same utterances.
        labels: All labels.
        resamples: Resamples of speakers.
        seed: Seed of the resampling.

    Returns:
        ``difference`` of UAR (first minus reference), its interval, and the share of resamples in which
        the first is ``better``.
    """
    both = pd.concat([predictions.assign(model="config"), reference.assign(model="reference")])
    paired = paired_table(both, labels, reference="reference", resamples=resamples, seed=seed)
    return paired.iloc[0][DIFFERENCE].to_dict()


def _of_condition(predictions: pd.DataFrame, condition: str) -> pd.DataFrame:
    return predictions[predictions["condition"] == condition]
