"""What a user may set about splits, search spaces and model selection, checked before any work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, field_validator, model_validator

if TYPE_CHECKING:
    import optuna

__all__ = [
    "CandidateSettings",
    "CategoricalRange",
    "FloatRange",
    "IntRange",
    "PasswordGiven",
    "RecipesSettings",
    "SearchRange",
    "SelectionSettings",
]


from speech_emotion.config import Settings
from speech_emotion.corpora import Protocol


class FloatRange(Settings):
    """A real hyperparameter between ``low`` and ``high``, on a log scale if asked."""

    type: Literal["float"]
    low: float
    high: float
    log: bool = False

    @property
    def values(self) -> list[float]:
        """Its one value, or its limits."""
        return [self.low] if self.low == self.high else [self.low, self.high]

    def suggest(self, trial: optuna.Trial, name: str) -> float:
        """Draw a value for ``name`` in ``trial``."""
        return trial.suggest_float(name, self.low, self.high, log=self.log)


class IntRange(Settings):
    """A whole-number hyperparameter between ``low`` and ``high``."""

    type: Literal["int"]
    low: int
    high: int
    step: int = 1
    log: bool = False

    @property
    def values(self) -> list[int]:
        """Its one value, or its limits."""
        return [self.low] if self.low == self.high else [self.low, self.high]

    def suggest(self, trial: optuna.Trial, name: str) -> int:
        """Draw a value for ``name`` in ``trial``."""
        return trial.suggest_int(name, self.low, self.high, step=self.step, log=self.log)


class CategoricalRange(Settings):
    """A hyperparameter that takes one of the listed values."""

    type: Literal["categorical"]
    choices: list[Any] = Field(min_length=1)

    @property
    def values(self) -> list[Any]:
        """All its values; lists become tuples, as estimators want them."""
        return [tuple(choice) if isinstance(choice, list) else choice for choice in self.choices]

    def suggest(self, trial: optuna.Trial, name: str) -> Any:
        """Draw a value for ``name`` in ``trial``."""
        # Optuna stores only scalars faithfully, so the position is what it searches over.
        position = trial.suggest_categorical(name, list(range(len(self.choices))))
        return self.values[position]


SearchRange = Annotated[FloatRange | IntRange | CategoricalRange, Field(discriminator="type")]


class CandidateSettings(Settings):
    """One model family that takes part in the selection.

    Attributes:
        family: Name of the family, one of :data:`speech_emotion.models.FAMILIES`.
        trials: Optuna trials in all; a study that was interrupted counts those it has.
        minutes: Time after which no further trial starts; ``None`` for no limit.
        copies: Augmented copies of each utterance it is trained on; ``None`` for all there are.
        telephone: Whether it is trained on telephone copies, too.
        bandwidth_models: Whether wide-band and narrow-band sound get a model each, where the features tell
            which it is.
        protocols: Protocols it takes part in; ``None`` for all that are compared.
        fixed: Hyperparameters that are set but not searched.
        space: Search range of each searched hyperparameter, by its scikit-learn name.
    """

    renamed: ClassVar[dict[str, str]] = {"experts": "bandwidth_models"}

    family: str
    trials: int = Field(10, ge=1)
    minutes: float | None = Field(None, gt=0)
    copies: int | None = Field(None, ge=0)
    telephone: bool = True
    bandwidth_models: bool = True
    protocols: list[Protocol] | None = None
    fixed: dict[str, Any] = Field(default_factory=dict)
    space: dict[str, SearchRange] = Field(default_factory=dict)

    @property
    def only_choice(self) -> dict[str, Any] | None:
        """Hyperparameters where the space leaves no choice, ``None`` where it does."""
        values = {name: search.values for name, search in self.space.items()}
        if any(len(possible) > 1 for possible in values.values()):
            return None
        return self.fixed | {name: possible[0] for name, possible in values.items()}

    @model_validator(mode="after")
    def _space_fits_the_family(self) -> CandidateSettings:
        from speech_emotion.models import family_named

        family = family_named(self.family)
        known = family.build(seed=0).get_params()
        for name in [*self.fixed, *self.space]:
            if name not in known:
                near = sorted(key for key in known if key.startswith(name.split("__")[0] + "__"))
                raise ValueError(
                    f"{self.family} has no hyperparameter {name!r}; "
                    f"write one of: {', '.join(near or sorted(known))}"
                )
        twice = sorted(set(self.fixed) & set(self.space))
        if twice:
            raise ValueError(f"{self.family}: {', '.join(twice)} both fixed and searched; keep one")
        for name, search in self.space.items():
            if isinstance(search, FloatRange | IntRange):
                _check_range(self.family, name, search)
        return self


def _check_range(family: str, name: str, search: FloatRange | IntRange) -> None:
    if search.low > search.high:
        raise ValueError(f"{family}: {name} has low {search.low} above high {search.high}")
    if search.log and search.low <= 0:
        raise ValueError(f"{family}: {name} is on a log scale, so low {search.low} must be above 0")


def _all_families() -> list[str]:
    from speech_emotion.models import FAMILIES

    return list(FAMILIES)


class PasswordGiven(RuntimeError):
    """A password stands where it would be tracked."""


class SelectionSettings(Settings):
    """How candidates are tuned, compared and combined.

    Attributes:
        families: Families that take part, of :data:`speech_emotion.models.FAMILIES`.
        protocol: Protocol that tunes and selects; ``speaker_independent`` never shares a speaker.
        compared: Protocols that are reported, the selecting one among them.
        enrolment_prior: Utterances of an average speaker that the statistics of a speaker start from
            under ``enrolled``; more of them trust a few utterances less.
        seed: Seed of samplers and estimators.
        n_jobs: Trainings at the same time, each on one thread; -1 for one a core. The figures do not
            depend on it.
        max_members: Largest number of families in the soft vote and in the stack; below 2 there is none.
        bootstrap: Resamples of speakers behind each interval.
        storage: Where Optuna keeps the studies between runs, and for several runs at the same time: a
            journal file, or the URL of a database (``postgresql://USER@HOST/DATABASE``), without a
            password, which PostgreSQL takes from ``PGPASSWORD`` or ``~/.pgpass``.

    Raises:
        PasswordGiven: If ``storage`` holds a password.
    """

    renamed: ClassVar[dict[str, str]] = {"voters": "max_members"}

    families: list[str] = Field(default_factory=_all_families, min_length=1)
    protocol: Protocol = "speaker_independent"
    compared: list[Protocol] = Field(
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
    max_members: int = Field(4, ge=0)
    bootstrap: int = Field(1000, ge=100)
    storage: str

    @field_validator("families", "compared", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """``kedro run --params`` cannot write lists."""
        return [part.strip() for part in value.split(";")] if isinstance(value, str) else value

    @field_validator("families")
    @classmethod
    def _families_are_known(cls, names: list[str]) -> list[str]:
        from speech_emotion.models import family_named

        for name in names:
            family_named(name)
        return names

    @field_validator("storage")
    @classmethod
    def _without_password(cls, place: str) -> str:
        url = urlsplit(place)
        if url.password or "password" in parse_qs(url.query):
            # No ValueError: pydantic would show what was given.
            raise PasswordGiven(
                "selection.storage holds a password, which would be tracked and logged: leave it out, and "
                "set the environment variable PGPASSWORD, or write it into ~/.pgpass"
            )
        return place

    @model_validator(mode="after")
    def _protocol_is_compared(self) -> SelectionSettings:
        if self.protocol not in self.compared:
            raise ValueError(f"add the selecting protocol {self.protocol!r} to `compared`")
        return self


class Recipe(Settings):
    """What is known of somebody's recipe.

    Attributes:
        description: What was done, in a few words.
        corpora: Corpora it takes.
        claimed: Accuracy that was claimed; ``None`` if none was.
    """

    renamed: ClassVar[dict[str, str]] = {"said": "description"}

    description: str
    corpora: list[str]
    claimed: float | None = Field(None, ge=0, le=1)


class RecipesSettings(Settings):
    """Recipes that are compared.

    Attributes:
        environments: A recipe for each Kedro environment that runs one, in the order of the table.
    """

    environments: dict[str, Recipe]
