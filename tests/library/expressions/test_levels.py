"""Alphas that compare levels between names are those whose book a later split changes."""

from __future__ import annotations

import numpy as np
import pytest

from alphafoundry.expressions import DEFAULT_FIELDS, Evaluator, check
from alphafoundry.expressions.checking import COMPARES_LEVELS

LEVELS = (
    "inverse(close)",
    "-rank(close)",
    "rank(volume)",
    "divide(adv20, low)",
    "rank(log(close))",
    "rank(ts_delta(close, 5))",
    "inverse(ts_mean(low, 2))",
    "group_rank(vwap, sector)",
    "group_neutralize(close - open, sector)",
    "signed_power(close, 2)",
    "scale(ts_std_dev(volume, 10))",
    "zscore(sqrt(high - low))",
    "if_else(returns > 0, close, open)",
)
RATIOS = (
    "divide(close, ts_delay(close, 5))",
    "rank(ts_delta(log(close), 5))",
    "rank(volume / adv20)",
    "rank(close * volume)",
    "ts_corr(close, volume, 10)",
    "rank(ts_rank(close, 10))",
    "group_neutralize(ts_zscore(close, 20), sector)",
    "(close - open) / (high - low)",
    "trade_when(volume > adv20, -returns, -1)",
    "rank(-ts_std_dev(returns, 20))",
    "group_zscore(vwap / close, sector)",
)


def warned(expression: str) -> bool:
    return COMPARES_LEVELS in check(expression, DEFAULT_FIELDS, levels=True)


def book(values: np.ndarray) -> np.ndarray:
    """Return values across names as a dollar-neutral book of size 1."""
    values = np.where(np.isfinite(values), values, np.nan)
    away = np.nan_to_num(values - np.nanmean(values, axis=1, keepdims=True))
    size = np.abs(away).sum(axis=1, keepdims=True)
    return np.divide(away, size, out=np.zeros_like(away), where=size > 1e-12)


def market(later_splits: np.ndarray) -> Evaluator:
    """Return 60 days of 6 names, adjusted for splits that come after them."""
    draw = np.random.default_rng(3)
    close = 50.0 * np.exp(np.cumsum(0.02 * draw.standard_normal((60, 6)), axis=0))
    opening = close * np.exp(0.01 * draw.standard_normal(close.shape))
    volume = draw.uniform(1e5, 1e6, close.shape)
    fields = {
        "open": opening / later_splits,
        "high": np.maximum(opening, close) * 1.01 / later_splits,
        "low": np.minimum(opening, close) * 0.99 / later_splits,
        "close": close / later_splits,
        "vwap": (opening + close) / 2 / later_splits,
        "volume": volume * later_splits,
        "adv20": np.cumsum(volume, axis=0) / np.arange(1, 61)[:, None] * later_splits,
        "returns": np.vstack([np.full(6, np.nan), close[1:] / close[:-1] - 1.0]),
    }
    groups = {"sector": np.broadcast_to(np.arange(6, dtype=np.int32) % 2, close.shape).copy()}
    return Evaluator(fields, groups)


@pytest.mark.parametrize("expression", LEVELS + RATIOS)
def test_what_a_later_split_changes_is_warned_of(expression: str) -> None:
    splits = np.array([1.0, 2.0, 7.0, 0.125, 20.0, 1.0])
    plain = book(market(np.ones(6)).evaluate(expression))[30:]
    adjusted = book(market(splits).evaluate(expression))[30:]
    changed = float(np.abs(plain - adjusted).max()) > 1e-6
    assert changed == (expression in LEVELS)
    assert warned(expression) == changed


def test_the_check_says_nothing_of_levels_unless_asked() -> None:
    assert check("inverse(close)", DEFAULT_FIELDS) == ()
