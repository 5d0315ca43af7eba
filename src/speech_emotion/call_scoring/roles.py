"""Decide which party of a call is the customer. If that is unknown, nobody is scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

import numpy as np

from speech_emotion.audio import SILENCE
from speech_emotion.call_scoring.inspection import MONO, Inspection
from speech_emotion.call_scoring.settings import CallSettings
from speech_emotion.call_scoring.speakers import likeness

__all__ = ["AGENT", "CUSTOMER", "MIXED", "UNKNOWN", "Roles", "assign_roles", "find_agent_voices"]

CUSTOMER: Final = "customer"
AGENT: Final = "agent"
MIXED: Final = "mixed"
UNKNOWN: Final = "unknown"

MIN_CALLS: Final = 3
"""Calls of an agent from which the voice that recurs is taken for the agent's."""
RECURS: Final = 0.6
"""Mean similarity to the voices of the other calls from which a voice recurs."""
MARGIN: Final = 0.2
"""Least difference to the similarity of the other voice of the call."""
MAX_STARTS: Final = 10
ITERATIONS: Final = 20


@dataclass(frozen=True)
class Roles:
    """Channel roles of the parties of a call.

    Attributes:
        roles: Role of each party: ``customer``, ``agent``, ``mixed`` (all parties scored as one) or
            ``unknown``.
        known_by: How the customer is known: ``setting`` (``calls.customer_channel`` or
            ``calls.one_channel``), ``metadata``, ``voice`` (the other voice recurs in calls of the same
            agent) or ``direction`` (the party that is called speaks first); empty if unknown.
        rejected: Why the call is rejected; empty if it is not.
        unknown: Why the customer is unknown; empty if known.
    """

    FIELDS: ClassVar[tuple[str, ...]] = ("roles", "known_by", "rejected", "unknown")

    roles: tuple[str, ...]
    known_by: str = ""
    rejected: str = ""
    unknown: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the content as plain values."""
        return {"roles": list(self.roles)} | {name: getattr(self, name) for name in self.FIELDS[1:]}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Create it from the result of :meth:`to_dict`; other values are ignored."""
        return cls(tuple(content["roles"]), *(str(content[name]) for name in cls.FIELDS[1:]))

    def scored(self, settings: CallSettings) -> list[int]:
        """Return the numbers of the parties that are scored, the customer first."""
        wanted = {CUSTOMER, MIXED} | ({AGENT} if settings.score_agent else set())
        chosen = [number for number, role in enumerate(self.roles) if role in wanted]
        return sorted(chosen, key=lambda number: self.roles[number] == AGENT)


def assign_roles(
    inspection: Inspection,
    settings: CallSettings,
    metadata: Mapping[str, Any] | None = None,
    agent_voice: int = -1,
) -> Roles:
    """Decide which party is the customer.

    Args:
        inspection: The inspected recording.
        settings: ``customer_channel``, ``one_channel`` and ``score_agent``.
        metadata: ``customer_channel``, ``first_speaker`` and ``direction`` of the call, see
            :func:`speech_emotion.call_scoring.collect_metadata`.
        agent_voice: Number of the party whose voice recurs in calls of the agent, -1 if none is known.
    """
    if inspection.reason:
        return Roles((), rejected=inspection.reason)
    metadata = metadata or {}
    n_parties = len(inspection.parties)
    if not inspection.mixed:
        return _channel_roles(inspection, settings, metadata)
    if inspection.layout == MONO and settings.one_channel == "customer":
        return Roles((CUSTOMER,), "setting")
    if settings.score_agent:
        return Roles((MIXED,) * n_parties)
    if n_parties == 1:
        return Roles((UNKNOWN,), unknown=f"both parties are on one channel: {inspection.note}")
    return _voice_roles(inspection, metadata, agent_voice)


