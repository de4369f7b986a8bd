"""Many parameter sets on the same bars, and one in detail."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alphafoundry.backtest.columns import columns_of, opens_of
from alphafoundry.backtest.execution import Execution, Sizing
from alphafoundry.backtest.portfolio import keep_strongest, trade_all
from alphafoundry.backtest.price_fills import cut_at_prices, trade_at_prices
from alphafoundry.backtest.strategy import Strategy, Value
from alphafoundry.compilation import FloatMatrix, FloatRow
from alphafoundry.errors import BacktestError
from alphafoundry.finance.bars import Bars
from alphafoundry.finance.costs import Costs
from alphafoundry.finance.statistics import MEASURED, Metrics, measure_all, metrics_from

CHUNK = 8
"""Most trials that a thread takes at a time: they share what they read of the bars."""

CHUNK_BYTES = 32 * 2**20
"""Most memory of a thread's signals; large markets are taken in smaller chunks."""

PREFERRED_DAYS = 20
"""Days whose dollar volume decides which of equal signals are held."""

_NOTHING: FloatMatrix = np.empty((0, 0))

Measured = tuple[int, int]
"""First row and the row after the last one; see `run_trials`."""


@dataclass(frozen=True, eq=False)
class TrialResult:
    """What one parameter set gave.

    Attributes
    ----------
    parameters : complete, defaults included
    metrics : its statistics
    daily_returns : net, float64 array of shape (n_days measured,); empty where not kept
    """

    parameters: Mapping[str, Value]
    metrics: Metrics
    daily_returns: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class BacktestResult:
    """One backtest in detail.

    Attributes
    ----------
    days : datetime64[D] array of shape (n_days,), the days measured
    symbols : one name per instrument
    daily_returns : net of costs, as fractions of equity, shape (n_days,)
    equity : at each close after costs, in the currency of the prices, shape (n_days,)
    positions : weight of each instrument over equity after each close, shape
        (n_days, n_instruments)
    turnover : value traded at each close over equity, shape (n_days,)
    costs : cost paid at each close over equity, shape (n_days,)
    trades : positions opened, closed or changed on each day, shape (n_days,)
    statistics : Metrics of all days
    ended : row of `days` on which the drawdown stop or ruin closed everything, None without
    label : of the bars
    """

    days: NDArray[np.datetime64]
    symbols: tuple[str, ...]
    daily_returns: NDArray[np.float64]
    equity: NDArray[np.float64]
    positions: NDArray[np.float64]
    turnover: NDArray[np.float64]
    costs: NDArray[np.float64]
    trades: NDArray[np.float64]
    statistics: Metrics
    ended: int | None
    label: str

    def __repr__(self) -> str:
        stop = "" if self.ended is None else f", closed for good on {self.days[self.ended]}"
        return (
            f"BacktestResult({self.days[0]} to {self.days[-1]}, {len(self.symbols)} instruments, "
            f"{self.label!r}\n  {self.statistics}{stop})"
        )


