"""Asking many language models at once, Prefect included, and the arena's calls per second.

A local OpenAI-compatible server in a process of its own takes 10 to 15 s times 1/10 for an
answer. `python -m flows.algorithms` runs against it on a Prefect server with this folder's
settings (SQLite), as a user would run it. Measured inside the flow, from before the first slot is
asked for until the last answer is checked and stored (slots are given back while the algorithms
are tried): 6 models one after another (cap 1), 6 models
at once, 60 models at cap 6, and 60 models with 30 % of the answers 429 or 503. The ideal is the
slowest answer, or the sum of all answers over the cap. The peak is what the server counted.

    python -m benchmarks.algorithms [--rounds 3] [--only six sixty faults arena]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from benchmarks.caps import free_port, running
from benchmarks.results_file import write_result

ROOT = Path(__file__).resolve().parent.parent
CAP = 6
PARTS = ("sequential", "six", "sixty", "faults", "arena")


class Bench:
    """A Prefect server and a folder for the flows of all measurements."""

    def __init__(self, folder: Path, api: str) -> None:
        self.folder = folder
        self.env = {
            **{name: value for name, value in os.environ.items() if "API_KEY" not in name},
            "PYTHONPATH": str(ROOT),
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_URL": api,
            "PREFECT_LOGGING_LEVEL": "WARNING",
            "FOUNDRY_HOME": str(folder / "foundry"),
            "FOUNDRY_ALGORITHMS__RACE_DAYS": "20",
        }

    def ask(self, models: int, *, cap: int = CAP, faults: float = 0.0) -> dict[str, Any]:
        """Run the flow once; return what it reported and what the server saw."""
        limits = (ROOT / "config" / "limits.yaml").read_text()
        changed = limits.replace("llm-request: 6", f"llm-request: {cap}")
        (self.folder / "config" / "limits.yaml").write_text(changed)
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        command = ["-m", "benchmarks.slow_chat_server", "--port", str(port)]
        command += ["--faults", str(faults)]
        names = ",".join(f"model-{number:02}" for number in range(models))
        flags = ["--base-url", f"{url}/v1", "--models", names, "--json", "report.json"]
        with running(command, f"{url}/seen", self.folder / "server.log", self.env):
            httpx.get(f"{url}/seen?forget")
            done = subprocess.run(
                [sys.executable, "-m", "flows.algorithms", "--market", "calibration", *flags],
                cwd=self.folder,
                env=self.env,
                capture_output=True,
                text=True,
                check=False,
            )
            seen = httpx.get(f"{url}/seen").json()
        if done.returncode:
            sys.exit(f"the flow failed:\n{done.stderr}")
        report = json.loads((self.folder / "report.json").read_text())
        answered = sum(one["status"] == "ready" for one in report["models"])
        return seen | {"seconds": report["asking_seconds"], "answered": answered}


def row(name: str, runs: list[dict[str, Any]], models: int, cap: int) -> dict[str, Any]:
    """Return the median run against the ideal."""
    run = sorted(runs, key=lambda one: one["seconds"])[len(runs) // 2]
    ideal = max(run["slowest"], run["work"] / cap)
    return {
        "measurement": name,
        "models": models,
        "cap": cap,
        "answered": min(one["answered"] for one in runs),
        "seconds": round(run["seconds"], 2),
        "ideal_seconds": round(ideal, 2),
        "ratio": round(run["seconds"] / ideal, 3),
        "worst_ratio": round(max(one["seconds"] for one in runs) / ideal, 3),
        "peak": max(one["peak"] for one in runs),
        "most_requests_of_one": max(max(one["sent"].values()) for one in runs),
        "answers_429_503": sum(
            one["statuses"].get("429", 0) + one["statuses"].get("503", 0) for one in runs
        ),
        "seconds_of_each_round": [round(one["seconds"], 2) for one in runs],
    }


def measure_arena() -> dict[str, Any]:
    """Race two template algorithms over the calibration market; return calls per second."""
    from alphafoundry.algorithms.arena import Entry, race
    from alphafoundry.algorithms.arena_settings import ArenaSettings
    from alphafoundry.algorithms.prompt_directives import directives_for
    from alphafoundry.algorithms.template_strategies import compose
    from alphafoundry.market import load_market

    panel = load_market("calibration", cache_dir=Path(".foundry/cache"))
    names = [f"model-{number:02}" for number in range(4)]
    entries = [Entry(name, compose(directives_for(name))) for name in names]
    began = time.monotonic()
    result = race(entries, panel, ArenaSettings(workers=2))
    seconds = time.monotonic() - began
    raced = [one for one in result.rows if one.calls and one.name in names]
    each = [1 / one.seconds_per_call for one in raced]
    return {
        "measurement": "arena, calls per second and algorithm",
        "algorithms": len(raced),
        "calls": sum(one.calls for one in raced),
        "seconds": round(seconds, 2),
        "slowest": round(min(each)),
        "median": round(statistics.median(each)),
        "fastest": round(max(each)),
    }


def measure(parts: list[str], rounds: int, folder: Path) -> list[dict[str, Any]]:
    """Return a row per measurement."""
    rows = []
    asking = [part for part in parts if part != "arena"]
    if asking:
        shutil.copytree(ROOT / "config", folder / "config")
        shutil.copy(ROOT / "prefect.toml", folder)
        (folder / "prefect").mkdir()
        port = free_port()
        api = f"http://127.0.0.1:{port}/api"
        bench = Bench(folder, api)
        server = ["-m", "tasks.prefect.server", "--port", str(port)]
        with running(server, f"{api}/health", folder / "prefect.log", bench.env):
            for part in asking:
                models = 6 if part in ("sequential", "six") else 60
                cap = 1 if part == "sequential" else CAP
                faults = 0.3 if part == "faults" else 0.0
                times = rounds if part == "six" else 1
                runs = [bench.ask(models, cap=cap, faults=faults) for _ in range(times)]
                rows.append(row(part, runs, models, cap))
                print(rows[-1], flush=True)
    if "arena" in parts:
        rows.append(measure_arena())
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure, print, and write the result of a whole run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.algorithms", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of six models (default: 5)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(given.only, given.rounds, Path(folder))
    by_name = {one["measurement"]: one for one in rows}
    if {"sequential", "six"} <= by_name.keys():
        faster = by_name["sequential"]["seconds"] / by_name["six"]["seconds"]
        print(f"6 models at once: {faster:.1f} times as fast as one after another")
    if set(given.only) == set(PARTS):
        path = write_result("algorithms", rows, ["prefect", "httpx", "sqlalchemy", "numpy"])
        print(f"written to {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
