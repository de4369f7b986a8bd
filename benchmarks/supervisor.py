"""What the supervisor leaves behind, how fast it restarts, what it costs: `make bench-supervisor`.

Prints a table and writes `benchmarks/results/supervisor.json`. supervisord and circus do the same
work in the same run; times depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

from alphafoundry.supervisor import linux
from alphafoundry.supervisor.control import folder_of, running_pid
from benchmarks import supervisor_rivals as rivals
from benchmarks.results_file import write_result
from flows.drill import TREE, TrialRun, trial_run

LINES = 2_000_000
"""Of 50 bytes: 100 MB."""


LOUD = f"""
import sys, time
from pathlib import Path
begun = time.monotonic()
for start in range(0, {LINES}, 1000):
    lines = ('%09d %s\\n' % (n, 'x' * 39) for n in range(start, start + 1000))
    sys.stdout.write(''.join(lines))
sys.stdout.flush()
Path("took.txt").write_text(str(time.monotonic() - begun))
"""


@dataclass(frozen=True)
class Row:
    """One measurement."""

    what: str
    here: str
    value: float


def survivors_of_a_stop(run: TrialRun) -> Row:
    _start_tree(run)
    run.end()
    left = len(run.left())
    return Row("survivors of a tree of three, clean stop", str(left), left)


def survivors_of_kill_9(run: TrialRun) -> Row:
    _start_tree(run)
    assert run.child is not None
    run.child.kill()
    run.child.wait()
    took = run.until(lambda: not run.left(), "end of all")
    return Row("kill -9 of the main process", f"0 after {took:.2f} s", took)


def _start_tree(run: TrialRun) -> None:
    run.write("processes: [{name: tree, script: tree.py}]", tree=TREE)
    run.start()
    run.becomes("tree", "running")


def restart_after_a_crash(run: TrialRun) -> Row:
    """Kill a child 20 times; the gap is from its end to the start of the next, by the kernel."""
    run.write(
        "processes: [{name: sleeper, command: [sleep, '100000'], restart_delay: 0, "
        "max_restarts: 100}]"
    )
    run.start()
    run.becomes("sleeper", "running")
    gaps = []
    for _ in range(20):
        pid = _pid(run) or 0
        time.sleep(0.5)
        killed = time.clock_gettime(time.CLOCK_BOOTTIME)
        linux.kill(pid)
        run.until(lambda before=pid: _pid(run) not in (before, None), "restart")  # type: ignore[misc]
        found = linux.sample(_pid(run) or 0)
        assert found is not None
        # The kernel counts whole ticks of 10 ms; the later end of one is taken.
        gaps.append((found.started + 1) / linux.TICKS - killed)
    median = statistics.median(gaps)
    told = f"median {median:.2f} s, worst {max(gaps):.2f} s"
    return Row("restart after kill -9, delay 0", told, median)


def _pid(run: TrialRun) -> int | None:
    pid: int | None = run.rows("SELECT pid FROM processes")[0]["pid"]
    return pid


def output_of_100_mb(run: TrialRun) -> Row:
    """The files keep the last 50 MB; what came before is counted by its bytes.

    Beside the time that the program was held up: the processor seconds of guardian, core and
    matcher since their start, which a busy machine does not change much.
    """
    patterns = "[{match: never}, {match: no}]"
    run.write(
        f"processes: [{{name: loud, script: loud.py, error_patterns: {patterns}}}]",
        loud=LOUD,
    )
    run.start()
    run.becomes("loud", "finished")
    cpu = _processor_of_all(run)
    life = run.rows("SELECT * FROM process_runs")[0]
    run.end()
    logs = sorted((folder_of(run.home) / "logs").glob("loud.log*"), reverse=True)
    numbers = [int(line[:9]) for path in logs for line in path.read_bytes().splitlines()]
    whole = numbers == list(range(LINES - len(numbers), LINES))
    lost = LINES * 50 - life["output_bytes"]
    seconds = float((run.folder / "took.txt").read_text())
    told = f"{seconds:.1f} s, {cpu:.1f} s of processor, {lost} bytes lost, files whole: {whole}"
    return Row("100 MB of output, here with three patterns", told, seconds)


def _processor_of_all(run: TrialRun) -> float:
    core = run.core()
    own = [running_pid(run.home) or 0, core, *linux.children_of(linux.sample_all()).get(core, ())]
    return sum(found.cpu for pid in own if (found := linux.sample(pid)) is not None)


def _start_100(run: TrialRun) -> None:
    lines = (f"  - {{name: s{n}, command: [sleep, '100000']}}\n" for n in range(100))
    run.write("processes:\n" + "".join(lines))
    run.start()
    text = "SELECT count(*) AS n FROM processes WHERE state = 'running'"
    run.until(lambda: (run.rows(text) or [{"n": 0}])[0]["n"] == 100, "100 running")


def idle_children(run: TrialRun) -> Row:
    """100 sleeping children, each sampled every 5 s, for half a minute."""
    _start_100(run)
    time.sleep(6)
    own = [running_pid(run.home) or 0, run.core()]
    before = [linux.sample(pid) for pid in own]
    begun = time.monotonic()
    time.sleep(30)
    after = [linux.sample(pid) for pid in own]
    spent = sum(b.cpu - a.cpu for a, b in zip(before, after, strict=True) if a and b)
    share = 100 * spent / (time.monotonic() - begun)
    memory = sum(one.rss for one in after if one) / 2**20
    told = f"{share:.2f} % of a core, {memory:.0f} MB"
    return Row("100 idle children", told, share)


def stop_of_100(run: TrialRun) -> Row:
    _start_100(run)
    begun = time.monotonic()
    run.end()
    took = time.monotonic() - begun
    return Row("stop of 100", f"{took:.1f} s", took)


MEASUREMENTS: tuple[
    tuple[Callable[[TrialRun], Row], Callable[[rivals.RivalRun], rivals.Told]], ...
] = (
    (survivors_of_a_stop, partial(rivals.survivors_of_a_stop, tree=TREE)),
    (survivors_of_kill_9, partial(rivals.survivors_of_kill_9, tree=TREE)),
    (restart_after_a_crash, rivals.restart_after_a_crash),
    (output_of_100_mb, partial(rivals.output_of_100_mb, loud=LOUD, size=50 * LINES)),
    (idle_children, rivals.idle_children),
    (stop_of_100, rivals.stop_of_100),
)


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.supervisor")
    parser.add_argument("--quick", action="store_true", help="leave out the long ones")
    quick = parser.parse_args().quick
    rows: list[dict[str, object]] = []
    for measure, rival_measure in MEASUREMENTS[:3] if quick else MEASUREMENTS:
        with trial_run() as run:
            row = measure(run)
        print(f"{row.what}\n  {'here':<12} {row.here}", flush=True)
        found: dict[str, object] = asdict(row) | {"value": round(row.value, 3)}
        for rival in rivals.RIVALS:
            with rivals.rival_run(rival) as other:
                told, value = rival_measure(other)
            print(f"  {rival.name:<12} {told}", flush=True)
            found |= {rival.name: told, f"{rival.name}_value": round(value, 3)}
        rows.append(found)
    if not quick:
        write_result(
            "supervisor",
            rows,
            ["psutil", "pydantic", *(one.name for one in rivals.RIVALS)],
        )


if __name__ == "__main__":
    main()
