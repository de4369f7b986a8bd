"""How many bars a year has, as the dates say."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphafoundry.market.calendar import trading_days
from alphafoundry.market.frequency import bars_a_year, calendar_name


def dates(frequency: str, periods: int, start: str = "2015-01-02") -> np.ndarray:
    return pd.date_range(start, periods=periods, freq=frequency).to_numpy().astype("datetime64[D]")


@pytest.mark.parametrize(
    ("frequency", "expected", "name"),
    [
        ("B", 252, "exchange days"),
        ("C", 252, "exchange days"),
        ("D", 365, "every day of the week"),
        ("W-FRI", 52, "weekly"),
        ("W-MON", 52, "weekly"),
        ("ME", 12, "monthly"),
        ("BMS", 12, "monthly"),
        ("QE", 4, "quarterly"),
        ("YE", 1, "yearly"),
    ],
)
@pytest.mark.parametrize("periods", [12, 60, 600])
def test_the_usual_calendars(frequency: str, expected: float, name: str, periods: int) -> None:
    if frequency in ("QE", "YE"):
        periods = min(periods, 60)
    found = bars_a_year(dates(frequency, periods))
    assert (found, calendar_name(found)) == (expected, name)


def test_sunday_to_thursday_is_an_exchange_week() -> None:
    week = pd.bdate_range("2020-01-05", periods=500, freq="C", weekmask="Sun Mon Tue Wed Thu")
    assert bars_a_year(week.to_numpy()) == 252


def test_new_york_with_its_holidays_has_exactly_252() -> None:
    days = trading_days(date(2012, 1, 3), 1500)
    assert bars_a_year(days) == 252.0


@given(st.integers(0, 1300), st.integers(3, 400))
def test_a_part_of_a_year_of_exchange_days_is_never_anything_else(start: int, count: int) -> None:
    assert bars_a_year(dates("B", 1800)[start : start + count]) == 252


def test_other_distances_count_as_they_are() -> None:
    assert bars_a_year(dates("14D", 100)) == pytest.approx(365.25 / 14)
    assert bars_a_year(dates("28D", 100)) == pytest.approx(365.25 / 28)
    assert bars_a_year(dates("WOM-4FRI", 100)) == 12
    assert bars_a_year(dates("D", 2)) == 252
