"""Many language models write trading algorithms at once.

    generate_algorithms_for_agents(["model-a", "model-b"], "AAPL")

asks them from a script or a notebook; `python -m flows.algorithms` does it under Prefect's cap
and races what they wrote.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import os
import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from alphafoundry.algorithms.extraction import extract_code
from alphafoundry.algorithms.generation import (
    MOST_REPAIRS,
    Assignment,
    GeneratedAlgorithm,
    Generation,
    assign,
    no_answer,
    read_answer,
    repair_of,
    sort_out,
)
from alphafoundry.algorithms.program_files import new_folder, save_generation
from alphafoundry.algorithms.progress import Callback, ProgressReporter
from alphafoundry.algorithms.prompts import MarketNote, describe_ticker
from alphafoundry.algorithms.providers import (
    key_from_environment,
    make_endpoint,
    make_provider,
    resolve_provider,
)
from alphafoundry.algorithms.validation import validate
from alphafoundry.errors import FoundryError, ModelRequestError
from alphafoundry.llm import (
    OPENROUTER_URL,
    ApiKey,
    ModelEndpoint,
    OpenAICompatible,
    Provider,
    RequestRecord,
)
from alphafoundry.settings import FoundrySettings, load_settings

MOST_REQUESTS = 6
OVERALL_SECONDS = 400.0

log = logging.getLogger(__name__)


_SLOTS = threading.BoundedSemaphore(MOST_REQUESTS)
_LOOK_SECONDS = 0.02


@contextlib.asynccontextmanager
async def _one_of_the_process() -> AsyncIterator[None]:
    """Hold one of the six requests that all threads of this process may have under way."""
    while not _SLOTS.acquire(blocking=False):  # noqa: ASYNC110 - no event spans threads
        await asyncio.sleep(_LOOK_SECONDS)
    try:
        yield
    finally:
        _SLOTS.release()


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
            async with _one_of_the_process():
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
    repairs: int = MOST_REPAIRS,
) -> Generation:
    """Ask all models at once and return what each wrote, in their order.

    Parameters
    ----------
    endpoint : what is asked, and how many requests may be under way
    timeout : seconds for all; who has not answered by then is a placeholder, and everything that
        has finished is kept
    repairs : how often a program that the check refused goes back to its model

    Raises
    ------
    ConfigurationError : see `assign`
    """
    assignments = assign(models, note, seed=seed)
    progress = ProgressReporter(progress_callback, len(assignments))
    results: dict[int, GeneratedAlgorithm] = {}

    def keep(written: GeneratedAlgorithm) -> None:
        results[written.position] = written
        if written.status != "ready":
            log.warning("%s: %s", written.model, written.reason)
        if written.status == "ready":
            progress.succeeded(written.model, written.source or "")
        elif written.status == "skipped":
            progress.skipped(written.model, written.reason or "unavailable")
        else:
            progress.failed(written.model, written.reason or "error")

    async def write(one: Assignment) -> None:
        async with _one_of_the_process():
            progress.started(one.model, one.position + 1)
            keep(await _write(endpoint, one, repairs=repairs))

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


async def _write(endpoint: ModelEndpoint, one: Assignment, *, repairs: int) -> GeneratedAlgorithm:
    sent = 0

    def count(record: RequestRecord) -> None:
        nonlocal sent
        sent += record.outcome != "cached"

    written: GeneratedAlgorithm | None = None
    asked: Assignment | None = one
    while asked is not None:
        try:
            completion = await endpoint.ask(
                asked.known_as, asked.prompt.text, name=one.model, about=asked.about, record=count
            )
        except ModelRequestError as problem:
            return written or no_answer(one, str(problem), requests=sent)
        except asyncio.CancelledError:
            if written is None:
                raise
            return written
        reading = asyncio.ensure_future(
            asyncio.to_thread(read_answer, one, completion, requests=sent)
        )
        try:
            written = await asyncio.shield(reading)
        except asyncio.CancelledError:
            # The answer came in time, and is paid for.
            return await reading
        asked = repair_of(asked, written, most=repairs)
    assert written is not None
    return written


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
    if provider.name == "templates":
        stand_in = (
            f"no language model is asked: a built-in template stands in for each of "
            f"{', '.join(selected_agents)}; set OPENROUTER_API_KEY or algorithms.provider"
        )
        log.warning("%s", stand_in)
        ProgressReporter(progress_callback, len(selected_agents)).say(stand_in)
    try:
        generation = await generate_algorithms(
            selected_agents,
            describe_ticker(ticker),
            endpoint=make_endpoint(settings, provider, most_requests=MOST_REQUESTS),
            progress_callback=progress_callback,
            timeout=settings.algorithms.timeout,
            seed=settings.seed,
            repairs=settings.algorithms.repairs,
        )
    finally:
        await provider.aclose()
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
