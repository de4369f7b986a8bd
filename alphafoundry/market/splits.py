"""Was a leap of a price a split that nobody adjusted for, or did holders earn it?

Evidence is added up as logarithms of likelihood ratios, split against real move, each from what
the bar and the five bars after it show:

close     after a split the close is near 1/n of the close before, as near as the name's own daily
          return is to 0; a real move stops at no ratio in particular, and large ones are rare
open      the same for the open, which is nearer still; and from open to close the day is an
          ordinary one, while a real move goes on during the day
range     high over low is an ordinary day's after a split, several times that on a real move
volume    shares traded are as usual, or n times as many; a real move is traded 13 times as much
after     the five returns that follow are as large as those before; after a real move they are
          larger
calm      where the close alone has to tell: a name that moves by 1 % a day is hardly ever halved
          by the market
halt      a name reopens after missing bars, or after a price that stood still, with a real move
factor    a split factor that the source gives for the day is nearly a proof

The scales are those of 1,128 real moves by more than 30 % in 3,470 US series (2012 to 2021) and of
splits put into the same series.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LEAST_LOG = math.log(1.35)
"""The smallest move that is looked at: a split of 3 for 2, and the day's own return."""
HISTORY = 63
LEAST_HISTORY = 20
BARS_AFTER = 5
LEAST_EVIDENCE = 0.9
"""Log odds from which on a leap counts as a split, where the day's open is known."""
LEAST_EVIDENCE_OF_CLOSES = 1.5
"""The same where it is not, and the close alone has to tell."""
WORTH_A_WORD = 0.0
"""Log odds from which on a leap is reported as a possible split."""
AMBIGUOUS = 1.5
"""Two ratios whose log odds differ by less are both possible."""
PRIOR = -2.0
MOST_SIGMAS = 8.0
"""A close further from the ratio than this many of the name's own deviations is no split."""
LEAST_SIGMA = 0.004
FACTOR_GIVEN = 12.0
LEAST_GIVEN = math.log(1.15)
"""The smallest split that a factor of the source shows; the day's own return hides smaller ones."""
HALTED = -6.0
CONFIRMED_BY_VOLUME = 25.0
"""From this many new shares per old one on a fall is a wipe-out, unless volume is in new shares."""
EARLY_NEARNESS = 0.06
VOLUME_NEARNESS = 0.4
LEAST_BY_VOLUME = math.log(2.9)
OWN_RETURN = 0.35

_COMMON = {2.0: 0.0, 1.5: -1.0, 3.0: -1.0, 4.0: -1.5, 5.0: -1.5, 10.0: -1.5}
_RARE = dict.fromkeys([6.0, 7.0, 8.0, 15.0, 20.0], -3.0)
_VERY_RARE = dict.fromkeys([9.0, 12.0, 14.0, 16.0, 25.0, 30.0, 35.0, 40.0, 50.0, 100.0], -5.0)
_REVERSE = {1.0 / parts: odds for parts, odds in {**_COMMON, **_RARE, **_VERY_RARE}.items()}
_RATIOS = {**_COMMON, **_RARE, **_VERY_RARE, **_REVERSE, 2.5: -4.0, 1.0 / 1.5: -4.0}
_LOGS = np.log(list(_RATIOS))
_ODDS = np.array(list(_RATIOS.values()))


@dataclass(frozen=True)
class Series:
    """The bars of one instrument without its missing ones; each array of shape (n_bars,).

    Attributes
    ----------
    log_close : logarithm of the close that returns are made from
    days : row of each bar in the panel
    log_open, log_high, log_low : of the same adjustment; None where the source has none
    volume : shares; NaN is missing; None where the source has none
    factor : split factor that the source gives, new shares per old one; NaN or 1 without one
    """

    log_close: Array
    days: NDArray[np.intp]
    log_open: Array | None = None
    log_high: Array | None = None
    log_low: Array | None = None
    volume: Array | None = None
    factor: Array | None = None


@dataclass(frozen=True)
class Split:
    """A split that was not adjusted.

    Attributes
    ----------
    ratio : new shares per old one: 4 for 4 for 1, 0.1 for 1 for 10
    other : another ratio that is nearly as likely, None where there is none
    factor : what takes the split out of the prices: the ratio, or with another one as likely the
        whole move of the day
    volume : whether shares traded were counted in new shares from that bar on
    evidence : log odds, split against real move
    certain : whether that is enough to act on
    """

    ratio: float
    other: float | None
    factor: float
    volume: bool
    evidence: float
    certain: bool


