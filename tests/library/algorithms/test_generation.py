"""The functions of the document, against a real server on a socket."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from alphafoundry.algorithms import (
    TemplateProvider,
    _generate_algorithms_for_agents_async,
    generate_algorithm_async,
    generate_algorithms,
    generate_algorithms_for_agents,
    read_message,
    validate,
)
from alphafoundry.algorithms.generation import (
    GeneratedAlgorithm,
    Generation,
    assign,
    sort_out,
)
from alphafoundry.algorithms.program_files import file_name
from alphafoundry.algorithms.progress import ProgressReporter
from alphafoundry.algorithms.prompts import MarketNote
from alphafoundry.errors import ConfigurationError
from alphafoundry.llm import (
    AdaptiveConcurrency,
    CircuitBreaker,
    ModelEndpoint,
    OpenAICompatible,
    measure_models,
)
from alphafoundry.settings import AlgorithmsSettings, FoundrySettings
from tests.library.llm.chat_server import (
    PROGRAM,
    ChatServer,
    Reply,
    chat,
    problem,
    program,
    running_chat_server,
)

NOTE = MarketNote("- nothing is known")
SIX = [f"model-{letter}" for letter in "ABCDEF"]


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with running_chat_server() as state:
        yield state


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("OPENROUTER_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def settings(server: ChatServer | None, tmp_path: Path, **algorithms: object) -> FoundrySettings:
    if server is not None:
        algorithms["base_url"] = server.url
    return FoundrySettings(
        home=tmp_path / "home", algorithms=AlgorithmsSettings.model_validate(algorithms)
    )


class Messages:
    """Keeps what the progress callback is told."""

    def __init__(self) -> None:
        self.told: list[tuple[float, str]] = []

    def __call__(self, percent: float, message: str) -> None:
        self.told.append((percent, message))

    def of(self, event: str) -> list[tuple[str, str]]:
        parts = [read_message(message) for _, message in self.told]
        return [(one.model, one.text) for one in parts if one is not None and one.event == event]


def saved(tmp_path: Path) -> dict[str, object]:
    (index,) = (tmp_path / "home" / "algorithms").glob("*/generation.json")
    document: dict[str, object] = json.loads(index.read_text())
    return document


BROKEN = PROGRAM.replace("float(np.mean(close[-WINDOW:]))", "talib.SMA(close)")


def requests_of(generation: Generation) -> list[int]:
    return [one.requests for one in generation.results]


async def test_a_refused_program_goes_back_with_its_lines(server: ChatServer) -> None:
    broken = chat(f"```python\n{BROKEN}```", prompt_tokens=10, completion_tokens=5, cost=0.1)
    server.script("mends", broken, broken, program(prompt_tokens=10, completion_tokens=5))
    server.script("never", broken, broken, broken, program())
    server.script("declines", chat("I cannot help with trading."), program())
    endpoint = ModelEndpoint(OpenAICompatible(server.url))
    generation = await generate_algorithms(["mends", "never", "declines"], NOTE, endpoint=endpoint)
    await endpoint.aclose()
    assert [one.status for one in generation.results] == ["ready", "refused", "refused"]
    assert requests_of(generation) == [3, 3, 1]
    asked = [one["messages"][0]["content"] for one in server.bodies if one["model"] == "mends"]
    assert "line 10: 'talib' is not defined" in asked[1]
    assert asked[1].startswith(asked[0].rstrip()) and asked[2] == asked[1]
    records = [one for one in endpoint.records if one.model == "mends"]
    assert [one.number for one in records] == [1, 1, 1]
    assert [str(one.reason)[:9] for one in records] == ["None", "repair 1:", "repair 2:"]
    (measured, *_) = [m for m in measure_models(endpoint.records) if m.model == "mends"]
    assert (measured.prompt_tokens, measured.cost) == (30, pytest.approx(0.2))


def test_six_requests_are_the_most_over_all_threads(server: ChatServer, tmp_path: Path) -> None:
    server.default = program(delay=0.2)
    chosen = settings(server, tmp_path)
    with ThreadPoolExecutor(3) as threads:
        done = threads.map(
            lambda n: generate_algorithms_for_agents(SIX[:4], "AAPL", settings=chosen), range(3)
        )
        assert all(done)
    assert server.peak == 6


def test_what_failed_is_kept_where_all_fail(
    server: ChatServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.default = problem(404, "no such model")
    assert not generate_algorithms_for_agents(["a"], "AAPL", settings=settings(server, tmp_path))
    (only,) = saved(tmp_path)["results"]  # type: ignore[misc, attr-defined]
    assert "HTTP 404" in only["reason"] and "a: " in caplog.text


def test_older_programs_find_the_functions_under_their_name(tmp_path: Path) -> None:
    from open_router import algo_gen

    assert algo_gen.generate_algorithms_for_agents is generate_algorithms_for_agents
    assert "def execute_trade" in (algo_gen.generate_algorithm("any", "write one") or "")


# The document's five tests.


async def test_concurrent_execution(server: ChatServer, tmp_path: Path) -> None:
    """Six requests are under way at once, not one after another."""
    server.default = program(delay=0.3)
    assert await _generate_algorithms_for_agents_async(
        SIX, "AAPL", settings=settings(server, tmp_path)
    )
    assert server.peak == 6


async def test_output_order_preserved(server: ChatServer, tmp_path: Path) -> None:
    for number, model in enumerate(SIX):
        server.script(model, program(delay=0.05 * (6 - number)))
    messages = Messages()
    assert await _generate_algorithms_for_agents_async(
        SIX, "AAPL", messages, settings=settings(server, tmp_path)
    )
    finished = [model for model, _ in messages.of("MODEL_OK")]
    assert finished != SIX and sorted(finished) == SIX
    results = saved(tmp_path)["results"]
    assert isinstance(results, list)
    assert [one["model"] for one in results] == SIX


async def test_generate_algorithm_async_retry_on_429(server: ChatServer) -> None:
    server.script("m", problem(429), problem(429), program())
    async with httpx.AsyncClient(base_url=server.url) as client:
        assert await generate_algorithm_async(client, "m", "write one") == PROGRAM
    assert server.sent["m"] == 3
    first, second, third = server.arrivals["m"]
    assert second - first >= 0.5 and third - second >= 1.0


async def test_partial_failure_handling(server: ChatServer, tmp_path: Path) -> None:
    for model in SIX[::2]:
        server.script(model, problem(404, "no such model"))
    messages = Messages()
    assert await _generate_algorithms_for_agents_async(
        SIX, "AAPL", messages, settings=settings(server, tmp_path)
    )
    results = saved(tmp_path)["results"]
    assert isinstance(results, list)
    assert [one["status"] for one in results] == ["failed", "ready"] * 3
    assert all(("no such model" in one["reason"]) == (one["file"] is None) for one in results[::2])
    assert sorted(model for model, _ in messages.of("MODEL_FAIL")) == SIX[::2]


async def test_semaphore_limits_concurrency(server: ChatServer, tmp_path: Path) -> None:
    server.default = program(delay=0.05)
    models = [f"m{number}" for number in range(15)]
    assert await _generate_algorithms_for_agents_async(
        models, "AAPL", settings=settings(server, tmp_path)
    )
    assert server.peak == 6
    assert all(server.sent[model] == 1 for model in models)


# One test per fault of the program behind the document, where it concerns the generation.


async def test_the_synchronous_function_works_inside_a_running_loop(
    server: ChatServer, tmp_path: Path
) -> None:
    assert generate_algorithms_for_agents(["m"], "AAPL", settings=settings(server, tmp_path))


def test_the_synchronous_function_works_without_a_loop(server: ChatServer, tmp_path: Path) -> None:
    messages = Messages()
    assert generate_algorithms_for_agents(
        ["m"], "AAPL", messages, settings=settings(server, tmp_path)
    )
    assert messages.of("MODEL_OK") == [("m", "generated")]


async def test_the_overall_time_limit_keeps_what_has_finished(
    server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time is over as soon as the quick one has finished, however long that takes."""
    wait = asyncio.wait

    async def until_one_has_finished(tasks: Any, *, timeout: float) -> Any:
        assert 600 < timeout <= 900
        return await wait(tasks, return_when=asyncio.FIRST_COMPLETED)

    monkeypatch.setattr(asyncio, "wait", until_one_has_finished)
    server.script("slow", program(delay=60))
    chosen = settings(server, tmp_path, timeout=900.0)
    assert await _generate_algorithms_for_agents_async(["slow", "quick"], "AAPL", settings=chosen)
    results = saved(tmp_path)["results"]
    assert isinstance(results, list)
    assert [one["status"] for one in results] == ["failed", "ready"]
    assert "not finished within the 900 s" in results[0]["reason"]