def _channel_roles(
    inspection: Inspection, settings: CallSettings, metadata: Mapping[str, Any]
) -> Roles:
    """Return the roles of parties on channels of their own."""
    parties = inspection.parties
    stated = int(metadata.get("customer_channel", -1))
    customer = settings.customer_channel if stated < 0 else stated
    if customer >= len(parties):
        reason = (
            f"has {len(parties)} channels, numbered from 0: there is no customer_channel {customer}"
        )
        return Roles((UNKNOWN,) * len(parties), rejected=reason)
    if parties[customer].peak < SILENCE:
        reason = f"channel {customer}, the customer's, is silent and another one is not"
        where = "calls.customer_channel" if stated < 0 else "its customer_channel in the metadata"
        return Roles((UNKNOWN,) * len(parties), rejected=f"{reason}: check {where}")
    roles = tuple(CUSTOMER if number == customer else AGENT for number in range(len(parties)))
    return Roles(roles, "setting" if stated < 0 else "metadata")


def _voice_roles(inspection: Inspection, metadata: Mapping[str, Any], agent_voice: int) -> Roles:
    """Decide which of two voices is the customer's."""
    both = (UNKNOWN, UNKNOWN)
    first_s = [party.first_s for party in inspection.parties]
    first = -1 if np.isnan(first_s).all() else int(np.nanargmin(first_s))
    found: dict[str, int] = {}
    if first >= 0 and metadata.get("first_speaker"):
        found["metadata"] = first if metadata["first_speaker"] == CUSTOMER else 1 - first
    elif first >= 0 and metadata.get("direction"):
        found["direction"] = first if metadata["direction"] == "outbound" else 1 - first
    if agent_voice >= 0:
        found["voice"] = 1 - agent_voice
    if not found:
        reason = "both parties are on one channel, and nothing tells which voice is the customer's"
        return Roles(
            both, unknown=f"{reason}: give agent, direction or first_speaker (calls.metadata)"
        )
    if len(set(found.values())) > 1:
        reason = f"{' and '.join(found)} disagree on which voice is the customer's"
        return Roles(both, unknown=reason)
    customer = next(iter(found.values()))
    roles = tuple(CUSTOMER if number == customer else AGENT for number in (0, 1))
    return Roles(roles, "metadata" if "metadata" in found else sorted(found)[-1])


def find_agent_voices(voices: np.ndarray) -> np.ndarray:
    """Find the voice that recurs in the calls of one agent.

    Args:
        voices: Both voices of each call, shape ``(n_calls, 2, n_values)``.

    Returns:
        Number of the agent's voice in each call, 0 or 1; -1 where none recurs clearly.

    Example:
        >>> agent, customers = np.array([1.0, 0, 0, 0]), np.eye(4)[1:]
        >>> calls = [[agent, customers[0]], [customers[1], agent], [agent, customers[2]]]
        >>> find_agent_voices(np.array(calls)).tolist()
        [0, 1, 0]
    """
    n_calls = len(voices)
    unknown = np.full(n_calls, -1)
    if n_calls < MIN_CALLS:
        return unknown
    flat = voices.reshape(2 * n_calls, -1)
    flat = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-9)
    similarity = (flat @ flat.T).reshape(n_calls, 2, n_calls, 2)
    best: tuple[float, np.ndarray] = (-np.inf, unknown)
    for call in range(min(n_calls, MAX_STARTS)):
        for voice in (0, 1):
            chosen = similarity[call, voice].argmax(axis=1)
            chosen[call] = voice
            for _ in range(ITERATIONS):
                center = flat.reshape(n_calls, 2, -1)[np.arange(n_calls), chosen].mean(axis=0)
                updated = (flat @ center).reshape(n_calls, 2).argmax(axis=1)
                if (updated == chosen).all():
                    break
                chosen = updated
            fit = float((flat @ center).reshape(n_calls, 2).max(axis=1).sum())
            if fit > best[0]:
                best = (fit, chosen)
    return _clear(flat.reshape(n_calls, 2, -1), best[1])


def _clear(voices: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Keep the choice where the voice is like those of the other calls, and the other voice is not."""
    calls = np.arange(len(chosen))
    own = voices[calls, chosen]
    total = own.sum(axis=0)
    result = np.full(len(chosen), -1)
    for call in calls:
        others = total - own[call]
        agent = likeness(voices[call, chosen[call]], others)
        other = likeness(voices[call, 1 - chosen[call]], others)
        if agent >= RECURS and agent - other >= MARGIN:
            result[call] = chosen[call]
    return result
