"""What stands before the application: whose requests are taken, how large, and what headers say.

Nothing here asks who somebody is; it refuses what no page of ours sends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from alphafoundry.asgi import (
    Application,
    Message,
    Receive,
    Scope,
    Send,
    header_values,
    is_of_foreign_page,
    refuse,
    replaying,
    says_length_twice,
)
from alphafoundry.host_names import HostNames

LARGEST_BODY = 64 * 1024
TOO_LARGE = f"the form is larger than {LARGEST_BODY // 1024} KiB"
BODY_SECONDS = 10.0

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # With no-referrer the form of our own page would be sent with `Origin: null`.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=()"),
)


class Guard:
    """Passes on what is meant for this dashboard, and refuses the rest.

    - `Host` must be a name of this machine (see `HostNames`), so a page with a name of its own
      that is pointed at us (DNS rebinding) gets nothing.
    - What changes something must come from a page of ours: `Origin` is this host.
    - `Sec-Fetch-Site` of another site or port is taken only for opening a page.
    - A body has at most 64 KiB, says its length in one way, and arrives within ten seconds.
    """

    def __init__(
        self,
        application: Application,
        *,
        hosts: Iterable[str] = (),
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        self._application = application
        self._hosts = HostNames(hosts)
        self._body_seconds = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        refusal = self._refusal(scope) or _refusal_of_length(scope)
        if refusal is None and scope["method"] == "POST":
            try:
                async with asyncio.timeout(self._body_seconds):
                    body = await _body(receive)
            except TimeoutError:
                refusal = 408, "the form did not arrive in time"
            else:
                if body is None:
                    refusal = 413, TOO_LARGE
                else:
                    receive = replaying(body, receive)
        if refusal is not None:
            await refuse(send, *refusal, headers=HEADERS)
            return
        await self._application(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        hosts = header_values(scope, b"host")
        address = (scope.get("server") or ("",))[0]
        if len(hosts) != 1 or not self._hosts.includes(hosts[0], address):
            return 421, (
                f"this dashboard does not answer for the host {', '.join(hosts) or 'none'}; "
                "`python -m flows.web --name HOST` lets it"
            )
        if scope["method"] not in ("GET", "POST"):
            return 405, f"{scope['method']} is nothing that this dashboard does"
        own = (f"http://{hosts[0]}", f"https://{hosts[0]}")
        origins = header_values(scope, b"origin")
        if any(one not in own for one in origins) or (scope["method"] == "POST" and not origins):
            return 403, f"a page from {', '.join(origins) or 'nowhere'} may not ask this dashboard"
        if is_of_foreign_page(scope):
            return 403, "another site or port may open a page of this dashboard, and nothing else"
        return None


def _refusal_of_length(scope: Scope) -> tuple[int, str] | None:
    lengths = header_values(scope, b"content-length")
    if says_length_twice(scope):
        return 400, "the request says its length in two ways"
    if any(int(one) > LARGEST_BODY for one in lengths if one.isdecimal() and len(one) < 99):
        return 413, TOO_LARGE
    return None


async def _body(receive: Receive) -> bytes | None:
    """Return the whole body, None where it is too large; no more than that is read."""
    parts, size = [], 0
    while True:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size > LARGEST_BODY:
            return None
        parts.append(part)
        if message["type"] != "http.request" or not message.get("more_body", False):
            return b"".join(parts)


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", []))
            there = {name.lower() for name, _ in headers}
            headers += [pair for pair in HEADERS if pair[0] not in there]
            if b"cache-control" not in there:
                headers.append((b"cache-control", b"no-store"))
            message["headers"] = headers
        await send(message)

    return sending
