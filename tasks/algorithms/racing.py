"""Trying what the models wrote, and racing what is left: one task run per trial, one race."""

from __future__ import annotations

import asyncio
import contextvars
from dataclasses import replace

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from alphafoundry.algorithms.arena import Entry, race
from alphafoundry.algorithms.contract import AlgorithmError, AlgorithmFailed, RefusedCode
from alphafoundry.algorithms.generation import GeneratedAlgorithm
from alphafoundry.algorithms.leader_board import Failure, RaceResult, missing_wall
from alphafoundry.algorithms.race_course import RaceCourse
from alphafoundry.algorithms.report import entry_names, keep_race
from alphafoundry.algorithms.run import AlgorithmsRun
from alphafoundry.algorithms.sandbox import Sandbox
from alphafoundry.runs import Run
from alphafoundry.store import count_raced

SANDBOX_FAILED = "the sandbox could not be started; the next run tries its answer again"
SMOKE_TESTS_AT_ONCE = 2


@task(name="try an algorithm", task_run_name="try {model}", cache_policy=NO_CACHE)
async def try_algorithm(
    model: str, source: str, course: RaceCourse
) -> AlgorithmFailed | RefusedCode | None:
    """Run an algorithm over real bars before the race; return what is wrong, None if nothing."""
    try:
        await asyncio.to_thread(
            Sandbox().smoke,
            source,
            course.smoke_bars(),
            warm_up=course.settings.warm_up,
            tolerated=course.settings.tolerated_failures,
        )
    except (AlgorithmFailed, RefusedCode) as problem:
        get_run_logger().warning("%s: %s", model, problem)
        return problem
    return None


async def try_algorithms(run: AlgorithmsRun) -> None:
    """Try every algorithm that passed the check of its source; refuse those that fail.

    Where the sandbox itself does not start, that is no fault of the algorithm: it does not race,
    and the next run tries it again without asking its model.
    """
    at_once = asyncio.Semaphore(SMOKE_TESTS_AT_ONCE)
    written = run.ready()
    over = 0
    if written and not run.stop.is_set():
        await _tell_missing_wall(run)

    async def try_one(one: GeneratedAlgorithm) -> None:
        nonlocal over
        async with at_once:
            if run.stop.is_set():
                return
            problem = await try_algorithm(one.model, one.source or "", run.course)
        if isinstance(problem, AlgorithmFailed) and problem.kind == "start":
            run.put_off(one.position, f"{SANDBOX_FAILED}: {problem.reason}")
        elif problem is not None:
            run.refuse(one.position, f"smoke run: {problem}")
        over += 1
        run.progress.update("try", over, len(written), one.model)

    await asyncio.gather(*(try_one(one) for one in written))


async def _tell_missing_wall(run: AlgorithmsRun) -> None:
    """Say which wall of the sandbox this machine lacks, before any code of a model runs."""
    try:
        missing = missing_wall(await asyncio.to_thread(Sandbox().walls))
    except AlgorithmFailed:
        # Each trial says so of its own algorithm.
        return
    if missing:
        run.progress.say(f"sandbox: {missing}")


@task(name="race", task_run_name="race {count} algorithms", cache_policy=NO_CACHE)
async def _race(
    course: RaceCourse, entries: list[Entry], count: int, record: Run
) -> RaceResult | None:
    """Run every algorithm over the days of the race, each in its sandbox; None once stopped."""
    logger = get_run_logger()
    loop = asyncio.get_running_loop()
    # The arena's threads know nothing of this run: a log record from there would make Prefect
    # look for another server.
    context = contextvars.copy_context()
    over = 0

    def tell(name: str, failure: Failure | None) -> None:
        nonlocal over
        over += 1
        record.progress.update("race", over, count, name)
        logger.info("%s: %s", name, failure or "finished")

    def finished(name: str, failure: Failure | None) -> None:
        loop.call_soon_threadsafe(tell, name, failure, context=context)

    market, settings = course.arena()
    try:
        result = await asyncio.to_thread(
            race,
            entries,
            market,
            settings,
            on_finish=finished,
            stopped=record.stop.is_set,
        )
        return course.shown(result)
    except AlgorithmError as problem:
        if not record.stop.is_set():
            raise
        logger.info("%s", problem)
        return None


async def race_algorithms(run: AlgorithmsRun) -> RaceResult | None:
    """Race the algorithms that are left and record the leader board; None without any, or stopped.

    The best become candidates for other flows (`store.read_candidates`).
    """
    written = run.ready()
    if not written or run.stop.is_set():
        return None
    names = entry_names(written)
    label = run.endpoint.provider.name
    entries = [Entry(names[one.position], one.source or "", label=label) for one in written]
    result = await _race(run.course, entries, len(entries), run.record)
    if result is None:
        return None
    before = count_raced(
        run.store,
        run.course.panel.market_id,
        besides=[one.source for one in written if one.source],
    )
    result = replace(result, raced_before=before)
    await asyncio.to_thread(keep_race, run, result, names)
    not_started = {one.name: one.reason for one in result.failures if one.kind == "start"}
    for one in written:
        if names[one.position] in not_started:
            reason = not_started[names[one.position]]
            run.put_off(one.position, f"{SANDBOX_FAILED}: {reason}")
    return result
