"""From signals to daily returns: sizing, costs, stops.

Arrays hold one row per instrument. A signal known at the close of day t becomes a position at
that close and earns the return of day t + 1.
"""

from __future__ import annotations

import math

import numpy as np

from alphafoundry.compilation import FloatBlock, FloatMatrix, FloatRow, kernel

BLOCK = 256
"""Days traded together: what they need stays in the first- and second-level cache."""


@kernel
def cut_losers_and_winners(
    signals: FloatMatrix, close: FloatMatrix, stop: float, take: float, trail: float
) -> None:
    """Set signals to 0 from the close where a position lost `stop` or gained `take`.

    The move counts from the close at which the signal took its sign, whatever its size since; that
    of `trail` from the best close since then. The signal may act again after it has changed sign
    or been 0. Where the close is missing nothing is decided. inf for any turns it off.
    """
    for i in range(signals.shape[0]):
        side = 0.0
        entry = math.nan
        best = math.nan
        out = False
        for t in range(signals.shape[1]):
            value = signals[i, t]
            now = 1.0 if value > 0.0 else (-1.0 if value < 0.0 else 0.0)
            if now != side:
                side = now
                entry = close[i, t]
                best = entry
                out = False
            elif side != 0.0 and not out:
                move = side * (close[i, t] / entry - 1.0)
                if side * (close[i, t] - best) > 0.0:
                    best = close[i, t]
                if move <= -stop or move >= take or side * (close[i, t] / best - 1.0) <= -trail:
                    out = True
            if out:
                signals[i, t] = 0.0


@kernel
def keep_strongest(signals: FloatMatrix, preference: FloatMatrix, most: int) -> None:
    """Keep the `most` largest absolute signals of each day; 0 the rest.

    preference : shape of signals; of equal signals the one with the larger value goes first, and
        then the one in the earlier row
    """
    rows, days = signals.shape
    counts = np.zeros(days)
    for i in range(rows):
        for t in range(days):
            counts[t] += 1.0 if signals[i, t] != 0.0 else 0.0
    strength = np.empty(rows)
    order = np.empty(rows)
    for t in range(days):
        if counts[t] <= most:
            continue
        for i in range(rows):
            strength[i] = abs(signals[i, t])
        least = strength.max()
        if strength.min() < least:
            least = np.sort(strength)[rows - most]
        above = 0
        for i in range(rows):
            above += strength[i] > least
        room = most - above
        for i in range(rows):
            wish = preference[i, t]
            tied = strength[i] == least
            order[i] = -wish if tied else math.inf
            if strength[i] < least:
                signals[i, t] = 0.0
        places = np.argsort(order, kind="mergesort")
        for i in places[room:]:
            if strength[i] == least:
                signals[i, t] = 0.0


@kernel
def unit_of(asked: float, size: float, most_exposure: float) -> float:
    """Return the weight of one unit of signal where `asked` units are wanted in all."""
    gross = asked * size
    return size * (most_exposure / gross) if gross > most_exposure else size


@kernel
def _open(
    signals: FloatMatrix,
    rates: FloatMatrix,
    size: float,
    most_exposure: float,
    day: int,
    book: FloatMatrix,
) -> float:
    """Open what the signals of `day` ask for; return the weight of one unit of signal.

    Value traded, cost and orders are added to the first column of book.
    """
    asked = 0.0
    for i in range(signals.shape[0]):
        asked += abs(signals[i, day])
    unit = unit_of(asked, size, most_exposure)
    for i in range(signals.shape[0]):
        amount = abs(signals[i, day]) * unit
        book[0, 0] += amount
        book[1, 0] += amount * rates[i, day]
        book[2, 0] += 1.0 if amount > 0.0 else 0.0
    return unit


@kernel
def _trade_block(
    signals: FloatMatrix,
    returns: FloatMatrix,
    rates: FloatMatrix,
    size: float,
    most_exposure: float,
    first: int,
    left: int,
    right: int,
    earned: FloatRow,
    keep: FloatRow,
    book: FloatMatrix,
) -> None:
    """Fill days left to right: gross return earned, weight kept per unit of signal, and book."""
    count = right - left
    gross = np.zeros(count)
    gain = earned[left:right]
    held = keep[left:right]
    unit = book[3, left:right]
    aim = book[3, left + 1 : right + 1]
    volume = book[0, left:right]
    bill = book[1, left:right]
    orders = book[2, left:right]
    for i in range(signals.shape[0]):
        before = signals[i, first + left - 1 : first + right - 1]
        now = signals[i, first + left : first + right]
        moved = returns[i, first + left : first + right]
        for t in range(count):
            gross[t] += abs(now[t])
            gain[t] += before[t] * moved[t]
    for t in range(count):
        aim[t] = unit_of(gross[t], size, most_exposure)
    for t in range(count):
        gain[t] *= unit[t]
        held[t] = unit[t] / (1.0 + gain[t])
    for i in range(signals.shape[0]):
        before = signals[i, first + left - 1 : first + right - 1]
        now = signals[i, first + left : first + right]
        moved = returns[i, first + left : first + right]
        rate = rates[i, first + left : first + right]
        for t in range(count):
            amount = abs(aim[t] * now[t] - held[t] * before[t] * (1.0 + moved[t]))
            volume[t] += amount
            bill[t] += amount * rate[t]
            orders[t] += 1.0 if now[t] != before[t] else 0.0


