"""The web application: who may come in, which page has which address, and how mistakes are told."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio.to_thread
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)

from alphafoundry.asgi import Application, as_sent
from alphafoundry.dashboard import export
from alphafoundry.dashboard.access import FOLDER, SESSION_SECONDS, Access, NotSignedIn, Session
from alphafoundry.dashboard.asking import (
    MOST_FIELDS,
    MissingPage,
    Refused,
    given_of,
    read_fields,
    read_form,
    sources_of,
)
from alphafoundry.dashboard.charts import Chart
from alphafoundry.dashboard.evidence import EvidenceBook
from alphafoundry.dashboard.facts import FactsKeeper
from alphafoundry.dashboard.guard import Guard
from alphafoundry.dashboard.pages import (
    actions,
    agents,
    algorithms,
    alphas,
    data,
    desk,
    machine,
    now,
    processes,
    runs,
    workflows,
)
from alphafoundry.dashboard.rendering import STATIC, environment, load_all, render
from alphafoundry.dashboard.sources import NothingYet, Sources
from alphafoundry.dashboard.tables import Given, Row, Table, WrongFilter, read_all, read_page
from alphafoundry.errors import FoundryError, NotInStore, WrongText
from alphafoundry.heap import give_back

PAGES: tuple[ModuleType, ...] = (
    *(now, alphas, runs, workflows, algorithms, data, desk, agents, processes, machine, actions),
)
TABLES: dict[str, Table] = {one.name: one for page in PAGES for one in page.TABLES}
CHARTS: dict[str, Callable[[Sources, Given], Chart]] = {
    name: chart for page in PAGES for name, chart in page.CHARTS.items()
}

TIDY_SECONDS = 20.0
WARM_SECONDS = 10.0
THREADS = 3
"""Threads that make pages: Python runs one at a time, and each keeps what its largest page took."""

LONGEST_QUERY = 8_000
"""Characters of an address after its question mark; links of the page repeat them."""

OPEN = ("/sign-in", "/enter")
"""Addresses for who has not signed in."""

_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


def create_application(
    sources: Sources, access: Access, *, hosts: Iterable[str] = (), secure: bool = False
) -> Application:
    """Return the dashboard.

    Parameters
    ----------
    hosts : names for which it answers besides those of this machine
    secure : whether the browser speaks TLS with it, so that the cookie never goes without
    """
    application = FastAPI(
        title="Alpha Foundry",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/schema.json",
        lifespan=_lifespan,
    )
    state = application.state
    state.sources, state.access = sources, access
    state.facts = FactsKeeper(sources)
    state.evidence = EvidenceBook(sources.store)
    state.templates = environment()
    state.secure = secure
    application.middleware("http")(_only_signed_in)
    for problem, status in (
        (MissingPage, 404),
        (NothingYet, 404),
        (NotInStore, 404),
        (NotSignedIn, 401),
        (Refused, 403),
        (WrongFilter, 400),
        (WrongText, 400),
        (FoundryError, 503),
        (HTTPException, None),
        (RequestValidationError, 422),
    ):
        application.add_exception_handler(problem, _teller(status))
    _add_own_routes(application)
    for page in PAGES:
        application.include_router(page.router, include_in_schema=False)
    return Guard(application, hosts=hosts)


@contextlib.asynccontextmanager
async def _lifespan(application: FastAPI) -> AsyncIterator[None]:
    """Load what pages need, and count the trials of the newest alphas before somebody waits.

    What is loaded here belongs to the memory of the start, and no later page adds it. The count
    goes on beside the first pages where it takes longer than a few seconds.
    """
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    workflows.load_optuna()
    load_all(application.state.templates)
    counting = threading.Thread(target=_warm_up, args=[application.state], daemon=True)
    counting.start()
    await asyncio.to_thread(counting.join, WARM_SECONDS)
    give_back()
    tidying = asyncio.create_task(_tidy())
    yield
    tidying.cancel()
    application.state.facts.close()
    application.state.sources.close()


async def _tidy() -> None:
    """Give back, from time to time, what the pages of many threads have left in the heaps."""
    while True:
        await asyncio.sleep(TIDY_SECONDS)
        await asyncio.to_thread(give_back)


def _warm_up(state: Any) -> None:
    with contextlib.suppress(FoundryError), state.sources.connect("store") as connection:
        page = read_page(connection, alphas.ALPHAS, {})
        state.evidence.add_to(connection, page.rows)


async def _only_signed_in(
    request: Request, following: Callable[[Request], Awaitable[Response]]
) -> Response:
    """Let nobody in without a session but to the door; a token may read what scripts read."""
    access: Access = request.app.state.access
    path = request.url.path
    session = access.session(request.cookies.get(access.cookie))
    if session is None and request.method == "GET":
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        role = access.role_of(token) if scheme.lower() == "bearer" else None
        if role is not None:
            session = Session(role, "reads", "", 0.0, 0.0, 0.0)
    request.state.session = session
    if session is None and path not in OPEN and not path.startswith("/static/"):
        if path.startswith(("/api/", "/export/")):
            return JSONResponse({"error": "sign in first"}, 401)
        return render(request, "sign_in.html", page="", title="Sign in", status=401, problem="")
    if len(request.query_params) > MOST_FIELDS or len(request.url.query) > LONGEST_QUERY:
        return _teller(414)(request, WrongText("the address is too long"))
    if "\0" in path or "%00" in request.url.query:
        return _teller(400)(request, WrongText("the address has a NUL, which no name has"))
    return await following(request)


def _teller(status: int | None) -> Callable[[Request, Exception], Response]:
    """Return what tells a problem: a page for people, JSON for programs."""

    def tell(request: Request, problem: Exception) -> Response:
        code, line = status or 500, str(problem)
        if isinstance(problem, HTTPException):
            code, line = problem.status_code, str(problem.detail)
            if code == 404 or (code == 405 and request.method == "GET"):
                code, line = 404, "there is no such page"
        if isinstance(problem, RequestValidationError):
            first = problem.errors()[0]
            line = f"{first['loc'][-1]}: {first['msg']}; sent was {as_sent(first.get('input'))}"
        if request.url.path.startswith(("/api/", "/export/")):
            return JSONResponse({"error": line}, code)
        if isinstance(problem, NotSignedIn):
            return render(
                request, "sign_in.html", page="", title="Sign in", status=code, problem=line
            )
        try:
            return render(
                request, "problem.html", page="", title="Not so", status=code, problem=line
            )
        except FoundryError:  # the database that the page's edge is read from
            return PlainTextResponse(f"{line}\n", code)

    return tell


def _add_own_routes(application: FastAPI) -> None:
    """Add what is no page: the door, static files, changes, charts, exports."""
    application.add_api_route("/enter", enter, include_in_schema=False)
    application.add_api_route("/sign-in", sign_in, methods=["POST"], include_in_schema=False)
    application.add_api_route("/sign-out", sign_out, methods=["POST"], include_in_schema=False)
    application.add_api_route("/static/{name:path}", static, include_in_schema=False)
    application.add_api_route("/charts/{name}", chart_as_table, include_in_schema=False)
    # Any address may be refused before its route is asked: without a session, long, or with a NUL.
    refused: dict[int | str, dict[str, Any]] = {400: {}, 401: {}, 414: {}}
    application.add_api_route("/api/changes", changes, responses={**refused, 304: {}})
    application.add_api_route("/api/charts/{name}", chart, responses={**refused, 404: {}})
    application.add_api_route("/export/{name}.{form}", exported, responses={**refused, 404: {}})


def enter(request: Request, code: str = "") -> Response:
    """Turn the single-use code of a link into a session, and go where its code does not show."""
    return _let_in(request, request.app.state.access.redeem(code))


async def sign_in(request: Request) -> Response:
    """Turn the token, typed into the form, into a session."""
    form = await read_fields(request)
    return _let_in(request, request.app.state.access.sign_in(form.get("token", "")))


async def sign_out(request: Request) -> Response:
    """Revoke the session of this browser."""
    access: Access = request.app.state.access
    if request.state.session.role == "acts":
        await read_form(request)
    access.sign_out(request.cookies.get(access.cookie, ""))
    answer = RedirectResponse("/", 303)
    answer.delete_cookie(access.cookie)
    return answer


def _let_in(request: Request, given: str) -> Response:
    answer = RedirectResponse("/", 303)
    answer.set_cookie(
        request.app.state.access.cookie,
        given,
        max_age=int(SESSION_SECONDS),
        httponly=True,
        samesite="strict",
        secure=request.app.state.secure,
        path="/",
    )
    return answer


def static(name: str) -> Response:
    """Return a file of the page: one of those that lie in `static/`, by its whole name."""
    path = _static_files().get(name)
    if path is None:
        raise MissingPage(f"there is no file {name!r}")
    kind = _TYPES.get(path.suffix, "text/plain; charset=utf-8")
    return FileResponse(
        path, media_type=kind, headers={"cache-control": "private, max-age=31536000, immutable"}
    )


@functools.cache
def _static_files() -> dict[str, Path]:
    return {
        path.relative_to(STATIC).as_posix(): path for path in STATIC.rglob("*") if path.is_file()
    }


def changes(request: Request, since: str = "") -> Response:
    """Say whether the store or the supervisor's database has changed since a marker."""
    facts = request.app.state.facts.look()
    if since == facts.marker:
        return Response(status_code=304)
    old, new = since.split("."), facts.marker.split(".")
    changed = [
        topic
        for place, topic in enumerate(("store", "processes"))
        if len(old) != len(new) or old[place] != new[place]
    ]
    return JSONResponse({"marker": facts.marker, "changed": changed, "needs": len(facts.needs)})


