"""A language model that rephrases facts, as the settings name it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass

from alphafoundry.algorithms.providers import key_from_environment, make_provider
from alphafoundry.errors import ConfigurationError
from alphafoundry.llm import ApiKey, ModelEndpoint, Sampling
from alphafoundry.settings import FoundrySettings

Rephrase = Callable[[str], str]
"""From a prompt to an answer; raises LanguageModelError where there is none."""


@dataclass(frozen=True)
class Rephraser:
    """A model that rephrases.

    Attributes
    ----------
    model : its name
    ask : raises LanguageModelError where there is no answer
    """

    model: str
    ask: Rephrase


def rephraser(settings: FoundrySettings, key: ApiKey | None = None) -> Rephraser | None:
    """Return the model of `explanation` in the settings; None where its provider is "none".

    Parameters
    ----------
    key : of the provider; None takes that of the environment

    Raises ConfigurationError where the model's name or the key is missing.
    """
    chosen = settings.explanation
    if chosen.provider == "none":
        return None
    if chosen.model is None:
        raise ConfigurationError(
            f"explanation.model: {chosen.provider} needs the name of a model; give one, or set "
            "explanation.provider: none"
        )
    model = chosen.model
    found = key or key_from_environment(chosen.provider, os.environ)
    asked = settings.model_copy(
        update={
            "algorithms": settings.algorithms.model_copy(
                update={"base_url": chosen.base_url, "request_timeout": chosen.timeout}
            )
        }
    )
    # What is wrong with it is told before anything slow starts; nothing is asked yet.
    asyncio.run(make_provider(asked, chosen.provider, found).aclose())

    def ask(prompt: str) -> str:
        async def answer() -> str:
            endpoint = ModelEndpoint(
                make_provider(asked, chosen.provider, found),
                sampling=Sampling(0.2, 0.9, chosen.max_tokens),
            )
            try:
                return (await endpoint.ask(model, prompt, max_retries=0)).text
            finally:
                await endpoint.aclose()

        return asyncio.run(answer())

    return Rephraser(model, ask)
