"""Settings of the ablation: which models are trained, and what is varied."""

from __future__ import annotations

import itertools
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, model_validator

from speech_emotion.config import Settings, SplitNames
from speech_emotion.evaluation import CandidateSettings, FamilyName
from speech_emotion.models import family_named

__all__ = ["AblationModel", "AblationSettings"]

PCA: Final = "preprocess__mfcc__pca"
SEEDS: Final = ("random_state", "model__random_state")


class AblationModel(Settings):
    """Training of one model family in the ablation; its hyperparameters are not searched.

    Attributes:
        fixed: Hyperparameters by their scikit-learn names; the defaults of the family for all others.
        copies: Augmented copies of each utterance to train on; ``None`` for all copies.
    """

    fixed: dict[str, Any] = Field(default_factory=dict)
    copies: int | None = Field(None, ge=0)


def _none_for_text(value: Any) -> Any:
    return None if value == "none" else value


Components = Annotated[int | float | None, BeforeValidator(_none_for_text)]
"""Number of PCA components, share of the variance, or ``None`` (also ``none``) for no PCA."""


Weight = Annotated[float, Field(gt=0, lt=1)]


class AblationSettings(Settings):
    """What the ablation varies, and with which models.

    Attributes:
        reference: Family trained on groups of features, augmented copies and other folds.
        pca_model: Family trained with different PCAs and numbers of MFCCs.
        encoder_model: Family on embeddings that is trained on single layers and fewer statistics, if
            an encoder is set.
        encoders: Further encoders that the one of the run is compared with, see
            :func:`speech_emotion.encoders.find_encoder`.
        encoder_sounds: Recordings that the speed of each encoder is measured with.
        fusion_models: Families on features whose log-probabilities are averaged with those of
            ``encoder_model``, if an encoder is set.
        fusion_weights: Weights of the family on features, between 0 and 1.
        telephone_models: Families trained with and without telephone copies.
        seeded_models: Families trained with several seeds; they may read frames.
        models: Training of each family.
        pca_components: Components that the MFCCs are reduced to, or the share of their variance to keep;
            ``None`` (or ``none``) for no PCA.
        coefficients: Numbers of MFCCs to compare.
        repeats: Permutations behind each importance.
        top: Single features to show; the table has all of them.
        networks: Network families trained with default options and with each option.
        network_options: Hyperparameters of each option.
        network_seeds: Seeds of each of these trainings.
        fold_seeds: Assignments of speakers to folds.
        model_seeds: Seeds of each family of ``seeded_models``.
        n_jobs: Number of parallel trainings with one thread each; -1 for one a core.

    Example:
        >>> settings = AblationSettings(telephone_models="svm;mlp", pca_components="none;20;0.9")
        >>> settings.telephone_models, settings.pca_components
        (['svm', 'mlp'], [None, 20, 0.9])
    """

    reference: FamilyName = "shrinkage_lda"
    pca_model: FamilyName = "logistic_regression"
    encoder_model: FamilyName = "encoder_lda"
    encoders: Annotated[list[str], SplitNames] = Field(default=[])
    encoder_sounds: int = Field(10, ge=1, le=1000)
    fusion_models: Annotated[list[FamilyName], SplitNames] = Field(
        default=["shrinkage_lda", "svm"], min_length=1
    )
    fusion_weights: Annotated[list[Weight], SplitNames] = Field(default=[0.1, 0.25, 0.5])
    telephone_models: Annotated[list[FamilyName], SplitNames] = Field(
        default=["shrinkage_lda", "svm", "mlp"], min_length=1
    )
    seeded_models: Annotated[list[FamilyName], SplitNames] = Field(default=["mlp"], min_length=1)
    models: dict[FamilyName, AblationModel] = Field(default_factory=dict)
    networks: Annotated[list[FamilyName], SplitNames] = Field(default=["conv1d"], min_length=1)
    network_options: list[dict[str, Any]] = Field(default=[{"mixup": 0.2}])
    network_seeds: int = Field(2, ge=1)
    pca_components: Annotated[list[Components], SplitNames] = Field(
        default=[None, 20, 40, 0.9, 0.99]
    )
    coefficients: Annotated[list[int], SplitNames] = Field(default=[13, 20, 40])
    repeats: int = Field(10, ge=1)
    top: int = Field(25, ge=1)
    fold_seeds: int = Field(10, ge=1)
    model_seeds: int = Field(10, ge=1)
    n_jobs: int = -1

    @model_validator(mode="after")
    def _models_fit(self) -> AblationSettings:
        read_tables = (
            self.reference,
            self.pca_model,
            *self.telephone_models,
            *self.fusion_models,
        )
        for name in read_tables:
            if family_named(name).inputs != "statistics":
                raise ValueError(
                    f"{name} reads frames; choose a family that reads a features table"
                )
        if family_named(self.encoder_model).inputs != "embeddings":
            raise ValueError(
                f"{self.encoder_model} does not read embeddings; choose another family"
            )
        for name in (self.encoder_model, *read_tables, *self.seeded_models):
            self.candidate(name)
        for name, option in itertools.product(self.networks, self.network_options):
            self.candidate(name, fixed=option)
        _check_hyperparameter("pca_model", self.pca_model, (PCA,))
        for name in self.seeded_models:
            _check_hyperparameter("seeded_models", name, SEEDS)
        for components in self.pca_components:
            if components is not None and not (components >= 1 or 0 < components < 1):
                raise ValueError(
                    f"pca_components: {components} is neither a number of components (1 or more) nor a "
                    "share of the variance (between 0 and 1)"
                )
        return self

    def candidate(self, family: str, **changes: Any) -> CandidateSettings:
        """Return the settings of a family, with ``changes`` of attributes of the candidate."""
        model = self.models.get(family, AblationModel())
        options = {"fixed": model.fixed, "copies": model.copies, "telephone": True}
        return CandidateSettings(family=family, **(options | changes))

    def with_pca(self, components: int | float | None) -> CandidateSettings:
        """Return the settings of ``pca_model`` with the MFCCs reduced to ``components``."""
        model = self.models.get(self.pca_model, AblationModel())
        fixed = {name: value for name, value in model.fixed.items() if not name.startswith(PCA)}
        if components is None:
            return self.candidate(self.pca_model, fixed=fixed | {PCA: "passthrough"})
        return self.candidate(self.pca_model, fixed=fixed | {f"{PCA}__n_components": components})


def _check_hyperparameter(key: str, family: str, names: tuple[str, ...]) -> None:
    if not set(names) & set(family_named(family).build(seed=0).get_params()):
        raise ValueError(f"{key}: {family} has no {names[0]}; choose another family")
