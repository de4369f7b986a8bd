"""Which day a bar is of: time zones, days on Sundays, and how dates are written."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphafoundry.errors import MarketError
from alphafoundry.market.bars import Bars
from alphafoundry.market.dates import read_stamps
from alphafoundry.market.files import read_bars

WEEKDAYS = pd.bdate_range("2021-01-04", "2021-12-31")
ZONES = [
    *("America/New_York", "America/Chicago", "America/Toronto", "Europe/London", "Europe/Paris"),
    *("Europe/Zurich", "Europe/Stockholm", "Asia/Tokyo", "Asia/Seoul", "Asia/Hong_Kong"),
    *("Asia/Singapore", "Asia/Kolkata", "Australia/Sydney", "Pacific/Auckland"),
]


def read_texts(tmp_path: Path, dates: list[str]) -> Bars:
    path = tmp_path / "X.csv"
    rows = [f"{text},{10 + place % 7}" for place, text in enumerate(dates)]
    path.write_text("\n".join(["Date,Close", *rows]))
    return read_bars(path, progress=lambda _: None)


def notes_of(bars: Bars, kind: str) -> str:
    return " | ".join(note.detail for note in bars.notes if note.kind == kind)


def assert_days(bars: Bars, expected: pd.DatetimeIndex) -> None:
    np.testing.assert_array_equal(bars.dates, expected.to_numpy().astype("datetime64[D]"))


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("form", ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ", "ns", "parquet"])
def test_midnights_of_an_exchange_in_utc(tmp_path: Path, zone: str, form: str) -> None:
    moments = WEEKDAYS.tz_localize(zone).tz_convert("UTC")
    if form == "parquet":
        frame = pd.DataFrame(
            {"date": moments, "symbol": "X", "close": np.arange(len(moments)) + 1.0}
        )
        frame.to_parquet(tmp_path / "X.parquet")
        bars = read_bars(tmp_path / "X.parquet", progress=lambda _: None)
    elif form == "ns":
        bars = read_texts(tmp_path, [str(moment.value) for moment in moments])
    else:
        bars = read_texts(tmp_path, [moment.strftime(form) for moment in moments])
    assert_days(bars, WEEKDAYS)


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York", "Europe/London"])
def test_stamps_with_their_offset_are_of_the_day_that_is_written(tmp_path: Path, zone: str) -> None:
    assert_days(read_texts(tmp_path, [str(day) for day in WEEKDAYS.tz_localize(zone)]), WEEKDAYS)


def test_two_exchanges_in_one_file(tmp_path: Path) -> None:
    parts = [
        pd.DataFrame(
            {"date": WEEKDAYS.tz_localize(zone).tz_convert("UTC"), "symbol": zone, "close": 5.0}
        )
        for zone in ("America/New_York", "Asia/Tokyo", "Europe/London")
    ]
    table = pd.concat(parts).assign(close=lambda frame: 5.0 + np.arange(len(frame)) % 9)
    table.to_csv(tmp_path / "b.csv", index=False)
    bars = read_bars(tmp_path / "b.csv", progress=lambda _: None)
    assert_days(bars, WEEKDAYS)
    assert not np.isnan(bars.values["close"]).any()
    assert "Asia/Tokyo" in notes_of(bars, "time-zone")


@pytest.mark.parametrize("clock", ["14:30:00", "20:00:00", "21:00:00", "16:00"])
def test_a_time_on_the_day_changes_nothing(tmp_path: Path, clock: str) -> None:
    bars = read_texts(tmp_path, [f"{day:%Y-%m-%d} {clock}" for day in WEEKDAYS])
    assert_days(bars, WEEKDAYS)
    assert not notes_of(bars, "time-zone")


def test_evenings_before_are_the_next_day(tmp_path: Path) -> None:
    before = WEEKDAYS - pd.Timedelta(days=1)
    bars = read_texts(tmp_path, [f"{day:%Y-%m-%d} 17:45:00" for day in before])
    assert_days(bars, WEEKDAYS)
    assert "next day" in notes_of(bars, "weekdays")


def test_sunday_to_thursday_without_times_stays_and_is_told(tmp_path: Path) -> None:
    before = WEEKDAYS - pd.Timedelta(days=1)
    bars = read_texts(tmp_path, [f"{day:%Y-%m-%d}" for day in before])
    assert_days(bars, before)
    assert "Riyadh" in notes_of(bars, "weekdays")


def test_tuesday_to_saturday_is_the_day_before(tmp_path: Path) -> None:
    after = WEEKDAYS + pd.Timedelta(days=1)
    assert_days(read_texts(tmp_path, [f"{day:%Y-%m-%d}" for day in after]), WEEKDAYS)


def test_a_summer_that_is_shifted_is_told(tmp_path: Path) -> None:
    moments = WEEKDAYS.tz_localize("Europe/London").tz_convert("UTC")
    bars = read_texts(tmp_path, [f"{moment:%Y-%m-%d}" for moment in moments])
    assert "Sundays" in notes_of(bars, "weekdays")


@pytest.mark.parametrize(
    "days",
    [
        pd.date_range("2021-01-01", periods=200),
        pd.date_range("2021-01-03", periods=60, freq="W-SUN"),
        pd.date_range("2021-01-01", periods=60, freq="W-FRI"),
        pd.date_range("2021-01-01", periods=30, freq="MS"),
        pd.bdate_range("2021-01-01", periods=200, freq="C", weekmask="Mon Tue Wed Thu Fri Sun"),
    ],
    ids=["coins", "weeks to Sunday", "weeks to Friday", "months", "currencies with Sundays"],
)
def test_other_calendars_stay_without_a_word(tmp_path: Path, days: pd.DatetimeIndex) -> None:
    bars = read_texts(tmp_path, [f"{day:%Y-%m-%d}" for day in days])
    assert_days(bars, days)
    assert not notes_of(bars, "weekdays")


FORMS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d.%m.%Y", "%d.%m.%y", "%b %d, %Y"),
    *("%B %d, %Y", "%d-%b-%Y", "%d-%b-%y", "%d %B %Y", "%a, %d %b %Y", "%Y-%m-%d 00:00:00"),
    *("%Y-%m-%dT00:00:00.000Z", "%Y-%m-%d 00:00:00+00:00", "%Y%m%d 000000", "%d.%m.%Y 16:00"),
)


def parse(texts: list[str], date_format: str | None = None) -> list[date]:
    stamps = read_stamps(
        pa.chunked_array([texts], pa.string()),
        source="table",
        place=lambda row: f"row {row + 1}",
        date_format=date_format,
    )
    return [date(1970, 1, 1) + timedelta(days=int(day)) for day in stamps.days]


DAYS = st.lists(st.dates(date(1975, 1, 1), date(2060, 12, 31)), min_size=1, max_size=20)


@settings(deadline=None)
@given(days=DAYS, form=st.sampled_from(FORMS))
def test_dates_are_read_as_they_were_written(days: list[date], form: str) -> None:
    if "%y" in form:
        days = [day for day in days if day.year < 2060] or [date(2001, 2, 3)]
    assert parse([day.strftime(form) for day in days]) == days


@settings(deadline=None)
@given(days=DAYS, form=st.sampled_from(["%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%y"]))
def test_day_and_month_are_never_guessed(days: list[date], form: str) -> None:
    texts = [day.strftime(form) for day in days]
    if any(day.day > 12 for day in days):
        assert parse(texts) == days
    else:
        with pytest.raises(MarketError, match="date_format"):
            parse(texts)
    assert parse(texts, form) == days


@settings(deadline=None)
@given(days=DAYS, unit=st.sampled_from([1, 10**3, 10**6, 10**9]))
def test_times_since_1970_in_every_unit(days: list[date], unit: int) -> None:
    seconds = [(day - date(1970, 1, 1)).days * 86_400 for day in days]
    assert parse([str(number * unit) for number in seconds]) == days
