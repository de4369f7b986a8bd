"""The run of the flow that runs: opened once, shared by the flows that it calls."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from contextvars import ContextVar
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from alphafoundry.brain import BrainClient
from alphafoundry.expressions import FieldInfo
from alphafoundry.research.continuous import log_files, side_log
from alphafoundry.research.json_views import import_hopeful, write_views
from alphafoundry.research.report import AlphasReport
from alphafoundry.research.report_building import build_report
from alphafoundry.research.run import ResearchRun, research_run, sign_in
from alphafoundry.settings import FoundrySettings, load_settings
from tasks.prefect.retries import TRANSIENT
from tasks.publishing import publish
from tasks.research.credentials import brain_credentials
from tasks.run import RunContext, run_context

SIMULATION_CAP = "simulation"

_current: ContextVar[tuple[ResearchRun, RunContext] | None] = ContextVar("run", default=None)


@task(name="connect", task_run_name="connect to BRAIN", cache_policy=NO_CACHE, **TRANSIENT)
async def _connect(
    brain: BrainClient, settings: FoundrySettings
) -> tuple[dict[str, FieldInfo], frozenset[str]]:
    """Sign in and ask what the service offers."""
    return await sign_in(brain, settings)


@contextlib.asynccontextmanager
async def run_of_research(flow: str, given: Mapping[str, Any]) -> AsyncIterator[ResearchRun]:
    """Give the run of this flow; a flow inside another shares the outer one's.

    Parameters
    ----------
    flow : name of the flow, for the run's row
    given : its parameters by name; None is "as configured"

    Raises
    ------
    FoundryError : wrong settings, no market data, no credentials, no service
    TakenOver : at the end, where the run was presumed dead and another has its work
    CancelledInPrefect : at the end, where the run was cancelled in the UI or by the API
    """
    flags = {name: value for name, value in given.items() if value is not None}
    outer = _current.get()
    if outer is not None:
        run, context = outer
        context.cancellation.watch()
        # Continuous runs tell their rounds themselves.
        log = side_log(flow) if run.flow != "continuous" else None
        if log is not None:
            log.info("Run %d: %s begins", run.run_id, flow)
        yield run.for_phase(flags.get("simulations"), flags.get("seed"))
        if log is not None:
            log.info("Run %d: %s ended", run.run_id, flow)
        return
    settings = load_settings(**flags)
    async with (
        run_context(**{SIMULATION_CAP: settings.max_concurrent}) as context,
        research_run(
            settings,
            flow=flow,
            lanes=context.caps[SIMULATION_CAP],
            credentials=await brain_credentials(settings),
            connect=_connect,
            progress=context.progress,
            stop=context.stop,
        ) as run,
    ):
        token = _current.set((run, context))
        with log_files():
            side_log(flow).info("Run %d: %s begins", run.run_id, flow)
            try:
                await import_hopeful(run)
                yield run
            except Exception as problem:
                side_log(flow).error("Run %d: %s failed: %s", run.run_id, flow, problem)
                raise
            finally:
                _current.reset(token)
            side_log(flow).info("Run %d: %s ended", run.run_id, flow)


async def publish_research(run: ResearchRun) -> AlphasReport:
    """Return the report; the outermost flow of a run also shows it in the UI and the files."""
    report = build_report(run)
    run.record.report = report.to_json()
    if run.top_level:
        side_log(run.flow).info("Run %d: %s", run.run_id, report.one_line())
        write_views(run)
        await publish(report)
    return report
