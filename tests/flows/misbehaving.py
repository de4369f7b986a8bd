"""A local BRAIN on a port that can be made to misbehave, and that counts what it accepted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from starlette.responses import JSONResponse

from alphafoundry.brain.server import close_app, create_app
from tests.library.brain.faults import FaultyBrain, serve
from tests.library.brain.markets import small_panel

FITTING = {
    "FOUNDRY_ALPHA__NEUTRALIZATION": "MARKET",
    "FOUNDRY_ALPHA__TRUNCATION": "0.2",
}
"""Settings that the small market of the service can simulate with."""


REJECTION = {
    "is": {
        "checks": [
            {"name": "LOW_SHARPE", "result": "PASS", "limit": 1.25, "value": 2.0},
            {"name": "SELF_CORRELATION", "result": "FAIL", "limit": 0.7, "value": 0.9},
        ]
    }
}


class CountingBrain:
    """Counts what the server behind it accepts.

    accepted : JSON of [expression, settings] to how often it was taken for simulation
    submitted : alpha to how often its submission was begun
    posted : requests for a simulation, whatever the answer
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self.accepted: Counter[str] = Counter()
        self.submitted: Counter[str] = Counter()
        self.posted = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        sent = bytearray()
        simulation = scope["path"] == "/simulations"
        submission = re.fullmatch(r"/alphas/(\w+)/submit", scope["path"])
        self.posted += simulation

        async def listen() -> Any:
            message = await receive()
            sent.extend(message.get("body", b""))
            return message

        async def answer(message: Any) -> None:
            if message.get("status") in (200, 201):
                if simulation:
                    asked = json.loads(sent)
                    self.accepted[json.dumps([asked["regular"], asked["settings"]])] += 1
                elif submission:
                    self.submitted[submission[1]] += 1
            await send(message)

        await self._app(scope, listen, answer)


class Service:
    """The server, with faults in front of it while `misbehaving`.

    Parameters
    ----------
    folder : keeps its state
    rates : fault to its probability for each request
    options : of `create_app`

    Attributes
    ----------
    misbehaving : whether the rates and planned faults apply
    spared : regular expression of paths that always work
    rejecting : whether each submission is answered 403, too like another alpha
    alphas_after : accepted simulations before which no request for an alpha is answered
    away_after : accepted simulations after which no request is answered any more, None is never
    """

    def __init__(self, folder: Path, rates: Mapping[str, float] | None = None, **options: Any):
        self._state = folder / "brain.sqlite"
        self._app = create_app(
            small_panel(), state=self._state, **{"poll_seconds": 0.01, **options}
        )
        self.counting = CountingBrain(self._app)
        self.faulty = FaultyBrain(self.counting, seed=11, rates=rates)
        self.misbehaving = False
        self.spared = "^/authentication"
        self.rejecting = False
        self.alphas_after = 0
        self.away_after: int | None = None
        self._gone = FaultyBrain(self.counting, rates={"drop-before": 1.0})

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and re.fullmatch(r"/alphas/\w+", scope["path"]):
            while self.counting.accepted.total() < self.alphas_after:
                await asyncio.sleep(0.02)
        if self.rejecting and scope["method"] == "POST" and scope["path"].endswith("/submit"):
            await JSONResponse(REJECTION, 403)(scope, receive, send)
        elif self.away_after is not None and self.counting.accepted.total() >= self.away_after:
            await self._gone(scope, receive, send)
        elif self.misbehaving and not re.search(self.spared, scope["path"]):
            await self.faulty(scope, receive, send)
        else:
            await self.counting(scope, receive, send)

    @contextlib.contextmanager
    def on_a_port(self) -> Iterator[str]:
        """Serve it; give its address."""
        try:
            with serve(self) as url:
                yield url
        finally:
            close_app(self._app)

    def expressions(self) -> list[str]:
        """Return the expression of each alpha that it made."""
        with contextlib.closing(sqlite3.connect(self._state)) as connection:
            rows = connection.execute("SELECT json_extract(document, '$.regular.code') FROM alphas")
            return [row[0] for row in rows]
