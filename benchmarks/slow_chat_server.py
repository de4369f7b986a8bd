"""An OpenAI-compatible server that takes its time, and counts what it sees.

    python -m benchmarks.slow_chat_server --port 8123 [--scale 0.1] [--faults 0.3]

Each answer takes 10 to 15 s times `--scale`, drawn from the model's name, and holds an algorithm
composed from templates. With `--faults`, that share of requests is answered 429 or 503 instead,
drawn from the model's name and the number of the request; never more than three in a row for one
model, so that four requests are always enough. GET /seen tells the peak of requests under way,
the requests per model, and the seconds from the first request to the last answer.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import time
from collections import Counter
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from alphafoundry.algorithms.prompt_directives import directives_for
from alphafoundry.algorithms.template_strategies import compose

MOST_FAULTS_IN_A_ROW = 3


def share(*names: object) -> float:
    """Return a number in [0, 1) that belongs to these names."""
    digest = hashlib.sha256(json.dumps(names).encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


class SlowServer:
    """Counts what it is asked, and answers late."""

    def __init__(self, scale: float, faults: float) -> None:
        self.scale = scale
        self.faults = faults
        self.forget()

    def forget(self) -> None:
        """Begin to count anew."""
        self.sent: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.running = self.peak = 0
        self.first = self.last = 0.0
        self.slowest = self.work = 0.0

    async def chat(self, request: Request) -> Response:
        body: dict[str, Any] = await request.json()
        model = body["model"]
        self.sent[model] += 1
        number = self.sent[model]
        self.running += 1
        self.peak = max(self.peak, self.running)
        self.first = self.first or time.monotonic()
        try:
            faulty = number <= MOST_FAULTS_IN_A_ROW and share("fault", model, number) < self.faults
            if faulty:
                status = 429 if share("status", model, number) < 0.5 else 503
                self.statuses[status] += 1
                return JSONResponse({"error": {"message": "busy"}}, status)
            seconds = self.scale * (10 + 5 * share("seconds", model))
            self.slowest = max(self.slowest, seconds)
            self.work += seconds
            await asyncio.sleep(seconds)
            self.statuses[200] += 1
            program = compose(directives_for(model))
            return JSONResponse(
                {
                    "choices": [{"message": {"content": f"```python\n{program}```"}}],
                    "usage": {"prompt_tokens": 900, "completion_tokens": 300},
                }
            )
        finally:
            self.running -= 1
            self.last = time.monotonic()

    async def seen(self, request: Request) -> Response:
        told = {
            "peak": self.peak,
            "sent": dict(self.sent),
            "statuses": {str(status): count for status, count in self.statuses.items()},
            "slowest": self.slowest,
            "work": self.work,
            "span": self.last - self.first,
        }
        if "forget" in request.query_params:
            self.forget()
        return JSONResponse(told)


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.slow_chat_server")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--scale", type=float, default=0.1)
    parser.add_argument("--faults", type=float, default=0.0)
    given = parser.parse_args()
    server = SlowServer(given.scale, given.faults)
    routes = [
        Route("/v1/chat/completions", server.chat, methods=["POST"]),
        Route("/seen", server.seen),
    ]
    uvicorn.run(Starlette(routes=routes), host="127.0.0.1", port=given.port, log_level="error")


if __name__ == "__main__":
    main()
