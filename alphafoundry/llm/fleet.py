"""An ordered fleet of models that steps down when memory runs out, and up again later."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from alphafoundry.clock import Clock, utc_now
from alphafoundry.errors import (
    ConfigurationError,
    LanguageModelError,
    ModelMemoryError,
    ModelNotFoundError,
)
from alphafoundry.llm.ollama import OllamaClient
from alphafoundry.whole_file import replace_file

log = logging.getLogger(__name__)

DEFAULT_MODELS = (
    "deepseek-r1:8b",
    "deepseek-r1:7b",
    "phi3:mini",
    "llama3.2:3b",
    "deepseek-r1:1.5b",
)
"""From the most memory (5.2 GB) to the least (1.1 GB)."""


@dataclass(frozen=True)
class FleetStatus:
    """Where the fleet stands.

    Attributes
    ----------
    current_model : the model that answers now
    current_model_index : its place in the fleet, 0 is the largest
    vram_error_count : memory errors of this model in a row
    success_count : answers of this model since the last change or memory error
    timestamp : when one of them changed last
    """

    current_model: str
    current_model_index: int
    vram_error_count: int
    success_count: int
    timestamp: datetime


class ModelFleet:
    """Answers prompts with the largest model that the memory allows.

    A memory error is tried again with the same model until `errors_to_step_down` of them came in
    a row; then the next smaller model takes over. After `successes_to_step_up` answers, or when
    `step_up_after` has passed since the last memory error, the next larger model gets another
    chance. Safe for many coroutines of one event loop: an error counts only against the model
    that made it.

    Parameters
    ----------
    client : the server that holds the models
    models : names, largest first
    state_path : file that keeps the state over restarts (`model_fleet_state.json`), None keeps
        it in memory. An unreadable file, or one about another server or a model outside the
        fleet, is a fresh start
    pull_missing : let the server download a model that it does not hold; one that it cannot have
        is left out
    now : the clock, aware datetimes
    """

    def __init__(
        self,
        client: OllamaClient,
        models: Sequence[str] = DEFAULT_MODELS,
        *,
        state_path: Path | None = None,
        errors_to_step_down: int = 3,
        successes_to_step_up: int = 20,
        step_up_after: timedelta | None = timedelta(minutes=30),
        pull_missing: bool = True,
        now: Clock = utc_now,
    ) -> None:
        if not models:
            raise ConfigurationError("the model fleet is empty: name at least one model")
        if errors_to_step_down < 1 or successes_to_step_up < 1:
            raise ConfigurationError(
                "the model fleet steps after at least 1 error or success, got "
                f"{errors_to_step_down} and {successes_to_step_up}"
            )
        self.client = client
        self.models = tuple(models)
        self.state_path = state_path
        self.errors_to_step_down = errors_to_step_down
        self.successes_to_step_up = successes_to_step_up
        self.step_up_after = step_up_after
        self.pull_missing = pull_missing
        self._now = now
        self._missing: set[str] = set()
        self._index, self._errors, self._successes, self._changed = self._load()

    def __repr__(self) -> str:
        return f"ModelFleet({self.current_model!r} of {list(self.models)} at {self.client!r})"

    @property
    def current_model(self) -> str:
        """The model that answers the next prompt."""
        return self.models[self._index]

    @property
    def status(self) -> FleetStatus:
        """Where the fleet stands now."""
        return FleetStatus(
            self.current_model, self._index, self._errors, self._successes, self._changed
        )

    async def generate(
        self,
        prompt: str,
        *,
        temperature: float = 0.3,
        top_p: float = 0.9,
        num_predict: int = 4000,
        think: bool | None = None,
    ) -> str:
        """Return the answer of the largest model that fits; see `OllamaClient.generate`.

        Raises ModelMemoryError when even the smallest model does not fit; other errors of the
        client pass through.
        """
        self._step_up_by_time()
        pulled: set[str] = set()
        while True:
            model = self.current_model
            try:
                answer = await self.client.generate(
                    model,
                    prompt,
                    temperature=temperature,
                    top_p=top_p,
                    num_predict=num_predict,
                    think=think,
                )
            except ModelNotFoundError as error:
                if model in pulled:
                    raise
                if await self._pull(model):
                    pulled.add(model)
                elif not self._leave_out(model):
                    raise ModelNotFoundError(
                        f"none of the {len(self.models)} models of the fleet is at "
                        f"{self.client.base_url} or can be pulled: {error}"
                    ) from error
            except ModelMemoryError as error:
                if not self._fits_after_error(model):
                    raise ModelMemoryError(
                        f"even {model}, the smallest of {len(self.models)} models, does not fit in "
                        f"the memory at {self.client.base_url}: free memory, add a smaller model, "
                        "or use `--generator grammar`"
                    ) from error
            else:
                self._count_success(model)
                return answer

    async def _pull(self, model: str) -> bool:
        """Let the server download a model; False where it cannot have it."""
        if not self.pull_missing:
            return False
        try:
            await self.client.pull(model)
        except LanguageModelError as problem:
            if problem.transient or problem.kind in ("network", "time-out"):
                raise
            log.warning("%s is left out: %s", model, problem)
            return False
        return True

    def _leave_out(self, model: str) -> bool:
        """Never take a model again that the server cannot have; False where none is left."""
        self._missing.add(model)
        if model != self.current_model:
            return True
        smaller = (i for i in range(self._index + 1, len(self.models)) if self._is_there(i))
        larger = (i for i in range(self._index - 1, -1, -1) if self._is_there(i))
        other = next(smaller, next(larger, None))
        if other is None:
            return False
        self._move_to(other)
        return True

    def _is_there(self, index: int) -> bool:
        return self.models[index] not in self._missing

    def reset(self) -> None:
        """Go back to the largest model and forget the errors."""
        self._move_to(0)

    def step_down(self) -> bool:
        """Take the next smaller model; False where this is the smallest."""
        smaller = (i for i in range(self._index + 1, len(self.models)) if self._is_there(i))
        index = next(smaller, None)
        if index is None:
            return False
        self._move_to(index)
        return True

    def _step_up(self) -> None:
        larger = (i for i in range(self._index - 1, -1, -1) if self._is_there(i))
        index = next(larger, None)
        if index is not None:
            self._move_to(index)

    def _fits_after_error(self, model: str) -> bool:
        """Count a memory error of `model`; False when nothing smaller is left to try."""
        if model != self.current_model:
            return True
        self._errors += 1
        self._successes = 0
        self._changed = self._now()
        if self._errors < self.errors_to_step_down:
            self._save()
            return True
        if self.step_down():
            return True
        self._errors = 0
        self._save()
        return False

    def _count_success(self, model: str) -> None:
        if model != self.current_model:
            return
        had_errors = self._errors > 0
        self._errors = 0
        self._successes += 1
        if self._index > 0 and self._successes >= self.successes_to_step_up:
            self._step_up()
        elif had_errors or self._index > 0:
            # Below the largest model each answer counts towards the next step up.
            self._save()

    def _step_up_by_time(self) -> None:
        if self.step_up_after is None or self._index == 0:
            return
        if self._now() - self._changed >= self.step_up_after:
            self._step_up()

    def _move_to(self, index: int) -> None:
        self._index = index
        self._errors = 0
        self._successes = 0
        self._changed = self._now()
        self._save()

    def _load(self) -> tuple[int, int, int, datetime]:
        fresh = (0, 0, 0, self._now())
        if self.state_path is None:
            return fresh
        own = self.client.base_url
        try:
            state = json.loads(self.state_path.read_text(encoding="utf-8"))
            model = state["current_model"]
            errors = int(state["vram_error_count"])
            successes = int(state.get("success_count", 0))
            changed = datetime.fromisoformat(str(state["timestamp"]))
        except (OSError, ValueError, KeyError, TypeError):
            return fresh
        if model not in self.models or state.get("address", own) != own:
            return fresh
        if changed.tzinfo is None:
            changed = changed.astimezone(UTC)
        errors = min(max(errors, 0), self.errors_to_step_down - 1)
        successes = min(max(successes, 0), self.successes_to_step_up - 1)
        return self.models.index(model), errors, successes, changed

    def _save(self) -> None:
        if self.state_path is None:
            return
        state = {
            "current_model_index": self._index,
            "vram_error_count": self._errors,
            "success_count": self._successes,
            "current_model": self.current_model,
            "address": self.client.base_url,
            "timestamp": self._changed.isoformat(),
        }
        replace_file(self.state_path, json.dumps(state, indent=2).encode(), durable=True)
