"""Screening in bulk: one task run per batch of ideas."""

from __future__ import annotations

import contextlib

from prefect import task
from prefect.cache_policies import NO_CACHE

from alphafoundry.research.generation import Propose
from alphafoundry.research.proposals import Proposal, Proposer
from alphafoundry.research.run import ResearchRun
from alphafoundry.research.screening import (
    JudgeHere,
    JudgeOf,
    Screening,
    combine_in_thread,
    screen_in_thread,
)
from alphafoundry.research.screening import screen_all as _screen_all
from alphafoundry.research.screening_report import ScreeningReport, build_report
from tasks.publishing import publish


class _Ideas:
    """A list that Prefect does not search for results of other tasks."""

    def __init__(self, ideas: list[Proposal]) -> None:
        self.ideas = ideas


@task(name="screen", task_run_name="screen {count} ideas", cache_policy=NO_CACHE)
async def _screen(screening: Screening, batch: _Ideas, count: int) -> None:
    """Judge a batch of ideas on search days and keep the numbers."""
    await screen_in_thread(screening, batch.ideas)


@task(name="combine", task_run_name="combine and vary, {count} ideas", cache_policy=NO_CACHE)
async def _combine(screening: Screening, count: int, number: int, known: set[str]) -> _Ideas:
    """Propose sums of the best unlike ideas that were screened, and variations of them."""
    return _Ideas(await combine_in_thread(screening, count, number, known))


async def screen_all(run: ResearchRun, source: Proposer, propose: Propose) -> Screening:
    """Screen as many ideas of the source as the settings say, a task run per batch.

    Where the settings name a Dask scheduler, its workers compute the batches. What they find is
    recorded here, so a worker needs neither the database nor Prefect.

    propose : asks the source for so many ideas, as a task

    Raises ConfigurationError where a worker of the cluster lacks something.
    """

    async def screen(screening: Screening, ideas: list[Proposal]) -> None:
        await _screen(screening, _Ideas(ideas), len(ideas))

    async def combine(
        screening: Screening, count: int, number: int, known: set[str]
    ) -> list[Proposal]:
        return (await _combine(screening, count, number, known)).ideas

    with contextlib.ExitStack() as stack:
        judge_of: JudgeOf = JudgeHere
        if (address := run.settings.screen.scheduler_address) is not None:
            # It reads every file of the library, for which no other screening need wait.
            from tasks.research.dask_judge import judging_by

            judge_of = stack.enter_context(judging_by(address))
        return await _screen_all(
            run, source, propose, screen=screen, combine=combine, judge_of=judge_of
        )


async def publish_screening(run: ResearchRun, screening: Screening) -> ScreeningReport:
    """Return the report and show it in the UI."""
    report = build_report(run, screening)
    run.record.report = report.to_json()
    await publish(report)
    return report
