"""A book beside its market: effects that add up, and factors that are found where they were put."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from alphafoundry.market import load_frame
from alphafoundry.performance.beside_market import beside_market

NAMES, DAYS = 60, 300


@pytest.fixture(scope="module")
def panel():
    import pandas as pd

    draws = np.random.default_rng(4)
    days = pd.bdate_range("2022-01-03", periods=DAYS)
    returns = 0.01 * draws.standard_normal((DAYS, NAMES))
    close = 50.0 * np.cumprod(1.0 + returns, axis=0)
    rows = [
        (f"N{name:02d}", day, close[place, name], 1e6)
        for place, day in enumerate(days)
        for name in range(NAMES)
    ]
    frame = pd.DataFrame(rows, columns=["symbol", "date", "close", "volume"])
    made = load_frame(frame, name="made")
    sectors = np.broadcast_to(np.arange(NAMES, dtype=np.int32) % 3, made.shape)
    return replace(
        made,
        groups={**made.groups, "sector": sectors},
        group_names={**made.group_names, "sector": ("one", "two", "three")},
    )


def book_of(panel, row: int) -> tuple[date, dict[str, float], dict[str, float]]:
    draws = np.random.default_rng(row)
    chosen = draws.choice(NAMES, 25, replace=False)
    values = {str(panel.symbols[n]): float(draws.normal(0.0, 20_000.0)) for n in chosen}
    returns = panel.fields["returns"][row]
    places = {str(symbol): n for n, symbol in enumerate(panel.symbols)}
    earned = {name: value * float(returns[places[name]]) for name, value in values.items()}
    return panel.dates[row].item(), values, earned


@pytest.mark.parametrize("row", [30, 299])
def test_effects_and_factors_add_up(panel, row: int) -> None:
    day, values, earned = book_of(panel, row)
    equity = 1_000_000.0
    found = beside_market(panel, day, values, earned, equity)
    total = sum(earned.values())
    returns = panel.fields["returns"][row]
    assert found.benchmark == pytest.approx(float(returns.mean()), rel=1e-12)
    effects = sum(one.allocation + one.selection for one in found.sectors.values())
    assert effects == pytest.approx(total - equity * found.benchmark, abs=1e-6)
    assert len(found.sectors) == 4
    assert sum(found.factors.values()) == pytest.approx(total, abs=1e-6)
    assert ("momentum" in found.factors) == (row == 299)


def test_a_sector_effect_is_that_of_the_formula(panel) -> None:
    day, values, earned = book_of(panel, 299)
    found = beside_market(panel, day, values, earned, 1_000_000.0)
    labels, names = panel.groups["sector"][298], panel.group_names["sector"]
    returns = panel.fields["returns"][299]
    inside = labels == 0
    mine = [str(panel.symbols[n]) for n in np.flatnonzero(inside)]
    weight = sum(values.get(name, 0.0) for name in mine) / 1e6
    of_sector = returns[inside].mean()
    effect = found.sectors[names[0]]
    assert effect.allocation == pytest.approx(
        1e6 * (weight - inside.mean()) * (of_sector - returns.mean()), rel=1e-9
    )
    assert effect.selection == pytest.approx(
        sum(earned.get(name, 0.0) for name in mine) - 1e6 * weight * of_sector, rel=1e-9
    )


def test_a_book_that_is_the_market_has_no_effects(panel) -> None:
    row = 299
    returns = panel.fields["returns"][row]
    values = {str(name): 1e6 / NAMES for name in panel.symbols}
    earned = {str(n): 1e6 / NAMES * float(r) for n, r in zip(panel.symbols, returns, strict=True)}
    found = beside_market(panel, panel.dates[row].item(), values, earned, 1e6)
    for effect in found.sectors.values():
        assert abs(effect.allocation) < 1e-6 and abs(effect.selection) < 1e-6
    assert found.factors["specific"] == pytest.approx(0.0, abs=1e-6)


def test_what_happens_later_changes_nothing(panel) -> None:
    day, values, earned = book_of(panel, 299)
    before = beside_market(panel.until(day), day, values, earned, 1e6)
    assert before == beside_market(panel, day, values, earned, 1e6)
    assert day + timedelta(days=1) > panel.dates[-1].item()
