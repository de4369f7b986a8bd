"""Language models: one client per service, one fleet that keeps within the memory."""

from alphafoundry.llm.fleet import DEFAULT_MODELS, FleetStatus, ModelFleet
from alphafoundry.llm.ollama import DEFAULT_URL, OllamaClient
from alphafoundry.llm.text_model import TextModel

__all__ = [
    "DEFAULT_MODELS",
    "DEFAULT_URL",
    "FleetStatus",
    "ModelFleet",
    "OllamaClient",
    "TextModel",
]
