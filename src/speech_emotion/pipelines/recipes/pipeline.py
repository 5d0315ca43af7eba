"""Leaderboards of other people's recipes → what they claimed beside what they give."""

from kedro.pipeline import Node, Pipeline

from speech_emotion.pipelines.recipes.nodes import compare_recipes


def create_pipeline() -> Pipeline:
    """Compare the recipes that were run, each in its environment, with what was claimed for them."""
    return Pipeline(
        [
            Node(
                compare_recipes,
                ["environment_leaderboards", "params:recipes"],
                ["recipes_table", "recipes_figure"],
                name="compare_recipes",
            )
        ],
        tags="recipes",
        namespace="recipes",
        prefix_datasets_with_namespace=False,
    )
