"""What the servers of this machine share that speak ASGI: headers, bodies, refusals."""

from __future__ import annotations

import reprlib
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

LONGEST_SENT = 100


def header_values(scope: Scope, name: bytes) -> list[str]:
    """Return every value of a header, in lower case."""
    return [
        value.decode("latin-1").strip().lower() for key, value in scope["headers"] if key == name
    ]


def says_length_twice(scope: Scope) -> bool:
    """Tell whether a request says the length of its body in two ways.

    A proxy that believes the other of them would take the rest for a second request.
    """
    return bool(header_values(scope, b"content-length")) and bool(
        header_values(scope, b"transfer-encoding")
    )


def is_of_foreign_page(scope: Scope) -> bool:
    """Tell whether a browser asks for a page of another site or port, other than by opening it."""
    foreign = {"cross-site", "same-site"} & set(header_values(scope, b"sec-fetch-site"))
    opened = (
        scope.get("method") == "GET"
        and header_values(scope, b"sec-fetch-mode") == ["navigate"]
        and header_values(scope, b"sec-fetch-dest") == ["document"]
    )
    return bool(foreign) and not opened


def replaying(body: bytes, receive: Receive) -> Receive:
    """Return what gives the whole body first, and then what the client sends after it."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def as_sent(value: object) -> str:
    """Return what a client sent as plain ASCII, a hundred characters of it at most."""
    shown = reprlib.Repr()
    shown.maxstring = shown.maxother = shown.maxlong = LONGEST_SENT
    text = shown.repr(value).encode("ascii", "backslashreplace").decode()
    return text if len(text) <= LONGEST_SENT else f"{text[: LONGEST_SENT - 3]}..."


async def refuse(
    send: Send, status: int, reason: str, *, headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Answer with a line of text, and close the connection."""
    body = f"{reason}\n".encode()
    own = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": [*own, *headers]})
    await send({"type": "http.response.body", "body": body})
