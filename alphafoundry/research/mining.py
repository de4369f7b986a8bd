"""A seeded evolutionary search around one alpha, led by what the alpha lacks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from alphafoundry.errors import ExpressionError
from alphafoundry.expressions import Expression, FieldInfo, check, parse
from alphafoundry.research.diagnosis import HIGH_TURNOVER, Diagnosis, weights
from alphafoundry.research.proposals import Proposal
from alphafoundry.research.selection import PnlSeries
from alphafoundry.research.tree_edits import is_pointless, replaced, write
from alphafoundry.research.variations import SearchSpace, Variation, combined, variations
from alphafoundry.seeds import generator_for
from alphafoundry.simulation.correlation import pnl_correlation
from alphafoundry.simulation.settings import SimulationSettings

MOST_PARENTS = 5
MOST_OPERATORS = 24
PARENT_SHARE = 0.5
"""How often the next best parent is drawn, compared with the one before it."""

LEAST_GAIN = 0.02
"""Gain in score from which a change has paid."""

UNCHANGED = 0.995
"""Correlation of daily PnL from which a change has changed nothing."""

WEAKLY_CORRELATED = 0.6
"""Correlation of daily PnL below which a combination is worth trying."""

REACHES_FAR = frozenset({"jump", "decay", "combine", "operator", "field"})
"""Kinds whose variations differ so much that one without effect says little of the others."""

_ATTEMPTS_PER_PROPOSAL = 200

AlphaKey = tuple[str, SimulationSettings]


@dataclass(frozen=True)
class Scored:
    """What a proposal of the miner turned out to be worth.

    Attributes
    ----------
    proposal : as `ask` gave it
    diagnosis : what the simulation said
    series : its daily PnL, None where it is not known
    """

    proposal: Proposal
    diagnosis: Diagnosis
    series: PnlSeries | None = None


@dataclass(frozen=True)
class Partner:
    """An alpha that others may be combined with.

    Attributes
    ----------
    expression : FASTEXPR text
    diagnosis, series : as in `Scored`
    """

    expression: str
    diagnosis: Diagnosis
    series: PnlSeries | None = None


@dataclass(frozen=True, eq=False)
class _Parent:
    expression: Expression
    settings: SimulationSettings
    diagnosis: Diagnosis
    series: PnlSeries | None

    @property
    def score(self) -> float:
        score = self.diagnosis.score
        return -math.inf if score is None or math.isnan(score) else score


@dataclass(eq=False)
class _Asked:
    proposal: Proposal
    expression: Expression
    kind: str
    parent: _Parent
    child: _Parent | None = None

    @property
    def paid(self) -> bool:
        """Whether the alpha is known to be better than its parent."""
        return self.child is not None and self.child.score > self.parent.score + LEAST_GAIN

    @property
    def changed_nothing(self) -> bool:
        """Whether the alpha is known to move exactly like its parent."""
        return (
            self.child is not None and likeness(self.child.series, self.parent.series) > UNCHANGED
        )


class Miner:
    """Searches for better variations of one alpha within a budget of simulations.

    Each proposal changes one thing of a parent. Parents are the alpha itself and the best
    variations that beat it so far, the best one most often. The kind of change is drawn with the
    `weights` of what the parent lacks, times (1 + paid) / (1 + tried) of this search so far. A
    kind that left the daily PnL of a parent as it was is not tried on that parent again.
    Combinations are made with partners whose daily PnL is weakly correlated.

    Each proposal draws from its own generator, keyed by the seed and its number, and all results
    are read in the order of the proposals: the same seed, partners and results give the same
    search, in whatever order the results of a round arrive.

    Parameters
    ----------
    expression, settings, diagnosis, series : the alpha to improve, and what is known of it
    fields, operators : what variations may use
    budget : most proposals in the whole search
    seed : not negative
    known : alphas that were simulated before and are not proposed again
    """

    def __init__(
        self,
        expression: str,
        settings: SimulationSettings,
        diagnosis: Diagnosis,
        *,
        fields: Mapping[str, FieldInfo],
        operators: Iterable[str],
        budget: int,
        seed: int,
        series: PnlSeries | None = None,
        known: Iterable[AlphaKey] = (),
    ) -> None:
        parent = parse(expression)
        self.budget = budget
        self.seed = seed
        self._space = SearchSpace.of(fields, operators)
        self._origin = _Parent(parent, settings, diagnosis, series)
        self._warnings = frozenset(check(parent, fields, levels=True))
        self._asked: list[_Asked] = []
        self._seen: set[AlphaKey] = {_key(parent.canonical, settings), *known}
        self._variations: dict[AlphaKey, dict[str, list[Variation]]] = {}
        self._combined: set[tuple[str, str]] = set()
        self._sound: dict[str, bool] = {}

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

    @property
    def leader(self) -> Partner:
        """The best alpha so far, as a partner for others."""
        top = self._parents()[0]
        return Partner(top.expression.text, top.diagnosis, top.series)

    def ask(self, count: int, partners: Sequence[Partner] = ()) -> list[Proposal]:
        """Return up to `count` new variations.

        Fewer come when the budget ends or nothing new is left, and one for an alpha that loses,
        which must be turned first. None repeats the alpha itself, another proposal or a known
        alpha; each passes `check` with no warning that the alpha does not have itself.

        Parameters
        ----------
        partners : what the alpha may be combined with
        """
        parents = self._parents()
        partners = [one for one in partners if self._is_sound(one.expression)]
        new: list[_Asked] = []
        for _ in range(min(count, self.remaining)):
            rng = generator_for(self.seed, "mine", len(self._asked))
            asked = self._draw(rng, parents, partners)
            if asked is None:
                break
            self._asked.append(asked)
            new.append(asked)
        return [asked.proposal for asked in new]

    def tell(self, results: Iterable[Scored]) -> None:
        """Learn from simulated proposals, in any order; ValueError for one not asked for."""
        asked = {_key_of(item.proposal): item for item in self._asked}
        for result in results:
            item = asked.get(_key_of(result.proposal))
            if item is None:
                raise ValueError(f"{result.proposal.expression}: the miner did not propose this")
            item.child = _Parent(
                item.expression, result.proposal.settings, result.diagnosis, result.series
            )

    def _is_sound(self, expression: str) -> bool:
        if expression not in self._sound:
            self._sound[expression] = self._passes_check(expression)
        return self._sound[expression]

    def _passes_check(self, expression: str) -> bool:
        try:
            warnings = _checked(expression, self._space)
        except ExpressionError:
            return False
        return self._warnings.issuperset(warnings)

    def _parents(self) -> list[_Parent]:
        """Return the best alphas so far, best first; ties keep the order of the proposals."""
        children = (asked.child for asked in self._asked)
        found = [one for one in children if one and one.score > self._origin.score]
        found.insert(0, self._origin)
        found.sort(key=lambda parent: -parent.score)
        return found[:MOST_PARENTS]

    def _draw(
        self, rng: np.random.Generator, parents: Sequence[_Parent], partners: Sequence[Partner]
    ) -> _Asked | None:
        """Return a new proposal, None where nothing new was found."""
        shares = PARENT_SHARE ** np.arange(len(parents))
        for _ in range(_ATTEMPTS_PER_PROPOSAL):
            parent = parents[int(rng.choice(len(parents), p=shares / shares.sum()))]
            promises = self._promises(parent, partners)
            if not promises:
                if not any(self._promises(one, partners) for one in parents):
                    return None
                continue
            chances = np.array(list(promises.values()))
            kind = list(promises)[int(rng.choice(len(promises), p=chances / chances.sum()))]
            asked = self._accepted(parent, self._pick(parent, kind, partners, rng))
            if asked is not None:
                return asked
        return None

    def _promises(self, parent: _Parent, partners: Sequence[Partner]) -> dict[str, float]:
        """Return the kinds that can be tried on a parent, with their weights."""
        found = self._variations_of(parent)
        asked_here = [asked for asked in self._asked if asked.parent is parent]
        idle = {asked.kind for asked in asked_here if asked.changed_nothing} - REACHES_FAR
        tried = Counter(asked.kind for asked in self._asked)
        paid = Counter(asked.kind for asked in self._asked if asked.paid)
        possible = {kind for kind in found if found[kind]} - idle
        if self._suitable(parent, partners):
            possible.add("combine")
        return {
            kind: weight * (1 + paid[kind]) / (1 + tried[kind])
            for kind, weight in weights(parent.diagnosis).items()
            if weight > 0 and kind in possible
        }

    def _suitable(self, parent: _Parent, partners: Sequence[Partner]) -> list[Partner]:
        """Return partners that move unlike the parent and were not combined with it yet.

        An alpha that does not pass yet is combined with others that do not either, where there
        are some: what holds a passing alpha would be too like it to be submitted beside it.
        """
        if not {"add", "zscore"} <= self._space.operators:
            return []
        unlike = [
            one
            for one in partners
            if (one.diagnosis.score or -1.0) > 0
            and one.expression != parent.expression.text
            and (parent.expression.canonical, one.expression) not in self._combined
            and abs(likeness(one.series, parent.series)) < WEAKLY_CORRELATED
        ]
        if parent.diagnosis.passes:
            return unlike
        return [one for one in unlike if not one.diagnosis.passes] or unlike

    def _pick(
        self,
        parent: _Parent,
        kind: str,
        partners: Sequence[Partner],
        rng: np.random.Generator,
    ) -> Variation:
        if kind == "combine":
            suitable = self._suitable(parent, partners)
            other = suitable[int(rng.integers(len(suitable)))].expression
            self._combined.add((parent.expression.canonical, other))
            return combined(parent.expression, parse(other), parent.settings)
        several = self._variations_of(parent)[kind]
        return several.pop(int(rng.integers(len(several))))

    def _variations_of(self, parent: _Parent) -> dict[str, list[Variation]]:
        """Return the variations of a parent that were not drawn yet, by kind."""
        key = (parent.expression.canonical, parent.settings)
        if key not in self._variations:
            found = variations(parent.expression, parent.settings, self._space)
            if (parent.diagnosis.turnover or 0.0) > HIGH_TURNOVER:
                more = [one for one in found["decay"] if one.settings.decay > parent.settings.decay]
                found["decay"] = more
            self._variations[key] = found
        return self._variations[key]

    def _accepted(self, parent: _Parent, variation: Variation) -> _Asked | None:
        """Return the variation as a proposal, None where it is not new or not valid."""
        expression = parent.expression
        if variation.node is not None:
            root = replaced(expression.root, variation.path, variation.node)
            try:
                expression = parse(write(root))
                warnings = _checked(expression, self._space)
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
        return _Asked(proposal, expression, variation.kind, parent)


def _key(canonical: str, settings: SimulationSettings) -> AlphaKey:
    """Return what makes an alpha the same; a decay of 1 changes as little as 0."""
    if settings.decay == 1:
        settings = settings.model_copy(update={"decay": 0})
    return canonical, settings


def _key_of(proposal: Proposal) -> AlphaKey:
    return _key(proposal.canonical, proposal.settings)


def likeness(one: PnlSeries | None, other: PnlSeries | None) -> float:
    """Return the correlation of daily PnL, 0 where it is not known."""
    if one is None or other is None:
        return 0.0
    found = pnl_correlation(one.dates, one.daily_pnl, other.dates, other.daily_pnl)
    return 0.0 if math.isnan(found) else found


def _checked(expression: Expression | str, space: SearchSpace) -> tuple[str, ...]:
    """Return the warnings of an expression, comparing levels included."""
    return check(expression, space.fields, operators=space.operators, levels=True)
