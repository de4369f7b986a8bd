"""What a run races on: the market, the tickers, and where the race begins."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from alphafoundry.algorithms.arena_settings import ArenaSettings
from alphafoundry.algorithms.blind_bars import hide
from alphafoundry.algorithms.contract import WARM_UP
from alphafoundry.algorithms.leader_board import RaceResult
from alphafoundry.algorithms.prompts import MarketNote, describe_bars
from alphafoundry.errors import MarketError
from alphafoundry.finance.bars import TickerBars
from alphafoundry.market import Panel, load_market
from alphafoundry.settings import FoundrySettings

_BLIND_LABEL = "daily bars of stocks; their names, dates and price levels are hidden"

MOST_TRADED = 4
FEWEST_DAYS = 120
SMOKE_DAYS = WARM_UP + 120
FALLBACK_MARKET = "sample"


@dataclass(frozen=True, eq=False)
class RaceCourse:
    """Where algorithms race.

    Attributes
    ----------
    panel : the market
    tickers : what is raced on
    settings : of the arena; its days are a warm-up and then the race
    first_race_day : row of the panel on which the first decision is taken
    note : one line on a choice that a person may want to know, or ""
    kept_apart : what is said of the days after the race
    blind : whether tickers, dates and price levels are hidden from prompts and programs
    """

    panel: Panel
    tickers: tuple[str, ...]
    settings: ArenaSettings
    first_race_day: int
    note: str = ""
    kept_apart: str = ""
    blind: bool = False

    def before_sealed_days(
        self, settings: FoundrySettings, *, search_to: date, sealed_from: date
    ) -> RaceCourse:
        """Return the course on the market as it was known on its last search day.

        Raises MarketError where too few days are left for a race.
        """
        panel = self.panel.until(search_to)
        course = _course(panel, settings.algorithms.tickers, settings, self.note)
        last = self.panel.dates[-1]
        return replace(
            course,
            kept_apart=f"{sealed_from} to {last} are sealed: nothing that is chosen here saw them",
        )

    def prompt_note(self) -> MarketNote:
        """Return what prompts may say: nothing of the days that are raced on."""
        before = [self._before(bars) for bars in self._bars()]
        longest = max(len(bars) for bars in before)
        label = _BLIND_LABEL if self.blind else self.panel.label
        if self.blind and self.panel.synthetic:
            label = f"SYNTHETIC: {label}"
        return describe_bars(before, label=label, first_race_day=longest, without_dates=self.blind)

    def arena(self) -> tuple[Panel | list[TickerBars], ArenaSettings]:
        """Return what is raced on and how, as programs may see it."""
        if not self.blind:
            return self.panel, self.settings
        return self._bars(), replace(self.settings, tickers=())

    def shown(self, result: RaceResult) -> RaceResult:
        """Return the outcome of a race with the real tickers and the market's name."""
        if not self.blind:
            return result
        names = {
            bars.ticker: ticker for bars, ticker in zip(self._bars(), self.tickers, strict=True)
        }
        label = f"{self.panel.label}; blind: tickers, dates and price levels were hidden"
        return replace(result, tickers=tuple(names[one] for one in result.tickers), label=label)

    def _bars(self) -> list[TickerBars]:
        bars = [TickerBars.from_panel(self.panel, ticker) for ticker in self.tickers]
        return [hide(one, n) for n, one in enumerate(bars, 1)] if self.blind else bars

    def smoke_bars(self) -> TickerBars:
        """Return real bars before the race, on which an algorithm is tried.

        They are of the first ticker that has the most of them: a young one may have none.
        """
        before = (self._before(bars) for bars in self._bars())
        bars = max(before, key=len)
        rows = slice(max(0, len(bars) - SMOKE_DAYS), None)
        return bars.rows(rows)

    def _before(self, bars: TickerBars) -> TickerBars:
        first = self.panel.dates[self.first_race_day]
        return bars.rows(slice(0, int(np.searchsorted(bars.dates, first))))


