"""Algorithms from language models under the cap: one task run per model.

Up to as many models as the cap allows: each is a task with the tag `llm-request`, which holds one
slot. More models go through lanes: a lane holds one slot and asks one model after another, each an
ordinary task with its own name, state and retries. A slot on SQLite costs up to 2 s whenever its
request meets another writer: 60 models that each take a slot were measured at 1.5 times the ideal
time, six lanes that take six slots at 1.08 times.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import contextvars
import logging
import os
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Mapping
from typing import Any
from uuid import UUID

from prefect import Task, task
from prefect.artifacts import (
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)
from prefect.blocks.system import Secret
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from alphafoundry.algorithms.arena import Entry, race
from alphafoundry.algorithms.contract import (
    AlgorithmError,
    AlgorithmFailed,
    RefusedCode,
)
from alphafoundry.algorithms.generation import (
    Assignment,
    GeneratedAlgorithm,
    assign,
    no_answer,
    read_answer,
    sort_out,
)
from alphafoundry.algorithms.leader_board import (
    Failure,
    RaceResult,
    leader_board_plot,
    leader_board_rows,
)
from alphafoundry.algorithms.progress import ProgressMessage, read_message
from alphafoundry.algorithms.providers import (
    KEY_VARIABLES,
    choose_models,
    key_from_environment,
    make_endpoint,
    make_provider,
    resolve_provider,
    secret_block,
)
from alphafoundry.algorithms.race_course import RaceCourse, lay_out
from alphafoundry.algorithms.report import AlgorithmsReport, build_report, keep_race
from alphafoundry.algorithms.sandbox import Sandbox
from alphafoundry.algorithms.studio import Studio, open_studio
from alphafoundry.errors import ConfigurationError, FoundryError, ModelRequestError, StoreError
from alphafoundry.finance.bars import TickerBars
from alphafoundry.llm import ApiKey, Backoff, Completion
from alphafoundry.settings import FoundrySettings, load_limits, load_settings
from tasks.prefect.cancellation import Cancellation, stopping_when
from tasks.prefect.limits import ensure_limits, holding_slot, require_limit
from tasks.prefect.retries import TRANSIENT
from tasks.research.workbench import current_terminal

LANGUAGE_MODEL_CAP = "llm-request"

LANE_SECONDS = 90.0
"""A lane gives its slot back after this long, so that another process gets its turn."""

MOST_SENT = 4
"""Requests for one algorithm, the first one included."""

SHORT_WAIT = 10.0
"""A Retry-After up to this is waited for within the slot; a longer one without it."""

MOST_REFUSED_BY_CIRCUIT = 1
"""How often an algorithm waits for a failing endpoint to be probed again."""

SANDBOX_FAILED = "the sandbox could not be started; the next run tries its answer again"

ARTIFACT_SECONDS = 1.0
SMOKE_TESTS_AT_ONCE = 2


log = logging.getLogger(__name__)


class AskLater(FoundryError):
    """The service asked to wait longer than a slot may be held.

    Attributes
    ----------
    seconds : how long
    problem : the answer that asked for it
    """

    def __init__(self, seconds: float, problem: ModelRequestError) -> None:
        self.seconds = seconds
        self.problem = problem
        super().__init__(str(problem))


class Asking:
    """The models that are still to be asked, shared by the lanes.

    waiting : not begun
    later : moment of the loop's clock, and what waits until then
    sent : requests per position
    unsettled : positions of which nothing has been kept yet
    changed : set when a lane may be started or everything may be over
    """

    def __init__(self, studio: Studio, assignments: list[Assignment], *, deadline: float) -> None:
        self.studio = studio
        self.waiting = deque(assignments)
        self.later: list[tuple[float, Assignment]] = []
        self.sent: Counter[int] = Counter()
        self.unsettled = {one.position for one in assignments}
        self.deadline = deadline
        self.running = 0
        self.changed = asyncio.Event()
        self._refused_by_circuit: Counter[int] = Counter()
        self._judging: dict[int, asyncio.Task[None]] = {}

    @property
    def crowded(self) -> bool:
        """Whether more lanes run than the service lets through."""
        return self.running > self.studio.endpoint.concurrency.limit

    def keep(self, written: GeneratedAlgorithm) -> None:
        """Record what came of a model."""
        self.studio.keep(written)
        self.unsettled.discard(written.position)
        self.changed.set()

    def answered(self, one: Assignment, completion: Completion) -> None:
        """Judge an answer at once, while Prefect still writes down that its task has ended."""
        requests = self.sent[one.position]
        self._judging[one.position] = asyncio.create_task(self._judge(one, completion, requests))

    async def judged(self, *positions: int) -> None:
        """Wait until the answers of these models, or all that have come, are kept."""
        waited = positions or tuple(self._judging)
        await asyncio.gather(*(asyncio.shield(self._judging[position]) for position in waited))

    async def _judge(self, one: Assignment, completion: Completion, requests: int) -> None:
        self.keep(await asyncio.to_thread(read_answer, one, completion, requests=requests))

    def put_off(self, one: Assignment, problem: AskLater) -> None:
        """Ask again later, or give up where that would be too late."""
        moment = asyncio.get_running_loop().time() + problem.seconds
        is_circuit = problem.problem.kind == "circuit"
        self._refused_by_circuit[one.position] += is_circuit
        if self._refused_by_circuit[one.position] > MOST_REFUSED_BY_CIRCUIT:
            reason = str(problem)
        elif moment >= self.deadline:
            reason = f"{problem}; it asked to wait {problem.seconds:.0f} s, longer than this run"
        else:
            self.later.append((moment, one))
            return
        self.keep(no_answer(one, reason, requests=self.sent[one.position]))

    def wake(self) -> float | None:
        """Move what has waited long enough; return the moment of the next, None without one."""
        now = asyncio.get_running_loop().time()
        self.waiting.extend(one for moment, one in self.later if moment <= now)
        self.later = [(moment, one) for moment, one in self.later if moment > now]
        return min((moment for moment, _ in self.later), default=None)


@task(
    name="ask for an algorithm",
    task_run_name="ask {model}",
    tags=[LANGUAGE_MODEL_CAP],
    cache_policy=NO_CACHE,
    **TRANSIENT,
)
async def ask_model(asking: Asking, one: Assignment, model: str) -> Completion:
    """Send one request, holding one slot of the cap; Prefect's retries send it again."""
    with holding_slot():
        return await _send(asking, one)


