"""Faults of daily bars: found, reported and masked, so that none is used silently.

Every rule judges a bar from the bars up to some row, `known_at`, alone; what comes later changes
no judgement of before (see `alphafoundry.market.revisions`). Rules, in the order in which they are
applied:

thin-day            a day on which under 5 % of the usual number of names have a bar is removed
                    (a holiday on which a few names carry a stray bar); usual is the median of
                    the last 63 days. Known that day
non-positive-price  a price of zero, below it or infinite: the bar is masked. Known that day
absurd-price        high below low, or open or close outside low..high by more than 0.1 %: the
                    bar is masked. Known that day
unadjusted-split    the close moves to about 1/n or n times the one before and all else is as on
                    an ordinary day (see `alphafoundry.market.splits`): divided out of the
                    prices from there on. Known on the fifth bar after it
possible-spike      a move by a factor of 50 in the last five bars: reported only
spike               the close at least doubles or halves and is back at its level within 5 bars
                    (63 after a factor of 50): the bars in between are masked. A crash or a
                    wipe-out that does not turn back is left alone. Known on the bar back
jump                the close rises by a factor of 50 or more and stays there for 5 bars: divided
                    out of the prices from there on. Known on the fifth bar. A fall by its factor
                    undoes it, and one of nearly all names by 100 or 1000 is none: known that day
stale               the same close on 5 bars in a row without volume, or on 20 with volume: all
                    but the first are masked. Known on the 5th or 20th bar
garbage             of the last 252 bars a quarter are broken by the rules above, half are
                    without any trade, or 5 % are leaps, at least 10 in all: these bars are
                    masked. A short past counts as 100 bars. Known on the bar on which the share
                    is crossed. A close of zero counts from the bar on which a price is back: until
                    then it may be the end of a name, whose days before are right
lost-volume         no volume on a bar whose price moved, a negative one, or one beyond 1e17: the
                    volume is masked. Known that day
split               adj_close / close changes by 20 % or more: reported only, as the adjusted
                    prices are used
other-series        on a quarter of the bars adj_close (by 0.2 %) or cap (by 1 %) moves otherwise
                    than the close, or vwap lies outside low..high by more than 0.1 %: reported only
gap                 5 or more bars are missing inside a series: reported
volume-unit         in daily bars every volume of 20 days is at least five times, or at most a fifth
                    of, every one of the 20 days before, and the price goes on as before; or the
                    volumes of a whole market by a factor of 5: reported only. Seen 20 days later
repeated-bar        a bar with the prices, the range and the volume of the bar before, on 3 days or
                    more; or a day on which nine of ten names repeat their prices: reported only
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from alphafoundry.market.bars import PRICE_COLUMNS, Bars
from alphafoundry.market.frequency import DAYS_A_YEAR, bars_a_year
from alphafoundry.market.leaps import LEAP, Leap, find_leaps, unit_days
from alphafoundry.market.panel import SeriesIssue
from alphafoundry.market.repeats import copied_bars, repeated_bars, repeated_days
from alphafoundry.market.returns import last_known
from alphafoundry.market.revisions import LevelBreak, Revisions
from alphafoundry.market.splits import LEAST_LOG, Series
from alphafoundry.market.volume_units import unit_steps

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Indices = NDArray[np.intp]

THIN_DAY_SHARE = 0.05
THIN_DAY_WINDOW = 63
THIN_DAY_LEAST = 5
RANGE_TOLERANCE = 1e-3
STALE_BARS = 20
STALE_BARS_UNTRADED = 5
GARBAGE_WINDOW = 252
GARBAGE_BARS = 100
GARBAGE_LEAST = 10
GARBAGE_BROKEN_SHARE = 0.25
GARBAGE_UNTRADED_SHARE = 0.5
WILD_SHARE = 0.05
HUGE_VOLUME = 1e17
SPLIT_LOG = np.log(1.2)
OTHER_MOVE = {"adj_close": 0.002, "cap": 0.01}
OTHER_SHARE = 0.25
GAP_BARS = 5
COPIED_BARS = 3


def validate(bars: Bars, *, reuse: bool = False) -> Bars:
    """Return `bars` with every faulty value set to NaN and every fault in `issues`.

    The arrays of `bars` are left as they are, unless `reuse` lets their memory be used: a market of
    many names for many years does not fit twice. The rules are those of the module's docstring.
    What was masked or repaired, since when that is known, and what the cell showed until then
    is in `revisions`. The order of issues is by symbol, then by kind; faults of the whole file
    come first.
    """
    bars, issues = _without_thin_days(bars)
    findings = _Findings(bars)
    _find_non_positive(findings)
    _find_absurd(findings)
    _find_leaps(findings)
    _find_stale(findings)
    _find_garbage(findings)
    _report_splits(findings)
    _report_cap_and_vwap(findings)
    _report_gaps(findings)
    _report_repeats(findings)
    values = {name: array if reuse else array.copy() for name, array in bars.values.items()}
    if "volume" in values:
        _mask_lost_volume(findings, values)
    revisions = _revise(values, findings)
    _report_volume_units(findings, values)
    found = sorted(findings.issues, key=lambda issue: (issue.symbol, issue.kind))
    return replace(bars, values=values, issues=(*bars.issues, *issues, *found), revisions=revisions)


class _Findings:
    """What the rules have found so far in one set of bars.

    present : bars with a close, shape (n_days, n_instruments)
    broken : bars to mask, whenever that is known
    close : the close without the bars that are broken on their own day
    path : the close that returns are made from (adjusted where that is known), likewise
    """

    def __init__(self, bars: Bars) -> None:
        self.bars = bars
        self.close = bars.values["close"]
        self.path = bars.values.get("adj_close", self.close)
        self.present: Mask = ~np.isnan(self.close)
        self.broken: Mask = np.zeros(self.close.shape, dtype=bool)
        self.breaks: list[LevelBreak] = []
        self.issues: list[SeriesIssue] = []
        self._cells: list[tuple[Indices, Indices, Indices]] = []

    def mask_at_once(self, cells: Mask) -> None:
        """Mask `cells`, of shape (n_days, n_instruments), whose fault shows on their own day."""
        if cells.any():
            rows, columns = np.nonzero(cells)
            self._cells.append((rows, columns, rows))
            self.broken |= cells
            self.close = _masked(self.close, cells)
            self.path = _masked(self.path, cells)

    def mask(self, rows: Indices, column: int, known_at: Indices | int) -> None:
        """Mask bars of one instrument from what was known on the rows `known_at`."""
        known = np.maximum(rows, known_at)
        self._cells.append((rows, np.full(len(rows), column), known))
        self.broken[rows, column] = True

    @cached_property
    def leaping(self) -> Mask:
        """Which bars but the first leap from the last known one; fixed when first asked for."""
        filled = last_known(self.path)
        ratio = filled[1:] / filled[:-1]
        return (ratio > LEAP) | (ratio < 1.0 / LEAP)

    def masked_cells(self) -> tuple[Indices, Indices, Indices]:
        """Return (rows, columns, known_at), each cell once, as early as one rule knew of it."""
        if not self._cells:
            nothing = np.zeros(0, dtype=np.intp)
            return nothing, nothing, nothing
        rows, columns, known = (
            np.concatenate(parts).astype(np.intp) for parts in zip(*self._cells, strict=True)
        )
        order = np.lexsort((known, columns, rows))
        rows, columns, known = rows[order], columns[order], known[order]
        first = np.ones(len(rows), dtype=bool)
        first[1:] = (rows[1:] != rows[:-1]) | (columns[1:] != columns[:-1])
        return rows[first], columns[first], known[first]

    def add(self, column: int, kind: str, detail: str, masked: int = 0) -> None:
        """Report a fault of the instrument in `column`."""
        symbol = str(self.bars.symbols[column])
        self.issues.append(SeriesIssue(symbol, kind, detail, masked))

    def day(self, row: int) -> str:
        """Return the date of `row` as text."""
        return str(self.bars.dates[row])


def _without_thin_days(bars: Bars) -> tuple[Bars, list[SeriesIssue]]:
    counts = np.count_nonzero(~np.isnan(bars.values["close"]), axis=1)
    usual = _usual_counts(counts)
    thin = counts < THIN_DAY_SHARE * usual
    if not thin.any():
        return bars, []
    values = {name: np.ascontiguousarray(array[~thin]) for name, array in bars.values.items()}
    issues = [
        SeriesIssue(
            "",
            "thin-day",
            f"{bars.dates[row]} has bars of {counts[row]} names, usual are {usual[row]:.0f}: "
            "removed",
            int(counts[row]),
        )
        for row in np.flatnonzero(thin)
    ]
    return replace(bars, dates=bars.dates[~thin], values=values), issues


def _usual_counts(counts: Indices) -> Array:
    """Return the median of the last days' counts, by day; 0 on the first days."""
    usual = np.zeros(len(counts))
    for day in range(THIN_DAY_LEAST, len(counts)):
        usual[day] = np.median(counts[max(0, day - THIN_DAY_WINDOW) : day])
    return usual


