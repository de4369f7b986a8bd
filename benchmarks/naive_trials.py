"""One Prefect task run for each backtest trial: the way that batches are measured against.

    python -m benchmarks.naive_trials MARKET.parquet COUNT

Prints the seconds of the flow, the server's start aside. The server has the project's settings.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from prefect import flow, task
from prefect.task_runners import ThreadPoolTaskRunner

from alphafoundry.backtest import Bars, run_trials, strategy_named
from alphafoundry.market import load_market
from benchmarks.coordinator import grid
from tasks.prefect.server import prefect_server


def main(market: str, count: int) -> None:
    """Measure and print."""
    bars = Bars.from_panel(load_market(market, cache_dir=Path(".foundry") / "cache"))
    strategy = strategy_named("moving_average_cross")

    @task(cache_policy=None, persist_result=False)
    def one_trial(fast: int, slow: int) -> float:
        (result,) = run_trials(bars, strategy, [{"fast": fast, "slow": slow}])
        return result.metrics.sharpe

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
    def naive(sets: list[dict[str, int]]) -> int:
        futures = [one_trial.submit(**values) for values in sets]
        return len([future.result() for future in futures])

    with prefect_server():
        naive(grid(10))
        start = time.perf_counter()
        naive(grid(count))
        print(time.perf_counter() - start)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
