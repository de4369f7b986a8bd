"""Which provider the settings mean, and the key that it needs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx

from alphafoundry.algorithms.template_provider import TemplateProvider
from alphafoundry.errors import ConfigurationError
from alphafoundry.llm import (
    OPENROUTER_URL,
    AdaptiveConcurrency,
    AnswerCache,
    ApiKey,
    ModelEndpoint,
    OllamaProvider,
    OpenAICompatible,
    Provider,
    RequestRecord,
    Sampling,
)
from alphafoundry.settings import AlgorithmsSettings, FoundrySettings

KEY_VARIABLES: Mapping[str, str] = {
    "openrouter": "OPENROUTER_API_KEY",
    "openai": "OPENAI_API_KEY",
}
"""Provider to the environment variable that holds its key."""

OPENAI_URL = "https://api.openai.com/v1"
DEFAULT_COUNT = 6

log = logging.getLogger(__name__)


def key_from_environment(provider: str, environment: Mapping[str, str]) -> ApiKey | None:
    """Return the key of a provider; ConfigurationError, without the value, where it is none."""
    variable = KEY_VARIABLES.get(provider)
    value = environment.get(variable, "") if variable is not None else ""
    return ApiKey(value, source=variable or provider) if value.strip() else None


def resolve_provider(settings: AlgorithmsSettings, *, has_openrouter_key: bool) -> str:
    """Return the provider that `settings` mean: what "auto" stands for, or what is named."""
    if settings.provider != "auto":
        return settings.provider
    if settings.base_url is not None:
        return "openai"
    return "openrouter" if has_openrouter_key else "templates"


def make_provider(
    settings: FoundrySettings,
    name: str,
    key: ApiKey | None,
    *,
    client: httpx.AsyncClient | None = None,
) -> Provider:
    """Return the provider of this name, as `resolve_provider` gives it.

    Raises
    ------
    ConfigurationError : a key is needed and there is none, or the base URL is wrong
    """
    chosen = settings.algorithms
    if name == "templates":
        return TemplateProvider(seed=settings.seed)
    if name == "ollama":
        return OllamaProvider(
            chosen.base_url or settings.ollama.url,
            timeout=chosen.request_timeout,
            think=settings.ollama.think,
        )
    own = {"openrouter": OPENROUTER_URL, "openai": OPENAI_URL}[name]
    base_url = chosen.base_url or own
    if key is None and base_url == own:
        raise ConfigurationError(
            f"{name} needs an API key: set {KEY_VARIABLES[name]}, or save it as a Prefect Secret "
            f"block named {secret_block(name)!r}, or leave `--provider` out to use the embedded "
            "templates"
        )
    return OpenAICompatible(
        base_url,
        api_key=key,
        name=name,
        client=client,
        timeout=chosen.request_timeout,
        connect_timeout=chosen.connect_timeout,
    )


def secret_block(provider: str) -> str:
    """Return the name of the Prefect Secret block that may hold the key of a provider."""
    return f"{provider}-api-key"


def make_endpoint(
    settings: FoundrySettings,
    provider: Provider,
    *,
    most_requests: int,
    record: Callable[[RequestRecord], None] | None = None,
) -> ModelEndpoint:
    """Return the endpoint with the sampling, cap and cache of the settings."""
    chosen = settings.algorithms
    cached = chosen.cache and provider.name != "templates"
    return ModelEndpoint(
        provider,
        sampling=Sampling(chosen.temperature, chosen.top_p, chosen.max_tokens),
        concurrency=AdaptiveConcurrency(most_requests),
        record=record,
        cache=AnswerCache(answer_cache_folder(settings.home)) if cached else None,
    )


def answer_cache_folder(home: Path) -> Path:
    """Return where `cache: true` keeps answers."""
    return home / "cache" / "answers"


async def choose_models(settings: AlgorithmsSettings, provider: Provider) -> tuple[str, ...]:
    """Return the models of the settings, or the six best suited that the provider lists.

    Of OpenRouter's those that cost nothing; see `best_suited`.

    Raises
    ------
    ConfigurationError : none are named and the provider lists none
    """
    if settings.models:
        return settings.models
    suited = await provider.suited()
    if not suited:
        raise ConfigurationError(
            f"{provider.endpoint} does not answer or lists no usable models; is it "
            "the right address? If so, name some with `--models a,b,c`"
        )
    return suited[:DEFAULT_COUNT]
