"""Budgets of a run: one word scales copies, trials, minutes, families, protocols and resamples."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

from pydantic import Field

from speech_emotion.config import NameList, Settings
from speech_emotion.evaluation.settings import FamilyName

__all__ = ["BudgetSettings", "scale_parameters"]

LEAST_RESAMPLES: Final = 100
RESAMPLES: Final = ("selection.bootstrap", "external_evaluation.bootstrap", "kpis.resamples")
"""Parameters that are numbers of resamples."""
MINUTES: Final = ("selection.evaluation_minutes",)


class BudgetSettings(Settings):
    """What a budget changes. The defaults change nothing.

    Attributes:
        trials: Factor of the Optuna trials of each family, at least 1 trial is left.
        minutes: Factor of the minutes for tuning and evaluation of each family.
        resamples: Factor of all bootstrap resamples; at least 100 are left.
        calls: Factor of the number of test calls, at least 1 is left.
        max_copies: Most augmented copies of each training utterance; ``None`` for no limit.
        extra_copies: Random copies of each training utterance in addition, for every family that is
            trained on copies.
        families: Families that are trained, of those that are configured; ``None`` for all of them.
        encoder_families: The same for families on embeddings.
        extra_encoder_families: Families on embeddings that are trained in addition.
        protocols: Protocols that are compared, of those that are configured; ``None`` for all of them. The
            selecting protocol always is.
    """

    trials: float = Field(1.0, gt=0)
    minutes: float = Field(1.0, gt=0)
    resamples: float = Field(1.0, gt=0)
    calls: float = Field(1.0, gt=0)
    max_copies: int | None = Field(None, ge=0)
    extra_copies: int = Field(0, ge=0)
    families: list[FamilyName] | None = None
    encoder_families: list[FamilyName] | None = None
    extra_encoder_families: list[FamilyName] = Field(default_factory=list)
    protocols: NameList | None = None


def scale_parameters(
    parameters: Mapping[str, Any], budget: BudgetSettings, given: Mapping[str, Any]
) -> dict[str, Any]:
    """Apply a budget to the parameters of a run.

    Args:
        parameters: All parameters, as the configuration has them.
        budget: The budget.
        given: Parameters of the command, which no budget changes.

    Returns:
        Changed copy of the parameters.

    Example:
        >>> parameters = {"selection": {"bootstrap": 1000}, "candidates": {"svm": {"trials": 4}}}
        >>> scaled = scale_parameters(
        ...     parameters, BudgetSettings(trials=0.5, resamples=0.2), {"selection": {}}
        ... )
        >>> scaled["selection"]["bootstrap"], scaled["candidates"]["svm"]["trials"]
        (200, 2)
    """
    scaled = _Parameters(deepcopy(dict(parameters)), given)
    for path in RESAMPLES:
        scaled.change(path, lambda n: max(LEAST_RESAMPLES, round(n * budget.resamples)))
    for path in MINUTES:
        scaled.change(path, lambda minutes: minutes * budget.minutes)
    scaled.change("test_calls.calls", lambda n: max(1, round(n * budget.calls)))
    scaled.change("selection.families", lambda names: _among(names, budget.families))
    scaled.change(
        "selection.encoder_families",
        lambda names: [
            *dict.fromkeys(
                [*_among(names, budget.encoder_families), *budget.extra_encoder_families]
            )
        ],
    )
    selecting = scaled.get("selection.protocol")
    scaled.change(
        "selection.compared",
        lambda names: _among(names, budget.protocols and [selecting, *budget.protocols]),
    )
    _scale_copies(scaled, budget)
    for family in scaled.get("candidates") or {}:
        path = f"candidates.{family}"
        scaled.change(f"{path}.trials", lambda n: max(1, round(n * budget.trials)))
        scaled.change(f"{path}.minutes", lambda minutes: minutes * budget.minutes)
    return scaled.values


def _among(names: list[str], allowed: list[str] | None) -> list[str]:
    """Names that are allowed; all if none is, as in environments with a family of their own."""
    chosen = [name for name in names if allowed is None or name in allowed]
    return chosen or list(names)


def _scale_copies(scaled: _Parameters, budget: BudgetSettings) -> None:
    limit, extra = budget.max_copies, budget.extra_copies
    copies = scaled.get("augmentation.copies") or []
    if limit is not None:
        scaled.change("augmentation.copies", lambda listed: listed[:limit])
        left = max(0, limit - len(copies))
        scaled.change("augmentation.variants", lambda n: min(n, left))
    scaled.change("augmentation.variants", lambda n: n + extra)
    counts = [f"candidates.{family}.copies" for family in scaled.get("candidates") or {}]
    for path in [*counts, "embeddings.copies"]:
        # No copies at all stay none; `null` are all copies.
        scaled.change(path, lambda n: n + extra if n else n)
        if limit is not None:
            scaled.change(path, lambda n: min(n, limit))


class _Parameters:
    """Nested parameters by dotted paths; what the command gives is not changed."""

    def __init__(self, values: dict[str, Any], given: Mapping[str, Any]):
        self.values = values
        self._given = given

    def get(self, path: str) -> Any:
        return _find(self.values, path)

    def change(self, path: str, function: Any) -> None:
        """Replace a value that exists, is not ``None`` and is not given by the command."""
        value = self.get(path)
        if value is None or _find(self._given, path) is not None:
            return
        *parents, name = path.split(".")
        block = self.values
        for parent in parents:
            block = block[parent]
        block[name] = function(value)


def _find(values: Any, path: str) -> Any:
    for name in path.split("."):
        if not isinstance(values, Mapping) or name not in values:
            return None
        values = values[name]
    return values
