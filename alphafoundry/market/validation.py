"""Faults of daily bars: found, reported and masked, so that none is used silently.

Rules, in the order in which they are applied:

thin-day            a day on which under 5 % of the usual number of names have a bar is removed
                    (a holiday on which a few names carry a stray bar)
non-positive-price  a price of zero, below it or infinite: the bar is masked
absurd-price        high below low, or open or close outside low..high by more than 0.1 %: the
                    bar is masked
spike               the close at least doubles or halves and is back at its level within 5 bars:
                    the bars in between are masked. A crash that does not turn back is left alone
jump                the close moves by a factor of 50 or more and stays there: that bar is
                    masked, so the move enters no return
stale               the same close on 5 bars in a row without volume, or on 20 with volume: all
                    but the first are masked
garbage             a quarter of the bars are broken by the rules above, or half are without any
                    trade: the whole series is masked
lost-volume         no volume on a bar whose price moved, or a negative one: the volume is masked
split               adj_close / close changes by 20 % or more: reported only, as the adjusted
                    prices are used
possible-split      without adj_close, a move to 1/n or n times the price that stays: reported
gap                 5 or more bars are missing inside a series: reported
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from alphafoundry.market.bars import PRICE_COLUMNS, Bars
from alphafoundry.market.leaps import LEAP_LOG, Leap, find_leaps
from alphafoundry.market.panel import SeriesIssue

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

THIN_DAY_SHARE = 0.05
RANGE_TOLERANCE = 1e-3
STALE_BARS = 20
STALE_BARS_UNTRADED = 5
GARBAGE_BROKEN_SHARE = 0.25
GARBAGE_UNTRADED_SHARE = 0.5
WILD_SHARE = 0.05
WILD_COUNT = 10
SPLIT_LOG = np.log(1.2)
GAP_BARS = 5


def validate(bars: Bars) -> Bars:
    """Return `bars` with every faulty value set to NaN and every fault in `issues`.

    The arrays of `bars` are left as they are. The rules are those of the module's docstring.
    The order of issues is by symbol, then by kind; faults of the whole file come first.
    """
    bars, issues = _without_thin_days(bars)
    findings = _Findings(bars)
    _find_non_positive(findings)
    _find_absurd(findings)
    _find_leaps(findings)
    _find_stale(findings)
    _find_garbage(findings)
    _report_splits(findings)
    _report_gaps(findings)
    values = {name: _masked(array, findings.broken) for name, array in bars.values.items()}
    if "volume" in values:
        values["volume"] = _without_lost_volume(findings, values)
    found = sorted(findings.issues, key=lambda issue: (issue.symbol, issue.kind))
    return replace(bars, values=values, issues=(*bars.issues, *issues, *found))


@dataclass
class _Findings:
    """What the rules have found so far in one set of bars.

    broken : bars to mask, of shape (n_days, n_instruments)
    wild : instruments with too many leaps for any of their prices to be trusted
    close : the close without the broken bars
    """

    bars: Bars

    def __post_init__(self) -> None:
        close = self.bars.values["close"]
        self.present: Mask = ~np.isnan(close)
        self.broken: Mask = np.zeros(close.shape, dtype=bool)
        self.wild: Mask = np.zeros(close.shape[1], dtype=bool)
        self.close = close
        self.issues: list[SeriesIssue] = []

    def mask(self, cells: Mask) -> None:
        """Add `cells`, of shape (n_days, n_instruments), to the broken bars."""
        if cells.any():
            self.broken |= cells
            self.close = _masked(self.bars.values["close"], self.broken)

    def add(self, column: int, kind: str, detail: str, masked: int = 0) -> None:
        """Report a fault of the instrument in `column`."""
        symbol = str(self.bars.symbols[column])
        self.issues.append(SeriesIssue(symbol, kind, detail, masked))

    def day(self, row: int) -> str:
        """Return the date of `row` as text."""
        return str(self.bars.dates[row])


def _without_thin_days(bars: Bars) -> tuple[Bars, list[SeriesIssue]]:
    counts = np.count_nonzero(~np.isnan(bars.values["close"]), axis=1)
    usual = float(np.median(counts)) if len(counts) else 0.0
    thin = counts < THIN_DAY_SHARE * usual
    if not thin.any():
        return bars, []
    values = {name: np.ascontiguousarray(array[~thin]) for name, array in bars.values.items()}
    issues = [
        SeriesIssue(
            "",
            "thin-day",
            f"{bars.dates[row]} has bars of {counts[row]} names, usual are {usual:.0f}: removed",
            int(counts[row]),
        )
        for row in np.flatnonzero(thin)
    ]
    return replace(bars, dates=bars.dates[~thin], values=values), issues


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
                f"{_more(rows)}; a price must be above zero",
                len(rows),
            )
        findings.mask(cells)


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
    findings.mask(cells)


def _find_leaps(findings: _Findings) -> None:
    """Find spikes, jumps and possible splits in the close, adjusted where that is known."""
    values = findings.bars.values
    adjusted = "adj_close" in values
    log_close = np.log(_masked(values["adj_close" if adjusted else "close"], findings.broken))
    leaping = np.abs(np.diff(_filled_forward(log_close), axis=0)) > LEAP_LOG
    counts = np.count_nonzero(leaping, axis=0)
    bars_of = np.count_nonzero(findings.present, axis=0)
    findings.wild = counts > np.maximum(WILD_COUNT, WILD_SHARE * bars_of)
    cells = np.zeros_like(findings.broken)
    for column in np.flatnonzero((counts > 0) & ~findings.wild):
        rows = np.flatnonzero(~np.isnan(log_close[:, column]))
        path = log_close[rows, column]
        for leap in find_leaps(path):
            if leap.kind == "split" and adjusted:
                continue
            masked = rows[leap.start : leap.back] if leap.kind != "split" else rows[:0]
            cells[masked, column] = True
            day = findings.day(rows[leap.start])
            old, new = np.exp(path[leap.start - 1]), np.exp(path[leap.start])
            findings.add(
                int(column),
                "possible-split" if leap.kind == "split" else leap.kind,
                f"close {old:.6g} to {new:.6g} on {day}{_outcome(leap)}",
                len(masked),
            )
    findings.mask(cells)


def _outcome(leap: Leap) -> str:
    if leap.kind == "spike":
        bars = leap.back - leap.start
        return f", back after {bars} bar{'s' if bars > 1 else ''}"
    if leap.kind == "jump":
        return ", and it stays there"
    split = f"{leap.parts} for 1" if leap.parts > 0 else f"1 for {-leap.parts}"
    return f" looks like a split of {split} that was not adjusted"


def _find_stale(findings: _Findings) -> None:
    same = np.diff(findings.close, axis=0) == 0.0
    pairs = same[1:] & same[:-1]
    suspects = np.flatnonzero((pairs[2:] & pairs[:-2]).any(axis=0))
    volume = findings.bars.values.get("volume")
    cells = np.zeros_like(findings.broken)
    for column in suspects:
        untraded = None if volume is None else volume[:, column] == 0.0
        for first, last in _runs(same[:, column]):
            length = last - first + 2
            quiet = untraded is not None and bool(untraded[first + 1 : last + 2].all())
            if length < (STALE_BARS_UNTRADED if quiet else STALE_BARS):
                continue
            cells[first + 1 : last + 2, column] = True
            findings.add(
                int(column),
                "stale",
                f"the close stays at {findings.close[first, column]:.6g} from "
                f"{findings.day(first)} to {findings.day(last + 1)}"
                f"{' without volume' if quiet else ''}",
                last - first + 1,
            )
    findings.mask(cells)


def _find_garbage(findings: _Findings) -> None:
    values, present = findings.bars.values, findings.present
    bars_of = np.maximum(np.count_nonzero(present, axis=0), 1)
    broken_share = np.count_nonzero(findings.broken & present, axis=0) / bars_of
    untraded_share = np.zeros(len(bars_of))
    if "volume" in values:
        untraded = values["volume"] == 0.0
        if "high" in values and "low" in values:
            untraded &= values["high"] == values["low"]
        untraded_share = np.count_nonzero(untraded & present, axis=0) / bars_of
    garbage = (
        findings.wild
        | (broken_share > GARBAGE_BROKEN_SHARE)
        | (untraded_share > GARBAGE_UNTRADED_SHARE)
    )
    if not garbage.any():
        return
    names = set(findings.bars.symbols[garbage].tolist())
    findings.issues = [issue for issue in findings.issues if issue.symbol not in names]
    for column in np.flatnonzero(garbage):
        reasons = [f"{broken_share[column]:.0%} of its bars are broken"]
        if untraded_share[column] > GARBAGE_UNTRADED_SHARE:
            reasons.append(f"{untraded_share[column]:.0%} are without a trade")
        if findings.wild[column]:
            reasons.append("its close leaps to and fro")
        findings.add(
            int(column),
            "garbage",
            f"{', '.join(reasons)}: the whole series is left out",
            int(bars_of[column]),
        )
    findings.mask(present & garbage)


def _without_lost_volume(findings: _Findings, values: Mapping[str, Array]) -> Array:
    volume = values["volume"]
    cells = (volume < 0.0) | np.isinf(volume)
    if "high" in values and "low" in values:
        cells |= (volume == 0.0) & (values["high"] > values["low"])
    for column, rows in _by_column(cells):
        findings.add(
            column,
            "lost-volume",
            f"volume {volume[rows[0], column]:.6g} although the price moved on "
            f"{findings.day(rows[0])}{_more(rows)}",
            len(rows),
        )
    return _masked(volume, cells)


def _report_splits(findings: _Findings) -> None:
    if "adj_close" not in findings.bars.values:
        return
    adjusted = _masked(findings.bars.values["adj_close"], findings.broken)
    factor = _filled_forward(np.log(adjusted / findings.close))
    change = np.diff(factor, axis=0)
    for column, rows in _by_column(np.abs(change) > SPLIT_LOG):
        events = ", ".join(
            f"{np.exp(change[row, column]):.4g} on {findings.day(row + 1)}" for row in rows[:5]
        )
        findings.add(
            column,
            "split",
            f"adjusted over raw close changes by a factor of {events}"
            f"{_more(rows, 5)}; adjusted prices are used",
        )


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


def _masked(array: Array, cells: Mask) -> Array:
    result = array.copy()
    result[cells] = np.nan
    return result


def _filled_forward(array: Array) -> Array:
    """Return `array` with NaN replaced by the last value above it, if there is one."""
    missing = np.isnan(array)
    columns = np.flatnonzero(missing.any(axis=0))
    if not len(columns):
        return array
    part = np.ascontiguousarray(array[:, columns])
    rows = np.where(missing[:, columns], 0, np.arange(len(array))[:, None])
    np.maximum.accumulate(rows, axis=0, out=rows)
    result = array.copy()
    result[:, columns] = np.take_along_axis(part, rows, axis=0)
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
