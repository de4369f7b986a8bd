"""The rivals: each spends the budget of a bench in its own way."""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

import numpy as np

from alphafoundry.errors import ExpressionError
from alphafoundry.expressions import Expression, check, parse
from alphafoundry.expressions.tree import Call, Field, Node, Number
from alphafoundry.research.grammar import GrammarGenerator
from alphafoundry.research.known_formulas import alpha101
from alphafoundry.research.templates import drawn_templates
from alphafoundry.research.tree_edits import is_pointless, places, replaced, write
from alphafoundry.research.variations import SearchSpace, variations
from alphafoundry.seeds import generator_for, seed_number
from benchmarks.race.bench import NAMES, SETTINGS, Bench, Spent, Tried
from benchmarks.race.ours import ours, ours_unseeded

Rival = Callable[[Bench, int], None]

MOST_OPERATORS = 12
GENERATIONS = 10
TOURNAMENT = 4
DAYS = (2, 3, 5, 10, 20, 40, 60, 120)
ONE_INPUT = ("rank", "zscore", "reverse", "abs", "sign", "log")
TWO_INPUTS = ("add", "subtract", "multiply", "divide")
OVER_TIME = (
    "ts_mean",
    "ts_std_dev",
    "ts_delta",
    "ts_delay",
    "ts_rank",
    "ts_zscore",
    "ts_sum",
    "ts_decay_linear",
)
PAIRS_OVER_TIME = ("ts_corr",)
BY_GROUP = ("group_rank", "group_zscore", "group_neutralize")


def grammar(bench: Bench, seed: int) -> None:
    """Fresh ideas of the grammar alone."""
    generator = GrammarGenerator(bench.fields, NAMES, seed=seed, settings=SETTINGS)
    bench.try_ideas(generator, bench.budget)


def templates(bench: Bench, seed: int) -> None:
    """group_op(ts_op(field, days), group)."""
    for expression in drawn_templates(bench.fields, NAMES, seed=seed):
        bench.try_one(expression)


def formulas(bench: Bench, seed: int) -> None:
    """The 101 Formulaic Alphas, as far as the market has their fields."""
    for text in _shuffled(list(alpha101().values()), seed):
        bench.try_text(text)


def formulas_and_grammar(bench: Bench, seed: int) -> None:
    """The 101 Formulaic Alphas, then the grammar."""
    formulas(bench, seed)
    grammar_only = GrammarGenerator(bench.fields, NAMES, seed=seed, settings=SETTINGS)
    bench.try_ideas(grammar_only, bench.left)


def seeded_genetic(bench: Bench, seed: int) -> None:
    """Genetic programming whose first generation is the 101 formulas."""
    rng = generator_for(seed, "seeded genetic programming")
    formulas(bench, seed)
    space = SearchSpace.of(bench.fields, NAMES)
    for _ in range(200 * bench.budget):
        found = bench.found
        one, other = (_tournament(found, rng) for _ in range(2))
        if rng.random() < 0.7:
            child = _crossed(one.expression, other.expression, rng)
        else:
            child = _mutated(one.expression, space, rng)
        expression = _valid(bench, child)
        if expression is not None:
            bench.try_one(expression, built=True)