async def test_no_algorithm_at_all_is_a_failure(server: ChatServer, tmp_path: Path) -> None:
    server.default = problem(400)
    chosen = settings(server, tmp_path)
    assert not await _generate_algorithms_for_agents_async(SIX, "AAPL", settings=chosen)
    assert not await _generate_algorithms_for_agents_async([], "AAPL", settings=chosen)


@pytest.mark.parametrize(
    "reply",
    [
        Reply(body=b'{"choices": [{"mess'),
        chat("I cannot help with that."),
        chat("```python\ndef trade(): return 'BUY'\n```"),
        chat("```python\nimport os\ndef execute_trade(ticker, cash_balance, shares_held):\n"),
        problem(401),
    ],
)
async def test_what_would_not_get_better_is_none_and_asked_once(
    server: ChatServer, reply: Reply
) -> None:
    server.default = reply
    async with httpx.AsyncClient(base_url=server.url) as client:
        assert await generate_algorithm_async(client, "m", "write one") is None
    assert server.sent["m"] == 1


async def test_a_key_goes_to_nobody_but_its_own_service(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.default = program()
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-of-another-service")
    async with httpx.AsyncClient(base_url=server.url) as client:
        await generate_algorithm_async(client, "m", "write one")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-of-this-one")
        await generate_algorithm_async(client, "m", "write one")
    assert server.authorization == [None, "Bearer sk-of-this-one"]


async def test_max_retries_is_obeyed(server: ChatServer) -> None:
    server.default = problem(503)
    async with httpx.AsyncClient(base_url=server.url) as client:
        assert await generate_algorithm_async(client, "m", "write one", max_retries=0) is None
    assert server.sent["m"] == 1


async def test_a_model_that_is_not_there_leaves_a_placeholder(
    server: ChatServer, tmp_path: Path
) -> None:
    server.listed = ["there", "free-one:free", "paid"]
    models = ["there", "gone", "free-one", "paid:free"]
    messages = Messages()
    assert await _generate_algorithms_for_agents_async(
        models, "AAPL", messages, settings=settings(server, tmp_path)
    )
    results = saved(tmp_path)["results"]
    assert isinstance(results, list)
    assert [one["model"] for one in results] == models
    assert [one["status"] for one in results] == ["ready", "skipped", "ready", "ready"]
    ((model, reason),) = messages.of("MODEL_SKIP")
    assert model == "gone" and reason.startswith("unavailable")
    assert set(server.sent) == {"there", "free-one:free", "paid"}


def test_files_of_different_models_have_different_names() -> None:
    models = ["a/b:c", "a-b.c", "a_b_c", "a/b/c", "x" * 300, "x" * 301, "ä", "ö"]
    names = [file_name(GeneratedAlgorithm(0, model, "ready")) for model in models]
    assert len(set(names)) == len(models)
    assert all(name.isascii() and len(name) < 128 for name in names)
    assert names[0].startswith("generated_algo_a_b_c_")


async def test_a_run_leaves_the_files_of_earlier_runs_alone(
    server: ChatServer, tmp_path: Path
) -> None:
    chosen = settings(server, tmp_path)
    for _ in range(3):
        assert await _generate_algorithms_for_agents_async(["m", "m"], "AAPL", settings=chosen)
    files = sorted((tmp_path / "home" / "algorithms").glob("*/*.py"))
    assert len(files) == 6
    assert len({path.parent for path in files}) == 3
    assert all(validate(path.read_text()).signature == "simple" for path in files)


async def test_each_model_succeeds_once_in_the_messages(server: ChatServer, tmp_path: Path) -> None:
    server.script("bad", chat("no code here"))
    messages = Messages()
    await _generate_algorithms_for_agents_async(
        ["good", "bad"], "AAPL", messages, settings=settings(server, tmp_path)
    )
    assert messages.of("MODEL_START") == [("good", "generating"), ("bad", "generating")]
    assert messages.of("MODEL_OK") == [("good", "generated")]
    assert messages.of("PREVIEW") == [("good", PROGRAM.rstrip("\n"))]
    ((model, reason),) = messages.of("MODEL_FAIL")
    assert model == "bad" and reason.startswith("missing_execute_trade")
    percents = [percent for percent, _ in messages.told]
    assert all(a <= b for a, b in itertools.pairwise(percents))
    assert (percents[0], percents[-1]) == (30.0, 55.0)
    assert messages.told[0][1] == "Generating algorithm 1/2 using good..."


async def test_a_callback_that_raises_does_not_stop_the_work(
    server: ChatServer, tmp_path: Path
) -> None:
    def callback(percent: float, message: str) -> None:
        raise RuntimeError("the window was closed")

    assert await _generate_algorithms_for_agents_async(
        ["m"], "AAPL", callback, settings=settings(server, tmp_path)
    )


def test_a_message_is_taken_apart_with_the_colons_of_its_program() -> None:
    messages = Messages()
    ProgressReporter(messages, 1).succeeded("a:free", "x = [1, 2][::2]\n" * 40)
    parts = read_message(messages.told[0][1])
    assert parts is not None
    assert (parts.event, parts.model) == ("PREVIEW", "a:free")
    assert parts.text.splitlines() == ["x = [1, 2][::2]"] * 24
    assert read_message("Generating algorithm 1/2 using m...") is None


@pytest.mark.parametrize("name", ["", " ", "a::b", "a\nb"])
def test_an_unusable_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="is not the name of a model"):
        assign(["good", name], NOTE)


