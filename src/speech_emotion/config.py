"""Base class of all settings that users can write in YAML or with ``--params``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

__all__ = ["NameList", "Settings", "SplitNames", "refuse_old_names"]


class Settings(BaseModel):
    """Immutable settings that reject unknown keys, and name the new key in place of an old one.

    Attributes:
        renamed: For each key of an earlier version what to do now: the new key, or a sentence if
            the key was removed.

    Example:
        >>> class SplitSettings(Settings):
        ...     renamed = {"held_out": "test_size"}
        ...     test_size: float = 0.2
        >>> SplitSettings(test_size=0.25).test_size
        0.25
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    renamed: ClassVar[dict[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _name_new_keys(cls, values: Any) -> Any:
        for old, new in cls.renamed.items():
            if isinstance(values, dict) and old in values:
                hint = f"is now {new!r}; rename it" if new.isidentifier() else new
                raise ValueError(f"{old!r} {hint}")
        return values


def _split_names(value: Any) -> Any:
    return [name.strip() for name in value.split(";")] if isinstance(value, str) else value


SplitNames: Final = BeforeValidator(_split_names)
"""Annotation of a list of names that may also be written as ``"a;b"``."""

NameList = Annotated[list[str], SplitNames]
"""A list of names; ``"a;b"`` stands for ``["a", "b"]``, because ``--params`` cannot express lists."""


def refuse_old_names(names: Mapping[str, str]) -> BeforeValidator:
    """Annotate a type whose values were renamed: an old one is an error that gives the new one.

    Args:
        names: New name of each old name.

    Example:
        >>> from pydantic import TypeAdapter
        >>> Color = Annotated[str, refuse_old_names({"colour": "color"})]
        >>> try:
        ...     TypeAdapter(Color).validate_python("colour")
        ... except ValueError as error:
        ...     print(error.errors()[0]["msg"])
        Value error, 'colour' is now 'color'; rename it
    """

    def check(value: Any) -> Any:
        if isinstance(value, str) and value in names:
            raise ValueError(f"{value!r} is now {names[value]!r}; rename it")
        return value

    return BeforeValidator(check)
