"""The data screen: what a market's bars are, what was found in them, and what to be careful of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from alphafoundry.market.cautions import Cautioned, cautions, listed, names_at_the_end
from alphafoundry.market.frequency import DAYS_A_YEAR, bars_a_year, calendar_name
from alphafoundry.market.issues import ReadingNote, SeriesIssue
from alphafoundry.market.revisions import Revisions

LEAST_PRICE = 1.0
MANY_CHEAP = 0.01
LONGEST_CLOSURE = 14
"""Days; New York was closed for 7 in 2001, Shanghai is for 12 at the new year."""
LEAST_DATES = 60
SHOWN = 6
"""Details of one kind that the screen prints; the JSON has all of them."""

_SPLITS = ("unadjusted-split", "jump")
_POSSIBLE = ("possible-split", "possible-spike")
_LEFT_OUT = ("garbage", "spike", "non-positive-price")
_BEFORE_CHECKS = ("duplicate-day", "huge-price", "thin-day")
"""What is masked before the checks begin, and so in no revision."""
_OTHER_SERIES = "other-series"
_UNITS = "volume-unit"
_REPEATS = "repeated-bar"
_SAID_ELSEWHERE = frozenset((*_SPLITS, *_POSSIBLE, *_LEFT_OUT, _UNITS, _REPEATS))


class Screened(Cautioned, Protocol):
    """What the screen looks at: a `Panel`."""

    @property
    def label(self) -> str: ...
    @property
    def dates(self) -> NDArray[np.datetime64]: ...
    @property
    def symbols(self) -> NDArray[np.str_]: ...
    @property
    def raw(self) -> Mapping[str, NDArray[np.float64]]: ...
    @property
    def issues(self) -> Sequence[SeriesIssue]: ...
    @property
    def notes(self) -> Sequence[ReadingNote]: ...
    @property
    def revisions(self) -> Revisions: ...


@dataclass(frozen=True)
class DataScreen:
    """What there is to know about the data before any number that comes from them.

    Attributes
    ----------
    market : the market's label; starts with SYNTHETIC where prices were generated
    days, names, first, last : size and dates
    bars_a_year, calendar : what annualises, and its name ("exchange days", "weekly", ...)
    fields : fields of the panel
    prices, volume : how they are adjusted, one sentence each
    bars : known closes
    missing : closes missing between the first and the last of their name
    masked : bars left out because they are faulty
    revised_later : those among them that were known to be faulty only on a later day
    faults : kind to (series concerned, bars masked)
    issues : every fault in full
    notes : what the reader decided, changed or left out
    constant : names whose close never changes
    alive : names with a bar among the last 5 days
    ended : names whose bars end before
    without_bars : names of which no close is left
    cautions : what these data cannot show, one sentence each
    """

    market: str
    days: int
    names: int
    first: str
    last: str
    bars_a_year: float
    calendar: str
    fields: tuple[str, ...]
    prices: str
    volume: str
    bars: int
    missing: int
    masked: int
    revised_later: int
    faults: Mapping[str, tuple[int, int]]
    issues: tuple[SeriesIssue, ...]
    notes: tuple[ReadingNote, ...]
    constant: tuple[str, ...]
    alive: int
    ended: int
    without_bars: tuple[str, ...]
    cautions: tuple[str, ...]

    def rows(self) -> list[tuple[str, str]]:
        """Return (word, sentence) for people, in the order of the screen."""
        rows = [
            ("data", self.market),
            ("calendar", f"{self.calendar}, {self.bars_a_year:g} bars a year"),
            ("prices", self.prices),
            ("volume", self.volume),
            ("bars", self._bars()),
        ]
        splits = self._of(*_SPLITS)
        doubtful = self._of(*_POSSIBLE)
        left_out = self._of(*_LEFT_OUT)
        rows += _block("splits", splits, "divided out of the prices")
        rows += _block("possible", doubtful, "left as they are")
        rows += _block("left out", left_out, "series or parts of them, as faulty")
        rows += _block("volume", self._of(_UNITS), "with a step that trading does not explain")
        rows += _block("repeated", self._of(_REPEATS), "filled in where nothing was traded")
        others = [
            f"{kind} in {count} series" + (f" ({masked} bars masked)" if masked else "")
            for kind, (count, masked) in self.faults.items()
            if kind not in _SAID_ELSEWHERE
        ]
        if others:
            rows.append(("faults", "; ".join(others)))
        if self.constant:
            rows.append(("constant", f"{listed(self.constant, SHOWN)}: the close never changes"))
        rows.append(("names", self._names()))
        rows += [("reader", note.detail) for note in self.notes]
        rows += [("caution", text) for text in self.cautions]
        return rows

    def lines(self) -> list[str]:
        """Return the screen for a terminal."""
        return [f"{word:11}{text}" for word, text in self.rows()]

    def to_markdown(self) -> str:
        """Return the screen for an artifact."""
        rows = [f"| {word} | {text.replace('|', '/')} |" for word, text in self.rows()]
        return "\n".join(["### Data", "", "| | |", "|---|---|", *rows])

    def to_json(self) -> dict[str, Any]:
        """Return everything with plain types."""
        found = asdict(self)
        found["faults"] = {
            kind: {"series": count, "masked": masked}
            for kind, (count, masked) in self.faults.items()
        }
        return found

    def _bars(self) -> str:
        text = f"{self.bars:,} known, {self.missing:,} missing inside a series, {self.masked:,}"
        later = f", {self.revised_later:,} of them on a later day" if self.revised_later else ""
        return f"{text} masked{later}"

    def _names(self) -> str:
        if self.alive == self.names:
            return f"all {self.names} have bars to the end"
        text = f"{self.alive} of {self.names} have bars to the end, {self.ended} end before"
        if not self.without_bars:
            return text
        unusable = listed(self.without_bars, SHOWN)
        return f"{text}, {len(self.without_bars)} without a usable bar: {unusable}"

    def _of(self, *kinds: str) -> list[str]:
        return [
            f"{issue.symbol}: {issue.detail}" if issue.symbol else issue.detail
            for issue in self.issues
            if issue.kind in kinds
        ]


def screen_of(panel: Screened) -> DataScreen:
    """Return the data screen of a market."""
    close = panel.fields["close"]
    known = ~np.isnan(close)
    first, last, counts = _spans(known)
    listed = counts > 0
    year = bars_a_year(panel.dates)
    alive, listed_names = names_at_the_end(panel)
    late = panel.revisions.known_at > panel.revisions.rows
    low, high = _extremes(close)
    constant = listed & (counts > 1) & (low == high)
    return DataScreen(
        market=panel.label,
        days=len(panel.dates),
        names=len(panel.symbols),
        first=str(panel.dates[0]),
        last=str(panel.dates[-1]),
        bars_a_year=year,
        calendar=calendar_name(year),
        fields=tuple(sorted(panel.fields)),
        prices=_prices(panel),
        volume=_volume(panel),
        bars=int(counts.sum()),
        missing=int(np.where(listed, last - first + 1 - counts, 0).sum()),
        masked=_all_masked(panel, known),
        revised_later=_masked_bars(panel.revisions, known, late),
        faults=_faults(panel.issues),
        issues=tuple(panel.issues),
        notes=tuple(panel.notes),
        constant=tuple(str(name) for name in panel.symbols[constant]),
        alive=alive,
        ended=listed_names - alive,
        without_bars=tuple(str(name) for name in panel.symbols[~listed]),
        cautions=tuple(_cautions(panel, year)),
    )


def changes(panel: Screened) -> tuple[str, ...]:
    """Return what was changed in the bars or left out of them, a sentence each.

    For a line beside a number that comes from these bars; the data screen tells all of it. Empty
    where the bars are as the source gave them.
    """
    splits = [issue for issue in panel.issues if issue.kind in _SPLITS]
    doubtful = [issue for issue in panel.issues if issue.kind in _POSSIBLE]
    faulty = [issue for issue in panel.issues if issue.masked and issue.kind not in _SPLITS]
    found = []
    if splits:
        found.append(f"splits divided out of the prices of {_series(splits)}")
    if doubtful:
        found.append(
            f"moves that may be splits or errors, left as they are, in {_series(doubtful)}"
        )
    if faulty:
        masked = _all_masked(panel, ~np.isnan(panel.fields["close"]))
        bars = "bar" if masked == 1 else "bars"
        found.append(f"{masked:,} {bars} left out as faulty, of {_series(faulty)}")
    other: dict[str, list[SeriesIssue]] = {}
    for issue in panel.issues:
        if issue.kind == _OTHER_SERIES:
            other.setdefault(issue.detail.split()[0], []).append(issue)
    found += [
        f"{column} does not fit the prices of {_series(issues)}, and is used"
        for column, issues in other.items()
    ]
    units = [issue for issue in panel.issues if issue.kind == _UNITS]
    if units:
        found.append(
            f"volume may change its unit, and is used as it is, of {_series(units, whole='all')}"
        )
    repeats = [issue for issue in panel.issues if issue.kind == _REPEATS]
    if repeats:
        found.append(
            f"bars that repeat the one before, of {_series(repeats, whole='all names')}, are used"
        )
    found += [note.detail for note in panel.notes if note.kind == "currency"]
    return (*found, *_of_the_future(panel.dates))


def _series(issues: Sequence[SeriesIssue], *, whole: str = "whole days") -> str:
    return listed(sorted({issue.symbol or whole for issue in issues}), SHOWN)


def _spans(
    known: NDArray[np.bool_],
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Return (first row, last row, number of bars) by name."""
    first = known.argmax(axis=0)
    last = len(known) - 1 - known[::-1].argmax(axis=0)
    return first, last, np.count_nonzero(known, axis=0)


