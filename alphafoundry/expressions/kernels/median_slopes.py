"""The median slope of all pairs of days of a window (Theil and Sen), day after day.

From one day to the next all but d - 1 of the d * (d - 1) / 2 slopes stay. They are kept as they
are, and those near the median in order besides: a day replaces d - 1 of them and looks the median
up. Only where it has left what is kept in order, that is chosen anew.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from alphafoundry.compilation import FloatPanel, kernel

Row = NDArray[np.float64]
Places = NDArray[np.int64]

FEW_DAYS = 24
"""Days of a window up to which its slopes are all calculated each day."""


@kernel
def _median_of_window(x: Row, y: Row, slopes: Row) -> float:
    """Return the median slope of all pairs whose x differ, NaN where there is none."""
    count = 0
    for i in range(x.shape[0]):
        for k in range(i + 1, x.shape[0]):
            if x[k] != x[i]:
                slopes[count] = (y[k] - y[i]) / (x[k] - x[i])
                count += 1
    return float(np.median(slopes[:count])) if count > 0 else math.nan


@kernel
def _newest_slopes(x: Row, y: Row, newest: Row) -> bool:
    """Fill newest[lag] with the slope from lag days ago to the last one, NaN where x is the same.

    Returns whether one is not a number though x differs.
    """
    last = x.shape[0] - 1
    odd = 0
    for lag in range(1, last + 1):
        run = x[last] - x[last - lag]
        slope = (y[last] - y[last - lag]) / run
        odd += 1 if (run != 0.0) & math.isnan(slope) else 0
        newest[lag] = slope if run != 0.0 else math.nan
    return odd > 0


@kernel
def _first_place(ordered: Row, count: int, value: float) -> int:
    """Return how many of the first `count` ordered values are below this one."""
    low = 0
    high = count
    while low < high:
        middle = (low + high) // 2
        if ordered[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def _take_out(ordered: Row, count: int, value: float) -> None:
    for i in range(_first_place(ordered, count, value), count - 1):
        ordered[i] = ordered[i + 1]


@kernel
def _put_in(ordered: Row, count: int, value: float) -> None:
    place = _first_place(ordered, count, value)
    for i in range(count, place, -1):
        ordered[i] = ordered[i - 1]
    ordered[place] = value


@kernel
def _choose(slopes: Row, near: int, room: Row, ordered: Row) -> tuple[int, int, int, float, float]:
    """Put the slopes near the median in order.

    Returns how many slopes there are, how many below those in order, how many in order, and the
    bounds of these. Those in order are not kept where all have one value, which both bounds then
    are, or too many have: there are -1 of them then.
    """
    count = 0
    for i in range(slopes.shape[0]):
        room[count] = slopes[i]
        count += 0 if math.isnan(slopes[i]) else 1
    if count == 0:
        return 0, 0, -1, math.nan, math.nan
    first = max((count - 1) // 2 - near, 0)
    last = min(count // 2 + near, count - 1)
    low = float(np.partition(room[:count], first)[first])
    high = float(np.partition(room[:count], last)[last])
    below = 0
    inside = 0
    for i in range(count):
        below += 1 if room[i] < low else 0
        inside += 1 if (room[i] >= low) & (room[i] <= high) else 0
    if low < high:
        if inside > 4 * (last - first + 1):
            return count, below, -1, low, high
        place = 0
        for i in range(count):
            if low <= room[i] <= high:
                ordered[place] = room[i]
                place += 1
        ordered[:inside] = np.sort(ordered[:inside])
    return count, below, inside, low, high


@kernel
def _fill_slopes(x: Row, y: Row, begins: Places, newest: Row, slopes: Row) -> bool:
    """Fill slopes with those of all pairs of a window, by how many days lie in between.

    Returns whether one is not a number though x differs.
    """
    odd = False
    for k in range(1, x.shape[0]):
        odd = _newest_slopes(x[: k + 1], y[: k + 1], newest) or odd
        for lag in range(1, k + 1):
            slopes[begins[lag] + k - lag] = newest[lag]
    return odd


@kernel
def _replace_slopes(
    newest: Row,
    begins: Places,
    turn: Places,
    slopes: Row,
    ordered: Row,
    state: tuple[int, int, int, float, float],
) -> tuple[int, int, int, float, float]:
    """Put a day's slopes in the places of those that leave the window.

    turn : which place of each number of days in between is next. state : as `_choose` returns it
    """
    count, below, inside, low, high = state
    days = turn.shape[0]
    for lag in range(1, days):
        place = begins[lag] + turn[lag]
        turn[lag] = turn[lag] + 1 if turn[lag] + 1 < days - lag else 0
        old = slopes[place]
        new = newest[lag]
        slopes[place] = new
        count += (0 if math.isnan(new) else 1) - (0 if math.isnan(old) else 1)
        below += (1 if new < low else 0) - (1 if old < low else 0)
        if inside < 0:
            continue
        if low <= old <= high:
            if low < high:
                _take_out(ordered, inside, old)
            inside -= 1
        if low <= new <= high:
            if low < high:
                _put_in(ordered, inside, new)
            inside += 1
    return count, below, inside, low, high


@kernel
def _median(
    slopes: Row, room: Row, ordered: Row, state: tuple[int, int, int, float, float]
) -> float:
    """Return the median of the slopes that are numbers, NaN where there is none."""
    count, below, inside, low, high = state
    if count == 0:
        return math.nan
    if inside < 0:
        place = 0
        for i in range(slopes.shape[0]):
            if not math.isnan(slopes[i]):
                room[place] = slopes[i]
                place += 1
        return float(np.median(room[:count]))
    if low == high:
        return low
    lower = ordered[(count - 1) // 2 - below]
    upper = ordered[count // 2 - below]
    return float((lower + upper) / 2 if count % 2 == 0 else upper)


@kernel
def rolling_median_slope(
    x: FloatPanel, y: FloatPanel, d: int, out: FloatPanel, first: int, last: int
) -> None:
    """Fill out with the median slope of y on x over all pairs of the d rows (Theil and Sen).

    Pairs of equal x are left out; NaN where none is left, before d rows are there and where the
    window holds NaN.
    """
    days = x.shape[0]
    out[: min(d - 1, days), first:last] = math.nan
    if d > days:
        return
    pairs = d * (d - 1) // 2
    slopes = np.empty(pairs)
    room = np.empty(pairs)
    ordered = np.empty(pairs + 1)
    newest = np.empty(d)
    begins = np.zeros(d, np.int64)
    for lag in range(2, d):
        begins[lag] = begins[lag - 1] + d - lag + 1
    turn = np.zeros(d, np.int64)
    near = 2 * d
    xs = np.empty(days)
    ys = np.empty(days)
    for j in range(first, last):
        for t in range(days):
            xs[t] = x[t, j]
            ys[t] = y[t, j]
        whole = 0
        plain = 0
        state = (0, 0, -1, math.nan, math.nan)
        for t in range(days):
            whole = 0 if math.isnan(xs[t]) | math.isnan(ys[t]) else whole + 1
            plain = plain + 1 if math.isfinite(xs[t]) & math.isfinite(ys[t]) else 0
            if t < d - 1:
                continue
            if whole < d:
                out[t, j] = math.nan
                continue
            window_x = xs[t - d + 1 : t + 1]
            window_y = ys[t - d + 1 : t + 1]
            if d <= FEW_DAYS or plain < d:
                out[t, j] = _median_of_window(window_x, window_y, room)
                continue
            if plain == d:
                odd = _fill_slopes(window_x, window_y, begins, newest, slopes)
                turn[:] = 0
                state = (0, 0, -1, math.nan, math.nan)
            else:
                odd = _newest_slopes(window_x, window_y, newest)
                state = _replace_slopes(newest, begins, turn, slopes, ordered, state)
            if odd:
                plain = 0
                out[t, j] = _median_of_window(window_x, window_y, room)
                continue
            count, below, inside, _, _ = state
            lost = (count - 1) // 2 < below or count // 2 >= below + inside
            if inside < 0 or lost or inside > 8 * near:
                state = _choose(slopes, near, room, ordered)
            out[t, j] = _median(slopes, room, ordered, state)