async def test_without_an_account_the_templates_answer(tmp_path: Path) -> None:
    assert await _generate_algorithms_for_agents_async(
        SIX, "AAPL", settings=settings(None, tmp_path)
    )
    assert "no language model was asked" in str(saved(tmp_path)["written_by"])


@pytest.mark.parametrize("models", [["some/model"], ["some/model:free"], ["a/b", "c/d"]])
async def test_nobody_takes_a_template_for_the_model_that_was_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, models: list[str]
) -> None:
    messages: list[str] = []
    chosen = settings(None, tmp_path)
    assert await _generate_algorithms_for_agents_async(
        models, "AAPL", lambda _, m: messages.append(m), settings=chosen
    )
    listed = ", ".join(models)
    told = f"no language model is asked: a built-in template stands in for each of {listed}"
    assert messages[0].startswith(told)
    assert told in caplog.text


async def test_a_model_that_is_named_twice_is_asked_for_two_algorithms() -> None:
    first, second, other = assign(["m", "m", "other"], NOTE)
    assert first.prompt.text != second.prompt.text != other.prompt.text
    endpoint = ModelEndpoint(TemplateProvider())
    generation = await generate_algorithms(["m", "m"], NOTE, endpoint=endpoint)
    one, two = generation.ready
    assert one.source != two.source


