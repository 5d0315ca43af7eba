"""Settings of candidates, search spaces and model selection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal
from urllib.parse import parse_qs, urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from speech_emotion.config import Settings, SplitNames, refuse_old_names
from speech_emotion.corpora import Protocol
from speech_emotion.models import FAMILIES, family_named

if TYPE_CHECKING:
    import optuna

__all__ = [
    "CandidateSettings",
    "CategoricalRange",
    "FamilyName",
    "FloatRange",
    "IntRange",
    "PasswordGiven",
    "RecipesSettings",
    "SearchRange",
    "SelectionSettings",
]


def _check_family(name: str) -> str:
    return family_named(name).name


FamilyName = Annotated[
    str, refuse_old_names({"kernel_lda": "rocket_lda"}), AfterValidator(_check_family)
]
"""Name of a model family in settings, one of :data:`speech_emotion.models.FAMILIES`."""


class FloatRange(Settings):
    """Search range of a real hyperparameter.

    Attributes:
        type: ``float``.
        low: Smallest value.
        high: Largest value.
        log: Whether to search on a logarithmic scale.
    """

    type: Literal["float"]
    low: float
    high: float
    log: bool = False

    @property
    def values(self) -> list[float]:
        """The only value, or both limits."""
        return [self.low] if self.low == self.high else [self.low, self.high]

    def suggest(self, trial: optuna.Trial, name: str) -> float:
        """Draw a value for ``name`` in ``trial``."""
        return trial.suggest_float(name, self.low, self.high, log=self.log)


class IntRange(Settings):
    """Search range of an integer hyperparameter.

    Attributes:
        type: ``int``.
        low: Smallest value.
        high: Largest value.
        step: Distance between values.
        log: Whether to search on a logarithmic scale.
    """

    type: Literal["int"]
    low: int
    high: int
    step: int = 1
    log: bool = False

    @property
    def values(self) -> list[int]:
        """The only value, or both limits."""
        return [self.low] if self.low == self.high else [self.low, self.high]

    def suggest(self, trial: optuna.Trial, name: str) -> int:
        """Draw a value for ``name`` in ``trial``."""
        return trial.suggest_int(name, self.low, self.high, step=self.step, log=self.log)


class CategoricalRange(Settings):
    """Search range of a hyperparameter with listed values.

    Attributes:
        type: ``categorical``.
        choices: Values; lists become tuples, which estimators expect.
    """

    type: Literal["categorical"]
    choices: list[Any] = Field(min_length=1)

    @property
    def values(self) -> list[Any]:
        """All values, with tuples instead of lists."""
        return [tuple(choice) if isinstance(choice, list) else choice for choice in self.choices]

    def suggest(self, trial: optuna.Trial, name: str) -> Any:
        """Draw a value for ``name`` in ``trial``."""
        # Optuna stores only scalars faithfully, so it searches over positions.
        position = trial.suggest_categorical(name, list(range(len(self.choices))))
        return self.values[position]


SearchRange = Annotated[FloatRange | IntRange | CategoricalRange, Field(discriminator="type")]


class CandidateSettings(Settings):
    """Training and hyperparameter search of one model family.

    Attributes:
        family: Name of the family, one of :data:`speech_emotion.models.FAMILIES`.
        trials: Optuna trials in total, those of an interrupted study included.
        minutes: Time after which no further trial starts; ``None`` for no limit.
        copies: Augmented copies of each utterance to train on; ``None`` for all copies.
        telephone: Whether to train on telephone copies, too.
        bandwidth_models: Whether to train separate models for wideband and narrowband sound, if the
            features include the bandwidth.
        protocols: Protocols to evaluate under; ``None`` for all compared protocols.
        fixed: Hyperparameters that are set but not searched.
        space: Search range of each searched hyperparameter, by its scikit-learn name.

    Example:
        >>> CandidateSettings(family="svm", fixed={"model__C": 6.0}).trials
        10
    """

    renamed: ClassVar[dict[str, str]] = {"experts": "bandwidth_models"}

    family: FamilyName
    trials: int = Field(10, ge=1, le=100_000)
    minutes: float | None = Field(None, gt=0)
    copies: int | None = Field(None, ge=0)
    telephone: bool = True
    bandwidth_models: bool = True
    protocols: list[Protocol] | None = None
    fixed: dict[str, Any] = Field(default_factory=dict)
    space: dict[str, SearchRange] = Field(default_factory=dict)

    @property
    def only_choice(self) -> dict[str, Any] | None:
        """All hyperparameters if nothing is left to search, else ``None``."""
        values = {name: search.values for name, search in self.space.items()}
        if any(len(possible) > 1 for possible in values.values()):
            return None
        return self.fixed | {name: possible[0] for name, possible in values.items()}

    @model_validator(mode="after")
    def _space_fits_the_family(self) -> CandidateSettings:
        known = family_named(self.family).build(seed=0).get_params()
        for name in [*self.fixed, *self.space]:
            if name not in known:
                similar = sorted(key for key in known if key.startswith(name.split("__")[0] + "__"))
                raise ValueError(
                    f"{self.family} has no hyperparameter {name!r}; "
                    f"write one of: {', '.join(similar or sorted(known))}"
                )
        if both := sorted(set(self.fixed) & set(self.space)):
            raise ValueError(f"{self.family}: {', '.join(both)} both fixed and searched; keep one")
        for name, search in self.space.items():
            if isinstance(search, FloatRange | IntRange):
                _check_range(self.family, name, search)
        return self


def _check_range(family: str, name: str, search: FloatRange | IntRange) -> None:
    if search.low > search.high:
        raise ValueError(f"{family}: {name} has low {search.low} above high {search.high}")
    if search.log and search.low <= 0:
        raise ValueError(f"{family}: {name} is on a log scale, so low {search.low} must be above 0")


class PasswordGiven(RuntimeError):
    """A setting that is tracked and logged contains a password."""


class SelectionSettings(Settings):
    """How candidates are tuned, compared and combined.

    Attributes:
        families: Model families to train, of :data:`speech_emotion.models.FAMILIES`.
        encoder_families: Families on an encoder that are trained, too, if one is set.
        protocol: Selecting protocol: its folds tune hyperparameters and choose the champion.
        compared: Protocols that are reported, the selecting one included.
        enrolment_prior: Weight of the average speaker in the statistics of each speaker under
            ``enrolled``, in utterances; the higher, the less a few utterances change.
        seed: Seed of samplers and estimators.
        n_jobs: Number of parallel trainings with one thread each; -1 for one a core. The results do not
            depend on it.
        leaking_champion: Whether a model that was selected under a protocol whose test shares speakers with
            training may become champion of the registry; otherwise it is registered as challenger.
        max_members: Largest number of families in each ensemble; below 2 for no ensembles.
        bootstrap: Resamples of speakers behind each interval.
        evaluation_minutes: Minutes for the evaluation of each family; protocols that would need more are
            left out, but never the selecting one. ``None`` for no limit.
        storage: Storage of the Optuna studies, which several runs may share: the path of a journal file,
            or the URL of a database (``postgresql://USER@HOST/DATABASE``). PostgreSQL takes the password
            from ``PGPASSWORD`` or ``~/.pgpass``.

    Raises:
        PasswordGiven: If ``storage`` contains a password.
    """

    renamed: ClassVar[dict[str, str]] = {"voters": "max_members"}

    families: Annotated[list[FamilyName], SplitNames] = Field(
        default=[name for name, family in FAMILIES.items() if not family.needs_encoder],
        min_length=1,
    )
    encoder_families: Annotated[list[FamilyName], SplitNames] = Field(
        default=["encoder_lda", "encoder_logistic_regression", "encoder_attention"]
    )
    protocol: Protocol = "speaker_independent"
    compared: Annotated[list[Protocol], SplitNames] = Field(
        default=[
            "speaker_independent",
            "enrolled",
            "speaker_adapted",
            "cross_corpus",
            "cross_corpus_adapted",
            "random_split",
        ]
    )
    enrolment_prior: float = Field(4.0, ge=0)
    seed: int = 0
    n_jobs: int = -1
    leaking_champion: bool = False
    max_members: int = Field(4, ge=0)
    bootstrap: int = Field(1000, ge=100, le=100_000)
    evaluation_minutes: float | None = Field(None, gt=0)
    storage: str

    def chosen(self, *, encoder: bool) -> list[str]:
        """Return the families to train.

        Args:
            encoder: Whether there are embeddings of an encoder.

        Raises:
            ValueError: If ``families`` lists one that needs an encoder, and there is none.
        """
        if encoder:
            return list(dict.fromkeys([*self.families, *self.encoder_families]))
        needy = [name for name in self.families if family_named(name).needs_encoder]
        if needy:
            raise ValueError(
                f"{', '.join(needy)} in selection.families needs embeddings of a speech encoder: add "
                "--params encoder=openai/whisper-base, or remove it"
            )
        return list(self.families)

    @field_validator("storage")
    @classmethod
    def _without_password(cls, address: str) -> str:
        url = urlsplit(address)
        if url.password or "password" in parse_qs(url.query):
            # Not a ValueError, because Pydantic would print the value.
            raise PasswordGiven(
                "selection.storage contains a password, which would be tracked and logged: remove it, and "
                "set the environment variable PGPASSWORD or use ~/.pgpass"
            )
        return address

    @model_validator(mode="after")
    def _protocol_is_compared(self) -> SelectionSettings:
        if self.protocol not in self.compared:
            raise ValueError(f"add the selecting protocol {self.protocol!r} to `compared`")
        return self


class Recipe(Settings):
    """A published recipe.

    Attributes:
        description: Its method in a few words.
        corpora: Names of its corpora.
        claimed: Published accuracy; ``None`` if unknown.
    """

    renamed: ClassVar[dict[str, str]] = {"said": "description"}

    description: str
    corpora: list[str]
    claimed: float | None = Field(None, ge=0, le=1)


class RecipesSettings(Settings):
    """Published recipes that are compared.

    Attributes:
        environments: Recipe of each Kedro environment, in the order of the table.
    """

    environments: dict[str, Recipe]
