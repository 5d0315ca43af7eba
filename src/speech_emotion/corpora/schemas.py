"""Schemas of the tables of ingestion, checked when they are saved or loaded."""

from __future__ import annotations

import pandera.pandas as pa

__all__ = ["REJECTED", "UTTERANCES"]

UTTERANCES = pa.DataFrameSchema(
    {
        "utterance_id": pa.Column(str, unique=True),
        "corpus": pa.Column(str),
        "speaker": pa.Column(str),
        "sex": pa.Column(str, pa.Check.isin(["female", "male", "unknown"])),
        "emotion": pa.Column(str),
        "label": pa.Column(str),
        "intensity": pa.Column(str),
        "statement": pa.Column(str),
        "language": pa.Column(str),
        "path": pa.Column(str, unique=True),
        "sample_rate": pa.Column(int, pa.Check.gt(0)),
        "channels": pa.Column(int, pa.Check.ge(1)),
        "n_samples": pa.Column(int, pa.Check.gt(0)),
        "seconds": pa.Column(float, pa.Check.gt(0)),
        "n_samples_trimmed": pa.Column(int, pa.Check.gt(0)),
        "peak": pa.Column(float, pa.Check.gt(0)),
        "rms": pa.Column(float, pa.Check.gt(0)),
        "content_hash": pa.Column(str, unique=True),
        "synthetic": pa.Column(bool),
        "weight": pa.Column(float, pa.Check.in_range(0, 1, include_min=False), required=False),
    },
    checks=pa.Check(
        lambda table: table["n_samples_trimmed"] <= table["n_samples"],
        error="n_samples_trimmed is larger than n_samples",
    ),
    strict=True,
    ordered=True,
)
"""One row per usable utterance; see :func:`speech_emotion.corpora.ingest`. Without ``weight`` all are 1."""

REJECTED = pa.DataFrameSchema(
    {
        "path": pa.Column(str, unique=True),
        "reason": pa.Column(str, pa.Check.str_length(min_value=1)),
    },
    strict=True,
    ordered=True,
)
"""One row per rejected file, with the reason."""
