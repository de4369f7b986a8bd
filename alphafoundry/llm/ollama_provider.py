"""Ollama as a provider of completions."""

from __future__ import annotations

import asyncio

from alphafoundry.errors import (
    LanguageModelError,
    ModelMemoryError,
    ModelNotFoundError,
    ModelRequestError,
)
from alphafoundry.llm.completion import Completion, Sampling
from alphafoundry.llm.ollama import DEFAULT_URL, EmptyAnswer, OllamaClient
from alphafoundry.llm.suited_models import best_suited


class OllamaProvider:
    """Asks the models of one Ollama server.

    Parameters
    ----------
    base_url : address of the server
    timeout : seconds until one answer must be there, whole
    think : whether a model that can reason is to do so; None leaves it to the model
    """

    name = "ollama"

    def __init__(
        self, base_url: str = DEFAULT_URL, *, timeout: float = 60.0, think: bool | None = None
    ) -> None:
        self.think = think
        self._ollama = OllamaClient(base_url, timeout=timeout, otherwise="leave out `--provider`")
        self.timeout = timeout

    def __repr__(self) -> str:
        return f"OllamaProvider({self.endpoint!r}, timeout={self.timeout:g})"

    @property
    def endpoint(self) -> str:
        """Address of the server."""
        return self._ollama.base_url

    @property
    def label(self) -> str:
        """One line that says what answers."""
        return f"language models of Ollama at {self.endpoint}"

    async def aclose(self) -> None:
        """Close the connections."""
        await self._ollama.aclose()

    async def complete(self, model: str, prompt: str, sampling: Sampling) -> Completion:
        """Ask once; see `Provider.complete`."""
        try:
            async with asyncio.timeout(self.timeout):
                return await self._ollama.complete(
                    model,
                    prompt,
                    temperature=sampling.temperature,
                    top_p=sampling.top_p,
                    num_predict=sampling.max_tokens,
                    think=self.think,
                )
        except TimeoutError:
            problem = ModelRequestError(
                f"{self.endpoint}: {model} did not finish its answer within {self.timeout:g} s",
                kind="time-out",
            )
        except ModelRequestError:
            raise
        except (ModelMemoryError, ModelNotFoundError) as error:
            problem = ModelRequestError(str(error), kind="refused")
        except EmptyAnswer as error:
            problem = ModelRequestError(
                str(error),
                kind="unusable",
                prompt_tokens=error.prompt_tokens,
                completion_tokens=error.completion_tokens,
            )
        except LanguageModelError as error:
            problem = ModelRequestError(
                str(error), kind=error.kind, status=error.status, retry_after=error.retry_after
            )
        raise problem

    async def suited(self) -> tuple[str, ...]:
        """Return the models that can write a program, the best first."""
        try:
            async with asyncio.timeout(min(10.0, self.timeout)):
                return best_suited(await self._ollama.listed())
        except (LanguageModelError, TimeoutError):
            return ()

    async def available(self) -> frozenset[str] | None:
        """Return the models that the server holds; None where it does not answer."""
        try:
            async with asyncio.timeout(min(10.0, self.timeout)):
                names = await self._ollama.models()
        except (LanguageModelError, TimeoutError):
            return None
        return frozenset(names) | {name.removesuffix(":latest") for name in names}
