"""Anger that reviewers have confirmed or rejected, in place of the flags of a model."""

from __future__ import annotations

from typing import Final

import pandas as pd

__all__ = ["confirm_anger"]

KEYS: Final = ["call", "channel"]
ANGRY: Final = "angry"
NOT_FLAGGED: Final = "not_flagged"
OLD_FLAGS: Final = {"calm": NOT_FLAGGED}
"""Flags in results of older versions."""


def confirm_anger(
    summary: pd.DataFrame, passages: pd.DataFrame | None, verdicts: pd.DataFrame | None
) -> pd.DataFrame:
    """Replace flags by what reviewers say, where they say enough.

    A call is angry if most verdicts on one of its items are. It is not flagged if the whole call was judged
    not to be angry, or if each of its flagged passages was. A random window that is not angry says nothing
    about the rest of its call.

    Args:
        summary: Summary of scored calls: ``call``, ``channel``, ``flag``.
        passages: Flagged passages; ``None`` if they are unknown.
        verdicts: Export of the review application; ``None`` without reviews.

    Returns:
        The summary with its new flags and ``confirmed``: whether reviewers are the source of the flag.
    """
    summary = summary.assign(flag=summary["flag"].replace(OLD_FLAGS))
    if verdicts is None or verdicts.empty:
        return summary.assign(confirmed=False)
    items = _items(verdicts)
    rejected = items[items["share"] < 0.5]
    rows = _keys(summary)
    angry = rows.isin(_keys(items[items["share"] > 0.5]))
    cleared = rows.isin(_keys(rejected[rejected["kind"] == "call"]))
    if passages is not None and len(passages):
        cleared |= rows.isin(_all_rejected(passages, rejected[rejected["kind"] == "passage"]))
    cleared &= ~angry
    table = summary.assign(confirmed=angry | cleared)
    table.loc[angry, "flag"] = ANGRY
    table.loc[cleared, "flag"] = NOT_FLAGGED
    return table


def _items(verdicts: pd.DataFrame) -> pd.DataFrame:
    """Return the share of angry verdicts on each item, without changed ones and `cannot tell`."""
    told = ~verdicts["superseded"].astype(bool) & verdicts["verdict"].isin(["angry", "not_angry"])
    table = verdicts[told].rename(columns={"call_id": "call"})
    table = table.assign(share=table["verdict"] == "angry")
    columns = [*KEYS, "kind", "start_s", "end_s"]
    return table.groupby("item_id").agg(dict.fromkeys(columns, "first") | {"share": "mean"})


def _keys(table: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_arrays([table["call"].astype(str), table["channel"].astype(int)])


def _all_rejected(passages: pd.DataFrame, rejected: pd.DataFrame) -> pd.MultiIndex:
    """Return the channels whose flagged passages are all judged not to be angry."""
    judged: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for key, row in zip(_keys(rejected), rejected.itertuples(), strict=True):
        judged.setdefault(key, []).append((row.start_s, row.end_s))
    left = pd.Series(
        [
            not any(
                start <= (row.start_s + row.end_s) / 2 <= end for start, end in judged.get(key, [])
            )
            for key, row in zip(_keys(passages), passages.itertuples(), strict=True)
        ],
        index=_keys(passages),
    )
    by_channel = left.groupby(level=[0, 1]).any()
    return by_channel.index[~by_channel.to_numpy(dtype=bool)]
