"""Which bars a race is run on, and what happens on which day."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from alphafoundry.algorithms.arena_settings import ArenaSettings
from alphafoundry.errors import MarketError
from alphafoundry.finance.bars import TickerBars
from alphafoundry.market import Panel


class RaceDays:
    """The days of a race: what is history, and which ticker has which bar on which day.

    Attributes
    ----------
    bars : of each ticker
    dates : datetime64[D] array of shape (n_days,), the days from the first decision on
    past : ticker to its bars before the first decision, shape (n_bars, 5)
    rows : for each day (number of the ticker, number of its bar since the first decision, its
        open, high, low, close and volume)
    """

    def __init__(self, bars: list[TickerBars], settings: ArenaSettings) -> None:
        self.bars = bars
        everything = np.unique(np.concatenate([each.dates for each in bars]))
        # Day 0 of the race is the same for all; a ticker that is younger joins when it has bars.
        start = min(each.dates[settings.warm_up] for each in bars)
        self.dates = everything[everything >= start].astype("datetime64[D]")
        self.past: dict[str, NDArray[np.float64]] = {}
        self.rows: list[list[tuple[int, int, tuple[float, float, float, float, float]]]]
        self.rows = [[] for _ in self.dates]
        for ticker, each in enumerate(bars):
            table = each.table()
            first = int(np.searchsorted(each.dates, start))
            self.past[each.ticker] = table[:first]
            days = np.searchsorted(self.dates, each.dates[first:])
            for tick, (day, row) in enumerate(zip(days, table[first:].tolist(), strict=True)):
                self.rows[int(day)].append((ticker, tick, tuple(row)))

    def day(self, index: int) -> dt.date:
        """Return the date of a day."""
        return self.dates[index].astype(dt.date)  # type: ignore[no-any-return]


def chosen_bars(market: Panel | Sequence[TickerBars], settings: ArenaSettings) -> list[TickerBars]:
    """Return the bars of each ticker of a race, on the days that the settings allow.

    Raises MarketError where no ticker has enough of them.
    """
    if isinstance(market, Panel):
        tickers = settings.tickers or _most_traded(market, settings)
        chosen = [TickerBars.from_panel(market, ticker) for ticker in tickers]
    else:
        chosen = [b for b in market if not settings.tickers or b.ticker in settings.tickers]
    chosen = [_between(bars, settings) for bars in chosen]
    chosen = [bars for bars in chosen if len(bars) > settings.warm_up]
    if not chosen:
        raise MarketError(
            f"no ticker has more than {settings.warm_up} days between {settings.first_day or 'the'}"
            f" {'and' if settings.first_day else 'start and'} {settings.last_day or 'the end'}; "
            "lower warm_up or choose other days"
        )
    return chosen


def _most_traded(panel: Panel, settings: ArenaSettings) -> tuple[str, ...]:
    days = _inside(panel.dates, settings)
    first = np.flatnonzero(days)[: max(settings.warm_up, 1)]
    close = panel.fields["close"][first]
    volume = panel.fields.get("volume")
    value = np.where(np.isfinite(close), close, 0.0)
    if volume is not None:
        value = value * np.nan_to_num(volume[first])
    order = np.argsort(-value.sum(axis=0), kind="stable")[: settings.most_tickers]
    return tuple(str(symbol) for symbol in panel.symbols[np.sort(order)])


def _between(bars: TickerBars, settings: ArenaSettings) -> TickerBars:
    days = _inside(bars.dates, settings) & np.isfinite(bars.close) & (bars.close > 0)
    return bars if days.all() else bars.rows(days)


def _inside(dates: NDArray[np.datetime64], settings: ArenaSettings) -> NDArray[np.bool_]:
    inside = np.ones(len(dates), np.bool_)
    if settings.first_day is not None:
        inside &= dates >= np.datetime64(settings.first_day)
    if settings.last_day is not None:
        inside &= dates <= np.datetime64(settings.last_day)
    return inside
