"""Runs the supervisor for a while with a fault each minute, and prints what grows: `make soak`.

Fails (exit 1) where core and guardian grow by more than 5 MB an hour after a warm-up, where open
files grow, where a beat was missed without an event, or where something is left behind.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from alphafoundry.supervisor import linux
from alphafoundry.supervisor.control import running_pid
from flows.drill import TrialRun, trial_run

WARM_UP = 0.25
"""Share of the time before which nothing is compared."""

SETTLED = 90.0
"""Seconds after which a new core has what it needs."""

LEAST_WATCHED = 300.0
MOST_MB_AN_HOUR = 5.0
TURN_SECONDS = 5.0

PROCESSES = """
sample_seconds: 2
processes:
  - {name: steady, command: [sleep, '100000'], restart_delay: 0.5, max_restarts: 10000}
  - {name: beat, script: beat.py, requires_loop: true, loop_interval: 5, loop_from: start}
  - {name: crash, script: crash.py, restart_delay: 0.5, max_restarts: 10000}
  - {name: hung, script: hung.py, watchdog_seconds: 5, restart_delay: 1, max_restarts: 10000}
  - {name: leak, script: leak.py, restart_delay: 1, max_restarts: 10000,
     resource_limits: {memory_mb: 200}}
  - {name: loud, script: loud.py, requires_loop: true, loop_interval: 20}
  - {name: tree, script: tree.py, restart_delay: 0.5, max_restarts: 10000}
"""
SCRIPTS = {
    "beat": "print('beat')",
    "crash": "import time\ntime.sleep(20)\nraise ValueError('on purpose')\n",
    "hung": "import time\nfrom alphafoundry.supervisor import child\n"
    "child.ready()\nfor _ in range(20):\n    child.beat()\n    time.sleep(1)\n"
    "time.sleep(100000)\n",
    "leak": "import time\nkept = []\nwhile True:\n    kept.append(b'x' * 1_000_000)\n"
    "    time.sleep(0.1)\n",
    "loud": "for number in range(100_000):\n    print(number, 'x' * 60)\n",
    "tree": "import subprocess, time\nsubprocess.Popen(['setsid', 'sleep', '100000'])\n"
    "time.sleep(100000)\n",
}

Measured = tuple[float, float, int]
"""Moment, megabytes of guardian and core, and their open files."""


def _measure(run: TrialRun, begun: float) -> Measured:
    memory, files = 0.0, 0
    for pid in (running_pid(run.home) or 0, run.core()):
        found = linux.sample(pid)
        if found is not None:
            memory += found.rss / 2**20
            files += len(list(Path("/proc", str(pid), "fd").iterdir()))
    return time.monotonic() - begun, memory, files


def _kill(name: str) -> Callable[[TrialRun], str]:
    def fault(run: TrialRun) -> str:
        found = run.rows("SELECT pid FROM processes WHERE name = ?", name)
        if found and found[0]["pid"]:
            linux.kill(found[0]["pid"])
        return f"kill -9 of {name}"

    return fault


def _kill_core(run: TrialRun) -> str:
    linux.kill(run.core())
    return "kill -9 of the core"


def _stop_and_go(run: TrialRun) -> str:
    core = run.core()
    os.kill(core, signal.SIGSTOP)
    time.sleep(10)
    os.kill(core, signal.SIGCONT)
    return "the core held for 10 s"


FAULTS: tuple[Callable[[TrialRun], str], ...] = (_kill("steady"), _kill("tree"), _stop_and_go)
CORE_MINUTE = 2
"""The core is killed once and early, so that the new one can be watched for growth."""


@dataclass(frozen=True)
class Verdict:
    """What a soak has shown.

    Attributes
    ----------
    problems : what went wrong
    growth : what can be said of it; it says so where the time was too short to tell
    """

    problems: list[str]
    growth: str


def soak(run: TrialRun, minutes: float) -> Verdict:
    """Run it, print a line a minute, and return what it has shown."""
    run.write(PROCESSES, **SCRIPTS)
    child = run.start("--runtime", "0")
    run.becomes("steady", "running")
    begun = time.monotonic()
    measured: list[Measured] = []
    core_since = 0.0
    for number, fault in zip(itertools.count(1), itertools.cycle(FAULTS), strict=False):
        next_at = begun + 60 * number
        if next_at > begun + 60 * minutes:
            break
        while time.monotonic() < next_at:
            time.sleep(2)
            measured.append(_measure(run, begun))
        if number == CORE_MINUTE:
            told = _kill_core(run)
            core_since = time.monotonic() - begun
        else:
            told = fault(run)
        moment, memory, files = measured[-1]
        print(f"{moment / 60:5.1f} min  {memory:6.1f} MB  {files:3} files  {told}", flush=True)
    return _judge(run, measured, core_since, child.poll())


def _judge(
    run: TrialRun, measured: list[Measured], core_since: float, ended: int | None
) -> Verdict:
    last = measured[-1][0]
    kept = [one for one in measured if one[0] > max(core_since + SETTLED, WARM_UP * last)]
    problems = []
    if ended is not None:
        problems.append(f"the supervisor has ended: exit {ended}")
    if not kept or last - kept[0][0] < LEAST_WATCHED:
        watched = (last - kept[0][0]) / 60 if kept else 0.0
        growth = (
            f"growth is not judged: {watched:.1f} minutes to watch after the warm-up, "
            f"{LEAST_WATCHED / 60:.0f} are needed"
        )
    else:
        part = max(1, len(kept) // 4)
        first, final = kept[:part], kept[-part:]
        grown = min(one[1] for one in final) - min(one[1] for one in first)
        hours = (final[0][0] - first[0][0]) / 3600
        slope = grown / hours if hours else 0.0
        files = min(one[2] for one in final) - min(one[2] for one in first)
        growth = (
            f"memory of guardian and core {slope:+.1f} MB an hour ({MOST_MB_AN_HOUR:g} allowed), "
            f"files {files:+}, over {(last - kept[0][0]) / 60:.0f} minutes"
        )
        if slope > MOST_MB_AN_HOUR and grown > 1:
            problems.append(f"memory grows by {slope:.1f} MB an hour")
        if files > 0:
            problems.append(f"{files} more open files")
    beat = run.rows("SELECT * FROM processes WHERE name = 'beat'")[0]
    due = int(last / TURN_SECONDS)
    late = beat["turns"] + beat["skipped"]
    print(f"beats: {due} due, {beat['turns']} turns, {beat['skipped']} skipped and told")
    if late < due - 3:
        problems.append(f"{due - late} beats missed without an event")
    for row in run.rows(
        "SELECT process, cause, count(*) AS n FROM process_runs GROUP BY process, cause"
    ):
        print(f"  {row['process']:<8} {row['cause'] or 'lives':<16} {row['n']}")
    size = sum(path.stat().st_size for path in run.home.rglob("supervisor.db*"))
    print(f"supervisor.db {size / 2**20:.1f} MB")
    run.end()
    if run.left():
        problems.append(f"{len(run.left())} processes left behind")
    return Verdict(problems, growth)


def main() -> None:
    """Soak, and exit with 1 where something grew or was lost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak")
    parser.add_argument("--minutes", type=float, default=20.0)
    given = parser.parse_args()
    if not given.minutes >= 1:
        parser.error(f"--minutes {given.minutes:g}: must be at least 1")
    with trial_run() as run:
        found = soak(run, given.minutes)
    print(found.growth)
    for problem in found.problems:
        print(f"FAIL  {problem}")
    if not found.problems:
        print("nothing was lost")
    sys.exit(1 if found.problems else 0)


if __name__ == "__main__":
    main()
