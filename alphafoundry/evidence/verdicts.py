"""Verdicts: what sealed days, which no search has seen, say about the finalists of a search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.special import ndtri

from alphafoundry.errors import EvidenceError
from alphafoundry.evidence.bootstrap import (
    Band,
    band,
    common_block_length,
    draw_days,
    drawn_sharpe_ratios,
)
from alphafoundry.evidence.multiple_testing import romano_wolf
from alphafoundry.evidence.sharpe import (
    LEAST_EFFECTIVE_DAYS,
    daily_pnl,
    deflated_sharpe_ratio,
    effective_days,
    long_run_variance_ratio,
    minimum_track_record,
    moments,
    null_deviation,
    sharpe_denominator,
)

Verdict = Literal["found", "unproven", "not confirmed"]

LEVEL = 0.05
"""Family-wise error of the first opening of sealed days; each further one has half of the last."""

WORTHLESS = 0.5
"""Annual Sharpe ratio that a finalist must still be able to have, or it is not confirmed."""

UPPER = 0.8
"""One-sided confidence with which it must."""

PLAUSIBLE_DSR = 0.5
"""Deflated Sharpe ratio below which an alpha without sealed days is not confirmed."""


def opening_level(number: int) -> float:
    """Return the level of the opening with this number, from 1: 5 %, 2.5 %, ...

    All openings of the same days together stay below 10 %. Raises EvidenceError below 1.
    """
    if number < 1:
        raise EvidenceError(f"opening number {number}: the first is 1")
    return float(LEVEL / 2.0 ** (number - 1))


@dataclass(frozen=True)
class Finding:
    """What is known of one finalist; Sharpe ratios are annual.

    Attributes
    ----------
    verdict : "found", "unproven" or "not confirmed"
    search_sharpe : band on search days; the value is flattered by the choice
    deflated : probability that the search Sharpe ratio is more than the luck of all trials
    sealed_sharpe : band on sealed days; None where there are none
    p : of the sealed test, adjusted over the finalists; None without sealed days
    upper : bound below which the true Sharpe ratio lies with 80 % confidence, from sealed days
    days_needed : days of the sealed (or else the search) Sharpe ratio that would prove it; infinite
        where none would
    reason : the verdict in one sentence
    """

    verdict: Verdict
    search_sharpe: Band
    deflated: float
    sealed_sharpe: Band | None
    p: float | None
    upper: float | None
    days_needed: float
    reason: str


def judge(
    search: Any,
    sealed: Any | None,
    *,
    trials: int,
    level: float,
    periods: float,
    generator: np.random.Generator,
) -> list[Finding]:
    """Return the finding for each finalist.

    On sealed days an alpha is *found* where the one-sided test of its mean, adjusted over the
    finalists by Romano and Wolf's step-down with shared draws and long-run standard errors, has a
    p-value of at most `level`; it is *not confirmed* where the upper 80 % bound of its sealed
    Sharpe ratio is below 0.5; else *unproven*. Without sealed days nothing is found: an alpha whose
    deflated Sharpe ratio is below 0.5 is not confirmed, every other is unproven.

    Parameters
    ----------
    search : daily PnL on search days, of shape (n_days, n_finalists)
    sealed : the same finalists on days that nothing of the search has seen; None without such days
    trials : all trials that were ever made on these search days
    level : of this opening, from `opening_level`
    periods : days of a year
    generator : of the bootstrap's draws

    Raises EvidenceError where the two do not hold the same finalists.
    """
    x = _columns(search)
    within = draw_days(len(x), generator=generator, mean_block=common_block_length(x))
    found = moments(x)
    deflated = np.array(
        [
            deflated_sharpe_ratio(moments(column), trials=trials, sigma=null_deviation(column))
            for column in x.T
        ]
    )
    year = np.sqrt(periods)
    searched = _bands(x, within, year)
    if sealed is None:
        needed = np.asarray(minimum_track_record(found, trials=trials))
        return [
            _without_seal(searched[i], float(deflated[i]), float(needed[i]))
            for i in range(x.shape[1])
        ]
    y = _columns(sealed)
    if y.shape[1] != x.shape[1]:
        raise EvidenceError(f"{y.shape[1]} sealed series for {x.shape[1]} finalists")
    counts = draw_days(len(y), generator=generator, mean_block=common_block_length(y))
    p = romano_wolf(y, counts)
    judged = moments(y)
    ratio = np.sqrt(np.asarray(long_run_variance_ratio(y)))
    error = np.asarray(sharpe_denominator(judged)) * ratio / np.sqrt(len(y) - 1.0)
    upper = (judged.sharpe + ndtri(UPPER) * error) * year
    bands = _bands(y, counts, year)
    needed = np.asarray(minimum_track_record(judged))
    worth = np.asarray(effective_days(y))
    return [
        _with_seal(
            searched[i],
            bands[i],
            deflated=float(deflated[i]),
            p=float(p[i]),
            upper=float(upper[i]),
            needed=float(needed[i]),
            effective=float(worth[i]),
            level=level,
        )
        for i in range(x.shape[1])
    ]


def _columns(pnl: Any) -> Any:
    x = daily_pnl(pnl)
    return x[:, None] if x.ndim == 1 else x


def _bands(x: Any, counts: Any, year: float) -> list[Band]:
    drawn = drawn_sharpe_ratios(x, counts) * year
    value = np.asarray(moments(x).sharpe) * year
    return [band(drawn[:, i], float(value[i])) for i in range(x.shape[1])]


def _without_seal(searched: Band, deflated: float, needed: float) -> Finding:
    confirmed = deflated >= PLAUSIBLE_DSR
    return Finding(
        verdict="unproven" if confirmed else "not confirmed",
        search_sharpe=searched,
        deflated=deflated,
        sealed_sharpe=None,
        p=None,
        upper=None,
        days_needed=needed,
        reason=(
            f"no sealed days; deflated Sharpe ratio {deflated:.2f}"
            f"{'' if confirmed else ': luck alone gives as much'}"
        ),
    )


def _with_seal(
    searched: Band,
    sealed: Band,
    *,
    deflated: float,
    p: float,
    upper: float,
    needed: float,
    effective: float,
    level: float,
) -> Finding:
    verdict: Verdict = "unproven"
    reason = f"sealed Sharpe ratio {sealed.value:.2f}, p = {p:.3f} against a level of {level:g}"
    if not np.isfinite(upper) or effective < LEAST_EFFECTIVE_DAYS:
        reason = f"its sealed PnL is worth {effective:.0f} days, too few to judge it"
    elif p <= level:
        verdict = "found"
    elif upper < WORTHLESS:
        verdict = "not confirmed"
        reason = f"its sealed Sharpe ratio is below {upper:.2f} with 80 % confidence"
    return Finding(
        verdict=verdict,
        search_sharpe=searched,
        deflated=deflated,
        sealed_sharpe=sealed,
        p=p,
        upper=upper,
        days_needed=needed,
        reason=reason,
    )
