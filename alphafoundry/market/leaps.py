"""Leaps of one price series: moves too large to pass without a question."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LEAP_LOG = float(np.log(2.0))
"""A close that doubles or halves is a leap."""
JUMP_LOG = float(np.log(50.0))
SPIKE_SIGMAS = 12.0
SPIKE_BARS = 5
SPIKE_REST = 0.1
SPLIT_PARTS = tuple(range(2, 31))
SPLIT_TOLERANCE = 0.004


@dataclass(frozen=True)
class Leap:
    """A leap of a price series.

    Attributes
    ----------
    kind : "spike" (turns back within SPIKE_BARS bars), "jump" (by a factor of 50 or more, and
        stays) or "split" (by n or 1/n, and stays)
    start : index of the first bar away from the old price
    back : for a spike the index of the first bar back at it, otherwise start + 1
    parts : for a split the n, positive where the price fell (n for 1), negative where it rose
    """

    kind: Literal["spike", "jump", "split"]
    start: int
    back: int
    parts: int = 0


def find_leaps(log_price: Array) -> Iterator[Leap]:
    """Yield the leaps of a series in the order of time.

    Parameters
    ----------
    log_price : logarithm of the price by bar, shape (n_bars,), without NaN

    A spike must also exceed SPIKE_SIGMAS robust deviations of the series' own changes, and come
    back to within a tenth of the leap. Any other large move, such as a crash or a takeover, is
    none.
    """
    changes = np.diff(log_price)
    if not len(changes):
        return
    threshold = max(LEAP_LOG, SPIKE_SIGMAS * _robust_sigma(changes))
    settled = 0
    for before in np.flatnonzero(np.abs(changes) > LEAP_LOG):
        start = int(before) + 1
        if start < settled:
            continue
        size = float(changes[before])
        away = _bars_away(log_price, start) if abs(size) > threshold else 0
        if away:
            settled = start + away + 1
            yield Leap("spike", start, start + away)
        elif abs(size) > JUMP_LOG:
            yield Leap("jump", start, start + 1)
        elif parts := _split_parts(size):
            yield Leap("split", start, start + 1, parts)


def _bars_away(log_price: Array, start: int) -> int:
    """Return how many bars the price stays away from its level before `start`, 0 for ever.

    On the way every bar stays away by at least half of the leap.
    """
    level = log_price[start - 1]
    size = log_price[start] - level
    for bars in range(1, min(SPIKE_BARS, len(log_price) - 1 - start) + 1):
        rest = (log_price[start + bars] - level) / size
        if abs(rest) <= SPIKE_REST:
            return bars
        if rest < 0.5:
            return 0
    return 0


def _split_parts(size: float) -> int:
    ratio = float(np.exp(abs(size)))
    nearest = min(SPLIT_PARTS, key=lambda parts: abs(ratio / parts - 1.0))
    if abs(ratio / nearest - 1.0) > SPLIT_TOLERANCE:
        return 0
    return nearest if size < 0 else -nearest


def _robust_sigma(changes: Array) -> float:
    """Return 1.4826 times the median absolute change, a deviation that outliers cannot move."""
    return 1.4826 * float(np.median(np.abs(changes)))
