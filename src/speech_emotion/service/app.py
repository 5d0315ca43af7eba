"""The application: recordings come as the body of a request, scores go back as JSON."""

import asyncio
import functools
import logging
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

import anyio
import numpy as np
import pandas as pd
from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from speech_emotion import __version__
from speech_emotion.audio import AUDIO_SUFFIXES, CODEC_SUFFIXES, AudioError, open_recording
from speech_emotion.call_scoring import (
    CallSettings,
    LineMean,
    assign_roles,
    inspect_blocks,
    score_blocks,
    summarize,
    threshold_of,
)
from speech_emotion.models import EmotionPredictor
from speech_emotion.service.settings import ServiceSettings

__all__ = ["create_app"]

logger = logging.getLogger(__name__)

SYNTHETIC: Final = (
    "The model was trained on the SYNTHETIC sample corpus: its scores mean nothing for real speech"
)
ERRORS: Final = {
    413: "The recording is larger than the limit",
    415: "The body is a form or JSON, not a recording",
    422: "The recording cannot be scored; `detail` says why and what to do",
    503: "As many recordings as allowed are being scored; try again",
    504: "Scoring took longer than the limit",
}
POLL_S: Final = 0.1
"""Seconds between two looks at free slots and clients that have gone."""
SEND: Final = "send the recording itself, e.g. curl --data-binary @call.wav"
EXAMPLE: Final[dict[str, Any]] = {
    "call": "call.wav",
    "model": "speech-emotion version 3",
    "notice": None,
    "threshold": 0.12,
    "channels": [
        {
            "channel": 0,
            "channel_role": "customer",
            "flag": "angry",
            "score": 0.91,
            "reason": "1 angry passage: 6 s of angry speech within 0:07, from 2:09, score up to 0.91",
            "minutes": 4.2,
            "talk_share": 0.31,
        }
    ],
    "passages": [
        {
            "channel": 0,
            "start_s": 129.3,
            "end_s": 136.5,
            "speech_s": 6.1,
            "peak": 0.91,
            "peak_s": 129.3,
        }
    ],
    "windows": [
        {
            "channel": 0,
            "start_s": 129.3,
            "end_s": 132.4,
            "emotion": "angry",
            "score": 0.91,
            "flagged": True,
            "probabilities": {"angry": 0.91, "neutral": 0.09},
        }
    ],
}


class Health(BaseModel):
    """State of the service."""

    status: str = Field(examples=["ok"])
    model: str = Field(description="Name and version of the model")
    notice: str | None = Field(description="What to know about the model, if anything")


class CallScores(BaseModel):
    """Scores of one call."""

    model_config = {"json_schema_extra": {"examples": [EXAMPLE]}}

    call: str = Field(description="Name of the call, as it was sent")
    model: str = Field(description="Name and version of the model")
    notice: str | None = Field(description="What to know about the model, if anything")
    threshold: float = Field(description="Score from which a window counts towards the flag")
    channels: list[dict[str, Any]] = Field(
        description="A row a scored channel: `flag` (the target, `review`, or `not_flagged`), "
        "`reason`, `score`, shares of emotions, …"
    )
    passages: list[dict[str, Any]] = Field(description="Flagged passages")
    windows: list[dict[str, Any]] = Field(description="Every window; empty with `windows=false`")


class _TooSlow(Exception):
    """Scoring took longer than the limit."""


class _Abandoned(Exception):
    """The client has gone."""