def _find_non_positive(findings: _Findings) -> None:
    for name in PRICE_COLUMNS:
        if name not in findings.bars.values:
            continue
        array = findings.bars.values[name]
        cells = ((array <= 0.0) | np.isinf(array)) & ~findings.broken
        for column, rows in _by_column(cells):
            first = rows[0]
            findings.add(
                column,
                "non-positive-price",
                f"{name} is {array[first, column]:.6g} on {findings.day(first)}"
                f"{_more(rows)}; a price must be above zero (a name that became worthless: see "
                "delistings in docs/data.md)",
                len(rows),
            )
        findings.mask_at_once(cells)


def _find_absurd(findings: _Findings) -> None:
    values = findings.bars.values
    if "high" not in values or "low" not in values:
        return
    high, low = values["high"], values["low"]
    ceiling, floor = high * (1.0 + RANGE_TOLERANCE), low * (1.0 - RANGE_TOLERANCE)
    cells = high < low
    for name in ("open", "close"):
        if name in values:
            cells |= values[name] > ceiling
            cells |= values[name] < floor
    cells &= ~findings.broken
    for column, rows in _by_column(cells):
        row = rows[0]
        shown = ", ".join(
            f"{name} {values[name][row, column]:.6g}"
            for name in ("open", "high", "low", "close")
            if name in values
        )
        findings.add(
            column,
            "absurd-price",
            f"{shown} on {findings.day(row)}{_more(rows)}; open and close must lie in low..high",
            len(rows),
        )
    findings.mask_at_once(cells)


