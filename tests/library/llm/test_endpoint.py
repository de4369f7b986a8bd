"""Concurrency that adapts, a circuit that opens, measurements, and the cache."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphafoundry.errors import ModelRequestError
from alphafoundry.llm import (
    AdaptiveConcurrency,
    AnswerCache,
    Backoff,
    CircuitBreaker,
    Completion,
    ModelEndpoint,
    OllamaProvider,
    OpenAICompatible,
    RequestRecord,
    Sampling,
    measure_models,
)
from tests.library.llm.chat_server import ChatServer, chat, problem
from tests.library.llm.ollama_server import OllamaServer, Reply, error


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_refusal_halves_and_a_round_of_successes_adds_one() -> None:
    permits = AdaptiveConcurrency(6)
    permits.refused(permits.generation)
    assert permits.limit == 3
    for _ in range(3):
        permits.succeeded()
    assert permits.limit == 4
    for _ in range(100):
        permits.succeeded()
    assert permits.limit == 6


def test_requests_that_were_under_way_together_halve_once() -> None:
    permits = AdaptiveConcurrency(8)
    sent = permits.generation
    for _ in range(5):
        permits.refused(sent)
    assert permits.limit == 4


@given(st.lists(st.booleans(), max_size=200), st.integers(1, 12))
def test_the_limit_stays_between_one_and_the_cap(answers: list[bool], cap: int) -> None:
    permits = AdaptiveConcurrency(cap)
    for answered in answers:
        before = permits.limit
        if answered:
            permits.succeeded()
            assert before <= permits.limit <= before + 1
        else:
            permits.refused(permits.generation)
            assert permits.limit <= before
        assert 1 <= permits.limit <= cap


async def test_permits_are_never_more_than_the_limit() -> None:
    permits = AdaptiveConcurrency(6)
    running = peak = 0

    async def work() -> None:
        nonlocal running, peak
        async with permits.permit():
            running += 1
            peak = max(peak, running)
            await asyncio.sleep(0.001)
            running -= 1

    await asyncio.gather(*(work() for _ in range(30)))
    assert peak == permits.peak == 6
    permits.refused(permits.generation)
    running = peak = 0
    await asyncio.gather(*(work() for _ in range(30)))
    assert peak == 3


async def test_429_lowers_what_is_under_way_at_the_server(chat_server: ChatServer) -> None:
    for number in range(6):
        chat_server.script(f"m{number}", problem(429))
    chat_server.default = chat("hello", delay=0.02)
    asked = ModelEndpoint(OpenAICompatible(chat_server.url))

    async def one(number: int) -> None:
        await asked.ask(f"m{number}", "hi", backoff=Backoff(delays=(0.01,)))

    await asyncio.gather(*(one(number) for number in range(6)))
    assert asked.concurrency.lowest == 3
    await asyncio.gather(*(one(number) for number in range(20)))
    await asked.aclose()
    assert asked.concurrency.limit == 6
    assert chat_server.peak <= 6


class Limiting:
    """Answers 429 to the first request of each model; counts what is under way after that."""

    name = "openai"
    endpoint = "http://there/v1"
    label = "models in a test"

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.running = self.peak = 0

    async def complete(self, model: str, prompt: str, sampling: Sampling) -> Completion:
        await asyncio.sleep(0)
        if model not in self.refused:
            self.refused.add(model)
            raise ModelRequestError("slow down", kind="rate limit", status=429)
        self.running += 1
        self.peak = max(self.peak, self.running)
        await asyncio.sleep(0.02)
        self.running -= 1
        return Completion("hello")

    async def available(self) -> frozenset[str] | None:
        return None

    async def aclose(self) -> None:
        return None


async def test_retries_after_429_obey_the_lower_number_too() -> None:
    provider = Limiting()
    asked = ModelEndpoint(provider)
    soon = Backoff(delays=(0.01,))
    await asyncio.gather(*(asked.ask(f"m{number}", "hi", backoff=soon) for number in range(6)))
    assert provider.peak == 3


def test_the_circuit_opens_rests_probes_and_closes() -> None:
    clock = Clock()
    circuit = CircuitBreaker(failures=3, rest=10, longest_rest=30, clock=clock)
    for _ in range(3):
        assert circuit.enter("there") is False
        circuit.failed("HTTP 500", probe=False)
    assert circuit.state == "open"
    with pytest.raises(ModelRequestError, match="3 requests in a row failed; the last: HTTP 500"):
        circuit.enter("there")
    clock.now += 10
    assert circuit.state == "half-open"
    assert circuit.enter("there") is True
    with pytest.raises(ModelRequestError):
        circuit.enter("there")
    circuit.failed("HTTP 502", probe=True)
    clock.now += 19
    with pytest.raises(ModelRequestError) as caught:
        circuit.enter("there")
    assert (caught.value.kind, caught.value.retry_after) == ("circuit", 1.0)
    clock.now += 1
    assert circuit.enter("there") is True
    circuit.succeeded()
    assert circuit.state == "closed"
    assert circuit.enter("there") is False


def test_a_success_between_failures_keeps_the_circuit_closed() -> None:
    circuit = CircuitBreaker(failures=2)
    for _ in range(5):
        circuit.failed("HTTP 500", probe=False)
        circuit.succeeded()
    assert circuit.state == "closed"


def test_a_cancelled_probe_lets_another_one_through() -> None:
    clock = Clock()
    circuit = CircuitBreaker(failures=1, rest=1, clock=clock)
    circuit.failed("HTTP 500", probe=False)
    clock.now += 1
    circuit.abandoned(probe=circuit.enter("there"))
    assert circuit.enter("there") is True


async def test_an_endpoint_that_keeps_failing_is_probed_once_and_left_alone(
    chat_server: ChatServer,
) -> None:
    chat_server.default = problem(500)
    circuit = CircuitBreaker(failures=3, rest=0.1)
    asked = ModelEndpoint(OpenAICompatible(chat_server.url), circuit=circuit)
    with pytest.raises(ModelRequestError, match="not asked"):
        await asked.ask("m", "hi", max_retries=9, backoff=Backoff(delays=(0.0,)))
    with pytest.raises(ModelRequestError, match="not asked"):
        await asked.ask("other", "hi")
    await asked.aclose()
    assert dict(chat_server.sent) == {"m": 4}
    assert circuit.failed_probes == 1


async def test_those_that_wait_for_an_endpoint_go_on_when_its_probe_succeeds(
    chat_server: ChatServer,
) -> None:
    """One of them is the probe; the waiting counts as no retry and no request."""
    chat_server.script("m", *[problem(500)] * 3, chat("m"))
    asked = ModelEndpoint(
        OpenAICompatible(chat_server.url), circuit=CircuitBreaker(failures=3, rest=0.3)
    )
    quick = Backoff(delays=(0.0,))
    work = asyncio.ensure_future(asked.ask("m", "hi", backoff=quick))
    while asked.circuit.state == "closed":
        await asyncio.sleep(0.01)
    chat_server.default = chat("later")
    later = await asyncio.gather(*(asked.ask(name, "hi") for name in "abc"))
    first = await work
    await asked.aclose()
    assert first.text == "m" and [one.text for one in later] == ["later"] * 3
    assert dict(chat_server.sent) == {"m": 4, "a": 1, "b": 1, "c": 1}
    assert asked.circuit.state == "closed"


async def test_refusals_and_429_do_not_open_the_circuit(chat_server: ChatServer) -> None:
    chat_server.script("m", *[problem(404), problem(429), problem(401)] * 3)
    asked = ModelEndpoint(OpenAICompatible(chat_server.url), circuit=CircuitBreaker(failures=1))
    for _ in range(9):
        with pytest.raises(ModelRequestError):
            await asked.send_once("m", "hi")
    await asked.aclose()
    assert asked.circuit.state == "closed"


@pytest.mark.parametrize(
    ("failures", "least", "most"), [(1, 0.5, 0.55), (2, 1.0, 1.1), (3, 2.0, 2.2)]
)
def test_the_documented_waits(failures: int, least: float, most: float) -> None:
    busy = ModelRequestError("busy", kind="rate limit", status=429)
    assert Backoff().wait(failures, busy, 0.0) == least
    assert Backoff().wait(failures, busy, 1.0) == pytest.approx(most)


async def test_measurements_agree_with_numpy(chat_server: ChatServer) -> None:
    chat_server.script("a", problem(503), chat("x", prompt_tokens=5, cost=0.5), chat("y"))
    chat_server.script("b", problem(404))
    asked = ModelEndpoint(OpenAICompatible(chat_server.url))
    await asked.ask("a", "hi", backoff=Backoff(delays=(0.0,)))
    await asked.ask("a", "hi")
    with pytest.raises(ModelRequestError):
        await asked.ask("b", "hi")
    await asked.aclose()
    a, b = measure_models(asked.records)
    assert (a.model, a.requests, a.retries, a.answers) == ("a", 3, 1, 2)
    assert a.success_rate == pytest.approx(2 / 3)
    assert (a.prompt_tokens, a.completion_tokens, a.cost) == (5, None, 0.5)
    seconds = [one.seconds for one in asked.records if one.outcome == "answered"]
    assert [a.p50, a.p90, a.p99] == pytest.approx(np.percentile(seconds, [50, 90, 99]).tolist())
    assert (b.answers, b.success_rate) == (0, 0.0)
    assert np.isnan(b.p50)


def test_a_cached_answer_counts_as_no_request() -> None:
    (metrics,) = measure_models([RequestRecord("m", 1, "cached", None, 0.0)])
    assert (metrics.requests, metrics.cached) == (0, 1)
    assert np.isnan(metrics.success_rate)


async def test_the_cache_answers_the_same_question_only(
    chat_server: ChatServer, tmp_path: Path
) -> None:
    def asked(**sampling: float) -> ModelEndpoint:
        return ModelEndpoint(
            OpenAICompatible(chat_server.url),
            sampling=Sampling(**sampling),  # type: ignore[arg-type]
            cache=AnswerCache(tmp_path / "answers"),
        )

    first = asked()
    chat_server.script("m", chat("one", prompt_tokens=3), chat("two"), chat("three"), chat("four"))
    assert await first.ask("m", "hi") == Completion("one", prompt_tokens=3)
    assert await asked().ask("m", "hi") == Completion("one", prompt_tokens=3)
    assert (await first.ask("m", "other")).text == "two"
    assert (await asked(temperature=0.1).ask("m", "hi")).text == "three"
    assert chat_server.sent["m"] == 3
    for path in (tmp_path / "answers").iterdir():
        path.write_text('{"text": "half')
    assert (await first.ask("m", "hi")).text == "four"
    await first.aclose()


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (error("internal trouble", 500), "server"),
        (error("slow down", 429, Retry_After="2"), "rate limit"),
        (error("no", 400), "refused"),
        (error("model 'm' not found", 404), "refused"),
        (Reply(200, '{"response": "half'), "unusable"),
        (Reply(200, "{}"), "unusable"),
        (Reply(200, '{"response": "x"}', announced_length=999), "network"),
        (Reply(200, "{}", delay=10.0), "time-out"),
        (error("requires more system memory", 500), "refused"),
    ],
)
async def test_ollama_obeys_the_same_policy(server: OllamaServer, reply: Reply, kind: str) -> None:
    server.replies.append(reply)
    provider = OllamaProvider(server.url, timeout=0.4 if reply.delay else 30.0)
    with pytest.raises(ModelRequestError) as caught:
        await provider.complete("m", "hi", Sampling())
    await provider.aclose()
    assert caught.value.kind == kind
    assert caught.value.transient is (kind in ModelRequestError.TRANSIENT_KINDS)


async def test_ollama_counts_its_tokens_and_lists_its_models(server: OllamaServer) -> None:
    body = '{"response": "ok", "prompt_eval_count": 12, "eval_count": 34}'
    server.replies.append(Reply(body=body))
    server.held = ["llama3.2:3b", "phi3:latest"]
    provider = OllamaProvider(server.url)
    assert await provider.complete("m", "hi", Sampling()) == Completion("ok", 12, 34)
    assert {"llama3.2:3b", "phi3"} <= (await provider.available() or frozenset())
    await provider.aclose()


async def test_ollama_that_does_not_run_is_told_with_what_helps_here() -> None:
    provider = OllamaProvider("http://127.0.0.1:9")
    with pytest.raises(ModelRequestError, match="or leave out `--provider`") as caught:
        await provider.complete("m", "hi", Sampling())
    await provider.aclose()
    assert caught.value.transient and "--generator" not in str(caught.value)
