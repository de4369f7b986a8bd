"""The Ollama client against a real server on a socket."""

from __future__ import annotations

import socket

import pytest

from alphafoundry.errors import LanguageModelError, ModelMemoryError, ModelNotFoundError
from alphafoundry.llm import OllamaClient
from tests.library.llm.ollama_server import OllamaServer, Reply, error, text


async def test_sampling_options_are_sent_inside_options(server: OllamaServer) -> None:
    server.replies.append(text("rank(close)"))
    async with OllamaClient(server.url) as ollama:
        answer = await ollama.generate("m", "hello", temperature=0.7, top_p=0.5, num_predict=12)
    assert answer == "rank(close)"
    assert server.requests == [
        (
            "/api/generate",
            {
                "model": "m",
                "prompt": "hello",
                "stream": False,
                "options": {"temperature": 0.7, "top_p": 0.5, "num_predict": 12},
            },
        )
    ]


@pytest.mark.parametrize(
    "message",
    [
        "llama runner process has terminated: cudaMalloc failed: out of memory",
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "model requires more system memory (5.6 GiB) than is available (3.1 GiB)",
    ],
)
@pytest.mark.parametrize("status", [200, 500])
async def test_a_memory_text_is_a_memory_error(
    server: OllamaServer, message: str, status: int
) -> None:
    server.replies.append(error(message, status))
    async with OllamaClient(server.url) as ollama:
        with pytest.raises(ModelMemoryError, match="does not fit in the memory"):
            await ollama.generate("m", "hello")


@pytest.mark.parametrize(
    ("reply", "transient", "retry_after"),
    [
        (error("internal trouble", 500), True, None),
        (error("server busy", 503, Retry_After="2.5"), True, 2.5),
        (error("slow down", 429, Retry_After="Thu, 01 Jan 1970 00:00:00 GMT"), True, 0.0),
        (error("bad options", 400), False, None),
        (Reply(200, '{"response": "rank(clo'), True, None),
        (Reply(200, '{"response": "rank(clo', announced_length=500), True, None),
        (Reply(200, "<html>proxy</html>"), True, None),
        (Reply(200, "[]"), False, None),
        (Reply(200, "{}"), False, None),
        (text("  \n"), True, None),
    ],
)
async def test_what_may_be_tried_again(
    server: OllamaServer, reply: Reply, transient: bool, retry_after: float | None
) -> None:
    server.replies.append(reply)
    async with OllamaClient(server.url) as ollama:
        with pytest.raises(LanguageModelError) as caught:
            await ollama.generate("m", "hello")
    assert caught.value.transient is transient
    assert caught.value.retry_after == retry_after
    assert not isinstance(caught.value, ModelMemoryError)
    assert "\n" not in str(caught.value)


async def test_silence_is_a_transient_error_that_names_the_limit(server: OllamaServer) -> None:
    server.replies.append(Reply(delay=1.0))
    async with OllamaClient(server.url, timeout=0.1) as ollama:
        with pytest.raises(LanguageModelError, match=r"no answer within 0\.1 s") as caught:
            await ollama.generate("m", "hello")
    assert caught.value.transient


async def test_without_a_server_the_error_says_what_to_do() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    async with OllamaClient(f"127.0.0.1:{port}") as ollama:
        with pytest.raises(LanguageModelError) as caught:
            await ollama.generate("m", "hello")
    assert not caught.value.transient
    for advice in (f"http://127.0.0.1:{port}", "ollama serve", "--generator grammar"):
        assert advice in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_an_absent_model_says_how_to_get_it(server: OllamaServer) -> None:
    server.replies.append(error("model 'm' not found", 404))
    async with OllamaClient(server.url) as ollama:
        with pytest.raises(ModelNotFoundError, match="run `ollama pull m`"):
            await ollama.generate("m", "hello")


async def test_models_are_listed(server: OllamaServer) -> None:
    server.held = ["llama3.2:3b", "phi3:mini"]
    async with OllamaClient(server.url) as ollama:
        assert await ollama.models() == ("llama3.2:3b", "phi3:mini")


async def test_pull_tells_its_progress(server: OllamaServer) -> None:
    seen: list[str] = []
    async with OllamaClient(server.url) as ollama:
        await ollama.pull("m", progress=seen.append)
    assert seen == ["pulling", "success"]


@pytest.mark.parametrize(
    ("line", "transient"), [({"status": "pulling"}, True), ({"error": "no such model"}, False)]
)
async def test_a_pull_that_does_not_end_well_is_an_error(
    server: OllamaServer, line: dict[str, str], transient: bool
) -> None:
    server.pull_lines = [line]
    async with OllamaClient(server.url) as ollama:
        with pytest.raises(LanguageModelError) as caught:
            await ollama.pull("m")
    assert caught.value.transient is transient


async def test_a_model_that_refuses_to_be_told_about_thinking_is_asked_without(
    server: OllamaServer,
) -> None:
    server.replies.extend([error('"m" does not support thinking', 400), text("a"), text("b")])
    async with OllamaClient(server.url) as ollama:
        assert await ollama.generate("m", "hello", think=True) == "a"
        assert await ollama.generate("m", "hello", think=True) == "b"
    assert [body.get("think") for _, body in server.requests] == [True, None, None]
