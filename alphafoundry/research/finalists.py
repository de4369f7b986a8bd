"""Finalists: the best alphas of a search that are unlike each other, chosen on search days."""

from __future__ import annotations

import math
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alphafoundry.evidence import (
    common_block_length,
    deflated_sharpe_ratio,
    draw_days,
    drawn_with_gaps,
    moments,
    null_deviation,
    sharpe_ratio,
    shrunk_sharpe_ratios,
)
from alphafoundry.evidence.sharpe import NOISE
from alphafoundry.expressions import parse
from alphafoundry.expressions.checking import COMPARES_LEVELS
from alphafoundry.research.history import silent_ids
from alphafoundry.research.proposals import MINER
from alphafoundry.research.trial_pnl import TrialPnl, first_unlike, read_trial_pnl, side_by_side
from alphafoundry.seeds import generator_for
from alphafoundry.store import (
    AlphaRow,
    Finalist,
    Store,
    best_alphas,
    hopeful_alphas,
    pnl_of_screened,
    read_daily_pnl,
    simulation_key,
    witnesses_of_screening,
)

MOST_FINALISTS = 10
MOST_CANDIDATES = 200
MOST_SHRUNK = 1000
"""Trials that are heard on what is to be expected of each, and alphas that are told it."""

LEAST_WITNESSES = 30
"""Fewer screened ideas that were not chosen for their strength cannot tell what ideas are worth."""

UNLIKE = 0.7
"""Largest |correlation| of daily PnL between two finalists."""

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sureness:
    """What chance moves the numbers of alphas between; arrays of shape (n_alphas,).

    Attributes
    ----------
    low, high : 5 % and 95 % quantile of the annual Sharpe ratio
    sharpe : of the days themselves
    dsr : deflated Sharpe ratio, the trials counted
    """

    low: Array
    high: Array
    sharpe: Array
    dsr: Array


