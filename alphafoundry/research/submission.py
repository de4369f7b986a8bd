"""Submitting: which alphas, in which order, and never twice."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal

from alphafoundry.brain.models import CheckInfo
from alphafoundry.clock import eastern_day, utc_now
from alphafoundry.errors import BrainRequestError, BrainUnavailable
from alphafoundry.research.run import ResearchRun
from alphafoundry.research.selection import PnlSeries, obstacles, worthiest_first
from alphafoundry.research.standing import VERDICTS, Standing, verdicts_of
from alphafoundry.store import (
    AlphaRow,
    SubmissionRow,
    hopeful_alphas,
    intend_submission,
    read_daily_pnl,
    read_submissions,
    settle_submission,
    unsettled_submissions,
)

MOST_CHECKED = 20
"""Alphas whose correlation BRAIN is asked for in one run, the best verdict first."""

MOST_UNANSWERED = 3
"""Checks without an answer after which no further one is asked for in this run."""

LOOKS = 4
LOOK_SECONDS = 2.0

log = logging.getLogger(__name__)


def used_today(run: ResearchRun) -> int:
    """Return how many submissions count for this US-Eastern day, those without a verdict too."""
    today = eastern_day(utc_now())
    rows = read_submissions(run.store, run.service, day=today, status=("intended", "accepted"))
    return len(rows)


async def reconcile(
    run: ResearchRun, look_up: Callable[[ResearchRun, SubmissionRow], Awaitable[None]]
) -> None:
    """Settle every submission that was intended and whose verdict is not known.

    look_up : `settle_by_state` of its alpha, or a task that tries it again
    """
    for row in unsettled_submissions(run.store, run.service, run_id=run.run_id):
        if run.stop.is_set():
            return
        try:
            await look_up(run, row)
        except BrainUnavailable as problem:
            log.warning("%s; asked again next time", problem)
        except BrainRequestError as problem:
            _settle(run, row.alpha_id, "failed", str(problem))


async def settle_by_state(run: ResearchRun, alpha_id: str) -> bool:
    """Settle a submission whose verdict was lost; True where no further one should follow now.

    The service answers 404 for a submission that was accepted and for one that never arrived;
    the alpha's own state tells which.
    """
    outcome = await run.brain.poll_submit(alpha_id)
    if any(check.result == "FAIL" for check in outcome.checks):
        return _reject(run, alpha_id, outcome.checks)
    for look in range(LOOKS):
        if look:
            await asyncio.sleep(LOOK_SECONDS)
        alpha = await run.brain.alpha(alpha_id)
        if alpha.stage != "IS" or alpha.status == "ACTIVE":
            _settle(run, alpha_id, "accepted", "found at the service")
            return False
    _settle(run, alpha_id, "failed", "it did not reach the service")
    return False


def _reject(run: ResearchRun, alpha_id: str, checks: Sequence[CheckInfo]) -> bool:
    """Record why an alpha was rejected; True where the day's quota is the reason."""
    text = "; ".join(map(str, obstacles(checks, checked=True))) or "rejected"
    _settle(run, alpha_id, "rejected", text, checks)
    return "REGULAR_SUBMISSION" in text


async def choose(
    run: ResearchRun, check: Callable[[ResearchRun, AlphaRow], Awaitable[list[CheckInfo]]]
) -> list[AlphaRow]:
    """Return the alphas to submit, the best verdict first, at most what the day still allows.

    Why each other hopeful alpha stays behind is noted for the report.

    check : has the service compute the checks of a submission
    """
    limit = run.settings.submission.daily_limit
    free = limit - used_today(run)
    done = {
        row.alpha_id: row
        for row in read_submissions(run.store, run.service)
        if row.status in ("accepted", "intended", "rejected")
    }
    waiting = [
        alpha
        for alpha in hopeful_alphas(run.store, run.service, unmined=False)
        if alpha.alpha_id not in done
    ]
    candidates = [alpha for alpha in waiting if _passes(run, alpha, _checks(alpha))]
    if free <= 0:
        _note(run, candidates, f"daily limit: {limit} of {limit} used today (US Eastern)")
        return []
    verdicts = verdicts_of(run, candidates)
    candidates = [alpha for alpha in candidates if _good_enough(run, alpha, verdicts)]
    chosen: list[AlphaRow] = []
    unanswered = 0
    ordered = _order(run, candidates, [row.alpha_id for row in done.values()], verdicts)
    if run.settings.submission.rank_by == "gain":
        ordered = await _by_gain(run, ordered)
    for number, alpha in enumerate(ordered[:MOST_CHECKED], start=1):
        if run.stop.is_set() or len(chosen) == free:
            break
        try:
            checks = await check(run, alpha)
        except (BrainUnavailable, BrainRequestError) as problem:
            run.tally.obstacles[alpha.alpha_id] = f"could not be checked: {problem}"
            unanswered += 1
            if unanswered == MOST_UNANSWERED:
                break
            continue
        if _passes(run, alpha, checks, checked=True):
            chosen.append(alpha)
        run.progress.update("submit: check", number, min(len(ordered), MOST_CHECKED))
    waiting_on = "daily limit" if len(chosen) == free else "checked next time"
    picked = {alpha.alpha_id for alpha in chosen}
    later = [alpha for alpha in ordered if alpha.alpha_id not in picked]
    first = f"best {run.settings.submission.rank_by} first"
    _note(run, later, f"{waiting_on}: {free} could be submitted now, {first}")
    return chosen


