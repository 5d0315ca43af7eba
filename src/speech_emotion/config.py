"""Base class of all settings that users can write in YAML or with ``--params``."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

__all__ = ["NameList", "Settings"]


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


NameList = Annotated[list[str], BeforeValidator(_split_names)]
"""A list of names; ``"a;b"`` stands for ``["a", "b"]``, because ``--params`` cannot express lists."""
