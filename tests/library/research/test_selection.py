"""Which alphas can be submitted, and in which order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphafoundry.brain.models import AlphaInfo
from alphafoundry.errors import BrainUnavailable
from alphafoundry.research import (
    PnlSeries,
    least_correlated_first,
    obstacles,
    submittable,
)
from alphafoundry.research.run import ResearchRun
from alphafoundry.research.selection import worthiest_first
from alphafoundry.research.submission import _by_gain
from alphafoundry.runs import Stop
from alphafoundry.store import AlphaRow

DATES = np.arange("2020-01-01", "2021-06-01", dtype="datetime64[D]")


@dataclass(frozen=True)
class Check:
    name: str
    result: str
    value: float | None = None
    limit: float | None = None
    message: str | None = None


@dataclass(frozen=True)
class Alpha:
    name: str
    checks: tuple[Check, ...]


GOOD = (Check("LOW_SHARPE", "PASS", 1.9, 1.25), Check("SELF_CORRELATION", "PENDING"))


def test_passing_checks_can_be_submitted() -> None:
    alpha = Alpha("good", GOOD)
    selection = submittable([alpha])
    assert selection.submittable == (alpha,)
    assert selection.refused == ()


def test_a_refused_alpha_says_which_check_with_value_and_limit() -> None:
    alpha = Alpha("bad", (*GOOD, Check("HIGH_TURNOVER", "FAIL", 0.81, 0.7)))
    ((refused, (obstacle,)),) = submittable([alpha]).refused
    assert refused is alpha
    assert (obstacle.check, obstacle.value, obstacle.limit) == ("HIGH_TURNOVER", 0.81, 0.7)
    assert str(obstacle) == "HIGH_TURNOVER FAIL 0.81 (limit 0.7)"


@pytest.mark.parametrize(
    ("check", "before_check", "after_check"),
    [
        (Check("UNITS", "WARNING", message="Incompatible unit"), True, True),
        (Check("SELF_CORRELATION", "PENDING"), True, False),
        (Check("PROD_CORRELATION", "PENDING"), True, False),
        (Check("LOW_SUB_UNIVERSE_SHARPE", "PENDING"), False, False),
        (Check("MATCHES_COMPETITION", "PENDING"), True, True),
        (Check("LOW_FITNESS", "ERROR"), False, False),
        (Check("SELF_CORRELATION", "FAIL", 0.9, 0.7), False, False),
        (Check("LOW_FITNESS", "SOMETHING_NEW"), False, False),
    ],
)
def test_which_results_stand_against_a_submission(
    check: Check, before_check: bool, after_check: bool
) -> None:
    assert (not obstacles([check])) is before_check
    assert (not obstacles([check], checked=True)) is after_check


def test_an_alpha_without_checks_was_not_judged() -> None:
    assert [str(obstacle) for obstacle in obstacles([])] == [
        "CHECKS MISSING: the alpha has no checks; simulate it"
    ]


def test_checks_of_a_brain_answer_are_found_under_is() -> None:
    answer = {
        "id": "N1W8eLlL",
        "type": "REGULAR",
        "regular": {"code": "rank(close)"},
        "checks": [{"name": "LOW_FITNESS", "result": "PASS"}],
        "is": {
            "fitness": 0.82,
            "checks": [
                {"name": "LOW_SHARPE", "result": "PASS", "limit": 1.25, "value": 1.74},
                {"name": "LOW_FITNESS", "result": "FAIL", "limit": 1.0, "value": 0.82},
                {"name": "SELF_CORRELATION", "result": "PENDING"},
            ],
        },
    }
    ((_, against),) = submittable([AlphaInfo.from_brain(answer)]).refused
    assert [str(obstacle) for obstacle in against] == ["LOW_FITNESS FAIL 0.82 (limit 1)"]


def series(name: str, pnl: np.ndarray, fitness: float = 1.0) -> PnlSeries:
    return PnlSeries(name, DATES, pnl, fitness)


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=len(DATES))


def test_the_least_correlated_comes_first_and_the_too_similar_are_dropped() -> None:
    submitted = series("old", noise(0))
    half = series("half", noise(0) + noise(1) * 1.7)
    fresh = series("fresh", noise(2))
    twin = series("twin", noise(0) + noise(3) * 0.1)
    order = least_correlated_first([twin, half, fresh], [submitted], max_correlation=0.7)
    assert [placing.alpha_id for placing in order.placed] == ["fresh", "half"]
    (dropped,) = order.dropped
    assert (dropped.alpha_id, dropped.nearest) == ("twin", "old")
    assert dropped.reason is not None and "with old is above 0.7" in dropped.reason


def test_an_alpha_like_one_already_placed_is_dropped_even_with_the_other_sign() -> None:
    first = series("first", noise(5), fitness=2.0)
    mirror = series("mirror", -noise(5), fitness=1.0)
    order = least_correlated_first([mirror, first], [])
    assert [placing.alpha_id for placing in order.placed] == ["first"]
    assert order.dropped[0].nearest == "first"
    assert order.dropped[0].correlation == pytest.approx(1.0)


def test_ties_go_to_the_higher_fitness() -> None:
    candidates = [
        series("a", noise(1), 0.9),
        series("b", noise(2), 1.8),
        series("c", noise(3), math.nan),
    ]
    assert least_correlated_first(candidates, []).placed[0].alpha_id == "b"


@given(st.permutations(range(5)), st.integers(0, 1000))
def test_the_order_does_not_depend_on_the_order_given(order: list[int], seed: int) -> None:
    base = noise(seed)
    candidates = [series(f"a{i}", base * i / 4 + noise(seed + 10 + i)) for i in range(5)]
    expected = least_correlated_first(candidates, [series("old", base)])
    found = least_correlated_first([candidates[i] for i in order], [series("old", base)])
    assert found == expected


def test_each_placed_alpha_is_the_least_correlated_of_those_left() -> None:
    base = noise(7)
    candidates = [series(f"a{i}", base * i / 6 + noise(20 + i)) for i in range(7)]
    before = [base]
    left = {one.alpha_id: one.daily_pnl for one in candidates}
    for placing in least_correlated_first(
        candidates, [series("old", base)], max_correlation=1.0
    ).placed:
        worst = {
            name: max(abs(np.corrcoef(pnl, other)[0, 1]) for other in before)
            for name, pnl in left.items()
        }
        assert placing.correlation == pytest.approx(min(worst.values()))
        assert worst[placing.alpha_id] == min(worst.values())
        before.append(left.pop(placing.alpha_id))
    assert not left


def test_a_pnl_that_never_moves_counts_as_uncorrelated() -> None:
    flat = series("flat", np.zeros(len(DATES)))
    order = least_correlated_first([flat], [series("old", noise(1))])
    assert [placing.correlation for placing in order.placed] == [0.0]


def test_the_better_verdict_goes_first_and_within_it_what_is_fit_and_new() -> None:
    base = noise(1)
    submitted = series("old", base)
    alike = series("alike", base + 1.2 * noise(2), 2.0)
    fresh = series("fresh", noise(3), 1.5)
    odd = series("odd", noise(4), 0.6)
    proven = series("proven", noise(5), 0.5)
    twin = series("twin", base + 0.1 * noise(6), 9.0)
    rank = {"alike": 1, "fresh": 1, "odd": 1, "proven": 0, "twin": 0}
    order = worthiest_first([twin, odd, alike, fresh, proven], [submitted], rank)
    assert [one.alpha_id for one in order.placed] == ["proven", "fresh", "alike", "odd"]
    assert [one.alpha_id for one in order.dropped] == ["twin"]


async def test_submissions_can_go_by_what_they_add_to_the_pool() -> None:
    gains = {"a": 0.1, "b": None, "c": 0.4, "d": 9.0}

    async def gain_to_pool(alpha_id: str) -> float | None:
        if alpha_id == "d":
            raise BrainUnavailable("away")
        return gains[alpha_id]

    alphas = [SimpleNamespace(alpha_id=name) for name in gains]
    obstacles: dict[str, str] = {}
    run = SimpleNamespace(
        brain=SimpleNamespace(gain_to_pool=gain_to_pool),
        stop=Stop(),
        tally=SimpleNamespace(obstacles=obstacles),
    )
    ordered = await _by_gain(cast(ResearchRun, run), cast(list[AlphaRow], alphas))
    assert [alpha.alpha_id for alpha in ordered] == ["c", "a", "b", "d"]
    assert obstacles == {"d": "its gain is not known: away"}
