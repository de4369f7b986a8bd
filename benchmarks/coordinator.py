"""Backtest trials and signal replay: our kernels, vectorbt, and full backtests.

Trials are moving-average crosses over one grid on a random walk of 2500 days x 20 instruments.
Replay weighs 20 strategies, and is compared with computing them again for every weighting; the
table names which strategies. vectorbt trades at crosses only and lets positions drift, ours
brings weights back to their target at every close and charges for it, so the work is alike but
the results are not the same numbers.

    python -m benchmarks.coordinator [--trials 1000 10000] [--vectorbt-trials 1000] [--no-workflows]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pickle
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from alphafoundry.backtest import (
    Bars,
    Execution,
    Strategy,
    backtest,
    backtest_signals,
    expression_strategy,
    replay,
    run_trials,
    signals_of,
    stacked,
    strategy_named,
)
from alphafoundry.finance.bars import FIELDS
from benchmarks.results_file import write_result

DAYS, INSTRUMENTS, COMPONENTS = 2500, 20, 20
FULL_WEIGHTINGS = 10
COORDINATED = "the same through the coordinator, start aside"
WHOLE = "the same through the coordinator, Prefect's start and all"
START = 10
"""Trials of a workflow that does little but start."""

NAIVE = 1000
BATCH = 250
"""Trials of one call, as a checkpointed run would cut them; the numbers do not depend on it."""

ALPHAS = (
    "-ts_corr(rank(open), rank(volume), 10)",
    "-ts_rank(rank(low), 9)",
    "-ts_corr(open, volume, 10)",
    "rank(ts_mean(close, 5) - close)",
    "-ts_delta(close, 7) * (1 - rank(ts_decay_linear(volume, 9)))",
    "rank(-ts_std_dev(returns, 20))",
    "ts_zscore(volume, 20) * -ts_delta(close, 1)",
    "-rank(ts_covariance(rank(close), rank(volume), 5))",
    "-ts_rank(close, 10) * ts_rank(volume / ts_mean(volume, 20), 5)",
    "-rank(ts_std_dev(high, 10)) * ts_corr(high, volume, 10)",
    "(close - open) / (high - low + 0.001)",
    "ts_rank(volume, 32) * (1 - ts_rank(close + high - low, 16))",
    "-ts_max(ts_corr(ts_rank(volume, 5), ts_rank(high, 5), 5), 3)",
    "rank(ts_sum(returns, 60)) - rank(ts_sum(returns, 5))",
    "-ts_zscore(close, 60)",
    "ts_decay_linear(-ts_delta(close, 2), 8)",
    "rank(ts_arg_max(close, 30)) - 0.5",
    "ts_corr(close, ts_mean(volume, 20), 15)",
    "-rank(close / ts_mean(close, 120))",
    "ts_mean(returns, 100) / ts_std_dev(returns, 100)",
)


def made_bars() -> Bars:
    """Return the random walk that everything is measured on."""
    random = np.random.default_rng(0)
    close = 100.0 * np.exp(np.cumsum(random.normal(0.0, 0.01, (DAYS, INSTRUMENTS)), axis=0))
    opened = close * (1.0 + random.normal(0.0, 0.003, close.shape))
    spread = random.uniform(0.0, 0.01, close.shape)
    return Bars(
        days=np.busday_offset("2015-01-01", np.arange(DAYS)).astype("datetime64[D]"),
        symbols=tuple(f"S{column}" for column in range(INSTRUMENTS)),
        open=opened,
        high=np.maximum(opened, close) * (1.0 + spread),
        low=np.minimum(opened, close) * (1.0 - spread),
        close=close,
        volume=random.uniform(1e5, 1e6, close.shape),
        label="SYNTHETIC random walk",
        synthetic=True,
    )


def grid(count: int) -> list[dict[str, int]]:
    """Return the first `count` pairs of a grid of fast and slow windows, spread over all of it."""
    pairs = [(fast, slow) for fast in range(2, 102) for slow in range(102, 303, 2)]
    step = len(pairs) / count
    return [dict(zip(("fast", "slow"), pairs[int(k * step)], strict=True)) for k in range(count)]


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """Return wall and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def peak_megabytes() -> float:
    """Return the most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


def our_trials(bars: Bars, count: int, threads: int, rounds: int) -> dict[str, Any]:
    """Measure `count` trials in calls of BATCH, the median of some rounds."""
    strategy, sets = strategy_named("moving_average_cross"), grid(count)

    def work() -> None:
        for start in range(0, count, BATCH):
            run_trials(bars, strategy, sets[start : start + BATCH], threads=threads)

    run_trials(bars, strategy, sets[:8], threads=threads)
    seconds = sorted(timed(work) for _ in range(rounds))
    wall, cpu = seconds[len(seconds) // 2]
    return row(f"our kernel, {threads} threads", count, wall, cpu)


def vectorbt_trials(bars: Bars, count: int) -> dict[str, Any] | None:
    """Measure vectorbt on `count` sets of the same grid, or return None where it is missing."""
    try:
        import vectorbt as vbt
    except ImportError:
        return None
    close = pd.DataFrame(bars.close, index=pd.DatetimeIndex(bars.days), columns=bars.symbols)
    sets = grid(count)

    def run(chosen: list[dict[str, int]]) -> None:
        fast = vbt.MA.run(close, window=[values["fast"] for values in chosen])
        slow = vbt.MA.run(close, window=[values["slow"] for values in chosen])
        above, below = fast.ma_crossed_above(slow), fast.ma_crossed_below(slow)
        groups = np.repeat(np.arange(len(chosen)), INSTRUMENTS)
        prices = pd.concat([close] * len(chosen), axis=1)
        prices.columns = above.columns
        portfolio = vbt.Portfolio.from_signals(
            prices,
            entries=above,
            short_entries=below,
            size=5000.0,
            size_type="value",
            slippage=0.001,
            init_cash=100_000.0,
            group_by=groups,
            cash_sharing=True,
            freq="1D",
        )
        portfolio.total_return(), portfolio.sharpe_ratio(), portfolio.max_drawdown()

    run(sets[:2])

    def work() -> None:
        for start in range(0, count, 25):
            run(sets[start : start + 25])

    wall, cpu = timed(work)
    return row("vectorbt 1.2.0", count, wall, cpu)


def row(name: str, count: int, wall: float, cpu: float) -> dict[str, Any]:
    """Return what the table shows of one measurement."""
    return {
        "what": name,
        "count": count,
        "seconds": round(wall, 3),
        "ms_each": round(1e3 * wall / count, 4),
        "cpu_ms_each": round(1e3 * cpu / count, 4),
        "peak_mb": round(peak_megabytes()),
    }


def replays(
    bars: Bars,
    name: str,
    components: list[tuple[Strategy, dict[str, int]]],
    count: int,
    threads: int,
) -> list[dict[str, Any]]:
    """Measure `count` weightings replayed, and some of them by full backtests."""
    execution = Execution()
    weights = np.random.default_rng(1).dirichlet(np.ones(len(components)), count)
    start = time.perf_counter()
    signals = [signals_of(bars, strategy, values) for strategy, values in components]
    prepared = stacked(signals, bars)
    stored = time.perf_counter() - start
    replay(prepared, weights[:2], bars, execution, threads=threads)
    results = []
    wall, cpu = timed(
        lambda: results.extend(replay(prepared, weights, bars, execution, threads=threads))
    )

    def ensemble(one: np.ndarray) -> np.ndarray:
        fresh: Bars = pickle.loads(pickle.dumps(bars))
        parts = [signals_of(fresh, strategy, values) for strategy, values in components]
        total = parts[0] * one[0]
        for part, weight in zip(parts[1:], one[1:], strict=True):
            total += part * weight
        return backtest_signals(fresh, total, execution).daily_returns

    def parts_alone() -> None:
        fresh: Bars = pickle.loads(pickle.dumps(bars))
        for strategy, values in components:
            backtest(fresh, strategy, values, execution)

    again = [timed(lambda w=w: ensemble(w)) for w in weights[:FULL_WEIGHTINGS]]  # type: ignore[misc]
    alone = [timed(parts_alone) for _ in range(FULL_WEIGHTINGS)]
    for place in range(3):
        found = results[place].daily_returns
        assert np.array_equal(found, ensemble(weights[place])), "replay is not the full backtest"
    rows = [
        row(f"replay of {len(components)} {name}", count, wall, cpu),
        row(
            f"signals, sum and backtest of {len(components)} {name}",
            FULL_WEIGHTINGS,
            *(statistics.median(column) * FULL_WEIGHTINGS for column in zip(*again, strict=True)),
        ),
        row(
            f"{len(components)} backtests, one for each of the {name}",
            FULL_WEIGHTINGS,
            *(statistics.median(column) * FULL_WEIGHTINGS for column in zip(*alone, strict=True)),
        ),
    ]
    rows[0]["seconds_to_store"] = round(stored, 3)
    for other in rows[1:]:
        other["against"] = (rows[0]["what"], count)
    return rows


def measured_command(
    command: list[str], folder: Path, environment: dict[str, str]
) -> tuple[float, float]:
    """Return the seconds that a command took and the most megabytes that it held."""
    start = time.perf_counter()
    peak = 0.0
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL
    ) as process:
        status = Path(f"/proc/{process.pid}/status")
        while process.poll() is None:
            found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
            peak = max(peak, float(found[1]) / 1024.0 if found else 0.0)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
        wall = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with status {process.returncode}")
    return wall, peak


def workflow_trials(bars: Bars, counts: list[int], folder: Path) -> list[dict[str, Any]]:
    """Measure grids through `python -m flows.optimize`, each as a process of its own.

    A grid of ten trials shows what starting costs; it is taken off the others in a row of its
    own. Memory is that of the process that runs the flow.
    """
    market = folder / "walk.parquet"
    frame = pd.concat(
        pd.DataFrame({name: getattr(bars, name)[:, column] for name in FIELDS}).assign(
            date=bars.days, symbol=symbol
        )
        for column, symbol in enumerate(bars.symbols)
    )
    frame.to_parquet(market)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}

    def best(count: int) -> tuple[float, float]:
        """Return the least seconds and the most megabytes of three runs, the first not counted."""
        file = folder / f"grid_{count}.yaml"
        file.write_text(yaml.safe_dump(workflow_document(market, count)))
        command = [sys.executable, "-m", "flows.optimize", str(file), "--restart"]
        runs = [measured_command(command, folder, environment) for _ in range(3)]
        return min(wall for wall, _ in runs[1:]), max(peak for _, peak in runs)

    started, _ = best(START)
    print(f"a workflow of {START} trials takes {started:.1f} s from the command to its end")
    rows = []
    for count in counts:
        wall, peak = best(count)
        for name, seconds in ((WHOLE, wall), (COORDINATED, wall - started)):
            measured = row(name, count, seconds, 0.0)
            rows.append({**measured, "cpu_ms_each": None, "peak_mb": round(peak)})
    answer = subprocess.run(
        [sys.executable, "-m", "benchmarks.naive_trials", str(market), str(NAIVE)],
        check=True,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    naive = row(
        "one Prefect task run for each trial, start aside", NAIVE, float(answer.stdout), 0.0
    )
    rows.append({**naive, "cpu_ms_each": None, "peak_mb": None, "against": (COORDINATED, NAIVE)})
    return rows


def workflow_document(market: Path, count: int) -> dict[str, Any]:
    """Return a workflow that searches `count` moving-average crosses on the market."""
    fast = min(count, 100)
    slow = count // fast
    return {
        "version": "1.0.0",
        "workflow": {
            "type": "multi_phase",
            "execution_mode": "AUTO",
            "phases": [{"name": "search", "type": "optimization", "container_count": count}],
        },
        "data": {"market": str(market)},
        "strategies": [{"type": "moving_average_cross"}],
        "optimization": {
            "method": "grid",
            "objective": "sharpe",
            "parameters": {
                "fast": {"min": 2, "max": 1 + fast, "step": 1},
                "slow": {"min": 102, "max": 100 + 2 * slow, "step": 2},
            },
        },
        "risk_management": {"params": {"position_size_pct": 0.05}},
        "execution": {"slippage_bps": 10, "commission_per_share": 0.01},
    }


def compared(rows: list[dict[str, Any]]) -> None:
    """Add to each row that names another one how many times slower it is, by wall and by CPU."""
    named = {(item["what"], item["count"]): item for item in rows}
    for item in rows:
        other = named.get(item.pop("against", ("", 0)))
        if other is not None:
            item["against"] = other["what"]
            item["times_wall"] = round(item["ms_each"] / other["ms_each"], 1)
            if item["cpu_ms_each"] is not None:
                item["times_cpu"] = round(item["cpu_ms_each"] / other["cpu_ms_each"], 1)


def show(rows: list[dict[str, Any]]) -> None:
    """Print the measurements as a table."""
    print(
        f"{'':60}{'count':>7}{'seconds':>9}{'ms each':>9}{'CPU ms':>8}{'peak MB':>9}"
        f"{'x wall':>8}{'x CPU':>8}"
    )
    for item in rows:
        cells = [
            ("cpu_ms_each", 8, ".3f"),
            ("peak_mb", 9, "d"),
            ("times_wall", 8, ".1f"),
            ("times_cpu", 8, ".1f"),
        ]
        rest = "".join(
            format("" if item.get(name) is None else format(item[name], form), f">{width}")
            for name, width, form in cells
        )
        print(
            f"{item['what']:60}{item['count']:7d}{item['seconds']:9.2f}{item['ms_each']:9.3f}{rest}"
        )


def main() -> None:
    """Measure, print the table and write `benchmarks/results/coordinator.json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--trials", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--vectorbt-trials", type=int, default=1000, help="0 leaves vectorbt out")
    parser.add_argument("--weightings", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--workflows",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="measure python -m flows.optimize too",
    )
    arguments = parser.parse_args()
    bars = made_bars()
    rows = [
        our_trials(bars, count, arguments.threads, arguments.rounds) for count in arguments.trials
    ]
    ours = rows[0]["what"]
    crosses = [(strategy_named("moving_average_cross"), values) for values in grid(COMPONENTS)]
    alphas: list[tuple[Strategy, dict[str, int]]] = [
        (expression_strategy(text, mode="cross_section"), {}) for text in ALPHAS
    ]
    for name, components in (("moving-average crosses", crosses), ("alpha expressions", alphas)):
        rows += replays(bars, name, components, arguments.weightings, arguments.threads)
    packages = ["numpy", "numba", "prefect"]
    theirs = None
    if arguments.vectorbt_trials:
        theirs = vectorbt_trials(bars, arguments.vectorbt_trials)
        if theirs is None:
            print("vectorbt is not installed; make bench-coordinator installs it")
        else:
            rows.append({**theirs, "against": (ours, arguments.trials[0])})
            packages.append("vectorbt")
    if arguments.workflows:
        with tempfile.TemporaryDirectory() as folder:
            for item in workflow_trials(bars, arguments.trials, Path(folder)):
                rows.append({"against": (ours, item["count"]), **item})
    compared(rows)
    show(rows)
    for item in rows if theirs else []:
        if item["what"] in (COORDINATED, WHOLE):
            item["times_faster_than_vectorbt"] = round(theirs["ms_each"] / item["ms_each"], 1)
            print(
                f"{item['count']} trials, {item['what'].removeprefix('the same ')}: "
                f"{item['times_faster_than_vectorbt']} times as fast as vectorbt for each trial"
            )
    print(f"written to {write_result('coordinator', rows, packages)}")


if __name__ == "__main__":
    main()
