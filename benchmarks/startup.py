"""Where the seconds of a command go: its start, its end, and what a simulation costs on its way.

Three ways to have a Prefect server: a temporary one, one that runs, and a temporary one whose
database is new. Each runs `python -m flows.daily` on the calibration market several times, in turn;
the numbers are medians. The market, the compiled kernels and the copy of a ready database are made
before the first round, as they are on a machine where a run was made before.

The steps, in seconds since the step before:

- `python`: until Python begins to import Prefect; the temporary server begins to import by then
- `imports`: Prefect, the flow and what it needs
- `checks`: arguments, settings, and whatever is found wrong before a server is needed
- `server`: waiting for the server to answer
- `opening`: until the first task starts: caps, data, the store
- `work`: from the start of the first task to the end of the last one
- `end`: report, the last events and lines of the log, the end of the server and of the process

`overhead` is all but `work`.

`cpu` is processor time of the command and of its server, which depends less on what else runs.

What a simulation costs beside `simulate()`: see `benchmarks.simulation_cost`.

    python -m benchmarks.startup [--rounds 3] [--simulations 120]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.caps import free_port, running
from benchmarks.results_file import write_result

ROOT = Path(__file__).resolve().parent.parent
FEW = 4
"""Simulations of the runs whose start and end are measured."""

ORDER = ["python", "imports", "checks", "server", "opening", "work", "end"]
SHOWN = [*ORDER, "overhead", "total", "cpu"]
AFTER = {"own imports": "imports", "checked": "checks", "server answers": "server"}


class Folder:
    """A working folder with its own homes, on the market and the settings of all others."""

    def __init__(self, path: Path, cache: Path) -> None:
        self.path = path
        shutil.copytree(ROOT / "config", path / "config")
        shutil.copy(ROOT / "prefect.toml", path)
        (path / ".foundry/prefect").mkdir(parents=True)
        (path / ".foundry/cache").symlink_to(cache)

    @property
    def prefect(self) -> Path:
        return self.path / ".foundry/prefect"

    @property
    def store(self) -> Path:
        return self.path / ".foundry/foundry.sqlite"

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment without what would configure Prefect or Alpha Foundry."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PREFECT_", "FOUNDRY_")) and name != "PYTHONDONTWRITEBYTECODE"
        }
        recorder = ROOT / "benchmarks/step_recorder"
        return kept | {"PYTHONPATH": f"{recorder}{os.pathsep}{ROOT}"} | more

    def run(self, simulations: int, seed: int, **env: str) -> dict[str, float]:
        """Run the daily flow; return seconds of each step, and of all together."""
        recorded = self.path / f"steps-{seed}.txt"
        command = [sys.executable, "-m", "flows.daily", "--simulations", str(simulations)]
        log = self.path / "messages.txt"
        used = _processor_seconds()
        begun = time.time()
        with log.open("wb") as messages:
            done = subprocess.run(
                [*command, "--seed", str(seed)],
                cwd=self.path,
                env=self.environment(STARTUP_STEPS=str(recorded), **env),
                stdin=subprocess.DEVNULL,
                stdout=messages,
                stderr=messages,
                check=False,
            )
        ended = time.time()
        if done.returncode:
            sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{log.read_text()}")
        first, last = self._tasks(begun)
        steps = _steps(recorded, begun, first)
        steps |= {"work": last - first, "end": ended - last}
        return steps | {
            "overhead": ended - begun - steps["work"],
            "total": ended - begun,
            "cpu": _processor_seconds() - used,
        }

    def _tasks(self, since: float) -> tuple[float, float]:
        """Return when the first task of a run started and when its last one ended."""
        with contextlib.closing(sqlite3.connect(self.prefect / "prefect.db")) as database:
            rows = database.execute("SELECT start_time, end_time FROM task_run").fetchall()
        starts = [start for start in map(_seconds, (row[0] for row in rows)) if start > since]
        ends = [end for end in map(_seconds, (row[1] for row in rows)) if end > since]
        return min(starts), max(ends)


def _processor_seconds() -> float:
    """Return what the children of this process that have ended, and theirs, have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _seconds(text: str | None) -> float:
    return 0.0 if text is None else datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def _steps(recorded: Path, begun: float, first_task: float) -> dict[str, float]:
    """Return the length of each step before the first task."""
    steps: dict[str, float] = {}
    before = begun
    for line in recorded.read_text().splitlines():
        moment, _, name = line.partition(" ")
        step = "python" if name == "python" else AFTER.get(name)
        if step is not None and float(moment) < first_task:
            steps[step] = float(moment) - before
            before = float(moment)
    steps["opening"] = first_task - before
    return steps


