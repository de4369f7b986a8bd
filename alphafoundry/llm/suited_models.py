"""Which of the models that a service lists can write a program, judged by what it says of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

_OTHER_WORK: Final = re.compile(
    r"embed|rerank|whisper|tts|speech|audio|transcri|dall-e|image|diffusion|video|moderation|guard"
    r"|safety|ocr|reward|bge-|minilm|nomic-bert|(?<![a-z])(?:clip|bert|e5|gte|sora|veo)(?![a-z])",
    re.IGNORECASE,
)
_WRITES_PROGRAMS: Final = re.compile(r"cod(?:e|er|ing)|codestral|devstral|starcoder", re.IGNORECASE)
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)b(?![a-z])", re.IGNORECASE)
_LEAST_CONTEXT: Final = 8_192


def best_suited(listed: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the names of models that can write a program, the best suited first.

    Left out are models for embeddings, pictures, speech and moderation, those whose answer is no
    text, and those whose context is too short for the prompt. First come models made for programs,
    then those with more parameters, as far as their names tell, then by name.

    Parameters
    ----------
    listed : entries of OpenRouter's or OpenAI's /models, or of Ollama's /api/tags
    """
    names = {str(one.get("id") or one.get("name")): one for one in listed if _can_write(one)}
    return tuple(
        sorted(names, key=lambda name: (not _WRITES_PROGRAMS.search(name), -_size(name), name))
    )


def _can_write(one: Mapping[str, Any]) -> bool:
    name = one.get("id") or one.get("name")
    if not isinstance(name, str) or _OTHER_WORK.search(name):
        return False
    details = one.get("details")
    if isinstance(details, dict) and "bert" in str(details.get("family")):
        return False
    architecture = one.get("architecture")
    if isinstance(architecture, dict):
        answers = architecture.get("output_modalities")
        if isinstance(answers, list) and "text" not in answers:
            return False
    context = one.get("context_length")
    return not isinstance(context, int | float) or context >= _LEAST_CONTEXT


def _size(name: str) -> float:
    found = _SIZE.search(name)
    return float(found.group(1)) if found else 0.0
