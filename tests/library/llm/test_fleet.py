"""The model fleet against a real server whose models do not all fit its memory."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alphafoundry.errors import (
    ConfigurationError,
    LanguageModelError,
    ModelMemoryError,
    ModelNotFoundError,
)
from alphafoundry.llm import ModelFleet, OllamaClient
from tests.library.llm.ollama_server import OllamaServer, error, text

FULL = error("model requires more system memory (9.1 GiB) than is available (3.0 GiB)")
MODELS = ("large", "middle", "small")
START = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.moment = START

    def __call__(self) -> datetime:
        return self.moment


async def test_three_memory_errors_take_the_next_smaller_model(
    server: OllamaServer, tmp_path: Path
) -> None:
    server.rules = {"large": FULL, "middle": text("rank(close)")}
    state = tmp_path / "deep" / "model_fleet_state.json"
    async with OllamaClient(server.url) as ollama:
        fleet = ModelFleet(ollama, MODELS, state_path=state, now=Clock())
        assert await fleet.generate("hello") == "rank(close)"
    assert server.generated_with == ["large", "large", "large", "middle"]
    assert json.loads(state.read_text()) == {
        "current_model_index": 1,
        "vram_error_count": 0,
        "success_count": 1,
        "current_model": "middle",
        "address": server.url,
        "timestamp": START.isoformat(),
    }
    assert [path.name for path in state.parent.iterdir()] == ["model_fleet_state.json"]


async def test_a_restart_goes_on_where_the_state_file_stands(
    server: OllamaServer, tmp_path: Path
) -> None:
    state = tmp_path / "model_fleet_state.json"
    server.rules = {"large": FULL, "middle": text("first")}
    async with OllamaClient(server.url) as ollama:
        await ModelFleet(ollama, MODELS, state_path=state, now=Clock()).generate("hello")
        again = ModelFleet(ollama, MODELS, state_path=state, now=Clock())
    assert again.current_model == "middle"
    assert again.status.vram_error_count == 0


async def test_the_state_belongs_to_an_address(server: OllamaServer, tmp_path: Path) -> None:
    state = tmp_path / "model_fleet_state.json"
    server.rules = {"large": FULL, "middle": text("first")}
    async with OllamaClient(server.url) as ollama, OllamaClient("other:11434") as other:
        await ModelFleet(ollama, MODELS, state_path=state, now=Clock()).generate("hello")
        assert ModelFleet(other, MODELS, state_path=state, now=Clock()).current_model == "large"


async def test_a_model_that_cannot_be_had_is_left_out(server: OllamaServer) -> None:
    gone = error("model 'middle' not found", 404)
    server.rules = {"large": FULL, "middle": gone, "small": text("rank(close)")}
    server.pull_lines = [{"error": "pull model manifest: file does not exist"}]
    async with OllamaClient(server.url) as ollama:
        fleet = ModelFleet(ollama, MODELS, successes_to_step_up=1, now=Clock())
        assert await fleet.generate("hello") == "rank(close)"
        assert fleet.current_model == "large"
        server.rules = dict.fromkeys(MODELS, gone)
        with pytest.raises(ModelNotFoundError, match="none of the 3 models"):
            await fleet.generate("hello")


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"current_model": "gone", "vram_error_count": 1}']
)
async def test_an_unusable_state_file_is_a_fresh_start(
    server: OllamaServer, tmp_path: Path, content: str
) -> None:
    state = tmp_path / "model_fleet_state.json"
    state.write_text(content)
    async with OllamaClient(server.url) as ollama:
        assert ModelFleet(ollama, MODELS, state_path=state).current_model == "large"


async def test_a_success_between_memory_errors_starts_the_count_again(server: OllamaServer) -> None:
    server.replies.extend([FULL, FULL, text("a"), FULL, FULL, text("b")])
    async with OllamaClient(server.url) as ollama:
        fleet = ModelFleet(ollama, MODELS, now=Clock())
        assert [await fleet.generate("x"), await fleet.generate("x")] == ["a", "b"]
        assert fleet.current_model == "large"


async def test_when_even_the_smallest_does_not_fit_the_error_says_what_to_do(
    server: OllamaServer,
) -> None:
    server.rules = dict.fromkeys(MODELS, FULL)
    async with OllamaClient(server.url) as ollama:
        fleet = ModelFleet(ollama, MODELS, now=Clock())
        with pytest.raises(ModelMemoryError, match="even small, the smallest of 3 models"):
            await fleet.generate("hello")
        assert fleet.current_model == "small"
    assert server.generated_with == ["large"] * 3 + ["middle"] * 3 + ["small"] * 3


async def test_enough_successes_take_one_step_back_up(server: OllamaServer) -> None:
    server.rules = {"large": FULL, "middle": text("ok")}
    async with OllamaClient(server.url) as ollama:
        fleet = ModelFleet(ollama, MODELS, successes_to_step_up=2, now=Clock())
        await fleet.generate("hello")
        assert fleet.current_model == "middle"
        await fleet.generate("hello")
        assert fleet.current_model == "large"
        server.rules["large"] = text("large again")
        assert await fleet.generate("hello") == "large again"


async def test_successes_count_over_a_restart(server: OllamaServer, tmp_path: Path) -> None:
    state = tmp_path / "model_fleet_state.json"
    server.rules = {"large": FULL, "middle": text("ok")}
    async with OllamaClient(server.url) as ollama:
        for asked in ("middle", "large"):
            fleet = ModelFleet(
                ollama, MODELS, successes_to_step_up=2, state_path=state, now=Clock()
            )
            await fleet.generate("hello")
            assert fleet.current_model == asked


async def test_time_without_memory_errors_takes_one_step_back_up(server: OllamaServer) -> None:
    server.rules = {"large": FULL, "middle": text("ok")}
    clock = Clock()
    async with OllamaClient(server.url) as ollama:
        fleet = ModelFleet(ollama, MODELS, step_up_after=timedelta(minutes=5), now=clock)
        await fleet.generate("hello")
        clock.moment += timedelta(minutes=4)
        await fleet.generate("hello")
        assert fleet.current_model == "middle"
        clock.moment += timedelta(minutes=1)
        server.rules["large"] = text("large again")
        assert await fleet.generate("hello") == "large again"


async def test_simultaneous_errors_of_one_model_take_one_step_only(server: OllamaServer) -> None:
    server.rules = {"large": FULL, "middle": text("ok"), "small": text("too far")}
    async with OllamaClient(server.url) as ollama:
        fleet = ModelFleet(ollama, MODELS, now=Clock())
        answers = await asyncio.gather(*(fleet.generate("hello") for _ in range(6)))
        assert answers == ["ok"] * 6
        assert fleet.current_model == "middle"


async def test_an_absent_model_is_pulled_once(server: OllamaServer) -> None:
    server.rules = {"large": error("model 'large' not found", 404)}
    async with OllamaClient(server.url) as ollama:
        assert await ModelFleet(ollama, MODELS).generate("hello") == "pulled"
    assert [path for path, _ in server.requests] == ["/api/generate", "/api/pull", "/api/generate"]


async def test_other_errors_pass_through_and_do_not_step_down(server: OllamaServer) -> None:
    server.rules = {"large": error("internal trouble", 500)}
    async with OllamaClient(server.url) as ollama:
        fleet = ModelFleet(ollama, MODELS)
        for _ in range(5):
            with pytest.raises(LanguageModelError, match="internal trouble"):
                await fleet.generate("hello")
        assert fleet.current_model == "large"


async def test_reset_and_step_down_by_hand(server: OllamaServer) -> None:
    async with OllamaClient(server.url) as ollama:
        fleet = ModelFleet(ollama, MODELS)
        assert [fleet.step_down(), fleet.step_down(), fleet.step_down()] == [True, True, False]
        assert fleet.current_model == "small"
        fleet.reset()
        assert fleet.current_model == "large"
        with pytest.raises(ConfigurationError, match="empty"):
            ModelFleet(ollama, ())