def create_app(
    predictor: EmotionPredictor,
    scoring: CallSettings | None = None,
    settings: ServiceSettings | None = None,
    *,
    line: LineMean | None = None,
) -> FastAPI:
    """Create the application.

    Args:
        predictor: The model.
        scoring: How calls are scored.
        settings: Limits.
        line: Mean embedding of the center's line, for models with an encoder.

    Raises:
        ValueError: If there is no threshold for the target label.

    Example:
        >>> import uvicorn  # doctest: +SKIP
        >>> uvicorn.run(create_app(predictor))  # doctest: +SKIP
    """
    scoring, settings = scoring or CallSettings(), settings or ServiceSettings()
    threshold = threshold_of(predictor, scoring)
    limits = scoring.limits.model_copy(update={"max_seconds": settings.max_seconds})
    scoring = scoring.model_copy(update={"limits": limits})
    about = {"model": predictor.title, "notice": SYNTHETIC if predictor.synthetic else None}
    slots = threading.BoundedSemaphore(settings.parallel)
    places = threading.BoundedSemaphore(settings.waiting + settings.parallel)
    app = FastAPI(
        title="speech-emotion: scores of calls",
        version=__version__,
        description="Send a recording as the body of `POST /calls`; windows, flagged passages and a "
        "summary come back. A flag marks where to listen; it does not prove what a person feels.",
        docs_url=None,  # their pages load scripts from other servers
        redoc_url=None,
    )

    @app.get("/health", summary="Whether the model is loaded")
    def health() -> Health:
        return Health(status="ok", **about)

    @app.post(
        "/calls",
        summary="Score one call",
        responses={
            code: {"description": text, "content": {"application/json": {}}}
            for code, text in ERRORS.items()
        },
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
                },
            }
        },
    )
    async def score_call(
        request: Request,
        call: str = Query(
            "call.wav", min_length=1, max_length=500, description="Name of the recording"
        ),
        windows: bool = Query(True, description="Whether windows are returned"),
        customer_channel: int = Query(
            -1, ge=-1, description="Channel of the customer; -1 if not known"
        ),
        direction: Literal["", "inbound", "outbound"] = Query(
            "", description="Who called, for calls with both parties on one channel"
        ),
        first_speaker: Literal["", "customer", "agent"] = Query(
            "", description="Who speaks first, for calls with both parties on one channel"
        ),
    ) -> CallScores:
        with _held(places), tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"call{_suffix(call)}"
            await _receive(request, path, settings.max_bytes)
            metadata = {
                "customer_channel": customer_channel,
                "direction": direction,
                "first_speaker": first_speaker,
            }
            gone = threading.Event()
            await _take_turn(slots, request, settings.wait_s)
            try:
                scored = (path, call, predictor, scoring, settings, threshold, line, windows)
                work = functools.partial(_score, *scored, metadata, gone)
                answer = await _watched(work, request, gone)
            except AudioError as error:
                raise HTTPException(422, f"{call}: {error.reason}") from error
            except _TooSlow as error:
                raise HTTPException(
                    504, f"{call}: scoring took over {settings.timeout_s:g} s"
                ) from error
            except _Abandoned as error:
                raise HTTPException(499, "The client has gone") from error
            finally:
                slots.release()
        return CallScores(call=call, threshold=threshold, **about, **answer)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        said = "; ".join(f"{one['loc'][-1]}: {one['msg']}" for one in error.errors())
        return JSONResponse({"detail": said}, 422)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        logger.error("%s failed", request.url.path, exc_info=error)
        return JSONResponse({"detail": "Scoring failed; the log of the server says why"}, 500)

    return app


@contextmanager
def _held(places: threading.BoundedSemaphore) -> Iterator[None]:
    """Hold one of the places, or tell the client to try again."""
    if not places.acquire(blocking=False):
        raise _try_again()
    try:
        yield
    finally:
        places.release()


def _try_again() -> HTTPException:
    return HTTPException(503, ERRORS[503], headers={"Retry-After": "5"})


async def _take_turn(slots: threading.BoundedSemaphore, request: Request, wait_s: float) -> None:
    """Wait for a slot; the caller releases it."""
    end = time.monotonic() + wait_s
    while not slots.acquire(blocking=False):
        if time.monotonic() > end:
            raise _try_again()
        if await request.is_disconnected():
            raise HTTPException(499, "The client has gone")
        await anyio.sleep(POLL_S)


