"""The convex programme: its optimum, its limits, what gives where they cannot all hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from alphafoundry.errors import BacktestError, PortfolioError
from alphafoundry.trading.portfolio import (
    Limits,
    Programme,
    Question,
    RiskModel,
    TradingCosts,
    fit_risk_model,
)
from alphafoundry.trading.portfolio.programme import IMPACT
from tests.property_tests import examples

NAMES = 24
SECTORS = (np.arange(NAMES) % 4).astype(np.int32)


def risk_model(names: int = NAMES, seed: int = 1) -> RiskModel:
    draw = np.random.default_rng(seed)
    returns = 0.01 * draw.standard_normal((252, 1)) + 0.015 * draw.standard_normal((252, names))
    return fit_risk_model(returns, (np.arange(names) % 3).astype(np.int32), components=3)


MODEL = risk_model()


def question(**changes: Any) -> Question:
    values: dict[str, Any] = {
        "forecast": 0.0005 * np.random.default_rng(2).standard_normal(NAMES),
        "horizon": 5.0,
        "held": np.zeros(NAMES),
        "volume": np.full(NAMES, 5.0),
        "volatility": np.full(NAMES, 0.018),
        "allowed": np.ones(NAMES, dtype=bool),
        "shortable": np.ones(NAMES, dtype=bool),
    }
    return Question(**values | changes)


def programme(costs: TradingCosts | None = None, **limits: float) -> Programme:
    return Programme(MODEL.exposures.shape[1], SECTORS, limits=Limits(**limits), costs=costs)


WIDE = {
    "gross": 9.0,
    "net": 9.0,
    "name": 9.0,
    "sector": 9.0,
    "turnover": 99.0,
    "participation": 9.0,
}
FREE = TradingCosts(spread_bps=0.0, impact=0.0, borrow=0.0)


def test_without_limits_and_costs_it_is_the_inverse_covariance() -> None:
    asked = question()
    found = programme(FREE, **WIDE).solve(asked, MODEL)
    covariance = MODEL.exposures @ MODEL.factor_covariance @ MODEL.exposures.T
    covariance += np.diag(MODEL.specific)
    np.testing.assert_allclose(
        found.weights, np.linalg.solve(100.0 * covariance, asked.forecast), atol=1e-6
    )
    assert found.outcome == "optimal"
    assert found.prices == {}
    assert found.risk == pytest.approx(np.sqrt(found.weights @ covariance @ found.weights))


def test_no_other_solver_finds_better_weights() -> None:
    costs = TradingCosts(spread_bps=6.0, impact=0.6, borrow=0.02)
    asked = question(held=0.02 * np.sign(np.random.default_rng(5).standard_normal(NAMES)))
    limits = Limits(gross=0.6, net=0.02, name=0.06, sector=0.05, turnover=0.4)
    mine = Programme(MODEL.exposures.shape[1], SECTORS, limits=limits, costs=costs)
    weights = mine.solve(asked, MODEL).weights

    def loss(w: np.ndarray) -> float:
        u = np.abs(w - asked.held)
        impact = 0.6 * asked.volatility * np.sqrt(1.0 / asked.volume) * u**1.5
        cost = (3e-4 * u + impact).sum() / asked.horizon + 0.02 / 252 * np.maximum(-w, 0.0).sum()
        return float(1e4 * (50.0 * MODEL.variance(w) + cost - asked.forecast @ w))

    rules = [
        {"type": "ineq", "fun": lambda w: 0.6 - np.abs(w).sum()},
        {"type": "ineq", "fun": lambda w: 0.02 - abs(w.sum())},
        {"type": "ineq", "fun": lambda w: 0.4 - np.abs(w - asked.held).sum()},
        *(
            {"type": "ineq", "fun": lambda w, s=s: 0.05 - abs(w[s == SECTORS].sum())}
            for s in range(4)
        ),
    ]
    other = minimize(
        loss, weights, method="SLSQP", bounds=[(-0.06, 0.06)] * NAMES, constraints=rules
    )
    # The impact is a quadratic for the solver: that may cost a hundredth of the gain at most.
    gain = loss(asked.held) - other.fun
    assert gain > 0.0
    assert loss(weights) <= other.fun + 0.01 * gain


def test_the_quadratic_stays_near_the_square_root_law() -> None:
    size = np.linspace(0.05, 1.0, 2001)
    ratio = (IMPACT[0] * size + IMPACT[1] * size**2) / size**1.5
    assert ratio.min() >= 0.87
    assert ratio.max() <= 1.13
    small = np.linspace(1e-6, 0.05, 200)
    assert (IMPACT[0] * small + IMPACT[1] * small**2 >= small**1.5).all()


@given(st.integers(0, 10_000))
@settings(max_examples=examples(50), deadline=None)
def test_hard_limits_hold_and_soft_ones_unless_relaxed(seed: int) -> None:
    draw = np.random.default_rng(seed)
    limits = {
        "gross": draw.uniform(0.2, 1.5),
        "net": draw.uniform(0.0, 0.2),
        "name": draw.uniform(0.01, 0.15),
        "sector": draw.uniform(0.0, 0.2),
        "turnover": draw.uniform(0.0, 0.6),
        "participation": draw.uniform(0.01, 0.1),
    }
    held = draw.normal(0.0, 0.03, NAMES) * (draw.uniform(size=NAMES) < 0.7)
    shortable = draw.uniform(size=NAMES) < 0.8
    allowed = draw.uniform(size=NAMES) < 0.9
    volume = draw.uniform(0.2, 3.0, NAMES) * (draw.uniform(size=NAMES) < 0.95)
    asked = question(
        held=held,
        shortable=shortable,
        allowed=allowed,
        volume=volume,
        forecast=0.002 * draw.standard_normal(NAMES),
    )
    found = programme(**limits).solve(asked, MODEL)
    w, moved = found.weights, np.abs(found.weights - held)
    cap = limits["participation"] * volume
    assert (moved <= cap + 1e-8).all()
    # Where a session cannot reach the limit, the name is as near to it as participation allows.
    most = np.where(allowed, np.minimum(limits["name"], 5.0 * cap), 0.0)
    assert (np.abs(w) <= np.maximum(most, np.abs(held) - cap) + 1e-7).all()
    new_short = ~shortable & (w < np.minimum(held, 0.0) - 1e-8)
    assert not new_short.any()
    least = np.maximum(np.abs(held) - cap, 0.0).sum()
    assert np.abs(w).sum() <= max(limits["gross"], least) + 1e-6
    if "turnover" not in found.relaxed and found.outcome in ("optimal", "relaxed"):
        assert moved.sum() <= limits["turnover"] + 1e-6
    if "net" not in found.relaxed and found.outcome in ("optimal", "relaxed"):
        assert abs(w.sum()) <= limits["net"] + 1e-6
    if found.relaxed:
        assert found.relaxed == ("turnover", "sector", "net")[: len(found.relaxed)]
        assert any("given up" in note for note in found.notes)


def test_turnover_gives_before_sector_and_sector_before_net() -> None:
    """A book that is far from neutral must be neutral at once: turnover gives."""
    held = np.full(NAMES, 0.04)
    one = programme(turnover=0.1, participation=1.0).solve(question(held=held), MODEL)
    assert one.relaxed == ("turnover",)
    assert abs(one.weights.sum()) <= 0.05
    assert any("turnover given up" in note for note in one.notes)
    # Where volume too stands against it, sector and then net do.
    slow = programme(turnover=0.1, participation=0.01).solve(
        question(held=held, volume=np.full(NAMES, 1.0)), MODEL
    )
    assert slow.relaxed == ("turnover", "sector", "net")
    assert np.abs(slow.weights - held).max() <= 0.01 + 1e-9


def test_a_name_far_above_its_limit_is_sold_as_fast_as_volume_allows() -> None:
    held = np.zeros(NAMES)
    held[3] = 0.30
    found = programme(gross=2.0, net=1.0, sector=1.0, turnover=2.0).solve(
        question(held=held, volume=np.full(NAMES, 1.0), forecast=np.full(NAMES, 0.01)), MODEL
    )
    assert found.weights[3] == pytest.approx(0.25, abs=1e-6)
    assert any("above their limit" in note for note in found.notes)


def test_a_position_is_no_larger_than_the_sessions_can_sell() -> None:
    volume = np.full(NAMES, 5.0)
    volume[:6] = 0.02
    held = np.zeros(NAMES)
    desk = programme(**WIDE | {"participation": 0.1, "days_to_sell": 2.0})
    for _ in range(4):
        asked = question(held=held, volume=volume, forecast=np.full(NAMES, 0.01))
        held = desk.solve(asked, MODEL).weights
    assert held[:6].max() == pytest.approx(0.004, rel=1e-4)
    assert held[6:].max() > 0.004


def test_a_solver_that_fails_holds_what_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    held = np.where(np.arange(NAMES) % 2, 0.015, -0.015)
    desk = programme(gross=1.0, name=0.02)
    monkeypatch.setattr(desk, "_solve_once", lambda: "failed")
    found = desk.solve(question(held=held), MODEL)
    assert found.outcome == "hold"
    np.testing.assert_array_equal(found.weights, held)
    assert "solver failed" in found.notes[0]


def test_a_solver_that_fails_reduces_what_breaks_a_hard_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = np.full(NAMES, 0.015)
    held[:2] = 0.05, -0.06
    desk = programme(gross=0.35, name=0.02)
    monkeypatch.setattr(desk, "_solve_once", lambda: "failed")
    found = desk.solve(question(held=held), MODEL)
    assert found.outcome == "reduce-only"
    assert (np.abs(found.weights) <= np.abs(held) + 1e-12).all()
    assert (found.weights * held >= 0.0).all()
    assert np.abs(found.weights).max() <= 0.02
    assert np.abs(found.weights).sum() <= 0.35


def test_reduce_only_never_opens_grows_or_turns() -> None:
    held = np.random.default_rng(9).normal(0.0, 0.015, NAMES) * (np.arange(NAMES) < 15)
    found = programme(turnover=2.0).solve(question(held=held, reduce_only=True), MODEL)
    assert (np.abs(found.weights) <= np.abs(held) + 1e-8).all()
    assert (found.weights * held >= -1e-12).all()


def test_costs_make_it_trade_less_and_a_long_horizon_more() -> None:
    def traded(horizon: float, spread: float) -> float:
        desk = programme(TradingCosts(spread_bps=spread), turnover=2.0)
        return float(np.abs(desk.solve(question(horizon=horizon), MODEL).weights).sum())

    assert traded(5.0, 80.0) < traded(5.0, 2.0)
    assert traded(1.0, 20.0) < traded(20.0, 20.0)


def test_a_price_is_what_one_more_unit_of_the_limit_earns() -> None:
    asked = question(forecast=0.002 * np.random.default_rng(3).standard_normal(NAMES))

    def gain(gross: float) -> tuple[float, dict[str, float]]:
        wide = {**WIDE, "gross": gross}
        found = programme(FREE, **wide).solve(asked, MODEL)
        w = found.weights
        return 1e4 * float(asked.forecast @ w - 50.0 * MODEL.variance(w)), found.prices

    low, prices = gain(0.50)
    high, _ = gain(0.51)
    assert set(prices) == {"gross"}
    assert prices["gross"] == pytest.approx((high - low) / 0.01, rel=0.03)


def test_the_same_question_has_the_same_answer_whatever_was_asked_before() -> None:
    desk, asked = programme(), question()
    first = desk.solve(asked, MODEL).weights
    desk.solve(question(held=np.full(NAMES, 0.04)), MODEL)
    np.testing.assert_array_equal(desk.solve(asked, MODEL).weights, first)


def test_what_does_not_fit_is_refused_in_one_line() -> None:
    with pytest.raises(PortfolioError, match="forecast"):
        programme().solve(question(forecast=np.full(NAMES, np.nan)), MODEL)
    with pytest.raises(PortfolioError, match="make a new Programme"):
        programme().solve(question(), risk_model(names=NAMES + 1))
    with pytest.raises(BacktestError, match="gross"):
        Limits(gross=-1.0)


def test_risk_model_finds_the_factors_of_the_truth() -> None:
    """From factor returns to a covariance: near that of the truth for portfolios of many names."""
    draw = np.random.default_rng(7)
    names, industries = 200, (np.arange(200) % 8).astype(np.int32)
    beta = draw.uniform(0.5, 1.5, names)
    style = draw.standard_normal(names)
    truth = 0.01**2 * np.outer(beta, beta) + 0.004**2 * (industries[:, None] == industries)
    truth += 0.005**2 * np.outer(style, style) + np.diag(np.full(names, 0.015**2))
    returns = draw.standard_normal((252, names)) @ np.linalg.cholesky(truth).T
    model = fit_risk_model(returns, industries)
    # Typical specific risk, the style, the market, and an industry against another.
    assert np.sqrt(np.median(model.specific)) == pytest.approx(0.015, rel=0.10)
    whole = (model.exposures @ model.factor_covariance * model.exposures).sum(axis=1)
    total = np.median((whole + model.specific) / np.diag(truth))
    assert total == pytest.approx(1.0, rel=0.06)
    for book in (
        style / 200,
        np.ones(names) / 200,
        (industries == 1) / 25.0 - (industries == 2) / 25.0,
    ):
        assert model.variance(book) == pytest.approx(book @ truth @ book, rel=0.30)
    values = draw.standard_normal((3, names))
    whole = model.exposures @ model.factor_covariance @ model.exposures.T + np.diag(model.specific)
    np.testing.assert_allclose(model.solve(values), np.linalg.solve(whole, values.T).T, rtol=1e-6)


def test_a_name_without_history_has_the_typical_risk() -> None:
    draw = np.random.default_rng(7)
    returns = 0.01 * draw.standard_normal((252, 30))
    returns[:-5, 4] = np.nan
    model = fit_risk_model(returns, np.zeros(30, np.int32))
    assert model.specific[4] == pytest.approx(np.median(model.specific), rel=0.2)
    with pytest.raises(PortfolioError, match="20 days"):
        fit_risk_model(returns[:10], np.zeros(30, np.int32))
