"""The whole way from values to statistics, against the slow reference."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphafoundry.errors import SimulationError
from alphafoundry.expressions.threads import at_most
from alphafoundry.simulation import SimulationSettings, simulate
from alphafoundry.simulation.holding import held, judged
from alphafoundry.simulation.pnl import DailyPnl, daily_pnl
from alphafoundry.simulation.statistics import statistics
from alphafoundry.simulation.weights import to_weights
from tests.library.simulation import reference
from tests.library.simulation.conftest import make_panel
from tests.property_tests import examples


@dataclass
class Market:
    """Arrays of shape (n_days, n_instruments)."""

    values: np.ndarray
    returns: np.ndarray
    mask: np.ndarray
    labels: np.ndarray


@st.composite
def markets(draw: st.DrawFn) -> Market:
    """Return a market with ties, holes, infinities, constants, empty days and unknown groups.

    Values are whole or parts of 64, so that the reference adds them without rounding.
    """
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(3, 16)), draw(st.integers(1, 12)))
    holes = draw(st.sampled_from([0.0, 0.1, 0.6]))
    parts = draw(st.sampled_from([1, 64]))
    values = np.round(parts * random.normal(size=shape)) / parts
    returns = 0.02 * random.normal(size=shape)
    for array in (values, returns):
        for gap in (np.nan, np.inf, -np.inf):
            array[random.random(shape) < holes / 3] = gap
    if draw(st.booleans()):
        values[:, random.integers(shape[1])] = 1.0
    mask = random.random(shape) >= holes
    for day in draw(st.lists(st.integers(0, shape[0] - 1), max_size=3)):
        values[day] = draw(st.sampled_from([np.nan, 0.0, 3.0]))
        mask[day] = draw(st.booleans())
    labels = random.integers(-1, draw(st.integers(1, 4)), size=shape).astype(np.int32)
    return Market(values, returns, mask, labels)


def simulated(
    market: Market, *, neutralize: bool, decay: int, truncation: float, delay: int
) -> DailyPnl:
    weights = to_weights(
        market.values,
        market.mask,
        market.labels if neutralize else None,
        decay=decay,
        truncation=truncation,
    )
    dates = np.busday_offset("2020-01-01", np.arange(len(weights)))
    return daily_pnl(weights, market.returns, dates, delay=delay)


@settings(max_examples=examples(100), deadline=None)
@given(
    markets(),
    st.booleans(),
    st.integers(0, 9),
    st.one_of(st.sampled_from([0.0, 1.0]), st.integers(1, 40).map(lambda names: 1 / names)),
    st.sampled_from([0, 1]),
)
def test_every_number_equals_the_slow_reference(
    market: Market, neutralize: bool, decay: int, truncation: float, delay: int
) -> None:
    found = simulated(
        market, neutralize=neutralize, decay=decay, truncation=truncation, delay=delay
    )
    weights = reference.pipeline(
        pd.DataFrame(market.values),
        pd.DataFrame(market.mask),
        pd.DataFrame(market.labels) if neutralize else None,
        days=decay,
        truncation=truncation,
    )
    finite = np.where(np.isfinite(market.returns), market.returns, np.nan)
    days = reference.profit(weights, pd.DataFrame(finite), delay)
    for name in days:
        np.testing.assert_allclose(getattr(found, name), days[name], rtol=1e-9, atol=1e-4)
    numbers = statistics(found)
    if days["pnl"].std() > 1e3:
        for name, value in reference.numbers(days).items():
            assert getattr(numbers, name) == pytest.approx(value, rel=1e-9), name
    elif not days["traded"].any():
        assert math.isnan(numbers.sharpe)
        assert math.isnan(numbers.margin)
        assert math.isnan(numbers.fitness)
        assert (numbers.turnover, numbers.pnl) == (0.0, 0.0)


@settings(max_examples=examples(100), deadline=None)
@given(
    markets(),
    st.booleans(),
    st.integers(0, 9),
    st.sampled_from([0.0, 0.08, 0.3]),
    st.sampled_from([0, 1]),
)
def test_an_alpha_earns_the_same_where_its_weights_are_not_kept(
    market: Market, neutralize: bool, decay: int, truncation: float, delay: int
) -> None:
    groups = market.labels if neutralize else None
    dates = np.busday_offset("2020-01-01", np.arange(len(market.values)))
    inside = market.mask & (np.arange(market.mask.shape[1]) % 2 == 0)
    alone = judged(
        market.values,
        market.mask,
        groups,
        market.returns,
        dates,
        decay=decay,
        truncation=truncation,
        delay=delay,
        inside=inside,
    )
    weights = to_weights(market.values, market.mask, groups, decay=decay, truncation=truncation)
    kept = held(weights, market.returns, dates, delay=delay, inside=inside)
    assert alone.weights is None and kept.weights is weights
    assert alone.profit_inside is not None and kept.profit_inside is not None
    assert alone.profit_inside.tobytes() == kept.profit_inside.tobytes()
    for name in ("pnl", "traded", "longs", "shorts", "largest"):
        assert getattr(alone.every_day, name).tobytes() == getattr(kept.every_day, name).tobytes()


@settings(max_examples=examples(120), deadline=None)
@given(markets(), st.integers(0, 15), st.integers(0, 9), st.sampled_from([0, 1]))
def test_later_values_and_returns_change_no_earlier_day(
    market: Market, day: int, decay: int, delay: int
) -> None:
    options = {"neutralize": True, "decay": decay, "truncation": 0.2, "delay": delay}
    before = simulated(market, **options)
    random = np.random.default_rng(day)
    for array in (market.values, market.returns, market.mask, market.labels):
        array[day + 1 :] = random.integers(0, 2, size=array[day + 1 :].shape)
    after = simulated(market, **options)
    np.testing.assert_array_equal(before.pnl[: day + 1], after.pnl[: day + 1])
    known = day + 2 + delay
    for name in ("traded", "longs", "shorts", "largest"):
        np.testing.assert_array_equal(getattr(before, name)[:known], getattr(after, name)[:known])


def test_values_that_cancel_in_the_decay_leave_no_position() -> None:
    """3 * .3 - 2 * .3 - .3 is not quite 0 in floating point."""
    values = np.array([[-0.3, -0.7], [-0.3, -0.7], [0.3, 0.7]])
    assert not to_weights(values, decay=3)[2].any()
    values = np.column_stack([values, [1.0, 1.0, 1.0]])
    assert to_weights(values, decay=3)[2].tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize("limit", [1 / 49, 1 / 98, 1 / 103, 0.02])
def test_no_weight_exceeds_a_truncation_that_the_heavy_names_just_fill(limit: float) -> None:
    heavy = round(1 / limit)
    sizes = np.concatenate([np.geomspace(1.0, 100.0, heavy), np.full(11, 1e-3)])
    found = to_weights(sizes[None, :], truncation=limit)
    assert found.max() <= limit * (1 + 1e-9)
    assert found.sum() == pytest.approx(1.0)


def test_five_hundred_days_with_a_position_are_enough() -> None:
    """The universe begins on the second day, and delay 1 holds it two days later."""
    options = SimulationSettings(neutralization="MARKET")
    assert len(simulate("close", make_panel(days=503), options).dates) == 500
    with pytest.raises(SimulationError, match=r"^Simulation length is below cutoff of 500 days$"):
        simulate("close", make_panel(days=502), options)


@pytest.mark.parametrize("decay", [0, 4, 40])
@pytest.mark.parametrize("names", [70, 3100])
def test_pieces_of_days_and_threads_change_nothing_that_an_alpha_earns(
    decay: int, names: int
) -> None:
    random = np.random.default_rng(6)
    values = random.normal(size=(200, names))
    values[random.random(values.shape) < 0.1] = np.nan
    mask = random.random(values.shape) < 0.9
    groups = random.integers(-1, 6, values.shape).astype(np.int32)
    returns = 0.02 * random.normal(size=values.shape)
    dates = np.busday_offset("2020-01-01", np.arange(200))
    weights = to_weights(values, mask, groups, decay=decay, truncation=0.05)
    kept = held(weights, returns, dates, delay=1, inside=mask)
    values.flags.writeable = False
    for threads in (1, 2):
        with at_most(threads):
            alone = judged(
                values,
                mask,
                groups,
                returns,
                dates,
                decay=decay,
                truncation=0.05,
                delay=1,
                inside=mask,
            )
        assert alone.every_day.pnl.tobytes() == kept.every_day.pnl.tobytes()
        assert alone.every_day.traded.tobytes() == kept.every_day.traded.tobytes()
        assert alone.profit_inside is not None and kept.profit_inside is not None
        assert alone.profit_inside.tobytes() == kept.profit_inside.tobytes()
