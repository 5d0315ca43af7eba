"""Calls of a contact center → AHT or FCR over time as sound."""

from kedro.pipeline import Node, Pipeline

from speech_emotion.pipelines.call_kpis.pipeline import gathering
from speech_emotion.pipelines.sonification.nodes import sonify


def create_pipeline() -> Pipeline:
    """Make sound, MIDI, a legend and a page of a key figure of an agent, or of two compared."""
    return gathering() + Pipeline(
        [
            Node(
                sonify,
                ["calls", "params:kpis", "params:call_selection", "params:sonification"],
                [
                    "sonification_sound",
                    "sonification_midi",
                    "sonification_notes_table",
                    "sonification_legend",
                    "sonification_page",
                ],
                name="sonify",
            )
        ],
        tags="sonification",
        namespace="sonification",
        prefix_datasets_with_namespace=False,
    )
