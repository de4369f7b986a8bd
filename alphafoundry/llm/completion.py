"""What a provider of language models takes and gives, whichever it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Sampling:
    """How an answer is drawn.

    Attributes
    ----------
    temperature : 0 is the most likely text, at most 2
    top_p : share of the probability mass that is sampled from, (0, 1]
    max_tokens : most tokens in the answer
    """

    temperature: float = 0.7
    top_p: float = 0.95
    max_tokens: int = 16_000


@dataclass(frozen=True)
class Completion:
    """An answer and what it cost.

    Attributes
    ----------
    text : the answer; never empty
    prompt_tokens, completion_tokens : as the service counted them, None where it does not say
    cost : US dollars, None where the service does not say
    cut_off : whether it ended because `Sampling.max_tokens` was reached
    """

    text: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: float | None = None
    cut_off: bool = False


class Provider(Protocol):
    """A service that completes prompts.

    Attributes
    ----------
    name : "openrouter", "openai", "ollama" or "templates"
    endpoint : its address without any credentials, for reports
    label : one line for reports that says what answers
    """

    @property
    def name(self) -> str: ...

    @property
    def endpoint(self) -> str: ...

    @property
    def label(self) -> str: ...

    async def complete(self, model: str, prompt: str, sampling: Sampling) -> Completion:
        """Ask once; ModelRequestError says what went wrong and whether to try again."""
        ...

    async def available(self) -> frozenset[str] | None:
        """Return the models that the service lists, None where it does not list them."""
        ...

    async def suited(self) -> tuple[str, ...]:
        """Return the listed models that can write a program, the best suited first."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


def whole_number(value: object) -> int | None:
    """Return a count from an answer, None where it is no whole number of at least 0."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53:
        return value
    return None


def amount(value: object) -> float | None:
    """Return an amount of money from an answer, None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and value >= 0 else None
