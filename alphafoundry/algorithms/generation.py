"""Many language models write trading algorithms at once.

    generate_algorithms_for_agents(["model-a", "model-b"], "AAPL")

asks them from a script or a notebook; `python -m flows.algorithms` does it under Prefect's cap
and races what they wrote.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import json
import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import httpx

from alphafoundry.algorithms.contract import NoCode, RefusedCode, Signature
from alphafoundry.algorithms.extraction import extract_code
from alphafoundry.algorithms.leader_board import BUY_AND_HOLD
from alphafoundry.algorithms.progress import Callback, ProgressReporter
from alphafoundry.algorithms.prompts import MarketNote, Prompt, build_prompt, describe_ticker
from alphafoundry.algorithms.providers import (
    key_from_environment,
    make_endpoint,
    make_provider,
    resolve_provider,
)
from alphafoundry.algorithms.validation import validate
from alphafoundry.clock import utc_now
from alphafoundry.errors import ConfigurationError, FoundryError, ModelRequestError
from alphafoundry.llm import (
    OPENROUTER_URL,
    ApiKey,
    Completion,
    ModelEndpoint,
    OpenAICompatible,
    Provider,
    RequestRecord,
)
from alphafoundry.settings import FoundrySettings, load_settings

MOST_REQUESTS = 6
OVERALL_SECONDS = 400.0

Status = Literal["ready", "refused", "failed", "skipped"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Assignment:
    """What one model is asked to do.

    Attributes
    ----------
    position : place in the caller's order, from 0
    model : as the caller names it, in every report
    prompt : what it is asked
    known_as : as the service names it, where that differs by the suffix ":free"
    occurrence : 0 where the model is named for the first time in this run, then 1, ...
    """

    position: int
    model: str
    prompt: Prompt
    known_as: str
    occurrence: int = 0


@dataclass(frozen=True)
class GeneratedAlgorithm:
    """What came of an assignment.

    Attributes
    ----------
    status : "ready" passed the checks of the source; "refused" is an answer that did not;
        "failed" gave no answer; "skipped" was not asked
    answer : the text as the model wrote it, None without one
    source, signature : the program, None where it is not ready
    reason : one line, None where it is ready
    requests : how many were sent
    """

    position: int
    model: str
    status: Status
    answer: str | None = None
    source: str | None = None
    signature: Signature | None = None
    reason: str | None = None
    requests: int = 0


@dataclass(frozen=True)
class Generation:
    """What all models wrote, in the order in which they were given.

    Attributes
    ----------
    label : what wrote it, for reports
    prompt_version : of the templates
    results : one for each model, also for those without an algorithm
    """

    label: str
    prompt_version: str
    results: tuple[GeneratedAlgorithm, ...]

    @property
    def ready(self) -> tuple[GeneratedAlgorithm, ...]:
        """The algorithms that can be raced."""
        return tuple(one for one in self.results if one.status == "ready")

    def __repr__(self) -> str:
        lines = [f"Generation({len(self.ready)} of {len(self.results)} ready, {self.label})"]
        for one in self.results:
            told = one.reason or f"{one.signature}, {len((one.source or '').splitlines())} lines"
            lines.append(f"  {one.model}: {one.status}: {told}")
        return "\n".join(lines)


def assign(models: Sequence[str], note: MarketNote, *, seed: int = 0) -> list[Assignment]:
    """Return the assignment of each model, in order.

    Raises
    ------
    ConfigurationError : a name is empty, holds "::" or a line break, or is that of the benchmark
    """
    times: Counter[str] = Counter()
    assignments = []
    for position, model in enumerate(models):
        if not model.strip() or "::" in model or not model.isprintable():
            raise ConfigurationError(f"{model!r} is not the name of a model")
        if model.strip().casefold() == BUY_AND_HOLD:
            raise ConfigurationError(
                f"{model!r} is what the algorithms race against, and cannot be a model's name too"
            )
        prompt = build_prompt(model, note, occurrence=times[model], seed=seed)
        assignments.append(Assignment(position, model, prompt, model, times[model]))
        times[model] += 1
    return assignments


async def sort_out(
    provider: Provider, assignments: Iterable[Assignment]
) -> tuple[list[Assignment], list[GeneratedAlgorithm]]:
    """Return the assignments whose model the provider has, and a placeholder for each other.

    A model that is listed only with, or only without, the suffix ":free" is asked by that name.
    """
    listed = await provider.available()
    kept: list[Assignment] = []
    skipped: list[GeneratedAlgorithm] = []
    for one in assignments:
        name = one.model if listed is None else _listed_name(one.model, listed)
        if name is None:
            reason = f"unavailable: {provider.endpoint} does not list this model"
            skipped.append(GeneratedAlgorithm(one.position, one.model, "skipped", reason=reason))
        else:
            kept.append(replace(one, known_as=name))
    return kept, skipped


def _listed_name(model: str, listed: frozenset[str]) -> str | None:
    base = model.removesuffix(":free")
    return next((name for name in (model, base, f"{base}:free") if name in listed), None)


def read_answer(
    assignment: Assignment, completion: Completion, *, requests: int
) -> GeneratedAlgorithm:
    """Take the program out of an answer and check its source; it is not run."""
    result = GeneratedAlgorithm(
        assignment.position,
        assignment.model,
        "refused",
        answer=completion.text,
        requests=requests,
    )
    try:
        checked = validate(extract_code(completion.text))
    except (NoCode, RefusedCode) as problem:
        reason = str(problem)
        if "def execute_trade" not in completion.text:
            reason = f"missing_execute_trade: {reason}"
        return replace(result, reason=" ".join(reason.split()))
    return replace(result, status="ready", source=checked.source, signature=checked.signature)


def no_answer(assignment: Assignment, reason: str, *, requests: int = 0) -> GeneratedAlgorithm:
    """Return the placeholder of a model that gave no answer."""
    return GeneratedAlgorithm(
        assignment.position, assignment.model, "failed", reason=reason, requests=requests
    )


async def generate_algorithm_async(
    client: httpx.AsyncClient,
    model_id: str,
    prompt_text: str,
    max_retries: int = 3,
    *,
    settings: FoundrySettings | None = None,
) -> str | None:
    """Return the program that a model writes for a prompt, None where nothing usable came.

    Asks again, at most `max_retries` times, after 0.5, 1 and 2 s with jitter, on 429, 5xx,
    time-outs and network errors and on nothing else. A Retry-After is waited for, up to 30 s.

    Parameters
    ----------
    client : the connections to use. Where it has a base URL, an OpenAI-compatible server is
        asked there; otherwise the provider of the settings
    settings : None reads those of this process
    """
    settings = settings or load_settings()
    try:
        provider = _provider(settings, client)
        endpoint = make_endpoint(settings, provider, most_requests=MOST_REQUESTS)
        try:
            completion = await endpoint.ask(model_id, prompt_text, max_retries=max_retries)
        finally:
            await provider.aclose()
        return validate(extract_code(completion.text)).source
    except FoundryError as problem:
        log.warning("%s: %s", model_id, problem)
        return None


async def generate_algorithms(
    models: Sequence[str],
    note: MarketNote,
    *,
    endpoint: ModelEndpoint,
    progress_callback: Callback | None = None,
    timeout: float = OVERALL_SECONDS,
    seed: int = 0,
) -> Generation:
    """Ask all models at once and return what each wrote, in their order.

    Parameters
    ----------
    endpoint : what is asked, and how many requests may be under way
    timeout : seconds for all; who has not answered by then is a placeholder, and everything that
        has finished is kept

    Raises
    ------
    ConfigurationError : see `assign`
    """
    assignments = assign(models, note, seed=seed)
    progress = ProgressReporter(progress_callback, len(assignments))
    results: dict[int, GeneratedAlgorithm] = {}
    at_once = asyncio.Semaphore(endpoint.concurrency.cap)

    def keep(written: GeneratedAlgorithm) -> None:
        results[written.position] = written
        if written.status == "ready":
            progress.succeeded(written.model, written.source or "")
        elif written.status == "skipped":
            progress.skipped(written.model, written.reason or "unavailable")
        else:
            progress.failed(written.model, written.reason or "error")

    async def write(one: Assignment) -> None:
        async with at_once:
            progress.started(one.model, one.position + 1)
            keep(await _write(endpoint, one))

    deadline = asyncio.get_running_loop().time() + timeout
    kept, skipped = await sort_out(endpoint.provider, assignments)
    for placeholder in skipped:
        keep(placeholder)
    tasks = [asyncio.ensure_future(write(one)) for one in kept]
    try:
        if tasks:
            left = max(0.0, deadline - asyncio.get_running_loop().time())
            await asyncio.wait(tasks, timeout=left)
    finally:
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome
    for one in kept:
        if one.position not in results:
            keep(no_answer(one, f"not finished within the {timeout:g} s of the whole run"))
    generation = Generation(
        endpoint.provider.label,
        assignments[0].prompt.version if assignments else "",
        tuple(results[position] for position in sorted(results)),
    )
    progress.finished(f"{len(generation.ready)} of {len(assignments)} algorithms generated")
    return generation


async def _write(endpoint: ModelEndpoint, one: Assignment) -> GeneratedAlgorithm:
    sent = 0

    def count(record: RequestRecord) -> None:
        nonlocal sent
        sent += record.outcome != "cached"

    try:
        completion = await endpoint.ask(one.known_as, one.prompt.text, name=one.model, record=count)
    except ModelRequestError as problem:
        return no_answer(one, str(problem), requests=sent)
    reading = asyncio.ensure_future(asyncio.to_thread(read_answer, one, completion, requests=sent))
    try:
        return await asyncio.shield(reading)
    except asyncio.CancelledError:
        # The answer came in time, and is paid for.
        return await reading


async def _generate_algorithms_for_agents_async(
    selected_agents: Sequence[str],
    ticker: str,
    progress_callback: Callback | None = None,
    *,
    settings: FoundrySettings | None = None,
    folder: Path | None = None,
) -> bool:
    """Ask all models at once, save what they wrote, and tell whether at least one succeeded.

    At most 6 requests are under way, on 10 connections of which 5 are kept alive. The programs
    and `generation.json`, which holds a placeholder with the reason for each model that failed,
    go to a new folder below `algorithms` in the home folder.

    Parameters
    ----------
    selected_agents : names of models; the order is kept
    ticker : what the prompt says the algorithm will trade
    progress_callback : called with (percent, message) in the thread of the event loop
    settings : None reads those of this process
    folder : where to save; None is a new folder in the home folder
    """
    settings = settings or load_settings()
    provider = _provider(settings)
    try:
        generation = await generate_algorithms(
            selected_agents,
            describe_ticker(ticker),
            endpoint=make_endpoint(settings, provider, most_requests=MOST_REQUESTS),
            progress_callback=progress_callback,
            timeout=settings.algorithms.timeout,
            seed=settings.seed,
        )
    finally:
        await provider.aclose()
    if generation.ready:
        save_generation(generation, folder or new_folder(settings.home, ticker))
    return bool(generation.ready)


def generate_algorithms_for_agents(
    selected_agents: Sequence[str],
    ticker: str,
    progress_callback: Callback | None = None,
    *,
    settings: FoundrySettings | None = None,
    folder: Path | None = None,
) -> bool:
    """Do the same from synchronous code, also where an event loop is running already.

    Inside a running loop the work is done in a thread with a loop of its own, and the running
    loop stands still until it is over; await `_generate_algorithms_for_agents_async` there.
    """

    def work() -> bool:
        return asyncio.run(
            _generate_algorithms_for_agents_async(
                selected_agents, ticker, progress_callback, settings=settings, folder=folder
            )
        )

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    context = contextvars.copy_context()
    with ThreadPoolExecutor(1, thread_name_prefix="algorithms") as thread:
        return thread.submit(context.run, work).result()


def file_name(written: GeneratedAlgorithm, *, occurrence: int = 0) -> str:
    """Return the name of a program's file; different models have different names."""
    plain = re.sub(r"[^A-Za-z0-9_]+", "_", written.model)[:80]
    digest = hashlib.sha256(f"{written.model}\n{occurrence}".encode()).hexdigest()[:8]
    return f"generated_algo_{plain}_{digest}.py"


