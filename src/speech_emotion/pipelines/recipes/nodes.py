"""Nodes of the comparison of recipes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd
import plotly.graph_objects as go

from speech_emotion.corpora import TEST
from speech_emotion.evaluation import (
    CLEAN,
    CROSS_VALIDATION,
    RecipesSettings,
    cross_validated_choice,
)
from speech_emotion.reporting import synthetic_note
from speech_emotion.reporting.recipes import recipes_documents, recipes_figure

DESCRIPTION = ["environment", "description", "claimed", "corpora", "missing", "synthetic"]
COLUMNS = [*DESCRIPTION, "protocol", "model", "n_utterances", "n_speakers"]
METRICS = ["accuracy", "accuracy_low", "accuracy_high", "uar", "uar_low", "uar_high"]
Partitions = Mapping[str, Callable[[], pd.DataFrame]]


def compare_recipes(
    leaderboards: Partitions, utterances: Partitions, recipes: RecipesSettings
) -> pd.DataFrame:
    """Compare the claimed with the reproduced accuracy under both protocols.

    Args:
        leaderboards: Leaderboard of each environment that was run, by its name.
        utterances: Its utterances.
        recipes: Description of each environment's recipe, in the order of the table.

    Returns:
        One row a recipe and protocol, with the corpora it was run on and those that were missing; a
        recipe that was not run has one row without metrics.
    """
    rows = []
    for environment, recipe in recipes.environments.items():
        row = {
            "environment": environment,
            "description": recipe.description,
            "claimed": recipe.claimed,
        }
        if environment not in leaderboards or environment not in utterances:
            rows.append(row | {"corpora": "", "missing": "", "synthetic": False})
            continue
        recordings = utterances[environment]()
        present = set(recordings["corpus"])
        row["corpora"] = ", ".join(name for name in recipe.corpora if name in present)
        row["missing"] = ", ".join(name for name in recipe.corpora if name not in present)
        row["synthetic"] = bool(recordings["synthetic"].any())
        board = leaderboards[environment]()
        board = board[board["condition"] == CLEAN]
        for protocol in ("speaker_independent", "random_split"):
            model = cross_validated_choice(board[board["evaluation"] == CROSS_VALIDATION], protocol)
            chosen = board[
                (board["model"] == model)
                & (board["protocol"] == protocol)
                & (board["evaluation"] == TEST)
            ]
            rows += [row | metrics for metrics in chosen.to_dict("records")]
    return pd.DataFrame(rows).reindex(columns=[*COLUMNS, *METRICS])


def write_recipes(table: pd.DataFrame) -> tuple[go.Figure, str, str]:
    """Draw the comparison, and write it as Markdown and as an HTML page."""
    note = synthetic_note(table)
    figure = recipes_figure(table, note=note)
    return figure, *recipes_documents(table, figure, note=note)
