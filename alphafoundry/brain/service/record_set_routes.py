"""The routes of an alpha's tables: /recordsets and /correlations."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from alphafoundry.brain.service.alphas import find_alpha
from alphafoundry.brain.service.local_brain import LocalBrain
from alphafoundry.brain.service.merged_pool import before_and_after
from alphafoundry.brain.service.replies import (
    NOT_PERMITTED,
    RefusedError,
    come_again,
    not_found,
)
from alphafoundry.brain.service.self_correlation import (
    correlation_table,
    related_alphas,
)
from alphafoundry.simulation.record_sets import record_set

_TITLES = {"pnl": "PnL", "daily-pnl": "Daily PnL"}


def record_set_routes(brain: LocalBrain) -> APIRouter:
    """Return the routes of /alphas/{id}/recordsets and /alphas/{id}/correlations."""
    router = APIRouter()

    @router.get("/alphas/{alpha_id}/recordsets")
    def names(alpha_id: str) -> dict[str, Any]:
        find_alpha(brain, alpha_id)
        known = brain.state.alphas.record_set_names(alpha_id)
        results = [{"name": name, "title": _title(name)} for name in known]
        return {"count": len(results), "results": results}

    @router.get("/alphas/{alpha_id}/recordsets/{name}")
    def table(alpha_id: str, name: str) -> Response:
        document = find_alpha(brain, alpha_id)
        if name not in brain.state.alphas.record_set_names(alpha_id):
            raise not_found()
        if name in ("pnl", "daily-pnl"):
            return JSONResponse(_pnl(brain, alpha_id, name))
        kept = brain.state.alphas.record_set(alpha_id, name)
        if kept is not None:
            return JSONResponse(kept)
        result = brain.repeater.result(alpha_id, lambda: brain.simulations.again(document))
        if result is None:
            return come_again(brain.poll_seconds)
        return JSONResponse(result.record_set(name))

    @router.get("/alphas/{alpha_id}/correlations/{kind}")
    def correlations(alpha_id: str, kind: str) -> Response:
        find_alpha(brain, alpha_id)
        if kind in ("prod", "power-pool"):
            raise RefusedError(403, NOT_PERMITTED)
        if kind != "self":
            raise not_found()
        if not brain.delays.done_after_begin("correlations", alpha_id):
            return come_again(brain.poll_seconds)
        return JSONResponse(correlation_table(related_alphas(brain.state, alpha_id)))

    @router.get("/users/self/alphas/{alpha_id}/before-and-after-performance")
    @router.get("/alphas/{alpha_id}/performance-comparison")
    def comparison(alpha_id: str) -> Response:
        document = find_alpha(brain, alpha_id)
        if not brain.delays.done_after_begin("comparison", alpha_id):
            return come_again(brain.poll_seconds)
        return JSONResponse(before_and_after(brain.state, document))

    return router


def _title(name: str) -> str:
    return _TITLES.get(name, name.replace("-", " ").capitalize())


@lru_cache(maxsize=16)
def _texts(days: bytes) -> tuple[str, ...]:
    """Return the bytes of a datetime64[D] array as dates; most alphas have the same days."""
    return tuple(np.datetime_as_string(np.frombuffer(days, "datetime64[D]")).tolist())


def _pnl(brain: LocalBrain, alpha_id: str, name: str) -> dict[str, object]:
    days, dollars = brain.state.alphas.pnl(alpha_id)
    values = np.round(np.cumsum(dollars), 2) if name == "pnl" else dollars
    rows = list(zip(_texts(days.tobytes()), values.tolist(), strict=True))
    return record_set(name, _title(name), [("date", "date"), ("pnl", "amount")], rows)