def new_folder(home: Path, subject: str) -> Path:
    """Make a folder that no other run has, and return it."""
    plain = re.sub(r"[^A-Za-z0-9_]+", "_", subject)[:40]
    stamp = utc_now().strftime("%Y%m%dT%H%M%S")
    for number in range(1000):
        folder = home / "algorithms" / (f"{stamp}-{plain}" + (f"-{number}" if number else ""))
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise FoundryError(f"{home / 'algorithms'}: too many folders of this second")


def save_generation(generation: Generation, folder: Path) -> list[Path]:
    """Write the programs and `generation.json`; return the programs' files in the models' order."""
    folder.mkdir(parents=True, exist_ok=True)
    times: Counter[str] = Counter()
    files = []
    index = []
    for one in generation.results:
        name = None
        if one.status == "ready" and one.source is not None:
            name = file_name(one, occurrence=times[one.model])
            (folder / name).write_text(one.source, encoding="utf-8")
            files.append(folder / name)
        times[one.model] += 1
        index.append(
            {
                "model": one.model,
                "status": one.status,
                "file": name,
                "reason": one.reason,
                "requests": one.requests,
            }
        )
    document = {
        "written_by": generation.label,
        "prompt": generation.prompt_version,
        "results": index,
    }
    (folder / "generation.json").write_text(json.dumps(document, indent=2) + "\n")
    return files


def _provider(settings: FoundrySettings, client: httpx.AsyncClient | None = None) -> Provider:
    chosen = settings.algorithms
    openrouter_key = key_from_environment("openrouter", os.environ)
    if client is not None and str(client.base_url):
        # A key goes to nobody but the service that it is of.
        of_openrouter = client.base_url.host == httpx.URL(OPENROUTER_URL).host
        key: ApiKey | None = (
            openrouter_key if of_openrouter else key_from_environment("openai", os.environ)
        )
        return OpenAICompatible(
            str(client.base_url), api_key=key, client=client, timeout=chosen.request_timeout
        )
    name = resolve_provider(chosen, has_openrouter_key=openrouter_key is not None)
    key = openrouter_key if name == "openrouter" else key_from_environment(name, os.environ)
    return make_provider(settings, name, key, client=client)
