"""The end of a run: what was made and where to look."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

__all__ = ["SummaryHooks"]

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)


PLACES = (
    "rejected_audio",
    "leaderboard",
    "md_report",
    "html_report",
    "model_card",
    "recipes_page",
    "ablation_page",
    "call_emotions",
    "call_summary",
    "call_passages",
    "rejected_recordings",
    "calls_page",
    "call_evaluation_table",
    "call_evaluation_figure",
    "rejected_calls",
    "call_kpis_page",
    "sonification_sound",
    "sonification_midi",
    "sonification_page",
)


class SummaryHooks:
    """Say at the end what a run made and where to look."""

    @hook_impl
    def after_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Log the leaderboard's first lines and the places of what people look at."""
        made = pipeline.outputs() | pipeline.all_outputs()
        if "leaderboard" in made:
            logger.info("UAR by protocol and model:\n%s", _brief(catalog["leaderboard"].load()))
        if "call_summary" in made:
            flags = catalog["call_summary"].load()["flag"].value_counts()
            counted = ", ".join(f"{count} {flag}" for flag, count in flags.items())
            rejected = len(catalog["rejected_recordings"].load())
            logger.info("Calls: %s; %d rejected", counted or "none", rejected)
        for name in PLACES:
            if name in made:
                dataset = catalog.get(name)
                place = getattr(dataset, "_filepath", getattr(dataset, "_path", None))
                logger.info("%s: %s", name.replace("_", " ").capitalize(), place)
        env = f" --env {run_params['env']}" if run_params.get("env") else ""
        logger.info("Compare runs: kedro mlflow ui%s · See the map: kedro viz run%s", env, env)


def _brief(leaderboard: pd.DataFrame) -> str:
    """One line a model under the selecting protocol, and the best of each other one."""
    from speech_emotion.corpora import TEST
    from speech_emotion.evaluation import CLEAN

    clean = leaderboard[leaderboard["condition"] == CLEAN]
    test_rows = clean[clean["evaluation"] == TEST]
    judged = clean if test_rows.empty else test_rows
    selecting = clean.loc[clean["champion"], "protocol"].iloc[0]
    others = judged[judged["protocol"] != selecting].drop_duplicates("protocol")
    return "\n".join(
        f"{row.protocol:22}{row.model:20}{row.uar:6.1%} [{row.uar_low:.1%}, {row.uar_high:.1%}]"
        f" n={row.n_utterances}{' *' if row.champion else ''}"
        for row in [*judged[judged["protocol"] == selecting].itertuples(), *others.itertuples()]
    )
