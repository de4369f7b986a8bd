"""What a simulation costs on its way through the pipeline, beside `simulate()` alone.

The daily flow runs in this process on the calibration market as its command runs it, with a Prefect
server of its own;
then `simulate()` goes through the alphas that it has simulated, one after another, on the same
days. Both are measured in processor time, the server's included, and in turn, so that what else
the machine does at that moment weighs on both. The ratio is that of a round, and its median is
told.

- `pipeline`: a whole run over its simulations: inventing, mining, storing, judging, the report
- `each`: what one more simulation costs, from the difference between a long and a short run
- `simulate`: `simulate(expression, market, settings)`

`make bench-startup` runs this in a folder of its own and gives it the address of a server:

    python -m benchmarks.simulation_cost CACHE [--simulations 120] [--rounds 3]
"""

from __future__ import annotations

import argparse
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
from urllib.parse import urlsplit

import psutil

FEW = 10
"""Simulations of the run that the costs of any run are taken from."""

QUIET_SECONDS = 1.0
QUIET_SHARE = 0.05
"""A server that needs less of a processor than this for so long has done its work."""


def measure(home: Path, cache: Path, *, count: int, rounds: int) -> dict[str, Any]:
    """Return medians in milliseconds of processor time, and their ratios.

    Parameters
    ----------
    home : folder of the store
    cache : folder with the calibration market
    count : simulations of a round, more than `FEW`
    """
    from alphafoundry.market import load_market
    from alphafoundry.research.seal import Seal, seal_of
    from alphafoundry.settings import load_settings
    from alphafoundry.simulation import SimulationSettings, simulate
    from alphafoundry.store import open_store

    server = _server()
    panel = load_market("calibration", cache_dir=cache)
    _run(server, 1, seed=1000)
    with open_store(home=home) as store:
        seal = seal_of(panel, load_settings().holdout, store)
    searched = seal.searched() if isinstance(seal, Seal) else panel
    found: list[dict[str, float]] = []
    for number in range(rounds):
        short, _ = _run(server, FEW, seed=2000 + number)
        before = len(_simulated(home))
        long, wall = _run(server, count, seed=number)
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


def _run(server: psutil.Process, simulations: int, *, seed: int) -> tuple[float, float]:
    """Run the daily flow; return seconds of processor time of it and of the server, and of wall."""
    from flows.daily import daily

    of_server = _quiet(server)
    begun = time.perf_counter()
    with _processor_seconds() as used, contextlib.redirect_stdout(io.StringIO()):
        asyncio.run(daily(simulations=simulations, seed=seed))
        wall = time.perf_counter() - begun
        # Prefect's threads go on sending events and log lines.
        late = _quiet(server)
    return used[0] + late - of_server, wall


def _server() -> psutil.Process:
    """Return the process that listens on the port of PREFECT_API_URL."""
    port = urlsplit(os.environ["PREFECT_API_URL"]).port
    listening = (
        one.pid
        for one in psutil.net_connections("tcp")
        if one.status == psutil.CONN_LISTEN and one.laddr.port == port
    )
    return psutil.Process(next(pid for pid in listening if pid is not None))


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


def main() -> None:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.simulation_cost",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("cache", type=Path, help="folder with the calibration market")
    parser.add_argument("--simulations", type=int, default=120, help="default: 120")
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    given = parser.parse_args()
    from tasks.prefect.server import prefect_server

    home = Path(os.environ.get("FOUNDRY_HOME") or ".foundry")
    # With the settings that every command takes for a server on this machine.
    with prefect_server(temporary=False):
        cost = measure(home, given.cache, count=given.simulations, rounds=given.rounds)
    print(json.dumps(cost))


if __name__ == "__main__":
    main()
