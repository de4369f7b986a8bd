"""Desks over HTTP on this machine: reading is open to it, changes need a token.

    FOUNDRY_DESK_TOKEN=... python -m flows.desk api --port 4240
    curl http://127.0.0.1:4240/desks
    curl -X POST -H "Authorization: Bearer ..." -d '{"reason": "storm"}' \
        -H "Content-Type: application/json" http://127.0.0.1:4240/desks/NAME/halt

/docs and /openapi.json describe every address. A request that names another host than this machine,
as a web page of elsewhere could make a browser do, is refused.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

import uvicorn
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, Field
from sqlalchemy import select
from starlette.middleware.trustedhost import TrustedHostMiddleware

from alphafoundry.agents.as_of import HEADINGS, desk_as_of
from alphafoundry.agents.control import change_desk, pause_agent
from alphafoundry.agents.flatten import flatten_desk
from alphafoundry.agents.plain_status import metrics_text, plain_status
from alphafoundry.agents.status import why
from alphafoundry.agents.strategy_book import person_sets_state
from alphafoundry.asgi import as_sent
from alphafoundry.errors import ConfigurationError, FoundryError, NotInStore, WrongText
from alphafoundry.settings import load_settings
from alphafoundry.store import Store, open_store
from alphafoundry.store.agent_tables import AgentDeskRow, ClockKind
from alphafoundry.store.agents import (
    newest_agent_desk,
    read_agent_alerts,
    read_agent_desk,
    read_control_decisions,
    read_ticks,
)
from alphafoundry.store.models import read_models
from alphafoundry.store.news import read_news
from alphafoundry.store.strategies import read_strategies
from alphafoundry.store.strategy_tables import StrategyState

TOKEN = "FOUNDRY_DESK_TOKEN"  # noqa: S105
LEAST_TOKEN = 16
MOST = 1000

_NEWEST = "newest"
_TEXT = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
"""Not blank, and without control characters; as every reader of a schema knows it."""


class Reason(BaseModel):
    """Why something is changed; it stands in the decision's row."""

    reason: str = Field(min_length=1, max_length=500, pattern=_TEXT)


def _opened(request: Request) -> Iterator[Store]:
    with request.app.state.open_store() as found:
        yield found


def _may_write(request: Request) -> None:
    token: str | None = request.app.state.token
    if token is None:
        raise HTTPException(403, f"set {TOKEN} where the API is started to allow changes")
    given = request.headers.get("Authorization", "")
    if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
        raise HTTPException(401, "changes need `Authorization: Bearer TOKEN`")


Opened = Annotated[Store, Depends(_opened)]
Limit = Annotated[int, Query(ge=1, le=MOST)]
_LINES: dict[int | str, dict[str, Any]] = {
    400: {"description": "the body is no JSON"},
    401: {"description": "the token is not the one"},
    403: {"description": "no token is set, so nothing may be changed"},
    404: {"description": "there is no such desk, agent or order"},
    409: {"description": "that cannot be done, with the reason in one line"},
}
_READS: dict[int | str, dict[str, Any]] = {code: _LINES[code] for code in (404, 409)}
_reading = APIRouter(responses=_READS)
_writing = APIRouter(dependencies=[Depends(_may_write)], responses=_LINES)


def application(store: Callable[[], Store], token: str | None) -> FastAPI:
    """Return the web application over a store.

    Parameters
    ----------
    store : opens it; each request has its own
    token : that changes need; None refuses every change
    """
    web = FastAPI(
        title="Alpha Foundry desk",
        description="Desks, their agents, orders and decisions. DESK `newest` is the newest.",
        version="1",
    )
    web.state.open_store, web.state.token = store, token
    web.add_middleware(
        TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "testserver"]
    )
    web.add_exception_handler(FoundryError, _in_one_line)
    web.add_exception_handler(RequestValidationError, _what_was_sent)
    web.include_router(_reading)
    web.include_router(_writing)
    return web


def _in_one_line(_: Request, problem: Exception) -> JSONResponse:
    kinds = ((NotInStore, 404), (WrongText, 422), (FoundryError, 409))
    status = next(status for kind, status in kinds if isinstance(problem, kind))
    return JSONResponse({"detail": str(problem)}, status)


def _what_was_sent(_: Request, problem: Exception) -> JSONResponse:
    """Tell what is wrong, where, and what was sent there: escaped, and no more than a line of it.

    Not every text can be sent back as it came.
    """
    assert isinstance(problem, RequestValidationError)
    told = [
        {
            "type": one["type"],
            "loc": one["loc"],
            "msg": one["msg"],
            "sent": as_sent(one.get("input")),
        }
        for one in problem.errors()
    ]
    return JSONResponse({"detail": told}, 422)


@_reading.get("/desks")
def desks(store: Opened, limit: Limit = 50) -> list[dict[str, Any]]:
    """List desks, the newest first."""
    query = select(AgentDeskRow).order_by(AgentDeskRow.created_at.desc()).limit(limit)
    with store.session() as session:
        return [
            {"desk": one.name, "clock": one.clock, "state": one.mode, "ticks": one.ticks}
            for one in session.scalars(query)
        ]


@_reading.get("/desks/{desk}")
def status(desk: str, store: Opened, as_of: date | None = None) -> dict[str, Any]:
    """Tell state, health, agents and alerts; `as_of` a day as they were when it ended."""
    if as_of is None:
        return plain_status(store, _desk(store, desk))
    past = desk_as_of(store, _name(desk), as_of)
    rows = [dict(zip(HEADINGS, row, strict=True)) for row in past.rows()]
    return {"desk": past.desk, "lines": list(past.lines()), "agents": rows}


