"""KPIs by group and over time, each with its number of calls and a 95 % interval.

Intervals of shares follow Wilson (JASA 22, 1927). Intervals of means come from a Bayesian bootstrap over
customers (Rubin, Annals of Statistics 9, 1981), because calls of one customer are not independent. With many
customers, its percentiles are computed from its first three moments instead of drawn (Cornish & Fisher, Revue
de l'Institut International de Statistique 5, 1938): the same within the noise of the draws, and fast for
millions of calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pandas as pd
from scipy import sparse

from speech_emotion.bootstrap import bootstrap_interval
from speech_emotion.contact_center.kpis import KpiSettings, team_of

__all__ = [
    "CENTER",
    "DIMENSIONS",
    "SHARES",
    "TARGET",
    "agent_scope",
    "angry_calls",
    "calls_by_scope",
    "customer_weights",
    "kpi_breakdown",
    "kpi_series",
    "kpi_table",
    "mean_intervals",
    "wilson_interval",
]

CENTER: Final = "center"
"""Scope of all calls."""
TARGET: Final = "target"
"""Voice of the tone that sounds the target."""
SHARES: Final = ("fcr", "angry", "repeat")
DIMENSIONS: Final = (
    *("agent", "team", "topic", "queue", "direction"),
    *("hour", "weekday", "month", "week", "day"),
)
MAYBE_UNKNOWN: Final = ("queue", "direction")
"""Dimensions that are left out if no call has a value."""
GRAINS: Final = ("day", "week", "month")
Z95: Final = 1.959963984540054
MANY_CUSTOMERS: Final = 100
"""Customers from which the interval of a mean is computed from moments."""
LISTED_COLUMNS: Final = (
    "call_id",
    "start",
    "agent_id",
    "team",
    "queue",
    "direction",
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
    """Return the 95 % Wilson interval of shares ``hits / n``; NaN where ``n`` is 0.

    Example:
        >>> low, high = wilson_interval(np.array([8]), np.array([10]))
        >>> f"{low[0]:.2f} to {high[0]:.2f}"
        '0.49 to 0.94'
    """
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
        resamples: Total number of resamples.
        seed: Seed.
        block: Number of resamples drawn at once; ``None`` for blocks of about 40 MB.
    """
    rng = np.random.default_rng(seed)
    block = block or max(1, 10_000_000 // max(1, n_customers))
    for start in range(0, resamples, block):
        size = (n_customers, min(block, resamples - start))
        yield rng.standard_exponential(size, dtype=np.float32)


def kpi_table(calls: pd.DataFrame, by: Sequence[str], settings: KpiSettings) -> pd.DataFrame:
    """Compute the KPIs of groups of calls.

    Args:
        calls: From :func:`add_kpi_columns` or :func:`select_period`.
        by: Columns to group by; empty for all calls together.
        settings: Bootstrap and smallest number of calls.

    Returns:
        One row per group: ``by``, ``n_calls``, ``n_customers``; ``aht_s``, ``fcr``, ``angry`` and
        ``repeat``, each with ``_low`` and ``_high``; the number of calls behind each share (``n_fcr``
        etc.); ``confirmed``, the share of the angry calls that reviewers have confirmed; ``small``, whether
        there are fewer than ``settings.min_calls``; and ``synthetic``, whether any call is simulated. The
        interval of the mean is NaN for a single customer.
    """
    code = calls.groupby(list(by), sort=True).ngroup() if by else pd.Series(0, index=calls.index)
    grouped = calls.groupby(code, sort=True)
    table = grouped[list(by)].first() if by else pd.DataFrame(index=[0])
    table["n_calls"] = grouped.size()
    # Numbers in place of names, which are compared much faster.
    customers = pd.Series(pd.factorize(calls["customer_id"])[0], index=calls.index)
    table["n_customers"] = customers.groupby(code).nunique()
    table["aht_s"] = grouped["handle_s"].mean()
    table["aht_s_low"], table["aht_s_high"] = mean_intervals(
        calls["handle_s"].to_numpy(), code.to_numpy(), customers, settings
    )
    for name in SHARES:
        hits, n = grouped[name].sum(), grouped[name].count()
        table[f"n_{name}"] = n
        table[name] = (hits / n).where(n > 0)
        table[f"{name}_low"], table[f"{name}_high"] = wilson_interval(hits, n)
    is_confirmed = calls["angry"].eq(1) & calls["emotion_source"].eq("verdict")
    n_angry, n_confirmed = grouped["angry"].sum(), is_confirmed.groupby(code).sum()
    table["confirmed"] = (n_confirmed / n_angry).where(n_angry > 0)
    table["small"] = table["n_calls"] < settings.min_calls
    table["synthetic"] = bool(calls["synthetic"].any())
    return table.reset_index(drop=True)


def mean_intervals(
    values: np.ndarray,
    group: np.ndarray,
    customers: pd.Series,
    settings: KpiSettings,
    *,
    many: int = MANY_CUSTOMERS,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute 95 % intervals of the means of groups, which treat all calls of a customer together.

    Args:
        values: Value of each call.
        group: Number of the group of each call, from 0 and without gaps.
        customers: Customer of each call.
        settings: Number and seed of the resamples.
        many: Customers of a group from which its interval is computed from moments.

    Returns:
        Lower and upper bound of each group; NaN for a single customer.
    """
    customer, names = pd.factorize(customers)
    shape, place = (int(group.max()) + 1, len(names)), (group, customer)
    sums = sparse.coo_matrix((values, place), shape=shape).tocsr()
    counts = sparse.coo_matrix((np.ones(len(values)), place), shape=shape).tocsr()
    low, high = _bounds_by_moments(sums, counts)
    n_customers = np.diff(counts.indptr)
    few = np.flatnonzero(n_customers < many)
    if len(few):
        sums, counts = sums[few], counts[few]
        used = np.unique(counts.indices)
        sums, counts = sums[:, used], counts[:, used]
        draws = customer_weights(len(used), settings.resamples, settings.seed)
        means = np.hstack([(sums @ weights) / (counts @ weights) for weights in draws])
        low[few], high[few] = bootstrap_interval(means, n_customers[few])
    return low, high


def _bounds_by_moments(
    sums: sparse.csr_matrix, counts: sparse.csr_matrix
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the 2.5th and 97.5th percentiles of the resampled means of rows of groups.

    The weights of customers have mean 1, variance 1 and third cumulant 2. The mean under weights is a ratio,
    which is expanded to second order.
    """
    n_groups = counts.shape[0]
    row = np.repeat(np.arange(n_groups), np.diff(counts.indptr))

    def total(terms: np.ndarray) -> np.ndarray:
        return np.bincount(row, terms, n_groups)

    n = total(counts.data)
    mean = total(sums.data) / n
    excess = sums.data - mean[row] * counts.data
    variance, shift = total(excess**2) / n**2, total(excess * counts.data) / n**2
    third = 2 * total(excess**3) / n**3 - 6 * variance * shift
    with np.errstate(invalid="ignore", divide="ignore"):
        skewness = np.where(variance > 0, third / variance**1.5, 0.0)
    curve = skewness * (Z95**2 - 1) / 6
    center, spread = mean - shift, np.sqrt(variance)
    return center + spread * (curve - Z95), center + spread * (curve + Z95)


def agent_scope(agent: str) -> str:
    """Return the name of an agent in tables that also have the center, teams and the target.

    Example:
        >>> agent_scope("A07"), agent_scope("center"), agent_scope("team T1")
        ('A07', 'agent center', 'agent team T1')
    """
    is_ours = agent in {CENTER, TARGET} or agent.startswith(("team ", "agent "))
    return f"agent {agent}" if is_ours else agent


def _numbered(calls: pd.DataFrame) -> pd.DataFrame:
    """Return the calls with numbers in place of the names of customers, which are compared much faster."""
    return calls.assign(customer_id=pd.factorize(calls["customer_id"])[0])


def calls_by_scope(
    calls: pd.DataFrame, agents: Sequence[str], team: str = ""
) -> dict[str, pd.DataFrame]:
    """Return the calls of the contact center, of the team or the agents' teams, and of the agents."""
    scopes = {CENTER: calls}
    if team:
        scopes[f"team {team}"] = calls[calls["team"] == team]
    for agent in agents:
        team = team_of(calls, agent)
        if team:
            scopes[f"team {team}"] = calls[calls["team"] == team]
    for agent in agents:
        scopes[agent_scope(agent)] = calls[calls["agent_id"] == agent]
    return scopes


def kpi_breakdown(
    calls: pd.DataFrame, agents: Sequence[str], settings: KpiSettings, *, team: str = ""
) -> pd.DataFrame:
    """Compute the KPIs of the contact center, the agents' teams and the agents by all dimensions.

    Args:
        calls: From :func:`select_period`.
        agents: Selected agents.
        settings: Bootstrap and smallest number of calls.
        team: A team beside the agents.

    Returns:
        ``scope`` (``center``, ``team NAME`` or the agent, see :func:`agent_scope`), ``by`` (``all`` or one of
        :data:`DIMENSIONS`), ``value``, and the columns of :func:`kpi_table`.
    """
    tables = []
    calls = _numbered(calls)
    for scope, scope_calls in calls_by_scope(calls, agents, team).items():
        for by in ("all", *DIMENSIONS):
            if by in ("agent", "team") and scope != CENTER:
                continue
            if by in MAYBE_UNKNOWN and not (calls[by] != "").any():
                continue
            table = kpi_table(scope_calls, [] if by == "all" else [by], settings)
            value = table.pop(by) if by != "all" else pd.Series("all", index=table.index)
            if by in GRAINS:
                value = value.dt.strftime("%Y-%m-%d")
            table.insert(0, "value", value.astype(str).replace("", "none"))
            table.insert(0, "by", by)
            table.insert(0, "scope", scope)
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def kpi_series(
    calls: pd.DataFrame,
    agents: Sequence[str],
    grain: str,
    settings: KpiSettings,
    *,
    team: str = "",
) -> pd.DataFrame:
    """Compute the KPIs of the contact center, the agents' teams and the agents over time.

    Args:
        calls: From :func:`select_period`.
        agents: Selected agents.
        grain: ``day``, ``week`` or ``month``.
        settings: Bootstrap and smallest number of calls.
        team: A team beside the agents.

    Returns:
        ``scope``, ``period`` (its first local day), ``complete`` (whether all its days are within the
        calls) and the columns of :func:`kpi_table`. Every scope has every period from the first to the
        last; periods without calls have NaN metrics.
    """
    steps = {"day": "D", "week": "7D", "month": "MS"}
    periods = pd.date_range(calls[grain].min(), calls[grain].max(), freq=steps[grain])
    ends = periods + pd.tseries.frequencies.to_offset(steps[grain]) - pd.Timedelta(days=1)
    complete = (periods >= calls["day"].min()) & (ends <= calls["day"].max())
    tables = []
    calls = _numbered(calls)
    for scope, scope_calls in calls_by_scope(calls, agents, team).items():
        table = kpi_table(scope_calls, [grain], settings).set_index(grain).reindex(periods)
        table = table.rename_axis("period").reset_index()
        table.insert(0, "scope", scope)
        table.insert(2, "complete", complete)
        counts = [name for name in table.columns if name.startswith("n_")]
        table[counts] = table[counts].fillna(0).astype(int)
        table["small"] = table["n_calls"] < settings.min_calls
        table["synthetic"] = bool(calls["synthetic"].any())
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def angry_calls(
    calls: pd.DataFrame, agents: Sequence[str], settings: KpiSettings, *, team: str = ""
) -> pd.DataFrame:
    """List the angry calls of the selected agents or team, or of all, the angriest first.

    Args:
        calls: From :func:`~speech_emotion.contact_center.kpis.select_period`.
        agents: Selected agents.
        settings: Time zone of ``start``, which is written as ISO 8601 with its offset.
        team: Selected team.
    """
    chosen = calls[calls["flag"] == "angry"]
    if agents:
        chosen = chosen[chosen["agent_id"].isin(agents)]
    if team:
        chosen = chosen[chosen["team"] == team]
    ordered = chosen.sort_values(["angry_share", "start"], ascending=[False, True])
    local = ordered["start"].dt.tz_convert(settings.time_zone)
    listed = ordered.assign(start=[moment.isoformat(timespec="seconds") for moment in local])
    return listed[list(LISTED_COLUMNS)].reset_index(drop=True)
