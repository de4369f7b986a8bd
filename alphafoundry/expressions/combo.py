"""Evaluating the `combo` of a SUPER alpha: a weight per day and selected alpha.

What only a combo knows (statistics of alphas, pairs of alphas) is computed here and put in the
place of the sub-expression that asked for it; all the rest is an ordinary expression, whose
columns are alphas, and goes through the evaluator.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alphafoundry.expressions.binding import read_keyword
from alphafoundry.expressions.checking import check
from alphafoundry.expressions.evaluator import Evaluator
from alphafoundry.expressions.expression import Expression
from alphafoundry.expressions.operators import OPERATORS
from alphafoundry.expressions.operators.combination import Alphas
from alphafoundry.expressions.parsing import parse
from alphafoundry.expressions.registry import Kind, Operator
from alphafoundry.expressions.tree import Call, Field, Node, Number, walk_once
from alphafoundry.expressions.units import FieldInfo

FloatPanel = NDArray[np.float64]

COMBO_FIELDS: Mapping[str, FieldInfo] = MappingProxyType(
    {"alpha": FieldInfo("alpha", "ALPHAS", "", "The selected alphas")}
)
"""What a combo can name."""

PAIR_BYTES = 64 * 2**20
"""Most memory for values per pair of alphas; more pairs are taken in turns."""


def check_combo(expression: Expression | str) -> tuple[str, ...]:
    """Check that a combo can run, and return its unit warnings; raises ExpressionError."""
    return check(expression, COMBO_FIELDS, scope="COMBO")


def needs_statistics(expression: Expression | str) -> bool:
    """Whether a combo looks at the alphas at all, as `1` does not."""
    parsed = parse(expression) if isinstance(expression, str) else expression
    return "alpha" in parsed.fields


def evaluate_combo(
    expression: Expression | str,
    alphas: Alphas,
    shape: tuple[int, int],
    *,
    nan_handling: bool = False,
) -> FloatPanel:
    """Return the weights of the selected alphas, a float64 array of shape (n_days, n_alphas).

    Parameters
    ----------
    alphas : gives the daily statistics of the alphas
    shape : (n_days, n_alphas)
    nan_handling : as of `Evaluator`

    Row t depends on rows up to t of the statistics only. NaN is no weight. Raises
    ExpressionError where the combo cannot run.
    """
    parsed = parse(expression) if isinstance(expression, str) else expression
    check_combo(parsed)
    run = _Run(alphas, shape, nan_handling)
    return run.weights(parsed)


class _Run:
    def __init__(self, alphas: Alphas, shape: tuple[int, int], nan_handling: bool) -> None:
        self._alphas = alphas
        self._shape = shape
        self._nan_handling = nan_handling
        # The evaluator learns its shape from its fields, so there is always one.
        self._fields: dict[str, FloatPanel] = {"": np.zeros(shape)}
        self._pairs: dict[str, tuple[FloatPanel, int]] = {}

    def weights(self, expression: Expression) -> FloatPanel:
        form = expression.canonical_form
        made: dict[int, Node] = {}
        for node in walk_once(form.root):
            made[id(node)] = (
                self._call(node, form.text(node), made) if isinstance(node, Call) else node
            )
        return self._value(made[id(form.root)])

    def _call(self, node: Call, text: str, made: Mapping[int, Node]) -> Node:
        operator = OPERATORS[node.operator]
        arguments = tuple(made[id(child)] for child in node.arguments)
        if operator.tier != "super":
            return Call(node.operator, arguments, node.keywords, node.position)
        options = _options(operator, node)
        if operator.output is Kind.PAIRS:
            assert isinstance(arguments[1], Number)
            days = min(int(arguments[1].value), self._shape[0] + 1)
            self._pairs[text] = (np.ascontiguousarray(self._value(arguments[0])), days)
        elif operator.category == "Reduce":
            numbers = [child.value for child in arguments[1:] if isinstance(child, Number)]
            self._fields[text] = self._reduced(operator, arguments[0], numbers, options)
        elif options.get("statistic", "") is not None:
            with np.errstate(all="ignore"):
                self._fields[text] = operator.kernel(self._alphas, **options)
        return Field(text, node.position)

    def _value(self, node: Node) -> FloatPanel:
        evaluator = Evaluator(self._fields, nan_handling=self._nan_handling)
        return evaluator.evaluate(Expression("", node, (node,)))

    def _reduced(
        self, operator: Operator, source: Node, numbers: list[float], options: dict[str, Any]
    ) -> FloatPanel:
        days, count = self._shape
        asked = [
            node.name
            for node in walk_once(source)
            if isinstance(node, Field) and node.name in self._pairs
        ]
        with np.errstate(all="ignore"):
            if not asked:
                whole = self._value(source)[:, None, :]
                found = operator.kernel(whole, *numbers, **options)
                return np.repeat(found, count, axis=1)
            found = np.empty(self._shape)
            at_once = max(1, PAIR_BYTES // max(1, 8 * days * count))
            for first in range(0, count, at_once):
                last = min(first + at_once, count)
                block = self._pair_values(source, asked, first, last)
                found[:, first:last] = operator.kernel(block, *numbers, **options)
            return found

    def _pair_values(self, source: Node, asked: list[str], first: int, last: int) -> FloatPanel:
        """Return values of shape (n_days, last - first, n_alphas)."""
        days, count = self._shape
        shape = (days, last - first, count)
        kernel = OPERATORS["self_corr"].kernel
        fields = {name: kernel(*self._pairs[name], first, last).reshape(days, -1) for name in asked}
        evaluator = Evaluator(fields, nan_handling=self._nan_handling)
        return evaluator.evaluate(Expression("", source, (source,))).reshape(shape)


def _options(operator: Operator, node: Call) -> dict[str, Any]:
    given = dict(node.keywords)
    return {
        keyword.name: read_keyword(keyword, given[keyword.name])
        if keyword.name in given
        else keyword.default
        for keyword in operator.keywords
    }
