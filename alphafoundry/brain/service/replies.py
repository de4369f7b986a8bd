"""Answers in BRAIN's form: bodies of refusals, waiting, and the headers of every answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, Request, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from alphafoundry.brain.served_data import ServedData
from alphafoundry.market.panel import Panel

MAX_BODY_BYTES = 1_000_000
LONGEST_WAIT = 30.0

NOT_FOUND = {"detail": "Not found."}
NOT_PERMITTED = {"detail": "You do not have permission to perform this action."}
NOT_SIGNED_IN = {"detail": "Incorrect authentication credentials."}


class RefusedError(Exception):
    """Ends a request with a status and body."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.body = body
        self.headers = dict(headers or {})
        super().__init__(f"{status} {body}")

    def response(self) -> JSONResponse:
        """Return the answer."""
        return JSONResponse(self.body, self.status, headers=self.headers)


def not_found() -> RefusedError:
    """Return BRAIN's 404."""
    return RefusedError(404, NOT_FOUND)


def seconds(value: float) -> str:
    """Return seconds as BRAIN writes them, decimal text such as "5.0"."""
    return str(round(float(value), 3))


def come_again(after: float, *, status: int = 200, location: str | None = None) -> Response:
    """Return the empty answer of work in progress."""
    headers = {"Retry-After": seconds(after)}
    if location is not None:
        headers["Location"] = location
    return Response(status_code=status, headers=headers)


def wanted_wait(headers: Mapping[str, str]) -> float:
    """Return how many seconds the client lets the answer wait for the end of the work.

    Read from `Prefer: wait=SECONDS` (RFC 7240), at most 30; 0 where nothing is asked for or the
    text is no such preference.
    """
    for preference in headers.get("prefer", "").split(","):
        name, _, value = preference.partition("=")
        if name.strip().lower() == "wait" and value.strip().isascii() and value.strip().isdigit():
            return min(float(value.strip()), LONGEST_WAIT)
    return 0.0


async def json_body(request: Request) -> Any:
    """Return the decoded body; None where there is none.

    Raises RefusedError as Django REST framework answers: 413 for a body over 1 MB, 415 for another
    media type than JSON, 400 for text that is no JSON or holds half of a character.
    """
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > MAX_BODY_BYTES:
            raise RefusedError(413, {"detail": f"Request body exceeds {MAX_BODY_BYTES} bytes."})
    if not content.strip():
        return None
    media = request.headers.get("content-type", "")
    if media.split(";")[0].strip().lower() != "application/json":
        raise RefusedError(415, {"detail": f'Unsupported media type "{media}" in request.'})
    try:
        body = json.loads(content, parse_constant=_no_constant)
        json.dumps(body, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as problem:
        raise RefusedError(400, {"detail": f"JSON parse error - {problem}"}) from None
    return body


JsonBody = Annotated[Any, Depends(json_body)]
"""The decoded body, as the parameter of a route."""


def _no_constant(name: str) -> None:
    raise ValueError(f"Out of range float values are not JSON compliant: {name}")


class IdentityHeaders:
    """Adds to every answer which service, market and data version it is from."""

    def __init__(self, app: ASGIApp, *, service: str, panel: Panel) -> None:
        self._app = app
        headers = {
            "X-Foundry-Service": service,
            "X-Foundry-Market": quote(panel.label),
            **ServedData.of(panel).to_headers(),
        }
        self._headers = Headers(headers).raw

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._headers]
            await send(message)

        await self._app(scope, receive, send_with_headers)
