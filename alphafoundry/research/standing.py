"""Where an alpha stands: its verdict, or that of the finalist that it moves like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from alphafoundry.evidence import deflated_sharpe_ratio, moments, null_deviation
from alphafoundry.evidence.verdicts import PLAUSIBLE_DSR, Verdict
from alphafoundry.research.finalists import UNLIKE, sees_the_future
from alphafoundry.research.run import ResearchRun
from alphafoundry.research.seal import Seal
from alphafoundry.research.trial_pnl import TrialPnl, read_trial_pnl
from alphafoundry.store import AlphaRow, VerdictRow, count_trials, read_opening, read_verdicts

VERDICTS: tuple[Verdict, ...] = ("found", "unproven", "not confirmed")
"""Best first."""


@dataclass(frozen=True)
class Standing:
    """The verdict on an alpha, and why in one sentence."""

    verdict: Verdict
    reason: str


def verdicts_of(run: ResearchRun, alphas: Sequence[AlphaRow]) -> dict[str, Standing]:
    """Return where each alpha stands.

    A finalist has the verdict of its opening. An alpha that was none shares the verdict of the
    finalist that it moves like, but is never *found*: what was tested is the finalist. One that
    moves like none of them is unproven. On a service without sealed days the deflated Sharpe ratio
    decides. One that compares price levels is not confirmed, whatever its numbers.
    """
    found = _by_opening(run, alphas) if isinstance(run.seal, Seal) else _by_deflation(run, alphas)
    blind = Standing("not confirmed", "it compares price levels, which know what came later")
    return {
        alpha.alpha_id: blind if sees_the_future(alpha) else found[alpha.alpha_id]
        for alpha in alphas
    }


def _by_opening(run: ResearchRun, alphas: Sequence[AlphaRow]) -> dict[str, Standing]:
    judged = read_verdicts(run.store, run.service, [alpha.alpha_id for alpha in alphas])
    rows: dict[str, VerdictRow] = dict(judged)
    if run.tally.opening is not None:
        rows |= {
            row.alpha_id: row
            for row in read_opening(run.store, run.tally.opening)[1]
            if row.verdict is not None and row.alpha_id not in judged
        }
    known = read_trial_pnl(run.store, run.service, {*rows, *(one.alpha_id for one in alphas)})
    finalists = [column for column, one in enumerate(known.alpha_ids) if one in rows]
    likeness = _likeness(known)
    place = {one: column for column, one in enumerate(known.alpha_ids)}
    standings = {}
    for alpha in alphas:
        own = judged.get(alpha.alpha_id)
        if own is not None and own.verdict is not None:
            standings[alpha.alpha_id] = Standing(own.verdict, own.reason or "")
            continue
        standing = Standing("unproven", "it was never among the finalists of the sealed days")
        column = place.get(alpha.alpha_id)
        if column is not None and finalists:
            nearest = max(finalists, key=lambda other: likeness[column, other])
            row = rows[known.alpha_ids[nearest]]
            if likeness[column, nearest] > UNLIKE and row.verdict == "not confirmed":
                standing = Standing(
                    "not confirmed", f"it moves like {row.alpha_id}: {row.reason or ''}"
                )
        standings[alpha.alpha_id] = standing
    return standings


def _by_deflation(run: ResearchRun, alphas: Sequence[AlphaRow]) -> dict[str, Standing]:
    known = read_trial_pnl(run.store, run.service, [alpha.alpha_id for alpha in alphas])
    trials = max(count_trials(run.store, run.service, run.market_id), 1)
    standings = {
        alpha.alpha_id: Standing("unproven", "its daily PnL is not known") for alpha in alphas
    }
    for column, alpha_id in enumerate(known.alpha_ids):
        pnl = known.own(column)
        deflated = deflated_sharpe_ratio(moments(pnl), trials=trials, sigma=null_deviation(pnl))
        enough = deflated >= PLAUSIBLE_DSR
        standings[alpha_id] = Standing(
            "unproven" if enough else "not confirmed",
            f"deflated Sharpe ratio {deflated:.2f} after {trials} trials"
            + ("" if enough else ": luck alone gives as much"),
        )
    return standings


def _likeness(known: TrialPnl) -> np.ndarray:
    if not known.alpha_ids:
        return np.empty((0, 0))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.abs(np.corrcoef(known.filled(), rowvar=False))
    return np.atleast_2d(np.nan_to_num(found))