@task(
    name="ask for an algorithm",
    task_run_name="ask {model}",
    cache_policy=NO_CACHE,
    **TRANSIENT,
)
async def ask_model_in_lane(asking: Asking, one: Assignment, model: str) -> Completion:
    """Do the same within the slot of a lane."""
    return await _send(asking, one)


async def _send(asking: Asking, one: Assignment) -> Completion:
    """Send one request, at most four for an algorithm; the answer is stored when it comes."""
    asking.sent[one.position] += 1
    number = asking.sent[one.position]
    try:
        completion = await asking.studio.endpoint.send_once(
            one.known_as, one.prompt.text, number=number, name=one.model
        )
    except ModelRequestError as problem:
        if problem.kind == "circuit":
            asking.sent[one.position] -= 1
            raise AskLater(problem.retry_after or SHORT_WAIT, problem) from None
        if number >= MOST_SENT:
            problem.transient = False
            raise
        asked = problem.retry_after or 0.0
        if problem.transient and asked > SHORT_WAIT:
            raise AskLater(asked, problem) from None
        if problem.transient:
            least = Backoff().delay(number) * (1.0 - TRANSIENT["retry_jitter_factor"])
            await asyncio.sleep(max(0.0, asked - least))
        raise
    try:
        asking.studio.keep_answer(one.position, completion, requests=number)
    except StoreError as problem:
        # Raised, it would have the model asked again; the answer is stored once more when read.
        log.warning("%s: its answer is not stored yet: %s", one.model, problem)
    asking.answered(one, completion)
    return completion


