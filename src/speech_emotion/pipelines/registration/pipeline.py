"""Champion → model registry. The report and the model card follow: they name the version."""

from kedro.pipeline import Node, Pipeline

from speech_emotion.pipelines.registration.nodes import propose_champion


def create_pipeline() -> Pipeline:
    """Register the champion of this run; it gets the alias ``champion`` if it beats the current one."""
    return Pipeline(
        [
            Node(
                propose_champion,
                [
                    "champion",
                    "leaderboard",
                    "predictions",
                    "utterances",
                    "splits",
                    "params:selection",
                    "params:detection",
                ],
                "registered_model",
                name="register_champion",
            )
        ],
        tags="registration",
        namespace="registration",
        prefix_datasets_with_namespace=False,
    )
