"""The desk's book against cvxportfolio and bt, its solver, and its luck on markets of noise.

    python -m benchmarks.desk [--file BARS.parquet] [--names 500] [--days 1260] [--seeds 20]

cvxportfolio (GPL-3) and bt are measured in an environment of their own, which `make bench-desk`
makes; nothing in Alpha Foundry needs them. All three books get the same targets and returns; the
numbers are CPU seconds of one process. Markets of noise have no effect that could be found: the
book's gross PnL should be 0 and its net PnL minus what it paid.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from alphafoundry.market import load_market
from alphafoundry.market.calibration import generate_market
from alphafoundry.market.panel import Panel
from alphafoundry.simulation import SimulationSettings
from alphafoundry.trading.portfolio import LiveStrategy, Rebalancer, trade_to_weights
from alphafoundry.trading.portfolio.signals import signal_history
from benchmarks.results_file import write_result

REVERSAL = "-ts_delta(close, 5) / ts_delay(close, 5)"
EXPRESSIONS = (
    REVERSAL,
    "ts_delay(close, 5) / ts_delay(close, 65)",
    "log(ts_mean(volume, 5) / ts_mean(volume, 20))",
    "-ts_std_dev(returns, 20)",
)
COST_BPS = 7.0
CAPITAL = 10_000_000.0


def main() -> None:
    """Measure, print and write `benchmarks/results/desk.json`."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--file", type=Path, help="daily bars; the calibration market without")
    parser.add_argument("--names", type=int, default=500)
    parser.add_argument("--days", type=int, default=1260)
    parser.add_argument("--seeds", type=int, default=20, help="markets of noise; 0 for none")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    panel = _market(options.file)
    rows = [*compare_books(panel, options.names, options.days), *measure_sessions(panel)]
    if options.seeds:
        rows.append(measure_noise(options.seeds))
    for row in rows:
        print(", ".join(f"{key} {value}" for key, value in row.items()))
    path = write_result("desk", rows, ["numpy", "pandas", "cvxpy-base", "clarabel", *_others()])
    print(path)


def _market(file: Path | None) -> Panel:
    if file is None:
        return generate_market(7, progress=print)
    with tempfile.TemporaryDirectory() as folder:
        return load_market(str(file), cache_dir=Path(folder))


def _others() -> list[str]:
    from importlib.util import find_spec

    return [name for name in ("cvxportfolio", "bt") if find_spec(name)]


def compare_books(panel: Panel, names: int, days: int) -> list[dict[str, Any]]:
    """Return how far the daily values are apart, and how much longer the others take."""
    close = panel.fields["close"][-days - 1 :]
    whole = np.flatnonzero(np.isfinite(close).all(axis=0))[:names]
    close = np.ascontiguousarray(close[:, whole])
    history = signal_history(panel, [_strategy(REVERSAL, panel)])
    weights = 0.5 * np.ascontiguousarray(history.weights[0][-days - 1 : -1][:, whole])
    returns = close[1:] / close[:-1] - 1.0
    dates = pd.DatetimeIndex(panel.dates[-days - 1 :])
    symbols = [f"N{number}" for number in range(len(whole))]
    what = f"{len(whole)} names x {len(weights)} days, {Path(panel.source).name}"
    trade_to_weights(weights, returns)
    rows = []
    for name, cost, other in (
        ("cvxportfolio", COST_BPS, _cvxportfolio),
        ("bt", 0.0, _bt),
    ):
        if name not in _others():
            print(f"{name} is left out: not installed")
            continue
        plain = partial(trade_to_weights, weights, returns, cost_bps=cost)
        ours = min(_seconds(plain)[0] for _ in range(5))
        book = trade_to_weights(weights, returns, cost_bps=cost, opening=CAPITAL)
        # Its imports and first calls are not what is compared.
        other(weights[:5], close[:6], dates[:6], symbols)
        theirs, value = _seconds(partial(other, weights, close, dates, symbols))
        apart = float(np.abs(book.value[: len(value)] / value - 1.0).max())
        rows.append(
            {
                "book": what,
                "other": name,
                "cost_bps": cost,
                "largest_relative_difference": f"{apart:.1e}",
                "ours_ms": round(1e3 * ours, 2),
                "theirs_s": round(theirs, 2),
                "times_faster": round(theirs / ours),
            }
        )
    return rows


