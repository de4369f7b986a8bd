from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphafoundry.errors import MarketError
from alphafoundry.market import Panel
from alphafoundry.market.panel import SeriesIssue
from alphafoundry.market.universe import universe_mask
from tests.property_tests import examples


def panel_of(close: np.ndarray, volume: np.ndarray | None) -> Panel:
    days, names = close.shape
    fields = {"close": close} if volume is None else {"close": close, "volume": volume}
    return Panel(
        dates=np.datetime64("2020-01-01") + np.arange(days),
        symbols=np.array([f"N{number}" for number in range(names)]),
        fields=fields,
        groups={"market": np.zeros(close.shape, dtype=np.int32)},
        source="test",
        label="test",
        synthetic=True,
        fingerprint="0" * 16,
        issues=(SeriesIssue("", "none", ""),),
    )


def random_panel(seed: int, days: int = 130, names: int = 260) -> Panel:
    draw = np.random.default_rng(seed)
    close = draw.uniform(1, 100, (days, names))
    volume = np.exp(draw.normal(10, 2, names)) * draw.uniform(0.5, 1.5, (days, names))
    close[draw.uniform(size=close.shape) < 0.02] = np.nan
    close[:60, :20] = np.nan
    close[90:, 20:40] = np.nan
    volume[draw.uniform(size=close.shape) < 0.01] = np.nan
    return panel_of(close, volume)


def test_the_most_liquid_names_of_the_past_are_in() -> None:
    panel = random_panel(0)
    mask, note = universe_mask(panel, "TOP200")
    assert note is None
    assert mask.shape == panel.shape
    assert mask.dtype == bool
    assert not mask[0].any()
    close, volume = panel.fields["close"], panel.fields["volume"]
    for day in range(1, len(close)):
        ranked_on = 1 + (day - 1) // 21 * 21
        average = []
        for name in range(close.shape[1]):
            past = close[max(0, ranked_on - 63) : ranked_on, name]
            shares = volume[max(0, ranked_on - 63) : ranked_on, name]
            average.append(np.nansum(past * shares) / len(past))
        best = sorted(range(close.shape[1]), key=lambda name: -average[name])[:200]
        expected = {
            name
            for name in best
            if average[name] > 0 and not np.isnan(close[max(0, day - 4) : day + 1, name]).all()
        }
        assert set(np.flatnonzero(mask[day])) == expected


@settings(max_examples=examples(60), deadline=None)
@given(st.integers(1, 129), st.integers(0, 10))
def test_the_future_does_not_matter(day: int, seed: int) -> None:
    panel = random_panel(seed)
    mask, _ = universe_mask(panel, "TOP200")
    draw = np.random.default_rng(99)
    fields = {name: values.copy() for name, values in panel.fields.items()}
    for values in fields.values():
        values[day:] = np.exp(draw.normal(0, 9, values[day:].shape))
    changed, _ = universe_mask(replace(panel, fields=fields), "TOP200")
    assert np.array_equal(mask[:day], changed[:day])
    stays = mask[day] & ~np.isnan(panel.fields["close"][day])
    assert not (stays & ~changed[day]).any()


def test_fewer_names_than_the_universe_asks_for_is_noted() -> None:
    panel = random_panel(1)
    mask, note = universe_mask(panel, "TOP3000")
    assert note is not None
    assert "260" in note
    assert "TOP3000" in note
    assert "\n" not in note
    assert mask[70].sum() > 250


def test_delisted_names_leave_within_a_week() -> None:
    mask, _ = universe_mask(random_panel(2), "TOP3000")
    assert mask[89, 20:40].any()
    assert not mask[95:, 20:40].any()


def test_without_volume_everybody_with_a_price_is_in() -> None:
    close = np.ones((30, 4))
    close[:10, 1] = np.nan
    mask, note = universe_mask(panel_of(close, None), "TOP1000")
    assert note is not None
    assert "no volume" in note
    assert mask[0].tolist() == [True, False, True, True]
    assert mask[10:].all()


def test_an_unknown_universe_lists_the_choices() -> None:
    with pytest.raises(MarketError) as error:
        universe_mask(random_panel(3, days=3), "TOPSP500")
    assert "TOP3000, TOP1000, TOP500, TOP200" in str(error.value)
