"""What a panel showed before a fault was known: the cells that were masked or repaired later.

A spike is known to be one when the price is back, a split some bars after it. A value of row t
that was judged on row k > t was seen as it was printed by whoever looked on the rows between. This
module keeps what those saw, so that a panel can be shown as of any of its days.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Rows = NDArray[np.int32]


@dataclass(frozen=True)
class LevelBreak:
    """A change of a series' price level that no holder earned, divided out of the prices.

    All prices from `row` on were multiplied by `factor`, and volume divided by it where it had
    changed its unit too. Prices before `row` are as the source gives them, so that what is known
    later changes no earlier price.

    Attributes
    ----------
    column, row : instrument, and first row at the new level
    known_at : row on which this was decided; row <= known_at
    factor : what prices from `row` on were multiplied by (4 for a split of 4 for 1)
    kind : "split", or "jump": a rise by a factor of 50 or more that no trade explains
    volume : whether volume was divided by the factor
    """

    column: int
    row: int
    known_at: int
    factor: float
    kind: Literal["split", "jump"]
    volume: bool = False


def _no_rows() -> Rows:
    return np.zeros(0, dtype=np.int32)


@dataclass(frozen=True, eq=False)
class Revisions:
    """Cells that were masked or repaired, and what they showed until then; all of shape (n,).

    Ordered by known_at. A cell comes more than once where it was revised more than once.

    Attributes
    ----------
    rows, columns : place of the cell
    known_at : row on which the fault was known, rows <= known_at. On the row itself where they
        are equal, so nobody saw the value
    before : column of bars or field of a panel to the values before this revision, NaN where
        the value was missing or masked before
    breaks : level breaks divided out, by known_at; their cells between row and known_at are
        among the revisions
    """

    rows: Rows = field(default_factory=_no_rows)
    columns: Rows = field(default_factory=_no_rows)
    known_at: Rows = field(default_factory=_no_rows)
    before: Mapping[str, Array] = field(default_factory=dict)
    breaks: tuple[LevelBreak, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def pending(self, row: int) -> NDArray[np.intp]:
        """Return which revisions concern days up to `row` but were known only later.

        In the order in which they must be taken back, the latest first.
        """
        return np.flatnonzero((self.rows <= row) & (self.known_at > row))[::-1]

    def as_of(self, row: int, values: Mapping[str, Array]) -> dict[str, Array]:
        """Return the rows up to and with `row` as they were seen on that row.

        Parameters
        ----------
        values : name to array of shape (n_days, n_instruments), with all revisions made

        Views where nothing was revised later, copies elsewhere. Only names in `before` are
        taken back; what is derived from them over days (returns, adv20) is the caller's to
        derive again, for the columns of `pending`.
        """
        undone = self.pending(row)
        seen = {name: array[: row + 1] for name, array in values.items()}
        if len(undone):
            # Of equal cells the last assignment stays: the earliest revision, what was seen.
            cells = self.rows[undone], self.columns[undone]
            for name, before in self.before.items():
                if name in seen:
                    seen[name] = seen[name].copy()
                    seen[name][cells] = before[undone]
        return seen

    def renamed(self, before: Mapping[str, Array]) -> Revisions:
        """Return the same cells with the values of other columns or fields."""
        return Revisions(self.rows, self.columns, self.known_at, before, self.breaks)
