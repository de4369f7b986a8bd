"""Compiling every kernel ahead of its first use."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from alphafoundry.expressions.evaluator import Evaluator
from alphafoundry.expressions.operators import OPERATORS
from alphafoundry.expressions.registry import Input, Kind, Operator
from alphafoundry.expressions.vectors import VectorField

_DAYS, _NAMES = 8, 3


def warm_up(progress: Callable[[int, int, str], None] | None = None) -> int:
    """Run every operator once on a tiny panel, so that its kernels are compiled and kept on disk.

    progress : called before each operator with how many are done, how many there are, its name

    Takes about half a minute on a machine's first run and a few seconds afterwards. Returns the
    number of operators.
    """
    evaluator = _tiny_evaluator()
    for done, operator in enumerate(OPERATORS.values()):
        if progress is not None:
            progress(done, len(OPERATORS), operator.name)
        evaluator.evaluate(example(operator))
    return len(OPERATORS)


def example(operator: Operator) -> str:
    """Return a valid expression around the operator, on fields x, y, group g and vector v.

    Lookbacks are 3 days. Operators that read a field by themselves need close and returns too.
    """
    matrices = iter("xyxyxy")
    parts = [_example_input(item, matrices) for item in operator.inputs]
    if operator.check is not None and operator.check(
        {k.name: k.default for k in operator.keywords}
    ):
        parts.extend(_REQUIRED[operator.name])
    call = f"{operator.name}({', '.join(parts)})"
    if operator.output is Kind.VECTOR:
        return f"vec_sum({call})"
    return f"group_rank(x, {call})" if operator.output is Kind.GROUP else call


_REQUIRED = {
    "bucket": ('range="0, 1, 0.25"',),
    "nan_out": ("lower=0", "upper=1"),
    "replace": ('target="1, nan"', 'dest="2, 0"'),
    "filter": ('h="1, 0.5"', 't="0.5"'),
    "vec_choose": ("nth=1",),
}


def _example_input(item: Input, matrices: Iterator[str]) -> str:
    if item.kind is Kind.MATRIX:
        return next(matrices)
    return {Kind.GROUP: "g", Kind.VECTOR: "v", Kind.LOOKBACK: "3", Kind.NUMBER: "1"}[item.kind]


def _tiny_evaluator() -> Evaluator:
    cells = np.arange(_DAYS * _NAMES, dtype=float).reshape(_DAYS, _NAMES)
    x = np.sin(cells)
    offsets = np.arange(cells.size + 1, dtype=np.int64)
    return Evaluator(
        {"x": x, "y": np.cos(cells), "close": x + 2.0, "returns": 0.1 * x},
        {"g": np.zeros(cells.shape, np.int32)},
        vectors={"v": VectorField(x.ravel(), offsets, cells.shape)},
    )
