"""Key figures by group and over time, each with its count and an interval.

Intervals are 95 %: of shares after Wilson (JASA 22, 1927), of means from a Bayesian bootstrap over
customers (Rubin, Annals of Statistics 9, 1981), whose calls are not independent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pandas as pd
from scipy import sparse

from speech_emotion.contact_center.kpis import KpiSettings, team_of

__all__ = [
    "DIMENSIONS",
    "SHARES",
    "angry_calls",
    "customer_weights",
    "kpi_breakdown",
    "kpi_series",
    "kpi_table",
    "wilson_interval",
]

SHARES: Final = ("fcr", "angry", "repeat")
DIMENSIONS: Final = ("agent", "team", "topic", "hour", "weekday", "month", "week", "day")
GRAINS: Final = ("day", "week", "month")
Z95: Final = 1.959963984540054
LISTED: Final = (
    "call_id",
    "start",
    "agent_id",
    "team",
    "customer_id",
    "topic",
    "angry_share",
    "first_angry_s",
    "wait_s",
    "handle_s",
    "resolved",
    "repeat",
    "came_back",
    "recording",
    "emotion_source",
    "synthetic",
)


def wilson_interval(hits: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95 % interval of shares ``hits / n`` after Wilson; missing where ``n`` is 0."""
    hits, n = np.asarray(hits, dtype=float), np.asarray(n, dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        share, weight = hits / n, Z95**2 / n
        center = (share + weight / 2) / (1 + weight)
        half = Z95 * np.sqrt(share * (1 - share) / n + weight / (4 * n)) / (1 + weight)
    return np.clip(center - half, 0, 1), np.clip(center + half, 0, 1)


def customer_weights(
    n_customers: int, resamples: int, seed: int, *, block: int | None = None
) -> Iterator[np.ndarray]:
    """Draw Bayesian bootstrap weights, shape ``(n_customers, at most block)`` at a time.

    Args:
        n_customers: Number of customers.
        resamples: Number of resamples in all.
        seed: Seed.
        block: Resamples drawn at once; ``None`` for as many as take some 40 MB.
    """
    rng = np.random.default_rng(seed)
    block = block or max(1, 10_000_000 // max(1, n_customers))
    for start in range(0, resamples, block):
        size = (n_customers, min(block, resamples - start))
        yield rng.standard_exponential(size, dtype=np.float32)


def kpi_table(calls: pd.DataFrame, by: Sequence[str], settings: KpiSettings) -> pd.DataFrame:
    """Compute the key figures of groups of calls.

    Args:
        calls: From :func:`add_kpi_columns` or :func:`select_period`.
        by: Columns that group them; none for all calls together.
        settings: Bootstrap and smallest count.

    Returns:
        One row a group: ``by``, ``n_calls``, ``n_customers``; ``aht_s``, and ``fcr``, ``angry`` and
        ``repeat`` with the number of calls each share rests on (``n_fcr``…); each with ``_low`` and
        ``_high``; ``small``; ``synthetic``, whether any call is generated. The interval of a mean is
        missing where there is one customer only.
    """
    code = calls.groupby(list(by), sort=True).ngroup() if by else pd.Series(0, index=calls.index)
    grouped = calls.groupby(code, sort=True)
    table = grouped[list(by)].first() if by else pd.DataFrame(index=[0])
    table["n_calls"] = grouped.size()
    table["n_customers"] = grouped["customer_id"].nunique()
    table["aht_s"] = grouped["handle_s"].mean()
    table["aht_s_low"], table["aht_s_high"] = _mean_interval(calls, code.to_numpy(), settings)
    lonely = table["n_customers"] < 2
    table.loc[lonely, ["aht_s_low", "aht_s_high"]] = np.nan
    for name in SHARES:
        hits, n = grouped[name].sum(), grouped[name].count()
        table[f"n_{name}"] = n
        table[name] = (hits / n).where(n > 0)
        table[f"{name}_low"], table[f"{name}_high"] = wilson_interval(hits, n)
    table["small"] = table["n_calls"] < settings.min_calls
    table["synthetic"] = bool(calls["synthetic"].any())
    return table.reset_index(drop=True)


def _mean_interval(
    calls: pd.DataFrame, group: np.ndarray, settings: KpiSettings
) -> tuple[np.ndarray, np.ndarray]:
    customer, names = pd.factorize(calls["customer_id"])
    shape = (int(group.max()) + 1, len(names))
    place = (group, customer)
    seconds = sparse.coo_matrix((calls["handle_s"].to_numpy(), place), shape=shape).tocsr()
    counts = sparse.coo_matrix((np.ones(len(calls)), place), shape=shape).tocsr()
    means = [
        (seconds @ weights) / (counts @ weights)
        for weights in customer_weights(len(names), settings.resamples, settings.seed)
    ]
    low, high = np.percentile(np.hstack(means), [2.5, 97.5], axis=1)
    return low, high


def _scopes(calls: pd.DataFrame, agents: Sequence[str]) -> dict[str, pd.DataFrame]:
    scopes = {"center": calls}
    for agent in agents:
        team = team_of(calls, agent)
        if team:
            scopes[f"team {team}"] = calls[calls["team"] == team]
    for agent in agents:
        scopes[agent] = calls[calls["agent_id"] == agent]
    return scopes


def kpi_breakdown(
    calls: pd.DataFrame, agents: Sequence[str], settings: KpiSettings
) -> pd.DataFrame:
    """Compute the key figures of the center, the agents' teams and the agents, each by everything.

    Args:
        calls: From :func:`select_period`.
        agents: Agents that are looked at.
        settings: Bootstrap and smallest count.

    Returns:
        ``scope`` (``center``, ``team NAME`` or the agent), ``by`` (``all`` or one of
        :data:`DIMENSIONS`), ``value``, and the columns of :func:`kpi_table`.
    """
    parts = []
    for scope, own in _scopes(calls, agents).items():
        for by in ("all", *DIMENSIONS):
            if (by == "agent" and scope != "center") or (by == "team" and scope != "center"):
                continue
            table = kpi_table(own, [] if by == "all" else [by], settings)
            value = table.pop(by) if by != "all" else pd.Series("all", index=table.index)
            if by in GRAINS:
                value = value.dt.strftime("%Y-%m-%d")
            table.insert(0, "value", value.astype(str).replace("", "none"))
            table.insert(0, "by", by)
            table.insert(0, "scope", scope)
            parts.append(table)
    return pd.concat(parts, ignore_index=True)


def kpi_series(
    calls: pd.DataFrame, agents: Sequence[str], grain: str, settings: KpiSettings
) -> pd.DataFrame:
    """Compute the key figures over time of the center, the agents' teams and the agents.

    Args:
        calls: From :func:`select_period`.
        agents: Agents that are looked at.
        grain: ``day``, ``week`` or ``month``.
        settings: Bootstrap and smallest count.

    Returns:
        ``scope``, ``period`` (its first local day) and the columns of :func:`kpi_table`. Every scope
        has every period from the first to the last; one without calls has 0 of them and no figures.
    """
    steps = {"day": "D", "week": "7D", "month": "MS"}
    periods = pd.date_range(calls[grain].min(), calls[grain].max(), freq=steps[grain])
    parts = []
    for scope, own in _scopes(calls, agents).items():
        table = kpi_table(own, [grain], settings).set_index(grain).reindex(periods)
        table = table.rename_axis("period").reset_index()
        table.insert(0, "scope", scope)
        counts = [name for name in table.columns if name.startswith("n_")]
        table[counts] = table[counts].fillna(0).astype(int)
        table["small"] = table["n_calls"] < settings.min_calls
        table["synthetic"] = bool(calls["synthetic"].any())
        parts.append(table)
    return pd.concat(parts, ignore_index=True)


def angry_calls(calls: pd.DataFrame, agents: Sequence[str], settings: KpiSettings) -> pd.DataFrame:
    """List the angry calls of the agents, or of all if there is none, the angriest first.

    Args:
        calls: From :func:`~speech_emotion.contact_center.kpis.select_period`.
        agents: Agents that are looked at.
        settings: Time zone of ``start``, which is written with its offset.
    """
    chosen = calls[calls["flag"] == "angry"]
    if agents:
        chosen = chosen[chosen["agent_id"].isin(agents)]
    ordered = chosen.sort_values(["angry_share", "start"], ascending=[False, True])
    local = ordered["start"].dt.tz_convert(settings.time_zone)
    listed = ordered.assign(start=[moment.isoformat(timespec="seconds") for moment in local])
    return listed[list(LISTED)].reset_index(drop=True)
