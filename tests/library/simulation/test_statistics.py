"""Statistics by BRAIN's formulas, and how they are rounded."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphafoundry.finance.statistics import sharpe
from alphafoundry.simulation.pnl import BOOK, DailyPnl
from alphafoundry.simulation.statistics import (
    Statistics,
    annual_returns,
    drawdown,
    fitness,
    grade,
    margin,
    statistics,
    yearly,
)
from tests.property_tests import examples


def life(pnl: np.ndarray, start: str = "2018-03-01") -> DailyPnl:
    count = len(pnl)
    ones = np.ones(count)
    return DailyPnl(
        dates=np.busday_offset(start, np.arange(count)).astype("datetime64[D]"),
        pnl=pnl,
        traded=np.full(count, 2e6),
        longs=20 * ones,
        shorts=21 * ones,
        largest=0.05 * ones,
    )


def test_the_captured_consultant_alpha_obeys_the_formulas() -> None:
    pnl, days, turnover = 1_946_403, 2516, 0.0242
    returns = annual_returns(pnl, days)
    assert round(returns, 4) == 0.0195
    assert round(fitness(0.19, returns, turnover), 2) == 0.08
    assert margin(pnl, turnover * BOOK * days) == pytest.approx(0.001611, rel=0.01)


def test_the_captured_user_alpha_obeys_the_formulas() -> None:
    pnl, days, turnover = 6_717_571, 1247, 0.6165
    assert round(annual_returns(pnl, days), 4) == 0.1358
    assert round(fitness(1.74, 0.1358, turnover), 2) == 0.82
    assert round(margin(pnl, turnover * BOOK * days), 5) == 0.00044
    assert grade(0.82, 1) == "INFERIOR"


def test_sharpe_is_annualised_with_252_days_and_the_population_deviation() -> None:
    assert sharpe(np.array([3.0, 1.0])) == pytest.approx(math.sqrt(252) * 2.0)


@pytest.mark.parametrize("daily", [[], [5.0], [0.1, 0.1, 0.1], [1e-200, 2e-200]])
def test_a_pnl_that_never_changes_has_no_sharpe(daily: list[float]) -> None:
    assert math.isnan(sharpe(np.array(daily)))


def test_low_turnover_stops_helping_fitness() -> None:
    assert fitness(2.0, 0.125, 0.01) == fitness(2.0, 0.125, 0.125) == 2.0
    assert fitness(2.0, 0.125, 0.5) == 1.0
    assert fitness(-2.0, -0.125, 0.125) == -2.0


@pytest.mark.parametrize("numbers", [(math.nan, 1, 1), (1, math.nan, 1), (1, 1, math.nan)])
def test_fitness_of_nothing_known_is_nan(numbers: tuple[float, float, float]) -> None:
    assert math.isnan(fitness(*numbers))


def test_drawdown_is_the_deepest_fall_over_half_the_book() -> None:
    assert drawdown(np.array([1e6, -3e6, 1e6, -1e6, 9e6])) == pytest.approx(0.3)
    assert drawdown(np.array([-2e6, 1e6])) == pytest.approx(0.2)
    assert drawdown(np.array([1e6, 1e6])) == 0.0


@settings(max_examples=examples(100), deadline=None)
@given(st.integers(1, 900), st.integers(0, 2**31), st.one_of(st.none(), st.integers(0, 900)))
def test_years_add_up_to_the_total(count: int, seed: int, test_start: int | None) -> None:
    days = life(np.random.default_rng(seed).normal(0, 1e5, count))
    years = yearly(days, test_start)
    whole = statistics(days)
    assert sum(year.statistics.pnl for year in years) == pytest.approx(whole.pnl, abs=1e-4)
    assert years[0].statistics.start_date == whole.start_date
    assert years[-1].statistics.end_date == whole.end_date


def test_a_year_that_is_split_has_a_part_in_each_stage() -> None:
    days = life(np.arange(500.0))
    cut = int(np.searchsorted(days.dates, np.datetime64("2019-07-01")))
    assert [(year.year, year.stage) for year in yearly(days, cut)] == [
        (2018, "TRAIN"),
        (2019, "TRAIN"),
        (2019, "TEST"),
        (2020, "TEST"),
    ]


def test_without_a_test_period_every_year_is_for_training() -> None:
    assert {year.stage for year in yearly(life(np.arange(500.0)))} == {"TRAIN"}


def test_rounding_is_brains() -> None:
    found = Statistics(
        pnl=1_946_402.6,
        book_size=20e6,
        long_count=1527.5001,
        short_count=1532.6,
        turnover=0.024249,
        returns=0.019449,
        drawdown=0.54531,
        margin=0.0016106,
        sharpe=-0.0049,
        fitness=math.nan,
        start_date="2014-01-01",
        end_date="2023-12-31",
    ).to_brain()
    assert found == {
        "pnl": 1_946_403,
        "bookSize": 20_000_000,
        "longCount": 1528,
        "shortCount": 1533,
        "turnover": 0.0242,
        "returns": 0.0194,
        "drawdown": 0.5453,
        "margin": 0.001611,
        "sharpe": 0.0,
        "fitness": None,
        "startDate": "2014-01-01",
    }
    assert isinstance(found["pnl"], int)
    assert math.copysign(1.0, float(str(found["sharpe"]))) == 1.0


def test_no_days_have_no_statistics() -> None:
    found = statistics(life(np.array([])).between(0, 0))
    assert math.isnan(found.sharpe)
    assert found.pnl == 0.0


@pytest.mark.parametrize(
    ("value", "delay", "expected"),
    [
        (2.51, 1, "SPECTACULAR"),
        (2.5, 1, "EXCELLENT"),
        (2.0, 1, "GOOD"),
        (1.5, 1, "AVERAGE"),
        (1.004, 1, "INFERIOR"),
        (3.26, 0, "SPECTACULAR"),
        (2.61, 0, "EXCELLENT"),
        (1.96, 0, "GOOD"),
        (1.31, 0, "AVERAGE"),
        (1.3, 0, "INFERIOR"),
        (math.nan, 1, "INFERIOR"),
    ],
)
def test_grades(value: float, delay: int, expected: str) -> None:
    assert grade(value, delay) == expected
