"""Whether memory rises, and when it would meet its limit."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

WINDOW = 2 * 3600.0
BLOCK = 600.0
WARM_UP = 1800.0
LEAST_SLOPE = 5.0 * 2**20
"""Bytes an hour below which nothing is said."""

LEAST_RISE = 0.05


@dataclass(frozen=True)
class Rise:
    """Memory that rises.

    Attributes
    ----------
    slope : bytes an hour, the median of all slopes between two blocks (Theil and Sen)
    lower : bytes an hour that nine in ten of those slopes exceed
    hours_to_limit : None where there is no limit
    """

    slope: float
    lower: float
    hours_to_limit: float | None


def memory_rise(
    samples: Sequence[tuple[float, float]], *, limit: float | None = None
) -> Rise | None:
    """Return how memory rises over the last two hours, None where it does not.

    Parameters
    ----------
    samples : (seconds since the start of the life, bytes), ascending; the smallest of each ten
        minutes counts, so that what is freed again does not
    limit : bytes

    A cache that fills and a saw-tooth of hours look the same: it is a rise, and a leak only when it
    would meet the limit.
    """
    if not samples or samples[-1][0] < WARM_UP + WINDOW:
        return None
    last = samples[-1][0]
    least: dict[int, float] = {}
    for moment, size in samples:
        if moment > last - WINDOW:
            block = int((last - moment) // BLOCK)
            least[block] = min(size, least.get(block, size))
    points = sorted((-block * BLOCK / 3600, size) for block, size in least.items())
    slopes = sorted(
        (b - a) / (y - x)
        for position, (x, a) in enumerate(points)
        for y, b in points[position + 1 :]
    )
    if len(points) < WINDOW / BLOCK - 1:
        return None
    slope, lower = statistics.median(slopes), slopes[len(slopes) // 10]
    risen = points[-1][1] / max(points[0][1], 1.0) - 1
    if lower < LEAST_SLOPE or risen < LEAST_RISE:
        return None
    hours = None if limit is None else max(0.0, (limit - points[-1][1]) / slope)
    return Rise(slope, lower, hours)
