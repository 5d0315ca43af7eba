"""A corpus as configuration: where its files are, and how names or a table annotate them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import PurePath
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BeforeValidator, Field, field_validator, model_validator

from speech_emotion.config import Settings

__all__ = ["CORPORA", "UNKNOWN", "UNSPECIFIED", "Annotation", "CorpusEntry", "UnknownName"]

UNSPECIFIED: Final = "unspecified"
UNKNOWN: Final = "unknown"
"""Sex, language or speaker that neither names nor tables give."""

SEXES: Final = {
    **dict.fromkeys(("f", "female", "w", "woman", "weiblich"), "female"),
    **dict.fromkeys(("m", "male", "man", "männlich"), "male"),
}
ATTRIBUTES: Final = ("speaker", "emotion", "sex", "intensity", "statement", "language", "weight")
"""Fields of a recording, beside ``file``, ``start``, ``end`` and ``group`` of a table."""


class UnknownName(ValueError):
    """A recording is not annotated as its corpus describes, or is excluded from it."""


@dataclass(frozen=True)
class Annotation:
    """Annotation of a recording or of a segment.

    Attributes:
        key: Name of the utterance within its corpus, the same for every copy of it.
        speaker: Name of the speaker within the corpus.
        sex: ``female``, ``male`` or ``unknown``.
        emotion: Emotion in the words of the corpus.
        intensity: ``normal``, ``strong``, ``low``, ``medium``, ``high`` or ``unspecified``.
        statement: Spoken text or word, or the code of the corpus for it.
        language: Code of the language (``en``), or ``unknown``.
        weight: Weight in training, above 0 and at most 1.
    """

    key: str
    speaker: str
    sex: str
    emotion: str
    intensity: str = UNSPECIFIED
    statement: str = UNSPECIFIED
    language: str = UNKNOWN
    weight: float = 1.0


def _quoted(value: Any) -> Any:
    if isinstance(value, dict):
        wrong = [key for key in value if not isinstance(key, str)]
        if wrong:
            raise ValueError(
                f"write the code {wrong[0]!r} in quotes: YAML reads 01 as a number and NO as a truth"
            )
    return value


def _as_codes(value: Any) -> Any:
    """A list of codes stands for codes that are their own values."""
    return {code: code for code in value} if isinstance(value, list) else _quoted(value)


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Codes = Annotated[dict[str, str], BeforeValidator(_quoted)]


class FieldSettings(Settings):
    """How one field of a name or table is read.

    Attributes:
        case: ``upper`` or ``lower``, the case to which a code is brought first.
        width: Width to which a number is filled with zeros.
        spellings: Code for each other spelling of it.
        codes: Value of each code; other codes are rejected. A list of codes if they are their own
            values. Without it, each code is its own value.
        refuse: Reason why recordings with a code are left out.
    """

    case: Literal["upper", "lower"] | None = None
    width: int = Field(0, ge=0)
    spellings: Codes = Field(default_factory=dict)
    codes: Annotated[dict[str, str], BeforeValidator(_as_codes)] | None = None
    refuse: Codes = Field(default_factory=dict)

    def read(self, name: str, text: str) -> tuple[str, str]:
        """Return code and value of a text.

        Raises:
            UnknownName: If the code is unknown or refused.
        """
        code = getattr(text, self.case)() if self.case else text
        code = self.spellings.get(code, code).zfill(self.width)
        if code in self.refuse:
            raise UnknownName(f"{name} {code!r}: {self.refuse[code]}")
        if self.codes is None:
            return code, code
        if code not in self.codes:
            known = ", ".join(self.codes)
            raise UnknownName(f"unknown {name} {code!r}; known are {known}")
        return code, self.codes[code]


class SpeakerTable(Settings):
    """A table of speakers in the folder of the corpus.

    Attributes:
        file: Its name.
        speaker: Column with the codes of the speakers.
        sex: Column with their sex, in words or letters.
    """

    file: str
    speaker: str
    sex: str


class CorpusEntry(Settings):
    r"""A corpus: its description, and how its recordings are annotated.

    Recordings are annotated by their names (``pattern``), or by a table (``table``).

    Attributes:
        name: Name of the corpus, the key of the entry in the configuration.
        title: Full title.
        layout: Example of a file path, for messages.
        source: Address or instructions to get it.
        licence: Its licence.
        defects: What is known about its defects.
        tested: Whether its reader was run on recordings of the corpus, not only on names.
        enabled: Whether it is read if ``corpora.select`` names no corpora.
        folders: Names of its folder as archives unpack, without regard to case and punctuation. The name
            of the corpus is one of them.
        path: Folder of the corpus if it is not below the folder of the corpora.
        pattern: Regular expression of a file name without suffix, with a named group for each field, or
            several. With ``/`` it covers folder names, too. Case is ignored.
        table: Name of the table (CSV, TSV, Parquet, or text with ``line``) in the folder of the corpus; or
            several, each with the folder of its recordings. ``*`` stands for any characters.
        line: Regular expression of the lines of a text file, with a named group for each column.
        columns: Column of the table for each of ``file``, ``speaker``, ``emotion``, ``sex``, ``intensity``,
            ``statement``, ``language``, ``weight`` in training (above 0, at most 1; see
            :class:`speech_emotion.models.LayerAverage`), and ``start`` and ``end`` of a segment in seconds.
        compose: Fields made of others, as ``"{session}{sex}"``.
        fields: How single fields are read.
        key: Name of an utterance made of codes; by default the matched name, or the file of the table.
        sex: Sex of all speakers, or speakers of each sex, by their codes.
        language: Language of all speakers, or speakers of each language, by their codes.
        speakers: Table of the speakers.
        speakers_of: Corpus whose speakers these are, if they are the same people.
        groups: What stands for speakers that are unknown: ``file``, ``folder``, or a column of the table.

    Example:
        >>> entry = CorpusEntry(
        ...     name="mine", pattern=r"(?P<speaker>\w+)_(?P<emotion>\w+)_\d+", language="pl"
        ... )
        >>> entry.parse(PurePath("anna_anger_01.wav")).speaker
        'anna'
    """

    name: str
    title: str = ""
    layout: str = ""
    source: str = "your own"
    licence: str = "not stated"
    defects: list[str] = Field(default_factory=list)
    tested: bool = False
    enabled: bool = True
    folders: list[str] = Field(default_factory=list)
    path: str | None = None
    pattern: Annotated[list[str], BeforeValidator(_as_list)] = Field(default_factory=list)
    table: str | dict[str, str] | None = None
    line: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    compose: dict[str, str] = Field(default_factory=dict)
    fields: dict[str, FieldSettings] = Field(default_factory=dict)
    key: str | None = None
    sex: str | dict[str, list[str]] | None = None
    language: str | dict[str, list[str]] | None = None
    speakers: SpeakerTable | None = None
    speakers_of: str | None = None
    groups: str | None = None

    @field_validator("name")
    @classmethod
    def _plain_name(cls, name: str) -> str:
        if re.fullmatch(r"[a-z][a-z0-9_]*", name) is None:
            raise ValueError(f"name {name!r} of a corpus: write small letters, digits and _")
        return name

    @field_validator("pattern")
    @classmethod
    def _valid_patterns(cls, patterns: list[str]) -> list[str]:
        for pattern in patterns:
            _compile(pattern)
        return patterns

    @model_validator(mode="after")
    def _names_or_table(self) -> CorpusEntry:
        if bool(self.pattern) == bool(self.table):
            raise ValueError(
                f"corpus {self.name!r}: give either `pattern` (annotation in file names) or `table`"
            )
        if self.table:
            given = {"file", *self.columns, *self.compose, *_groups_of(self.line)}
            allowed = {"file", "start", "end", "group", *ATTRIBUTES}
            if unknown := sorted(set(self.columns) - allowed):
                raise ValueError(
                    f"corpus {self.name!r}: columns has no {unknown[0]!r}; write some of: "
                    f"{', '.join(sorted(allowed))}"
                )
        else:
            given = set(self.compose)
            for pattern in self.pattern:
                given |= _groups_of(pattern)
        if "emotion" not in given:
            where = "columns.emotion" if self.table else "a group (?P<emotion>…) in pattern"
            raise ValueError(f"corpus {self.name!r}: say where the emotion is written: {where}")
        return self

    @property
    def shown(self) -> str:
        """Title for messages."""
        return self.title or self.name

    @property
    def names_speakers(self) -> bool:
        """Whether names or tables give speakers."""
        if self.table:
            given = {*self.columns, *self.compose, *_groups_of(self.line)}
        else:
            given = {*self.compose}.union(*(_groups_of(pattern) for pattern in self.pattern))
        return "speaker" in given

    @property
    def folder_names(self) -> set[str]:
        """Names of its folder in lower case, without punctuation."""
        return {plain(name) for name in (self.name, *self.folders)}

    @property
    def _example(self) -> str:
        """Example of a name, for messages."""
        return PurePath(re.split(" (?:and|or) ", self.layout)[0]).stem or self.pattern[0]

    @cached_property
    def _patterns(self) -> list[re.Pattern[str]]:
        return [_compile(pattern) for pattern in self.pattern]

    def parse(self, path: PurePath) -> Annotation:
        """Read the annotation in a name.

        Args:
            path: Path of a recording.

        Raises:
            UnknownName: If the name does not match, or a code is unknown or refused.
        """
        text = path.as_posix().removesuffix(path.suffix)
        for pattern in self._patterns:
            if match := pattern.fullmatch(text):
                found = {name: value for name, value in match.groupdict().items() if value}
                return self.annotate(found, key=found.pop("_key_"))
        raise UnknownName(f"name {path.stem!r} is not like {self._example}; rename or remove it")

    def annotate(self, found: Mapping[str, str], *, key: str) -> Annotation:
        """Turn fields, as they are written, into an annotation.

        Args:
            found: Text of each field that is given.
            key: Name of the utterance, unless the entry makes it of codes.

        Raises:
            UnknownName: If a code is unknown or refused, or the emotion is missing.
        """
        codes: dict[str, str] = {}
        values: dict[str, str] = {}
        for name, text in found.items():
            codes[name], values[name] = self._read(name, text)
        for name, template in self.compose.items():
            codes[name], values[name] = self._read(name, _filled(template, codes))
        if not values.get("emotion", "").strip():
            raise UnknownName("no emotion is given")
        speaker = codes.get("speaker", "")
        return Annotation(
            key=_filled(self.key, codes) if self.key else key,
            speaker=values.get("speaker", "").strip() or UNKNOWN,
            sex=sex_of(values.get("sex") or _of_speaker(self.sex, speaker)),
            emotion=values["emotion"].strip(),
            intensity=values.get("intensity") or UNSPECIFIED,
            statement=values.get("statement") or UNSPECIFIED,
            language=values.get("language") or _of_speaker(self.language, speaker) or UNKNOWN,
            weight=_weight(values.get("weight") or "1"),
        )

    def _read(self, name: str, text: str) -> tuple[str, str]:
        return self.fields[name].read(name, text) if name in self.fields else (text, text)


def _weight(text: str) -> float:
    """Read a weight.

    Raises:
        UnknownName: If it is no number above 0, up to 1.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise UnknownName(f"weight {text!r} is no number above 0 and at most 1")
    return value


