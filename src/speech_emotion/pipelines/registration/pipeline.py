"""Champion → model registry."""

from kedro.pipeline import Node, Pipeline

from speech_emotion.pipelines.registration.nodes import propose_champion


def create_pipeline() -> Pipeline:
    """Register the champion of this run; it becomes ``@champion`` only if it beats the present one."""
    return Pipeline(
        [
            Node(
                propose_champion,
                ["champion", "leaderboard", "utterances", "splits", "params:selection"],
                "registered_model",
                name="register_champion",
            )
        ],
        tags="registration",
        namespace="registration",
        prefix_datasets_with_namespace=False,
    )