async def _by_gain(run: ResearchRun, ordered: Sequence[AlphaRow]) -> list[AlphaRow]:
    """Return the alphas that the service says add most to the pool first, unknown ones last.

    It is asked for the first MOST_CHECKED; the others follow in their order.
    """
    gains: dict[str, float] = {}
    for alpha in ordered[:MOST_CHECKED]:
        if run.stop.is_set():
            break
        try:
            gain = await run.brain.gain_to_pool(alpha.alpha_id)
        except BrainUnavailable as problem:
            _note(run, [alpha], f"its gain is not known: {problem}")
            continue
        if gain is not None:
            gains[alpha.alpha_id] = gain
    return sorted(ordered, key=lambda alpha: -gains.get(alpha.alpha_id, -math.inf))


def _order(
    run: ResearchRun,
    passing: Sequence[AlphaRow],
    submitted: Sequence[str],
    verdicts: Mapping[str, Standing],
) -> list[AlphaRow]:
    wanted = [*(alpha.alpha_id for alpha in passing), *submitted]
    pnl = read_daily_pnl(run.store, run.service, wanted)
    by_id = {alpha.alpha_id: alpha for alpha in passing}

    def series(alpha_id: str, fitness: float) -> PnlSeries:
        return PnlSeries(alpha_id, pnl[alpha_id].dates, pnl[alpha_id].values, fitness)

    order = worthiest_first(
        [series(one.alpha_id, one.fitness or 0.0) for one in passing if one.alpha_id in pnl],
        [series(alpha_id, 0.0) for alpha_id in submitted if alpha_id in pnl],
        {one.alpha_id: VERDICTS.index(verdicts[one.alpha_id].verdict) for one in passing},
        max_correlation=run.settings.submission.max_correlation,
    )
    for dropped in order.dropped:
        run.tally.obstacles[dropped.alpha_id] = dropped.reason or "too like another"
    _note(
        run,
        [one for one in passing if one.alpha_id not in pnl],
        "its daily PnL is not known, so neither is its correlation",
    )
    return [by_id[placing.alpha_id] for placing in order.placed]


def _good_enough(run: ResearchRun, alpha: AlphaRow, verdicts: Mapping[str, Standing]) -> bool:
    standing = verdicts[alpha.alpha_id]
    least = run.settings.submission.least_verdict
    if VERDICTS.index(standing.verdict) <= VERDICTS.index(least):
        return True
    run.tally.obstacles[alpha.alpha_id] = f"{standing.verdict}: {standing.reason}"
    return False


def _checks(alpha: AlphaRow) -> list[CheckInfo]:
    return [CheckInfo.model_validate(check) for check in alpha.checks]


def _passes(
    run: ResearchRun, alpha: AlphaRow, checks: Sequence[CheckInfo], *, checked: bool = False
) -> bool:
    against = obstacles(checks, checked=checked)
    if against:
        run.tally.obstacles[alpha.alpha_id] = "; ".join(map(str, against))
    return not against


def _note(run: ResearchRun, alphas: Sequence[AlphaRow], reason: str) -> None:
    for alpha in alphas:
        run.tally.obstacles.setdefault(alpha.alpha_id, reason)


async def submit_alpha(run: ResearchRun, alpha: AlphaRow) -> bool:
    alpha_id = alpha.alpha_id
    intent = intend_submission(
        run.store,
        run.service,
        alpha_id,
        eastern_day(utc_now()),
        daily_limit=run.settings.submission.daily_limit,
        run_id=run.run_id,
        checks=alpha.checks,
    )
    if intent.submission is None:
        run.tally.obstacles[alpha_id] = str(intent.refused).replace("_", " ")
        return intent.refused == "daily_limit"
    try:
        outcome = await run.brain.post_submit(alpha_id)
    except BrainRequestError as problem:
        _settle(run, alpha_id, "failed", str(problem))
        return False
    except BrainUnavailable as problem:
        if problem.fate_unknown:
            log.warning("%s; asking whether it arrived", problem)
            return await settle_by_state(run, alpha_id)
        _settle(run, alpha_id, "failed", str(problem))
        return True
    if outcome.status == "started":
        outcome = await run.brain.poll_submit(alpha_id)
    if outcome.status == "rejected":
        return _reject(run, alpha_id, outcome.checks)
    _settle(run, alpha_id, "accepted", outcome.status)
    return False


def _settle(
    run: ResearchRun,
    alpha_id: str,
    status: Literal["accepted", "rejected", "failed"],
    detail: str,
    checks: Sequence[CheckInfo] | None = None,
) -> None:
    settle_submission(
        run.store,
        run.service,
        alpha_id,
        status,
        detail=detail,
        checks=None
        if checks is None
        else [check.model_dump(mode="json", exclude_none=True) for check in checks],
    )
    log.info("submission of %s: %s (%s)", alpha_id, status, detail)
    if status != "accepted":
        run.tally.obstacles[alpha_id] = detail
