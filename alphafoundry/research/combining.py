"""The second half of a search: sums of unlike alphas, and variations of the strongest.

Alphas are compared by the Sharpe ratio that is to be expected of them after what all trials say,
never by the best number. Short ones that are strong and unlike each other become parts. What a sum
of parts would earn is foretold from that and their daily PnL, so thousands of sums are compared
before one is simulated.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import ExpressionError
from alphafoundry.evidence import shrunk_sharpe_ratios
from alphafoundry.expressions import Expression, FieldInfo, check, parse
from alphafoundry.expressions.tree import Call, Node, Number
from alphafoundry.research.proposals import MINER, Proposal
from alphafoundry.research.sameness import essence
from alphafoundry.research.tree_edits import is_pointless, replaced, write
from alphafoundry.research.trial_pnl import first_unlike
from alphafoundry.research.variations import SearchSpace, turned, variations
from alphafoundry.seeds import generator_for
from alphafoundry.simulation.settings import SimulationSettings

MOST_OPERATORS = 12
"""Operators of a part and of a variation; a sum has those of its parts."""

LOWER = 0.84
"""Standard errors below a Sharpe ratio at which its bound lies: its 20 % quantile."""

UNLIKE_PARTS = 0.7
UNLIKE_SUMS = 0.7
UNLIKE_KNOWN = 0.8
"""Largest correlation of daily PnL between two parts, between two sums of a round, and between a
sum and all that is known."""

_ATTEMPTS_PER_VARIATION = 50
_AT_ONCE = 4096
_EARLY = 0.12
"""Chance that the strongest part is varied rather than one after it, and so on down."""

Array = NDArray[np.float64]
AlphaKey = tuple[str, SimulationSettings]


@dataclass(frozen=True)
class Trial:
    """What is known of a simulated alpha.

    Attributes
    ----------
    alpha_id : identity of the alpha
    expression, settings : what was simulated
    sharpe : annual Sharpe ratio on search days
    days : days that it is of
    hopeful : whether the rule of the settings calls it worth mining, so that it may be a part even
        where luck alone could have made it
    built : whether it says nothing of others: a sum or a variation of them, or one of more than are
        heard that is there for its strength
    """

    alpha_id: str
    expression: Expression
    settings: SimulationSettings
    sharpe: float
    days: int
    hopeful: bool = False
    built: bool = False


@dataclass(frozen=True)
class Step:
    """A proposal, where it comes from, and what its gain is measured against.

    Attributes
    ----------
    parts : ids of the alphas that it is made of
    parent_id : the strongest of them that earns as it stands, None where all are losers
    """

    proposal: Proposal
    parts: tuple[str, ...]
    parent_id: str | None


@dataclass(frozen=True, eq=False)
class Parts:
    """Alphas to combine, the strongest first.

    Attributes
    ----------
    trials : each at most `UNLIKE_PARTS` correlated with those before it
    sharpe : what is to be expected of them, losers turned; annual, shape (n_parts,)
    correlation : of their daily PnL, that of losers turned; shape (n_parts, n_parts)
    known : correlation of their daily PnL with that of all trials, shape (n_parts, n_trials)
    """

    trials: tuple[Trial, ...]
    sharpe: Array
    correlation: Array
    known: Array


def lower_bound(sharpe: float, days: int, periods: float) -> float:
    """Return the 20 % quantile of the true Sharpe ratio, for an alpha that may be turned.

    |sharpe| - 0.84 * sqrt((periods + sharpe^2 / 2) / days), the standard error of Lo (2002) for
    independent normal days; `sharpe` is annual, `periods` are the bars of a year.
    """
    return abs(sharpe) - LOWER * math.sqrt((periods + sharpe**2 / 2.0) / max(days, 1))


def choose_parts(
    trials: Sequence[Trial], correlation: Array, *, most: int, periods: float
) -> Parts:
    """Return the strongest short alphas that are unlike each other, at most `most`.

    Strongest by the Sharpe ratio that is to be expected of them after what all trials say, see
    `shrunk_sharpe_ratios`; ties go to the shorter one. Their `lower_bound` must be above 0 unless
    they are hopeful. One that loses counts as its reverse; one of which the opposite is to be
    expected is no part.

    Parameters
    ----------
    correlation : of the daily PnL of the trials, shape (n_trials, n_trials); 0 where not known
    """
    sign = np.array([math.copysign(1.0, one.sharpe) for one in trials])
    expected = sign * expected_of(trials, correlation, periods=periods)
    order = sorted(
        (
            number
            for number, one in enumerate(trials)
            if expected[number] > 0
            and (one.hopeful or lower_bound(one.sharpe, one.days, periods) > 0)
            and one.expression.operator_count <= MOST_OPERATORS
        ),
        key=lambda number: (
            -expected[number],
            trials[number].expression.operator_count,
            trials[number].expression.canonical,
        ),
    )
    likeness = correlation * np.outer(sign, sign)
    chosen = first_unlike(order, likeness, most=most, limit=UNLIKE_PARTS)
    signs = sign[chosen]
    return Parts(
        tuple(trials[number] for number in chosen),
        expected[chosen],
        correlation[np.ix_(chosen, chosen)] * np.outer(signs, signs),
        correlation[chosen] * signs[:, None],
    )


def expected_of(trials: Sequence[Trial], correlation: Array, *, periods: float) -> Array:
    """Return the Sharpe ratio to be expected of each trial as it stands, shape (n_trials,)."""
    return shrunk_sharpe_ratios(
        [one.sharpe for one in trials],
        [one.days for one in trials],
        correlation,
        periods=periods,
        built=[one.built for one in trials],
    ).sharpe


def best_sums(parts: Parts, *, most_parts: int) -> Iterator[tuple[int, ...]]:
    """Yield sets of parts, the highest foretold Sharpe ratio first, unlike what there is.

    Each part counts at equal risk, so the Sharpe ratio of a sum is the sum of its parts' over
    sqrt(1' R 1), R their correlation. No sum is foretold to be more than `UNLIKE_SUMS` correlated
    with one that was yielded before it, or more than `UNLIKE_KNOWN` with any trial. A single part
    is yielded only where it is a loser, to be turned.
    """
    count = len(parts.trials)
    if not count:
        return
    held = _sets(count, min(most_parts, count))
    losers = np.array([one.sharpe < 0 for one in parts.trials])
    held = held[(held.sum(axis=1) > 1) | held @ losers]
    if not len(held):
        return
    weights = held.astype(np.float64)
    spread = np.sqrt(np.maximum(((weights @ parts.correlation) * weights).sum(axis=1), 1e-9))
    foretold = weights @ parts.sharpe / spread
    taken: list[int] = []
    order = np.argsort(-foretold, kind="stable")
    for begin in range(0, len(order), _AT_ONCE):
        some = order[begin : begin + _AT_ONCE]
        alike = (
            np.abs(weights[some] @ parts.known).max(axis=1, initial=0.0)
            > UNLIKE_KNOWN * spread[some]
        )
        for number in some[~alike | (held[some].sum(axis=1) == 1)].tolist():
            alone = held[number].sum() == 1
            if taken and not alone:
                shared = weights[taken] @ parts.correlation @ weights[number]
                if (shared / (spread[taken] * spread[number])).max() > UNLIKE_SUMS:
                    continue
            if not alone:
                taken.append(number)
            yield tuple(np.flatnonzero(held[number]).tolist())


@functools.lru_cache(maxsize=8)
def _sets(count: int, most: int) -> NDArray[np.bool_]:
    """Return every set of 1 to `most` out of `count`, shape (n_sets, count)."""
    found = [one for size in range(1, most + 1) for one in combinations(range(count), size)]
    held = np.zeros((len(found), count), dtype=np.bool_)
    for row, members in enumerate(found):
        held[row, list(members)] = True
    return held


class Combiner:
    """Proposes sums and variations of what was found so far.

    What is asked for depends only on the seed, the number of the round, the trials and what is
    known; not on the order of the trials.

    Parameters
    ----------
    fields, operators : what variations may use
    settings : what sums are simulated with, the decay left out, which their parts have
    seed : not negative
    parts : most alphas to combine; most_parts : most in one sum
    variations : part of a round that is spent on variations, 0 to 1; all of it where there is
        nothing to add up
    """

    def __init__(
        self,
        fields: Mapping[str, FieldInfo],
        operators: Iterable[str],
        *,
        settings: SimulationSettings,
        seed: int,
        parts: int = 32,
        most_parts: int = 4,
        variations: float = 0.25,
    ) -> None:
        self._space = SearchSpace.of(fields, operators)
        self._settings = settings
        self._seed = seed
        self._parts = parts
        self._most_parts = most_parts
        self._share = variations

    def __repr__(self) -> str:
        return f"Combiner(seed={self._seed}, {self._parts} parts, at most {self._most_parts} a sum)"

    def ask(
        self,
        count: int,
        trials: Sequence[Trial],
        correlation: Array,
        *,
        number: int,
        known: Collection[str],
        periods: float,
    ) -> list[Step]:
        """Return at most `count` new proposals for round `number`, from 0.

        Parameters
        ----------
        trials, correlation : see `choose_parts`
        known : canonical forms that were simulated or planned; neither they nor what has the same
            book is proposed again, except that a loser may be turned
        periods : bars of a year
        """
        order = sorted(range(len(trials)), key=lambda one: trials[one].alpha_id)
        parts = choose_parts(
            [trials[one] for one in order],
            correlation[np.ix_(order, order)],
            most=self._parts,
            periods=periods,
        )
        rng = generator_for(self._seed, "combine", number)
        seen = {self._essence(one) for one in known}
        varied = self._variations(round(count * self._share), parts, rng, seen)
        steps = [*varied, *self._sums(count - len(varied), parts, known, seen)]
        return steps + self._variations(count - len(steps), parts, rng, seen)

    def _sums(self, count: int, parts: Parts, known: Collection[str], seen: set[str]) -> list[Step]:
        found: list[Step] = []
        if not {"add", "zscore", "reverse", "ts_decay_linear"} <= self._space.operators:
            return found
        for members in best_sums(parts, most_parts=self._most_parts):
            if len(found) == count:
                break
            step = self._sum([parts.trials[one] for one in members])
            if len(members) == 1 and step.proposal.canonical in known:
                continue
            if len(members) == 1 or self._is_new(step, seen):
                found.append(step)
        return found

    def _sum(self, trials: Sequence[Trial]) -> Step:
        if len(trials) == 1:
            return _step(turned_to_earn(trials[0]), trials[0].settings, "sign: reversed", trials)
        names = ", ".join(one.expression.canonical for one in trials)
        settings = self._settings.model_copy(update={"decay": 0})
        return _step(sum_of(trials), settings, f"combine: {names}", trials)

    def _variations(
        self, count: int, parts: Parts, rng: np.random.Generator, seen: set[str]
    ) -> list[Step]:
        found: list[Step] = []
        if not parts.trials:
            return found
        for _ in range(count * _ATTEMPTS_PER_VARIATION):
            if len(found) == count:
                break
            place = (int(rng.geometric(_EARLY)) - 1) % len(parts.trials)
            step = self._varied(parts.trials[place], rng)
            if step is not None and self._is_new(step, seen):
                found.append(step)
        return found

    def _is_new(self, step: Step, seen: set[str]) -> bool:
        """Return whether no book like this one was seen, and take it as seen."""
        found = self._essence(step.proposal.canonical)
        new = found not in seen
        seen.add(found)
        return new

    def _essence(self, canonical: str) -> str:
        return essence(canonical, neutral=self._settings.neutralization != "NONE")

    def _varied(self, trial: Trial, rng: np.random.Generator) -> Step | None:
        """Return one change of the expression, a loser's turned, None where it is not valid."""
        base = turned_to_earn(trial)
        possible = {
            kind: several
            for kind, several in variations(base, trial.settings, self._space).items()
            if kind != "sign"
        }
        if not possible:
            return None
        several = possible[sorted(possible)[int(rng.integers(len(possible)))]]
        chosen = several[int(rng.integers(len(several)))]
        expression = self._valid(replaced(base.root, chosen.path, chosen.node))
        if expression is None:
            return None
        return _step(expression, trial.settings, str(chosen), [trial])

    def _valid(self, root: Node) -> Expression | None:
        try:
            expression = parse(write(root))
            warnings = check(
                expression, self._space.fields, operators=self._space.operators, levels=True
            )
        except ExpressionError:
            return None
        if warnings or expression.operator_count > MOST_OPERATORS or is_pointless(expression.root):
            return None
        return expression


def sum_of(trials: Sequence[Trial]) -> Expression:
    """Return the sum of alphas as z-scores, losers turned, to be simulated without decay.

    Each is decayed first as it was when it was simulated, so that none outweighs others because it
    changes less. The same alphas in any order give the same expression.
    """
    scored = sorted((_as_zscore(_decayed(one)) for one in trials), key=write)
    return parse(write(Call("add", tuple(scored))))


def turned_to_earn(trial: Trial) -> Expression:
    """Return the expression, that of a loser reversed."""
    if trial.sharpe >= 0:
        return trial.expression
    return parse(write(turned(trial.expression.root)))


def _decayed(trial: Trial) -> Node:
    root, days = turned_to_earn(trial).root, trial.settings.decay
    return Call("ts_decay_linear", (root, Number(float(days)))) if days > 1 else root


def _as_zscore(node: Node) -> Node:
    if isinstance(node, Call) and node.operator == "zscore":
        return node
    return Call("zscore", (node,))


def _step(
    expression: Expression,
    settings: SimulationSettings,
    variation: str,
    trials: Sequence[Trial],
) -> Step:
    """Return the step from these alphas, the strongest first, to another one."""
    earning = (one.alpha_id for one in trials if one.sharpe >= 0)
    return Step(
        Proposal(
            expression.text,
            expression.canonical,
            settings,
            MINER,
            trials[0].expression.canonical,
            variation,
        ),
        tuple(one.alpha_id for one in trials),
        next(earning, None),
    )
