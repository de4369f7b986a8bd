"""The routes of /simulations."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from alphafoundry.brain.service.local_brain import LocalBrain
from alphafoundry.brain.service.multi_simulation import read_several
from alphafoundry.brain.service.quotas import seconds_until_midnight
from alphafoundry.brain.service.replies import (
    JsonBody,
    RefusedError,
    come_again,
    not_found,
    seconds,
    wanted_wait,
)
from alphafoundry.brain.service.runner import QuotaUsedUpError, TooManyRunningError


def simulation_routes(brain: LocalBrain) -> APIRouter:
    """Return the routes of /simulations."""
    router = APIRouter()

    @router.post("/simulations")
    def start(request: Request, body: JsonBody) -> Response:
        several = read_several(brain.choices, body) if isinstance(body, list) else None
        wanted = None if several else brain.choices.read(body)
        midnight = seconds_until_midnight(brain.now())
        try:
            simulation = (
                brain.runner.start(wanted)
                if wanted is not None
                else brain.runner.start_several(several or ())
            )
        except QuotaUsedUpError:
            raise _limit(brain, "DAILY_SIMULATION_LIMIT_EXCEEDED", midnight) from None
        except TooManyRunningError:
            raise _limit(
                brain, "CONCURRENT_SIMULATION_LIMIT_EXCEEDED", brain.retry_seconds
            ) from None
        response = come_again(
            brain.poll_seconds,
            status=201,
            location=str(request.url_for("look", simulation_id=simulation)),
        )
        response.headers.update(_quota_headers(brain))
        return response

    @router.options("/simulations")
    def options() -> dict[str, Any]:
        return brain.choices.options()

    @router.get("/simulations/{simulation_id}")
    async def look(simulation_id: str, request: Request) -> Response:
        answer = await _awaited(brain, simulation_id, wanted_wait(request.headers))
        if answer is not None:
            return JSONResponse(answer)
        return await run_in_threadpool(look_now, simulation_id)

    def look_now(simulation_id: str) -> Response:
        progress = brain.runner.progress(simulation_id)
        if progress is not None:
            return JSONResponse(
                {"progress": progress}, headers={"Retry-After": seconds(brain.poll_seconds)}
            )
        answer = brain.state.simulations.find(simulation_id)
        if answer is None:
            raise not_found()
        return JSONResponse(answer)

    @router.delete("/simulations/{simulation_id}")
    def cancel(simulation_id: str) -> Response:
        if (
            not brain.runner.cancel(simulation_id)
            and brain.state.simulations.find(simulation_id) is None
        ):
            raise not_found()
        return Response(status_code=204)

    return router


async def _awaited(
    brain: LocalBrain, simulation_id: str, patience: float
) -> Mapping[str, Any] | None:
    """Return the answer to a running simulation that ends within `patience` seconds."""
    end = brain.runner.end_of(simulation_id) if patience > 0 else None
    if end is None:
        return None
    waiting = asyncio.wrap_future(end)
    await asyncio.wait([waiting], timeout=patience)
    return waiting.result() if waiting.done() else None


def _quota_headers(brain: LocalBrain) -> dict[str, str]:
    headers = {"X-Ratelimit-Reset": str(round(seconds_until_midnight(brain.now())))}
    left = brain.runner.left_today()
    if left is not None:
        headers["X-Ratelimit-Limit"] = str(brain.daily_simulations)
        headers["X-Ratelimit-Remaining"] = str(left)
    return headers


def _limit(brain: LocalBrain, detail: str, wait: float) -> RefusedError:
    brain.answered_429 += 1
    headers = {"Retry-After": seconds(wait), **_quota_headers(brain)}
    return RefusedError(429, {"detail": detail}, headers)
