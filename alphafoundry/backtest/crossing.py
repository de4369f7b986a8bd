"""The moving-average cross as one kernel: two window sums per cell, no array in between."""

from __future__ import annotations

from alphafoundry.compilation import CountMatrix, FloatMatrix, kernel

SAME = 1e-12
"""Averages that agree to twelve digits are equal: no trade on rounding noise."""


@kernel
def cross(
    high: FloatMatrix,
    low: FloatMatrix,
    age: CountMatrix,
    fast: int,
    slow: int,
    down: float,
    out: FloatMatrix,
) -> None:
    """Fill out with 1 where the fast mean is above the slow one, `down` where it is below.

    high, low : double-double cumulative sums, shape (n_instruments, n_days + 1)
    age : days in a row with a close; 0 is given until both windows are full
    """
    rows, days = out.shape
    longest = max(fast, slow)
    for i in range(rows):
        answer = out[i]
        answer[: min(longest - 1, days)] = 0.0
        count = days - longest + 1
        if count <= 0:
            continue
        now_high = high[i, longest:]
        now_low = low[i, longest:]
        fast_high = high[i, longest - fast :]
        fast_low = low[i, longest - fast :]
        slow_high = high[i, longest - slow :]
        slow_low = low[i, longest - slow :]
        full = age[i, longest - 1 :]
        filled = answer[longest - 1 :]
        for t in range(count):
            quick = ((now_high[t] - fast_high[t]) + (now_low[t] - fast_low[t])) * slow
            steady = ((now_high[t] - slow_high[t]) + (now_low[t] - slow_low[t])) * fast
            edge = SAME * abs(steady)
            gap = quick - steady
            value = 1.0 if gap > edge else (down if gap < -edge else 0.0)
            filled[t] = value if full[t] >= longest else 0.0