class Desk:
    """Trades signals on one set of bars: the arrays of one thread, used again and again.

    Attributes
    ----------
    signals : shape (n_trials, n_instruments, n_days): fill it, then call `trade`
    """

    def __init__(
        self, bars: Bars, execution: Execution, measured: Measured | None, *, trials: int = 1
    ) -> None:
        self.bars = bars
        self.first, self.last = _rows(bars, measured)
        columns = columns_of(bars)
        self._columns = columns
        self._rates = columns.kept(
            ("rates", execution.costs), lambda: _rates(columns.last_close, execution.costs)
        )
        self._execution = execution
        require_prices(bars, execution)
        self._rules = _rules(execution.sizing)
        most = execution.sizing.max_positions
        self._preference = _NOTHING
        if most is not None and most < columns.shape[0]:
            self._preference = columns.kept(("dollar volume",), lambda: _dollar_volume(bars))
        self.signals = np.empty((trials, *columns.shape))
        self._book = np.empty((trials, 4, self.last - self.first + 1))

    @property
    def days(self) -> int:
        """Number of days measured."""
        return self.last - self.first

    def trade(self, daily: FloatMatrix, found: FloatMatrix) -> int:
        """Trade the first len(daily) of `signals`, which stops and limits change.

        daily, found : filled with net returns, shape (n_trials, n_days measured), and with the
            statistics, shape (n_trials, len(MEASURED)). Returns the row on which the last trial
            was closed for good, or the row after the last.
        """
        book = self._book[: len(daily)]
        end = self.last
        if self._execution.at_closes:
            end = trade_all(
                self.signals[: len(daily)],
                self._columns.close,
                self._columns.returns,
                self._rates,
                self._preference,
                self._rules,
                self.first,
                self.last,
                daily,
                book,
            )
        else:
            for place, row in enumerate(daily):
                end = self._trade_at_prices(self.signals[place], row, book[place])
        measure_all(daily, book, self.bars.bars_a_year, found)
        return end

    def _trade_at_prices(self, signals: FloatMatrix, daily: FloatRow, book: FloatMatrix) -> int:
        """Trade one trial whose prices are not all closes."""
        columns, execution, rules = self._columns, self._execution, self._rules
        at_open, within = execution.fill == "next_open", execution.stops == "high_low"
        exits = np.empty(signals.shape)
        opens = opens_of(self.bars)
        cut_at_prices(
            signals, opens, columns.high, columns.low, columns.close, at_open, within,
            rules[3], rules[4], rules[6], exits,
        )  # fmt: skip
        if rules[5] < len(signals):
            keep_strongest(signals, self._preference, int(rules[5]))
        costs = execution.costs
        nightly = execution.borrow_pct / self.bars.bars_a_year
        return trade_at_prices(
            signals, exits, opens, columns.last_close, at_open, rules,
            np.array(
                [costs.rate, costs.commission_per_share, costs.max_commission_pct, nightly]
            ),
            self.first, self.last, daily, book,
        )  # fmt: skip

    def result(self) -> BacktestResult:
        """Trade the first of `signals` and return everything about it."""
        days = self.days
        daily = np.empty((1, days))
        found = np.empty((1, len(MEASURED)))
        ended = self.trade(daily, found)
        traded, paid, changes, scale = self._book[0].copy()
        held = self.signals[0, :, self.first : self.last].T * scale[1:, None]
        return BacktestResult(
            days=self.bars.days[self.first : self.last],
            symbols=self.bars.symbols,
            daily_returns=daily[0],
            equity=self._execution.initial_capital * np.cumprod(1.0 + daily[0]),
            positions=np.ascontiguousarray(held),
            turnover=traded[:days],
            costs=paid[:days],
            trades=changes[:days],
            statistics=metrics_from(days, found[0]),
            ended=None if ended == self.last else ended - self.first,
            label=self.bars.label,
        )


def require_prices(bars: Bars, execution: Execution) -> None:
    """Raise BacktestError where the bars lack a price at which the execution trades."""
    if execution.stops == "high_low" and not (bars.has("high") and bars.has("low")):
        raise BacktestError(
            f"stops high_low need high and low, which {bars.label} does not hold; choose stops "
            "close, or other data"
        )
    if execution.fill == "next_open" and not bars.has("open"):
        raise BacktestError(
            f"fill next_open needs open, which {bars.label} does not hold; choose fill close, "
            "or other data"
        )


def run_trials(
    bars: Bars,
    strategy: Strategy,
    parameter_sets: Sequence[Mapping[str, object]],
    execution: Execution | None = None,
    *,
    threads: int = 1,
    measured: Measured | None = None,
    keep_daily: bool = True,
) -> list[TrialResult]:
    """Backtest every parameter set and return the results in their order.

    Parameters
    ----------
    threads : kernels run side by side; the numbers do not depend on it, nor on how a search is
        cut into calls
    measured : (first row, row after the last): trade and measure these days only. Earlier bars
        still feed the strategy's windows, and the position that they ask for is opened at the
        close before `first`; its cost counts on `first`
    keep_daily : False leaves daily_returns empty, for very large searches

    Raises WrongParameter before anything runs, BacktestError where the bars lack a field.
    """
    execution = execution or Execution()
    strategy.require(bars)
    sets = [strategy.complete(values) for values in parameter_sets]
    first, last = _rows(bars, measured)
    daily = np.empty((len(sets) if keep_daily else 0, last - first))
    found = np.empty((len(sets), len(MEASURED)))
    local = threading.local()
    chunk = chunk_of(bars)

    def run(start: int) -> None:
        if not hasattr(local, "desk"):
            local.desk = Desk(bars, execution, measured, trials=chunk)
            local.unkept = np.empty((chunk, last - first))
        desk: Desk = local.desk
        chosen = sets[start : start + chunk]
        rows = slice(start, start + len(chosen))
        for signals, values in zip(desk.signals, chosen, strict=False):
            strategy.fill(bars, values, signals)
        desk.trade(daily[rows] if keep_daily else local.unkept[: len(chosen)], found[rows])

    starts = range(0, len(sets), chunk)
    workers = min(threads, len(starts), os.cpu_count() or 1)
    if workers <= 1:
        for start in starts:
            run(start)
    else:
        with ThreadPoolExecutor(workers, thread_name_prefix="trial") as pool:
            for _ in pool.map(run, starts):
                pass
    nothing = np.empty(0)
    return [
        TrialResult(
            values,
            metrics_from(last - first, found[place]),
            daily[place] if keep_daily else nothing,
        )
        for place, values in enumerate(sets)
    ]


