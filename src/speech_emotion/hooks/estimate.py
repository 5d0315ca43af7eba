"""Say before a run how long it will take and how much memory it needs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

if TYPE_CHECKING:
    from speech_emotion.evaluation import RunSize

__all__ = ["EstimateHooks"]

SAMPLED = 40
"""Recordings whose duration is read."""
FEWEST = 1000
"""Smaller corpora take minutes; they are not measured first."""

logger = logging.getLogger(__name__)


class EstimateHooks:
    """Log an estimate if a run extracts features and trains models on many recordings."""

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Count the recordings, measure this machine for a second, and log the estimate."""
        if "champion" not in pipeline.all_outputs():
            return
        size = _measure_corpora(pipeline, catalog)
        if size is None or size.recordings < FEWEST:
            return
        from speech_emotion.audio import AugmentationSettings
        from speech_emotion.corpora import SplitSettings
        from speech_emotion.evaluation import (
            CandidateSettings,
            SelectionSettings,
            estimate_cost,
            format_cost,
            measure_rates,
        )
        from speech_emotion.features import EmbeddingSettings, FeatureSettings
        from speech_emotion.runtime import workers

        features = _load(catalog, "features", FeatureSettings)
        selection = _load(catalog, "selection", SelectionSettings)
        embeddings = _load(catalog, "embeddings", EmbeddingSettings)
        families = selection.chosen(encoder=embeddings.encoder is not None)
        cores = workers(selection.n_jobs)
        cost = estimate_cost(
            size,
            measure_rates(features),
            augmentation=_load(catalog, "augmentation", AugmentationSettings),
            splits=_load(catalog, "splits", SplitSettings),
            features=features,
            selection=selection,
            candidates={
                name: _load(catalog, f"candidates.{name}", CandidateSettings) for name in families
            },
            families=families,
            embedding_copies=embeddings.copies,
            cores=cores,
        )
        logger.info("%s", format_cost(cost, size, cores))
        _compare_memory(cost.memory_gb)


def _load(catalog: DataCatalog, name: str, settings: type[Any]) -> Any:
    """Load parameters, which are typed only if a node of the run reads them."""
    value = catalog.load(f"params:{name}")
    return value if isinstance(value, settings) else settings.model_validate(value)


def _measure_corpora(pipeline: Pipeline, catalog: DataCatalog) -> RunSize | None:
    """Count recordings and their seconds, from the utterances or from the folder of the corpora."""
    from speech_emotion.evaluation import RunSize

    if "utterances" not in pipeline.all_outputs():
        utterances = catalog["utterances"].load()
        total = float(utterances["seconds"].sum())
        return RunSize(len(utterances), total, utterances["corpus"].nunique())
    import soundfile

    from speech_emotion.audio import AUDIO_SUFFIXES
    from speech_emotion.runtime import is_url, list_files

    folder = getattr(catalog["corpora"], "_folder", None)
    if folder is None or is_url(folder):
        return None  # the sample corpus is small, and URLs are slow to measure
    files = [
        file
        for file in list_files(folder)
        if not file.problem and file.below.lower().endswith(AUDIO_SUFFIXES)
    ]
    paths = [file.path for file in files]
    durations = []
    for path in paths[:: max(1, len(paths) // SAMPLED)]:
        try:
            durations.append(soundfile.info(path).duration)
        except (soundfile.LibsndfileError, OSError):
            continue  # ingestion lists it
    if not durations:
        return None
    corpora = len({file.below.split("/")[0] for file in files if "/" in file.below}) or 1
    return RunSize(len(paths), len(paths) * sum(durations) / len(durations), min(corpora, 4))


def _compare_memory(needed_gb: float) -> None:
    """Warn if the estimate is above the memory that this machine has left."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            found = dict(line.split(":", 1) for line in file)
        available = int(found["MemAvailable"].split()[0]) / 2**20
    except (OSError, KeyError, ValueError):
        return  # not Linux
    if needed_gb > available:
        logger.warning(
            "The run may need %.1f GB of memory, and %.1f GB are available: set selection.n_jobs=1, use "
            "budget=quick, or lower augmentation.variants",
            needed_gb,
            available,
        )
