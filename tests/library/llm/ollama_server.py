"""A real HTTP server on a local port that answers as Ollama does, by script."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """One answer: status, raw body, headers, and seconds to wait before it."""

    status: int = 200
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    announced_length: int | None = None


def text(answer: str) -> Reply:
    return Reply(body=json.dumps({"model": "m", "response": answer, "done": True}))


def error(message: str, status: int = 500, **headers: str) -> Reply:
    return Reply(status, json.dumps({"error": message}), headers)


class OllamaServer:
    """Answers `POST /api/generate` from `replies`, or from `rules[model]` when set."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.replies: deque[Reply] = deque()
        self.rules: dict[str, Reply] = {}
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.held: list[str] = []
        self.pull_lines: list[dict[str, str]] = [{"status": "pulling"}, {"status": "success"}]

    @property
    def generated_with(self) -> list[str]:
        return [body["model"] for path, body in self.requests if path == "/api/generate"]

    def answer(self, path: str, body: dict[str, Any]) -> Reply:
        self.requests.append((path, body))
        if path == "/api/tags":
            return Reply(body=json.dumps({"models": [{"name": name} for name in self.held]}))
        if path == "/api/pull":
            if self.pull_lines and self.pull_lines[-1] == {"status": "success"}:
                self.rules[body["model"]] = text("pulled")
            return Reply(body="".join(json.dumps(line) + "\n" for line in self.pull_lines))
        return self.rules.get(body["model"]) or self.replies.popleft()


@contextmanager
def running_server() -> Iterator[OllamaServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._send(state.answer(self.path, {}))

        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            self._send(state.answer(self.path, json.loads(self.rfile.read(length))))

        def _send(self, reply: Reply) -> None:
            time.sleep(reply.delay)
            payload = reply.body.encode()
            try:
                self.send_response(reply.status)
                length = reply.announced_length or len(payload)
                self.send_header("Content-Length", str(length))
                for name, value in reply.headers.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(payload)
            except OSError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = OllamaServer(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
