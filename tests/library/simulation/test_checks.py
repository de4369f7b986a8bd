"""The checks at both sides of their limits."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from alphafoundry.simulation.checks import Check, SubUniverse, checks_of
from alphafoundry.simulation.ladder import sharpe_ladder
from alphafoundry.simulation.pnl import DailyPnl
from alphafoundry.simulation.statistics import Statistics

COUNT = 600
GOOD = Statistics(
    pnl=1e6,
    book_size=20e6,
    long_count=100,
    short_count=100,
    turnover=0.2,
    returns=0.1,
    drawdown=0.05,
    margin=0.001,
    sharpe=3.0,
    fitness=2.0,
    start_date="2018-01-01",
    end_date="2020-12-31",
)


def life(**columns: Any) -> DailyPnl:
    values: dict[str, Any] = {
        "dates": np.datetime64("2018-01-01") + np.arange(COUNT),
        "pnl": np.tile([3e4, -1e4], COUNT // 2),
        "traded": np.full(COUNT, 4e6),
        "longs": np.full(COUNT, 100.0),
        "shorts": np.full(COUNT, 100.0),
        "largest": np.full(COUNT, 0.02),
    }
    return DailyPnl(**values | columns)


def check_of(
    name: str, days: DailyPnl | None = None, *, delay: int = 1, **options: Any
) -> Check | None:
    numbers = {k: options.pop(k) for k in tuple(options) if hasattr(GOOD, k)}
    found = checks_of(
        dataclasses.replace(GOOD, **numbers),
        days or life(),
        delay=delay,
        **{"instruments": 500, **options},
    )
    return next((check for check in found if check.name == name), None)


@pytest.mark.parametrize(
    ("account", "delay", "limit"),
    [("user", 1, 1.25), ("user", 0, 2.0), ("consultant", 1, 1.58), ("consultant", 0, 2.69)],
)
def test_low_sharpe(account: str, delay: int, limit: float) -> None:
    over, at = round(limit + 0.01, 2), limit + 0.004
    options = {"account": account, "delay": delay}
    assert check_of("LOW_SHARPE", sharpe=over, **options) == Check(
        "LOW_SHARPE", "PASS", limit, over
    )
    assert check_of("LOW_SHARPE", sharpe=at, **options) == Check("LOW_SHARPE", "FAIL", limit, limit)


@pytest.mark.parametrize(
    ("account", "delay", "limit"),
    [("user", 1, 1.0), ("user", 0, 1.3), ("consultant", 1, 1.0), ("consultant", 0, 1.5)],
)
def test_low_fitness(account: str, delay: int, limit: float) -> None:
    options = {"account": account, "delay": delay}
    for fitness, result in ((limit + 0.01, "PASS"), (limit, "FAIL"), (math.nan, "FAIL")):
        found = check_of("LOW_FITNESS", fitness=fitness, **options)
        assert found is not None
        assert (found.result, found.limit) == (result, limit)


@pytest.mark.parametrize(
    ("turnover", "low", "high"),
    [
        (0.01, "FAIL", "PASS"),
        (0.0101, "PASS", "PASS"),
        (0.6999, "PASS", "PASS"),
        (0.7, "PASS", "FAIL"),
        (math.nan, "FAIL", "FAIL"),
    ],
)
def test_turnover(turnover: float, low: str, high: str) -> None:
    for name, result, limit in (("LOW_TURNOVER", low, 0.01), ("HIGH_TURNOVER", high, 0.7)):
        found = check_of(name, turnover=turnover)
        assert found is not None
        assert (found.result, found.limit) == (result, limit)


def test_one_heavy_instrument_on_one_day_fails_and_says_which_day() -> None:
    largest = np.full(COUNT, 0.05)
    largest[7] = 0.0999
    passed = check_of("CONCENTRATED_WEIGHT", life(largest=largest))
    assert passed == Check("CONCENTRATED_WEIGHT", "PASS", 0.1, 0.0999)
    largest[7] = 0.1
    found = check_of("CONCENTRATED_WEIGHT", life(largest=largest))
    assert found is not None
    assert found.result == "FAIL"
    assert found.message == "one instrument holds 10.0% of the book on 2018-01-08"


@pytest.mark.parametrize(("longs", "result"), [(10.0, "PASS"), (9.0, "FAIL"), (0.0, "FAIL")])
def test_too_few_instruments_on_one_side(longs: float, result: str) -> None:
    held = np.full(COUNT, 100.0)
    held[3] = longs
    found = check_of("CONCENTRATED_WEIGHT", life(longs=held))
    assert found is not None
    assert found.result == result
    if result == "FAIL":
        assert found.message is not None
        assert "on 1 days, first on 2018-01-04 with" in found.message
        assert "only" not in found.message


def test_a_market_with_too_few_instruments_is_named_as_the_cause() -> None:
    few = np.full(COUNT, 9.0)
    found = check_of("CONCENTRATED_WEIGHT", life(longs=few), instruments=20)
    assert found is not None
    assert found.message is not None
    assert found.message.endswith("this market has only 20 instruments")


def test_the_sub_universe_limit_of_the_captured_alpha() -> None:
    found = check_of(
        "LOW_SUB_UNIVERSE_SHARPE", sharpe=1.74, sub_universe=SubUniverse(1.41, 1000 / 3000)
    )
    assert found == Check("LOW_SUB_UNIVERSE_SHARPE", "PASS", 0.75, 1.41)
    other = check_of(
        "LOW_SUB_UNIVERSE_SHARPE", sharpe=2.73, sub_universe=SubUniverse(1.17, 1000 / 3000)
    )
    assert other == Check("LOW_SUB_UNIVERSE_SHARPE", "FAIL", 1.18, 1.17)


def test_without_a_smaller_universe_the_check_is_left_out() -> None:
    assert check_of("LOW_SUB_UNIVERSE_SHARPE") is None


def test_unit_warnings_become_one_check() -> None:
    found = check_of("UNITS", warnings=("first", "second"))
    assert found == Check("UNITS", "WARNING", message="first; second")
    assert check_of("UNITS") is None


def test_self_correlation_waits_for_the_check() -> None:
    found = check_of("SELF_CORRELATION")
    assert found is not None
    assert found.to_brain() == {"name": "SELF_CORRELATION", "result": "PENDING"}


def test_only_consultants_have_the_checks_of_recent_years() -> None:
    assert check_of("LOW_2Y_SHARPE") is None
    assert check_of("IS_LADDER_SHARPE") is None
    found = check_of("LOW_2Y_SHARPE", account="consultant")
    assert found == Check("LOW_2Y_SHARPE", "PASS", 1.58, 7.94)


def test_two_years_are_the_most_recent_ones() -> None:
    pnl = np.concatenate([np.tile([9e4, 8e4], 48), np.tile([-3e4, 1e4], 252)])
    found = check_of("LOW_2Y_SHARPE", life(pnl=pnl), account="consultant")
    assert found == Check("LOW_2Y_SHARPE", "FAIL", 1.58, -7.94)


def test_json_leaves_out_what_is_not_known() -> None:
    assert Check("LOW_SHARPE", "FAIL", 1.25, math.nan).to_brain() == {
        "name": "LOW_SHARPE",
        "result": "FAIL",
        "limit": 1.25,
    }


def daily(sharpe: float, years: int) -> np.ndarray:
    """Return a PnL with this Sharpe over every even number of days."""
    mean = sharpe / math.sqrt(252)
    return 1e4 * np.tile([mean + 1, mean - 1], 126 * years)


@pytest.mark.parametrize(
    ("sharpes", "turnover", "result", "years"),
    [
        ([(1.58, 10)], 0.5, "FAIL", None),
        ([(2.40, 10)], 0.5, "PASS", 2),
        ([(2.38, 10)], 0.5, "PASS", 6),
        ([(2.03, 10)], 0.2, "PASS", 2),
        ([(1.75, 10)], 0.5, "PASS", 9),
        ([(1.59, 10)], 0.5, "PASS", 10),
        ([(9.0, 8), (1.5, 2)], 0.5, "FAIL", 2),
        ([(2.0, 5)], 0.5, "WARNING", 5),
        ([(2.0, 1)], 0.5, "WARNING", None),
    ],
)
def test_the_ladder(
    sharpes: list[tuple[float, int]], turnover: float, result: str, years: int | None
) -> None:
    pnl = np.concatenate([daily(*part) for part in sharpes])
    found = sharpe_ladder(pnl, delay=1, turnover=turnover)
    assert (found.result, found.years) == (result, years)
    assert (found.message is None) == (result != "WARNING")


@pytest.mark.parametrize(
    ("delay", "passes"),
    [
        (1, {2.39: 2, 2.23: 6, 2.07: 7, 1.91: 8, 1.75: 9, 1.60: 10, 1.59: 10}),
        (0, {3.97: 2, 3.65: 6, 3.34: 7, 3.18: 8, 2.86: 9, 2.70: 10, 2.69: 10}),
    ],
)
def test_each_rung_of_the_ladder_has_its_own_limit(delay: int, passes: dict[float, int]) -> None:
    for sharpe, years in passes.items():
        found = sharpe_ladder(daily(sharpe, 10), delay=delay, turnover=0.3)
        assert (found.result, found.years) == ("PASS", years), sharpe
    lowest = sharpe_ladder(daily(min(passes) - 0.01, 10), delay=delay, turnover=0.3)
    assert (lowest.result, lowest.limit) == ("FAIL", min(passes))