def judge_split(series: Series, start: int) -> Split | None:
    """Return what speaks for a split on the bar `start`; None where too little does.

    From this bar, those before and five after. Not certain where the series has not yet five
    bars after it, nor with fewer than 20 returns before it, unless the source gives the factor.
    """
    close = series.log_close
    first = max(0, start - 1 - HISTORY)
    move = float(close[start] - close[start - 1])
    given = given_split(series, start)
    if abs(move) < LEAST_LOG and given is None:
        return None
    if given is not None:
        settled = start + BARS_AFTER < len(close)
        in_new_shares = series.volume is not None and _traded(series.volume, start, given)[1]
        return Split(given, None, given, in_new_shares, FACTOR_GIVEN, certain=settled)
    if start - 1 - first < LEAST_HISTORY:
        return _early(move)
    before = np.diff(close[first:start])
    sigma = max(1.4826 * float(np.median(np.abs(before))), LEAST_SIGMA)
    odds = _of_ratios(series, start, move, sigma)
    odds = np.where(np.abs(move + _LOGS) < MOST_SIGMAS * sigma, odds, -np.inf)
    second, best = np.argsort(odds)[-2:]
    ratio, other = np.exp(_LOGS[[best, second]]).tolist()
    settled = start + BARS_AFTER < len(close)
    evidence = float(np.logaddexp.reduce(odds)) + PRIOR
    if series.log_open is None:
        evidence += _calm(sigma)
    if settled:
        evidence += _after(close, start, sigma)
    in_new_shares = False
    if series.volume is not None:
        traded, in_new_shares = _traded(series.volume, start, ratio)
        evidence += traded
    if series.log_high is not None and series.log_low is not None:
        evidence += _range(series.log_high - series.log_low, start)
    least = LEAST_EVIDENCE_OF_CLOSES if series.log_open is None else LEAST_EVIDENCE
    halt = _halt(series, start)
    if evidence + halt < WORTH_A_WORD and (not halt or evidence < least):
        return _by_volume(series, start, move) if settled else None
    confirmed = ratio < CONFIRMED_BY_VOLUME or in_new_shares
    both = bool(odds[best] - odds[second] < AMBIGUOUS)
    return Split(
        ratio=ratio,
        other=other if both else None,
        factor=math.exp(-move) if both else ratio,
        volume=in_new_shares,
        evidence=evidence + halt,
        certain=settled and confirmed and evidence + halt >= least,
    )


def given_split(series: Series, start: int) -> float | None:
    """Return the split factor that the source gives for a bar whose close was not adjusted for it.

    None without one, for one below 1.15, and where the close moves as if it had been adjusted.
    """
    factor = math.nan if series.factor is None else float(series.factor[start])
    if not (math.isfinite(factor) and factor > 0.0 and abs(math.log(factor)) >= LEAST_GIVEN):
        return None
    move = float(series.log_close[start] - series.log_close[start - 1])
    return factor if abs(move + math.log(factor)) < 0.5 * abs(math.log(factor)) else None


def _early(move: float) -> Split | None:
    """Return a possible split of a series too young to say what is usual in it."""
    usual = np.flatnonzero(_ODDS >= -3.0)
    best = usual[np.argmin(np.abs(move + _LOGS[usual]))]
    if abs(move + _LOGS[best]) > EARLY_NEARNESS:
        return None
    return Split(math.exp(_LOGS[best]), None, 1.0, False, WORTH_A_WORD, certain=False)


def _by_volume(series: Series, start: int, move: float) -> Split | None:
    """Return a possible split on a day of a large own return: volume alone shows it.

    Shares traded have to change by the same ratio as the price on the day itself and after it;
    after a crash they are most on the day, and fewer then. A doubling of volume says nothing.
    """
    if series.volume is None or abs(move) < LEAST_BY_VOLUME - OWN_RETURN:
        return None
    usual = _usual(series.volume[max(0, start - HISTORY) : start])
    after = _usual(series.volume[start : start + BARS_AFTER + 1])
    today = float(series.volume[start])
    if not (usual > 0.0 and after > 0.0 and today > 0.0):
        return None
    common = np.flatnonzero((_ODDS >= -3.0) & (np.abs(_LOGS) > LEAST_BY_VOLUME))
    near = np.abs(_LOGS[common] + move)
    near += np.abs(_LOGS[common] - math.log(after / usual))
    best = common[np.argmin(near)]
    level, now = math.log(after / usual), math.log(today / usual)
    same = abs(level - _LOGS[best]) < VOLUME_NEARNESS and abs(now - level) < 2 * VOLUME_NEARNESS
    if not same or abs(move + _LOGS[best]) > OWN_RETURN:
        return None
    return Split(math.exp(_LOGS[best]), None, 1.0, True, WORTH_A_WORD, certain=False)


