"""The web application: pages for reviewers and leads, rendered here."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import math
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from jinja2 import ChoiceLoader, Environment, FunctionLoader, PackageLoader, StrictUndefined
from pydantic import ValidationError
from starlette.exceptions import HTTPException as NotFound

from speech_emotion import __version__
from speech_emotion.clock import format_clock
from speech_emotion.reporting import read_template
from speech_emotion.review import queue as reviews
from speech_emotion.review.database import (
    Database,
    DatabaseError,
    calls,
    items,
    now,
    users,
    verdicts,
)
from speech_emotion.review.media import (
    Media,
    MissingAudio,
    emotion_chart,
    span_of,
    spectrogram_png,
    waveform_svg,
)
from speech_emotion.review.security import RateLimit, same_secret
from speech_emotion.review.settings import QueueSettings, ReviewSettings
from speech_emotion.review.sync import SyncResult, read_scored_calls
from speech_emotion.review.users import (
    LEAD,
    Session,
    add_user,
    authenticate,
    end_session,
    find_session,
    find_user,
    forget_sessions,
    start_session,
    touch_session,
)
from speech_emotion.review.verdicts import (
    REVIEW_FOLDER,
    agreement,
    export_verdicts,
    load_verdicts,
    precision_by_reviewer,
    precision_by_week,
    share_angry,
    to_csv,
)

__all__ = ["Access", "create_app"]

logger = logging.getLogger(__name__)

COOKIE: Final = "speech_emotion_session"
SINGLE_USER: Final = "local"
PAGE: Final = 50
MAX_FORM_BYTES: Final = 64_000
NAMES: Final = 4
"""Names whose logins may fail from one address: an office may share it."""
TOUCH_S: Final = 60
"""Seconds after which the use of a session is stored again."""
CHOICES_S: Final = 60.0
"""Seconds for which the agents and queues to choose from are kept."""
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; media-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "private, no-store",
}
REASON_WORDS: Final = {
    "flagged": "flagged passage",
    "uncertain": "uncertain window",
    "review": "call to review",
    "random": "random sample",
}
VERDICT_WORDS: Final = {"angry": "angry", "not_angry": "not angry", "cannot_tell": "cannot tell"}
EMOTIONS: Final = ("happy", "sad", "fearful", "disgust", "surprised", "calm", "neutral", "other")
STATUS_WORDS: Final = {"open": "open", "done": "judged", "withdrawn": "scored again"}


@dataclass(frozen=True)
class Access:
    """How users are known.

    Attributes:
        proxy_header: Header in which a reverse proxy names the user; ``None`` for a login with password.
        trusted_proxies: Addresses whose header is believed.
        single_user: Everybody who reaches the application is one lead. Only for 127.0.0.1.
        hosts: Names of the application that browsers may ask for; ``None`` accepts all. Pages of other sites
            cannot reach it then, even if their name leads to this machine.
        https: Whether browsers reach it over HTTPS only.
    """

    proxy_header: str | None = None
    trusted_proxies: frozenset[str] = frozenset({"127.0.0.1", "::1"})
    single_user: bool = False
    hosts: frozenset[str] | None = None
    https: bool = False


class _LoginNeeded(Exception):
    pass


class _Message(Exception):
    """A page with one message."""

    def __init__(self, status: int, title: str, text: str, **more: Any):
        super().__init__(text)
        self.status, self.title, self.text, self.more = status, title, text, more


@dataclass(frozen=True)
class Visit:
    """A request of a user who is logged in."""

    request: Request
    session: Session
    form: dict[str, str]

    @property
    def user(self) -> Any:
        """The user."""
        return self.session.user


class _Application:
    """What all handlers share."""

    def __init__(self, database: Database, folder: Path, settings: ReviewSettings, access: Access):
        self.database, self.folder, self.settings, self.access = database, folder, settings, access
        self.zone = ZoneInfo(settings.time_zone)
        self.media = Media(folder / REVIEW_FOLDER, settings.channels)
        self.requests = RateLimit(settings.requests_per_minute, 60.0)
        seconds = settings.login_minutes * 60
        self.failures = RateLimit(settings.login_attempts, seconds)
        self.address_failures = RateLimit(settings.login_attempts * NAMES, seconds)
        self.reading = threading.Lock()
        self._choices: tuple[float, dict[str, list[str]]] = (-CHOICES_S, {})
        self._templates = Environment(
            loader=ChoiceLoader(
                [PackageLoader("speech_emotion.review"), FunctionLoader(read_template)]
            ),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {
            "clock": format_clock,
            "local": self.local,
            "percent": lambda value: "–" if math.isnan(value) else f"{value:.0%}",
        }
        self._templates.globals |= {
            "REASONS": REASON_WORDS,
            "VERDICTS": VERDICT_WORDS,
            "EMOTIONS": EMOTIONS,
            "STATUS": STATUS_WORDS,
            "version": __version__,
        }
        style = self._templates.get_template("style.css.j2").render()
        own = files("speech_emotion.review").joinpath("templates")
        self.static = {
            "review.css": (style + own.joinpath("review.css").read_text("utf-8"), "text/css"),
            "review.js": (own.joinpath("review.js").read_text("utf-8"), "text/javascript"),
        }

    def local(self, moment: dt.datetime | None) -> str:
        """Write a moment in the time zone of the center."""
        return "" if moment is None else f"{moment.astimezone(self.zone):%Y-%m-%d %H:%M %Z}"

    def page(
        self, template: str, visit: Visit | None, code: int = 200, /, **values: Any
    ) -> HTMLResponse:
        """Render a page."""
        content = self._templates.get_template(template).render(
            user=visit.user if visit else None,
            csrf=visit.session.csrf if visit else "",
            can_log_out=self.access.proxy_header is None and not self.access.single_user,
            **values,
        )
        return HTMLResponse(content, code)

    def address(self, request: Request) -> str:
        """Return the address of the browser: behind a trusted proxy, the one that it names."""
        peer = request.client.host if request.client else ""
        if self.access.proxy_header and peer in self.access.trusted_proxies:
            forwarded = request.headers.get("x-forwarded-for", "")
            return forwarded.rpartition(",")[2].strip() or peer
        return peer

    def named_user(self, request: Request) -> str | None:
        """Return the user whom the proxy names, or the only one.

        Raises:
            _Message: If the proxy names nobody, or is not trusted.
        """
        if self.access.single_user:
            return SINGLE_USER
        if self.access.proxy_header is None:
            return None
        peer = request.client.host if request.client else ""
        name = request.headers.get(self.access.proxy_header, "")
        if peer not in self.access.trusted_proxies:
            raise _Message(
                403,
                "Not through the proxy",
                "Open the application through the proxy that knows the users; this address is not one "
                "of --trusted-proxy.",
            )
        if not name:
            raise _Message(
                403, "Nobody is named", f"The proxy sent no header {self.access.proxy_header}."
            )
        return name

    def session(self, request: Request) -> tuple[Session, bool]:
        """Return the session of a request, and whether it is new.

        Raises:
            _LoginNeeded: If there is none, and nobody named the user.
            _Message: If the named user is unknown.
        """
        moment, token = now(), request.cookies.get(COOKIE, "")
        name = self.named_user(request)
        limits = {"minutes": self.settings.session_minutes, "hours": self.settings.session_hours}
        if token:
            with self.database.read() as connection:
                found = find_session(connection, token, moment, **limits)
            if found is not None and name in (None, found[0].user.name):
                session, seen = found
                if (moment - seen).total_seconds() > TOUCH_S:
                    with self.database.write() as connection:
                        touch_session(connection, token, moment)
                return session, False
        if name is None:
            raise _LoginNeeded
        with self.database.write() as connection:
            user = find_user(connection, name)
            if user is None:
                raise _Message(
                    403,
                    "Unknown user",
                    f"The proxy named {name!r}, who is no user: a lead adds users with speech-emotion "
                    "review add-user NAME.",
                )
            return start_session(connection, user, moment), True

    def limit(self, key: str) -> None:
        """Count a request.

        Raises:
            _Message: If there were too many.
        """
        if wait := self.requests.wait_s(key, time.monotonic()):
            raise _Message(
                429, "Too many requests", f"Try again in {wait:.0f} seconds.", retry=wait
            )

    def check_origin(self, request: Request) -> None:
        """Refuse requests that another site made the browser send.

        Raises:
            _Message: If it did.
        """
        origin, host = request.headers.get("origin"), request.headers.get("host", "")
        site = request.headers.get("sec-fetch-site", "same-origin")
        foreign = origin is not None and origin.partition("://")[2] != host
        if foreign or site not in {"same-origin", "none"}:
            raise _Message(403, "From another site", "The form was sent by another site.")

    def set_cookie(self, response: Response, token: str) -> None:
        """Give the browser its session."""
        response.set_cookie(
            COOKIE,
            token,
            max_age=round(self.settings.session_hours * 3600),
            httponly=True,
            samesite="strict",
            secure=self.access.https,
            path="/",
        )

    def choices(self) -> dict[str, list[str]]:
        """Return the agents and queues to choose from."""
        made, found = self._choices
        if time.monotonic() - made > CHOICES_S:
            with self.database.read() as connection:
                found = {
                    name: sorted(
                        filter(None, connection.scalars(sa.select(calls.c[name]).distinct()))
                    )
                    for name in ("agent", "queue")
                }
            self._choices = (time.monotonic(), found)
        return found

    def forget_choices(self) -> None:
        """Look the choices up again."""
        self._choices = (-CHOICES_S, {})

    def queue_settings(self) -> reviews.StoredSettings:
        """Return the settings of the queue."""
        with self.database.read() as connection:
            return reviews.load_queue_settings(connection, self.settings.queue)


def create_app(
    database: Database,
    folder: Path,
    settings: ReviewSettings | None = None,
    access: Access | None = None,
) -> FastAPI:
    """Create the application.

    Args:
        database: The database of reviews.
        folder: The data folder with the scored calls.
        settings: Settings.
        access: How users are known.
    """
    shared = _Application(database, folder, settings or ReviewSettings(), access or Access())
    if shared.access.single_user:
        with database.write() as connection:
            if find_user(connection, SINGLE_USER) is None:
                add_user(connection, SINGLE_USER, LEAD, None, replace=True)
    with database.write() as connection:
        expired = now() - dt.timedelta(hours=shared.settings.session_hours)
        forget_sessions(connection, expired)
    app = FastAPI(
        title="speech-emotion: review",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    _add_protection(app, shared)
    _add_errors(app, shared)
    _add_login(app, shared)
    _add_queue(app, shared)
    _add_item(app, shared)
    _add_media(app, shared)
    _add_leads(app, shared)
    return app


def _add_protection(app: FastAPI, shared: _Application) -> None:
    @app.middleware("http")
    async def protect(request: Request, respond: Callable[[Request], Any]) -> Response:
        host = request.headers.get("host", "").rpartition("]")[0] or request.headers.get("host", "")
        name = host.partition(":")[0] if not host.startswith("[") else host.strip("[]")
        if shared.access.hosts is not None and name not in shared.access.hosts:
            return Response("Unknown host: open the address that the command printed", 421)
        response = await respond(request)
        if token := getattr(request.state, "new_session", None):
            shared.set_cookie(response, token)
        for header, value in HEADERS.items():
            response.headers.setdefault(header, value)
        if shared.access.https:
            response.headers["Strict-Transport-Security"] = "max-age=31536000"
        return response

    @app.get("/health")
    def health() -> dict[str, str]:
        with shared.database.read() as connection:
            connection.execute(sa.select(1))
        return {"status": "ok"}

    @app.get("/static/{name}")
    def static(name: str) -> Response:
        if name not in shared.static:
            raise HTTPException(404)
        content, kind = shared.static[name]
        caching = {"Cache-Control": "no-cache"}
        return Response(content, media_type=kind, headers=caching)


def _add_errors(app: FastAPI, shared: _Application) -> None:
    def answer(request: Request, status: int, title: str, text: str, **more: Any) -> Response:
        response = shared.page(
            "message.html", None, status, title=title, text=text, again=more.get("again"), more=more
        )
        if "retry" in more:
            response.headers["Retry-After"] = f"{more['retry']:.0f}"
        return response

    @app.exception_handler(_LoginNeeded)
    def login_needed(request: Request, error: Exception) -> Response:
        if request.method != "GET":
            return answer(
                request,
                401,
                "Your session has ended",
                "Log in again in another tab, then go back and send the form again: what you wrote is "
                "still there.",
            )
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?{urlencode({'to': target})}", 303)

    @app.exception_handler(_Message)
    def message(request: Request, error: Exception) -> Response:
        assert isinstance(error, _Message)
        return answer(request, error.status, error.title, error.text, **error.more)

    @app.exception_handler(DatabaseError)
    def database_failed(request: Request, error: Exception) -> Response:
        logger.error("%s", error)
        form = getattr(request.state, "form", {})
        return answer(
            request,
            503,
            "The database does not answer",
            "Nothing was stored. Wait a moment and try again; if it does not help, tell your lead. What you "
            "sent is in the form below.",
            again={"action": request.url.path, "fields": form} if form else None,
        )

    @app.exception_handler(NotFound)
    def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, NotFound)
        text = "There is no such page." if error.status_code == 404 else str(error.detail)
        return answer(request, error.status_code, "Not found", text)


def _visitor(shared: _Application, *, lead: bool = False) -> Any:
    """Return the dependency of handlers that need a user; forms need the secret of the session."""

    async def visit(request: Request) -> Visit:
        import anyio.to_thread

        form: dict[str, str] = {}
        if request.method == "POST":
            shared.check_origin(request)
            form = await _read_form(request)
            request.state.form = form
        try:
            session, new = await anyio.to_thread.run_sync(shared.session, request)
        except _LoginNeeded:
            shared.limit(f"address {shared.address(request)}")
            raise
        shared.limit(f"user {session.user.id}")
        if request.method == "POST" and not same_secret(form.get("csrf"), session.csrf):
            raise _Message(
                403,
                "The form is outdated",
                "It belongs to an earlier session. Go back, load the page again, and send it again: what "
                "you wrote is still there.",
            )
        if lead and not session.user.leads:
            raise _Message(403, "For leads only", "Ask a lead of the reviewers.")
        if new:
            request.state.new_session = session.token
        return Visit(request, session, form)

    return Depends(visit)


async def _read_form(request: Request) -> dict[str, str]:
    """Read a form.

    Raises:
        _Message: If it is too large or none.
    """
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > MAX_FORM_BYTES:
            raise _Message(413, "Too much text", "Shorten the note.")
    try:
        return dict(parse_qsl(content.decode(), keep_blank_values=True, max_num_fields=50))
    except ValueError:
        raise _Message(400, "No form", "The request has no form that can be read.") from None


def _add_login(app: FastAPI, shared: _Application) -> None:
    visitor = _visitor(shared)

    def show(to: str, problem: str = "", name: str = "", status: int = 200) -> HTMLResponse:
        return shared.page("login.html", None, status, to=to, problem=problem, name=name)

    @app.get("/login")
    def login_page(request: Request, to: str = "/") -> Response:
        shared.limit(f"address {shared.address(request)}")
        if shared.access.proxy_header or shared.access.single_user:
            return RedirectResponse("/", 303)
        return show(to)

    @app.post("/login")
    async def login(request: Request) -> Response:
        import anyio.to_thread

        shared.limit(f"address {shared.address(request)}")
        shared.check_origin(request)
        form = await _read_form(request)
        return await anyio.to_thread.run_sync(check, request, form)

    def check(request: Request, form: dict[str, str]) -> Response:
        name, to = form.get("name", "").strip()[:100], _local_path(form.get("to", "/"))
        address, moment = shared.address(request), time.monotonic()
        by_name, by_address = f"name {name.casefold()}", f"address {address}"
        # Counted before the password is checked: attempts at the same time count, too.
        wait = max(
            shared.failures.wait_s(by_name, moment),
            shared.address_failures.wait_s(by_address, moment),
        )
        if wait:
            text = f"Too many failed logins. Try again in {math.ceil(wait / 60)} minutes."
            refusal = show(to, text, name, 429)
            refusal.headers["Retry-After"] = f"{wait:.0f}"
            return refusal
        with shared.database.read() as connection:
            user = authenticate(connection, name, form.get("password", "")[:1000])
        if user is None:
            logger.warning("A login from %s failed", address)
            return show(to, "Name or password is wrong.", name, 401)
        shared.failures.forget(by_name)
        shared.address_failures.give_back(by_address)
        with shared.database.write() as connection:
            if old := request.cookies.get(COOKIE):
                end_session(connection, old)
            session = start_session(connection, user, now())
        response = RedirectResponse(to, 303)
        shared.set_cookie(response, session.token)
        return response

    @app.post("/logout")
    def logout(visit: Visit = visitor) -> Response:
        with shared.database.write() as connection:
            end_session(connection, visit.session.token)
        response = RedirectResponse("/login", 303)
        response.delete_cookie(COOKIE, path="/")
        return response


def _local_path(target: str) -> str:
    """Return a path of this site; anything else leads to the first page."""
    local = target.startswith("/") and not target.startswith(("//", "/\\")) and "\n" not in target
    return target if local else "/"


LATE: Final = "-late"


def _told(code: str) -> str:
    """Return what happened in words; links may carry no words of their own."""
    verdict = code.removesuffix(LATE)
    if verdict in VERDICT_WORDS:
        late = " The call was scored again meanwhile: it counts for the earlier scores."
        return f"Stored: {VERDICT_WORDS[verdict]}.{late if code.endswith(LATE) else ''}"
    if re.fullmatch(r"read(\.\d{1,9}){5}", code):
        return f"Read: {SyncResult(*map(int, code.split('.')[1:]))}."
    return {"undone": "The verdict was undone.", "stored": "Stored."}.get(code, "")


FILTER_FIELDS: Final = ("reason", "agent", "queue", "from", "to", "score_from", "score_to")


def _filters(values: dict[str, str], zone: ZoneInfo) -> tuple[reviews.Filters, dict[str, str], str]:
    """Return the filters, the fields of their form, and what is wrong with it."""
    fields = {name: values.get(name, "").strip() for name in FILTER_FIELDS}
    given: dict[str, Any] = {
        name: fields[name] or None
        for name in ("reason", "agent", "queue", "score_from", "score_to")
    }
    problem = ""
    for field, name, days in (("from", "since", 0), ("to", "until", 1)):
        if not fields[field]:
            continue
        try:
            day = dt.date.fromisoformat(fields[field]) + dt.timedelta(days=days)
            midnight = dt.datetime.combine(day, dt.time(), zone)
            given[name] = midnight.astimezone(dt.UTC)
        except (ValueError, OverflowError):
            problem = f"{fields[field]!r} is no day: write it as 2026-03-31"
    try:
        return reviews.Filters(**given), fields, problem
    except ValidationError as error:
        wrong = ", ".join(str(one["loc"][0]) for one in error.errors())
        return reviews.Filters(), fields, f"{wrong}: the value is not valid, so nothing is filtered"


def _add_queue(app: FastAPI, shared: _Application) -> None:
    visitor = _visitor(shared)

    @app.get("/")
    def first() -> Response:
        return RedirectResponse("/queue", 303)

    @app.get("/queue")
    def show_queue(request: Request, visit: Visit = visitor) -> Response:
        values = dict(request.query_params)
        filters, fields, problem = _filters(values, shared.zone)
        status = values.get("status", "open")
        status = status if status in STATUS_WORDS else "open"
        number = max(int(values["page"]), 1) if values.get("page", "").isdecimal() else 1
        moment = now()
        with shared.database.read() as connection:
            total = reviews.count_items(connection, filters, status)
            number = min(number, max(-(-total // PAGE), 1))
            rows = reviews.list_items(
                connection, filters, status, moment=moment, first=(number - 1) * PAGE, size=PAGE
            )
            who = reviews.reviewers_of(connection, [row.id for row in rows], moment)
            stored = reviews.load_queue_settings(connection, shared.settings.queue)
        link = urlencode({name: value for name, value in fields.items() if value})
        response = shared.page(
            "queue.html",
            visit,
            rows=rows,
            who=who,
            total=total,
            number=number,
            pages=max(-(-total // PAGE), 1),
            fields=fields,
            status=status,
            problem=problem,
            link=link,
            choices=shared.choices(),
            blind=stored.queue.blind,
            empty=values.get("empty") == "1",
            told=_told(values.get("told", "")),
            can_undo=values.get("told", "").removesuffix(LATE) in VERDICT_WORDS,
        )
        return response

    @app.get("/next")
    def show_next(request: Request, visit: Visit = visitor) -> Response:
        values = dict(request.query_params)
        filters, fields, _ = _filters(values, shared.zone)
        try:
            after = float(values.get("after", -1))
        except ValueError:
            after = -1.0
        minutes = shared.queue_settings().queue.lease_minutes
        with shared.database.write() as connection:
            item = reviews.claim_next(
                connection, visit.user.id, filters, moment=now(), minutes=minutes, after=after
            )
        link = {name: value for name, value in fields.items() if value}
        if told := values.get("told"):
            link["told"] = told
        target = f"/queue?{urlencode(link | {'empty': '1'})}"
        if item is not None:
            target = f"/items/{item}" + (f"?{urlencode(link)}" if link else "")
        return RedirectResponse(target, 303)


def _load_item(connection: sa.Connection, item: str) -> Any:
    query = (
        sa.select(
            items,
            *(
                calls.c[name]
                for name in (
                    *("call", "channel", "channel_role", "recording", "call_id", "direction"),
                    *("seconds", "flag", "why", "threshold", "model_version", "scored_at"),
                    *("current", "labels", "timeline", "synthetic"),
                )
            ),
        )
        .join(calls, calls.c.id == items.c.scored_call)
        .where(items.c.id == item)
    )
    row = connection.execute(query).first()
    if row is None:
        raise _Message(
            410,
            "This item is gone",
            "Its call was erased, or there never was such an item. Verdicts on it were erased with the "
            "call. Continue with the next item.",
            next=True,
        )
    return row


def _add_item(app: FastAPI, shared: _Application) -> None:
    visitor = _visitor(shared)

    @app.get("/items/{item}")
    def show_item(item: str, request: Request, visit: Visit = visitor) -> Response:
        values = dict(request.query_params)
        _, fields, _ = _filters(values, shared.zone)
        moment, stored = now(), shared.queue_settings()
        with shared.database.read() as connection:
            row = _load_item(connection, item)
            places = reviews.reviewers_of(connection, [item], moment).get(item, [])
            given = connection.execute(
                sa.select(verdicts, users.c.name)
                .join(users, users.c.id == verdicts.c.user_id)
                .where(verdicts.c.item_id == item)
                .order_by(verdicts.c.decided_at, verdicts.c.id)
            ).all()
        mine = next(
            (one for one in given if one.user_id == visit.user.id and not one.superseded), None
        )
        problem, may = "", mine is not None
        if not may:
            may, problem = _take(shared, visit, row, places, stored.queue.lease_minutes)
        blind = stored.queue.blind and mine is None and not visit.user.leads
        span = span_of(row.start_s, row.end_s, row.seconds, stored.queue.context_s)
        response = shared.page(
            "item.html",
            visit,
            item=row,
            fields={name: value for name, value in fields.items() if value},
            span=span,
            chart=None
            if blind or row.timeline is None
            else emotion_chart(row.timeline, row.labels, span, row.threshold),
            blind=blind,
            mine=mine,
            # Others' verdicts would influence one's own.
            given=[one for one in given if visit.user.leads or mine is not None],
            may=may,
            problem=problem,
            no_sound=shared.media.problem(row.scored_call, row.recording),
            told=_told(values.get("told", "")),
            can_undo=values.get("told", "").removesuffix(LATE) in VERDICT_WORDS,
        )
        return response

    @app.post("/items/{item}/verdict")
    def judge(item: str, visit: Visit = visitor) -> Response:
        _, fields, _ = _filters(visit.form, shared.zone)
        link = {name: value for name, value in fields.items() if value}
        try:
            given = reviews.Verdict(
                **{name: visit.form.get(name) for name in ("verdict", "other_emotion", "note")}
            )
        except ValidationError as error:
            wrong = ", ".join(str(one["loc"][0]) for one in error.errors())
            raise _Message(
                422,
                "No verdict",
                f"Go back and correct: {wrong}. Nothing was stored; what you wrote is still there.",
            ) from None
        try:
            with shared.database.write() as connection:
                status = reviews.record_verdict(
                    connection, item, visit.user.id, given, moment=now()
                )
        except reviews.NotYours:
            raise _Message(
                409,
                "Another reviewer has this item",
                "Your place expired and somebody else took it. Your verdict was not stored; your note is "
                "below. Continue with the next item.",
                next=True,
                kept=given.note or "",
            ) from None
        if status is None:
            raise _Message(
                410,
                "This call was erased",
                "It was erased while you listened, so there is nothing to store a verdict on. Your note is "
                "below. Continue with the next item.",
                next=True,
                kept=given.note or "",
            )
        told = given.verdict + (LATE if status == reviews.WITHDRAWN else "")
        return RedirectResponse(f"/next?{urlencode(link | {'told': told})}", 303)

    @app.post("/items/{item}/skip")
    def skip_item(item: str, visit: Visit = visitor) -> Response:
        _, fields, _ = _filters(visit.form, shared.zone)
        with shared.database.write() as connection:
            place = reviews.skip(connection, item, visit.user.id)
        link = {name: value for name, value in fields.items() if value} | {"after": str(place)}
        return RedirectResponse(f"/next?{urlencode(link)}", 303)

    @app.post("/undo")
    def undo(visit: Visit = visitor) -> Response:
        _, fields, _ = _filters(visit.form, shared.zone)
        minutes = shared.queue_settings().queue.lease_minutes
        with shared.database.write() as connection:
            item = reviews.undo(connection, visit.user.id, moment=now(), minutes=minutes)
        if item is None:
            raise _Message(409, "Nothing to undo", "You have no verdict that counts.", next=True)
        link = {name: value for name, value in fields.items() if value} | {"told": "undone"}
        return RedirectResponse(f"/items/{item}?{urlencode(link)}", 303)


def _take(
    shared: _Application, visit: Visit, row: Any, places: list[tuple[str, bool]], minutes: float
) -> tuple[bool, str]:
    """Give the reviewer a place of the item; return whether they have one, and why not."""
    if not row.current and row.status == reviews.WITHDRAWN:
        if any(name == visit.user.name for name, _ in places):
            return True, (
                "The call was scored again: a verdict counts for the earlier scores, which are shown here."
            )
        return False, "The call was scored again: its new scores have items of their own."
    if any(name == visit.user.name for name, _ in places):
        return True, ""
    try:
        with shared.database.write() as connection:
            if reviews.claim(connection, row.id, visit.user.id, moment=now(), minutes=minutes):
                return True, ""
    except (reviews.Taken, sa.exc.IntegrityError):
        others = ", ".join(name for name, _ in places if name != visit.user.name)
        return False, f"{others or 'Another reviewer'} has this item. Continue with the next one."
    return False, "This item is judged."


def _add_media(app: FastAPI, shared: _Application) -> None:
    visitor = _visitor(shared)

    def found(item: str) -> tuple[Any, tuple[float, float]]:
        with shared.database.read() as connection:
            row = _load_item(connection, item)
            context = reviews.load_queue_settings(connection, shared.settings.queue).queue.context_s
        return row, span_of(row.start_s, row.end_s, row.seconds, context)

    def samples(item: str) -> tuple[Any, int]:
        row, (start, end) = found(item)
        place = (row.scored_call, row.recording, row.channel)
        with _media_errors():
            return shared.media.samples(*place, start, end)

    @app.get("/items/{item}/audio")
    def audio(item: str, visit: Visit = visitor) -> Response:
        row, _ = found(item)
        with _media_errors():
            path = shared.media.sound(row.scored_call, row.recording, row.channel)
        return FileResponse(path, media_type="audio/mpeg")

    @app.get("/items/{item}/waveform.svg")
    def waveform(item: str, visit: Visit = visitor) -> Response:
        return Response(waveform_svg(samples(item)[0]), media_type="image/svg+xml")

    @app.get("/items/{item}/spectrogram.png")
    def spectrogram(item: str, visit: Visit = visitor) -> Response:
        return Response(spectrogram_png(*samples(item)), media_type="image/png")


@contextlib.contextmanager
def _media_errors() -> Iterator[None]:
    try:
        yield
    except MissingAudio as error:
        raise _Message(404, "No sound", str(error)) from None


def _add_leads(app: FastAPI, shared: _Application) -> None:
    visitor = _visitor(shared)
    lead = _visitor(shared, lead=True)

    @app.get("/progress")
    def progress(visit: Visit = visitor) -> Response:
        with shared.database.read() as connection:
            counts = connection.execute(
                sa.select(items.c.reason, items.c.status, sa.func.count()).group_by(
                    items.c.reason, items.c.status
                )
            ).all()
        table = load_verdicts(shared.database)
        own = table if visit.user.leads else table[table["reviewer"] == visit.user.name]
        response = shared.page(
            "progress.html",
            visit,
            counts={
                reason: dict.fromkeys(STATUS_WORDS, 0)
                | {status: n for name, status, n in counts if name == reason}
                for reason in REASON_WORDS
            },
            shares={
                reason: share_angry(table[table["reason"] == reason]) for reason in REASON_WORDS
            },
            agreed=agreement(table),
            reviewers=precision_by_reviewer(own).to_dict("records"),
            weeks=precision_by_week(table, shared.zone).to_dict("records"),
            n_verdicts=int((~table["superseded"]).sum()),
        )
        return response

    @app.get("/export.{kind}")
    def export(kind: str, visit: Visit = lead) -> Response:
        if kind not in {"csv", "parquet"}:
            raise HTTPException(404)
        table = export_verdicts(shared.database, shared.folder)
        content = to_csv(table) if kind == "csv" else _parquet(table)
        types = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}
        named = {"Content-Disposition": f'attachment; filename="verdicts.{kind}"'}
        return Response(content, media_type=types[kind], headers=named)

    def settings_page(
        visit: Visit,
        stored: reviews.StoredSettings,
        values: dict[str, Any],
        problem: str = "",
        status: int = 200,
        told: str = "",
    ) -> Response:
        response = shared.page(
            "settings.html", visit, status, stored=stored, values=values, problem=problem, told=told
        )
        return response

    @app.get("/settings")
    def show_settings(request: Request, visit: Visit = lead) -> Response:
        stored = shared.queue_settings()
        told = _told(request.query_params.get("told", ""))
        return settings_page(visit, stored, stored.queue.model_dump(), told=told)

    @app.post("/settings")
    def change_settings(visit: Visit = lead) -> Response:
        given = {name: visit.form.get(name, "") for name in QueueSettings.model_fields}
        given["blind"] = "true" if given["blind"] else "false"
        try:
            new = QueueSettings.model_validate(given)
            version = int(visit.form.get("version", ""))
        except ValueError as error:
            wrong = ", ".join(
                f"{one['loc'][0]} {one['input']!r}: {one['msg'].lower()}"
                for one in (error.errors() if isinstance(error, ValidationError) else [])
            )
            text = f"Not stored: {wrong or 'the version of the form is missing'}."
            return settings_page(visit, shared.queue_settings(), given, text, 422)
        try:
            with shared.database.write() as connection:
                reviews.change_queue_settings(
                    connection,
                    new,
                    version=version,
                    default=shared.settings.queue,
                    user=visit.user.name,
                    moment=now(),
                )
        except (reviews.Changed, sa.exc.IntegrityError) as error:
            stored = error.stored if isinstance(error, reviews.Changed) else shared.queue_settings()
            text = (
                f"Not stored: {stored.changed_by} changed the settings at {shared.local(stored.changed_at)}. "
                "Your values are in the form, theirs beside it; store again to replace theirs."
            )
            return settings_page(visit, stored, new.model_dump(), text, 409)
        return RedirectResponse(f"/settings?{urlencode({'told': 'stored'})}", 303)

    @app.post("/read")
    def read_calls(visit: Visit = lead) -> Response:
        if not shared.reading.acquire(blocking=False):
            raise _Message(409, "Already reading", "The scored calls are being read; wait.")
        try:
            result = read_scored_calls(shared.database, shared.folder, shared.settings)
        except (ValueError, OSError) as error:
            raise _Message(409, "Nothing was read", str(error)) from None
        finally:
            shared.reading.release()
        shared.forget_choices()
        counts = ".".join(map(str, result))
        return RedirectResponse(f"/queue?{urlencode({'told': f'read.{counts}'})}", 303)


def _parquet(table: Any) -> bytes:
    import io

    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()
