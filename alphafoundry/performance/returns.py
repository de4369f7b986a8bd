"""Daily returns of a book, and of what it is measured against."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import PerformanceError

Array = NDArray[np.float64]
Days = NDArray[np.datetime64]


@dataclass(frozen=True, eq=False)
class ReturnSeries:
    """Simple net returns by day, oldest first.

    Attributes
    ----------
    dates : datetime64[D] of shape (n_days,), ascending
    returns : fractions (0.01 is 1 %), shape (n_days,), without NaN, above -1
    benchmark : the same of a benchmark; NaN on days without one; None where there is none

    Raises PerformanceError where shapes, order or values are otherwise.
    """

    dates: Days
    returns: Array
    benchmark: Array | None = None

    def __post_init__(self) -> None:
        if self.returns.ndim != 1 or len(self.dates) != len(self.returns):
            raise PerformanceError(
                f"{len(self.dates)} days and returns of shape {self.returns.shape}; give one "
                "return a day"
            )
        if not np.isfinite(self.returns).all() or (self.returns <= -1.0).any():
            raise PerformanceError(
                "returns hold NaN, infinite values or a loss of everything; leave such days out"
            )
        if (np.diff(self.dates) <= np.timedelta64(0, "D")).any():
            raise PerformanceError("days are not ascending; sort them, each day once")
        if self.benchmark is not None and self.benchmark.shape != self.returns.shape:
            raise PerformanceError(
                f"a benchmark of shape {self.benchmark.shape} does not fit returns of shape "
                f"{self.returns.shape}"
            )

    def __len__(self) -> int:
        return len(self.returns)

    @property
    def growth(self) -> Array:
        """What one dollar has become at the end of each day, shape (n_days,)."""
        return np.asarray(np.cumprod(1.0 + self.returns))

    def paired(self) -> tuple[Array, Array]:
        """Return (returns, benchmark) of the days that have both."""
        if self.benchmark is None:
            return self.returns[:0], self.returns[:0]
        both = np.isfinite(self.benchmark)
        return self.returns[both], self.benchmark[both]


def returns_of_equity(dates: Days, equity: Array, *, transfers: Array | None = None) -> Array:
    """Return time-weighted daily returns, shape (n_days - 1,), for the days after the first.

    (equity[t] - transfers[t]) / equity[t - 1] - 1: what came in or went out counts as if it had
    come at the end of its day (Dietz, "Pension Funds: Measuring Investment Performance", 1966).

    Parameters
    ----------
    equity : dollars at the end of each day, shape (n_days,), above 0
    transfers : dollars that came in that day, below 0 went out; None is none

    Raises PerformanceError for shapes that do not fit and for equity that is not above 0.
    """
    came = np.zeros_like(equity) if transfers is None else transfers
    if equity.shape != dates.shape or came.shape != equity.shape:
        raise PerformanceError("days, equity and transfers differ in shape; give one a day each")
    if not (equity > 0.0).all():
        raise PerformanceError("equity is not above 0 on every day; no return follows from that")
    return np.asarray((equity[1:] - came[1:]) / equity[:-1] - 1.0)