def sureness(trials: TrialPnl, *, count: int) -> Sureness:
    """Return how sure the numbers of alphas are, by one set of bootstrap draws for all.

    count : all trials ever made on these prices
    """
    generator = generator_for(0, "sureness")
    counts = draw_days(
        len(trials.dates), generator=generator, mean_block=common_block_length(trials.filled())
    )
    mean, deviation = drawn_with_gaps(trials.pnl, counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(deviation > 0, mean / deviation, np.nan) * np.sqrt(trials.periods)
    low, high = np.nanquantile(ratio, [0.05, 0.95], axis=0)
    own = [trials.own(column) for column in range(len(trials.alpha_ids))]
    found = [moments(values) for values in own]
    return Sureness(
        low=low,
        high=high,
        sharpe=np.array([one.sharpe for one in found]) * np.sqrt(trials.periods),
        dsr=np.array(
            [
                deflated_sharpe_ratio(one, trials=max(count, 1), sigma=null_deviation(values))
                for one, values in zip(found, own, strict=True)
            ]
        ),
    )


def sees_the_future(alpha: AlphaRow) -> bool:
    """Tell whether an alpha compares levels that know what came later, by its own checks."""
    return any(COMPARES_LEVELS in str(check.get("message") or "") for check in alpha.checks)


def shrunk_of(store: Store, service: str) -> dict[str, float]:
    """Return alpha id to the annual Sharpe ratio to be expected of it after what all trials say.

    Of alphas of a service whose daily PnL is known, see `shrunk_sharpe_ratios`: the hopeful ones,
    then those with the largest |Sharpe ratio|, `MOST_SHRUNK` in all. Those of `heard_of` are heard.
    Where ideas were screened on the prices of the service, the witnesses among these are heard in
    place of those that were simulated for their strength.
    """
    ranked = best_alphas(store, service, by="sharpe", limit=None)
    ranked.sort(key=lambda alpha: (not alpha.hopeful, -abs(alpha.sharpe or 0.0), alpha.alpha_id))
    told = {alpha.alpha_id for alpha in ranked[:MOST_SHRUNK]}
    witnesses = {
        f"screened {row.key}": pnl_of_screened(row)
        for row in witnesses_of_screening(store, service, but_of=MINER, most=MOST_SHRUNK)
        # Of a service elsewhere no market is known: its ideas were screened on other prices.
        if row.market_id is not None
    }
    if len(witnesses) < LEAST_WITNESSES:
        witnesses = {}
    silent = silent_ids(store, service, chosen=bool(witnesses))
    heard = heard_of([*(alpha.alpha_id for alpha in ranked), *witnesses], silent)
    witnesses = {one: daily for one, daily in witnesses.items() if one in heard}
    known = read_daily_pnl(store, service, (told | heard) - witnesses.keys())
    trials = varying(side_by_side(known | witnesses))
    if not trials.alpha_ids:
        return {}
    own = [trials.own(column) for column in range(len(trials.alpha_ids))]
    found = shrunk_sharpe_ratios(
        [sharpe_ratio(values) * math.sqrt(trials.periods) for values in own],
        [len(values) for values in own],
        trials.correlation(),
        periods=trials.periods,
        built=[one not in heard for one in trials.alpha_ids],
    )
    together = zip(trials.alpha_ids, found.sharpe.tolist(), strict=True)
    return {one: sharpe for one, sharpe in together if one not in witnesses}


def heard_of(alpha_ids: Iterable[str], silent: Collection[str]) -> set[str]:
    """Return the alphas that are heard on what all are worth, at most `MOST_SHRUNK`.

    Where there are more, a sample that does not depend on what they are worth: the strongest alone
    would praise each other.

    silent : those that are there because they, or others that they were built from, were good
    """
    plain = (one for one in alpha_ids if one not in silent)
    return set(sorted(plain, key=lambda one: (zlib.crc32(one.encode()), one))[:MOST_SHRUNK])


def choose_finalists(
    store: Store, service: str, *, trials: int, shrunk: Mapping[str, float] | None = None
) -> list[Finalist]:
    """Return at most ten finalists, the highest fitness to be expected first.

    Of hopeful alphas with a known PnL; each is at most 0.7 correlated with those before it. What is
    to be expected is fitness with the Sharpe ratio of `shrunk_of`; an alpha of which nothing good
    is to be expected after all others were heard comes last. One that compares price levels is
    never a finalist: it looks into the future, and sealed days would praise it too.

    Parameters
    ----------
    trials : all that were ever made on these prices
    shrunk : as of `shrunk_of`, which is asked where it is None
    """
    hopeful = {
        alpha.alpha_id: alpha
        for alpha in hopeful_alphas(store, service, unmined=False)
        if not sees_the_future(alpha) and (alpha.fitness or 0.0) > 0.0
    }
    shrunk = shrunk_of(store, service) if shrunk is None else shrunk
    worth = {
        one: _shrunk_fitness(alpha, shrunk[one]) for one, alpha in hopeful.items() if one in shrunk
    }
    best = sorted(worth, key=lambda one: (-worth[one], one))[:MOST_CANDIDATES]
    pnl = varying(read_trial_pnl(store, service, best))
    if not pnl.alpha_ids:
        return []
    sure = sureness(pnl, count=trials)
    chosen = unlike(pnl, np.array([worth[one] for one in pnl.alpha_ids]))
    return [
        _finalist(hopeful[pnl.alpha_ids[column]], pnl, column, sure, shrunk)
        for column in chosen[:MOST_FINALISTS]
    ]


def _shrunk_fitness(alpha: AlphaRow, shrunk: float) -> float:
    """Return the fitness of an alpha with another Sharpe ratio; its returns change as that does.

    Fitness is Sharpe ratio * sqrt(|returns| / turnover), so it changes by the power of 1.5.
    """
    share = shrunk / alpha.sharpe if alpha.sharpe else 0.0
    return (alpha.fitness or 0.0) * math.copysign(abs(share) ** 1.5, share)


def unlike(trials: TrialPnl, worth: Array, *, most: int = MOST_FINALISTS) -> list[int]:
    """Return the columns of the worthiest trials that are unlike those before, at most `most`.

    worth : of each trial; those where it is NaN are left out, ties go to the smaller id
    """
    likeness = np.abs(trials.correlation())
    order = sorted(
        np.flatnonzero(~np.isnan(worth)).tolist(),
        key=lambda column: (-worth[column], trials.alpha_ids[column]),
    )
    return first_unlike(order, likeness, most=most, limit=UNLIKE)


def varying(trials: TrialPnl) -> TrialPnl:
    """Return the trials whose PnL is not the same every day, so that it has a Sharpe ratio."""
    if not trials.alpha_ids:
        return trials
    spread = np.nanstd(trials.pnl, axis=0) > 2.0 * NOISE * np.nanmax(np.abs(trials.pnl), axis=0)
    return trials.only(np.flatnonzero(spread).tolist())


def _finalist(
    alpha: AlphaRow,
    trials: TrialPnl,
    column: int,
    sure: Sureness,
    shrunk: Mapping[str, float],
) -> Finalist:
    return Finalist(
        alpha_id=alpha.alpha_id,
        expression=alpha.expression,
        settings=alpha.settings,
        key=simulation_key(parse(alpha.expression).canonical, _asked(alpha)),
        search_days=len(trials.own(column)),
        sharpe=float(sure.sharpe[column]),
        sharpe_low=float(sure.low[column]),
        sharpe_high=float(sure.high[column]),
        dsr=float(sure.dsr[column]),
        shrunk_sharpe=shrunk[alpha.alpha_id],
    )


def _asked(alpha: AlphaRow) -> dict[str, object]:
    """Return the settings that were asked for; the service adds first and last day."""
    return {
        name: value
        for name, value in alpha.settings.items()
        if name not in ("startDate", "endDate")
    }