async def _watched(
    work: Callable[[], dict[str, list[dict[str, Any]]]], request: Request, gone: threading.Event
) -> dict[str, list[dict[str, Any]]]:
    """Run work in a thread, and tell it when the client has gone."""

    async def watch() -> None:
        while not await request.is_disconnected():
            await anyio.sleep(POLL_S)
        gone.set()

    watching = asyncio.ensure_future(watch())
    try:
        return await anyio.to_thread.run_sync(work)
    finally:
        watching.cancel()


def _suffix(call: str) -> str:
    """Return the suffix of a name if it is one of recordings; decoders of some formats need it."""
    suffix = PurePosixPath(call.replace("\\", "/")).suffix.lower()
    return suffix if suffix in (*AUDIO_SUFFIXES, *CODEC_SUFFIXES) else ""


async def _receive(request: Request, path: Path, max_bytes: int) -> None:
    """Write the body of a request to a file, and stop at the limit."""
    kind = request.headers.get("content-type", "")
    if kind.startswith(("multipart/", "application/json")):
        raise HTTPException(415, f"{ERRORS[415]}: {SEND}")
    too_large = HTTPException(413, f"{ERRORS[413]}, {max_bytes / 1e6:g} MB")
    if int(request.headers.get("content-length") or 0) > max_bytes:
        raise too_large
    size = 0
    with path.open("wb") as file:
        async for block in request.stream():
            size += len(block)
            if size > max_bytes:
                raise too_large
            file.write(block)
    if not size:
        raise HTTPException(422, f"The body is empty: {SEND}")


def _score(
    path: Path,
    call: str,
    predictor: EmotionPredictor,
    scoring: CallSettings,
    settings: ServiceSettings,
    threshold: float,
    line: LineMean | None,
    with_windows: bool,
    metadata: dict[str, Any],
    gone: threading.Event,
) -> dict[str, list[dict[str, Any]]]:
    """Score a recording, and return the tables as JSON rows."""
    end = time.monotonic() + settings.timeout_s
    with open_recording(path, limits=scoring.limits) as recording:
        rate, n_channels = recording.sample_rate, recording.channels

    def blocks() -> Iterator[np.ndarray]:
        with open_recording(path, limits=scoring.limits) as recording:
            yield from _until(recording.blocks(), end, time.monotonic, gone)

    inspection = inspect_blocks(blocks, rate, n_channels, scoring, predictor, source=call)
    roles = assign_roles(inspection, scoring, metadata)
    if roles.rejected:
        raise AudioError(call, roles.rejected)
    scored = score_blocks(
        blocks(), rate, inspection, roles, predictor, scoring, call=call, line=line
    )
    summary, passages = summarize(
        scored.channels, scored.windows, scoring, labels=predictor.labels, threshold=threshold
    )
    kept = scored.windows.drop(columns=["call", *(f"p_{label}" for label in predictor.labels)])
    rows = _rows(kept)
    probabilities = scored.windows[[f"p_{label}" for label in predictor.labels]].to_numpy()
    for row, values in zip(rows, probabilities, strict=True):
        known = not np.isnan(values).any()
        row["probabilities"] = (
            {label: round(float(p), 4) for label, p in zip(predictor.labels, values, strict=True)}
            if known
            else None
        )
    return {
        "channels": _rows(summary.drop(columns=["call", "path", "threshold"])),
        "passages": _rows(passages.drop(columns=["call", "path"])),
        "windows": rows if with_windows else [],
    }


def _until(
    blocks: Iterable[np.ndarray],
    end: float,
    clock: Callable[[], float],
    gone: threading.Event,
) -> Iterator[np.ndarray]:
    """Yield blocks until the time is over or the client has gone."""
    for block in blocks:
        if gone.is_set():
            raise _Abandoned
        if clock() > end:
            raise _TooSlow
        yield block


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return rows of plain values; JSON has no NaN."""
    return [
        {name: _plain(value) for name, value in row.items()} for row in table.to_dict("records")
    ]


def _plain(value: Any) -> Any:
    if value is None or (np.isscalar(value) and pd.isna(value)):
        return None
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return round(float(value), 4)
    return str(value)