def _find_leaps(findings: _Findings) -> None:
    """Find splits, spikes and jumps in the close, adjusted where that is known."""
    filled = last_known(findings.path)
    ratio = filled[1:] / filled[:-1]
    least = np.exp(LEAST_LOG)
    looked_at = ((ratio > least) | (ratio < 1.0 / least)).any(axis=0)
    if "split_factor" in findings.bars.values:
        factor = np.nan_to_num(findings.bars.values["split_factor"], nan=1.0)
        looked_at |= ((factor != 1.0) & (factor > 0.0)).any(axis=0)
    of_market = unit_days(findings.path, filled)
    for column in np.flatnonzero(looked_at):
        series = _series(findings, int(column))
        for leap in find_leaps(series, of_market):
            _take_leap(findings, int(column), series, leap)


def _series(findings: _Findings, column: int) -> Series:
    """Return the known bars of one instrument, adjusted as its path is."""
    values = findings.bars.values
    days = np.flatnonzero(~np.isnan(findings.path[:, column]))
    path = np.log(findings.path[days, column])
    shift = path - np.log(findings.close[days, column])
    prices = {
        f"log_{name}": np.log(values[name][days, column]) + shift
        for name in ("open", "high", "low")
        if name in values
    }
    others = {
        name: values[key][days, column]
        for name, key in (("volume", "volume"), ("factor", "split_factor"))
        if key in values
    }
    return Series(path, days, **prices, **others)


