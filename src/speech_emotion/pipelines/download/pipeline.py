"""Official addresses → corpora on disk."""

from kedro.pipeline import Node, Pipeline

from speech_emotion.pipelines.download.nodes import download


def create_pipeline() -> Pipeline:
    """Download the corpora into the folder that the ``full`` environment reads."""
    return Pipeline(
        [Node(download, ["params:download"], "download_report", name="download_corpora")],
        tags="download",
        namespace="download",
        prefix_datasets_with_namespace=False,
    )