def _of_ratios(series: Series, start: int, move: float, sigma: float) -> Array:
    """Return the log odds of every ratio from the close, or from the open and the way from it."""
    opening = math.nan if series.log_open is None else float(series.log_open[start])
    if math.isfinite(opening):
        close = series.log_close
        overnight, inside = opening - float(close[start - 1]), float(close[start]) - opening
        near = _student((overnight + _LOGS) / (0.5 * sigma)) - math.log(0.5 * sigma)
        same_day = float(_student(np.array(inside / sigma))) - math.log(sigma)
        real = _log_laplace(inside, 0.12) + _log_tail(overnight)
        return _ODDS + near + same_day - real
    near = _student((move + _LOGS) / sigma) - math.log(sigma)
    return _ODDS + near - _log_tail(move)


def _traded(volume: Array, start: int, ratio: float) -> tuple[float, bool]:
    """Return (evidence of the shares traded, whether they are counted in new shares)."""
    usual = _usual(volume[max(0, start - HISTORY) : start])
    after = _usual(volume[start : start + BARS_AFTER + 1])
    today = volume[start]
    if not (usual > 0.0 and after > 0.0 and today > 0.0):
        return 0.0, False
    more, level = math.log(today / usual), math.log(after / usual)
    in_new_shares = abs(level - math.log(ratio)) < abs(level)
    ordinary = max(_log_normal(more, 0.0, 0.6), _log_normal(more, math.log(ratio), 0.6))
    return _floored(ordinary) - _floored(_log_normal(more, 2.6, 1.1)), in_new_shares


def _usual(volume: Array) -> float:
    known = volume[np.isfinite(volume)]
    return float(np.median(known)) if len(known) else math.nan


def _range(log_range: Array, start: int) -> float:
    usual = float(np.median(log_range[max(0, start - 20) : start]))
    if not (usual > 0.0 and log_range[start] > 0.0):
        return 0.0
    wider = math.log(log_range[start] / usual)
    return _floored(_log_normal(wider, 0.0, 0.45)) - _floored(_log_normal(wider, 1.55, 0.65))


def _after(close: Array, start: int, sigma: float) -> float:
    following = np.abs(np.diff(close[start : start + BARS_AFTER + 1]))
    wider = math.log(max(1.25 * float(following.mean()) / sigma, 0.1))
    return _floored(_log_normal(wider, 0.0, 0.55)) - _floored(_log_normal(wider, 0.6, 0.75))


def _calm(sigma: float) -> float:
    """Return the evidence of a calm name: it splits like others and hardly ever falls by a third.

    Among names with real moves by more than 30 % the median deviation is 3.2 % a day, among all
    it is 1.35 %. A stormy name has no evidence against it: it may split, too.
    """
    split = _log_normal(math.log(sigma), math.log(0.0135), 0.5)
    real = _log_normal(math.log(sigma), math.log(0.032), 0.57)
    return max(split - real, 0.0)


def _halt(series: Series, start: int) -> float:
    """Return the evidence of missing bars, or of a close that stood still, before the leap.

    A pause counts that the last 20 bars did not have: a name without weekends has one each week.
    """
    days = series.days
    pauses = np.diff(days[max(0, start - 21) : start])
    unusual = int(days[start] - days[start - 1]) > int(pauses.max(initial=1))
    before = series.log_close[max(0, start - 3) : start]
    stood = len(before) == 3 and bool((before == before[-1]).all())
    return HALTED if unusual or stood else 0.0


def _student(z: Array) -> Array:
    """Return the log density of Student's t with 3 degrees of freedom."""
    return math.log(2.0 / (math.pi * math.sqrt(3.0))) - 2.0 * np.log1p(z * z / 3.0)


def _log_tail(move: float) -> float:
    """Return the log density of a real move's size beyond the least one.

    Exponential by 0.3, and a tail of wipe-outs that does not end.
    """
    return math.log(math.exp(-max(abs(move) - LEAST_LOG, 0.0) / 0.3) / 0.3 + 0.03)


def _log_laplace(value: float, scale: float) -> float:
    return -abs(value) / scale - math.log(2.0 * scale)


def _log_normal(value: float, mean: float, deviation: float) -> float:
    return -0.5 * ((value - mean) / deviation) ** 2 - math.log(deviation) - 0.919


def _floored(log_density: float) -> float:
    """Return a log density that no outlier makes nearly impossible."""
    return math.log(math.exp(log_density) + 0.02)
