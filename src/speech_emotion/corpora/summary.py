"""What the corpora of a run allow: languages, sexes, and whether speakers are known."""

from __future__ import annotations

import logging

import pandas as pd

from speech_emotion.corpora.entry import UNKNOWN, CorpusEntry
from speech_emotion.corpora.ingestion import CorporaSettings
from speech_emotion.corpora.speakers import without_speaker

__all__ = ["summarize_corpora", "what_is_split"]

logger = logging.getLogger(__name__)


def what_is_split(entry: CorpusEntry, speakers: pd.Series) -> str:
    """Say what is kept together when utterances of a corpus are divided.

    Args:
        entry: The corpus.
        speakers: Column ``speaker`` of its utterances.

    Returns:
        ``""`` if all speakers are known.
    """
    owner = entry.speakers_of or entry.name
    if (speakers == f"{owner}_{UNKNOWN}").any():
        return (
            "speakers unknown: no evaluation on unseen speakers. Name their column, or say what to keep "
            f"together in corpora.entries.{entry.name}.groups"
        )
    grouped = int(speakers.str.startswith(f"{owner}_{entry.groups}_").sum()) if entry.groups else 0
    if grouped:
        return (
            f"speakers of {grouped} utterances unknown: no {entry.groups} is in training and test at "
            f"once, but a person who is in two of them may be"
        )
    return ""


def summarize_corpora(utterances: pd.DataFrame, settings: CorporaSettings) -> pd.DataFrame:
    """Count what was found in each corpus, and warn of what limits its use.

    Args:
        utterances: Utterances of :func:`ingest`.
        settings: The settings they were read with.

    Returns:
        One row a corpus: ``corpus``, ``title``, ``languages``, ``utterances``, ``minutes``, ``speakers`` (or
        groups that stand for them),
        ``female``, ``male`` and ``unknown_sex`` (numbers of utterances), ``note`` (what splitting cannot
        promise), ``licence``, ``source``.
    """
    rows = []
    for name, group in utterances.groupby("corpus"):
        entry = settings.known[str(name)]
        sexes = group["sex"].value_counts()
        note = what_is_split(entry, group["speaker"])
        rows.append(
            {
                "corpus": name,
                "title": entry.shown,
                "languages": ", ".join(sorted(group["language"].unique())),
                "utterances": len(group),
                "minutes": round(float(group["seconds"].sum()) / 60, 1),
                "speakers": group.loc[~without_speaker(group), "speaker"].nunique(),
                "female": int(sexes.get("female", 0)),
                "male": int(sexes.get("male", 0)),
                "unknown_sex": int(sexes.get(UNKNOWN, 0)),
                "note": note,
                "licence": entry.licence,
                "source": entry.source,
            }
        )
        if note:
            logger.warning("%s: %s", entry.shown, note)
        if sexes.get(UNKNOWN):
            logger.warning(
                "%s: the sex of %d utterances is unknown; results by sex show them apart",
                entry.shown,
                sexes[UNKNOWN],
            )
    languages = utterances["language"].value_counts()
    if len(languages) > 1:
        counts = ", ".join(f"{language}: {count}" for language, count in languages.items())
        logger.warning(
            "Mixed languages (%s): a label can be told from the language if a corpus lacks labels. Compare "
            "the scores by corpus.",
            counts,
        )
    return pd.DataFrame(rows)
