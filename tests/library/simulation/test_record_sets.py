"""Tables of a simulation where years are split and sectors have no name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from alphafoundry.simulation import SimulationResult, SimulationSettings, simulate
from alphafoundry.simulation.breakdowns import SIZES, _fifths, breakdowns_of
from alphafoundry.simulation.pnl import BOOK
from tests.library.simulation.conftest import make_panel


@pytest.fixture(scope="module")
def split() -> SimulationResult:
    settings = SimulationSettings(test_period="P0Y6M", visualization=True)
    return simulate(
        "-ts_delta(close, 5)", make_panel(group_names={"sector": ("Energy",)}), settings
    )


def records(result: SimulationResult, name: str) -> list[list[Any]]:
    found: Any = result.record_set(name)["records"]
    return list(found)


def days_of_test(result: SimulationResult) -> np.ndarray:
    """The days of the test period, which the alpha's own statistics leave out."""
    assert result.test is not None
    return result.dates[result.dates >= np.datetime64(result.test.start_date)]


def test_a_split_year_has_two_rows_of_statistics_and_one_sharpe(split: SimulationResult) -> None:
    years = [(row[0], row[-1]) for row in records(split, "yearly-stats")]
    assert years == [(2018, "TRAIN"), (2019, "TRAIN"), (2019, "TEST"), (2020, "TEST")]
    shown = dict(records(split, "sharpe"))
    assert sorted(shown) == [2018, 2019, 2020]
    in_2019 = split.daily_pnl[split.dates.astype("datetime64[Y]") == np.datetime64("2019")]
    assert shown[2019] == round(252**0.5 * in_2019.mean() / in_2019.std(), 2)


def test_a_sector_without_a_name_is_shown_by_its_number(split: SimulationResult) -> None:
    sectors = dict(records(split, "pnl-by-sector"))
    assert set(sectors) == {"Energy", "1", "2", "Unknown"}
    assert sum(sectors.values()) == pytest.approx(split.daily_pnl.sum(), abs=0.1)


def test_columns_have_titles_for_people(split: SimulationResult) -> None:
    schema: Any = split.record_set("yearly-stats")["schema"]
    titles = [column["title"] for column in schema["properties"]]
    assert titles[:4] == ["Year", "PnL", "Book size", "Long count"]


def test_the_pnl_is_the_running_total_of_the_daily_pnl(split: SimulationResult) -> None:
    daily = [value for _, value in records(split, "daily-pnl")]
    total = [value for _, value in records(split, "pnl")]
    np.testing.assert_allclose(np.cumsum(daily), total, atol=0.005001)


def test_turnover_and_coverage_are_those_of_the_book(split: SimulationResult) -> None:
    turnover = [value for _, value in records(split, "turnover")]
    before = len(turnover) - len(days_of_test(split))
    assert np.mean(turnover[:before]) == pytest.approx(split.statistics.turnover, abs=1e-6)
    held = [value for _, value in records(split, "coverage")][:before]
    numbers = split.statistics
    assert np.mean(held) == pytest.approx(numbers.long_count + numbers.short_count)


def test_parts_of_the_book_add_up_to_it() -> None:
    panel = make_panel()
    draws = np.random.default_rng(2)
    cap = draws.lognormal(3.0, 1.0, panel.shape)
    cap[:, 0] = np.nan
    panel = replace(panel, fields={**panel.fields, "cap": cap})
    weights = draws.normal(size=panel.shape)
    weights[draws.random(panel.shape) < 0.3] = 0.0
    weights /= np.abs(weights).sum(axis=1, keepdims=True)
    found = breakdowns_of(weights, panel, start=5, behind=2)
    returns = np.nan_to_num(panel.fields["returns"])
    earned = BOOK * (weights[3:-2] * returns[5:]).sum(axis=1)
    for parts in found.values():
        np.testing.assert_allclose(parts.pnl.sum(axis=1), earned, atol=1e-6)
        held = (weights[3:-2] != 0.0).sum(axis=1).mean()
        assert parts.held.sum() == pytest.approx(held)
        assert np.nansum(parts.held * parts.size) == pytest.approx(BOOK)
    sizes = found["capitalization"]
    assert sizes.names == (*SIZES, "Unknown")
    day, place = 9, 7
    rank = int((cap[day] < cap[day, place]).sum())
    fifth = rank * 5 // int(np.isfinite(cap[day]).sum())
    assert _fifths(cap)[day, place] == fifth
    assert (_fifths(cap)[:, 0] == -1).all()