def _take_leap(findings: _Findings, column: int, series: Series, leap: Leap) -> None:
    """Mask or divide out what was found, and report it."""
    days = series.days
    row, known = int(days[leap.start]), int(days[leap.known])
    old, new = np.exp(series.log_close[leap.start - 1 : leap.start + 1])
    moved = f"close {old:.6g} to {new:.6g} on {findings.day(row)}"
    if leap.kind == "spike":
        masked = days[leap.start : leap.back]
        findings.mask(masked, column, known)
        bars = f"{len(masked)} bar{'s' if len(masked) > 1 else ''}"
        findings.add(column, "spike", f"{moved}, back after {bars}", len(masked))
        return
    if leap.split is not None and leap.kind == "possible":
        findings.add(
            column,
            "possible-split",
            f"{moved} may be a split of {_parts(leap.split.ratio)} that was not adjusted; it is "
            "left as it is",
        )
        return
    if leap.kind == "possible":
        findings.add(
            column,
            "possible-spike",
            f"{moved} is among the last bars: whether it comes back is not known yet; it counts",
        )
        return
    multiplied = f"prices from then on are multiplied by {leap.factor:.6g}"
    if leap.split is not None:
        split = leap.split
        found = LevelBreak(column, row, known, leap.factor, "split", split.volume)
        either = "" if split.other is None else f" or {_parts(split.other)}"
        detail = (
            f"{moved} looks like a split of {_parts(split.ratio)}{either} that was not adjusted: "
            f"{multiplied}{', volume is divided by it' if split.volume else ''}"
        )
        findings.add(column, "unadjusted-split", detail)
    else:
        found = LevelBreak(column, row, known, leap.factor, "jump", leap.volume)
        way = "and it stays there" if leap.kind == "jump" else "back to where it was"
        if leap.known == leap.start and leap.kind == "jump":
            way = "as those of the whole market do"
        findings.add(column, "jump", f"{moved}, {way}: left out of the returns, {multiplied}")
    findings.breaks.append(found)


def _parts(ratio: float) -> str:
    """Return 4.0 as "4 for 1", 1.5 as "3 for 2", 0.1 as "1 for 10"."""
    parts = Fraction(ratio).limit_denominator(100)
    return f"{parts.numerator} for {parts.denominator}"


def _find_stale(findings: _Findings) -> None:
    same = np.diff(findings.close, axis=0) == 0.0
    pairs = same[1:] & same[:-1]
    suspects = np.flatnonzero((pairs[2:] & pairs[:-2]).any(axis=0))
    volume = findings.bars.values.get("volume")
    for column in suspects:
        untraded = np.zeros(len(same) + 1, bool) if volume is None else volume[:, column] == 0.0
        for first, last in _runs(same[:, column]):
            repeats = np.arange(first + 1, last + 2)
            quiet = untraded[repeats]
            silent = repeats if quiet.all() else repeats[: np.argmin(quiet)]
            masked = 0
            for rows, least in ((silent, STALE_BARS_UNTRADED), (repeats, STALE_BARS)):
                if len(rows) + 1 >= least:
                    findings.mask(rows, int(column), first + least - 1)
                    masked = max(masked, len(rows))
            if masked:
                findings.add(
                    int(column),
                    "stale",
                    f"the close stays at {findings.close[first, column]:.6g} from "
                    f"{findings.day(first)} to {findings.day(first + masked)}"
                    f"{' without volume' if quiet[:masked].all() else ''}",
                    masked,
                )


