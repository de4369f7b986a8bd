"""The web application of the local BRAIN server: its routes put together for one market."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import httpx
from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from alphafoundry.brain.credentials import Credentials
from alphafoundry.brain.service.alphas import alpha_routes
from alphafoundry.brain.service.catalogue import catalogue_routes
from alphafoundry.brain.service.choices import Choices
from alphafoundry.brain.service.local_brain import Delays, LocalBrain
from alphafoundry.brain.service.recomputed_tables import Repeater
from alphafoundry.brain.service.record_set_routes import record_set_routes
from alphafoundry.brain.service.replies import NOT_FOUND, IdentityHeaders, RefusedError
from alphafoundry.brain.service.runner import Runner
from alphafoundry.brain.service.service_store import State
from alphafoundry.brain.service.sessions import Sessions, session_routes
from alphafoundry.brain.service.simulation_requests import Simulations
from alphafoundry.brain.service.simulations import simulation_routes
from alphafoundry.brain.service.submissions import submission_routes
from alphafoundry.clock import Clock, utc_now
from alphafoundry.market.panel import Panel
from alphafoundry.simulation.rules import SIMULATION_RULES
from alphafoundry.simulation.simulator import Simulator

DEFAULT_STATE = Path(".foundry/local-brain.sqlite")

_log = logging.getLogger(__name__)


def create_app(
    panel: Panel,
    *,
    state: Path = DEFAULT_STATE,
    credentials: Credentials | None = None,
    max_concurrent: int = 3,
    daily_submissions: int = 4,
    daily_simulations: int | None = None,
    simulation_seconds: float = 0.0,
    poll_seconds: float = 0.1,
    retry_seconds: float = 1.0,
    token_seconds: float = 14400.0,
    persona: bool = False,
    searched_until: date | None = None,
    now: Clock = utc_now,
) -> FastAPI:
    """Return the server of one market; `close_app` ends its threads.

    Parameters
    ----------
    panel : the market
    state : SQLite file with alphas and submissions, made where absent
    credentials : who may sign in, None is anybody
    max_concurrent : simulations at the same time; one more is answered 429
    daily_submissions : accepted per US Eastern day
    daily_simulations : successful per US Eastern day, None is no limit
    simulation_seconds : least duration of a simulation
    poll_seconds : Retry-After of work in progress, and how long checks take
    retry_seconds : Retry-After where too many simulations run
    token_seconds : life of a sign-in
    persona : signing in needs a person who opens a link
    searched_until : last day of a panel that was cut so that no search sees what follows; its
        results are kept apart from those of all days
    now : the clock that days are counted by

    Raises StoreError where `state` cannot be used.
    """
    service = f"local:{panel.market_id}.{SIMULATION_RULES}"
    if searched_until is not None:
        service += f".to-{searched_until}"
    memory = State(state, service=service)
    simulations = Simulations(Simulator(panel), memory)
    brain = LocalBrain(
        panel=panel,
        state=memory,
        sessions=Sessions(credentials, token_seconds, persona),
        runner=Runner(
            simulations,
            memory,
            service=service,
            max_concurrent=max_concurrent,
            daily_simulations=daily_simulations,
            simulation_seconds=simulation_seconds,
            now=now,
            version=panel.version,
        ),
        simulations=simulations,
        repeater=Repeater(),
        choices=Choices.of(panel),
        now=now,
        poll_seconds=poll_seconds,
        retry_seconds=retry_seconds,
        daily_simulations=daily_simulations,
        daily_submissions=daily_submissions,
        delays=Delays(poll_seconds),
    )

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        close_app(app)

    app = FastAPI(
        title="Alpha Foundry BRAIN server",
        lifespan=lifespan,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.brain = brain
    app.include_router(session_routes(brain.sessions))
    for routes in (
        simulation_routes,
        submission_routes,
        record_set_routes,
        alpha_routes,
        catalogue_routes,
    ):
        app.include_router(routes(brain), dependencies=[Depends(brain.sessions.required)])

    @app.get("/foundry/metrics")
    def metrics() -> dict[str, Any]:
        return {
            "peak_running": brain.runner.peak_running,
            "answered_429": brain.answered_429,
            "simulations": brain.runner.finished,
            "busy_seconds": brain.runner.busy_seconds,
            "span_seconds": brain.runner.span_seconds,
        }

    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(HTTPException, _http_problem)
    app.add_exception_handler(Exception, _broken)
    app.add_middleware(IdentityHeaders, service=service, panel=panel)
    return app


def close_app(app: FastAPI) -> None:
    """Stop the simulations that run and close the database."""
    app.state.brain.close()


def in_process(app: FastAPI) -> httpx.AsyncBaseTransport:
    """Return the transport of a `BrainClient` that asks `app` without a network.

    Closing the client closes the app.
    """
    return _InProcess(app=app, raise_app_exceptions=False)


class _InProcess(httpx.ASGITransport):
    async def aclose(self) -> None:
        assert isinstance(self.app, FastAPI)
        await asyncio.to_thread(close_app, self.app)


def _refused(_: Request, problem: Exception) -> Response:
    assert isinstance(problem, RefusedError)
    return problem.response()


def _http_problem(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, HTTPException)
    if problem.status_code == 404:
        return JSONResponse(NOT_FOUND, 404)
    if problem.status_code == 405:
        detail = f'Method "{request.method}" not allowed.'
        return JSONResponse({"detail": detail}, 405, headers=problem.headers)
    return JSONResponse({"detail": problem.detail}, problem.status_code)


def _broken(request: Request, problem: Exception) -> Response:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=problem)
    return JSONResponse({"detail": "Internal server error."}, 500)