def chart(request: Request, name: str, width: int = 800) -> Response:
    """Return the data of a chart, thinned to a width in pixels."""
    return JSONResponse(_chart(request, name).thinned(width).to_json())


def chart_as_table(request: Request, name: str) -> HTMLResponse:
    """Show the data of a chart as a table."""
    whole = _chart(request, name)
    return render(
        request,
        "chart_table.html",
        page="",
        title=whole.title,
        chart=whole.thinned(250),
        points=len(whole.x),
    )


def _chart(request: Request, name: str) -> Chart:
    if name not in CHARTS:
        raise MissingPage(f"there is no chart {name!r}")
    try:
        return CHARTS[name](sources_of(request), given_of(request))
    except ValueError as problem:
        raise WrongFilter(f"{name}: {problem}") from None


def exported(request: Request, name: str, form: str) -> Response:
    """Return a whole table, with the filters of its page, as CSV or Parquet."""
    if name not in TABLES or form not in ("csv", "parquet"):
        raise MissingPage(f"there is no {name}.{form}; tables are {', '.join(TABLES)}")
    table, given, sources = TABLES[name], given_of(request), sources_of(request)
    columns = table.columns
    headers = {"content-disposition": f'attachment; filename="{name}.{form}"'}

    def parts() -> Iterable[list[Row]]:
        with sources.connect(table.database) as connection:
            for rows in read_all(connection, table, given):
                if table.later is not None:
                    table.later(request.app.state, connection, rows)
                yield rows

    if form == "csv":
        lines = export.csv_lines(columns, parts())
        first = next(lines)  # a filter that is none is told now, not within the file
        return StreamingResponse(
            (part for source in ([first], lines) for part in source),
            media_type="text/csv; charset=utf-8",
            headers=headers,
        )
    folder = sources.home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return StreamingResponse(
        export.parquet_bytes(columns, parts(), folder),
        media_type="application/vnd.apache.parquet",
        headers=headers,
    )
