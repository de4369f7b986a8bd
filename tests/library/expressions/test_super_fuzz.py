"""Any mixture of operators and inputs in a combo or selection runs or is refused with a place."""

from __future__ import annotations

import random

import numpy as np
import pytest

from alphafoundry.errors import ExpressionError
from alphafoundry.expressions import OPERATORS
from alphafoundry.expressions.combo import evaluate_combo
from alphafoundry.expressions.operators.combination import STATISTICS
from alphafoundry.expressions.selection import evaluate_selection
from tests.some_cases import one_in

DAYS, ALPHAS = 12, 3
TRIES = 800
LEAVES = {
    "COMBO": (
        "1", "2", "-0.5", "nan", "true", "'algo1'", "alpha", "generate_stats(alpha).pnl",
        "generate_stats(alpha).returns", "self_corr(generate_stats(alpha).turnover, 3)",
        "bucket(generate_stats(alpha).pnl, buckets='0')",
    ),
    "SELECTION": (
        "1", "2", "-0.5", "nan", "false", "'a'", "turnover", "own", "color", "universe", "tags",
    ),
}  # fmt: skip


class Alphas:
    def __init__(self) -> None:
        drawn = np.random.default_rng(0).normal(size=(len(STATISTICS), DAYS, ALPHAS))
        self._values = dict(zip(STATISTICS, drawn, strict=True))

    def statistic(self, name: str) -> np.ndarray:
        return self._values[name]


def written(rng: random.Random, scope: str, depth: int) -> str:
    if depth == 0 or rng.random() < 0.2:
        return rng.choice(LEAVES[scope])
    operator = OPERATORS[rng.choice(sorted(OPERATORS.names(scope)))]
    parts = [
        rng.choice(("1", "2", "3", "-1"))
        if item.constant and rng.random() < 0.9
        else written(rng, scope, depth - 1)
        for item in operator.inputs
    ]
    parts += [
        f"{keyword.name}={rng.choice(LEAVES[scope])}"
        for keyword in operator.keywords
        if rng.random() < 0.1
    ]
    text = f"{operator.name}({', '.join(parts)})"
    return f"{text}.drawdown" if operator.name == "generate_stats" else text


@pytest.mark.parametrize("nan_handling", one_in(2, [False, True]))
def test_any_combo(nan_handling: bool) -> None:
    rng, ran = random.Random(nan_handling), 0
    for _ in range(TRIES):
        text = written(rng, "COMBO", 3)
        try:
            found = evaluate_combo(text, Alphas(), (DAYS, ALPHAS), nan_handling=nan_handling)
        except ExpressionError as problem:
            assert problem.line == 1 and 1 <= problem.column <= len(text) + 1
        else:
            ran += 1
            assert found.shape == (DAYS, ALPHAS), text
    assert ran > TRIES / 20


def test_any_selection() -> None:
    numbers = {"turnover": np.array([0.1, np.nan, 3.0]), "own": np.ones(3)}
    texts = {"color": ["a", None, "b"], "universe": ["TOP500", "", None]}
    rng, ran = random.Random(2), 0
    for _ in range(TRIES):
        text = written(rng, "SELECTION", 3)
        try:
            found = evaluate_selection(text, numbers, texts, {"tags": [["a"], [], ["b"]]})
        except ExpressionError as problem:
            assert problem.line == 1 and 1 <= problem.column <= len(text) + 1
        else:
            ran += 1
            assert found.shape == (3,), text
    assert ran > TRIES / 20
