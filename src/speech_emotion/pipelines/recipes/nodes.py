"""Nodes of the comparison of recipes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd
import plotly.graph_objects as go

from speech_emotion.models import (
    CLEAN,
    CROSS_VALIDATION,
    HELD_OUT,
    RecipesSettings,
    cross_validated_choice,
)
from speech_emotion.reporting.figures import recipes_figure

COLUMNS = ["environment", "said", "claimed", "protocol", "model", "n_utterances", "n_speakers"]
FIGURES = ["accuracy", "accuracy_low", "accuracy_high", "uar", "uar_low", "uar_high"]


def compare_recipes(
    leaderboards: Mapping[str, Callable[[], pd.DataFrame]], recipes: RecipesSettings
) -> tuple[pd.DataFrame, go.Figure]:
    """Put what was claimed beside what the same recipe gives, leaky and cold, on held-out utterances.

    Args:
        leaderboards: Leaderboard of each environment that was run, by its name.
        recipes: What is known of each environment's recipe, in the order of the table.

    Returns:
        One row a recipe and protocol; a recipe that was not run has one row without figures.
    """
    rows = []
    for environment, recipe in recipes.environments.items():
        facts = {"environment": environment, "said": recipe.said, "claimed": recipe.claimed}
        if environment not in leaderboards:
            rows.append(facts)
            continue
        board = leaderboards[environment]()
        board = board[board["condition"] == CLEAN]
        for protocol in ("random", "cold"):
            model = cross_validated_choice(board[board["evaluation"] == CROSS_VALIDATION], protocol)
            chosen = board[
                (board["model"] == model)
                & (board["protocol"] == protocol)
                & (board["evaluation"] == HELD_OUT)
            ]
            rows += [facts | row for row in chosen.to_dict("records")]
    table = pd.DataFrame(rows).reindex(columns=[*COLUMNS, *FIGURES])
    return table, recipes_figure(table)
