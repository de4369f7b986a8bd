"""Lists in pages: limit, offset, and the addresses of the next and previous page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import Request

from alphafoundry.brain.service.replies import RefusedError

LAST_OFFSET = 10_000


def page_of(request: Request, *, default: int, most: int) -> tuple[int, int]:
    """Return (limit, offset) of a request; RefusedError (400) where they are out of bounds."""
    limit = _whole(request, "limit", default, least=1)
    offset = _whole(request, "offset", 0, least=0)
    if limit > most:
        raise RefusedError(400, ["Invalid query: pagination limit too high."])
    if offset > LAST_OFFSET:
        raise RefusedError(400, ["Invalid query: pagination offset too high."])
    return limit, offset


def page(
    request: Request, results: Sequence[Any], *, count: int, limit: int, offset: int
) -> dict[str, Any]:
    """Return BRAIN's form of one page of `count` entries."""

    def address(start: int) -> str:
        return str(request.url.include_query_params(limit=limit, offset=start))

    return {
        "count": count,
        "next": address(offset + limit) if offset + limit < count else None,
        "previous": address(max(0, offset - limit)) if offset > 0 else None,
        "results": list(results),
    }


def _whole(request: Request, name: str, default: int, *, least: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) < least:
        raise RefusedError(400, {name: ["A valid integer is required."]})
    return int(text)