def _masked_bars(
    revisions: Revisions, known: NDArray[np.bool_], chosen: NDArray[np.bool_] | None = None
) -> int:
    """Return how many bars the chosen revisions have masked, each bar counted once."""
    cells = revisions.rows.astype(np.int64) * known.shape[1] + revisions.columns
    cells = np.unique(cells if chosen is None else cells[chosen])
    return int(np.count_nonzero(~known.reshape(-1)[cells]))


def _all_masked(panel: Screened, known: NDArray[np.bool_]) -> int:
    """Return how many bars are masked, by the reader and by the checks."""
    read = sum(issue.masked for issue in panel.issues if issue.kind in _BEFORE_CHECKS)
    return read + _masked_bars(panel.revisions, known)


def _extremes(close: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    low = np.fmin.reduce(close, axis=0)
    return low, np.fmax.reduce(close, axis=0)


def _prices(panel: Screened) -> str:
    if panel.synthetic:
        return "generated"
    if any(note.kind == "adjustment" for note in panel.notes) and "close" in panel.raw:
        return "adjusted; the close before adjustment is kept beside it"
    if "close" in panel.raw:
        return (
            "one close from the source, with splits that it had not adjusted divided out; the "
            "close as it was given is kept beside it"
        )
    return "adjusted only, or never adjusted: the source gives one close and no raw one beside it"


def _volume(panel: Screened) -> str:
    if "volume" not in panel.fields:
        return "none: universes hold every name with a price"
    if panel.synthetic:
        return "generated"
    told = [note.detail for note in panel.notes if note.kind == "volume"]
    return told[0] if told else "shares as the source gives them; whether adjusted is not said"


def _faults(issues: Sequence[SeriesIssue]) -> dict[str, tuple[int, int]]:
    series: Counter[str] = Counter()
    masked: Counter[str] = Counter()
    for kind, _ in {(issue.kind, issue.symbol) for issue in issues}:
        series[kind] += 1
    for issue in issues:
        masked[issue.kind] += issue.masked
    return {kind: (series[kind], masked[kind]) for kind in sorted(series)}


def _cautions(panel: Screened, year: float) -> list[str]:
    if panel.synthetic:
        return []
    found = [
        *cautions(panel),
        *_of_dates(panel.dates, year),
        "Prices are adjusted for what came later, or may be: an alpha that compares price or "
        "volume levels between names looks into the future",
    ]
    if "close" not in panel.raw:
        found.append("No raw close: what a share cost on its day is not known, or not said")
    if year != DAYS_A_YEAR:
        found.append(
            f"Bars are not exchange days: lookbacks count bars, and numbers are annualised by "
            f"{year:g} bars a year"
        )
    close = panel.fields["close"]
    cheap = float((close[~np.isnan(close)] < LEAST_PRICE).mean())
    if cheap > MANY_CHEAP:
        found.append(
            f"{cheap:.0%} of the closes are below {LEAST_PRICE:g}: a commission of a cent a share "
            "would ruin a book of these, so it is capped at 1 % of the trade"
        )
    return found


def _of_dates(dates: NDArray[np.datetime64], year: float) -> list[str]:
    """Return what is odd about the days: bars of the future, holes, bars of several lengths."""
    found = _of_the_future(dates)
    if len(dates) < LEAST_DATES:
        return found
    gaps = np.diff(dates.astype(np.int64))
    usual = 365.25 / year
    longest = int(gaps.argmax())
    if gaps[longest] > max(LONGEST_CLOSURE, 3.0 * usual):
        found.append(
            f"No name has a bar between {dates[longest]} and {dates[longest + 1]}: one return "
            "covers all of these days"
        )
    bars = np.delete(gaps, longest)
    there = 365.25 / float(bars.mean())
    if abs(there / year - 1.0) > 0.1:
        found.append(
            f"Bars are {there:.0f} a year on average and not {year:g}: days are missing, or some "
            "years have bars of another length; annualised numbers are wrong by that much"
        )
    return found


def _of_the_future(dates: NDArray[np.datetime64]) -> list[str]:
    tomorrow = np.datetime64(datetime.now(UTC).date(), "D") + 1
    later = int(np.count_nonzero(dates > tomorrow))
    if not later:
        return []
    return [
        f"{later} {'days lie' if later > 1 else 'day lies'} in the future, the last is "
        f"{dates[-1]}: no price of them can be known; check the dates"
    ]


def _block(word: str, details: Sequence[str], what: str) -> list[tuple[str, str]]:
    if not details:
        return []
    more = f" (and {len(details) - SHOWN} more)" if len(details) > SHOWN else ""
    return [(word, f"{len(details)} {what}{more}"), *((word, text) for text in details[:SHOWN])]
