"""Leaps of one price series: moves too large to pass without a question.

Every judgement is made on a bar of its own, `known`, from the bars up to it alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from alphafoundry.market.splits import (
    BARS_AFTER,
    LEAST_LOG,
    Series,
    Split,
    given_split,
    judge_split,
)

Array = NDArray[np.float64]

LEAP = 2.0
"""A close that doubles or halves is a leap."""
LEAP_LOG = float(np.log(LEAP))
JUMP_LOG = float(np.log(50.0))
SPIKE_SIGMAS = 12.0
SPIKE_BARS = BARS_AFTER
JUMP_BARS = 63
"""A move by a factor of 50 or more has this many bars to come back."""
SPIKE_REST = 0.1
UNIT_NAMES = 5
UNIT_SHARE = 0.9
UNDONE = 0.15
"""A fall undoes an earlier rise of its factor, where that is the rest of the two in logarithms."""
SIGMA_BARS = 252
LEAST_SIGMA_BARS = 20


@dataclass(frozen=True)
class Leap:
    """A leap of a price series.

    Attributes
    ----------
    kind : "split" (one that was not adjusted, see `alphafoundry.market.splits`), "spike" (turns
        back within SPIKE_BARS bars, or JUMP_BARS after a fall by a factor of 50), "jump" (up by
        a factor of 50 or more, and stays), "back" (a jump, or what was taken for a split, that
        turns back within JUMP_BARS, or later by a fall of its factor) or
        "possible" (a split that is not certain, or without `split` a move by a factor of 50 that
        is too young to be judged: worth a word, and nothing is changed)
    start : index of the first bar away from the old price; for "back" of the first bar back
    back : for a spike the index of the first bar back at the old price, otherwise start + 1
    known : index of the bar on which this can be told
    factor : of a split, a jump and its way back, what takes it out of the prices from `start` on
    split : what was found of a split
    volume : of the way back from what was taken for a split, whether volume goes back too
    """

    kind: Literal["split", "spike", "jump", "back", "possible"]
    start: int
    back: int
    known: int
    factor: float = 1.0
    split: Split | None = None
    volume: bool = False


def find_leaps(series: Series, unit_days: Mapping[int, float] | None = None) -> Iterator[Leap]:
    """Yield the leaps of a series in the order of time.

    Parameters
    ----------
    series : close without NaN, and what else is known of these bars
    unit_days : rows on which the prices of the whole market fall, to what takes the fall out

    A spike must also exceed SPIKE_SIGMAS robust deviations of the series' own earlier changes,
    and come back to within a tenth of the leap. Any other large move, such as a crash, a
    wipe-out or a takeover, is none. What the last bars leave open is left out.
    """
    log_price = series.log_close
    changes = np.diff(log_price)
    least = min(LEAP_LOG, LEAST_LOG)
    spans: list[tuple[int, int]] = []
    large = np.abs(changes) > least
    if series.factor is not None:
        told = np.flatnonzero(np.isfinite(series.factor[1:]) & (series.factor[1:] != 1.0))
        large[[before for before in told if given_split(series, int(before) + 1)]] = True
    rises: list[tuple[float, Leap]] = []
    for before in np.flatnonzero(large):
        start, size = int(before) + 1, float(changes[before])
        factor = _between(unit_days or {}, series.days[before], series.days[start])
        if factor != 1.0 and abs(size + np.log(factor)) < LEAP_LOG:
            found = [Leap("jump", start, start + 1, start, factor)]
        else:
            found = _undoing(rises, start, size) or list(_leaps_at(series, changes, start))
        for leap in found:
            explained = any(first < start <= back <= leap.known for first, back in spans)
            if not explained:
                yield leap
                if leap.kind in ("spike", "back"):
                    spans.append((start, leap.known))
                if leap.kind in ("split", "jump") and size > JUMP_LOG:
                    rises.append((size, leap))


def unit_days(close: Array, filled: Array) -> dict[int, float]:
    """Return the rows on which a whole market falls by 100, 1000, ...: another unit of its prices.

    Parameters
    ----------
    close, filled : the closes, and the last known ones, of shape (n_days, n_instruments)

    Nine of ten names, five or more, fall by a factor of 50 on such a day, by a power of ten in the
    middle. A market that loses 98 % in a day has no returns afterwards that anybody could use.
    """
    ratio = close[1:] / filled[:-1]
    known = np.count_nonzero(~np.isnan(ratio), axis=1)
    falling = np.count_nonzero(ratio < 1.0 / np.exp(JUMP_LOG), axis=1)
    found = {}
    for before in np.flatnonzero((known >= UNIT_NAMES) & (falling >= UNIT_SHARE * known)):
        middle = float(np.nanmedian(ratio[before]))
        factor = 10.0 ** round(-np.log10(middle))
        if abs(np.log(middle * factor)) < UNDONE:
            found[int(before) + 1] = factor
    return found


def _between(unit_days: Mapping[int, float], last: int, row: int) -> float:
    """Return what takes the falls of the market after the row of the last bar up to `row` out."""
    return float(np.prod([factor for day, factor in unit_days.items() if last < day <= row]))


def _undoing(rises: list[tuple[float, Leap]], start: int, size: float) -> list[Leap]:
    """Return the way back of an earlier rise by this factor of 50 or more; nothing where none is.

    A price that is quoted in another unit for a year comes back by the factor by which it rose; it
    is a loss only where no such rise was divided out before. This is known at once, so it goes
    before what only later bars would tell.
    """
    for place, (rise, leap) in enumerate(rises):
        if abs(size + rise) < UNDONE and leap.known < start:
            del rises[place]
            volume = leap.split is not None and leap.split.volume
            return [Leap("back", start, start + 1, start, 1.0 / leap.factor, volume=volume)]
    return []


def robust_sigma(changes: Array) -> float:
    """Return 1.4826 times the median absolute change, a deviation that outliers cannot move."""
    return 1.4826 * float(np.median(np.abs(changes)))


def _leaps_at(series: Series, changes: Array, start: int) -> Iterator[Leap]:
    log_price = series.log_close
    size = float(changes[start - 1])
    history = changes[max(0, start - 1 - SIGMA_BARS) : start - 1]
    sigma = robust_sigma(history) if len(history) >= LEAST_SIGMA_BARS else 0.0
    away = 0
    if abs(size) > max(LEAP_LOG, SPIKE_SIGMAS * sigma):
        away = _bars_away(log_price, start, JUMP_BARS if abs(size) > JUMP_LOG else SPIKE_BARS)
    stayed = start + SPIKE_BARS
    split = judge_split(series, start)
    certain = split is not None and split.certain
    if away and (away <= SPIKE_BARS or (size < 0 and not certain)):
        yield Leap("spike", start, start + away, start + away)
    elif split is not None and certain:
        yield Leap("split", start, start + 1, stayed, split.factor, split)
        if away:
            # Known to be none only now: the days between were taken for days after a split.
            back = start + away
            yield Leap("back", back, back + 1, back, 1.0 / split.factor, volume=split.volume)
    elif size > JUMP_LOG and stayed < len(log_price):
        factor = float(np.exp(-size))
        yield Leap("jump", start, start + 1, stayed, factor)
        if away:
            back = start + away
            yield Leap("back", back, back + 1, back, 1.0 / factor)
    elif split or (abs(size) > JUMP_LOG and stayed >= len(log_price)):
        yield Leap("possible", start, start + 1, min(stayed, len(log_price) - 1), 1.0, split)


def _bars_away(log_price: Array, start: int, most: int) -> int:
    """Return how many bars, up to `most`, the price stays away from its level before `start`.

    On the way every bar stays away by at least half of the leap. 0 where it does not come back.
    """
    level = log_price[start - 1]
    size = log_price[start] - level
    for bars in range(1, min(most, len(log_price) - 1 - start) + 1):
        rest = (log_price[start + bars] - level) / size
        if abs(rest) <= SPIKE_REST:
            return bars
        if rest < 0.5:
            return 0
    return 0