@task(
    name="language model lane",
    task_run_name="language model lane {number}",
    tags=[LANGUAGE_MODEL_CAP],
    cache_policy=NO_CACHE,
)
async def language_model_lane(asking: Asking, first: Assignment, number: int) -> None:
    """Ask one model after another while holding one slot of the cap."""
    with holding_slot():
        until = time.monotonic() + LANE_SECONDS
        one: Assignment | None = first
        while one is not None:
            await _ask_and_keep(asking, one, ask_model_in_lane)
            may_go_on = (
                asking.waiting
                and time.monotonic() < until
                and not asking.crowded
                and not asking.studio.stop.is_set()
            )
            one = asking.waiting.popleft() if may_go_on else None


async def _ask_and_keep(
    asking: Asking, one: Assignment, ask: Task[[Asking, Assignment, str], Any]
) -> None:
    asking.studio.reporter.started(one.model, one.position + 1)
    try:
        await ask(asking, one, one.model)
    except AskLater as problem:
        asking.put_off(one, problem)
    except FoundryError as problem:
        asking.keep(no_answer(one, str(problem), requests=asking.sent[one.position]))
    else:
        await asking.judged(one.position)
    finally:
        asking.changed.set()


async def ask_models(studio: Studio) -> None:
    """Ask every model that has not answered yet, and keep what each wrote.

    At most as many requests are under way as the cap allows, and fewer while the service answers
    429. What has not finished when the time is over, or when the run is stopped, is cut off;
    everything finished is kept.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    deadline = began + studio.settings.algorithms.timeout
    planned = studio.plan()
    for one in planned:
        if one.position in studio.unread:
            studio.reporter.started(one.model, one.position + 1)
            requests = studio.requests_before(one.position)
            completion = studio.unread[one.position]
            studio.keep(await asyncio.to_thread(read_answer, one, completion, requests=requests))
    to_ask = [one for one in planned if one.position not in studio.unread]
    (kept, skipped), cap = await asyncio.gather(
        sort_out(studio.endpoint.provider, to_ask), require_limit(LANGUAGE_MODEL_CAP)
    )
    for placeholder in skipped:
        studio.keep(placeholder)
    asking = Asking(studio, kept, deadline=deadline)
    studio.bookkeeping |= await _run_lanes(asking, cap, in_lanes=len(kept) > cap)
    studio.save_requests()
    if not studio.stop.is_set():
        seconds = studio.settings.algorithms.timeout
        studio.give_up(f"not finished within the {seconds:g} s of the whole run")
    studio.asking_seconds = loop.time() - began


async def _run_lanes(asking: Asking, cap: int, *, in_lanes: bool) -> set[asyncio.Task[None]]:
    """Keep as many lanes, or single models, under way as the cap and the service allow.

    Returns, once something is kept of every model, what still gives slots back to Prefect.
    """
    loop = asyncio.get_running_loop()
    stopped = asyncio.create_task(asking.studio.stop.wait())
    lanes: set[asyncio.Task[None]] = set()
    number = 0
    try:
        while loop.time() < asking.deadline and not stopped.done():
            next_moment = asking.wake()
            endpoint = asking.studio.endpoint
            # While the endpoint is left alone or probed, the others wait for what the probe finds.
            allowed = (
                min(cap, endpoint.concurrency.limit) if endpoint.circuit.state == "closed" else 1
            )
            while asking.waiting and len(lanes) < allowed:
                number += 1
                one = asking.waiting.popleft()
                if in_lanes:
                    work = language_model_lane(asking, one, number)
                else:
                    work = _ask_and_keep(asking, one, ask_model)
                lanes.add(asyncio.create_task(work))
            asking.running = len(lanes)
            if not asking.unsettled:
                return lanes
            asking.changed.clear()
            changed = asyncio.create_task(asking.changed.wait())
            until = min(asking.deadline, next_moment or asking.deadline)
            await asyncio.wait(
                [changed, stopped, *lanes],
                timeout=max(0.0, until - loop.time()),
                return_when=asyncio.FIRST_COMPLETED,
            )
            changed.cancel()
            ended = {lane for lane in lanes if lane.done()}
            lanes -= ended
            asking.running = len(lanes)
            for lane in ended:
                lane.result()
    finally:
        stopped.cancel()
        if asking.unsettled:
            for lane in lanes:
                lane.cancel()
            await asyncio.gather(*lanes, return_exceptions=True)
            # An answer that has come is paid for: a run that ends keeps it.
            await asking.judged()
    return set()


@task(name="try an algorithm", task_run_name="try {model}", cache_policy=NO_CACHE)
async def try_algorithm(
    model: str, source: str, bars: TickerBars
) -> AlgorithmFailed | RefusedCode | None:
    """Run an algorithm over real bars before the race; return what is wrong, None if nothing."""
    try:
        await asyncio.to_thread(Sandbox().smoke, source, bars)
    except (AlgorithmFailed, RefusedCode) as problem:
        get_run_logger().warning("%s: %s", model, problem)
        return problem
    return None


async def try_algorithms(studio: Studio) -> None:
    """Try every algorithm that passed the check of its source; refuse those that fail.

    Where the sandbox itself does not start, that is no fault of the algorithm: it does not race,
    and the next run tries it again without asking its model.
    """
    bars = studio.course.smoke_bars()
    at_once = asyncio.Semaphore(SMOKE_TESTS_AT_ONCE)
    written = studio.ready()
    progress = _progress()
    over = 0

    async def try_one(one: GeneratedAlgorithm) -> None:
        nonlocal over
        async with at_once:
            if studio.stop.is_set():
                return
            problem = await try_algorithm(one.model, one.source or "", bars)
        if isinstance(problem, AlgorithmFailed) and problem.kind == "start":
            studio.put_off(one.position, f"{SANDBOX_FAILED}: {problem.reason}")
        elif problem is not None:
            studio.refuse(one.position, f"smoke run: {problem}")
        over += 1
        progress("try", over, len(written), one.model)

    await asyncio.gather(*(try_one(one) for one in written))


@task(name="race", task_run_name="race {count} algorithms", cache_policy=NO_CACHE)
async def _race(
    course: RaceCourse, entries: list[Entry], count: int, stop: asyncio.Event
) -> RaceResult | None:
    """Run every algorithm over the days of the race, each in its sandbox; None once stopped."""
    logger = get_run_logger()
    progress = _progress()
    loop = asyncio.get_running_loop()
    # The arena's threads know nothing of this run: a log record from there would make Prefect
    # look for another server.
    context = contextvars.copy_context()
    over = 0

    def tell(name: str, failure: Failure | None) -> None:
        nonlocal over
        over += 1
        progress("race", over, count, name)
        logger.info("%s: %s", name, failure or "finished")

    def finished(name: str, failure: Failure | None) -> None:
        loop.call_soon_threadsafe(tell, name, failure, context=context)

    try:
        return await asyncio.to_thread(
            race,
            entries,
            course.panel,
            course.settings,
            on_finish=finished,
            stopped=stop.is_set,
        )
    except AlgorithmError as problem:
        if not stop.is_set():
            raise
        logger.info("%s", problem)
        return None


async def race_algorithms(studio: Studio) -> RaceResult | None:
    """Race the algorithms that are left and record the leader board; None without any, or stopped.

    The best become candidates for other flows (`store.read_candidates`).
    """
    written = studio.ready()
    if not written or studio.stop.is_set():
        return None
    names = _entry_names(written)
    label = studio.endpoint.provider.name
    entries = [Entry(names[one.position], one.source or "", label=label) for one in written]
    result = await _race(studio.course, entries, len(entries), studio.stop)
    if result is None:
        return None
    await asyncio.to_thread(keep_race, studio, result, names)
    not_started = {one.name: one.reason for one in result.failures if one.kind == "start"}
    for one in written:
        if names[one.position] in not_started:
            reason = not_started[names[one.position]]
            studio.put_off(one.position, f"{SANDBOX_FAILED}: {reason}")
    return result


def _entry_names(written: list[GeneratedAlgorithm]) -> dict[int, str]:
    """Return a name for each position that no other algorithm of the race has."""
    times = Counter(one.model for one in written)
    names = {}
    for one in written:
        name = one.model
        while times[name] > (name == one.model):
            name = f"{name} ({one.position + 1})"
        times[name] += name != one.model
        names[one.position] = name
    return names


@task(name="publish the report", task_run_name="publish the report", cache_policy=NO_CACHE)
async def _publish(studio: Studio, report: AlgorithmsReport, result: RaceResult | None) -> None:
    """Show leader board, plot, prompts and metrics in the UI."""
    picture = None
    if result is not None:
        png = await asyncio.to_thread(leader_board_plot, result)
        picture = f"data:image/png;base64,{base64.b64encode(png).decode()}"
        await acreate_table_artifact(
            key="algorithms-leader-board",
            table=leader_board_rows(result),
            description=report.headline,
        )
    await acreate_markdown_artifact(
        key="algorithms-report",
        markdown=report.to_markdown(picture),
        description=report.headline,
    )
    if report.metrics:
        await acreate_table_artifact(
            key="algorithms-models",
            table=report.metrics_rows(),
            description=f"Requests per model at {report.endpoint}",
        )
    for subject, sentence in report.summary():
        get_run_logger().info("%s: %s", subject, sentence)


async def publish_algorithms(studio: Studio, result: RaceResult | None) -> AlgorithmsReport:
    """Return the report of the run, and show it as artifacts.

    Raises
    ------
    FoundryError : no model gave an algorithm that could be raced, and the run was not stopped
    """
    report = build_report(studio, result)
    studio.report = report.to_json()
    await _publish(studio, report, result)
    if result is None and not studio.stop.is_set():
        reasons = [f"{one.model}: {one.reason}" for one in report.models if one.reason]
        raise FoundryError(
            f"none of {len(report.models)} models gave an algorithm that can be raced; "
            + (f"the first: {reasons[0]}" if reasons else "name some with `--models a,b,c`")
        )
    return report


@contextlib.asynccontextmanager
async def studio(given: Mapping[str, Any]) -> AsyncIterator[Studio]:
    """Give the studio of this run.

    Parameters
    ----------
    given : the flow's parameters by name; None is "as configured"

    Raises
    ------
    FoundryError : wrong settings, no market data, no API key, no models
    """
    flags = {name: value for name, value in given.items() if value is not None}
    for name in ("models", "ticker"):
        names = flags.get(name)
        listed = names.split(",") if isinstance(names, str) else names
        if listed is not None and not any(str(one).strip() for one in listed):
            raise ConfigurationError(f"--{name}: it is empty; name some, or leave it out")
    settings = load_settings(**flags)
    terminal = current_terminal()
    limits = load_limits()
    await ensure_limits(limits, terminal.server if terminal else None)
    course = await asyncio.to_thread(
        lay_out,
        settings,
        market_was_chosen="market" in flags or bool(os.environ.get("FOUNDRY_MARKET")),
        say=terminal.progress.say if terminal else None,
    )
    if course.note and terminal:
        terminal.progress.say(course.note)
    provider = await _provider(settings)
    try:
        endpoint = make_endpoint(settings, provider, most_requests=limits[LANGUAGE_MODEL_CAP])
        models = await choose_models(settings.algorithms, provider)
        assignments = assign(models, course.prompt_note(), seed=settings.seed)
    except BaseException:
        await provider.aclose()
        raise
    cancellation = Cancellation()
    cancellation.watch()
    async with (
        _progress_shown(len(assignments)) as callback,
        open_studio(
            settings,
            course,
            endpoint,
            assignments,
            callback=callback,
            stop=terminal.stop if terminal else None,
        ) as opened,
        stopping_when(cancellation, opened.stop, terminal.progress.say if terminal else None),
    ):
        try:
            yield opened
        finally:
            for problem in await asyncio.gather(*opened.bookkeeping, return_exceptions=True):
                if isinstance(problem, Exception):
                    log.warning("a slot was not given back: %s", problem)
    await cancellation.settle()


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


def _progress() -> Any:
    """Return what shows a phase's progress in the terminal, if there is one."""
    terminal = current_terminal()
    return terminal.progress.update if terminal else lambda *_: None


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
async def _progress_shown(total: int) -> AsyncIterator[Any]:
    """Give a callback for progress messages: to the log, the terminal and an artifact."""
    logger = get_run_logger()
    terminal = current_terminal()
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
        if terminal is not None:
            terminal.progress.update("ask", over, total, f"{parts.model}: {_note(parts)}")
            if parts.event in ("MODEL_FAIL", "MODEL_SKIP"):
                terminal.progress.say(str(parts))

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
