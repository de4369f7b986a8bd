"""Alphas from a seeded grammar that learns from what was simulated before."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from alphafoundry.errors import ConfigurationError, ExpressionError
from alphafoundry.expressions import Expression, FieldInfo, check, parse
from alphafoundry.expressions.tree import Call, Node
from alphafoundry.research.experience import Experience
from alphafoundry.research.productions import Sentence, Vocabulary
from alphafoundry.research.proposals import KNOWN_ALREADY, Outcome, Proposal, Proposals, Refusal
from alphafoundry.research.tree_edits import is_pointless, replaced, write
from alphafoundry.research.variations import SearchSpace, variations
from alphafoundry.seeds import generator_for
from alphafoundry.simulation.settings import SimulationSettings

MOST_OPERATORS = 12
CANDIDATES = 12
"""How many fresh ideas compete for one draw."""

_ATTEMPTS = 200
_DRAWS_PER_PROPOSAL = 40
_ORIGIN = "grammar"


class GrammarGenerator:
    """Draws typed random alphas; what worked before is drawn more often.

    Draw number i depends only on the seed, the number, the vocabulary and the history, not on
    other draws. With probability `exploration` it is a fresh idea straight from the grammar.
    Otherwise it is, with probability `evolution`, a mutation or a crossing of one of the
    `parents_kept` most telling alphas of the history (an alpha that loses steadily is turned
    first), and else one of `CANDIDATES` fresh ideas, drawn with probability proportional to its
    weight by `Experience`.

    Parameters
    ----------
    fields : what the market offers
    operators : names that the account may use, or the registry itself
    settings : what the proposals are to be simulated with
    seed : not negative
    history : past simulations; their expressions are not proposed again
    exploration, evolution : probabilities

    Raises ConfigurationError when the fields and operators allow no alpha at all.
    """

    def __init__(
        self,
        fields: Mapping[str, FieldInfo],
        operators: Iterable[str],
        *,
        seed: int,
        settings: SimulationSettings | None = None,
        history: Sequence[Outcome] = (),
        exploration: float = 0.25,
        evolution: float = 0.4,
        parents_kept: int = 20,
    ) -> None:
        self.fields = fields
        self.seed = seed
        self.settings = settings or SimulationSettings()
        self.exploration = exploration
        self.evolution = evolution
        self._vocabulary = Vocabulary.of(fields, operators)
        self._space = SearchSpace.of(fields, self._vocabulary.operators)
        self._experience = Experience(history)
        valid = (
            parent
            for fitness, expression in self._experience.good[: 4 * parents_kept]
            if (parent := self._parent(fitness, expression)) is not None
        )
        self._parents = list(itertools.islice(valid, parents_kept))
        self._proposed = set(self._experience.known)
        self._next_index = 0

    def __repr__(self) -> str:
        return (
            f"GrammarGenerator({len(self.fields)} fields, "
            f"{len(self._vocabulary.operators)} operators, seed={self.seed}, {self._experience!r})"
        )

    @property
    def known(self) -> set[str]:
        """Canonical forms that are not proposed again: the history, and what was proposed."""
        return self._proposed

    def draw(self, index: int) -> Expression:
        """Return draw number `index`: it parses, passes `check` without warning, and has at most
        `MOST_OPERATORS` operators.
        """
        rng = generator_for(self.seed, "generate", index)
        return self._drawn(rng)[0]

    async def propose(self, count: int) -> Proposals:
        """Return `count` new proposals from the next draws; fewer where the grammar is exhausted.

        Draws that repeat an earlier proposal or the history are passed over.
        """
        kept: list[Proposal] = []
        refused: list[Refusal] = []
        for _ in range(count * _DRAWS_PER_PROPOSAL):
            if len(kept) == count:
                break
            rng = generator_for(self.seed, "generate", self._next_index)
            self._next_index += 1
            expression, parent, variation = self._drawn(rng)
            if expression.canonical in self._proposed:
                refused.append(Refusal(expression.text, KNOWN_ALREADY))
                continue
            self._proposed.add(expression.canonical)
            kept.append(
                Proposal(
                    expression.text,
                    expression.canonical,
                    self.settings,
                    _ORIGIN,
                    parent.canonical if parent else None,
                    variation,
                )
            )
        return Proposals(kept, refused)

    def _drawn(self, rng: np.random.Generator) -> tuple[Expression, Expression | None, str | None]:
        """Return an expression with the one it comes from and how, None for a fresh idea."""
        if rng.random() < self.exploration:
            return self._fresh(rng), None, None
        if self._parents and rng.random() < self.evolution:
            parent = self._parents[min(int(rng.geometric(0.15)), len(self._parents)) - 1]
            way = self._crossed if rng.random() < 0.4 and len(self._parents) > 1 else self._mutated
            for _ in range(_ATTEMPTS // 10):
                child, variation = way(parent, rng)
                if child is not None:
                    return child, parent, variation
        candidates = [self._fresh(rng) for _ in range(CANDIDATES if self._parents else 1)]
        weights = np.array([self._experience.weight(candidate) for candidate in candidates])
        chosen = int(rng.choice(len(candidates), p=weights / weights.sum()))
        return candidates[chosen], None, None

    def _fresh(self, rng: np.random.Generator) -> Expression:
        sentence = Sentence(self._vocabulary, rng)
        for _ in range(_ATTEMPTS):
            try:
                expression = self._valid(sentence.alpha())
            except LookupError:
                continue
            if expression is not None:
                return expression
        raise ConfigurationError(
            f"no alpha can be made of the fields {', '.join(sorted(self.fields)) or '(none)'} and "
            f"{len(self._vocabulary.operators)} operators; offer at least close or returns and "
            "some time-series operators"
        )

    def _valid(self, text: str) -> Expression | None:
        try:
            expression = parse(text)
            warnings = check(expression, self.fields, operators=self._space.operators, levels=True)
        except ExpressionError:
            return None
        if warnings or not expression.fields or expression.operator_count > MOST_OPERATORS:
            return None
        return None if is_pointless(expression.root) else expression

    def _parent(self, fitness: float, expression: Expression) -> Expression | None:
        """Return a parent with a positive fitness that is valid on this market."""
        if not expression.operators <= self._vocabulary.operators or fitness == 0:
            return None
        if fitness > 0:
            return self._valid(expression.text)
        return self._valid(write(Call("reverse", (expression.root,))))

    def _mutated(
        self, parent: Expression, rng: np.random.Generator
    ) -> tuple[Expression | None, str | None]:
        found = variations(parent, self.settings, self._space)
        kinds = sorted(found)
        several = found[kinds[int(rng.integers(len(kinds)))]]
        variation = several[int(rng.integers(len(several)))]
        root = replaced(parent.root, variation.path, variation.node)
        return self._valid(write(root)), str(variation)

    def _crossed(
        self, parent: Expression, rng: np.random.Generator
    ) -> tuple[Expression | None, str | None]:
        other = self._parents[int(rng.integers(len(self._parents)))]
        if other.canonical == parent.canonical:
            return None, None
        scale = "zscore" if rng.random() < 0.5 else "rank"
        join = "multiply" if rng.random() < 0.25 else "add"
        if not {scale, join} <= self._vocabulary.operators:
            return None, None
        scaled = _scaler(scale)
        root = Call(join, (scaled(parent.root), scaled(other.root)))
        return self._valid(write(root)), f"crossing: {join} with {other.canonical}"


def _scaler(name: str) -> Callable[[Node], Node]:
    """Return what puts a signal on the common scale, unless it is on it already."""

    def scaled(node: Node) -> Node:
        if isinstance(node, Call) and node.operator == name:
            return node
        return Call(name, (node,))

    return scaled