def _find_garbage(findings: _Findings) -> None:
    values, present = findings.bars.values, findings.present
    untraded = np.zeros_like(present)
    if "volume" in values:
        untraded = present & (values["volume"] == 0.0)
        if "high" in values and "low" in values:
            untraded &= values["high"] == values["low"]
    leaping = findings.leaping
    suspects = [
        np.count_nonzero(cells, axis=0) >= GARBAGE_LEAST
        for cells in (findings.broken & present, untraded, leaping)
    ]
    cell_rows, cell_columns, cell_known = findings.masked_cells()
    order = np.argsort(cell_columns, kind="stable")
    starts = np.searchsorted(cell_columns[order], np.arange(present.shape[1] + 1))
    for column in np.flatnonzero(np.any(suspects, axis=0)):
        rows = np.flatnonzero(present[:, column])
        mine = order[starts[column] : starts[column + 1]]
        known = np.full(len(present), len(rows))
        known[cell_rows[mine]] = np.searchsorted(rows, cell_known[mine])
        broken = _shares(np.maximum(known[rows], _price_is_back(findings.bars, int(column), rows)))
        wild = _shares(_own_day(np.concatenate(([False], leaping[:, column]))[rows]))
        idle = _shares(_own_day(untraded[rows, column]))
        bad = (
            (broken > GARBAGE_BROKEN_SHARE) | (wild > WILD_SHARE) | (idle > GARBAGE_UNTRADED_SHARE)
        )
        if not bad.any():
            continue
        covered = _next_bad_bar(bad)
        masked = np.flatnonzero(covered < len(rows))
        reasons = [f"{np.mean(known[rows] < len(rows)):.0%} of its bars are broken"]
        if (idle > GARBAGE_UNTRADED_SHARE).any():
            reasons.append(f"{np.mean(untraded[rows, column]):.0%} are without a trade")
        if (wild > WILD_SHARE).any():
            reasons.append("its close leaps to and fro")
        whole = len(masked) == len(rows)
        first, last = findings.day(rows[masked[0]]), findings.day(rows[masked[-1]])
        left_out = "the whole series is" if whole else f"{len(masked)} bars, {first} to {last}, are"
        if whole:
            symbol = str(findings.bars.symbols[column])
            findings.issues = [issue for issue in findings.issues if issue.symbol != symbol]
        findings.mask(rows[masked], int(column), rows[covered[masked]])
        findings.add(
            int(column), "garbage", f"{', '.join(reasons)}: {left_out} left out", len(masked)
        )


def _price_is_back(bars: Bars, column: int, rows: Indices) -> Indices:
    """Return, by bar, the bar from which a close of zero or less on it is known to be no end.

    The first later bar with a price above zero, the number of bars where there is none; the bar
    itself where its close is above zero.
    """
    number = np.arange(len(rows))
    priced = np.where(bars.values["close"][rows, column] > 0.0, number, len(rows))
    return np.minimum.accumulate(priced[::-1])[::-1]


def _own_day(flags: Mask) -> Indices:
    """Return for each bar with a flag its own index, for the others the number of bars."""
    return np.where(flags, np.arange(len(flags)), len(flags))


def _shares(known: Indices) -> Array:
    """Return, by bar, the share of the last 252 bars that were known by then to be at fault.

    known : by bar, the index of the bar on which that was known; the number of bars for never.
    0 where fewer than 10 of them are at fault; a short past counts as 100 bars
    """
    count = len(known)
    at_fault = np.flatnonzero(known < count)
    change = np.zeros(count + 1, dtype=np.intp)
    np.add.at(change, np.maximum(known[at_fault], at_fault), 1)
    gone = np.maximum(at_fault + GARBAGE_WINDOW, known[at_fault])
    np.subtract.at(change, np.minimum(gone, count), 1)
    found = np.cumsum(change[:count])
    bars = np.clip(np.arange(1, count + 1), GARBAGE_BARS, GARBAGE_WINDOW)
    return np.where(found >= GARBAGE_LEAST, found / bars, 0.0)


def _next_bad_bar(bad: Mask) -> Indices:
    """Return, by bar, the first bad bar whose window of 252 bars holds it; their number if none."""
    count = len(bad)
    following = np.where(bad, np.arange(count), count)
    following = np.minimum.accumulate(following[::-1])[::-1]
    inside = following - np.arange(count) < GARBAGE_WINDOW
    return np.where(inside, following, count)


