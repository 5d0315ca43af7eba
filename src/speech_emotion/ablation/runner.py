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
from pydantic import Field, field_validator, model_validator
from tqdm import tqdm

from speech_emotion.config import Settings
from speech_emotion.corpora import TRAIN
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
    "AblationModel",
    "AblationSettings",
    "compare",
    "difference",
    "in_parallel",
    "predict",
    "statistic_names",
]

PROTOCOL: Final = "speaker_independent"
KEYS: Final = ["utterance_id", "variant"]
PCA: Final = "preprocess__mfcc__pca"
SEEDS: Final = ["random_state", "model__random_state"]
METRIC_COLUMNS: Final = ["n_utterances", "n_speakers", "uar", "uar_low", "uar_high"]
DIFFERENCE: Final = ["difference", "difference_low", "difference_high", "better"]


class AblationModel(Settings):
    """How a model family is set in the study; nothing is searched.

    Attributes:
        fixed: Hyperparameters by their scikit-learn names; the family's own for all others.
        copies: Augmented copies of each utterance it is trained on; ``None`` for all there are.
    """

    fixed: dict[str, Any] = Field(default_factory=dict)
    copies: int | None = Field(None, ge=0)


class AblationSettings(Settings):
    """What is studied, and with which models.

    Attributes:
        reference: Family that groups of features, copies and folds are judged by.
        pca_model: Family that PCA and the number of MFCCs are judged by.
        telephone_models: Families that are trained with and without telephone copies.
        seeded_models: Families that are trained with several seeds; they may read frames.
        models: How each of them is set.
        pca_components: Components that the MFCCs are reduced to, or the share of their variance that
            is kept; ``None`` (or ``none``) for no PCA.
        coefficients: Numbers of MFCCs that are compared.
        repeats: Permutations behind each importance.
        top: Single features that are shown; all are in the table.
        networks: Families of networks that are trained plainly and with each option.
        network_options: Hyperparameters of each option.
        network_seeds: Seeds of each of these trainings.
        fold_seeds: Assignments of speakers to folds.
        model_seeds: Seeds of each seeded model.
        n_jobs: Trainings at the same time, each on one thread; -1 for all cores.
    """

    reference: str = "shrinkage_lda"
    pca_model: str = "logistic_regression"
    telephone_models: list[str] = Field(default=["shrinkage_lda", "svm", "mlp"], min_length=1)
    seeded_models: list[str] = Field(default=["mlp"], min_length=1)
    models: dict[str, AblationModel] = Field(default_factory=dict)
    networks: list[str] = Field(default=["conv1d"], min_length=1)
    network_options: list[dict[str, Any]] = Field(default=[{"mixup": 0.2}])
    network_seeds: int = Field(2, ge=1)
    pca_components: list[int | float | None] = Field(default=[None, 20, 40, 0.9, 0.99])
    coefficients: list[int] = Field(default=[13, 20, 40])
    repeats: int = Field(10, ge=1)
    top: int = Field(25, ge=1)
    fold_seeds: int = Field(10, ge=1)
    model_seeds: int = Field(10, ge=1)
    n_jobs: int = -1

    @field_validator(
        "telephone_models",
        "seeded_models",
        "networks",
        "pca_components",
        "coefficients",
        mode="before",
    )
    @classmethod
    def _split(cls, value: Any) -> Any:
        """``kedro run --params`` cannot write lists."""
        parts = [part.strip() for part in value.split(";")] if isinstance(value, str) else value
        return [None if part == "none" else part for part in parts]

    @model_validator(mode="after")
    def _models_fit(self) -> AblationSettings:
        for name in (self.reference, self.pca_model, *self.telephone_models):
            if family_named(name).inputs != "statistics":
                raise ValueError(f"{name} reads frames, the study is about tables: choose another")
        for name in (self.reference, self.pca_model, *self.telephone_models, *self.seeded_models):
            self.candidate(name)
        for name, option in itertools.product(self.networks, self.network_options):
            self.candidate(name, fixed=option)
        wanted = [("pca_model", self.pca_model, [PCA])]
        wanted += [("seeded_models", name, SEEDS) for name in self.seeded_models]
        for name, family, settings in wanted:
            if not set(settings) & set(family_named(family).build(seed=0).get_params()):
                raise ValueError(f"{name}: {family} has no {settings[0]}; choose another family")
        for components in self.pca_components:
            if components is not None and not (components >= 1 or 0 < components < 1):
                raise ValueError(f"pca_components: {components} is neither a number nor a share")
        return self

    def candidate(self, family: str, **changes: Any) -> CandidateSettings:
        """Return the family as it is set here, with ``changes`` of a candidate's attributes."""
        own = self.models.get(family, AblationModel())
        facts = {"fixed": own.fixed, "copies": own.copies, "telephone": True} | changes
        return CandidateSettings(family=family, **facts)

    def with_pca(self, components: int | float | None) -> CandidateSettings:
        """Return the PCA model with its MFCCs reduced to ``components``."""
        own = self.models.get(self.pca_model, AblationModel()).fixed
        fixed = {name: value for name, value in own.items() if not name.startswith(PCA)}
        if components is None:
            return self.candidate(self.pca_model, fixed=fixed | {PCA: "passthrough"})
        return self.candidate(self.pca_model, fixed=fixed | {f"{PCA}__n_components": components})


