"""How many threads an operator may use."""

from __future__ import annotations

import numpy as np
import pytest

from alphafoundry.expressions import Evaluator, threads
from alphafoundry.expressions.threads import at_most, available_cores, threads_here


@pytest.mark.parametrize(
    ("outer", "inner", "expected"),
    [(1, None, 1), (1, 4, 1), (4, 2, 2), (None, 3, 3), (3, None, 3)],
)
def test_an_outer_limit_holds(outer: int | None, inner: int | None, expected: int) -> None:
    with at_most(outer):
        before = threads_here()
        with at_most(inner):
            assert threads_here() == expected
        assert threads_here() == before
    assert threads_here() == available_cores()


def test_an_evaluator_keeps_to_a_limit_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class PoolAsked(Exception):
        pass

    def pool() -> None:
        raise PoolAsked

    monkeypatch.setattr(threads, "_pool", pool)
    evaluator = Evaluator({"x": np.ones((300, 300))}, threads=4)
    with pytest.raises(PoolAsked):
        evaluator.evaluate("rank(x)")
    with at_most(1):
        evaluator.evaluate("rank(x)")
        assert len(list(evaluator.evaluate_many(["zscore(x)", "x + rank(x)"]))) == 2
