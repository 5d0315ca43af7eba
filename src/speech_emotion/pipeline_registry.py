"""The project's pipelines, by the names that ``kedro run --pipeline`` takes."""

from kedro.pipeline import Pipeline

from speech_emotion.pipelines import (
    augmentation,
    call_evaluation,
    call_kpis,
    call_report,
    call_scoring,
    download,
    feature_engineering,
    feature_study,
    ingestion,
    model_selection,
    recipes,
    registration,
    reporting,
    sonification,
)


def register_pipelines() -> dict[str, Pipeline]:
    """Name every pipeline; written out, so that a broken import is an error and not a gap."""
    stages = {
        "ingestion": ingestion.create_pipeline(),
        "augmentation": augmentation.create_pipeline(),
        "feature_engineering": feature_engineering.create_pipeline(),
        "model_selection": model_selection.create_pipeline(),
        "reporting": reporting.create_pipeline(),
        "registration": registration.create_pipeline(),
    }
    return {
        "__default__": sum(stages.values(), start=Pipeline([])),
        **stages,
        "recipes": recipes.create_pipeline(),
        "download": download.create_pipeline(),
        "feature_study": feature_study.create_pipeline(),
        "call_report": call_report.create_pipeline(),
        "call_kpis": call_kpis.create_pipeline(),
        "sonification": sonification.create_pipeline(),
        # Scores nobody looks at serve nobody: the page belongs to them.
        "call_scoring": call_scoring.create_pipeline() + call_report.create_pipeline(),
        "call_evaluation": call_evaluation.create_pipeline(),
    }
