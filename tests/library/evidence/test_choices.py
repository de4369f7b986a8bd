"""What choosing costs: clusters, overfitting, corrections of lists, verdicts."""

from __future__ import annotations

import numpy as np
import pytest

from alphafoundry.errors import EvidenceError
from alphafoundry.evidence import (
    draw_days,
    independent_trials,
    judge,
    opening_level,
    overfitting,
    romano_wolf,
)


def blocks(count: int, each: int, seed: int = 0, days: int = 500) -> np.ndarray:
    generator = np.random.default_rng(seed)
    parts = []
    for _ in range(count):
        common = generator.normal(size=(days, 1))
        parts.append(common * np.sqrt(0.9) + generator.normal(size=(days, each)) * np.sqrt(0.1))
    return np.hstack(parts)


@pytest.mark.parametrize(("count", "each"), [(1, 6), (4, 5), (12, 3)])
def test_planted_blocks_are_counted(count: int, each: int) -> None:
    pnl = blocks(count, each)
    assert independent_trials(pnl).clusters == count
    turned = pnl * np.where(np.arange(pnl.shape[1]) % 2, -1.0, 1.0)
    assert independent_trials(turned) == independent_trials(pnl)


def test_one_trial_and_idle_trials() -> None:
    assert independent_trials(np.random.default_rng(0).normal(size=100)).clusters == 1
    pnl = np.column_stack([blocks(2, 2), np.zeros((500, 3))])
    assert independent_trials(pnl).clusters == 3


def test_participation_equals_that_of_the_eigenvalues() -> None:
    pnl = blocks(3, 4)
    values = np.linalg.eigvalsh(np.corrcoef(pnl.T))
    expected = values.sum() ** 2 / (values**2).sum()
    assert independent_trials(pnl).participation == pytest.approx(expected)
    wide = np.random.default_rng(0).normal(size=(50, 200))
    values = np.linalg.eigvalsh(np.corrcoef(wide.T))
    assert independent_trials(wide).participation == pytest.approx(
        values.sum() ** 2 / (values**2).sum()
    )


def test_overfitting_of_noise_is_a_coin_and_of_skill_is_none() -> None:
    noise = [
        overfitting(np.random.default_rng(seed).normal(size=(480, 40)), blocks=8).probability
        for seed in range(50)
    ]
    assert np.mean(noise) == pytest.approx(0.5, abs=0.05)
    skill = np.random.default_rng(1).normal(size=(1200, 50))
    skill[:, 7] += 3.0 / np.sqrt(252)
    found = overfitting(skill)
    assert found.probability < 0.02
    assert found.halves == 12_870


def test_equal_trials_have_a_defined_overfitting() -> None:
    same = np.repeat(np.random.default_rng(2).normal(size=(100, 1)), 4, axis=1)
    found = overfitting(same, blocks=4)
    assert 0.0 <= found.probability <= 1.0
    with pytest.raises(EvidenceError, match="two trials"):
        overfitting(same[:, :1])
    with pytest.raises(EvidenceError, match="blocks"):
        overfitting(same[:20])


def test_romano_wolf_is_the_plain_step_down() -> None:
    generator = np.random.default_rng(4)
    pnl = generator.normal(0.05, 1.0, size=(400, 6)) + generator.normal(size=(400, 1))
    counts = draw_days(400, generator=generator, mean_block=1.0, draws=500)
    adjusted = romano_wolf(pnl, counts)
    from alphafoundry.evidence import long_run_variance_ratio

    error = pnl.std(axis=0) * np.sqrt(np.asarray(long_run_variance_ratio(pnl)) / 400)
    t = pnl.mean(axis=0) / error
    draws = (counts @ pnl / 400 - pnl.mean(axis=0)) / error
    left = sorted(range(6), key=lambda i: -t[i])
    last = 0.0
    while left:
        best = left[0]
        raw = (1 + (draws[:, left].max(axis=1) >= t[best]).sum()) / (len(draws) + 1)
        last = max(last, raw)
        assert adjusted[best] == pytest.approx(last)
        left = left[1:]


def test_romano_wolf_holds_its_level_on_alike_series() -> None:
    wrong = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        pnl = generator.normal(size=(250, 5)) * 0.5 + generator.normal(size=(250, 1))
        counts = draw_days(250, generator=generator, mean_block=1.0, draws=199)
        wrong += romano_wolf(pnl, counts).min() <= 0.1
    assert wrong / 200 <= 0.15


def test_openings_halve_their_level() -> None:
    assert [opening_level(n) for n in (1, 2, 3)] == [0.05, 0.025, 0.0125]
    with pytest.raises(EvidenceError):
        opening_level(0)


def test_verdicts_follow_the_sealed_days_and_not_the_search() -> None:
    generator = np.random.default_rng(5)
    search = generator.normal(size=(800, 3)) + 2.5 / np.sqrt(252)
    sealed = generator.normal(size=(400, 3)) + np.array([4.0, 0.6, -2.0]) / np.sqrt(252)
    found = judge(
        search, sealed, trials=60, level=0.05, periods=252.0, generator=np.random.default_rng(0)
    )
    assert [one.verdict for one in found] == ["found", "unproven", "not confirmed"]
    assert all(one.sealed_sharpe is not None for one in found)
    assert found[2].days_needed == np.inf
    without = judge(
        search, None, trials=60, level=0.05, periods=252.0, generator=np.random.default_rng(0)
    )
    assert {one.verdict for one in without} == {"unproven"}
    idle = judge(
        search * 0.0 + generator.normal(size=(800, 3)),
        None,
        trials=100_000,
        level=0.05,
        periods=252.0,
        generator=np.random.default_rng(0),
    )
    assert {one.verdict for one in idle} == {"not confirmed"}


def test_sealed_pnl_of_a_few_days_proves_nothing() -> None:
    sealed = np.zeros((400, 1))
    sealed[:40] = 1.0 + np.random.default_rng(0).normal(size=(40, 1)) * 0.1
    search = np.random.default_rng(1).normal(0.1, 1.0, size=(800, 1))
    (found,) = judge(
        search, sealed, trials=10, level=0.05, periods=252.0, generator=np.random.default_rng(0)
    )
    assert found.verdict == "unproven" and "too few" in found.reason
