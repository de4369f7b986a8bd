"""A panel of daily bars: days down, instruments across."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import MarketError
from alphafoundry.market.as_of import SeenFields, known_by
from alphafoundry.market.identity import DataVersion, Market
from alphafoundry.market.issues import ReadingNote, SeriesIssue
from alphafoundry.market.revisions import Revisions
from alphafoundry.market.screen import DataScreen, screen_of

__all__ = ["DataScreen", "Panel", "ReadingNote", "SeriesIssue"]

_EMPTY: Mapping[str, NDArray[np.float64]] = MappingProxyType({})


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
    members : bool array of shape (n_days, n_instruments), who belonged to the market on that day;
        None where the source does not say, and then every name with a price does
    market : the lasting identity; None for a panel made in memory, which is known by its content
    issues : faults found on load
    truth : effect to array of shape (n_days, n_instruments), the expected return that the
        planted effect adds to that day's return. Empty for real markets. Never a field.
    revisions : cells masked or repaired in fields, since when that is known, and what they showed
        until then (every field but returns and adv20, which follow from the others)
    raw : what the source gives beside adjusted prices, arrays of the same shape: close (as traded
        that day), dividend (cash a share) and split_factor (new shares per old one). Without
        close the market is "adjusted only": what a share cost that day is not known
    notes : what the reader of the source decided, changed or left out
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
    market: Market | None = None
    members: NDArray[np.bool_] | None = None
    raw: Mapping[str, NDArray[np.float64]] = field(default_factory=lambda: _EMPTY)
    notes: tuple[ReadingNote, ...] = ()

    @property
    def market_id(self) -> str:
        """16 hex digits that stay the same when a day is added, where `market` is known."""
        return self.fingerprint if self.market is None else self.market.id

    @property
    def version(self) -> DataVersion:
        """The content: fingerprint, first and last day."""
        first, last = self.dates[[0, -1]].tolist()
        return DataVersion(self.fingerprint, first, last)

    @property
    def shape(self) -> tuple[int, int]:
        """(n_days, n_instruments)."""
        return len(self.dates), len(self.symbols)

    @property
    def adjusted_only(self) -> bool:
        """Whether the source has adjusted prices alone: no share could be traded at them."""
        return "close" not in self.raw

    def screen(self) -> DataScreen:
        """Return the data screen: what these bars are, and what was found in them."""
        return screen_of(self)

    def until(self, day: date | str | np.datetime64) -> Panel:
        """Return the panel as it was known at the end of `day`, without any later bar.

        A bar that was masked or repaired because of a later one is shown as it was printed, and
        returns, adv20, universes and groups follow from what is shown. Arrays are views of this
        panel's, copied where such a bar is among them when they are first asked for. The market
        stays the same; the fingerprint and the label say the day. `issues` are of the whole
        series and so left out. Raises MarketError where no bar is that old.
        """
        try:
            last = np.datetime64(str(day), "D")
        except ValueError:
            raise MarketError(f"{day!r} is not a day; write it as 2020-01-31") from None
        rows = int(np.searchsorted(self.dates, last, side="right"))
        if rows == 0:
            raise MarketError(f"{self.label}: there is no bar up to {last}")
        if rows == len(self.dates):
            return self
        content = f"{self.fingerprint} until {self.dates[rows - 1]}"
        return replace(
            self,
            dates=self.dates[:rows],
            fields=SeenFields(self.fields, self.revisions, rows - 1),
            groups={name: array[:rows] for name, array in self.groups.items()},
            truth={name: array[:rows] for name, array in self.truth.items()},
            raw={name: array[:rows] for name, array in self.raw.items()},
            members=None if self.members is None else self.members[:rows],
            revisions=known_by(self.revisions, rows - 1),
            issues=(),
            label=f"{self.label}, as of {self.dates[rows - 1]}",
            fingerprint=hashlib.blake2b(content.encode(), digest_size=8).hexdigest(),
        )

    def __repr__(self) -> str:
        days, names = self.shape
        return (
            f"Panel({self.label!r}, {days} days x {names} instruments, "
            f"fields={sorted(self.fields)}, groups={sorted(self.groups)})"
        )
