"""The calibration market: what it promises, and that its truth can be found."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alphafoundry.errors import MarketError
from alphafoundry.market import Panel, load_market
from alphafoundry.market import calibration as calibration_module
from alphafoundry.market.calibration import generate_market
from alphafoundry.market.effects import (
    HISTORY_DAYS,
    PLANTED,
    PlantedEffect,
    planted_signals,
)
from alphafoundry.market.universe import universe_mask


def generate(seed: int) -> Panel:
    return generate_market(seed, progress=lambda line: None)


def test_it_is_labelled_synthetic_everywhere(calibration: Panel) -> None:
    assert calibration.synthetic
    assert calibration.label.startswith("SYNTHETIC calibration market")
    assert calibration.source == "calibration"
    for text in calibration.descriptions.values():
        assert "synthetic" in text or text == "The whole market"


def test_its_size_groups_and_dates(calibration: Panel) -> None:
    assert calibration.shape == (1260, 500)
    assert {name: len(names) for name, names in calibration.group_names.items()} == {
        "market": 1,
        "sector": 11,
        "industry": 25,
        "subindustry": 60,
    }
    for finer, coarser in (("subindustry", "industry"), ("industry", "sector")):
        pairs = set(zip(calibration.groups[finer][0], calibration.groups[coarser][0], strict=True))
        assert len(pairs) == len(calibration.group_names[finer])
    weekday = pd.DatetimeIndex(calibration.dates).day_of_week
    assert weekday.max() == 4
    assert set(calibration.fields) >= {"open", "high", "low", "close", "volume", "vwap", "cap"}


def test_its_bars_are_consistent(calibration: Panel) -> None:
    fields = calibration.fields
    known = ~np.isnan(fields["close"])
    for name in ("open", "high", "low", "volume", "vwap", "cap"):
        assert np.array_equal(~np.isnan(fields[name]), known)
        assert (fields[name][known] > 0).all()
    for name in ("open", "close", "vwap"):
        assert (fields["low"][known] <= fields[name][known]).all()
        assert (fields[name][known] <= fields["high"][known]).all()
    assert np.array_equal(fields["volume"][known], np.rint(fields["volume"][known]))


def test_it_has_late_listings_delistings_and_missing_days(calibration: Panel) -> None:
    known = ~np.isnan(calibration.fields["close"])
    assert 30 <= np.count_nonzero(~known[:5].any(axis=0)) <= 50
    assert 20 <= np.count_nonzero(~known[-15:].any(axis=0)) <= 40
    first, last = known.argmax(axis=0), len(known) - 1 - known[::-1].argmax(axis=0)
    missing = (last - first + 1) - known.sum(axis=0)
    assert 100 < missing.sum() < 1000


def test_its_returns_look_like_returns(calibration: Panel) -> None:
    returns = pd.DataFrame(calibration.fields["returns"])
    assert 0.1 < returns.mean(axis=1).std() * 252**0.5 < 0.35
    assert 4.0 < returns.kurt().median() + 3.0 < 20.0
    market = returns.mean(axis=1)
    clustering = [market.abs().autocorr(lag) for lag in range(1, 11)]
    assert np.mean(clustering) > 0.03
    assert np.nanmean(returns.corr().to_numpy()[np.triu_indices(500, 1)]) > 0.1


@pytest.mark.long
def test_a_seed_gives_one_market_in_any_process(calibration: Panel) -> None:
    code = (
        "from alphafoundry.market.calibration import generate_market;"
        "print(generate_market(0, progress=lambda line: None).fingerprint)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == calibration.fingerprint
    assert generate(1).fingerprint != calibration.fingerprint


def test_sectors_and_negative_seeds_are_refused(tmp_path: Path) -> None:
    groups = tmp_path / "groups.csv"
    groups.write_text("symbol,sector\nSYN001,Energy\n")
    with pytest.raises(MarketError, match="own sectors"):
        load_market("calibration", cache_dir=tmp_path, sectors=groups)
    with pytest.raises(MarketError, match="seed -1"):
        load_market("calibration", cache_dir=tmp_path, seed=-1)


def test_every_planted_effect_is_documented(calibration: Panel) -> None:
    assert {effect.name for effect in PLANTED} == set(calibration.truth)
    for effect in PLANTED:
        assert effect.formula
        assert effect.strength_on(effect.half_life) == pytest.approx(effect.strength / 2)
        truth = calibration.truth[effect.name]
        assert truth.shape == calibration.shape
        assert np.isfinite(truth).all()
        size = np.abs(truth).sum(axis=1)
        early, late = size[100:300].mean(), size[1060:1260].mean()
        assert late / early == pytest.approx(0.5 ** (960 / effect.half_life), rel=0.15)


def slow_signal(name: str, close: pd.DataFrame, volume: pd.DataFrame) -> pd.DataFrame:
    """The formula of PLANTED, on day t from bars up to t - 1."""
    past, traded = close.shift(1), volume.shift(1)
    if name == "short_reversal":
        return -(past / close.shift(6) - 1)
    if name == "momentum":
        return close.shift(6) / close.shift(66) - 1
    if name == "volume":
        return np.log(traded.rolling(5).mean() / traded.rolling(20).mean())
    return -np.log(past.pct_change(fill_method=None).rolling(20).std(ddof=0))


@pytest.mark.parametrize("effect", PLANTED, ids=lambda effect: effect.name)
def test_the_truth_follows_from_published_bars_of_the_past(
    calibration: Panel, effect: PlantedEffect
) -> None:
    frames = {
        name: pd.DataFrame(calibration.fields[name]).ffill(limit=12) for name in ("close", "volume")
    }
    raw = slow_signal(effect.name, frames["close"], frames["volume"])
    group = calibration.groups[effect.group][0]
    centred = raw - raw.T.groupby(group).transform("mean").T
    signal = centred.div(np.sqrt((centred**2).mean(axis=1)), axis=0).clip(-3, 3)
    days = np.arange(len(raw))[:, None]
    expected = signal.to_numpy() * effect.strength * 0.5 ** (days / effect.half_life)
    truth = calibration.truth[effect.name]
    known = ~np.isnan(expected) & (truth != 0)
    assert known.mean() > 0.85
    assert np.corrcoef(expected[known], truth[known])[0, 1] > 0.995
    assert np.polyfit(expected[known], truth[known], 1)[0] == pytest.approx(1.0, abs=0.02)


def test_a_signal_sees_no_more_than_its_history() -> None:
    draw = np.random.default_rng(3)
    close = np.exp(np.cumsum(0.02 * draw.standard_normal((200, 30)), axis=0))
    volume = draw.uniform(1e5, 1e6, (200, 30))
    groups = {
        "industry": (np.arange(30) % 5).astype(np.int32),
        "sector": (np.arange(30) % 3).astype(np.int32),
    }
    known = np.full(30, 150)
    whole = planted_signals(close[:150], volume[:150], groups, known)
    recent = slice(150 - HISTORY_DAYS, 150)
    part = planted_signals(close[recent], volume[recent], groups, known)
    for effect in PLANTED:
        np.testing.assert_array_equal(whole[effect.name], part[effect.name])
        codes = groups[effect.group]
        assert np.abs(np.bincount(codes, whole[effect.name])).max() < 0.6 * len(codes)


def simulated(panel: Panel, alpha: pd.DataFrame, *, decay: int = 0) -> tuple[float, float, float]:
    """Return (Sharpe, fitness, turnover): delay 1, industry-neutral, truncation 0.08."""
    if decay > 1:
        filled = alpha.fillna(0.0)
        alpha = sum((decay - k) * filled.shift(k, fill_value=0.0) for k in range(decay)).where(
            alpha.notna()
        )
    mask, _ = universe_mask(panel, "TOP500")
    alpha = alpha.where(mask)
    alpha = alpha - alpha.T.groupby(panel.groups["industry"][0]).transform("mean").T
    weights = alpha.div(alpha.abs().sum(axis=1), axis=0).clip(-0.08, 0.08)
    weights = weights.div(weights.abs().sum(axis=1), axis=0).fillna(0.0).to_numpy()[70:]
    pnl = (weights[:-1] * np.nan_to_num(panel.fields["returns"])[71:]).sum(axis=1)
    turnover = np.abs(np.diff(weights, axis=0)).sum(axis=1).mean()
    sharpe = pnl.mean() / pnl.std() * 252**0.5
    returns = pnl.mean() * 252 * 2
    return sharpe, sharpe * np.sqrt(abs(returns) / max(turnover, 0.125)), turnover


def ideas(panel: Panel) -> dict[str, tuple[pd.DataFrame, int]]:
    """The expression of every planted effect, in pandas, with its decay."""
    close, volume, returns, adv20 = (
        pd.DataFrame(panel.fields[name]) for name in ("close", "volume", "returns", "adv20")
    )
    spread = returns.rolling(20).std(ddof=0)
    return {
        "short_reversal": (-returns.rolling(5).sum().rank(axis=1, pct=True), 6),
        "momentum": (close.shift(5) / close.shift(65) - 1, 0),
        "volume": ((volume.rolling(5).mean() / adv20).rank(axis=1, pct=True), 5),
        "sector": (-spread.T.groupby(panel.groups["sector"][0]).rank(pct=True).T, 0),
    }


@pytest.fixture(scope="module")
def markets(calibration: Panel) -> list[Panel]:
    return [calibration, generate(1), generate(2)]


def test_each_effect_can_be_traded_by_its_straightforward_expression(
    markets: list[Panel],
) -> None:
    found: dict[str, list[tuple[float, float, float]]] = {}
    for panel in markets:
        for name, (alpha, decay) in ideas(panel).items():
            found.setdefault(name, []).append(simulated(panel, alpha, decay=decay))
    mean = {name: np.mean(rows, axis=0) for name, rows in found.items()}
    sharpe = {name: row[0] for name, row in mean.items()}
    assert 1.5 < sharpe["short_reversal"] < 3.0
    for name in ("momentum", "volume", "sector"):
        assert 1.0 < sharpe[name] < 2.3
    assert all(row[2] < 0.7 for row in mean.values())
    assert mean["short_reversal"][1] > 1.0


@pytest.mark.long
def test_noise_finds_nothing(calibration: Panel) -> None:
    draw = np.random.default_rng(11)
    sharpes = []
    for _ in range(20):
        walk = pd.DataFrame(draw.standard_normal(calibration.shape)).ewm(span=20).mean()
        walk = walk.where(calibration.fields["close"] > 0)
        sharpes.append(abs(simulated(calibration, walk)[0]))
    assert np.mean(np.array(sharpes) < 0.7) >= 0.75


@pytest.mark.long
def test_without_the_truth_the_ideas_earn_nothing(markets: list[Panel]) -> None:
    sharpes: dict[str, list[float]] = {}
    for panel in markets:
        expected = sum(panel.truth.values())
        fields = {**panel.fields, "returns": panel.fields["returns"] - expected}
        for name, (alpha, decay) in ideas(panel).items():
            bare = replace(panel, fields=fields)
            sharpes.setdefault(name, []).append(simulated(bare, alpha, decay=decay)[0])
    assert all(abs(np.mean(values)) < 0.8 for values in sharpes.values())


def test_the_documentation_states_the_effects_as_they_are() -> None:
    text = " ".join((calibration_module.__doc__ or "").split())
    for effect in PLANTED:
        start = text.index(f"{effect.name} {effect.formula}")
        stated = text[start : text.index("half-life", start) + 15]
        assert f"{effect.strength:.5f} a day" in stated
        assert f"half-life {effect.half_life}" in stated
        assert f"within {effect.group.replace('y', 'ie')}s" in stated
        assert "\n" not in effect.expression + effect.description
