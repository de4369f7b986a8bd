"""Where a search begins: known formulas, templates, and the grammar, each with its share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from alphafoundry.expressions import Expression, FieldInfo
from alphafoundry.research.grammar import GrammarGenerator
from alphafoundry.research.known_formulas import usable_formulas
from alphafoundry.research.proposals import Outcome, Proposal, Proposals
from alphafoundry.research.templates import drawn_templates
from alphafoundry.seeds import generator_for
from alphafoundry.simulation.settings import SimulationSettings


class IdeaGenerator:
    """Draws from three sources; what a source no longer has, the grammar gives.

    Which source an idea comes from depends only on the seed and its number. Known formulas and
    templates come in an order of the seed, each once; of templates that differ in nothing but days
    and group, one each round.

    Parameters
    ----------
    fields, operators, seed, settings, history : as of the `GrammarGenerator`
    formulas, templates : shares of the ideas, together at most 1; the grammar has the rest

    Raises ConfigurationError when the fields and operators allow no alpha at all.
    """

    def __init__(
        self,
        fields: Mapping[str, FieldInfo],
        operators: Iterable[str],
        *,
        seed: int,
        settings: SimulationSettings,
        history: Sequence[Outcome] = (),
        formulas: float = 0.15,
        templates: float = 0.1,
    ) -> None:
        names = frozenset(operators)
        self._grammar = GrammarGenerator(
            fields, names, seed=seed, settings=settings, history=history
        )
        self._seed = seed
        self._settings = settings
        self._shares = (formulas, templates)
        known = list(usable_formulas(fields, names).values()) if formulas else []
        order = generator_for(seed, "formulas").permutation(len(known)).tolist()
        self._formulas = iter([known[number] for number in order])
        self._templates = drawn_templates(fields, names, seed=seed)
        self._proposed = self._grammar.known
        self._number = 0

    def __repr__(self) -> str:
        return f"IdeaGenerator(seed={self._seed}, {self._grammar!r})"

    async def propose(self, count: int) -> Proposals:
        """Return `count` new proposals; fewer where nothing new is left."""
        kept: list[Proposal] = []
        left = 0
        for _ in range(count):
            idea = self._next_idea()
            self._number += 1
            if idea is None:
                left += 1
            else:
                kept.append(idea)
        rest = await self._grammar.propose(left)
        return Proposals([*kept, *rest.kept], rest.refused)

    def _next_idea(self) -> Proposal | None:
        """Return the next formula or template, None where it is the grammar's turn."""
        formulas, templates = self._shares
        drawn = generator_for(self._seed, "ideas", self._number).random()
        if drawn < formulas:
            return self._first_new(self._formulas, "formula")
        if drawn < formulas + templates:
            return self._first_new(self._templates, "template")
        return None

    def _first_new(self, source: Iterator[Expression], origin: str) -> Proposal | None:
        for expression in source:
            if expression.canonical not in self._proposed:
                self._proposed.add(expression.canonical)
                return Proposal(expression.text, expression.canonical, self._settings, origin)
        return None
