"""The stationary bootstrap: draws, block lengths and the coverage of its bands."""

from __future__ import annotations

import numpy as np
import pytest

from alphafoundry.errors import EvidenceError
from alphafoundry.evidence import (
    band,
    block_length,
    draw_days,
    drawn_means,
    drawn_sharpe_ratios,
    moments,
)


def autoregressive(days: int, phi: float, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=days + 100)
    for day in range(1, len(noise)):
        noise[day] += phi * noise[day - 1]
    return noise[100:]


def test_a_draw_holds_as_many_days_as_there_are() -> None:
    counts = draw_days(97, generator=np.random.default_rng(0), mean_block=7.5, draws=200)
    assert counts.shape == (200, 97)
    assert (counts.sum(axis=1) == 97).all()
    assert counts.mean(axis=0) == pytest.approx(np.ones(97), abs=0.5)


def test_long_blocks_keep_neighbours_together() -> None:
    days = 200
    generator = np.random.default_rng(1)
    together = [
        np.mean(np.minimum(counts[:-1], counts[1:]) > 0)
        for block in (1.0, 50.0)
        for counts in [draw_days(days, generator=generator, mean_block=block, draws=1)[0]]
    ]
    assert together[1] > together[0] + 0.1


def published_block_length(series: np.ndarray) -> float:
    """Politis and White with Patton's correction, one line after another as in the paper."""
    days = len(series)
    centred = series - series.mean()

    def covariance(lag: int) -> float:
        return float(sum(centred[t] * centred[t - lag] for t in range(lag, days)) / days)

    quiet, bound = max(5, int(np.sqrt(np.log10(days)))), 2 * np.sqrt(np.log10(days) / days)
    correlation = [covariance(lag) / covariance(0) for lag in range(80)]
    last = next(
        m for m in range(60) if all(abs(correlation[m + k]) < bound for k in range(1, quiet + 1))
    )
    reach = 2 * max(last, 1)
    window = {k: min(1.0, 2 * (1 - k / reach)) for k in range(1, reach + 1)}
    slope = sum(2 * window[k] * k * covariance(k) for k in window)
    spectrum = covariance(0) + sum(2 * window[k] * covariance(k) for k in window)
    return max(float((2 * slope**2 / (2 * spectrum**2)) ** (1 / 3) * days ** (1 / 3)), 1.0)


@pytest.mark.parametrize(("phi", "seed"), [(0.0, 1), (0.2, 2), (0.5, 3), (0.8, 4), (-0.4, 5)])
def test_block_lengths_are_the_published_ones(phi: float, seed: int) -> None:
    series = autoregressive(600, phi, seed)
    assert block_length(series) == pytest.approx(published_block_length(series), rel=1e-9)
    # arch begins the quiet stretch one lag later than the paper, so it is near and not equal.
    arch = pytest.importorskip("arch.bootstrap")
    theirs = max(float(arch.optimal_block_length(series)["stationary"].iloc[0]), 1.0)
    assert 0.4 < block_length(series) / theirs < 2.5


def test_a_series_without_variation_has_blocks_of_a_day() -> None:
    assert block_length(np.full(100, 3.0)) == 1.0


def test_means_and_ratios_of_a_draw_are_those_of_the_drawn_days() -> None:
    generator = np.random.default_rng(2)
    pnl = generator.normal(0.05, 1.0, size=(60, 3)) * [1.0, 1e6, 1e-6]
    counts = draw_days(60, generator=generator, mean_block=4.0, draws=20)
    for draw in range(20):
        rows = np.repeat(np.arange(60), counts[draw].astype(int))
        drawn = pnl[rows]
        assert drawn_means(pnl, counts)[draw] == pytest.approx(drawn.mean(axis=0), rel=1e-9)
        expected = drawn.mean(axis=0) / drawn.std(axis=0)
        assert drawn_sharpe_ratios(pnl, counts)[draw] == pytest.approx(expected, rel=1e-9)


def test_the_band_of_autocorrelated_pnl_covers_the_truth() -> None:
    true, phi, hits = 0.05, 0.2, 0
    markets = 200
    for seed in range(markets):
        generator = np.random.default_rng(seed)
        series = autoregressive(500, phi, seed)
        series = series / np.sqrt(1 / (1 - phi**2)) + true
        counts = draw_days(500, generator=generator, mean_block=block_length(series), draws=300)
        found = band(drawn_sharpe_ratios(series, counts), moments(series).sharpe)
        hits += found.low <= true <= found.high
    assert 0.85 <= hits / markets <= 0.95


def test_unusable_draws_are_refused() -> None:
    with pytest.raises(EvidenceError, match="at least 1"):
        draw_days(10, generator=np.random.default_rng(0), mean_block=0.5)
    counts = draw_days(10, generator=np.random.default_rng(0), mean_block=2.0)
    with pytest.raises(EvidenceError, match="do not fit"):
        drawn_means(np.zeros(11), counts)
