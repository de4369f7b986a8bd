"""Trading at the open, and stops at the day's high and low.

Arrays hold one row per instrument. What trades at closes only is in `portfolio`, which is faster.
"""

from __future__ import annotations

import math

import numpy as np

from alphafoundry.backtest.portfolio import unit_of
from alphafoundry.compilation import FloatMatrix, FloatRow, kernel


@kernel
def _sign(value: float) -> float:
    return 1.0 if value > 0.0 else (-1.0 if value < 0.0 else 0.0)


@kernel
def _hit(
    side: float,
    entry: float,
    best: float,
    first: float,
    high: float,
    low: float,
    stop: float,
    take: float,
    trail: float,
) -> float:
    """Return the price at which a stop or a target closes the position, NaN where none does.

    A day that opens beyond a level fills at its open. Where a day holds both levels, the stop
    comes first.
    """
    # Prices times the side: what falls is bad, whichever side it is.
    level = max(side * entry * (1.0 - side * stop), side * best * (1.0 - side * trail))
    goal = side * entry * (1.0 + side * take)
    if side * first <= level or side * first >= goal:
        return first
    if min(side * low, side * high) <= level:
        return side * level
    if max(side * low, side * high) >= goal:
        return side * goal
    return math.nan


@kernel
def cut_at_prices(
    signals: FloatMatrix,
    opens: FloatMatrix,
    high: FloatMatrix,
    low: FloatMatrix,
    close: FloatMatrix,
    at_open: bool,
    within: bool,
    stop: float,
    take: float,
    trail: float,
    exits: FloatMatrix,
) -> None:
    """Set signals to 0 once a stop has closed their position, and fill in the prices of that.

    Parameters
    ----------
    signals : shape (n_instruments, n_days), changed: 0 from the day of the exit until the signal
        has changed sign or been 0
    opens : price at which a day trades first, the last close where there is none
    at_open : a signal is filled at the open of the day after its own, else at its own close
    within : stops look at open, high and low, and fill at their level, or at the open of a day
        that opens beyond it; else at closes, where a stop is a signal of 0
    stop, take, trail : fall and gain since the fill of the entry, and fall from the best price
        since; inf turns one off. The best price is the highest high (lowest low of a short
        position) of earlier days, or close where stops look at closes
    exits : filled, shape of signals: price of an exit within the day, NaN without
    """
    for i in range(signals.shape[0]):
        side = 0.0
        entry = math.nan
        best = math.nan
        out = False
        for t in range(signals.shape[1]):
            exits[i, t] = math.nan
            if at_open and t > 0:
                price = opens[i, t]
                gone = _hit(side, entry, best, price, price, price, stop, take, trail)
                out = out or (within and side != 0.0 and not math.isnan(gone))
                now = _sign(signals[i, t - 1])
                if now != side:
                    side = now
                    entry = price
                    best = price
                    out = False
                elif out:
                    signals[i, t - 1] = 0.0
            last = close[i, t]
            if side != 0.0 and not out and not math.isnan(last):
                if within:
                    top, bottom = high[i, t], low[i, t]
                    price = _hit(side, entry, best, opens[i, t], top, bottom, stop, take, trail)
                    exits[i, t] = price
                    out = not math.isnan(price)
                    best = max(best, top) if side > 0.0 else min(best, bottom)
                else:
                    best = max(best, last) if side > 0.0 else min(best, last)
                    move = side * (last / entry - 1.0)
                    fallen = side * (last / best - 1.0)
                    out = move <= -stop or move >= take or fallen <= -trail
            if not at_open:
                now = _sign(signals[i, t])
                if now != side:
                    side = now
                    entry = last
                    best = last
                    out = False
                elif out:
                    signals[i, t] = 0.0
        if at_open and out and _sign(signals[i, -1]) == side:
            signals[i, -1] = 0.0


@kernel
def _rate(price: float, costs: FloatRow) -> float:
    """Return the cost of trading one unit of value at a price."""
    per_share: float = min(costs[1] / price, costs[2]) if price > 0.0 else 0.0
    return float(costs[0]) + per_share


@kernel
def _trade(
    wish: FloatRow,
    before: FloatRow,
    held: FloatRow,
    prices: FloatRow,
    unit: float,
    costs: FloatRow,
    book: FloatRow,
) -> float:
    """Bring the weights held to unit * wish; return the cost, all over equity.

    before : signals that the weights held are of; replaced by wish. book : value traded, cost and
        orders are added
    """
    bill = 0.0
    for i in range(len(wish)):
        amount = abs(unit * wish[i] - held[i])
        if amount > 0.0:
            book[0] += amount
            bill += amount * _rate(prices[i], costs)
        book[2] += 1.0 if wish[i] != before[i] else 0.0
        before[i] = wish[i]
        held[i] = unit * wish[i]
    book[1] += bill
    return bill