def statistic_names(features: Iterable[str]) -> list[str]:
    """Columns of a features table that are neither keys nor responses of convolution kernels."""
    return [name for name in features if name not in KEYS and not name.startswith(KERNEL_PREFIX)]


@dataclass(frozen=True)
class AblationData:
    """Features of the training speakers and what belongs to them.

    Attributes:
        index: ``utterance_id`` and ``variant`` of each row.
        values: Features, float32 of shape ``(n, n_features)``.
        names: Names of the features.
        kernels: Names of those that are responses of convolution kernels; few models read them.
        utterances: Utterances of the training speakers.
        splits: Folds under ``speaker_independent``.
        labels: All labels.
        sequences: Frames, shape ``(n, n_frames, n_channels)``; ``None`` where no model reads them.
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
        """Take the training speakers of ``speaker_independent``, and frames if asked."""
        folds = splits[(splits["protocol"] == PROTOCOL) & (splits["split"] == TRAIN)]
        taken = features["utterance_id"].isin(folds["utterance_id"])
        rows = features[taken]
        own = utterances[utterances["utterance_id"].isin(folds["utterance_id"])]
        responses = [name for name in features if name.startswith(KERNEL_PREFIX)]
        statistics = statistic_names(features)
        return cls(
            rows[KEYS].reset_index(drop=True),
            np.ascontiguousarray(rows[statistics + responses], dtype=np.float32),
            tuple(statistics),
            tuple(responses),
            own.reset_index(drop=True),
            folds.reset_index(drop=True),
            tuple(labels),
            None if sequences is None else np.asarray(sequences[np.flatnonzero(taken)]),
        )


@dataclass(frozen=True)
class AblationConfig:
    """One way to train that is compared with others.

    Attributes:
        name: Name, unlike that of any other config of the comparison.
        candidate: Family, hyperparameters, and which copies it is trained on.
        facts: What the table says of it.
        reference: Name of the config it is compared with; ``None`` for none.
        columns: Features it reads; ``None`` for all.
        rows: Rows of the data that it may see, shape ``(n,)``; ``None`` for all.
        splits: Other folds than those of the data.
        seed: Seed of the estimator.
    """

    name: str
    candidate: CandidateSettings
    facts: dict[str, Any] = field(default_factory=dict)
    reference: str | None = None
    columns: tuple[str, ...] | None = None
    rows: np.ndarray | None = None
    splits: pd.DataFrame | None = None
    seed: int = 0

    def inputs(self, data: AblationData) -> pd.DataFrame | np.ndarray:
        """Take the features or the frames that this config reads."""
        rows = slice(None) if self.rows is None else np.flatnonzero(self.rows)
        if family_named(self.candidate.family).inputs == "sequences":
            if data.sequences is None:
                raise ValueError(f"{self.name} reads frames, and the data has none")
            return data.sequences[rows]
        chosen = data.names if self.columns is None else self.columns
        # What tells the band chooses the model, whatever features that reads.
        names = list(dict.fromkeys([*chosen, *({BANDWIDTH_FEATURE} & set(data.names))]))
        stored = pd.Index(data.names + data.kernels)
        positions = stored.get_indexer(pd.Index(names))
        return pd.DataFrame(data.values[rows][:, positions], columns=names)

    def examples(self, data: AblationData) -> Examples:
        """Take what this config sees of the data."""
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
        """Seed and the one thread of its estimators."""
        return SelectionSettings(seed=self.seed, n_jobs=1, storage="")


def predict(config: AblationConfig, data: AblationData) -> pd.DataFrame:
    """Predict every fold from the others.

    Returns:
        ``model`` (name of the config), ``condition``, ``utterance_id``, ``speaker``, ``label``,
        ``prediction``, ``n_training``: examples that the fold's estimator was trained on, and
        ``n_features``: features, or channels of a frame, that it reads.
    """
    examples = config.examples(data)
    labels = np.asarray(examples.labels)
    tables = []
    for fold in examples.folds:
        training, tests = examples.fold(fold)
        estimator = fit_estimator(config.candidate, {}, training, config.estimator_settings)
        for condition, part in tests.items():
            chosen = probabilities(estimator, part, examples.labels).argmax(axis=1)
            table = part.table[["utterance_id", "speaker", "label"]]
            facts = {"model": config.name, "condition": condition, "prediction": labels[chosen]}
            read = part.inputs.shape[-1] if config.columns is None else len(config.columns)
            counts = {"n_training": len(training.codes), "n_features": read}
            tables.append(table.assign(**facts, **counts))
    return pd.concat(tables, ignore_index=True)


def in_parallel(
    function: Callable[..., Any],
    calls: Iterable[tuple[Any, ...]],
    *,
    shared: tuple[Any, ...],
    n_jobs: int,
    title: str,
) -> list[Any]:
    """Call ``function`` as :func:`speech_emotion.runtime.processes.fan_out` does, under a progress bar."""
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
    """Train and test every config, and compare each with its reference on the same speakers.

    Args:
        configs: What is compared.
        data: What all of them are trained on and tested with.
        title: Said at the progress bar.
        n_jobs: Arms that are trained at the same time; the result is the same for any number.
        resamples: Resamples of speakers behind each interval.
        seed: Seed of the resampling.

    Returns:
        The table: one row an config and condition with ``config``, its facts, ``model``, ``protocol``,
        ``condition``, ``n_features``, ``n_training`` (mean over folds), ``n_utterances``,
        ``n_speakers``, ``uar`` with its interval, ``reference``, and the ``difference`` of UAR to it
        with its interval and the share of resamples in which it is ``better``; and all predictions.
    """
    calls = ((config,) for config in configs)
    parts = in_parallel(predict, calls, shared=(data,), n_jobs=n_jobs, title=title)
    predictions = {config.name: part for config, part in zip(configs, parts, strict=True)}
    rows = []
    for config, condition in itertools.product(configs, parts[0]["condition"].unique()):
        part = _of(predictions[config.name], condition)
        merits = classification_metrics(part, data.labels, resamples=resamples, seed=seed)
        row = {"config": config.name} | config.facts
        row |= {
            "model": config.candidate.family,
            "protocol": PROTOCOL,
            "condition": condition,
            "n_features": int(part["n_features"].iloc[0]),
            "n_training": round(part.groupby("n_training")["n_training"].first().mean()),
        }
        row |= {name: merits[name] for name in METRIC_COLUMNS} | dict.fromkeys(
            ["reference", *DIFFERENCE], np.nan
        )
        if config.reference is not None and config.reference != config.name:
            other = _of(predictions[config.reference], condition)
            row |= difference(part, other, data.labels, resamples=resamples, seed=seed)
            row |= {"reference": config.reference}
        rows.append(row)
    return pd.DataFrame(rows), pd.concat(parts, ignore_index=True)


def difference(
    own: pd.DataFrame, other: pd.DataFrame, labels: Sequence[str], *, resamples: int, seed: int
) -> dict[str, Any]:
    """Compare two ways to train on the same speakers.

    Args:
        own: Predictions of one way.
        other: Those of the other way, of the same utterances.
        labels: All labels.
        resamples: Resamples of speakers.
        seed: Seed of the resampling.

    Returns:
        ``difference`` of UAR, its interval, and the share of resamples in which ``own`` is ``better``.
    """
    both = pd.concat([own.assign(model="own"), other.assign(model="other")])
    paired = paired_table(both, labels, reference="other", resamples=resamples, seed=seed)
    return paired.iloc[0][DIFFERENCE].to_dict()


def _of(predictions: pd.DataFrame, condition: str) -> pd.DataFrame:
    return predictions[predictions["condition"] == condition]
