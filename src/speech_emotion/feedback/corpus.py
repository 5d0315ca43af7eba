"""Reviewed windows as a corpus: what reviewers agree on, by caller, to train on."""

from __future__ import annotations

import hashlib
import io
from typing import Final

import numpy as np
import pandas as pd
import soundfile

from speech_emotion.audio import SoundLimits, read_samples, with_segment
from speech_emotion.feedback.items import (
    ANGRY,
    NOT_ANGRY,
    PASSAGE,
    TEST,
    WINDOW,
    callers_of,
    part_of,
)

__all__ = ["CORPUS_COLUMNS", "REVIEWED_FOLDER", "clips_of", "cut_clip", "reviewed_corpus"]

REVIEWED_FOLDER: Final = "09_review/reviewed_calls"
"""Folder of the corpus below the data folder."""
CORPUS_COLUMNS: Final = ("file", "emotion", "speaker", "weight", "call", "channel")
UNNAMED: Final = "not angry, and no other emotion is named"
DISAGREE: Final = "reviewers disagree"
SET_ASIDE: Final = "the caller is set aside for testing"
KEYS: Final = ["call", "channel"]


def reviewed_corpus(
    verdicts: pd.DataFrame,
    summary: pd.DataFrame,
    windows: pd.DataFrame,
    *,
    target: str,
    test_share: float,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Choose the windows of reviewed passages that reviewers gave an emotion.

    Each verdict is a vote: `angry` for the target, `not angry` for the other emotion that it names. The
    emotion with most votes wins; its share of the votes is the weight. Windows of one channel never overlap.
    Callers whose verdicts are set aside for testing give none, because :func:`collect_items` tests the
    model that is trained with the corpus on them, too.

    Args:
        verdicts: Export of the review application.
        summary: Summary of scored calls; others are not stored any more.
        windows: Windows of these calls; long passages are cut into them.
        target: Label of `angry`.
        test_share: Share of the callers that are set aside for testing, as in :func:`collect_items`.

    Returns:
        One row per window: ``call``, ``channel``, ``recording``, ``start_s``, ``end_s``, ``emotion``,
        ``speaker`` (a number for each caller, who is not named) and ``weight``. And the items that are left
        out: ``reason`` and ``n``.
    """
    callers = callers_of(summary)
    table = verdicts.rename(columns={"call_id": "call"}).astype({"call": str, "channel": int})
    scored = table["call"].isin(callers)
    valid = table[~table["superseded"].astype(bool) & scored]
    valid = valid[valid["kind"].isin([PASSAGE, WINDOW]) & valid["verdict"].isin([ANGRY, NOT_ANGRY])]
    items = [
        (*_vote(rows, target), *rows[[*KEYS, "recording", "start_s", "end_s"]].iloc[0])
        for _, rows in valid.groupby("item_id", sort=True)
    ]
    columns = ["emotion", "weight", "left_out", *KEYS, "recording", "start_s", "end_s"]
    voted = pd.DataFrame(items, columns=columns)
    tested = [part_of(callers[call], test_share) == TEST for call in voted["call"]]
    voted["left_out"] = voted["left_out"].mask(np.array(tested, dtype=bool), SET_ASIDE)
    reasons = voted["left_out"].value_counts()
    excluded = pd.DataFrame(
        [(reason, int(reasons.get(reason, 0))) for reason in (SET_ASIDE, UNNAMED, DISAGREE)],
        columns=["reason", "n"],
    )
    chosen = voted[voted["left_out"] == ""]
    inside = windows[(windows["out_of_domain"] == "") & windows["call"].isin(set(chosen["call"]))]
    by_channel = dict(tuple(inside.groupby(KEYS)))
    rows = []
    for key, of_channel in chosen.groupby(KEYS, sort=True):
        rows += _pieces(of_channel, by_channel.get(key, inside.iloc[:0]))
    names = {caller: hashlib.sha256(caller.encode()).digest() for caller in callers.values()}
    numbers = {
        caller: f"caller_{n:05d}"
        for n, caller in enumerate(sorted(names, key=lambda one: names[one]))
    }
    corpus = pd.DataFrame(
        rows, columns=[*KEYS, "recording", "start_s", "end_s", "emotion", "weight"]
    )
    corpus["speaker"] = [numbers[callers[call]] for call in corpus["call"]]
    return corpus, excluded


def clips_of(call: str) -> str:
    """Return how the names of the clips of a call begin; they do not tell its name.

    Example:
        >>> clips_of("2026/17_A03.wav")
        '93b1505e1c5a3cf0_'
    """
    return hashlib.sha256(call.encode("utf-8", "surrogatepass")).hexdigest()[:16] + "_"


def cut_clip(
    recording: str, channel: int, start_s: float, end_s: float, limits: SoundLimits
) -> bytes:
    """Cut one channel of a recording between two times, as FLAC.

    Raises:
        AudioError: If the recording cannot be read there.
    """
    samples, rate = read_samples(with_segment(recording, start_s, end_s), limits=limits)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples[:, channel], rate, format="FLAC")
    return buffer.getvalue()


def _vote(rows: pd.DataFrame, target: str) -> tuple[str, float, str]:
    """Return the emotion with most votes, its share of them, and why the item is left out."""
    other = rows.get("other_emotion", pd.Series(None, index=rows.index, dtype=object))
    named = other.fillna("").astype(str).str.strip().str.lower()
    votes = named.where(rows["verdict"] == NOT_ANGRY, target).value_counts()
    if len(votes) > 1 and votes.iloc[0] == votes.iloc[1]:
        return "", 0.0, DISAGREE
    emotion = str(votes.index[0])
    return emotion, float(votes.iloc[0] / votes.sum()), "" if emotion else UNNAMED


def _pieces(items: pd.DataFrame, windows: pd.DataFrame) -> list[tuple[object, ...]]:
    """Windows of the items of a channel that overlap none before them."""
    rows: list[tuple[object, ...]] = []
    end = float("-inf")
    for window in windows.sort_values("start_s").itertuples():
        middle = (window.start_s + window.end_s) / 2
        of = items[(items["start_s"] <= middle) & (middle <= items["end_s"])]
        if len(of) and window.start_s >= end:
            # A window that two items share is of the one that reviewers agreed on most.
            item = of.loc[of["weight"].idxmax()]
            span = (window.start_s, window.end_s)
            rows.append((*item[[*KEYS, "recording"]], *span, item["emotion"], item["weight"]))
            end = window.end_s
    return rows
