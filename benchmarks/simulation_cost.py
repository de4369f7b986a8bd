"""What a simulation costs on its way through the pipeline, beside `simulate()` alone.

The daily flow runs in this process on the calibration market, with a Prefect server of its own;
then `simulate()` goes through the alphas that it has simulated, one after another, on the same
days. Both are measured in processor time, the server's included, and in turn, so that what else
the machine does at that moment weighs on both. The ratio is that of a round, and its median is
told.

- `pipeline`: a whole run over its simulations: inventing, mining, storing, judging, the report
- `each`: what one more simulation costs, from the difference between a long and a short run
- `simulate`: `simulate(expression, market, settings)`
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import sqlite3
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

FEW = 10
"""Simulations of the run that the costs of any run are taken from."""

QUIET_SECONDS = 1.0
QUIET_SHARE = 0.05
"""A server that needs less of a processor than this for so long has done its work."""


def measure(home: Path, cache: Path, server: int, *, count: int, rounds: int) -> dict[str, Any]:
    """Return medians in milliseconds of processor time, and their ratios.

    Parameters
    ----------
    home : folder of the store; the working folder and the environment are set for the flow
    cache : folder with the calibration market
    server : process id of the Prefect server that the environment names
    count : simulations of a round, more than `FEW`
    """
    from alphafoundry.market import load_market
    from alphafoundry.research.seal import Seal, seal_of
    from alphafoundry.settings import load_settings
    from alphafoundry.simulation import SimulationSettings, simulate
    from alphafoundry.store import open_store

    panel = load_market("calibration", cache_dir=cache)
    _run(1, seed=1000, server=server)
    with open_store(home=home) as store:
        seal = seal_of(panel, load_settings().holdout, store)
    searched = seal.searched() if isinstance(seal, Seal) else panel
    found: list[dict[str, float]] = []
    for number in range(rounds):
        short, _ = _run(FEW, seed=2000 + number, server=server)
        before = len(_simulated(home))
        long, wall = _run(count, seed=number, server=server)
        alphas = _simulated(home)[before:]
        given = [(text, SimulationSettings(**json.loads(kept))) for text, kept in alphas]
        simulate(given[0][0], searched, given[0][1])
        with _processor_seconds() as alone:
            for text, settings in given:
                simulate(text, searched, settings)
        found.append(
            {
                "pipeline": long / count,
                "each": (long - short) / (count - FEW),
                "simulate": alone[0] / len(given),
                "wall": wall / count,
            }
        )
    return {
        "what": "a simulation",
        **{
            f"{name}_ms": round(1000 * statistics.median(one[name] for one in found), 1)
            for name in ("pipeline", "each", "simulate", "wall")
        },
        "ratio": round(statistics.median(one["pipeline"] / one["simulate"] for one in found), 2),
        "ratio_each": round(statistics.median(one["each"] / one["simulate"] for one in found), 2),
    }


@contextlib.contextmanager
def _processor_seconds() -> Iterator[list[float]]:
    """Give a list that has what this process used in the block as its only item, at the end."""
    used: list[float] = []
    begun = time.process_time()
    yield used
    used.append(time.process_time() - begun)


def _run(simulations: int, *, seed: int, server: int) -> tuple[float, float]:
    """Run the daily flow; return seconds of processor time of it and of the server, and of wall."""
    from flows.daily import daily

    process = psutil.Process(server)
    of_server = _quiet(process)
    begun = time.perf_counter()
    with _processor_seconds() as used, contextlib.redirect_stdout(io.StringIO()):
        asyncio.run(daily(simulations=simulations, seed=seed))
        wall = time.perf_counter() - begun
        late = _quiet(process)
    return used[0] + late - of_server, wall


def _quiet(process: psutil.Process) -> float:
    """Return the processor seconds of the server once it has done its work."""
    before = -1.0
    while True:
        times = process.cpu_times()
        used = float(times.user + times.system)
        if used - before < QUIET_SHARE * QUIET_SECONDS:
            return used
        before = used
        time.sleep(QUIET_SECONDS)


def _simulated(home: Path) -> list[tuple[str, str]]:
    with contextlib.closing(sqlite3.connect(home / "foundry.sqlite")) as database:
        return database.execute(
            "SELECT expression, settings FROM simulations WHERE alpha_id IS NOT NULL ORDER BY id"
        ).fetchall()


def in_folder(path: Path, environment: dict[str, str]) -> None:
    """Make a folder the working folder, and the environment that of this process."""
    os.chdir(path)
    os.environ.clear()
    os.environ.update(environment)
