"""How far the alpha engine is from the machine's limits: bandwidth, cores, memory, start.

Called by `benchmarks.engine`; each function returns rows for its JSON file.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from alphafoundry.expressions import Evaluator, parse
from alphafoundry.expressions.threads import at_most, share
from alphafoundry.market import Panel, load_market
from alphafoundry.simulation import SimulationSettings, simulate
from alphafoundry.simulation.evaluators import EvaluatorCache
from benchmarks.engines.formulas import OURS
from benchmarks.seeded_panel import SeededPanel, seeded_panel

Row = dict[str, Any]

KERNELS: dict[str, tuple[str, int]] = {
    "add": ("open + close", 2),
    "chain of five": ("((open + high) * (low - close)) / (vwap + 1.5)", 5),
    "condition": ("open < close ? high : low", 4),
    "ts_delay": ("ts_delay(close, 5)", 1),
    "ts_delta": ("ts_delta(close, 5)", 1),
    "ts_sum": ("ts_sum(close, 20)", 1),
    "ts_mean 250": ("ts_mean(close, 250)", 1),
    "ts_max": ("ts_max(close, 20)", 1),
    "ts_std_dev": ("ts_std_dev(close, 20)", 1),
    "ts_corr": ("ts_corr(close, volume, 10)", 2),
    "ts_covariance": ("ts_covariance(close, volume, 10)", 2),
    "ts_decay_linear": ("ts_decay_linear(close, 60)", 1),
    "ts_arg_max": ("ts_arg_max(close, 10)", 1),
    "ts_rank 10": ("ts_rank(close, 10)", 1),
    "ts_rank 60": ("ts_rank(close, 60)", 1),
    "ts_rank 250": ("ts_rank(close, 250)", 1),
    "ts_regression": ("ts_regression(close, volume, 20)", 2),
    "rank": ("rank(close)", 1),
    "zscore": ("zscore(close)", 1),
    "scale": ("scale(close)", 1),
    "group_neutralize": ("group_neutralize(close, sector)", 1),
    "group_rank": ("group_rank(close, sector)", 1),
}
"""Expressions with one operator, or one chain, and how many arrays they read."""


def median_ms(run: Callable[[], Any], rounds: int) -> float:
    """Return the median milliseconds of a call, the first one left out."""
    run()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def bandwidth(panel: Panel | SeededPanel, rounds: int) -> list[Row]:
    """Return what each kernel moves per second, next to a copy of the same arrays; 2 threads."""
    size = panel.fields["close"].nbytes
    source = np.array(panel.fields["close"])
    target = np.empty_like(source)

    def copy() -> None:
        share(
            lambda first, last: np.copyto(target[first:last], source[first:last]), len(source), 64
        )

    copied = 2 * size / median_ms(copy, rounds) / 1e6
    rows: list[Row] = [{"kernel": "copy", "gb_per_s": round(copied, 1), "of_copy": 1.0}]
    evaluator = Evaluator(panel.fields, panel.groups, cache_bytes=0)
    for name, (text, read) in KERNELS.items():
        expression = parse(text)
        ms = median_ms(lambda expression=expression: evaluator.evaluate(expression), rounds)
        moved = (read + 1) * size / ms / 1e6
        rows.append(
            {
                "kernel": name,
                "ms": round(ms, 2),
                "gb_per_s": round(moved, 1),
                "of_copy": round(moved / copied, 2),
            }
        )
    return rows


def simulation_share(panel: Panel, rounds: int) -> Row:
    """Return what weights, PnL, statistics and checks cost on top of evaluating the 20 alphas."""
    shared = EvaluatorCache(panel, cache_bytes=0)
    settings = SimulationSettings()
    engine = shared.evaluator(settings.universe, pasteurize=True, nan_handling=False)
    evaluation, whole = 0.0, 0.0
    for text in OURS.values():
        expression = parse(text)
        evaluation += median_ms(lambda e=expression: engine.evaluate(e), rounds)
        whole += median_ms(
            lambda e=expression: simulate(
                e, panel, settings, evaluator=shared, keep_positions=False
            ),
            rounds,
        )
    return {
        "what": "simulation of the 20 alphas",
        "evaluation_ms": round(evaluation, 1),
        "whole_ms": round(whole, 1),
        "simulation_over_evaluation": round((whole - evaluation) / evaluation, 3),
    }


def _evaluate_all(panel: Panel | SeededPanel, texts: Iterable[str], threads: int) -> None:
    evaluator = Evaluator(panel.fields, panel.groups, threads=threads, cache_bytes=2**30)
    for _ in evaluator.evaluate_many(texts):
        pass


def _process(market: str, cache: str, texts: list[str], ready: Any, done: Any) -> None:
    panel = load_market(market, cache_dir=Path(cache))
    with at_most(1):
        _evaluate_all(panel, texts[:2], 1)
        ready.wait()
        _evaluate_all(panel, texts, 1)
        done.wait()


def scaling(panel: Panel, market: str, cache: Path, texts: list[str]) -> list[Row]:
    """Return the seconds of one batch on 1 thread, 2 threads, 2 evaluators and 2 processes."""
    rows = []
    for name, threads in (("1 thread", 1), ("2 threads", 2)):
        start = time.perf_counter()
        _evaluate_all(panel, texts, threads)
        rows.append({"batch on": name, "seconds": round(time.perf_counter() - start, 2)})
    halves = [texts[0::2], texts[1::2]]
    with ThreadPoolExecutor(2) as pool:
        start = time.perf_counter()
        list(pool.map(lambda half: _evaluate_all(panel, half, 1), halves))
        seconds = time.perf_counter() - start
    rows.append({"batch on": "2 evaluators, 1 thread each", "seconds": round(seconds, 2)})
    context = multiprocessing.get_context("spawn")
    ready, done = context.Barrier(3), context.Barrier(3)
    workers = [
        context.Process(target=_process, args=(market, str(cache), half, ready, done))
        for half in halves
    ]
    for worker in workers:
        worker.start()
    ready.wait()
    start = time.perf_counter()
    done.wait()
    rows.append({"batch on": "2 processes", "seconds": round(time.perf_counter() - start, 2)})
    for worker in workers:
        worker.join()
    for row in rows:
        row["expressions"] = len(texts)
        row["speedup"] = round(rows[0]["seconds"] / row["seconds"], 2)
    return rows


def memory(days: int, names: int, precision: str) -> Row:
    """Return the peak memory of a process that evaluates the 20 alphas on a seeded panel."""
    command = [sys.executable, "-m", "benchmarks.engine_limits"]
    answer = subprocess.run(
        [*command, str(days), str(names), precision], check=True, capture_output=True, text=True
    )
    before, peak = (float(part) for part in answer.stdout.split())
    return {
        "panel": f"{days} x {names}",
        "precision": precision,
        "panel_gib": round(before, 2),
        "peak_gib": round(peak, 2),
    }


def start_up() -> list[Row]:
    """Return the seconds of the first compilation, of a later start, and of importing the flow."""
    warm = "from alphafoundry.expressions import warm_up; warm_up()"
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "NUMBA_CACHE_DIR": folder}
        for name, code in (
            ("first use: compile every kernel", warm),
            ("later: load every kernel", warm),
            ("import flows.daily", "import flows.daily"),
        ):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True, env=environment)
            rows.append({"start": name, "seconds": round(time.perf_counter() - start, 2)})
    return rows


def _peak_gib() -> float:
    """Return this process's peak so far; unlike getrusage, without its parent's before it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 2**20
    raise OSError("the peak memory is read from /proc/self/status, which only Linux has")


def _measure_memory(days: int, names: int, precision: str) -> None:
    panel = seeded_panel(days, names)
    if precision == "float32":
        for name in panel.fields:
            panel.fields[name] = panel.fields[name].astype(np.float32)
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of making the panel
    before = _peak_gib()
    evaluator = Evaluator(
        panel.fields,
        panel.groups,
        cache_bytes=0,
        precision="float32" if precision == "float32" else "float64",
    )
    for text in OURS.values():
        evaluator.evaluate(text)
    print(before, _peak_gib())


if __name__ == "__main__":
    _measure_memory(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
