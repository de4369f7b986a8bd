"""The embedded provider: no language model, but a working strategy for any name."""

from __future__ import annotations

from alphafoundry.algorithms.prompt_directives import Directives, directives_for
from alphafoundry.algorithms.template_strategies import compose
from alphafoundry.llm import Completion, Sampling

DEFAULT_NAMES = tuple(f"template-{number}" for number in range(1, 7))
LABEL = "TEMPLATE: composed from built-in pieces, no language model was asked"
_MOST_OCCURRENCES = 100


class TemplateProvider:
    """Answers each prompt with a strategy composed as the prompt's directives ask.

    It needs no account and no network, and is labelled wherever its work shows. Any model name
    is good: the name and the seed decide what comes.

    Parameters
    ----------
    seed : that of the prompts
    """

    name = "templates"
    endpoint = "embedded templates"
    label = LABEL

    def __init__(self, *, seed: int = 0) -> None:
        self.seed = seed

    def __repr__(self) -> str:
        return f"TemplateProvider(seed={self.seed})"

    async def complete(self, model: str, prompt: str, sampling: Sampling) -> Completion:
        """Return the program as a language model would write it; never fails."""
        program = compose(self._directives(model, prompt))
        return Completion(f"```python\n{program}```\n")

    async def available(self) -> frozenset[str] | None:
        """Return None: every name is there."""
        return None

    async def suited(self) -> tuple[str, ...]:
        """Return the names that are taken where none are given."""
        return DEFAULT_NAMES

    async def aclose(self) -> None:
        """Close nothing."""

    def _directives(self, model: str, prompt: str) -> Directives:
        """Return the directives that the prompt shows, found by their prefix."""
        first = directives_for(model, seed=self.seed)
        for occurrence in range(_MOST_OCCURRENCES):
            # The prompt shows what it was told of the data, too.
            for has_volume in (True, False):
                one = directives_for(
                    model, occurrence=occurrence, seed=self.seed, has_volume=has_volume
                )
                if all(line in prompt for line in one.lines()):
                    return one
        return first
