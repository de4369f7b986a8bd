"""Language models: providers, and one policy for retries, concurrency and failing endpoints.

endpoint = ModelEndpoint(OpenAICompatible("http://localhost:8000/v1"))
answer = await endpoint.ask("llama-3.2-3b", "Say hello.")
measure_models(endpoint.records)
"""

from alphafoundry.llm.answer_cache import AnswerCache
from alphafoundry.llm.circuit import CircuitBreaker
from alphafoundry.llm.completion import Completion, Provider, Sampling
from alphafoundry.llm.concurrency import AdaptiveConcurrency
from alphafoundry.llm.endpoint import Backoff, ModelEndpoint
from alphafoundry.llm.fleet import DEFAULT_MODELS, FleetStatus, ModelFleet
from alphafoundry.llm.measurements import ModelMetrics, RequestRecord, measure_models
from alphafoundry.llm.ollama import DEFAULT_URL, OllamaClient
from alphafoundry.llm.ollama_provider import OllamaProvider
from alphafoundry.llm.openai_compatible import OPENROUTER_URL, OpenAICompatible, new_http_client
from alphafoundry.llm.secret import ApiKey
from alphafoundry.llm.text_model import TextModel

__all__ = [
    "DEFAULT_MODELS",
    "DEFAULT_URL",
    "OPENROUTER_URL",
    "AdaptiveConcurrency",
    "AnswerCache",
    "ApiKey",
    "Backoff",
    "CircuitBreaker",
    "Completion",
    "FleetStatus",
    "ModelEndpoint",
    "ModelFleet",
    "ModelMetrics",
    "OllamaClient",
    "OllamaProvider",
    "OpenAICompatible",
    "Provider",
    "RequestRecord",
    "Sampling",
    "TextModel",
    "measure_models",
    "new_http_client",
]
