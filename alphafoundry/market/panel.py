"""A panel of daily bars: days down, instruments across."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from alphafoundry.market.revisions import Revisions

_EMPTY: Mapping[str, NDArray[np.float64]] = MappingProxyType({})


@dataclass(frozen=True)
class SeriesIssue:
    """A fault found in one instrument's bars, and what was done about it.

    Attributes
    ----------
    symbol : the instrument; "" where the fault is of the whole file
    kind : "duplicate-day", "absurd-price", "non-positive-price", "gap", "split", "stale", ...
    detail : one line for a person, with dates and values
    masked : number of days set to NaN because of it (0 where it is only reported)
    """

    symbol: str
    kind: str
    detail: str
    masked: int = 0


@dataclass(frozen=True, eq=False)
class Panel:
    """Daily bars of many instruments, aligned on one calendar.

    Attributes
    ----------
    dates : datetime64[D] array of shape (n_days,), ascending, unique
    symbols : str array of shape (n_instruments,), unique
    fields : name to float64 array of shape (n_days, n_instruments), C order; NaN is missing.
        Always holds close and returns; holds open, high, low, volume, vwap, adv20, cap only
        where the source knows them
    groups : name to int32 array of shape (n_days, n_instruments); label 0..n-1, -1 is unknown.
        Always holds market; sector, industry, subindustry only where the source knows them
    group_names : group to the names of its labels, in label order
    source : what the user asked for ("calibration", "sample", "yfinance" or a path)
    label : one line for reports: name, dates, size, source; starts with SYNTHETIC where it is
    synthetic : True where prices were generated
    fingerprint : 16 hex digits that identify the content
    issues : faults found on load
    truth : effect to array of shape (n_days, n_instruments), the expected return that the
        planted effect adds to that day's return. Empty for real markets. Never a field.
    revisions : cells masked or repaired in fields, since when that is known, and what they showed
        until then (every field but returns and adv20, which follow from the others)
    descriptions : field or group to one line for people (GET /data-fields shows it)
    """

    dates: NDArray[np.datetime64]
    symbols: NDArray[np.str_]
    fields: Mapping[str, NDArray[np.float64]]
    groups: Mapping[str, NDArray[np.int32]]
    source: str
    label: str
    synthetic: bool
    fingerprint: str
    group_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    issues: tuple[SeriesIssue, ...] = ()
    truth: Mapping[str, NDArray[np.float64]] = field(default_factory=lambda: _EMPTY)
    descriptions: Mapping[str, str] = field(default_factory=dict)
    revisions: Revisions = field(default_factory=Revisions)

    @property
    def shape(self) -> tuple[int, int]:
        """(n_days, n_instruments)."""
        return len(self.dates), len(self.symbols)

    def __repr__(self) -> str:
        days, names = self.shape
        return (
            f"Panel({self.label!r}, {days} days x {names} instruments, "
            f"fields={sorted(self.fields)}, groups={sorted(self.groups)})"
        )
