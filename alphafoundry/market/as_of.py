"""The fields of a panel as they were seen on one of its days."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from alphafoundry.market.fields import ADV_DAYS, trailing_mean
from alphafoundry.market.returns import simple_returns
from alphafoundry.market.revisions import Revisions

Array = NDArray[np.float64]


class SeenFields(Mapping[str, Array]):
    """Fields up to a row, with every fault that was known only later taken back.

    A field is a view of the whole one where nothing was revised later. Otherwise it is copied
    when it is first asked for, so that looking at a day costs what is looked at.
    """

    def __init__(self, fields: Mapping[str, Array], revisions: Revisions, row: int) -> None:
        self._fields = fields
        self._revisions = revisions
        self._row = row
        self._columns = np.unique(revisions.columns[revisions.pending(row)])
        self._seen: dict[str, Array] = {}

    def __getitem__(self, name: str) -> Array:
        if name not in self._seen:
            whole = self._fields[name]
            seen = whole[: self._row + 1] if not len(self._columns) else self._take_back(name)
            seen.flags.writeable = False
            self._seen[name] = seen
        return self._seen[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def _take_back(self, name: str) -> Array:
        whole = self._fields[name]
        if name in self._revisions.before:
            return self._revisions.as_of(self._row, {name: whole})[name]
        seen = whole[: self._row + 1]
        if name == "returns":
            derived = simple_returns(self["close"][:, self._columns])
        elif name == "adv20":
            derived = trailing_mean(self["volume"][:, self._columns], ADV_DAYS)
        else:
            return seen
        seen = seen.copy()
        seen[:, self._columns] = derived
        return seen


def known_by(revisions: Revisions, row: int) -> Revisions:
    """Return the revisions that were known on `row`."""
    known = int(np.searchsorted(revisions.known_at, row, side="right"))
    return Revisions(
        revisions.rows[:known],
        revisions.columns[:known],
        revisions.known_at[:known],
        {name: before[:known] for name, before in revisions.before.items()},
        tuple(found for found in revisions.breaks if found.known_at <= row),
    )
