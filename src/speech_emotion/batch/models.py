"""The model of a batch, and where its work runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from speech_emotion.datasets import ModelDataset, ModelVersionDataset
from speech_emotion.models import EmotionPredictor
from speech_emotion.runtime import ClusterSettings, DaskEngine, connect, running_on

__all__ = ["on_cluster", "resolve"]


def resolve(model_uri: str) -> tuple[str, Callable[[], EmotionPredictor]]:
    """Return the id of a model, and a function that loads it.

    Args:
        model_uri: URI of the model in MLflow's current tracking server, or the folder of a predictor.
    """
    if Path(model_uri).is_dir():
        predictor = ModelDataset(uri=model_uri).load()
        return predictor.digest[:16], lambda: predictor
    import mlflow

    found = ModelVersionDataset(uri=model_uri).load()
    if "version" in found:  # the version has the name that results show, the id has none
        model_uri = f"models:/{found['name']}/{found['version']}"
        model_id = mlflow.models.get_model_info(model_uri).model_id
        return model_id, ModelDataset(uri=model_uri).load
    model_id = mlflow.models.get_model_info(model_uri).model_id
    return model_id, ModelDataset(uri=f"models:/{model_id}").load


@contextmanager
def on_cluster(scheduler: str | None) -> Iterator[None]:
    """Run parallel calls on a Dask cluster, if one is named."""
    with ExitStack() as stack:
        if scheduler:
            client = stack.enter_context(
                connect(ClusterSettings(engine="dask", scheduler=scheduler))
            )
            stack.enter_context(running_on(DaskEngine(client)))
        yield
