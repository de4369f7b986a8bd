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

    Those of SUPER alphas alone are left out: they use the kernels of the others.

    progress : called before each operator with how many are done, how many there are, its name

    Takes about half a minute on a machine's first run and a few seconds afterwards. Returns the
    number of operators.
    """
    evaluator = _tiny_evaluator()
    operators = [operator for operator in OPERATORS.values() if operator.tier != "super"]
    for done, operator in enumerate(operators):
        if progress is not None:
            progress(done, len(operators), operator.name)
        evaluator.evaluate(example(operator))
    return len(operators)


def example(operator: Operator) -> str:
    """Return a valid expression around the operator, on fields x, y, group g and vector v.

    Lookbacks are 3 days. Operators of SUPER alphas alone read `alpha`, tags and universe; those
    that read a field by themselves need close and returns too.
    """
    matrices = iter("xyxyxy")
    parts = [_example_input(operator, item, matrices) for item in operator.inputs]
    if operator.check is not None and operator.check(
        {k.name: k.default for k in operator.keywords}
    ):
        parts.extend(_REQUIRED[operator.name])
    call = f"{operator.name}({', '.join(parts)})"
    if operator.output is Kind.STATISTICS:
        return f"{call}.pnl"
    if operator.output is Kind.PAIRS:
        return f"reduce_max({call})"
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


_WRITTEN = {
    Kind.GROUP: "g",
    Kind.VECTOR: "v",
    Kind.LOOKBACK: "3",
    Kind.NUMBER: "1",
    Kind.ALPHAS: "alpha",
    Kind.COLLECTION: "tags",
}


def _example_input(operator: Operator, item: Input, matrices: Iterator[str]) -> str:
    if item.kind is Kind.TEXT:
        return '"a"' if len(operator.inputs) > 1 else "universe"
    if item.kind is not Kind.MATRIX:
        return _WRITTEN[item.kind]
    return next(matrices) if "REGULAR" in operator.scope else "generate_stats(alpha).returns"


def _tiny_evaluator() -> Evaluator:
    cells = np.arange(_DAYS * _NAMES, dtype=float).reshape(_DAYS, _NAMES)
    x = np.sin(cells)
    offsets = np.arange(cells.size + 1, dtype=np.int64)
    return Evaluator(
        {"x": x, "y": np.cos(cells), "close": x + 2.0, "returns": 0.1 * x},
        {"g": np.zeros(cells.shape, np.int32)},
        vectors={"v": VectorField(x.ravel(), offsets, cells.shape)},
    )
