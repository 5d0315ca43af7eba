"""Join tables so that no row is lost or doubled in silence."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

__all__ = ["JoinError", "check_same_keys", "join"]


class JoinError(ValueError):
    """Two tables do not have the rows that belong together."""


def join(
    table: pd.DataFrame,
    other: pd.DataFrame,
    on: str | Sequence[str],
    *,
    names: tuple[str, str],
    remedy: str,
) -> pd.DataFrame:
    """Add the columns of the row of ``other`` that each row of ``table`` belongs to.

    Args:
        table: Its rows are kept, in their order.
        other: Table with exactly one row for each key of ``table``; it may have more.
        on: Columns of the key.
        names: Names of both tables, for messages.
        remedy: What to do if rows are missing.

    Raises:
        JoinError: If a key has no row in ``other``, or several.

    Example:
        >>> calls = pd.DataFrame({"agent": ["a", "b", "a"], "call": [1, 2, 3]})
        >>> teams = pd.DataFrame({"agent": ["a", "b"], "team": ["x", "y"]})
        >>> join(calls, teams, "agent", names=("calls", "teams"), remedy="")["team"].tolist()
        ['x', 'y', 'x']
    """
    keys = [on] if isinstance(on, str) else list(on)
    if (repeated := other.duplicated(keys)).any():
        raise JoinError(f"{names[1]}: {_first(other[repeated], keys)} occurs twice: {remedy}")
    joined = table.merge(other, on=keys, how="left", indicator="_found")
    if (missing := joined.pop("_found") != "both").any():
        raise JoinError(
            f"{missing.sum()} of {len(table)} rows of {names[0]} have none in {names[1]}, the first: "
            f"{_first(joined[missing], keys)}: {remedy}"
        )
    return joined


def check_same_keys(
    table: pd.DataFrame,
    other: pd.DataFrame,
    on: str | Sequence[str],
    *,
    names: tuple[str, str],
    remedy: str,
) -> None:
    """Check that two tables have the same keys, each once; in whatever order.

    Raises:
        JoinError: If a key is missing from one of them, or occurs twice.
    """
    keys = [on] if isinstance(on, str) else list(on)
    join(table[keys], other[keys], keys, names=names, remedy=remedy)
    join(other[keys], table[keys], keys, names=names[::-1], remedy=remedy)


def _first(rows: pd.DataFrame, keys: list[str]) -> str:
    return ", ".join(f"{key} {rows[key].iloc[0]!r}" for key in keys)