def _cvxportfolio(
    weights: np.ndarray, close: np.ndarray, dates: pd.DatetimeIndex, symbols: list[str]
) -> np.ndarray:
    import cvxportfolio as cvx

    days = dates[:-1]
    returns = pd.DataFrame(close[1:] / close[:-1] - 1.0, index=days, columns=symbols)
    returns["cash"] = 0.0
    market = cvx.UserProvidedMarketData(
        returns=returns, cash_key="cash", min_history=pd.Timedelta("0d")
    )
    targets = pd.DataFrame(weights, index=days, columns=symbols)
    targets["cash"] = 1.0 - targets.sum(axis=1)
    simulator = cvx.MarketSimulator(
        market_data=market,
        costs=[cvx.TransactionCost(a=COST_BPS / 1e4, b=None)],
        round_trades=False,
    )
    found = simulator.backtest(
        cvx.FixedWeights(targets),
        start_time=days[0],
        end_time=days[-1],
        initial_value=CAPITAL,
    )
    return np.asarray(found.v.to_numpy())


def _bt(
    weights: np.ndarray, close: np.ndarray, dates: pd.DatetimeIndex, symbols: list[str]
) -> np.ndarray:
    import bt

    strategy = bt.Strategy(
        "desk",
        [
            bt.algos.WeighTarget(pd.DataFrame(weights, index=dates[:-1], columns=symbols)),
            bt.algos.Rebalance(),
        ],
    )
    test = bt.Backtest(
        strategy,
        pd.DataFrame(close, index=dates, columns=symbols),
        integer_positions=False,
        initial_capital=CAPITAL,
        progress_bar=False,
    )
    test.run()
    # Its first row is the evening before the first day.
    return np.asarray(test.strategy.values.to_numpy()[1:])


def measure_sessions(panel: Panel, sessions: int = 30) -> list[dict[str, Any]]:
    """Return CPU time of one rebalancing and of the solver in it."""
    desk = Rebalancer(panel, [_strategy(text, panel) for text in EXPRESSIONS])
    solver: list[float] = []
    whole: list[float] = []
    held: dict[str, int] = {}
    first = len(panel.dates) - sessions
    programme = desk.programme(panel.dates[first].item())
    solve = programme.solve

    def timed(*arguments: Any) -> Any:
        seconds, answer = _seconds(partial(solve, *arguments))
        solver.append(seconds)
        return answer

    programme.solve = timed  # type: ignore[method-assign]
    for row in range(first, len(panel.dates)):
        seconds, plan = _seconds(partial(desk.rebalance, panel.dates[row].item(), held, CAPITAL))
        whole.append(seconds)
        held = {symbol: shares for symbol, shares in plan.targets.items() if shares}
    names, factors = len(panel.symbols), programme.factors
    return [
        {
            "session": f"{names} names, {factors} factors, {len(EXPRESSIONS)} strategies",
            "solver_ms": round(1e3 * float(np.median(solver)), 1),
            "whole_ms": round(1e3 * float(np.median(whole)), 1),
            "sessions": sessions,
        }
    ]


def measure_noise(seeds: int, sessions: int = 120) -> dict[str, Any]:
    """Return mean PnL before and after costs on markets without effects, with its error."""
    gross, paid = [], []
    for seed in range(seeds):
        panel = generate_market(1000 + seed, progress=lambda _: None, effects=())
        desk = Rebalancer(panel, [_strategy(text, panel) for text in EXPRESSIONS])
        earned, cost = trade_sessions(desk, panel, len(panel.dates) - sessions - 1, sessions)
        gross.append(earned / CAPITAL)
        paid.append(cost / CAPITAL)
    error = float(np.std(gross, ddof=1)) / math.sqrt(seeds) if seeds > 1 else math.nan
    return {
        "noise": f"{seeds} seeds x {sessions} sessions",
        "gross_pnl_bp": round(1e4 * float(np.mean(gross)), 2),
        "error_bp": round(1e4 * error, 2),
        "costs_bp": round(1e4 * float(np.mean(paid)), 2),
        "net_pnl_bp": round(1e4 * float(np.mean(gross) - np.mean(paid)), 2),
    }


def trade_sessions(
    desk: Rebalancer, panel: Panel, first: int, sessions: int
) -> tuple[float, float]:
    """Return dollars earned before costs and expected costs of trading row after row."""
    places = {str(symbol): i for i, symbol in enumerate(panel.symbols)}
    returns = np.nan_to_num(panel.fields["returns"])
    close = pd.DataFrame(panel.fields["close"]).ffill().to_numpy()
    held: dict[str, int] = {}
    earned = cost = 0.0
    for row in range(first, first + sessions):
        plan = desk.rebalance(panel.dates[row].item(), held, CAPITAL)
        held = {symbol: shares for symbol, shares in plan.targets.items() if shares}
        cost += plan.answer.cost * CAPITAL
        earned += sum(
            shares * float(close[row, places[symbol]] * returns[row + 1, places[symbol]])
            for symbol, shares in held.items()
        )
    return earned, cost


def _strategy(expression: str, panel: Panel) -> LiveStrategy:
    first = panel.dates[0].item()
    return LiveStrategy(expression, expression, SimulationSettings(), first, "unproven")


def _seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.process_time()
    found = work()
    return time.process_time() - begun, found


if __name__ == "__main__":
    main()