def lay_out(
    settings: FoundrySettings,
    *,
    market_was_chosen: bool = False,
    say: Callable[[str], None] | None = None,
) -> RaceCourse:
    """Load the market of the settings and choose tickers and days.

    The race is on the last `race_days` days; the days before it are the algorithms' history and
    may be told in prompts. Tickers that are not named are the most traded before the race. Where a
    named ticker is not in the market, and nobody chose this market on purpose, the sample of real
    stocks is taken if it has all of them; `RaceCourse.note` says so.

    Raises
    ------
    MarketError : no such market or ticker, or too few days
    """
    chosen = settings.algorithms.tickers
    panel, note = _market_with(settings, chosen, say, may_fall_back=not market_was_chosen)
    return _course(panel, chosen, settings, note)


def _course(
    panel: Panel, chosen: tuple[str, ...], settings: FoundrySettings, note: str
) -> RaceCourse:
    days = len(panel.dates)
    if days < FEWEST_DAYS:
        raise MarketError(
            f"the market {panel.source!r} has {days} days, and a race needs {FEWEST_DAYS}"
        )
    first = max(days - settings.algorithms.race_days, min(WARM_UP, days // 2))
    warm_up = min(WARM_UP, first)
    tickers = chosen or most_traded(panel, first)
    return RaceCourse(
        panel,
        tickers,
        ArenaSettings(
            tickers=tickers,
            warm_up=warm_up,
            first_day=panel.dates[first - warm_up].astype("datetime64[D]").item(),
        ),
        first,
        note,
        blind=settings.algorithms.blind,
    )


def most_traded(panel: Panel, first_race_day: int, count: int = MOST_TRADED) -> tuple[str, ...]:
    """Return the instruments with the most dollars traded in the year before the race.

    Where the volume is unknown, those with the highest price. Instruments without a close on each
    of these days are left out.
    """
    rows = slice(max(0, first_race_day - WARM_UP), first_race_day)
    close = panel.fields["close"][rows]
    volume = panel.fields.get("volume")
    value = close if volume is None else close * volume[rows]
    complete = np.isfinite(value).all(axis=0)
    if not complete.any():
        raise MarketError(
            f"no instrument of the market {panel.source!r} has a price on each day of the year "
            "before the race; name some with `--ticker`"
        )
    traded = np.where(complete, np.nan_to_num(value).sum(axis=0), -np.inf)
    best = np.argsort(-traded, kind="stable")[: min(count, int(complete.sum()))]
    return tuple(str(panel.symbols[column]) for column in best)


def _market_with(
    settings: FoundrySettings,
    tickers: Sequence[str],
    say: Callable[[str], None] | None,
    *,
    may_fall_back: bool,
) -> tuple[Panel, str]:
    panel = load_market(settings.market, cache_dir=settings.home / "cache", progress=say)
    missing = _missing(panel, tickers)
    if not missing:
        return panel, ""
    if may_fall_back and settings.market != FALLBACK_MARKET:
        try:
            other = load_market(FALLBACK_MARKET, cache_dir=settings.home / "cache")
        except MarketError as problem:
            raise MarketError(
                f"the market {panel.source!r} has no ticker {missing[0]!r}, and the market of "
                f"real stocks cannot be used: {problem}"
            ) from None
        if not _missing(other, tickers):
            return other, (
                f"{', '.join(missing)} is not in the market {panel.source!r}; the market "
                f"{FALLBACK_MARKET!r} has it and was taken"
            )
    near = difflib.get_close_matches(missing[0], [str(s) for s in panel.symbols], n=1)
    hint = f"did you mean {near[0]!r}?" if near else "choose another `--market`, or leave it out"
    raise MarketError(f"the market {panel.source!r} has no ticker {missing[0]!r}; {hint}")


def _missing(panel: Panel, tickers: Sequence[str]) -> list[str]:
    known = {str(symbol) for symbol in panel.symbols}
    return [ticker for ticker in tickers if ticker not in known]