@kernel
def _close_all(
    signals: FloatMatrix,
    returns: FloatMatrix,
    rates: FloatMatrix,
    day: int,
    kept: float,
    column: int,
    book: FloatMatrix,
) -> None:
    """Replace the trades of `day` by closing what was held into it."""
    book[:3, column] = 0.0
    if day == 0:
        return
    for i in range(signals.shape[0]):
        amount = abs(kept * signals[i, day - 1] * (1.0 + returns[i, day]))
        book[0, column] += amount
        book[1, column] += amount * rates[i, day]
        book[2, column] += 1.0 if amount > 0.0 else 0.0


@kernel
def _settle(
    signals: FloatMatrix,
    returns: FloatMatrix,
    rates: FloatMatrix,
    most_drawdown: float,
    first: int,
    opened: FloatRow,
    earned: FloatRow,
    keep: FloatRow,
    daily: FloatRow,
    book: FloatMatrix,
) -> int:
    """Fill daily from gross returns and costs, and end at ruin or the drawdown stop.

    opened : value traded, cost and orders of the evening before the first day. Returns the day
    that ended it, or the day after the last.
    """
    days = daily.shape[0]
    last = first + days
    end: int = last
    equity = 1.0 - min(opened[1], 1.0)
    peak = 1.0
    for t in range(days):
        begun = equity if t > 0 else 1.0
        equity *= max(1.0 + earned[t], 0.0)
        if equity <= 0.0:
            end = first + t
            book[:3, t] = 0.0
        elif equity <= peak * (1.0 - most_drawdown):
            end = first + t
            _close_all(signals, returns, rates, first + t, keep[t], t, book)
        equity *= 1.0 - min(book[1, t], 1.0)
        daily[t] = equity / begun - 1.0
        peak = max(peak, equity)
        if equity <= 0.0:
            end = first + t
        if end < last:
            daily[t + 1 :] = 0.0
            book[:, t + 1 :] = 0.0
            break
    book[:3, 0] += opened
    return end


@kernel
def trade_all(
    signals: FloatBlock,
    close: FloatMatrix,
    returns: FloatMatrix,
    rates: FloatMatrix,
    preference: FloatMatrix,
    rules: FloatRow,
    first: int,
    last: int,
    daily: FloatMatrix,
    book: FloatBlock,
) -> int:
    """Trade several trials; return the day of ruin or stop of the last of them.

    Parameters
    ----------
    signals : shape (n_trials, n_instruments, n_days); stops and limits change them
    close, returns, rates : shape (n_instruments, n_days): close, return of the day, and cost of
        trading one unit of value at the day's close
    preference : of equal signals the one with the larger value is held, where positions are
        limited; may be of shape (0, 0) where they are not
    rules : share of equity per unit of signal, most gross exposure over equity, fall from the
        peak of equity that closes everything, stop loss, take profit, most positions, trailing
        stop; inf turns one off
    first, last : days that are traded, the last not included
    daily : filled with net returns, shape (n_trials, last - first)
    book : shape (n_trials, 4, last - first + 1). The first three rows are filled with value traded
        over equity, cost over equity and orders of each day; the fourth with the weight per unit
        of signal held over the night after each day, its first entry that after day first - 1

    The position that the signals of day first - 1 ask for is opened at that day's close; its cost
    counts on day `first`. Before the first day of all there is none. Weights are brought back to
    the target at each close, so drift is traded too; costs shrink cash and positions alike. Where
    equity falls to 0 or below, the day's return is -1 and the rest 0. Returns `last` where
    nothing ended the last trial.

    The trials take turns block by block of days, so that returns and rates are read once.
    """
    trials = signals.shape[0]
    days = last - first
    size, most_exposure = rules[0], rules[1]
    book[:] = 0.0
    opened = np.zeros((trials, 3))
    earned = np.zeros((trials, days))
    keep = np.zeros((trials, days))
    for trial in range(trials):
        mine = signals[trial]
        if min(rules[3], rules[4], rules[6]) < math.inf:
            cut_losers_and_winners(mine, close, rules[3], rules[4], rules[6])
        if rules[5] < mine.shape[0]:
            keep_strongest(mine, preference, int(rules[5]))
        page = book[trial]
        if first > 0:
            page[3, 0] = _open(mine, rates, size, most_exposure, first - 1, page)
            opened[trial] = page[:3, 0]
            page[:3, 0] = 0.0
        else:
            page[3, 1] = _open(mine, rates, size, most_exposure, 0, page)
    for left in range(0 if first > 0 else 1, days, BLOCK):
        right = min(left + BLOCK, days)
        for trial in range(trials):
            _trade_block(
                signals[trial], returns, rates, size, most_exposure, first, left, right,
                earned[trial], keep[trial], book[trial],
            )  # fmt: skip
    end = last
    for trial in range(trials):
        end = _settle(
            signals[trial], returns, rates, rules[2], first, opened[trial], earned[trial],
            keep[trial], daily[trial], book[trial],
        )  # fmt: skip
    return end
