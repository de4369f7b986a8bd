"""One endpoint with everything that protects it and measures it."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from alphafoundry.errors import ModelRequestError
from alphafoundry.llm.answer_cache import AnswerCache
from alphafoundry.llm.circuit import CircuitBreaker
from alphafoundry.llm.completion import Completion, Provider, Sampling
from alphafoundry.llm.concurrency import AdaptiveConcurrency
from alphafoundry.llm.measurements import RequestRecord

MOST_REQUESTS = 6
"""Requests under way at once unless the caller says otherwise."""

_LOOK_SECONDS = 0.5

_ENDPOINT_FAILED = frozenset({"server", "time-out", "network"})

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Backoff:
    """How long to wait before a request is sent again.

    Attributes
    ----------
    delays : seconds before the first, second, ... retry; the last one repeats
    jitter : largest random part on top, as a fraction of the delay
    longest : most seconds that are waited for a Retry-After; a longer one ends the request
    """

    delays: tuple[float, ...] = (0.5, 1.0, 2.0)
    jitter: float = 0.1
    longest: float = 30.0

    def delay(self, failures: int) -> float:
        """Return the seconds before the next request after so many failures, at least 1."""
        return self.delays[min(failures, len(self.delays)) - 1]

    def wait(self, failures: int, problem: ModelRequestError, draw: float) -> float | None:
        """Return the seconds to wait, None where this failure must not be tried again.

        draw : uniform in [0, 1), for the jitter
        """
        if not problem.transient:
            return None
        asked = problem.retry_after or 0.0
        if asked > self.longest:
            return None
        return max(self.delay(failures) * (1.0 + self.jitter * draw), asked)


class ModelEndpoint:
    """Asks a provider, within what its endpoint can take.

    Parameters
    ----------
    provider : what is asked; closed with this object
    sampling : how answers are drawn
    concurrency : requests under way at once; None is at most 6
    circuit : None opens after 12 failures in a row
    record : called with each request that was sent
    cache : answers of earlier runs; None asks every time
    """

    def __init__(
        self,
        provider: Provider,
        *,
        sampling: Sampling | None = None,
        concurrency: AdaptiveConcurrency | None = None,
        circuit: CircuitBreaker | None = None,
        record: Callable[[RequestRecord], None] | None = None,
        cache: AnswerCache | None = None,
    ) -> None:
        self.provider = provider
        self.sampling = sampling or Sampling()
        self.concurrency = concurrency or AdaptiveConcurrency(MOST_REQUESTS)
        self.circuit = circuit or CircuitBreaker()
        self.records: list[RequestRecord] = []
        self._record = record
        self._cache = cache

    def __repr__(self) -> str:
        return f"ModelEndpoint({self.provider!r}, {self.concurrency!r}, {self.circuit!r})"

    async def aclose(self) -> None:
        """Close the provider's connections."""
        await self.provider.aclose()

    async def send_once(
        self,
        model: str,
        prompt: str,
        *,
        number: int = 1,
        name: str | None = None,
        about: str | None = None,
        record: Callable[[RequestRecord], None] | None = None,
    ) -> Completion:
        """Send one request and count what came of it; waits while too many are under way.

        Parameters
        ----------
        number : 1 for the first request of this answer, 2 for its first retry, ...
        name : the model as reports call it, where the service knows it by another name
        about : what the answer is for, where that is not the first; kept with the request
        record : called with this request too, besides that of the endpoint

        Raises
        ------
        ModelRequestError : see `Provider.complete`; kind "circuit" where nothing was sent
        """
        endpoint = self.provider.endpoint
        name = name or model
        if self._cache is not None:
            kept = self._cache.get(endpoint, model, prompt, self.sampling)
            if kept is not None:
                self._keep(RequestRecord(name, number, "cached", None, 0.0), record)
                return kept
        async with self.concurrency.permit():
            answer = await self._send(model, prompt, number, name, about, record)
        if self._cache is not None:
            try:
                self._cache.put(endpoint, model, prompt, self.sampling, answer)
            except OSError as problem:
                log.warning("%r: an answer could not be kept: %s", self._cache, problem)
        return answer

    async def _send(
        self,
        model: str,
        prompt: str,
        number: int,
        name: str,
        about: str | None,
        record: Callable[[RequestRecord], None] | None,
    ) -> Completion:
        probe = self.circuit.enter(self.provider.endpoint)
        generation = self.concurrency.generation
        began = time.monotonic()
        try:
            answer = await self.provider.complete(model, prompt, self.sampling)
            if answer.cut_off:
                raise self._cut_off(name, answer)
        except ModelRequestError as problem:
            self._count_failure(problem, probe=probe, generation=generation)
            self._keep(
                RequestRecord(
                    name,
                    number,
                    problem.kind,
                    problem.status,
                    time.monotonic() - began,
                    problem.prompt_tokens,
                    problem.completion_tokens,
                    problem.cost,
                    reason=str(problem),
                ),
                record,
            )
            raise
        except BaseException:
            self.circuit.abandoned(probe=probe)
            raise
        self.circuit.succeeded()
        self.concurrency.succeeded()
        self._keep(
            RequestRecord(
                name,
                number,
                "answered",
                200,
                time.monotonic() - began,
                answer.prompt_tokens,
                answer.completion_tokens,
                answer.cost,
                reason=about,
            ),
            record,
        )
        return answer

    async def ask(
        self,
        model: str,
        prompt: str,
        *,
        max_retries: int = 3,
        backoff: Backoff | None = None,
        name: str | None = None,
        about: str | None = None,
        record: Callable[[RequestRecord], None] | None = None,
    ) -> Completion:
        """Return the answer, after at most `max_retries` more requests than the first.

        While the circuit is open this waits until the endpoint is probed, and is the probe where
        nobody else is; a probe that fails ends the waiting of all. None of that is a retry.

        Raises
        ------
        ModelRequestError : the last failure; kind "circuit" where a probe failed
        """
        backoff = backoff or Backoff()
        failures = 0
        while True:
            try:
                return await self.send_once(
                    model, prompt, number=failures + 1, name=name, about=about, record=record
                )
            except ModelRequestError as problem:
                if problem.kind == "circuit" and not self.circuit.failed_probes:
                    await asyncio.sleep(problem.retry_after or _LOOK_SECONDS)
                    continue
                failures += 1
                seconds = backoff.wait(failures, problem, random.random())
                if seconds is None or failures > max_retries:
                    raise
            await asyncio.sleep(seconds)

    def _cut_off(self, name: str, answer: Completion) -> ModelRequestError:
        # What is left of a program may still parse, and then does something else.
        return ModelRequestError(
            f"{self.provider.endpoint}: the answer of {name} is cut off at "
            f"{self.sampling.max_tokens} tokens; raise algorithms.max_tokens",
            kind="unusable",
            prompt_tokens=answer.prompt_tokens,
            completion_tokens=answer.completion_tokens,
            cost=answer.cost,
        )

    def _count_failure(self, problem: ModelRequestError, *, probe: bool, generation: int) -> None:
        if problem.kind in _ENDPOINT_FAILED:
            self.circuit.failed(str(problem), probe=probe)
            return
        self.circuit.succeeded()
        if problem.kind == "rate limit":
            self.concurrency.refused(generation)

    def _keep(
        self, record: RequestRecord, tell: Callable[[RequestRecord], None] | None = None
    ) -> None:
        self.records.append(record)
        for told in (self._record, tell):
            if told is not None:
                told(record)
