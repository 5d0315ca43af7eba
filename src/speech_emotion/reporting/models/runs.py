"""Names, descriptions and metrics of a run for an experiment tracker."""

from __future__ import annotations

import pandas as pd
from sklearn.metrics import roc_auc_score

from speech_emotion.corpora import TEST
from speech_emotion.evaluation import CLEAN, CROSS_VALIDATION

__all__ = [
    "describe_run",
    "format_leaderboard",
    "headline_metrics",
    "headline_table",
    "name_data",
    "name_run",
    "run_metrics",
]

HEADLINE = ["uar", "uar_low", "uar_high", "accuracy", "macro_f1", "anger_auc"]


def headline_table(
    leaderboard: pd.DataFrame, predictions: pd.DataFrame | None = None, target: str = "angry"
) -> pd.DataFrame:
    """Return the headline metrics of every model.

    They are those of the selecting protocol on clean speech: on the test set, or from
    cross-validation if there is no test set.

    Args:
        leaderboard: Metrics of all models.
        predictions: Calibrated predictions of all models, for ``anger_auc``; ``None`` to leave it out.
        target: Label that ``anger_auc`` detects.

    Returns:
        One row a model, the best first: the columns of the leaderboard and ``anger_auc``, the area
        under the ROC curve of the target's probability, which is missing without both kinds of rows.
    """
    protocol = leaderboard.loc[leaderboard["champion"], "protocol"].iloc[0]
    rows = leaderboard[(leaderboard["protocol"] == protocol) & (leaderboard["condition"] == CLEAN)]
    evaluation = TEST if (rows["evaluation"] == TEST).any() else CROSS_VALIDATION
    rows = rows[rows["evaluation"] == evaluation].sort_values("uar", ascending=False)
    areas: dict[str, float] = {}
    if predictions is not None and f"p_{target}" in predictions:
        scored = predictions[
            (predictions["protocol"] == protocol)
            & (predictions["condition"] == CLEAN)
            & (predictions["evaluation"] == evaluation)
        ]
        for model, subset in scored.groupby("model"):
            positive = subset["label"] == target
            if positive.any() and not positive.all():
                areas[str(model)] = float(roc_auc_score(positive, subset[f"p_{target}"]))
    return rows.assign(anger_auc=rows["model"].map(areas).astype(float)).reset_index(drop=True)


def headline_metrics(headline: pd.DataFrame, model: str) -> dict[str, float]:
    """Return the headline metrics of one model, by name."""
    rows = headline[headline["model"] == model]
    return {} if rows.empty else rows.iloc[0][HEADLINE].dropna().astype(float).to_dict()


def run_metrics(leaderboard: pd.DataFrame, headline: pd.DataFrame, model: str) -> dict[str, float]:
    """Return the metrics of one model: the headline, and a few others in groups.

    The groups are ``cross-validation/``, ``telephone/`` (the selecting protocol on telephone speech),
    ``protocols/`` (UAR under each other protocol) and ``cost/``.
    """
    metrics = headline_metrics(headline, model)
    rows = leaderboard[leaderboard["model"] == model]
    protocol = headline["protocol"].iloc[0]
    evaluation = headline["evaluation"].iloc[0]
    selecting = rows[rows["protocol"] == protocol]
    for row in selecting.itertuples():
        if row.condition == CLEAN and row.evaluation == CROSS_VALIDATION != evaluation:
            metrics["cross-validation/uar"] = row.uar
            metrics["cross-validation/accuracy"] = row.accuracy
        elif row.condition != CLEAN and row.evaluation == evaluation:
            metrics[f"{row.condition}/uar"] = row.uar
    others = rows[(rows["protocol"] != protocol) & (rows["condition"] == CLEAN)]
    for name, subset in others.groupby("protocol"):
        on_test = subset[subset["evaluation"] == TEST]
        metrics[f"protocols/{name}"] = (subset if on_test.empty else on_test)["uar"].iloc[0]
    for name in ("fit_seconds", "predict_ms"):
        if len(selecting) and pd.notna(selecting[name].iloc[0]):
            metrics[f"cost/{name}"] = float(selecting[name].iloc[0])
    return {name: float(value) for name, value in metrics.items()}


def name_data(utterances: pd.DataFrame, env: str | None) -> str:
    """Name the data of a run: the environment, or whether the corpora are the sample."""
    if env and env not in ("base", "local"):
        return env
    return "sample" if utterances["synthetic"].any() else "corpora"


def name_run(data: str, headline: pd.DataFrame, model: str) -> str:
    """Name a run by its data, its model and the UAR.

    Example:
        >>> table = pd.DataFrame({"model": ["soft_voting"], "uar": [0.748]})
        >>> name_run("sample", table, "soft_voting")
        'sample · soft voting · UAR 74.8 %'
    """
    uar = headline.loc[headline["model"] == model, "uar"]
    score = f" · UAR {100 * uar.iloc[0]:.1f} %" if len(uar) else ""
    return f"{data} · {model.replace('_', ' ')}{score}"


def describe_run(headline: pd.DataFrame, utterances: pd.DataFrame, champion: str) -> str:
    """Describe a run in Markdown: data, champion, and the headline metrics of all models."""
    row = headline[headline["model"] == champion].iloc[0]
    corpora = ", ".join(sorted(utterances["corpus"].unique()))
    where = _name_evaluation(row["evaluation"])
    lines = [
        f"**{champion.replace('_', ' ')}**: UAR {100 * row['uar']:.1f} % "
        f"({100 * row['uar_low']:.1f} to {100 * row['uar_high']:.1f} %), {where}, "
        f"protocol `{row['protocol']}`, {row['n_utterances']} utterances of "
        f"{row['n_speakers']} speakers.",
        "",
        f"Data: {corpora}.",
    ]
    if utterances["synthetic"].any():
        lines[-1] += " SYNTHETIC speech: the metrics say nothing about real speech."
    lines += ["", "| model | UAR | 95 % interval | accuracy | anger AUC |", "|---|---|---|---|---|"]
    for each in headline.itertuples():
        area = "" if pd.isna(each.anger_auc) else f"{each.anger_auc:.3f}"
        lines.append(
            f"| {each.model.replace('_', ' ')}{' *' if each.model == champion else ''} "
            f"| {100 * each.uar:.1f} % | {100 * each.uar_low:.1f} to {100 * each.uar_high:.1f} % "
            f"| {100 * each.accuracy:.1f} % | {area} |"
        )
    lines += [
        "",
        "\\* champion: best in cross-validation. Every model is a child run. All protocols and "
        "conditions: artifact `leaderboard.json`; report and figures: `report/`, `figures/`.",
    ]
    return "\n".join(lines)


def format_leaderboard(headline: pd.DataFrame, champion: str) -> str:
    """Format the headline metrics of all models as text of at most 72 columns."""
    first = headline.iloc[0]
    lines = [
        f"{_name_evaluation(first['evaluation']).capitalize()}, protocol {first['protocol']}, "
        f"{first['n_utterances']} utterances",
        f"  {'model':24}{'UAR':>8}{'95 % interval':>18}{'accuracy':>11}",
    ]
    lines += [
        f"{'*' if row.model == champion else ' '} {row.model:24}{row.uar:8.1%}"
        f"{f'{row.uar_low:.1%} - {row.uar_high:.1%}':>18}{row.accuracy:11.1%}"
        for row in headline.itertuples()
    ]
    return "\n".join([*lines, "* champion: the model with the best UAR in cross-validation"])


def _name_evaluation(evaluation: str) -> str:
    return "test set" if evaluation == TEST else "cross-validation"