@kernel
def _move(
    held: FloatRow,
    before: FloatRow,
    start: FloatRow,
    end: FloatRow,
    exits: FloatRow,
    fee: float,
    costs: FloatRow,
    book: FloatRow,
) -> tuple[float, float]:
    """Let prices move the weights held; return the gain and the cost of exits, over equity.

    fee : paid from cash, off the gain
    held : becomes what the weights are over equity after the gain, 0 where an exit closed one
    """
    gain = -fee
    for i in range(len(held)):
        if held[i] == 0.0 or not start[i] > 0.0:
            continue
        price = end[i] if math.isnan(exits[i]) else exits[i]
        moved = price / start[i] - 1.0
        gain += held[i] * moved
        held[i] *= 1.0 + moved
    bill = 0.0
    if gain <= -1.0:
        return gain, bill
    for i in range(len(held)):
        held[i] /= 1.0 + gain
        if held[i] != 0.0 and not math.isnan(exits[i]):
            amount = abs(held[i])
            bill += amount * _rate(exits[i], costs)
            book[0] += amount
            book[2] += 1.0
            held[i] = 0.0
            before[i] = 0.0
    book[1] += bill
    return gain, bill


@kernel
def _unit(wish: FloatRow, size: float, most_exposure: float) -> float:
    """Return the weight of one unit of signal."""
    gross = 0.0
    for i in range(len(wish)):
        gross += abs(wish[i])
    return unit_of(gross, size, most_exposure)


@kernel
def _day_from_open(
    wish: FloatRow,
    before: FloatRow,
    held: FloatRow,
    prices: FloatMatrix,
    fee: float,
    rules: FloatRow,
    costs: FloatRow,
    book: FloatRow,
) -> float:
    """Hold over the night, trade at the open, hold to the close; return the growth of equity.

    prices : rows are the closes before, opens, closes, exits and NaN
    """
    gain, _ = _move(held, before, prices[0], prices[1], prices[4], fee, costs, book)
    growth: float = max(1.0 + gain, 0.0)
    if growth > 0.0:
        unit = _unit(wish, rules[0], rules[1])
        growth *= 1.0 - min(_trade(wish, before, held, prices[1], unit, costs, book), 1.0)
        gain, bill = _move(held, before, prices[1], prices[2], prices[3], 0.0, costs, book)
        growth *= max(1.0 + gain, 0.0) * (1.0 - min(bill, 1.0))
    return growth


@kernel
def trade_at_prices(
    signals: FloatMatrix,
    exits: FloatMatrix,
    opens: FloatMatrix,
    last_close: FloatMatrix,
    at_open: bool,
    rules: FloatRow,
    costs: FloatRow,
    first: int,
    last: int,
    daily: FloatRow,
    book: FloatMatrix,
) -> int:
    """Trade one trial; return the day that ended it, `last` where none did.

    Parameters
    ----------
    signals : shape (n_instruments, n_days), what is wanted once stops have acted; overwritten
        with the weights over equity after each close
    exits : price at which a position is closed within the day, NaN without
    opens, last_close : first price of each day, and its last known close
    at_open : signals are filled at the next open, else at their own close
    rules : share of equity per unit of signal, most gross exposure, drawdown that closes all
    costs : share of the value traded, commission per share and its cap, and what a unit of short
        value pays for each night
    daily, book : as of `portfolio.trade_all`, of one trial
    """
    count = signals.shape[0]
    held = np.zeros(count)
    before = np.zeros(count)
    nothing = np.zeros(count)
    prices = np.full((5, count), math.nan)
    wish = signals[:, first - 1].copy() if first > 0 else nothing.copy()
    book[:] = 0.0
    book[3] = 1.0
    equity = 1.0
    if first > 0 and not at_open:
        unit = _unit(wish, rules[0], rules[1])
        prices[2] = last_close[:, first - 1]
        equity = 1.0 - min(_trade(wish, before, held, prices[2], unit, costs, book[:, 0]), 1.0)
    peak = 1.0
    closing = False
    end: int = last
    for t in range(first, last):
        page = book[:, t - first]
        begun = equity if t > first else 1.0
        prices[0] = last_close[:, t - 1] if t > 0 else nothing
        prices[1] = opens[:, t]
        prices[2] = last_close[:, t]
        prices[3] = exits[:, t]
        fee = costs[3] * np.maximum(-held, 0.0).sum()
        page[1] += fee
        if at_open:
            aim = nothing if closing else wish
            equity *= _day_from_open(aim, before, held, prices, fee, rules, costs, page)
            ended = closing
            closing = closing or equity <= peak * (1.0 - rules[2])
            wish = signals[:, t].copy()
        else:
            gain, bill = _move(held, before, prices[0], prices[2], prices[3], fee, costs, page)
            equity *= max(1.0 + gain, 0.0) * (1.0 - min(bill, 1.0))
            ended = equity <= peak * (1.0 - rules[2])
            if equity > 0.0:
                wish = nothing if ended else signals[:, t].copy()
                unit = _unit(wish, rules[0], rules[1])
                equity *= 1.0 - min(_trade(wish, before, held, prices[2], unit, costs, page), 1.0)
        daily[t - first] = equity / begun - 1.0
        peak = max(peak, equity)
        if equity <= 0.0:
            held[:] = 0.0
        signals[:, t] = held
        if ended or equity <= 0.0:
            end = t
            daily[t - first + 1 :] = 0.0
            signals[:, t + 1 :] = 0.0
            break
    return end
