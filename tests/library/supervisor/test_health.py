"""The formula of health: bounds, direction, and the documented values."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphafoundry.supervisor.health import MENDABLE, Signs, health, told
from alphafoundry.supervisor.leaks import memory_rise

SIGNS = st.builds(
    Signs,
    ready=st.booleans(),
    crashes=st.integers(0, 60),
    max_restarts=st.integers(0, 60),
    beat=st.none() | st.floats(0, 10),
    memory=st.none() | st.floats(0, 2),
    cpu=st.none() | st.floats(0, 2),
    errors=st.integers(0, 1000),
    probes=st.none() | st.integers(0, 10).map(lambda passed: (passed, 10)),
    hours_to_limit=st.none() | st.floats(0, 100),
)


@given(SIGNS)
def test_a_score_lies_between_0_and_1_and_is_the_product_of_its_factors(signs: Signs) -> None:
    found = health(signs)
    assert found.score is not None and found.mendable is not None
    product = mendable = 1.0
    for name, value in found.factors.items():
        assert 0 <= value <= 1
        product *= value
        mendable *= value if name in MENDABLE else 1
    assert found.score == pytest.approx(product) and found.mendable == pytest.approx(mendable)
    assert found.score <= found.mendable + 1e-12


@given(SIGNS, st.sampled_from(["crashes", "beat", "memory", "cpu", "errors"]), st.floats(0, 3))
def test_more_of_anything_bad_never_raises_health(signs: Signs, name: str, more: float) -> None:
    value = getattr(signs, name)
    worse = 1 if value is None else value + (int(more) if name in ("crashes", "errors") else more)
    before, after = health(signs).score, health(replace(signs, **{name: worse})).score
    assert before is not None and after is not None and after <= before + 1e-12


@pytest.mark.parametrize(
    ("signs", "score"),
    [
        (Signs(ready=True), 1.0),
        (Signs(ready=False), 0.0),
        (Signs(ready=True, errors=10), 0.5),
        (Signs(ready=True, crashes=25, max_restarts=49), 0.5),
        (Signs(ready=True, beat=2.0), 0.5),
        (Signs(ready=True, memory=0.95), 0.5),
        (Signs(ready=True, probes=(7, 10)), 0.7),
        (Signs(ready=True, hours_to_limit=3.0), 0.5),
        (Signs(ready=True, hours_to_limit=0.0), 0.2),
        (Signs(), None),
    ],
)
def test_documented_values(signs: Signs, score: float | None) -> None:
    found = health(signs).score
    assert found == (None if score is None else pytest.approx(score))


def test_a_night_of_crashes_and_logged_errors_does_not_ask_for_another_restart() -> None:
    found = health(Signs(ready=True, crashes=40, errors=24))
    assert found.score is not None and found.score < 0.1 and found.mendable == 1.0
    assert "1.00 of it a restart could mend" in told(found)
    assert found.worst == "crashes"


def _memory(hours: float, size: object) -> list[tuple[float, float]]:
    return [(60.0 * m, size(m / 60)) for m in range(int(hours * 60))]  # type: ignore[operator]


def test_memory_that_grows_is_a_rise_and_flat_or_saw_toothed_is_not() -> None:
    mb = 2.0**20
    assert memory_rise(_memory(6, lambda h: 300 * mb)) is None
    assert memory_rise(_memory(6, lambda h: (300 + 200 * ((h * 3) % 1)) * mb)) is None
    assert memory_rise(_memory(1, lambda h: (300 + 100 * h) * mb)) is None
    found = memory_rise(_memory(6, lambda h: (300 + 30 * h) * mb), limit=600 * mb)
    assert found is not None
    assert found.slope == pytest.approx(30 * mb, rel=0.05)
    assert found.hours_to_limit == pytest.approx(4.0, abs=0.4)
