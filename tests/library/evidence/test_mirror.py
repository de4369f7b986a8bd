"""Mirrored prices are bars of a market in which no direction can be foreseen."""

from __future__ import annotations

import numpy as np
import pytest

from alphafoundry.errors import EvidenceError
from alphafoundry.evidence import mirror_prices


def bars(
    days: int = 300, names: int = 12, seed: int = 0, gaps: bool = True
) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(generator.normal(0, 0.02, (days, names)), axis=0))
    before = np.vstack([close[:1], close[:-1]])
    opened = before * np.exp(generator.normal(0, 0.01, (days, names)))
    high = np.maximum(opened, close) * (1 + np.abs(generator.normal(0, 0.005, (days, names))))
    low = np.minimum(opened, close) * (1 - np.abs(generator.normal(0, 0.005, (days, names))))
    prices = {"open": opened, "high": high, "low": low, "vwap": (high + low) / 2, "close": close}
    if gaps:
        missing = generator.random((days, names)) < 0.03
        missing[:20, 0] = True
        missing[-15:, 1] = True
        prices = {name: np.where(missing, np.nan, price) for name, price in prices.items()}
    return prices


@pytest.mark.parametrize("kind", ["all", "residual"])
def test_bars_stay_bars(kind: str) -> None:
    found = mirror_prices(bars(), generator=np.random.default_rng(1), kind=kind).prices  # type: ignore[arg-type]
    for name in ("open", "close", "vwap"):
        both = ~np.isnan(found[name])
        assert (found["low"][both] <= found[name][both] * (1 + 1e-12)).all()
        assert (found["high"][both] >= found[name][both] * (1 - 1e-12)).all()
    assert all((array[~np.isnan(array)] > 0).all() for array in found.values())


@pytest.mark.parametrize("kind", ["all", "residual"])
def test_two_mirrors_with_the_same_signs_give_the_prices_back(kind: str) -> None:
    prices = bars()
    once = mirror_prices(prices, generator=np.random.default_rng(2), kind=kind)  # type: ignore[arg-type]
    assert 100 < once.flipped.sum() < 200
    twice = mirror_prices(once.prices, generator=np.random.default_rng(2), kind=kind)  # type: ignore[arg-type]
    for name, array in prices.items():
        assert twice.prices[name] == pytest.approx(array, rel=1e-9, nan_ok=True)


def test_sizes_of_returns_stay_and_signs_turn_together() -> None:
    prices = bars(gaps=False)
    found = mirror_prices(prices, generator=np.random.default_rng(3))
    before = prices["close"][1:] / prices["close"][:-1] - 1
    after = found.prices["close"][1:] / found.prices["close"][:-1] - 1
    sign = np.where(found.flipped[1:], -1.0, 1.0)[:, None]
    assert after == pytest.approx(before * sign, rel=1e-9, abs=1e-12)


def test_the_markets_own_way_stays_where_residuals_are_turned() -> None:
    prices = bars(gaps=False)
    found = mirror_prices(prices, generator=np.random.default_rng(4), kind="residual")
    before = (prices["close"][1:] / prices["close"][:-1] - 1).mean(axis=1)
    after = (found.prices["close"][1:] / found.prices["close"][:-1] - 1).mean(axis=1)
    assert after == pytest.approx(before, abs=1e-12)


def test_a_price_that_doubles_keeps_its_day() -> None:
    prices = {"close": np.array([[1.0, 1.0], [2.5, 1.1], [2.6, 1.0], [2.5, 1.0]])}
    for seed in range(20):
        found = mirror_prices(prices, generator=np.random.default_rng(seed))
        assert not found.flipped[1]
        assert found.prices["close"][1].tolist() == [2.5, 1.1]


def test_a_book_long_in_volatile_names_gains_nothing() -> None:
    """Simple moves: with log moves turned, such a book would gain."""
    generator = np.random.default_rng(5)
    volatility = np.linspace(0.005, 0.08, 40)
    close = 50 * np.cumprod(1 + generator.normal(0, 1, (2000, 40)).clip(-5, 5) * volatility, axis=0)
    ratios = []
    for seed in range(30):
        found = mirror_prices({"close": close}, generator=np.random.default_rng(seed)).prices
        moves = found["close"][1:] / found["close"][:-1] - 1
        pnl = moves[:, 20:].mean(axis=1) - moves[:, :20].mean(axis=1)
        ratios.append(pnl.mean() / pnl.std() * np.sqrt(252))
    assert abs(np.mean(ratios)) < 3 * np.std(ratios) / np.sqrt(len(ratios))


def test_unusable_prices_are_refused() -> None:
    with pytest.raises(EvidenceError, match="close"):
        mirror_prices({"open": np.ones((3, 2))}, generator=np.random.default_rng(0))
    with pytest.raises(EvidenceError, match="above zero"):
        mirror_prices({"close": np.zeros((3, 2))}, generator=np.random.default_rng(0))
