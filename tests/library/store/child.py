"""What a second process does in the tests: `python -m tests.library.store.child WHAT URL ...`."""

from __future__ import annotations

import itertools
import sys
import time
from datetime import date
from pathlib import Path

import numpy as np

from alphafoundry.store import (
    AlphaRecord,
    DailyPnl,
    HopefulEntry,
    SimulationPlan,
    Store,
    begin_run,
    claim_abandoned,
    finish_simulation,
    intend_submission,
    mark_sending,
    mark_sent,
    merge_hopeful,
    open_store,
    plan_simulations,
)

SERVICE = "local:test"
N_DAYS = 1000


def plan_of(number: int) -> SimulationPlan:
    return SimulationPlan(f"x{number}", f"x{number}", {"decay": 0}, "grammar")


def wait_for(gate: Path) -> None:
    """Say that this process is ready, and wait until the test lets all go at once."""
    print("ready", flush=True)
    while not gate.exists():
        time.sleep(0.001)


def plan(store: Store, gate: Path, first: str, last: str) -> None:
    run = begin_run(store, flow="daily", service=SERVICE)
    numbers = list(range(int(first), int(last)))
    plans = [plan_of(number) for number in np.random.default_rng().permutation(numbers)]
    wait_for(gate)
    made = []
    for start in range(0, len(plans), 20):
        made += plan_simulations(store, SERVICE, plans[start : start + 20], run_id=run.id).new
    print(*(simulation.key for simulation in made), flush=True)


def claim(store: Store, gate: Path) -> None:
    run = begin_run(store, flow="daily", service=SERVICE)
    wait_for(gate)
    claimed = claim_abandoned(store, SERVICE, run_id=run.id, limit=30)
    print(*(simulation.id for simulation in claimed), flush=True)
    sys.stdin.read()


def intend(store: Store, gate: Path, first: str, last: str) -> None:
    run = begin_run(store, flow="daily", service=SERVICE)
    wait_for(gate)
    allowed = []
    for number in range(int(first), int(last)):
        intent = intend_submission(
            store, SERVICE, f"a{number}", date(2024, 3, 1), daily_limit=4, run_id=run.id
        )
        if intent.submission is not None:
            allowed.append(intent.submission.alpha_id)
    print(*allowed, flush=True)


def finish_forever(store: Store, gate: Path) -> None:
    """Print the number of each simulation once its end is committed."""
    run = begin_run(store, flow="daily", service=SERVICE)
    wait_for(gate)
    for number in itertools.count():
        (simulation,) = plan_simulations(
            store, SERVICE, [plan_of(run.id * 1_000_000 + number)], run_id=run.id
        ).new
        mark_sending(store, simulation.id)
        mark_sent(store, simulation.id, "/simulations/1")
        finish_simulation(
            store,
            simulation.id,
            "complete",
            alpha=AlphaRecord(f"a{simulation.id}", simulation.expression, {}, fitness=1.0),
            daily_pnl=DailyPnl(np.arange(N_DAYS).astype("datetime64[D]"), np.ones(N_DAYS)),
        )
        print(simulation.id, flush=True)


def hopeful(store: Store, gate: Path, name: str) -> None:
    """Add entries one by one, the file is beside the gate."""
    wait_for(gate)
    for number in range(25):
        entry = HopefulEntry(
            expression="close", timestamp=1, alpha_id=f"{name}{number}", fitness=1.0
        )
        merge_hopeful(gate.with_name("hopeful_alphas.json"), [entry])


def rest(store: Store, gate: Path) -> None:
    """Begin a run with unfinished work and stay until killed."""
    run = begin_run(store, flow="daily", service=SERVICE)
    plan_simulations(store, SERVICE, [plan_of(n) for n in range(60)], run_id=run.id)
    intend_submission(store, SERVICE, "a1", date(2024, 3, 1), daily_limit=4, run_id=run.id)
    print(run.id, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    what, url, gate, *rest_of_arguments = sys.argv[1:]
    with open_store(url, home=Path(gate).parent) as opened:
        {
            "plan": plan,
            "claim": claim,
            "intend": intend,
            "finish_forever": finish_forever,
            "hopeful": hopeful,
            "rest": rest,
        }[what](opened, Path(gate), *rest_of_arguments)
