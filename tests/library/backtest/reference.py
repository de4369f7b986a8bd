"""A portfolio kept as money in plain Python, one day and one instrument at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from alphafoundry.backtest import Bars, Execution


@dataclass
class Account:
    """What the slow portfolio did on each day."""

    returns: list[float] = field(default_factory=list)
    turnover: list[float] = field(default_factory=list)
    positions: list[list[float]] = field(default_factory=list)
    orders: int = 0


def account(
    bars: Bars,
    signals: NDArray[np.float64],
    execution: Execution,
    first: int = 0,
    last: int | None = None,
) -> Account:
    """Return the account of trading the signals on rows first to last."""
    last = len(bars.days) if last is None else last
    wanted = limited(bars, signals, execution)
    sizing, costs = execution.sizing, execution.costs
    count = len(bars.symbols)
    price = [math.nan] * count
    money = [0.0] * count
    cash = execution.initial_capital
    held = [0.0] * count
    peak = cash
    closed = False
    kept = Account()
    carried_turnover = 0.0
    start_equity = cash
    for day in range(last):
        before = price.copy()
        for i in range(count):
            if not math.isnan(bars.close[day, i]):
                price[i] = float(bars.close[day, i])
            if money[i] and not math.isnan(before[i]):
                money[i] *= price[i] / before[i]
        if day < first - 1:
            continue
        equity = cash + sum(money)
        if day >= first and sizing.max_drawdown_pct is not None and not closed:
            closed = equity <= peak * (1.0 - sizing.max_drawdown_pct)
            if closed:
                kept.orders += sum(value != 0.0 for value in money)
        row = [0.0] * count if closed else [float(value) for value in wanted[day]]
        unit = sizing.position_size_pct * sizing.leverage
        gross = sum(abs(value) for value in row) * unit
        if gross > sizing.max_exposure_pct:
            unit *= sizing.max_exposure_pct / gross
        target = [value * unit * equity for value in row]
        trades = [abs(target[i] - money[i]) for i in range(count)]
        fee = 0.0
        for i in range(count):
            fee += trades[i] * (costs.slippage_bps + costs.commission_bps) / 1e4
            if trades[i]:
                commission = trades[i] / price[i] * costs.commission_per_share
                fee += min(commission, costs.max_commission_pct * trades[i])
        if not closed:
            kept.orders += sum(row[i] != held[i] for i in range(count))
        held = row
        left = 1.0 - fee / equity
        money = [value * left for value in target]
        cash = (equity - sum(target)) * left
        peak = max(peak, equity * left)
        turnover = sum(trades) / equity
        if day < first:
            carried_turnover = turnover
            continue
        kept.returns.append(equity * left / start_equity - 1.0)
        kept.turnover.append(turnover + carried_turnover)
        kept.positions.append([value / (equity * left) for value in money])
        carried_turnover = 0.0
        start_equity = equity * left
    return kept


def limited(bars: Bars, signals: NDArray[np.float64], execution: Execution) -> NDArray[np.float64]:
    """Return the signals after stop loss, take profit and the number of positions."""
    sizing = execution.sizing
    out = signals.copy()
    for i in range(out.shape[1]):
        entry, side, stopped = math.nan, 0, False
        for day in range(len(out)):
            now = int(np.sign(signals[day, i]))
            close = bars.close[day, i]
            if now != side:
                entry, side, stopped = close, now, False
            elif side and not stopped:
                gain = side * (close / entry - 1.0)
                if sizing.stop_loss_pct is not None and gain <= -sizing.stop_loss_pct:
                    stopped = True
                if sizing.take_profit_pct is not None and gain >= sizing.take_profit_pct:
                    stopped = True
            if stopped:
                out[day, i] = 0.0
    if sizing.max_positions is not None:
        dollars = np.nan_to_num(bars.close * bars.volume)
        for day, row in enumerate(out):
            recent = dollars[max(day - 19, 0) : day + 1].sum(axis=0)
            strongest = sorted(range(len(row)), key=lambda i: (-abs(row[i]), -recent[i], i))
            for i in strongest[sizing.max_positions :]:
                row[i] = 0.0
    return out
