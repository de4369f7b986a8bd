"""A seeded evolutionary search around one alpha, led by what kinds of change have paid."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from alphafoundry.errors import ExpressionError
from alphafoundry.expressions import Expression, FieldInfo, check, parse
from alphafoundry.research.proposals import Proposal
from alphafoundry.research.rewriting import is_pointless, replaced, write
from alphafoundry.research.seeds import generator_for
from alphafoundry.research.variations import SearchSpace, Variation, variations
from alphafoundry.simulation.settings import SimulationSettings

MOST_PARENTS = 5
MOST_OPERATORS = 24
_ATTEMPTS_PER_PROPOSAL = 200

AlphaKey = tuple[str, SimulationSettings]


@dataclass(frozen=True)
class Scored:
    """What a proposal of the miner turned out to be worth.

    Attributes
    ----------
    proposal : as `ask` gave it
    score : see `mining_score`; None or NaN where the simulation failed
    """

    proposal: Proposal
    score: float | None


@dataclass(frozen=True)
class _Parent:
    expression: Expression
    settings: SimulationSettings
    score: float


@dataclass(frozen=True)
class _Asked:
    proposal: Proposal
    expression: Expression
    kind: str
    parent_score: float


class Miner:
    """Searches for better variations of one alpha within a budget of simulations.

    Each proposal changes one thing of a parent. Parents are the alpha itself and the best
    variations that beat it so far, the best one most often. The kind of change is drawn by
    Thompson sampling: the gain of a kind, max(score - score of its parent, 0), has a normal
    posterior with the mean sum(gains) / (n + 1) and the deviation spread / sqrt(n + 1), where
    `spread` is the root mean square of all gains so far. Each proposal draws from its own
    generator, keyed by the seed and its number, and all results are read in the order of the
    proposals: the same seed and the same results give the same search, in whatever order the
    results of a round arrive.

    Parameters
    ----------
    expression, settings, score : the alpha to improve
    fields, operators : what variations may use
    budget : most proposals in the whole search
    seed : not negative
    known : alphas that were simulated before and are not proposed again
    """

    def __init__(
        self,
        expression: str,
        settings: SimulationSettings,
        score: float,
        *,
        fields: Mapping[str, FieldInfo],
        operators: Iterable[str],
        budget: int,
        seed: int,
        known: Iterable[AlphaKey] = (),
    ) -> None:
        parent = parse(expression)
        self.budget = budget
        self.seed = seed
        self._space = SearchSpace.of(fields, operators)
        self._origin = _Parent(parent, settings, score)
        self._warnings = frozenset(check(parent, fields))
        self._asked: list[_Asked] = []
        self._scores: dict[AlphaKey, float | None] = {}
        self._seen: set[AlphaKey] = {_key(parent.canonical, settings), *known}
        self._variations: dict[AlphaKey, dict[str, list[Variation]]] = {}

    def __repr__(self) -> str:
        return (
            f"Miner({self._origin.expression.text!r}, best {self.best_score:.3g}, "
            f"{self.remaining} of {self.budget} proposals left)"
        )

    @property
    def remaining(self) -> int:
        """How many proposals the budget still allows."""
        return self.budget - len(self._asked)

    @property
    def best_score(self) -> float:
        """The best score so far, that of the original alpha included."""
        return self._parents()[0].score

    @property
    def best(self) -> Proposal | None:
        """The best variation so far that beats the original alpha; None without one."""
        top = self._parents()[0]
        return next(
            (
                asked.proposal
                for asked in self._asked
                if (asked.expression.canonical, asked.proposal.settings)
                == (top.expression.canonical, top.settings)
            ),
            None,
        )

    def ask(self, count: int) -> list[Proposal]:
        """Return up to `count` new variations, those of the most promising kinds first.

        Fewer come when the budget ends or nothing new is left. None repeats the alpha itself,
        another proposal or a known alpha; each passes `check` with no warning that the alpha
        does not have itself.
        """
        parents = self._parents()
        gains = self._gains()
        spread = _spread(gains)
        chosen: list[tuple[float, int, _Asked]] = []
        for _ in range(min(count, self.remaining)):
            number = len(self._asked)
            drawn = self._draw(generator_for(self.seed, "mine", number), parents, gains, spread)
            if drawn is None:
                break
            promise, asked = drawn
            self._asked.append(asked)
            chosen.append((-promise, number, asked))
        chosen.sort(key=lambda item: item[:2])
        return [asked.proposal for _, _, asked in chosen]

    def tell(self, results: Iterable[Scored]) -> None:
        """Learn from simulated proposals, in any order; ValueError for one not asked for."""
        asked = {_key_of(item.proposal) for item in self._asked}
        for result in results:
            key = _key_of(result.proposal)
            if key not in asked:
                raise ValueError(f"{result.proposal.expression}: the miner did not propose this")
            score = result.score
            self._scores[key] = None if score is None or math.isnan(score) else score

    def _parents(self) -> list[_Parent]:
        """Return the best alphas so far, best first; ties keep the order of the proposals."""
        found = [self._origin]
        for asked in self._asked:
            score = self._scores.get(_key_of(asked.proposal))
            if score is not None and score > self._origin.score:
                found.append(_Parent(asked.expression, asked.proposal.settings, score))
        found.sort(key=lambda parent: -parent.score)
        return found[:MOST_PARENTS]

    def _gains(self) -> dict[str, list[float]]:
        """Return the gains over the parent by kind of variation; a failure gains nothing."""
        gains: dict[str, list[float]] = {}
        for asked in self._asked:
            key = _key_of(asked.proposal)
            if key in self._scores:
                score = self._scores[key]
                gain = 0.0 if score is None else max(score - asked.parent_score, 0.0)
                gains.setdefault(asked.kind, []).append(gain)
        return gains

    def _draw(
        self,
        rng: np.random.Generator,
        parents: Sequence[_Parent],
        gains: Mapping[str, list[float]],
        spread: float,
    ) -> tuple[float, _Asked] | None:
        """Return a new proposal with its sampled gain, None where nothing new was found."""
        shares = 0.5 ** np.arange(len(parents))
        for _ in range(_ATTEMPTS_PER_PROPOSAL):
            parent = parents[int(rng.choice(len(parents), p=shares / shares.sum()))]
            choices = self._variations_of(parent)
            if not choices:
                if not any(self._variations_of(one) for one in parents):
                    return None
                continue
            promises = {
                kind: _sampled_gain(gains.get(kind, []), spread, rng) for kind in sorted(choices)
            }
            kind = max(promises, key=lambda name: promises[name])
            variation = choices[kind].pop(int(rng.integers(len(choices[kind]))))
            if not choices[kind]:
                del choices[kind]
            asked = self._accepted(parent, variation)
            if asked is not None:
                return promises[kind], asked
        return None

    def _variations_of(self, parent: _Parent) -> dict[str, list[Variation]]:
        """Return the variations of a parent that were not drawn yet, by kind."""
        key = (parent.expression.canonical, parent.settings)
        if key not in self._variations:
            self._variations[key] = variations(parent.expression, parent.settings, self._space)
        return self._variations[key]

    def _accepted(self, parent: _Parent, variation: Variation) -> _Asked | None:
        """Return the variation as a proposal, None where it is not new or not valid."""
        expression = parent.expression
        if variation.node is not None:
            root = replaced(expression.root, variation.path, variation.node)
            try:
                expression = parse(write(root))
                warnings = check(expression, self._space.fields, operators=self._space.operators)
            except ExpressionError:
                return None
            if not self._warnings.issuperset(warnings) or is_pointless(expression.root):
                return None
            if expression.operator_count > max(MOST_OPERATORS, parent.expression.operator_count):
                return None
        key = _key(expression.canonical, variation.settings)
        if key in self._seen:
            return None
        self._seen.add(key)
        proposal = Proposal(
            expression.text,
            expression.canonical,
            variation.settings,
            "miner",
            parent.expression.canonical,
            str(variation),
        )
        return _Asked(proposal, expression, variation.kind, parent.score)


def _key(canonical: str, settings: SimulationSettings) -> AlphaKey:
    """Return what makes an alpha the same; a decay of 1 changes as little as 0."""
    if settings.decay == 1:
        settings = settings.model_copy(update={"decay": 0})
    return canonical, settings


def _key_of(proposal: Proposal) -> AlphaKey:
    return _key(proposal.canonical, proposal.settings)


def _spread(gains: Mapping[str, list[float]]) -> float:
    squares = [gain * gain for several in gains.values() for gain in several]
    return math.sqrt(sum(squares) / len(squares)) if any(squares) else 1.0


def _sampled_gain(gains: Sequence[float], spread: float, rng: np.random.Generator) -> float:
    """Draw from the posterior of one kind's gain."""
    weight = len(gains) + 1
    return float(rng.normal(sum(gains) / weight, spread / math.sqrt(weight)))