def backtest(
    bars: Bars,
    strategy: Strategy,
    parameters: Mapping[str, object],
    execution: Execution | None = None,
    *,
    measured: Measured | None = None,
) -> BacktestResult:
    """Backtest one parameter set in detail; the numbers are those of `run_trials`."""
    desk = Desk(bars, execution or Execution(), measured)
    strategy.require(bars)
    strategy.fill(bars, strategy.complete(parameters), desk.signals[0])
    return desk.result()


def signals_of(
    bars: Bars, strategy: Strategy, parameters: Mapping[str, object]
) -> NDArray[np.float64]:
    """Return the signals, float64 array of shape (n_days, n_instruments), without NaN.

    They are what the strategy asks for, before sizing and stops.
    """
    strategy.require(bars)
    filled = np.empty(columns_of(bars).shape)
    strategy.fill(bars, strategy.complete(parameters), filled)
    return np.ascontiguousarray(filled.T)


def backtest_signals(
    bars: Bars,
    signals: NDArray[np.float64],
    execution: Execution | None = None,
    *,
    measured: Measured | None = None,
) -> BacktestResult:
    """Backtest signals that are there already.

    signals : shape (n_days, n_instruments); NaN counts as 0. With what `signals_of` returns, the
        result is that of `backtest`, bit for bit.
    """
    if signals.shape != bars.shape:
        raise BacktestError(f"signals of shape {signals.shape} do not match bars of {bars.shape}")
    desk = Desk(bars, execution or Execution(), measured)
    desk.signals[0] = signals.T
    np.nan_to_num(desk.signals, copy=False, nan=0.0, posinf=np.inf, neginf=-np.inf)
    return desk.result()


def chunk_of(bars: Bars) -> int:
    """Return how many trials a thread takes at a time on these bars."""
    return max(min(CHUNK, CHUNK_BYTES // bars.close.nbytes), 1)


def _rows(bars: Bars, measured: Measured | None) -> Measured:
    days = bars.shape[0]
    first, last = (0, days) if measured is None else measured
    if not 0 <= first < last <= days:
        raise BacktestError(f"rows {first} to {last} are not within the {days} days of the bars")
    return first, last


def _dollar_volume(bars: Bars) -> FloatMatrix:
    """Return the mean dollar volume of the last 20 days, shape (n_instruments, n_days).

    Days without a close or a volume count as 0; without any volume all is 0.
    """
    if not bars.has("volume"):
        return np.zeros((bars.shape[1], bars.shape[0]))
    traded = np.nan_to_num(bars.close * bars.volume, nan=0.0, posinf=0.0, neginf=0.0).T
    total = np.zeros(traded.shape)
    for back in range(min(PREFERRED_DAYS, traded.shape[1])):
        total[:, back:] += traded[:, : traded.shape[1] - back]
    return total / PREFERRED_DAYS


def _rates(last_close: FloatMatrix, costs: Costs) -> FloatMatrix:
    """Return the cost of trading one unit of value at each close, shape of last_close."""
    share = costs.rate
    if not costs.commission_per_share:
        return np.full(last_close.shape, share)
    with np.errstate(divide="ignore"):
        commission = costs.commission_per_share / last_close
    return share + np.nan_to_num(np.minimum(commission, costs.max_commission_pct), copy=False)


def _rules(sizing: Sizing) -> FloatRow:
    """Return the numbers of a sizing as `trade_all` takes them."""
    limits = (
        sizing.max_drawdown_pct,
        sizing.stop_loss_pct,
        sizing.take_profit_pct,
        sizing.max_positions,
        sizing.trailing_stop_pct,
    )
    return np.array(
        [
            sizing.position_size_pct * sizing.leverage,
            sizing.max_exposure_pct,
            *(math.inf if limit is None else limit for limit in limits),
        ]
    )
