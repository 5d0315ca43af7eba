"""Leaderboards of other people's recipes → what they claimed beside what they give."""

from kedro.pipeline import Node, Pipeline

from speech_emotion.pipelines.recipes.nodes import compare_recipes, write_recipes


def create_pipeline() -> Pipeline:
    """Compare the recipes that were run, each in its environment, with what was claimed for them."""
    return Pipeline(
        [
            Node(
                compare_recipes,
                ["environment_leaderboards", "environment_utterances", "params:recipes"],
                "recipes_table",
                name="compare_recipes",
            ),
            Node(
                write_recipes,
                "recipes_table",
                ["recipes_figure", "recipes_markdown", "recipes_page"],
                name="write_recipes",
            ),
        ],
        tags="recipes",
        namespace="recipes",
        prefix_datasets_with_namespace=False,
    )