def deap(bench: Bench, seed: int) -> None:
    """Typed genetic programming with DEAP: tournaments of |Sharpe ratio|, bloat limited."""
    from deap import base, creator, gp, tools

    class Matrix:
        """A number for each name and day."""

    class Days:
        """A window."""

    class Group:
        """A grouping."""

    words = gp.PrimitiveSetTyped("alpha", [], Matrix)
    for name in ONE_INPUT:
        words.addPrimitive(len, [Matrix], Matrix, name=name)
    for name in TWO_INPUTS:
        words.addPrimitive(len, [Matrix, Matrix], Matrix, name=name)
    for name in OVER_TIME:
        words.addPrimitive(len, [Matrix, Days], Matrix, name=name)
    for name in PAIRS_OVER_TIME:
        words.addPrimitive(len, [Matrix, Matrix, Days], Matrix, name=name)
    for name in BY_GROUP:
        words.addPrimitive(len, [Matrix, Group], Matrix, name=name)
    for name, info in sorted(bench.fields.items()):
        words.addTerminal(name, Group if info.type == "GROUP" else Matrix, name=name)
    for days in DAYS:
        words.addTerminal(days, Days, name=f"d{days}")
    # DEAP grows a subtree until it meets a type that has primitives.
    words.addPrimitive(len, [Days], Days, name="same_days")
    words.addPrimitive(len, [Group], Group, name="same_group")
    random.seed(seed_number(seed, "deap"))
    if not hasattr(creator, "AlphaTree"):
        creator.create("Best", base.Fitness, weights=(1.0,))
        creator.create("AlphaTree", gp.PrimitiveTree, fitness=creator.Best)
    tools_of = base.Toolbox()
    tools_of.register("expr", gp.genHalfAndHalf, pset=words, min_=1, max_=3)
    tools_of.register("individual", tools.initIterate, creator.AlphaTree, tools_of.expr)
    tools_of.register("select", tools.selTournament, tournsize=TOURNAMENT)
    tools_of.register("mate", gp.cxOnePoint)
    tools_of.register("grow", gp.genFull, min_=0, max_=2)
    tools_of.register("mutate", gp.mutUniform, expr=tools_of.grow, pset=words)
    for way in ("mate", "mutate"):
        tools_of.decorate(way, gp.staticLimit(key=len, max_value=2 * MOST_OPERATORS))

    def worth(tree: Any) -> tuple[float]:
        expression = _valid(bench, _written_by_deap(str(tree)))
        tried = None if expression is None else bench.try_one(expression)
        return (abs(tried.sharpe) if tried else 0.0,)

    size = max(10, bench.budget // GENERATIONS)
    population = [tools_of.individual() for _ in range(2 * size)]
    for _ in range(20 * GENERATIONS):
        for tree in population:
            tree.fitness.values = worth(tree)
        children = [tools_of.clone(tree) for tree in tools_of.select(population, size)]
        for one, other in zip(children[::2], children[1::2], strict=False):
            if random.random() < 0.7:
                tools_of.mate(one, other)
        for tree in children:
            if random.random() < 0.3:
                tools_of.mutate(tree)
        best = sorted(population, key=lambda tree: -tree.fitness.values[0])[: size // 5]
        population = [*(tools_of.clone(tree) for tree in best), *children]


def _written_by_deap(text: str) -> str:
    """Return the FASTEXPR text of a DEAP tree: windows are numbers, helpers leave no trace."""
    for days in sorted(DAYS, reverse=True):
        text = text.replace(f"d{days})", f"{days})").replace(f"d{days},", f"{days},")
    return text.replace("same_days", "").replace("same_group", "")


def gplearn(bench: Bench, seed: int) -> None:
    """gplearn's symbolic regression with the engine's operators; each program is simulated."""
    from gplearn._program import _Program
    from gplearn.functions import make_function
    from gplearn.genetic import SymbolicRegressor

    def first(one: Any, *_: Any) -> Any:
        return one

    def unary(one: Any) -> Any:
        return one

    def binary(one: Any, other: Any) -> Any:
        return first(one, other)

    names = [name for name, info in sorted(bench.fields.items()) if info.type == "MATRIX"]
    groups = [name for name, info in sorted(bench.fields.items()) if info.type == "GROUP"]
    spelled: dict[str, str] = {}
    functions = [make_function(function=unary, name=name, arity=1) for name in ONE_INPUT]
    functions += [make_function(function=binary, name=name, arity=2) for name in TWO_INPUTS]
    for name in OVER_TIME:
        for days in DAYS:
            spelled[f"{name}_{days}"] = f"{name}({{0}}, {days})"
            functions.append(make_function(function=unary, name=f"{name}_{days}", arity=1))
    for name in PAIRS_OVER_TIME:
        for days in DAYS:
            spelled[f"{name}_{days}"] = f"{name}({{0}}, {{1}}, {days})"
            functions.append(make_function(function=binary, name=f"{name}_{days}", arity=2))
    for name in BY_GROUP:
        for group in groups:
            spelled[f"{name}_{group}"] = f"{name}({{0}}, {group})"
            functions.append(make_function(function=unary, name=f"{name}_{group}", arity=1))

    def simulated(program: Any, *_: Any) -> float:
        expression = _valid(bench, _written_by_gplearn(program.program, names, spelled))
        tried = None if expression is None else bench.try_one(expression)
        return -abs(tried.sharpe) if tried else 0.0

    regressor = SymbolicRegressor(
        population_size=max(20, bench.budget // GENERATIONS),
        generations=20 * GENERATIONS,
        tournament_size=TOURNAMENT,
        stopping_criteria=-math.inf,
        const_range=None,
        init_depth=(1, 3),
        function_set=functions,
        p_crossover=0.6,
        p_subtree_mutation=0.2,
        p_hoist_mutation=0.05,
        p_point_mutation=0.1,
        random_state=seed_number(seed, "gplearn"),
    )
    rows = np.random.default_rng(seed).standard_normal((8, len(names)))
    with mock.patch.object(_Program, "raw_fitness", simulated):
        regressor.fit(rows, rows[:, 0])


def _written_by_gplearn(program: Sequence[Any], names: Sequence[str], spelled: Any) -> str:
    """Return the FASTEXPR text of a program in prefix order."""
    rest: Iterator[Any] = iter(program)

    def term() -> str:
        node = next(rest)
        if not hasattr(node, "arity"):
            return names[node]
        inputs = [term() for _ in range(node.arity)]
        form = spelled.get(node.name, f"{node.name}({', '.join(['{}'] * node.arity)})")
        return str(form).format(*inputs)

    return term()


RIVALS: dict[str, Rival] = {
    "ours": ours,
    "ours, unseeded": ours_unseeded,
    "grammar": grammar,
    "templates": templates,
    "101": formulas,
    "101 + grammar": formulas_and_grammar,
    "101-seeded GP": seeded_genetic,
    "gplearn": gplearn,
    "DEAP": deap,
}


def spend(rival: Rival, bench: Bench, seed: int) -> None:
    """Let a rival spend its budget, or what it can."""
    with contextlib.suppress(Spent):
        rival(bench, seed)


def _shuffled(texts: list[str], seed: int) -> list[str]:
    order = generator_for(seed, "order of formulas").permutation(len(texts))
    return [texts[place] for place in order]


def _tournament(found: Sequence[Tried], rng: np.random.Generator) -> Tried:
    drawn = [found[int(place)] for place in rng.integers(len(found), size=TOURNAMENT)]
    return max(drawn, key=lambda one: abs(one.sharpe))


def _crossed(one: Expression, other: Expression, rng: np.random.Generator) -> str:
    """Return `one` with a part of it replaced by a part of `other`."""
    spots = [path for path, node, _ in places(one.root) if isinstance(node, Call | Field)]
    parts: list[Node] = [node for _, node, _ in places(other.root) if not isinstance(node, Number)]
    spot = spots[int(rng.integers(len(spots)))]
    return write(replaced(one.root, spot, parts[int(rng.integers(len(parts)))]))


def _mutated(one: Expression, space: SearchSpace, rng: np.random.Generator) -> str:
    every = [step for several in variations(one, SETTINGS, space).values() for step in several]
    chosen = every[int(rng.integers(len(every)))]
    return write(replaced(one.root, chosen.path, chosen.node))


def _valid(bench: Bench, text: str) -> Expression | None:
    """Return a child that can run, None for one that is no alpha or is too long."""
    try:
        expression = parse(text)
        check(expression, bench.fields, operators=NAMES)
    except ExpressionError:
        return None
    if not expression.fields or expression.operator_count > MOST_OPERATORS:
        return None
    return None if is_pointless(expression.root) else expression