def _mask_lost_volume(findings: _Findings, values: dict[str, Array]) -> None:
    volume = values["volume"]
    cells = (volume < 0.0) | (volume > HUGE_VOLUME)
    if "high" in values and "low" in values:
        cells |= (volume == 0.0) & (values["high"] > values["low"])
    for column, rows in _by_column(cells & ~findings.broken):
        findings.add(
            column,
            "lost-volume",
            f"volume {volume[rows[0], column]:.6g}"
            f"{' although the price moved' if volume[rows[0], column] == 0.0 else ''} on "
            f"{findings.day(rows[0])}{_more(rows)}",
            len(rows),
        )
    volume[cells] = np.nan


def _revise(values: dict[str, Array], findings: _Findings) -> Revisions:
    """Mask and rescale `values` in place; return what was changed and what was there before."""
    adjusted = "adj_close" in values
    scaled = ("adj_close",) if adjusted else tuple(n for n in PRICE_COLUMNS if n in values)
    breaks = tuple(sorted(findings.breaks, key=lambda found: (found.known_at, found.row)))
    rows, columns, known = findings.masked_cells()
    parts = [(rows, columns, known)]
    before = {name: [array[rows, columns]] for name, array in values.items()}
    for found in breaks:
        span = np.arange(found.row, len(findings.broken))
        mine = np.flatnonzero((columns == found.column) & (rows >= found.row))
        later = mine[known[mine] > found.known_at]
        seen = span[span < found.known_at]
        gone = rows[mine[known[mine] <= found.known_at]]
        seen = seen[~np.isin(seen, gone)]
        parts.append((seen, np.full(len(seen), found.column), np.full(len(seen), found.known_at)))
        for name, array in values.items():
            before[name].append(array[seen, found.column])
            change = found.factor if name in scaled else 1.0
            if name == "volume" and found.volume:
                change = 1.0 / found.factor
            if change != 1.0:
                array[span, found.column] *= change
                before[name][0][later] *= change
    place = [np.concatenate(column) for column in zip(*parts, strict=True)]
    for array in values.values():
        array[rows, columns] = np.nan
    order = np.argsort(place[2], kind="stable")
    return Revisions(
        rows=place[0][order].astype(np.int32),
        columns=place[1][order].astype(np.int32),
        known_at=place[2][order].astype(np.int32),
        before={name: np.concatenate(found)[order] for name, found in before.items()},
        breaks=breaks,
    )


def _report_splits(findings: _Findings) -> None:
    if "adj_close" not in findings.bars.values:
        return
    usable = _masked(findings.close, findings.broken)
    factor = last_known(np.log(findings.bars.values["adj_close"] / usable))
    change = np.diff(factor, axis=0)
    other = _report_other(
        findings,
        np.abs(change) > OTHER_MOVE["adj_close"],
        ~np.isnan(change),
        "adj_close moves otherwise than the close",
        "this close adjusted for splits and dividends",
    )
    for column, rows in _by_column((np.abs(change) > SPLIT_LOG) & ~other):
        events = ", ".join(
            f"{np.exp(change[row, column]):.4g} on {findings.day(row + 1)}" for row in rows[:5]
        )
        findings.add(
            column,
            "split",
            f"adjusted over raw close changes by a factor of {events}"
            f"{_more(rows, 5)}; adjusted prices are used",
        )


def _report_cap_and_vwap(findings: _Findings) -> None:
    values = findings.bars.values
    if not {"cap", "vwap"} & values.keys():
        return
    usable = _masked(findings.close, findings.broken)
    if "cap" in values:
        shares = np.where(values["cap"] > 0.0, values["cap"], np.nan) / usable
        change = np.diff(last_known(np.log(shares)), axis=0)
        _report_other(
            findings,
            np.abs(change) > OTHER_MOVE["cap"],
            ~np.isnan(change),
            "cap moves otherwise than the close",
            "the shares of that day times its close",
        )
    if "vwap" in values and "high" in values and "low" in values:
        vwap = values["vwap"]
        outside = vwap > values["high"] * (1.0 + RANGE_TOLERANCE)
        outside |= vwap < values["low"] * (1.0 - RANGE_TOLERANCE)
        _report_other(
            findings,
            outside & ~np.isnan(usable),
            ~np.isnan(vwap) & ~np.isnan(usable),
            "vwap lies outside low..high",
            "the mean price of that day, adjusted as its close",
        )


