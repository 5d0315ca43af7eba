"""Evaluate the separation of two speakers on test calls whose turns are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

import numpy as np
import pandas as pd

from speech_emotion.bootstrap import bootstrap_counts, share_interval
from speech_emotion.call_scoring.inspection import ONE_VOICE, Inspection, inspect_blocks
from speech_emotion.call_scoring.roles import CUSTOMER, assign_roles
from speech_emotion.call_scoring.settings import CallSettings
from speech_emotion.call_scoring.speakers import VoiceModel, likeness
from speech_emotion.call_scoring.synthetic_calls import SyntheticCall
from speech_emotion.call_scoring.voice_activity import frame_seconds
from speech_emotion.models import EmotionPredictor

__all__ = ["evaluate_separation", "separation_metrics"]


def evaluate_separation(
    calls: Iterable[SyntheticCall],
    predictor: EmotionPredictor,
    settings: CallSettings,
    *,
    voices: Mapping[str, VoiceModel],
) -> pd.DataFrame:
    """Mix the channels of test calls into one, separate the speakers, and compare with the truth.

    The customer speaks first in a test call and is identified by that (``first_speaker``).

    Args:
        calls: Test calls of unseen speakers.
        predictor: The model.
        settings: How calls are scored.
        voices: Ways to represent voices, by name.

    Returns:
        One row per call and way: ``voice``, ``call``, ``condition``, ``line``, ``speakers``; ``likeness`` of
        the voices, and whether they are ``separated`` (else the call goes to review). With the better
        assignment of the two voices, of all calls: ``speech_s`` of both parties, of which ``missed_s``,
        ``confused_s``, and ``false_s`` where nobody speaks (the diarization error is the sum of the three
        relative to ``speech_s``). As scored, so nothing of calls in review: ``customer_s`` of speech, of
        which ``found_s`` is assigned to the customer; ``scored_s`` assigned to the customer, of which
        ``wrong_s`` is the agent's alone; whether the customer is ``identified`` (the voice that is scored is
        the customer's).
    """
    rows = []
    for call in calls:
        mixed = partial(_blocks, call.mixed())
        memory: dict[object, np.ndarray] = {}  # ways with one encoder encode once
        for name, way in voices.items():
            voice = way._replace(encode=partial(_encode_once, way.encode, memory))
            inspection = inspect_blocks(
                mixed,
                call.sample_rate,
                1,
                settings,
                predictor,
                source=call.name,
                voice=voice,
                max_likeness=np.inf,
            )
            alike = 1.0
            if len(inspection.parties) > 1:
                alike = likeness(*(party.voice for party in inspection.parties))
            row: dict[str, object] = {
                "voice": name,
                "call": call.name,
                "condition": call.condition,
                "line": call.line,
                "speakers": call.speakers,
                "likeness": alike,
                "separated": alike < ONE_VOICE,
            }
            roles = (
                assign_roles(inspection, settings, {"first_speaker": CUSTOMER}).roles
                if row["separated"]
                else ()
            )
            truth = _truth(call, inspection.n_frames)
            frame_s = frame_seconds(call.sample_rate)
            rows.append(row | _compare(truth, inspection, roles, frame_s))
    return pd.DataFrame(rows)


def _encode_once(
    encode: Callable[[np.ndarray], np.ndarray],
    memory: dict[object, np.ndarray],
    samples: np.ndarray,
) -> np.ndarray:
    key = encode, samples.tobytes()
    if key not in memory:
        memory[key] = encode(samples)
    return memory[key]


def _blocks(samples: np.ndarray) -> list[np.ndarray]:
    return [samples]


def _truth(call: SyntheticCall, n_frames: int) -> np.ndarray:
    truth = np.zeros((2, n_frames), dtype=bool)
    frame_s = frame_seconds(call.sample_rate)
    for utterance in call.utterances:
        start, end = round(utterance.start_s / frame_s), round(utterance.end_s / frame_s)
        truth[utterance.channel, start:end] = True
    return truth


def _compare(
    truth: np.ndarray, inspection: Inspection, roles: tuple[str, ...], frame_s: float
) -> dict[str, float | bool]:
    masks = [party.mask(inspection.n_frames) for party in inspection.parties]
    found = np.stack([mask for mask in masks if mask is not None] or [np.zeros_like(truth[0])])
    if len(found) == 1:
        found = np.stack([found[0], np.zeros_like(found[0])])
    straight = (truth & found).sum()
    crossed = (truth & found[::-1]).sum()
    matched = found if straight >= crossed else found[::-1]
    n_true, n_found = truth.sum(axis=0), matched.sum(axis=0)
    correct = (truth & matched).sum(axis=0)
    customer = roles.index(CUSTOMER) if CUSTOMER in roles else -1
    scored = found[customer] if customer >= 0 else np.zeros_like(truth[0])
    counts = {
        "speech_s": n_true.sum(),
        "missed_s": np.maximum(n_true - n_found, 0).sum(),
        "false_s": np.maximum(n_found - n_true, 0).sum(),
        "confused_s": (np.minimum(n_true, n_found) - correct).sum(),
        "customer_s": truth[0].sum(),
        "found_s": (truth[0] & scored).sum(),
        "scored_s": scored.sum(),
        "wrong_s": (truth[1] & ~truth[0] & scored).sum(),
    }
    identified = customer >= 0 and bool((scored == matched[0]).all())
    return {name: float(value) * frame_s for name, value in counts.items()} | {
        "identified": identified
    }


def separation_metrics(
    results: pd.DataFrame, *, resamples: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Compute error rates of the separation, with 95 % intervals over calls.

    Args:
        results: Table of :func:`evaluate_separation`.
        resamples: Number of bootstrap resamples of calls.
        seed: Seed of the resampling.

    Returns:
        One row per way to represent voices and condition: ``n_calls``, ``hours`` of speech, ``separated``
        (number of calls whose voices are apart; the others go to review), and with ``_low`` and ``_high``:
        ``error_rate`` (diarization error without tolerance), ``confused_share`` of the speech,
        ``customer_speech_found``, ``agent_in_customer`` (share of what is scored as the customer's), and
        ``identified_share`` of the calls.
    """
    rows = []
    for (voice, condition), calls in results.groupby(["voice", "condition"], sort=False):
        draws = bootstrap_counts(len(calls), resamples=resamples, seed=seed)
        row: dict[str, object] = {
            "voice": voice,
            "condition": condition,
            "n_calls": len(calls),
            "hours": calls["speech_s"].sum() / 3600,
            "separated": int(calls["separated"].sum()),
        }
        for name, counts in _shares(calls).items():
            value, low, high = share_interval(*counts, draws)
            row |= {name: value, f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def _shares(calls: pd.DataFrame) -> dict[str, tuple[pd.Series, pd.Series]]:
    """Return what is counted in each call, and among what, for each metric."""
    return {
        "error_rate": (
            calls["missed_s"] + calls["false_s"] + calls["confused_s"],
            calls["speech_s"],
        ),
        "confused_share": (calls["confused_s"], calls["speech_s"]),
        "customer_speech_found": (calls["found_s"], calls["customer_s"]),
        "agent_in_customer": (calls["wrong_s"], calls["scored_s"]),
        "identified_share": (calls["identified"], pd.Series(1.0, calls.index)),
    }
