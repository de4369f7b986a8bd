"""What a person must keep in mind of a market before believing a result on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from alphafoundry.market.frequency import DAYS_A_YEAR, bars_a_year, calendar_name
from alphafoundry.market.groups import AS_OF_THE_DAY

FEWEST_BARS = 10
SPARSE_SHARE = 0.5
RECENT_ROWS = 5
SURVIVORS_SHARE = 0.99
SHOWN = 5
"""Names that a caution lists."""


class Cautioned(Protocol):
    """What the cautions are about: a `Panel`."""

    @property
    def synthetic(self) -> bool: ...
    @property
    def dates(self) -> NDArray[np.datetime64]: ...
    @property
    def symbols(self) -> NDArray[np.str_]: ...
    @property
    def fields(self) -> Mapping[str, NDArray[np.float64]]: ...
    @property
    def groups(self) -> Mapping[str, NDArray[np.int32]]: ...
    @property
    def descriptions(self) -> Mapping[str, str]: ...
    @property
    def members(self) -> NDArray[np.bool_] | None: ...


def names_at_the_end(panel: Cautioned) -> tuple[int, int]:
    """Return (names with a close in the last 5 rows, names with any close)."""
    priced = ~np.isnan(panel.fields["close"])
    return (
        int(np.count_nonzero(priced[-RECENT_ROWS:].any(axis=0))),
        int(np.count_nonzero(priced.any(axis=0))),
    )


def listed(names: Sequence[str], most: int) -> str:
    """Return names with commas between them, and how many there are beyond the most shown."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def cautions(panel: Cautioned) -> tuple[str, ...]:
    """Return one sentence for each thing that flatters results on a real market.

    A market of survivors only, members that are not known by day, groups that are those of today
    on all days. Empty for a synthetic market, which has neither.
    """
    if panel.synthetic:
        return ()
    found = []
    alive, all_names = names_at_the_end(panel)
    if panel.members is None:
        if alive >= SURVIVORS_SHARE * all_names:
            found.append(
                f"Survivors only: {alive} of {all_names} names still trade at the end, so names "
                "that failed or were taken over before are missing; results are better than what "
                "could have been earned"
            )
        else:
            found.append(
                "Members by day are not known: every name counts on all of its days, whoever "
                f"chose the names ({alive} of {all_names} still trade at the end)"
            )
    found += _of_like_names(panel)
    found += _of_one_series(panel)
    found += _of_other_frequency(panel)
    fixed = sorted(
        name
        for name in panel.groups
        if name != "market" and not panel.descriptions.get(name, "").endswith(AS_OF_THE_DAY)
    )
    if fixed:
        found.append(
            f"{', '.join(fixed)}: the groups of one day are used on all days; a name that changed "
            "its business is compared with what it became"
        )
    return tuple(found)


def _of_like_names(panel: Cautioned) -> list[str]:
    """Name the series whose symbols differ in the case of their letters alone."""
    alike: dict[str, list[str]] = {}
    for symbol in panel.symbols.tolist():
        alike.setdefault(symbol.casefold(), []).append(symbol)
    pairs = [" and ".join(sorted(names)) for names in alike.values() if len(names) > 1]
    if not pairs:
        return []
    return [
        "Symbols that differ in case alone count as different names: "
        f"{listed(pairs, SHOWN)}; if they are one name, give it one spelling"
    ]


def _of_one_series(panel: Cautioned) -> list[str]:
    """Name the symbols whose closes are the same on all days, to the last bit."""
    alike: dict[bytes, list[str]] = {}
    close = panel.fields["close"]
    for column in np.flatnonzero(np.count_nonzero(~np.isnan(close), axis=0) >= FEWEST_BARS):
        alike.setdefault(close[:, column].tobytes(), []).append(str(panel.symbols[column]))
    twins = [", ".join(names[:SHOWN]) for names in alike.values() if len(names) > 1]
    if not twins:
        return []
    number = sum(len(names) for names in alike.values() if len(names) > 1)
    return [
        f"{number} names have the closes of another on all days ({'; '.join(twins[:SHOWN])}): one "
        "series under several symbols counts several times; keep one of each"
    ]


def _of_other_frequency(panel: Cautioned) -> list[str]:
    """Name the series whose bars are further apart than those of the market."""
    usual = bars_a_year(panel.dates)
    if usual < DAYS_A_YEAR:
        return []
    present = ~np.isnan(panel.fields["close"])
    first = present.argmax(axis=0)
    last = len(present) - 1 - present[::-1].argmax(axis=0)
    counts = np.count_nonzero(present, axis=0)
    sparse = (counts >= FEWEST_BARS) & (counts < SPARSE_SHARE * (last - first + 1))
    coarse: dict[str, list[str]] = {}
    for column in np.flatnonzero(sparse):
        own = bars_a_year(panel.dates[present[:, column]])
        if own < DAYS_A_YEAR / 2:
            coarse.setdefault(calendar_name(own), []).append(str(panel.symbols[column]))
    found = []
    for kind, names in coarse.items():
        found.append(
            f"{kind.capitalize()} bars among daily ones: {listed(names, SHOWN)}; their moves "
            "are of more than a day: give daily bars, or leave these out"
        )
    return found
