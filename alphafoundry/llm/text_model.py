"""What a language model is to the rest of the library: a prompt in, a text out."""

from __future__ import annotations

from typing import Protocol


class TextModel(Protocol):
    """Anything that completes a prompt."""

    async def generate(
        self,
        prompt: str,
        *,
        temperature: float = 0.3,
        top_p: float = 0.9,
        num_predict: int = 4000,
        think: bool | None = None,
    ) -> str:
        """Return the answer to `prompt`; never an empty text.

        Parameters
        ----------
        temperature : 0 is the most likely text, 1 the model's own spread, at most 2
        top_p : share of the probability mass that is sampled from, (0, 1]
        num_predict : most tokens in the answer, hidden reasoning included
        think : whether a model that can reason is to do so; None leaves it to the model

        Raises LanguageModelError; its `transient` says whether to try again.
        """
        ...