def plain(name: str) -> str:
    """Return a folder name in lower case, without punctuation.

    Example:
        >>> plain("CREMA-D"), plain("audio_speech_actors_01-24")
        ('cremad', 'audiospeechactors0124')
    """
    return re.sub(r"[\W_]+", "", name.casefold())


def sex_of(text: str) -> str:
    """Return ``female``, ``male`` or ``unknown`` for a word or letter.

    Example:
        >>> sex_of("F"), sex_of("Male"), sex_of("?")
        ('female', 'male', 'unknown')
    """
    return SEXES.get(text.strip().casefold(), UNKNOWN)


def _of_speaker(values: str | dict[str, list[str]] | None, speaker: str) -> str:
    if isinstance(values, dict):
        return next((value for value, speakers in values.items() if speaker in speakers), "")
    return values or ""


def _filled(template: str, codes: Mapping[str, str]) -> str:
    try:
        return template.format_map(codes)
    except (KeyError, IndexError, ValueError) as error:
        raise UnknownName(f"{template!r} needs the field {error}, which is not given") from error


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(rf"(?:.*/)?(?P<_key_>{pattern})", re.IGNORECASE | re.ASCII)
    except re.error as error:
        raise ValueError(f"pattern {pattern!r} is no regular expression: {error}") from error


def _groups_of(pattern: str | None) -> set[str]:
    return set(_compile(pattern).groupindex) - {"_key_"} if pattern else set()


def _built_in() -> Iterable[CorpusEntry]:
    folder = files("speech_emotion.corpora") / "entries"
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".yml"):
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
            for name, values in content.items():
                yield CorpusEntry.model_validate({"name": name, **values})


CORPORA: Final[dict[str, CorpusEntry]] = {entry.name: entry for entry in _built_in()}
"""Built-in entries by name, from ``entries/*.yml``."""
