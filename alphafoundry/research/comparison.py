"""A search of the true prices beside its placebos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alphafoundry.store import PlaceboRow

TRUE_PRICES = 0
"""Number of the search of the true prices; the others count from 1."""


@dataclass(frozen=True)
class Compared:
    """One number of the search beside the same number of its placebos.

    Attributes
    ----------
    true : of the true prices; None where the search made no alpha
    p : (1 + placebos at least as good) / (1 + placebos); None without a search of the true prices
    median, highest : of the placebos, None without any
    """

    true: float | None
    p: float | None
    median: float | None
    highest: float | None

    @classmethod
    def of(cls, true: float | None, placebos: Sequence[float | None]) -> Compared:
        """Compare; a search that made no alpha is worse than any that did."""
        known = [value for value in placebos if value is not None]
        p = None
        if true is not None:
            p = (1 + sum(value >= true for value in known)) / (1 + len(placebos))
        return cls(
            true,
            p,
            float(np.median(known)) if known else None,
            max(known, default=None),
        )


def compare(rows: Sequence[PlaceboRow]) -> tuple[Compared, Compared, int]:
    """Return the best Sharpe ratio, the mean of the unlike ones, and the number of placebos."""
    true = next((row for row in rows if row.number == TRUE_PRICES), None)
    placebos = [row for row in rows if row.number != TRUE_PRICES]
    best = Compared.of(true.best_sharpe if true else None, [row.best_sharpe for row in placebos])
    unlike = Compared.of(
        true.unlike_sharpe if true else None, [row.unlike_sharpe for row in placebos]
    )
    return best, unlike, len(placebos)
