"""Evaluating the `selection` of a SUPER alpha: a number per stored alpha, and who is chosen by it.

Texts become their places in alphabetical order, so that comparing them is comparing numbers; what
the selection's own operators say is put in their place; all the rest is an ordinary expression
with one row, whose columns are alphas, and goes through the evaluator.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from alphafoundry.expressions.checking import check
from alphafoundry.expressions.evaluator import Evaluator
from alphafoundry.expressions.expression import Expression
from alphafoundry.expressions.operators import OPERATORS
from alphafoundry.expressions.parsing import parse
from alphafoundry.expressions.tree import Call, Field, Node, Number, Text, walk_once
from alphafoundry.expressions.units import FieldInfo

Numbers = NDArray[np.float64]
Handling = Literal["POSITIVE", "NON_ZERO", "NON_NAN"]
Texts = Sequence[str | None]
Collections = Sequence[Collection[str]]


def check_selection(
    expression: Expression | str, properties: Mapping[str, FieldInfo]
) -> tuple[str, ...]:
    """Check that a selection can run on these properties of alphas; raises ExpressionError.

    properties : name to MATRIX for numbers, TEXT or COLLECTION
    """
    return check(expression, properties, scope="SELECTION")


def evaluate_selection(
    expression: Expression | str,
    numbers: Mapping[str, Numbers],
    texts: Mapping[str, Texts] | None = None,
    collections: Mapping[str, Collections] | None = None,
) -> Numbers:
    """Return the selection weight of every alpha, shape (n_alphas,).

    Parameters
    ----------
    numbers : property to float array of shape (n_alphas,); NaN is missing
    texts : property to one text per alpha, None is missing
    collections : property to several texts per alpha

    A comparison with something missing is NaN, as with numbers. Raises ExpressionError where the
    selection cannot run.
    """
    parsed = parse(expression) if isinstance(expression, str) else expression
    texts, collections = texts or {}, collections or {}
    infos = {name: FieldInfo(name, "MATRIX") for name in numbers}
    infos |= {name: FieldInfo(name, "TEXT") for name in texts}
    infos |= {name: FieldInfo(name, "COLLECTION") for name in collections}
    check_selection(parsed, infos)
    count = len(next(iter([*numbers.values(), *texts.values(), *collections.values()]), ()))
    return _Run(count, numbers, texts, collections).weights(parsed)


def choose(weights: Numbers, handling: Handling, limit: int) -> list[int]:
    """Return the places of the chosen alphas, the largest weight first.

    Parameters
    ----------
    weights : selection weight of every alpha, shape (n_alphas,)
    handling : POSITIVE takes weights above 0, NON_ZERO those that are not 0, NON_NAN all; NaN is
        never taken
    limit : most alphas that are chosen

    Alphas of the same weight are taken in the order given.
    """
    allowed = ~np.isnan(weights)
    if handling == "POSITIVE":
        allowed &= weights > 0
    elif handling == "NON_ZERO":
        allowed &= weights != 0
    order = np.argsort(-weights, kind="stable")
    return [int(place) for place in order if allowed[place]][:limit]


class _Run:
    def __init__(
        self,
        count: int,
        numbers: Mapping[str, Numbers],
        texts: Mapping[str, Texts],
        collections: Mapping[str, Collections],
    ) -> None:
        self._count = count
        self._texts = texts
        self._collections = collections
        # The evaluator learns its shape from its fields, so there is always one.
        self._fields: dict[str, Numbers] = {"": np.zeros((1, count))}
        self._fields |= {name: _row(values) for name, values in numbers.items()}

    def weights(self, expression: Expression) -> Numbers:
        form = expression.canonical_form
        nodes = list(walk_once(form.root))
        written = {node.value for node in nodes if isinstance(node, Text)}
        known = {text for values in self._texts.values() for text in values if text is not None}
        places = {text: float(place) for place, text in enumerate(sorted(written | known))}
        made: dict[int, Node] = {}
        for node in nodes:
            made[id(node)] = self._node(node, form.text(node), places, made)
        root = made[id(form.root)]
        found = Evaluator(self._fields).evaluate(Expression("", root, (root,)))
        return np.array(found[0])

    def _node(
        self, node: Node, text: str, places: Mapping[str, float], made: Mapping[int, Node]
    ) -> Node:
        match node:
            case Text(value):
                return Number(places[value], node.position)
            case Field(name) if name in self._texts:
                codes = [
                    math.nan if value is None else places[value] for value in self._texts[name]
                ]
                self._fields[name] = _row(codes)
            case Call(name) if OPERATORS[name].tier == "super":
                given = [self._given(child) for child in node.arguments]
                self._fields[text] = _row(OPERATORS[name].kernel(*given))
                return Field(text, node.position)
            case Call(name):
                arguments = tuple(made[id(child)] for child in node.arguments)
                return Call(name, arguments, node.keywords, node.position)
        return node

    def _given(self, node: Node) -> Texts | Collections:
        if isinstance(node, Text):
            return [node.value] * self._count
        assert isinstance(node, Field)
        return self._texts[node.name] if node.name in self._texts else self._collections[node.name]


def _row(values: Any) -> Numbers:
    return np.array([values], np.float64)