async def test_requests_of_a_model_that_is_named_twice_are_counted_apart(
    server: ChatServer,
) -> None:
    server.script("m", problem(503), program(delay=0.2), program())
    endpoint = ModelEndpoint(OpenAICompatible(server.url))
    generation = await generate_algorithms(["m", "m"], NOTE, endpoint=endpoint)
    await endpoint.aclose()
    assert sorted(one.requests for one in generation.ready) == [1, 2]
    assert server.sent == {"m": 3}
    texts = {body["messages"][0]["content"] for body in server.bodies}
    assert len(texts) == 2


@pytest.mark.parametrize("name", ["buy-and-hold", " Buy-and-Hold "])
def test_the_name_of_the_benchmark_is_no_name_of_a_model(name: str) -> None:
    with pytest.raises(ConfigurationError, match="race against") as caught:
        assign(["a", name], NOTE)
    assert "\n" not in str(caught.value)


async def test_a_dead_endpoint_is_probed_before_a_model_is_given_up(server: ChatServer) -> None:
    # One model alone: no answer to another one can end the row of failures.
    server.script("m", *[problem(500)] * 3)
    circuit = CircuitBreaker(failures=3, rest=0.2)
    endpoint = ModelEndpoint(OpenAICompatible(server.url), circuit=circuit)
    generation = await generate_algorithms(["m"], NOTE, endpoint=endpoint)
    await endpoint.aclose()
    assert len(generation.ready) == 1 and server.sent == {"m": 4}
    assert circuit.opened == 1 and circuit.state == "closed"


async def test_cancelling_stops_the_requests(server: ChatServer) -> None:
    server.default = program(delay=30)
    endpoint = ModelEndpoint(OpenAICompatible(server.url), concurrency=AdaptiveConcurrency(2))
    work = asyncio.ensure_future(generate_algorithms(SIX, NOTE, endpoint=endpoint))
    while sum(server.sent.values()) < 2:
        await asyncio.sleep(0.01)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    await endpoint.aclose()
    assert sum(server.sent.values()) == 2


async def test_every_model_counts_as_there_where_none_are_listed(server: ChatServer) -> None:
    provider = OpenAICompatible(server.url)
    kept, skipped = await sort_out(provider, assign(["a", "b"], NOTE))
    await provider.aclose()
    assert [one.known_as for one in kept] == ["a", "b"]
    assert skipped == []