@_reading.get("/desks/{desk}/ticks")
def ticks(
    desk: str, store: Opened, agent: str | None = None, limit: Limit = 100
) -> list[dict[str, Any]]:
    """List the newest ticks, of one agent or all."""
    found = read_ticks(store, _desk(store, desk).name, agent=agent, limit=limit)
    return [_plain(one, "desk", "seen") for one in found]


@_reading.get("/desks/{desk}/why/{what}")
def reasons(desk: str, what: str, store: Opened) -> list[str]:
    """Tell why an agent did not run, what became of a tick, or what an order is made of."""
    return list(why(store, what, _name(desk)))


@_reading.get("/desks/{desk}/alerts")
def alerts(desk: str, store: Opened, limit: Limit = 100) -> list[dict[str, Any]]:
    """List the newest alerts, those that are over included."""
    found = read_agent_alerts(store, _desk(store, desk).name, limit=limit)
    return [_plain(one, "desk") for one in found]


@_reading.get("/desks/{desk}/decisions")
def decisions(desk: str, store: Opened, limit: Limit = 100) -> list[dict[str, Any]]:
    """List what people and agents have decided, with evidence and undo."""
    found = read_control_decisions(store, _desk(store, desk).name, limit=limit)
    return [_plain(one, "desk") for one in found]


@_reading.get("/desks/{desk}/strategies")
def strategies(desk: str, store: Opened) -> list[dict[str, Any]]:
    """List the strategies that trade, incubate or are retired."""
    return [_plain(one, "desk") for one in read_strategies(store, _desk(store, desk).name)]


@_reading.get("/desks/{desk}/models")
def models(desk: str, store: Opened) -> list[dict[str, Any]]:
    """List the models, with what the vault and fresh days have shown."""
    return [_plain(one, "desk", "text") for one in read_models(store, _desk(store, desk).name)]


@_reading.get("/desks/{desk}/news")
def news(desk: str, store: Opened, limit: Limit = 100) -> list[dict[str, Any]]:
    """List the newest headlines with their scores."""
    found = read_news(store, _desk(store, desk).name, limit=limit)
    return [{**_plain(row, "desk"), **_plain(score, "desk", "key")} for row, score in found]


@_reading.get("/metrics", response_class=PlainTextResponse)
def metrics(store: Opened) -> str:
    """Give the figures of the newest desk of each clock in Prometheus's format.

    Counterfactual desks are passed over.
    """
    found: dict[str, dict[str, Any]] = {}
    clocks: tuple[ClockKind, ...] = ("wall", "replay", "simulated")
    for clock in clocks:
        one = newest_agent_desk(store, clock)
        if one is not None:
            found[one.name] = plain_status(store, one)
    return metrics_text(found)


@_writing.post("/desks/{desk}/{action}")
def change(
    desk: str, action: Literal["halt", "resume", "flatten"], why: Reason, store: Opened
) -> dict[str, str]:
    """Halt a desk that runs, let it go on, or close every position."""
    name = _name(desk)
    if action == "flatten":
        return {"told": flatten_desk(store, why.reason, desk=name, at=_now())}
    mode: Literal["HALTED", "ACTIVE"] = "HALTED" if action == "halt" else "ACTIVE"
    return {"told": change_desk(store, mode, why.reason, desk=name, at=_now())}


@_writing.post("/desks/{desk}/agents/{agent}/{action}")
def change_agent(
    desk: str, agent: str, action: Literal["pause", "resume"], why: Reason, store: Opened
) -> dict[str, str]:
    """Let an agent rest, or go on."""
    reason = why.reason if action == "pause" else None
    return {"told": pause_agent(store, agent, reason, desk=_name(desk), at=_now())}


@_writing.post("/desks/{desk}/strategies/{strategy}/{action}")
def change_strategy(
    desk: str,
    strategy: str,
    action: Literal["retire", "reinstate"],
    why: Reason,
    store: Opened,
) -> dict[str, str]:
    """Retire a strategy or model, or bring it back."""
    state: StrategyState = "retired" if action == "retire" else "live"
    told = person_sets_state(store, strategy, state, why.reason, desk=_name(desk), at=_now())
    return {"told": told}


def serve(port: int) -> None:
    """Serve desks on 127.0.0.1 until Ctrl-C.

    Raises ConfigurationError for a port or token that will not do.
    """
    if not 1 <= port <= 65_535:
        raise ConfigurationError(f"--port {port}: must be 1 to 65535")
    token = os.environ.get(TOKEN)
    if token is not None and len(token) < LEAST_TOKEN:
        raise ConfigurationError(f"{TOKEN}: is shorter than {LEAST_TOKEN} characters; make it long")
    settings = load_settings()
    url = None if settings.database_url is None else settings.database_url.get_secret_value()
    web = application(lambda: open_store(url, home=settings.home), token)
    uvicorn.run(web, host="127.0.0.1", port=port, log_level="warning")


def _name(desk: str) -> str | None:
    return None if desk == _NEWEST else desk


def _desk(store: Store, desk: str) -> AgentDeskRow:
    return read_agent_desk(store, _name(desk))


def _plain(row: Any, *left_out: str) -> dict[str, Any]:
    names = [column.key for column in row.__table__.columns if column.key not in left_out]
    return {name: getattr(row, name) for name in names}


def _now() -> datetime:
    return datetime.now(UTC)
