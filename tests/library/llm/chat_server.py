"""A real HTTP server on a local port that answers as an OpenAI-compatible API, by script."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PROGRAM = """import numpy as np

WINDOW = 20


def execute_trade(ticker, cash_balance, shares_held):
    close = history.close
    if len(close) < WINDOW:
        return "HOLD"
    average = float(np.mean(close[-WINDOW:]))
    if shares_held == 0 and close[-1] > average:
        return "BUY"
    if shares_held > 0 and close[-1] < average:
        return "SELL"
    return "HOLD"
"""


@dataclass(frozen=True)
class Reply:
    """One answer: status, raw body, headers, seconds to wait before it, and how it breaks.

    after : requests, of whatever model, that have to arrive before it is given
    drop : close the connection instead of answering
    announced_length : a Content-Length that the body does not have
    pieces : send the body in so many parts, `delay` seconds apart
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    after: int = 0
    drop: bool = False
    announced_length: int | None = None
    pieces: int = 1


def chat(content: Any, *, delay: float = 0.0, after: int = 0, **usage: Any) -> Reply:
    """Return an answer of a model."""
    body: dict[str, Any] = {"choices": [{"message": {"role": "assistant", "content": content}}]}
    if usage:
        body["usage"] = usage
    return Reply(body=json.dumps(body).encode(), delay=delay, after=after)


def program(*, delay: float = 0.0, after: int = 0, **usage: Any) -> Reply:
    """Return an answer with a working algorithm."""
    return chat(f"Here it is:\n\n```python\n{PROGRAM}```\n", delay=delay, after=after, **usage)


def problem(status: int, message: str = "busy", **headers: str) -> Reply:
    """Return an error as OpenAI words it."""
    body = json.dumps({"error": {"message": message, "code": status}}).encode()
    return Reply(status, body, {name.replace("_", "-"): text for name, text in headers.items()})


class ChatServer:
    """Answers from `replies[model]` in turn, then, and for other models, with `default`.

    Attributes
    ----------
    sent : requests per model
    arrivals : per model, monotonic seconds of each request
    authorization : the header of each request
    peak : most requests under way at once
    listed : models of GET /models, None answers 404
    """

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/v1"
        self.replies: dict[str, deque[Reply]] = {}
        self.default: Reply | Callable[[str], Reply] = program()
        self.sent: Counter[str] = Counter()
        self.arrivals: dict[str, list[float]] = {}
        self.bodies: list[dict[str, Any]] = []
        self.authorization: list[str | None] = []
        self.peak = 0
        self.listed: list[str] | None = None
        self._running = 0
        self._lock = threading.Lock()

    def script(self, model: str, *replies: Reply) -> None:
        """Say what a model answers, in turn."""
        self.replies[model] = deque(replies)

    def models(self) -> Reply:
        if self.listed is None:
            return problem(404, "no such path")
        return Reply(body=json.dumps({"data": [{"id": name} for name in self.listed]}).encode())

    def begin(self, body: dict[str, Any], authorization: str | None) -> Reply:
        model = body["model"]
        with self._lock:
            self._running += 1
            self.peak = max(self.peak, self._running)
            self.sent[model] += 1
            self.arrivals.setdefault(model, []).append(time.monotonic())
            self.bodies.append(body)
            self.authorization.append(authorization)
            waiting = self.replies.get(model)
            if waiting:
                return waiting.popleft()
        return self.default(model) if callable(self.default) else self.default

    def end(self) -> None:
        with self._lock:
            self._running -= 1


@contextmanager
def running_chat_server() -> Iterator[ChatServer]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(state.models())

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = json.loads(self.rfile.read(length))
            try:
                self._send(state.begin(body, self.headers.get("Authorization")))
            finally:
                state.end()

        def _send(self, reply: Reply) -> None:
            while state.sent.total() < reply.after and not stopping.wait(0.01):
                pass
            if reply.pieces == 1:
                stopping.wait(reply.delay)
            if reply.drop:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            try:
                self.send_response(reply.status)
                length = reply.announced_length or len(reply.body)
                self.send_header("Content-Length", str(length))
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                size = -(-len(reply.body) // reply.pieces) or 1
                for start in range(0, len(reply.body), size):
                    self.wfile.write(reply.body[start : start + size])
                    self.wfile.flush()
                    if reply.pieces > 1 and stopping.wait(reply.delay):
                        break
            except OSError:
                self.close_connection = True
            if reply.announced_length:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    stopping = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state = ChatServer(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        stopping.set()
        server.shutdown()
        thread.join()
        server.server_close()
