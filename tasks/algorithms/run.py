"""The run of the algorithms flow: its models, its course, and its progress in the UI."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from prefect.artifacts import acreate_progress_artifact, aupdate_progress_artifact
from prefect.blocks.system import Secret
from prefect.logging import get_run_logger

from alphafoundry.algorithms.checks import check_names, course_of
from alphafoundry.algorithms.generation import assign
from alphafoundry.algorithms.leader_board import RaceResult
from alphafoundry.algorithms.progress import Callback, ProgressMessage, read_message
from alphafoundry.algorithms.providers import (
    KEY_VARIABLES,
    choose_models,
    key_from_environment,
    make_endpoint,
    make_provider,
    resolve_provider,
    secret_block,
)
from alphafoundry.algorithms.race_course import RaceCourse
from alphafoundry.algorithms.report import AlgorithmsReport, build_report
from alphafoundry.algorithms.run import AlgorithmsRun, algorithms_run
from alphafoundry.errors import FoundryError
from alphafoundry.llm import ApiKey
from alphafoundry.research.seal import Seal, seal_of
from alphafoundry.runs import Progress
from alphafoundry.settings import FoundrySettings, load_settings
from alphafoundry.store import open_store
from tasks.algorithms.asking import LANGUAGE_MODEL_CAP
from tasks.publishing import publish
from tasks.run import run_context

ARTIFACT_SECONDS = 1.0

log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def run_of_algorithms(given: Mapping[str, Any]) -> AsyncIterator[AlgorithmsRun]:
    """Give the run of this flow.

    Parameters
    ----------
    given : the flow's parameters by name; None is "as configured"

    Raises
    ------
    FoundryError : wrong settings, no market data, no API key, no models
    TakenOver : at the end, where the run was presumed dead and another has its work
    CancelledInPrefect : at the end, where the run was cancelled in the UI or by the API
    """
    flags = {name: value for name, value in given.items() if value is not None}
    check_names(flags)
    settings = load_settings(**flags)
    async with run_context() as context:
        course = await asyncio.to_thread(course_of, settings, flags, context.progress.say)
        course = await asyncio.to_thread(_without_sealed_days, course, settings)
        if course.note:
            context.progress.say(course.note)
        provider = await _provider(settings)
        try:
            endpoint = make_endpoint(
                settings, provider, most_requests=context.caps[LANGUAGE_MODEL_CAP]
            )
            models = await choose_models(settings.algorithms, provider)
            assignments = assign(models, course.prompt_note(), seed=settings.seed)
        except BaseException:
            await provider.aclose()
            raise
        async with (
            _progress_shown(len(assignments), context.progress) as callback,
            algorithms_run(
                settings,
                course,
                endpoint,
                assignments,
                callback=callback,
                progress=context.progress,
                stop=context.stop,
            ) as run,
        ):
            try:
                yield run
            finally:
                for problem in await asyncio.gather(*run.bookkeeping, return_exceptions=True):
                    if isinstance(problem, Exception):
                        log.warning("a slot was not given back: %s", problem)


def _without_sealed_days(course: RaceCourse, settings: FoundrySettings) -> RaceCourse:
    """Return the course on search days alone; on all days where a market keeps none apart."""
    url = settings.database_url.get_secret_value() if settings.database_url else None
    with open_store(url, home=settings.home) as store:
        seal = seal_of(course.panel, settings.holdout, store)
    if not isinstance(seal, Seal):
        return replace(course, kept_apart=seal)
    return course.before_sealed_days(
        settings, search_to=seal.search_to, sealed_from=seal.sealed_from
    )


async def publish_algorithms(run: AlgorithmsRun, result: RaceResult | None) -> AlgorithmsReport:
    """Return the report of the run, and show it as artifacts.

    Raises
    ------
    FoundryError : no model gave an algorithm that could be raced, and the run was not stopped
    """
    report = build_report(run, result)
    run.record.report = report.to_json()
    await publish(report)
    if result is None and not run.stop.is_set():
        reasons = [f"{one.model}: {one.reason}" for one in report.models if one.reason]
        raise FoundryError(
            f"none of {len(report.models)} models gave an algorithm that can be raced; "
            + (f"the first: {reasons[0]}" if reasons else "name some with `--models a,b,c`")
        )
    return report


async def _provider(settings: FoundrySettings) -> Any:
    openrouter_key = None
    if settings.algorithms.provider in ("auto", "openrouter"):
        openrouter_key = await api_key("openrouter")
    name = resolve_provider(settings.algorithms, has_openrouter_key=openrouter_key is not None)
    key = openrouter_key if name == "openrouter" else await api_key(name)
    return make_provider(settings, name, key)


async def api_key(provider: str) -> ApiKey | None:
    """Return the key of a provider: from the environment, or from its Prefect Secret block.

    Raises
    ------
    ConfigurationError : it is malformed; the message never holds what was read
    """
    if provider not in KEY_VARIABLES:
        return None
    key = key_from_environment(provider, os.environ)
    if key is not None:
        return key
    try:
        block: Any = await Secret.aload(secret_block(provider))
    except ValueError:
        return None
    return ApiKey(str(block.get()), source=f"the Secret block {secret_block(provider)!r}")


class _ProgressArtifact:
    """A progress artifact that is written in the background, at most once a second."""

    def __init__(self) -> None:
        self.percent = 0.0
        self._shown = -1.0
        self._id: UUID | None = None

    async def keep_up(self) -> None:
        """Write the number whenever it has changed, until cancelled."""
        while True:
            # Not at the very start: it would compete with the lanes for the database.
            await asyncio.sleep(ARTIFACT_SECONDS)
            await self.show()

    async def show(self) -> None:
        """Write the number now."""
        if self.percent == self._shown:
            return
        self._shown = self.percent
        if self._id is None:
            created = await acreate_progress_artifact(
                self.percent, key="algorithms-progress", description="models that are done"
            )
            self._id = created if isinstance(created, UUID) else None
        else:
            await aupdate_progress_artifact(self._id, self.percent)


@contextlib.asynccontextmanager
async def _progress_shown(total: int, progress: Progress) -> AsyncIterator[Callback]:
    """Give a callback for progress messages: to the log, the terminal and an artifact."""
    logger = get_run_logger()
    artifact = _ProgressArtifact()
    over = 0

    def callback(percent: float, message: str) -> None:
        nonlocal over
        logger.info("%s", message)
        parts = read_message(message)
        if parts is None:
            return
        if parts.event in ("MODEL_OK", "MODEL_FAIL", "MODEL_SKIP"):
            over = min(total, over + 1)
            artifact.percent = 100.0 * over / max(total, 1)
        progress.update("ask", over, total, f"{parts.model}: {_note(parts)}")
        if parts.event in ("MODEL_FAIL", "MODEL_SKIP"):
            progress.say(str(parts))

    writer = asyncio.ensure_future(artifact.keep_up())
    try:
        yield callback
    finally:
        writer.cancel()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await writer
        with contextlib.suppress(Exception):
            await artifact.show()


def _note(parts: ProgressMessage) -> str:
    if parts.event == "PREVIEW":
        return f"{len(parts.text.splitlines())} lines or more"
    return parts.text
