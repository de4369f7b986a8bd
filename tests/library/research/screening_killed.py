"""`python -m tests.library.research.screening_killed HOME N`: dies at its Nth commit.

Commits count from the first batch of screened ideas on, those that change `screened` or
`simulations`. Where there are fewer, the search ends and nothing is killed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import Connection

from tests.library.research.searches import make_market, searched

FLAGS: dict[str, Any] = {
    "simulations": 6,
    "screen": {"ideas": 24, "batch": 12},
    "mining": {"share": 0.0},
}


def die_at(fatal: int) -> None:
    """Let the process end by SIGKILL behind that commit."""
    touched: set[int] = set()
    seen = 0

    @event.listens_for(Engine, "after_cursor_execute")
    def note(connection: Connection, _: Any, statement: str, *__: Any) -> None:
        words = statement.split()[:3]
        if words[:1] in (["INSERT"], ["UPDATE"]) and {"screened", "simulations"} & set(words):
            touched.add(id(connection))

    @event.listens_for(Engine, "commit")
    def count(connection: Connection) -> None:
        nonlocal seen
        if id(connection) in touched:
            touched.discard(id(connection))
            seen += 1
            if seen > fatal:
                # The commit before this one is on the disk, and this one is not.
                os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    die_at(int(sys.argv[2]))
    asyncio.run(searched(make_market(3, reversal=0.08), Path(sys.argv[1]), **FLAGS))
