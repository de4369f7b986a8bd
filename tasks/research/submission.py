"""Submitting under its cap: one task run per check, and per submission."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger
from prefect.runtime import task_run

from alphafoundry.brain.models import CheckInfo
from alphafoundry.errors import BrainUnavailable
from alphafoundry.research import submission
from alphafoundry.research.run import ResearchRun
from alphafoundry.store import AlphaRow, SubmissionRow
from tasks.prefect.limits import holding_slot, require_limit
from tasks.prefect.retries import TRANSIENT
from tasks.research.simulation import short

SUBMISSION_CAP = "brain-submission"


def _alpha_name() -> str:
    parameters = task_run.get_parameters()
    alpha = parameters.get("alpha") or parameters["row"]
    verb = task_run.get_task_name() or "submit"
    return f"{verb} {short(getattr(alpha, 'expression', alpha.alpha_id))}"


@task(name="reconcile", task_run_name=_alpha_name, cache_policy=NO_CACHE, **TRANSIENT)
async def _reconcile_one(run: ResearchRun, row: SubmissionRow) -> None:
    """Ask the service what became of a submission that a run did not live to see."""
    await submission.settle_by_state(run, row.alpha_id)


@task(name="check", task_run_name=_alpha_name, cache_policy=NO_CACHE, **TRANSIENT)
async def _check(run: ResearchRun, alpha: AlphaRow) -> list[CheckInfo]:
    """Have the service compute the checks of a submission."""
    return await run.brain.check(alpha.alpha_id)


@task(name="submit", task_run_name=_alpha_name, tags=[SUBMISSION_CAP], cache_policy=NO_CACHE)
async def _submit_one(run: ResearchRun, alpha: AlphaRow) -> bool:
    """Submit one alpha, the intent stored before the request; True where the day is full."""
    with holding_slot():
        return await submission.submit_alpha(run, alpha)


async def reconcile(run: ResearchRun) -> None:
    """Settle every submission that was intended and whose verdict is not known."""
    await submission.reconcile(run, _reconcile_one)


async def choose(run: ResearchRun) -> list[AlphaRow]:
    """Return the alphas to submit, least correlated first, at most what the day still allows."""
    return await submission.choose(run, _check)


async def submit_alpha(run: ResearchRun, alpha: AlphaRow) -> bool:
    """Submit one alpha; False where no further one can be submitted now."""
    await require_limit(SUBMISSION_CAP)
    try:
        return not await _submit_one(run, alpha)
    except BrainUnavailable as problem:
        get_run_logger().warning("%s", problem)
        run.tally.obstacles[alpha.alpha_id] = f"no verdict yet, asked again next time: {problem}"
        return False
