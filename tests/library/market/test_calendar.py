from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alphafoundry.market.calendar import easter, exchange_holidays, trading_days


@pytest.mark.parametrize(
    ("year", "day"),
    [
        (2000, date(2000, 4, 23)),
        (2008, date(2008, 3, 23)),
        (2019, date(2019, 4, 21)),
        (2024, date(2024, 3, 31)),
        (2038, date(2038, 4, 25)),
    ],
)
def test_easter_falls_where_the_church_tables_have_it(year: int, day: date) -> None:
    assert easter(year) == day


@pytest.mark.parametrize("file", ["us_equities_2016_2021.parquet", "us_top3000_2012_2017.parquet"])
def test_the_calendar_is_that_of_real_trading(market_data: Path, file: str) -> None:
    dates = pd.read_parquet(market_data / file, columns=["date"])["date"]
    real = np.unique(pd.to_datetime(dates).to_numpy().astype("datetime64[D]"))
    ours = trading_days(pd.Timestamp(real[0]).date(), len(real))
    assert np.array_equal(ours, real)


def test_new_year_on_a_saturday_is_not_observed() -> None:
    assert date(2021, 12, 31) not in exchange_holidays(2021)
    assert not any(day.month == 1 and day.day < 10 for day in exchange_holidays(2022))


def test_juneteenth_is_a_holiday_since_2022() -> None:
    assert date(2021, 6, 18) not in exchange_holidays(2021)
    assert date(2022, 6, 20) in exchange_holidays(2022)
    assert date(2023, 6, 19) in exchange_holidays(2023)