@contextlib.contextmanager
def own_server(folder: Folder) -> Iterator[str]:
    """Run the server behind `make server` for a folder; give the address of its API."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    command = ["-m", "tasks.prefect.server", "--port", str(port)]
    env = folder.environment(PREFECT_HOME=str(folder.prefect))
    with running(command, f"{url}/health", folder.path / "server.log", env):
        yield url


def start_and_end(path: Path, cache: Path, rounds: int) -> list[dict[str, Any]]:
    """Return a row per way to have a server, medians of the rounds."""
    temporary, served = Folder(path / "temporary", cache), Folder(path / "served", cache)
    found: dict[str, list[dict[str, float]]] = {
        "temporary server": [],
        "running server": [],
        "new database": [],
    }
    with own_server(served) as url:
        temporary.run(FEW, 100)
        served.run(FEW, 100, PREFECT_API_URL=url)
        for number in range(rounds):
            fresh = Folder(path / f"new-{number}", cache)
            found["temporary server"].append(temporary.run(FEW, number))
            found["running server"].append(served.run(FEW, number, PREFECT_API_URL=url))
            found["new database"].append(fresh.run(FEW, number))
    return [
        {"what": what}
        | {
            step: round(statistics.median(one.get(step, 0.0) for one in several), 2)
            for step in SHOWN
        }
        for what, several in found.items()
    ]


def simulation_cost(path: Path, cache: Path, count: int, rounds: int) -> dict[str, Any]:
    """Return what a simulation of the pipeline costs beside `simulate()`.

    In a process of its own, which imports Prefect with the settings of a folder of its own.
    """
    folder = Folder(path / "pipeline", cache)
    with own_server(folder) as url:
        env = folder.environment(PREFECT_HOME=str(folder.prefect), PREFECT_API_URL=url)
        command = ["-m", "benchmarks.simulation_cost", str(cache)]
        done = subprocess.run(
            [sys.executable, *command, "--simulations", str(count), "--rounds", str(rounds)],
            cwd=folder.path,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            check=False,
        )
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}")
    cost: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return cost


def main() -> None:
    """Measure, print tables, and write the result."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.startup",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    parser.add_argument(
        "--simulations",
        type=int,
        default=120,
        help="of a run whose cost is measured (default: 120)",
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path, cache = Path(folder), Path(folder, "cache")
        cache.mkdir()
        rows = start_and_end(path, cache, given.rounds)
        print(f"{'seconds':<18}", *(f"{name:>9}" for name in SHOWN))
        for row in rows:
            print(f"{row['what']:<18}", *(f"{row[name]:>9.2f}" for name in SHOWN), flush=True)
        cost = simulation_cost(path, cache, given.simulations, given.rounds)
    print(
        f"\nprocessor time of a simulation, simulate() alone: {cost['simulate_ms']} ms\n"
        f"one more in the pipeline: {cost['each_ms']} ms, {cost['ratio_each']} x\n"
        f"a whole run of {given.simulations}, by each: {cost['pipeline_ms']} ms, {cost['ratio']} x"
    )
    written = write_result(
        "startup", [*rows, cost], ["prefect", "sqlalchemy", "fastapi", "numpy", "numba"]
    )
    print(f"written to {written.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
