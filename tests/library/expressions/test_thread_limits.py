"""How many threads an operator may use."""

from __future__ import annotations

import pytest

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
