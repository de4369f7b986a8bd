"""A BRAIN server that misbehaves, on a real socket: for tests of everything that calls BRAIN.

with serve(FaultyBrain(app, seed=1, rates={"503": 0.1})) as url: ...
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import uvicorn

FAULTS = (
    "429-concurrent",
    "429-daily",
    "429-rate",
    "500",
    "503",
    "drop-before",
    "drop-after",
    "slow",
    "truncated",
    "not-json",
    "empty-html",
    "expired",
    "redirected",
    "408",
    "forbidden",
    "gone",
    "error-state",
    "timeout-state",
)
"""What can go wrong with one request. drop-before: the connection ends and nothing was done;
drop-after: it was done. error-state and timeout-state: a simulation ends so, for ever."""

_JSON = ((b"content-type", b"application/json"),)

_BODIES: dict[str, tuple[int, bytes, tuple[tuple[bytes, bytes], ...]]] = {
    "429-concurrent": (
        429,
        b'{"detail":"CONCURRENT_SIMULATION_LIMIT_EXCEEDED"}',
        (*_JSON, (b"retry-after", b"0.05")),
    ),
    "429-daily": (
        429,
        b'{"detail":"DAILY_SIMULATION_LIMIT_EXCEEDED"}',
        (*_JSON, (b"retry-after", b"0.05")),
    ),
    "429-rate": (
        429,
        b'{"detail":"API rate limit exceeded"}',
        (*_JSON, (b"retry-after", b"0.05")),
    ),
    "500": (500, b"<h1>Server Error (500)</h1>", ((b"content-type", b"text/html"),)),
    "503": (503, b'{"detail":"Maintenance"}', (*_JSON, (b"retry-after", b"0.05"))),
    "not-json": (200, b"<html>Welcome</html>", _JSON),
    "empty-html": (200, b"", ((b"content-type", b"text/html; charset=utf-8"),)),
    "expired": (401, b'{"detail":"Incorrect authentication credentials."}', _JSON),
    "redirected": (302, b"", ((b"location", b"https://login.example/"),)),
    "408": (408, b"<h1>Request Timeout</h1>", ((b"content-type", b"text/html"),)),
    "forbidden": (403, b'{"detail":"You do not have permission to perform this action."}', _JSON),
    "gone": (404, b'{"detail":"Not found."}', _JSON),
    "error-state": (200, b'{"status":"ERROR","message":"Simulation failed."}', _JSON),
    "timeout-state": (200, b'{"status":"TIMEOUT"}', _JSON),
}


@dataclass
class _Planned:
    fault: str
    method: str | None
    path: str
    times: int

    def fits(self, scope: Mapping[str, Any]) -> bool:
        return (
            self.times > 0
            and self.method in (None, scope["method"])
            and re.search(self.path, scope["path"]) is not None
        )


class FaultyBrain:
    """An ASGI application around another one.

    Parameters
    ----------
    app : the server that works
    seed : of the draws by `rates`
    rates : fault to its probability for each request (the states: for each look at a simulation)
    slow_seconds : how long a slow answer takes

    Attributes
    ----------
    injected : fault to how often it happened
    requests : ("POST", "/simulations") to how many came
    """

    def __init__(
        self,
        app: Any,
        *,
        seed: int = 0,
        rates: Mapping[str, float] | None = None,
        slow_seconds: float = 0.5,
    ) -> None:
        unknown = set(rates or {}) - set(FAULTS)
        if unknown:
            raise ValueError(f"unknown faults {sorted(unknown)}")
        self._app = app
        self._random = random.Random(seed)
        self._rates = dict(rates or {})
        self._slow_seconds = slow_seconds
        self._planned: list[_Planned] = []
        self._ended: dict[str, str] = {}
        self._lock = threading.Lock()
        self.injected: Counter[str] = Counter()
        self.requests: Counter[tuple[str, str]] = Counter()

    def plan(
        self, fault: str, *, method: str | None = None, path: str = "", times: int = 1
    ) -> None:
        """Make the next `times` requests that fit go wrong; `path` is a regular expression."""
        if fault not in FAULTS:
            raise ValueError(f"unknown fault {fault!r}")
        self._planned.append(_Planned(fault, method, path, times))

    def stop(self) -> None:
        """Misbehave no more (simulations that ended stay ended)."""
        self._planned.clear()
        self._rates.clear()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with self._lock:
            self.requests[scope["method"], scope["path"]] += 1
            fault = self._draw(scope)
            if fault is not None:
                self.injected[fault] += 1
        await self._answer(fault, scope, receive, send)

    def _draw(self, scope: Mapping[str, Any]) -> str | None:
        looking = scope["method"] == "GET" and re.fullmatch(r"/simulations/[^/]+", scope["path"])
        if looking and scope["path"] in self._ended:
            return self._ended[scope["path"]]
        fault = None
        for planned in self._planned:
            if planned.fits(scope):
                planned.times -= 1
                fault = planned.fault
                break
        else:
            for name, rate in self._rates.items():
                if (looking or not name.endswith("-state")) and self._random.random() < rate:
                    fault = name
                    break
        if fault is not None and fault.endswith("-state"):
            self._ended[scope["path"]] = fault
        return fault

    async def _answer(self, fault: str | None, scope: Any, receive: Any, send: Any) -> None:
        match fault:
            case None:
                await self._app(scope, receive, send)
            case "slow":
                await asyncio.sleep(self._slow_seconds)
                await self._app(scope, receive, send)
            case "drop-before":
                _hang_up(send)
            case "drop-after":
                await self._app(scope, receive, _swallow)
                _hang_up(send)
            case "truncated":
                await self._app(scope, receive, _half(send))
                _hang_up(send)
            case _:
                status, body, headers = _BODIES[fault]
                length = (b"content-length", str(len(body)).encode())
                await send(
                    {"type": "http.response.start", "status": status, "headers": [*headers, length]}
                )
                await send({"type": "http.response.body", "body": body})


async def _swallow(_: Any) -> None:
    return None


def _hang_up(send: Any) -> None:
    # `send` is a method of uvicorn's request cycle, which holds the connection.
    transport = send.__self__.transport
    transport.close() if transport.get_write_buffer_size() else transport.abort()


def _half(send: Any) -> Any:
    async def send_half(message: Any) -> None:
        if message["type"] == "http.response.body":
            body = message.get("body", b"")
            message = {**message, "body": body[: len(body) // 2], "more_body": True}
        await send(message)

    return send_half


@contextlib.contextmanager
def serve(app: Any) -> Iterator[str]:
    """Serve an ASGI application on a free port in a thread; give its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=2, ws="none")
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
