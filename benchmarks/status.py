"""How long the status of a desk takes with a million of its ticks stored."""

from __future__ import annotations

import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from alphafoundry.agents.plain_status import plain_status
from alphafoundry.agents.schedule import load_schedule
from alphafoundry.agents.simulation import plain_values
from alphafoundry.agents.status import desk_status
from alphafoundry.store import open_store
from alphafoundry.store.agents import desk_transaction, open_agent_desk, read_agent_desk

BEGAN = datetime(2024, 1, 2, 14, 30, tzinfo=UTC)
PART = 20_000
EMPTY = dict.fromkeys(("lease_until", "wall_claimed", "wall_ended", "worker", "result", "seen"))


def measure_status(ticks: int = 1_000_000, rounds: int = 20) -> dict[str, Any]:
    """Return processor milliseconds of the status as JSON, and of that of the command line."""
    schedule = load_schedule()
    names = list(schedule.tasks)
    with tempfile.TemporaryDirectory() as folder, open_store(home=Path(folder)) as store:
        open_agent_desk(
            store,
            "long",
            market_label="a benchmark",
            clock="replay",
            began_at=BEGAN,
            schedule=plain_values(schedule),
            settings={"environment": "production"},
        )
        for start in range(0, ticks, PART):
            with desk_transaction(store, "long") as rows:
                places = range(start, min(start + PART, ticks))
                given = [_row(place, names) for place in places]
                rows.add_ticks({key: [row[key] for row in given] for key in given[0]})
        with desk_transaction(store, "long") as rows:
            states = {
                name: {"interval": float(task.interval), "seen_until": 0}
                for name, task in schedule.tasks.items()
            }
            rows.put_states(states)
            rows.put_desk(ticks=ticks, seen_until=BEGAN + timedelta(seconds=20 * ticks))
        quick, whole = [], []
        for number in range(rounds):
            began = time.process_time()
            plain_status(store, read_agent_desk(store))
            quick.append(time.process_time() - began)
            if number < 3:
                began = time.process_time()
                desk_status(store)
                whole.append(time.process_time() - began)
    return {
        "status": f"{ticks:,} ticks of {len(names)} agents",
        "status_ms": round(1e3 * float(np.median(quick)), 1),
        "slowest_ms": round(1e3 * max(quick), 1),
        "command_line_ms": round(1e3 * float(np.median(whole))),
    }


def _row(place: int, names: list[str]) -> dict[str, Any]:
    due = BEGAN + timedelta(seconds=20 * place)
    return {
        "agent": names[place % len(names)],
        "due_at": due,
        "position": place,
        "outcome": "failed" if place % 97 == 0 else "ran",
        "reason": "",
        "claimed_at": due,
        "ended_at": due + timedelta(seconds=2),
        "attempts": 1,
        "only_safe": False,
        **EMPTY,
    }
