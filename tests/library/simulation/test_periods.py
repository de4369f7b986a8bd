"""Calendar arithmetic and the correlation of two alphas."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import ValidationError

from alphafoundry.errors import ConfigurationError
from alphafoundry.simulation import SimulationSettings
from alphafoundry.simulation.correlation import pnl_correlation
from alphafoundry.simulation.periods import before


@pytest.mark.parametrize(
    ("day", "duration", "expected"),
    [
        ("2024-01-03", "P0Y0M", "2024-01-03"),
        ("2024-01-03", "P1Y0M", "2023-01-03"),
        ("2024-03-31", "P0Y1M", "2024-02-29"),
        ("2024-02-29", "P1Y0M", "2023-02-28"),
        ("2024-01-03", "P1Y6M3D", "2022-06-30"),
    ],
)
def test_days_before(day: str, duration: str, expected: str) -> None:
    assert before(np.datetime64(day), duration) == np.datetime64(expected)


def test_a_period_written_otherwise_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="testPeriod: '1 year' is not a period"):
        before(np.datetime64("2024-01-03"), "1 year")


@pytest.mark.parametrize("period", ["P7Y0M", "P0Y12M", "P1Y", "P0Y0M" + 30 * "9" + "D", "P0Y0M٣D"])
def test_a_test_period_out_of_bounds_is_refused(period: str) -> None:
    with pytest.raises(ValidationError, match=r"test_?[pP]eriod"):
        SimulationSettings(test_period=period)


DATES = np.arange(np.datetime64("2015-01-01"), np.datetime64("2021-01-01"))


def test_correlation_equals_numpys_over_the_last_four_years() -> None:
    draw = np.random.default_rng(0)
    a = draw.normal(size=len(DATES))
    b = 0.5 * a + draw.normal(size=len(DATES))
    recent = np.datetime64("2016-12-31") < DATES
    expected = np.corrcoef(a[recent], b[recent])[0, 1]
    a[~recent] *= -50
    assert pnl_correlation(DATES, a, DATES, b) == pytest.approx(expected, abs=1e-12)


def test_only_common_days_count() -> None:
    draw = np.random.default_rng(1)
    a = draw.normal(size=len(DATES))
    assert pnl_correlation(DATES[::2], a[::2], DATES[::3], 2 * a[::3]) == pytest.approx(1.0)
    assert pnl_correlation(DATES, a, DATES, -a) == pytest.approx(-1.0)


def test_days_with_a_missing_pnl_are_left_out() -> None:
    a = np.random.default_rng(2).normal(size=len(DATES))
    holed = a.copy()
    holed[-5] = np.nan
    assert pnl_correlation(DATES, a, DATES, holed) == pytest.approx(1.0)


def test_days_that_only_one_alpha_has_change_no_bit() -> None:
    a, b = np.random.default_rng(5).normal(size=(2, len(DATES)))
    same = pnl_correlation(DATES, a, DATES, b)
    assert pnl_correlation(DATES, a, DATES.copy(), b) == same
    more = np.append(DATES, DATES[-1] + 1)
    assert pnl_correlation(more, np.append(a, 3.0), DATES, b) == same


@pytest.mark.parametrize("length", [0, 19])
def test_too_few_common_days_have_no_correlation(length: int) -> None:
    a = np.arange(float(length))
    assert math.isnan(pnl_correlation(DATES[:length], a, DATES[:length], a))


def test_a_pnl_that_never_changes_has_no_correlation() -> None:
    a = np.arange(float(len(DATES)))
    assert math.isnan(pnl_correlation(DATES, a, DATES, np.full(len(DATES), 0.1)))