def _report_other(findings: _Findings, odd: Mask, judged: Mask, seen: str, wanted: str) -> Mask:
    """Report each series with a quarter of its judged bars at odds; return which these are."""
    counts, bars = np.count_nonzero(odd, axis=0), np.count_nonzero(judged, axis=0)
    other: Mask = (counts >= GARBAGE_LEAST) & (counts > OTHER_SHARE * bars)
    for column in np.flatnonzero(other):
        findings.add(
            int(column),
            "other-series",
            f"{seen} on {counts[column]} of {bars[column]} bars: it is not {wanted}, and may be "
            "of another day or name; it is used all the same: check or leave out that column",
        )
    return other


def _report_gaps(findings: _Findings) -> None:
    present = findings.present
    if not present.size:
        return
    first = present.argmax(axis=0)
    last = len(present) - 1 - present[::-1].argmax(axis=0)
    counts = np.count_nonzero(present, axis=0)
    missing = np.where(counts > 0, last - first + 1 - counts, 0)
    for column in np.flatnonzero(missing >= GAP_BARS):
        absent = ~present[:, column]
        absent[: first[column]] = False
        absent[last[column] + 1 :] = False
        runs = list(_runs(absent))
        start, end = max(runs, key=lambda run: run[1] - run[0])
        findings.add(
            int(column),
            "gap",
            f"{missing[column]} bars are missing in {len(runs)} gaps, the longest from "
            f"{findings.day(start)} to {findings.day(end)}",
        )


def _report_repeats(findings: _Findings) -> None:
    values = findings.bars.values
    same = repeated_bars(values)
    days = repeated_days(same, values["close"])
    if len(days):
        findings.issues.append(
            SeriesIssue(
                "",
                "repeated-bar",
                f"nearly every name repeats its prices of the day before on {findings.day(days[0])}"
                f"{_more(days)}: a day without trading, filled in; leave such rows out",
            )
        )
    copied = copied_bars(same, values)
    copied[days] = False
    for column, rows in _by_column(copied):
        if len(rows) >= COPIED_BARS:
            findings.add(
                column,
                "repeated-bar",
                f"prices and volume are those of the bar before on {findings.day(rows[0])}"
                f"{_more(rows)}: days without trading, filled in; leave such rows out",
            )


def _report_volume_units(findings: _Findings, values: dict[str, Array]) -> None:
    if "volume" not in values or bars_a_year(findings.bars.dates) < DAYS_A_YEAR:
        return
    for step in unit_steps(values["volume"], values["close"]):
        times = f"{step.factor:,.4g} times" if step.factor > 1.0 else f"1/{1 / step.factor:,.4g} of"
        whose = "the volume of the median name" if step.column is None else "volume"
        detail = (
            f"{whose} is about {times} what it was from {findings.day(step.row)} on while prices "
            "move as before: its unit may have changed; it is used as it is, bring it to one unit"
        )
        if step.column is None:
            findings.issues.append(SeriesIssue("", "volume-unit", detail))
        else:
            findings.add(step.column, "volume-unit", detail)


def _masked(array: Array, cells: Mask) -> Array:
    result = array.copy()
    result[cells] = np.nan
    return result


def _by_column(cells: Mask) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Yield (column, ascending rows) of every column with a true cell."""
    for column in np.flatnonzero(cells.any(axis=0)):
        yield int(column), np.flatnonzero(cells[:, column])


def _runs(flags: Mask) -> Iterator[tuple[int, int]]:
    """Yield (first, last), both inclusive, of every run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False]))))
    for first, after in zip(edges[::2], edges[1::2], strict=True):
        yield int(first), int(after) - 1


def _more(rows: NDArray[np.intp], shown: int = 1) -> str:
    return f" and on {len(rows) - shown} more days" if len(rows) > shown else ""
