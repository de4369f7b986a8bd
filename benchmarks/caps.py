"""The simulation cap over two processes: is it true, and what does it cost?

A local BRAIN server on a port, whose simulations take 1 or 2 s each (a client is asked to look
again every 0.05 s), and one Prefect server on SQLite with this folder's settings. Two
`python -m flows.generate` start at the same moment. The BRAIN server counts what it saw: the peak
of running simulations, answers with 429, and the time from the first simulation's start to the
last one's end, against the ideal (work / cap).

    python -m benchmarks.caps [--simulations 60] [--seconds 1 2]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

from benchmarks.results_file import write_result

ROOT = Path(__file__).resolve().parent.parent
CAP = 3
PROCESSES = 2


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str], ready: str, log: Path, env: dict[str, str]) -> Iterator[None]:
    """Run a server for the length of the block; wait until `ready` answers."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command], stdout=output, stderr=output, env=env, cwd=ROOT
        )
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if process.poll() is not None:
                sys.exit(f"{' '.join(command)} ended:\n{log.read_text()}")
            with contextlib.suppress(httpx.HTTPError):
                httpx.get(ready, timeout=2)
                break
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


def measure(simulations: int, seconds: float, folder: Path) -> dict[str, object]:
    """Run two generators of `simulations` each and return what the BRAIN server saw."""
    prefect_port, brain_port = free_port(), free_port()
    api = f"http://127.0.0.1:{prefect_port}/api"
    brain = f"http://127.0.0.1:{brain_port}"
    env = {
        **os.environ,
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": api,
        "FOUNDRY_HOME": str(folder / "foundry"),
    }
    (folder / "prefect").mkdir()
    server = ["-m", "tasks.prefect.server", "--port"]
    simulator = ["-m", "alphafoundry.brain.server", "--port", str(brain_port)]
    simulator += ["--simulation-seconds", str(seconds), "--max-concurrent", str(CAP)]
    simulator += ["--poll-seconds", "0.05"]
    simulator += ["--state", str(folder / "brain.sqlite")]
    with (
        running([*server, str(prefect_port)], f"{api}/health", folder / "prefect.log", env),
        running(simulator, f"{brain}/foundry/metrics", folder / "brain.log", env),
    ):
        generator = ["-m", "flows.generate", "--brain", brain, "--simulations", str(simulations)]
        flows = [
            subprocess.Popen(
                [sys.executable, *generator, "--seed", str(seed)],
                env=env,
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
            )
            for seed in range(PROCESSES)
        ]
        codes = [flow.wait(timeout=1800) for flow in flows]
        if any(codes):
            sys.exit(f"a generator failed: exit codes {codes}")
        metrics = httpx.get(f"{brain}/foundry/metrics").json()
    ideal = metrics["busy_seconds"] / CAP
    return {
        "processes": PROCESSES,
        "simulations": metrics["simulations"],
        "seconds_each": seconds,
        "cap": CAP,
        "peak_running": metrics["peak_running"],
        "answered_429": metrics["answered_429"],
        "seconds": round(metrics["span_seconds"], 2),
        "ideal_seconds": round(ideal, 2),
        "ratio": round(metrics["span_seconds"] / ideal, 3),
    }


def main() -> None:
    """Measure, print a table, and write the result."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.caps", description=__doc__)
    parser.add_argument("--simulations", type=int, default=60, help="per process (default: 60)")
    parser.add_argument(
        "--seconds",
        type=float,
        nargs="+",
        default=[1.0, 2.0],
        help="per simulation, one measurement each (default: 1 2)",
    )
    arguments = parser.parse_args()
    rows = []
    for seconds in arguments.seconds:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(arguments.simulations, seconds, Path(folder)))
    for name in rows[0]:
        print(f"{name:>14}", *(f"{row[name]!s:>8}" for row in rows))
    path = write_result("caps", rows, ["prefect", "sqlalchemy", "fastapi"])
    print(f"written to {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
