"""What past simulations teach about which ideas to try next."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from alphafoundry.errors import ExpressionError
from alphafoundry.expressions import Expression, parse
from alphafoundry.expressions.tree import Call, Field, Node, Number
from alphafoundry.research.proposals import Outcome

PRIOR_USES = 4.0
"""How many average uses every feature starts with."""

GOOD_FITNESS = 1.0
"""The fitness that counts as a full success: BRAIN's limit for a submission."""

LEAST_WEIGHT = 0.05

_TURNS_SIGN = frozenset({"reverse", "inverse"})


class Experience:
    """Smoothed success rates of operators, fields and shapes over past simulations.

    A simulation with fitness F is a success of y = min(max(F, 0), 1) for its shapes, and of
    min(|F|, 1) for its operators and fields: an alpha that loses steadily is one sign away from
    one that earns, so it also counts as a success of y = min(max(-F, 0), 1) for the same shapes
    with the other sign. A feature that was used n times with successes y1..yn has the rate

        rate = (sum(y) + PRIOR_USES * average) / (n + PRIOR_USES)

    where `average` is the mean success over all features of its kind, and the lift
    rate / average: 1 for the unknown, above 1 for what worked. The weight of an expression is the
    product over the three kinds of the geometric mean of its features' lifts, and at least
    `LEAST_WEIGHT`, so that nothing is ever ruled out.

    A shape is a field's way to the top: its sign, the time-series operators on the way, and
    whether they look back for days, weeks or months.
    """

    def __init__(self, history: Iterable[Outcome] = ()) -> None:
        self.good: list[tuple[float, Expression]] = []
        self._uses: dict[str, int] = defaultdict(int)
        self._successes: dict[str, float] = defaultdict(float)
        totals: dict[str, float] = defaultdict(float)
        counts: dict[str, int] = defaultdict(int)
        self.known: set[str] = set()
        for outcome in history:
            try:
                expression = parse(outcome.expression)
            except ExpressionError:
                continue
            self.known.add(expression.canonical)
            if outcome.fitness is None or math.isnan(outcome.fitness):
                continue
            self.good.append((outcome.fitness, expression))
            for feature, success in _lessons(expression, outcome.fitness / GOOD_FITNESS):
                kind = _kind(feature)
                self._uses[feature] += 1
                self._successes[feature] += success
                totals[kind] += success
                counts[kind] += 1
        self._average = {kind: totals[kind] / counts[kind] for kind in counts}
        self.good.sort(key=lambda pair: (-abs(pair[0]), pair[1].canonical))

    def __repr__(self) -> str:
        return f"Experience({len(self.good)} outcomes, {len(self._uses)} features)"

    def lift(self, feature: str) -> float:
        """Return the success rate of a feature over the average of its kind; 1 if unknown."""
        average = self._average.get(_kind(feature), 0.0)
        if average <= 0.0:
            return 1.0
        rate = (self._successes.get(feature, 0.0) + PRIOR_USES * average) / (
            self._uses.get(feature, 0) + PRIOR_USES
        )
        return rate / average

    def weight(self, expression: Expression) -> float:
        """Return how much rather than average this expression should be tried."""
        if not self._average:
            return 1.0
        weight = 1.0
        for features in _features(expression).values():
            lifts = [self.lift(feature) for feature in features]
            if lifts:
                weight *= math.exp(sum(math.log(max(x, 1e-6)) for x in lifts) / len(lifts))
        return max(weight, LEAST_WEIGHT)


def _features(expression: Expression) -> dict[str, list[str]]:
    """Return the features of an expression by kind, each once, sorted."""
    return {
        "operator": sorted(f"operator {name}" for name in expression.operators),
        "field": sorted(f"field {name}" for name in expression.fields),
        "shape": sorted(shapes(expression)),
    }


def _lessons(expression: Expression, success: float) -> Iterable[tuple[str, float]]:
    features = _features(expression)
    for feature in (*features["operator"], *features["field"]):
        yield feature, min(abs(success), 1.0)
    for feature in features["shape"]:
        yield feature, min(max(success, 0.0), 1.0)
        yield _turned(feature), min(max(-success, 0.0), 1.0)


def _kind(feature: str) -> str:
    return feature.partition(" ")[0]


def _turned(shape: str) -> str:
    kind, sign, rest = shape.split(" ", 2)
    return f"{kind} {'-' if sign == '+' else '+'} {rest}"


def shapes(expression: Expression) -> frozenset[str]:
    """Return the ways from the fields to the top, such as "shape - ts_delta:days close"."""
    found: set[str] = set()
    stack: list[tuple[Node, bool, tuple[str, ...]]] = [(expression.root, True, ())]
    seen: set[tuple[int, bool, tuple[str, ...]]] = set()
    while stack:
        node, positive, way = stack.pop()
        if (id(node), positive, way) in seen:
            continue
        seen.add((id(node), positive, way))
        if isinstance(node, Field):
            found.add(" ".join(("shape", "+" if positive else "-", *way, node.name)))
        elif isinstance(node, Call):
            stack.extend(_below(node, positive, way))
    return frozenset(found)


def _below(
    call: Call, positive: bool, way: tuple[str, ...]
) -> Iterable[tuple[Node, bool, tuple[str, ...]]]:
    if call.operator.startswith("ts_") and len(way) < 2:
        way = (*way, f"{call.operator}:{_horizon(call.arguments)}")
    negative_factor = call.operator in ("multiply", "divide") and any(
        _is_negative(argument) for argument in call.arguments
    )
    if call.operator in _TURNS_SIGN or negative_factor:
        positive = not positive
    for index, argument in enumerate(call.arguments):
        subtracted = call.operator in ("subtract", "divide") and index > 0
        yield argument, positive != subtracted, way


def _horizon(arguments: Sequence[Node]) -> str:
    """Return days (to 5), weeks (to 25) or months for a lookback among the arguments."""
    lookback = next((node.value for node in reversed(arguments) if isinstance(node, Number)), 0.0)
    if lookback <= 5:
        return "days"
    return "weeks" if lookback <= 25 else "months"


def _is_negative(node: Node) -> bool:
    if isinstance(node, Call):
        return node.operator == "reverse" and isinstance(node.arguments[0], Number)
    return isinstance(node, Number) and node.value < 0
