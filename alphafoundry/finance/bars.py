"""Daily bars: of some instruments on one calendar, and of one ticker on its own days."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import BacktestError, MarketError
from alphafoundry.market import Panel
from alphafoundry.market.frequency import bars_a_year
from alphafoundry.market.screen import DataScreen

FIELDS = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True, eq=False)
class Bars:
    """Daily bars, aligned on one calendar.

    Attributes
    ----------
    days : datetime64[D] array of shape (n_days,), ascending
    symbols : one name per instrument
    open, high, low, close, volume : float64 arrays of shape (n_days, n_instruments), C order; NaN
        is missing. A field that the source does not know is NaN everywhere
    label : one line for reports, starts with SYNTHETIC where prices were generated
    synthetic : True where prices were generated
    screen : what is known of the market's data, for reports; None where nobody looked
    groups : sector, industry and subindustry where the market knows them: int32 codes of shape
        (n_days, n_instruments), negative is unknown
    """

    days: NDArray[np.datetime64]
    symbols: tuple[str, ...]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]
    label: str
    synthetic: bool
    screen: DataScreen | None = None
    groups: Mapping[str, NDArray[np.int32]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = (len(self.days), len(self.symbols))
        if not shape[0] or not shape[1]:
            raise BacktestError(
                f"{self.label or 'bars'}: {shape[0]} days x {shape[1]} instruments leave nothing "
                "to backtest; widen the dates or the symbols"
            )
        for name in FIELDS:
            values = getattr(self, name)
            if values.shape != shape or values.dtype != np.float64:
                raise BacktestError(
                    f"{self.label or 'bars'}: {name} is {values.dtype}{values.shape}, "
                    f"give float64{shape}"
                )

    @classmethod
    def from_panel(
        cls,
        panel: Panel,
        symbols: Sequence[str] | None = None,
        start: str | date | np.datetime64 | None = None,
        end: str | date | np.datetime64 | None = None,
        max_bars: int | None = None,
    ) -> Bars:
        """Return the bars of a market.

        Parameters
        ----------
        symbols : instruments in the order wanted; None takes all
        start, end : first and last day, both included; None takes the panel's
        max_bars : keep the last so many days of these

        Raises BacktestError where a symbol is unknown or no day is left.
        """
        known = {str(name): column for column, name in enumerate(panel.symbols)}
        wanted = list(known) if symbols is None else [str(name) for name in symbols]
        unknown = [name for name in wanted if name not in known]
        if unknown:
            raise BacktestError(
                f"{panel.source}: unknown symbol {unknown[0]!r}; "
                f"the market holds {', '.join(sorted(known)[:8])}{', ...' * (len(known) > 8)}"
            )
        if len(set(wanted)) < len(wanted):
            raise BacktestError(f"{panel.source}: a symbol is listed twice; name each once")
        first = 0 if start is None else int((panel.dates < _day(start)).sum())
        last = len(panel.dates) if end is None else int((panel.dates <= _day(end)).sum())
        if max_bars is not None:
            first = max(first, last - max_bars)
        chosen = [known[name] for name in wanted]

        def values(name: str) -> NDArray[np.float64]:
            if name not in panel.fields:
                return np.full((max(last - first, 0), len(chosen)), np.nan)
            return np.ascontiguousarray(panel.fields[name][first:last][:, chosen], dtype=float)

        return cls(
            days=np.array(panel.dates[first:last]),
            symbols=tuple(wanted),
            label=panel.label,
            synthetic=panel.synthetic,
            screen=None,
            groups={
                name: np.ascontiguousarray(codes[first:last][:, chosen], dtype=np.int32)
                for name, codes in panel.groups.items()
                if name != "market"
            },
            **{name: values(name) for name in FIELDS},
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(n_days, n_instruments)."""
        return self.close.shape

    def between(self, start_row: int, end_row: int) -> Bars:
        """Return the bars of rows start_row to end_row, the last not included."""
        rows = slice(start_row, end_row)
        return Bars(
            days=self.days[rows],
            symbols=self.symbols,
            label=self.label,
            synthetic=self.synthetic,
            screen=self.screen,
            groups={name: codes[rows] for name, codes in self.groups.items()},
            **{name: getattr(self, name)[rows] for name in FIELDS},
        )

    def has(self, name: str) -> bool:
        """Return whether the field is known for at least one day, or the group is known."""
        return name in self._known

    @cached_property
    def _known(self) -> frozenset[str]:
        """Fields and groups that are known; every batch and narrowed strategy asks for them."""
        fields = (name for name in FIELDS if not np.isnan(getattr(self, name)).all())
        return frozenset((*fields, *self.groups))

    @cached_property
    def bars_a_year(self) -> float:
        """How many of these bars a year has: 252 for exchange days."""
        return bars_a_year(self.days)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of days, symbols, values and groups, 64 hex digits; the label does not count."""
        digest = hashlib.sha256()
        digest.update(repr((self.shape, self.symbols)).encode())
        digest.update(self.days.astype("datetime64[D]").astype(np.int64).tobytes())
        for name in FIELDS:
            digest.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        for name, codes in sorted(self.groups.items()):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(codes).tobytes())
        return digest.hexdigest()

    def __repr__(self) -> str:
        return (
            f"Bars({self.label!r}, {self.shape[0]} days x {self.shape[1]} instruments, "
            f"{self.days[0]} to {self.days[-1]})"
        )


@dataclass(frozen=True, eq=False)
class TickerBars:
    """Daily bars of one ticker on the days that it has a close, oldest first.

    Attributes
    ----------
    ticker : its name
    dates : datetime64[D] array of shape (n_days,), ascending
    open, high, low, close, volume : float64 arrays of shape (n_days,); prices in dollars, volume
        in shares. close is finite; NaN elsewhere is missing
    """

    ticker: str
    dates: NDArray[np.datetime64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]

    @classmethod
    def from_panel(cls, panel: Panel, ticker: str) -> TickerBars:
        """Return one instrument's bars: the days with a positive close.

        Fields that the panel does not know are NaN. Raises MarketError for an unknown ticker.
        """
        found = np.flatnonzero(panel.symbols == ticker)
        if not len(found):
            raise MarketError(f"the market {panel.source!r} has no ticker {ticker!r}")
        column = int(found[0])
        close = panel.fields["close"][:, column]
        days = np.isfinite(close) & (close > 0)

        def values(name: str) -> NDArray[np.float64]:
            if name not in panel.fields:
                return np.full(int(days.sum()), np.nan)
            return np.ascontiguousarray(panel.fields[name][days, column])

        return cls(str(ticker), panel.dates[days], *(values(name) for name in FIELDS))

    def rows(self, chosen: slice | NDArray[np.bool_]) -> TickerBars:
        """Return the bars of some days: a slice, or a bool array of shape (n_days,)."""
        return TickerBars(
            self.ticker, self.dates[chosen], *(getattr(self, name)[chosen] for name in FIELDS)
        )

    def __len__(self) -> int:
        return len(self.close)

    def __repr__(self) -> str:
        if not len(self):
            return f"TickerBars({self.ticker!r}, no days)"
        first, last = (day.astype(date).isoformat() for day in self.dates[[0, -1]])
        return f"TickerBars({self.ticker!r}, {len(self)} days, {first} to {last})"

    def table(self) -> NDArray[np.float64]:
        """Return open, high, low, close, volume as the columns of shape (n_days, 5), C order."""
        columns = [getattr(self, name) for name in FIELDS]
        return np.ascontiguousarray(np.column_stack(columns), dtype=np.float64)


def _day(text: str | date | np.datetime64) -> np.datetime64:
    try:
        return np.datetime64(str(text), "D")
    except ValueError:
        raise BacktestError(f"{text!r} is not a day; write it as 2020-01-31") from None
