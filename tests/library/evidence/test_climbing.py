"""The luck line of a search that climbs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphafoundry.evidence import climb, luck_line, lucky_share
from alphafoundry.evidence.climbing import MEASURED


@given(st.integers(1, 100_000), st.integers(2, 5000))
def test_a_climbing_search_has_no_lower_line_than_independent_draws(trials: int, days: int) -> None:
    plain, climbing = luck_line(trials, days), luck_line(trials, days, climbing=True)
    assert climbing.mean >= plain.mean
    assert climbing.quantile >= plain.quantile


def test_what_was_measured_is_given_back_and_nothing_climbs_with_one_trial() -> None:
    assert climb(1) == (0.0, 0.0)
    for one in MEASURED:
        assert climb(one.trials) == pytest.approx((max(one.best, 0.0), max(one.best_high, 0.0)))
        assert lucky_share(one.trials) == pytest.approx(one.hopeful)
    last = MEASURED[-1]
    assert climb(100 * last.trials) == pytest.approx(climb(last.trials))
    assert lucky_share(100 * last.trials) == pytest.approx(last.hopeful)
    assert lucky_share(1) == MEASURED[0].hopeful


@given(st.integers(1, 2000))
def test_a_line_follows_the_trials_without_a_jump(trials: int) -> None:
    one, next_one = luck_line(trials, 877, climbing=True), luck_line(trials + 1, 877, climbing=True)
    assert one.mean <= next_one.mean
    share, next_share = lucky_share(trials), lucky_share(trials + 1)
    assert abs(next_share - share) < 0.01
