"""Every strategy against pandas written slowly, and against a changed future."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphafoundry.backtest import (
    STRATEGIES,
    Bars,
    Execution,
    Parameter,
    Sizing,
    Strategy,
    backtest,
    expression_strategy,
    run_trials,
    signals_of,
    strategy_named,
)
from alphafoundry.errors import BacktestError, ExpressionError, UnknownStrategy, WrongParameter
from tests.library.backtest.markets import bars_of, made_bars, with_other_future
from tests.property_tests import examples
from tests.some_cases import one_in

SHORT: dict[str, dict[str, object]] = {
    "moving_average_cross": {"fast": 4, "slow": 15},
    "momentum": {"lookback": 12, "skip": 3, "threshold": 0.02},
    "mean_reversion": {"window": 10, "full": 1.5},
    "breakout": {"window": 12, "exit_window": 5},
    "rsi": {"window": 6, "low": 35, "high": 65},
    "bollinger": {"window": 10, "width": 1.5},
    "volatility_targeting": {"window": 10, "target": 0.2},
    "pairs": {"window": 10, "entry": 1.2, "exit": 0.2},
}
EXPRESSIONS = (
    expression_strategy("ts_mean(close, {fast}) - ts_mean(close, {slow})", {"fast": 4, "slow": 15}),
    expression_strategy("-ts_delta(close, {days}) / close", {"days": 3}, mode="cross_section"),
)
CASES = [
    *((strategy_named(name), values) for name, values in SHORT.items()),
    (strategy_named("bollinger"), {"window": 10, "width": 1.5, "mode": "breakout"}),
    *((strategy, {}) for strategy in EXPRESSIONS),
]
Rule = Callable[[pd.Series, pd.Series, pd.Series], list[float]]


def stateful(enter: Callable[[int], float], leave: Callable[[int, float], bool], days: int) -> list:
    """Return positions day by day: `enter` gives a side, 0 for none, NaN for an unusable day."""
    held, out = 0.0, []
    for day in range(days):
        side = enter(day)
        if np.isnan(side):
            held = 0.0
        else:
            if held and leave(day, held):
                held = 0.0
            held = side or held
        out.append(held)
    return out


def bridged(close: pd.Series) -> pd.Series:
    """The close that windows see: the last known one for up to 5 days."""
    return close.ffill(limit=5)


def cross(close: pd.Series, high: pd.Series, low: pd.Series) -> list[float]:
    seen = bridged(close)
    fast, slow = seen.rolling(4).mean(), seen.rolling(15).mean()
    return list(np.sign(fast - slow).where(close.notna(), 0.0).fillna(0.0))


def momentum(close: pd.Series, high: pd.Series, low: pd.Series) -> list[float]:
    gain = bridged(close).shift(3) / bridged(close).shift(15) - 1.0
    side = (gain > 0.02).astype(float) - (gain < -0.02)
    return list(side.where(close.notna(), 0.0))


def mean_reversion(close: pd.Series, high: pd.Series, low: pd.Series) -> list[float]:
    windows = bridged(close).rolling(10)
    score = (close - windows.mean()) / windows.std(ddof=0)
    return list((-score / 1.5).clip(-1.0, 1.0).fillna(0.0))


def breakout(close: pd.Series, high: pd.Series, low: pd.Series) -> list[float]:
    high, low = high.fillna(bridged(close)), low.fillna(bridged(close))
    top, bottom = high.rolling(12).max().shift(), low.rolling(12).min().shift()
    roof, floor = high.rolling(5).max().shift(), low.rolling(5).min().shift()

    def enter(day: int) -> float:
        if np.isnan(close[day] + top[day] + bottom[day]):
            return np.nan
        return float(close[day] > top[day]) - float(close[day] < bottom[day])

    def leave(day: int, held: float) -> bool:
        return bool(close[day] < floor[day] if held > 0 else close[day] > roof[day])

    return stateful(enter, leave, len(close))


def rsi(close: pd.Series, high: pd.Series, low: pd.Series) -> list[float]:
    index = np.full(len(close), np.nan)
    changes: list[float] = []
    seen = bridged(close)
    for day in range(1, len(close)):
        change = seen[day] - seen[day - 1]
        changes = [] if np.isnan(change) else [*changes, change]
        if len(changes) < 6 or np.isnan(close[day]):
            continue
        ups, falls = np.maximum(changes, 0.0), np.maximum(-np.array(changes), 0.0)
        up, fall = ups[:6].mean(), falls[:6].mean()
        for later in range(6, len(changes)):
            up, fall = (up * 5 + ups[later]) / 6, (fall * 5 + falls[later]) / 6
        index[day] = 100.0 - 100.0 / (1.0 + up / fall) if fall else (100.0 if up else 50.0)

    def enter(day: int) -> float:
        if np.isnan(index[day]):
            return np.nan
        return float(index[day] <= 35.0) - float(index[day] >= 65.0)

    def leave(day: int, held: float) -> bool:
        return bool(index[day] >= 50.0 if held > 0 else index[day] <= 50.0)

    return stateful(enter, leave, len(close))


def bollinger(close: pd.Series, high: pd.Series, low: pd.Series) -> list[float]:
    windows = bridged(close).rolling(10)
    middle, spread = windows.mean(), windows.std(ddof=0)

    def enter(day: int) -> float:
        if np.isnan(middle[day] + close[day]):
            return np.nan
        return float(close[day] <= middle[day] - 1.5 * spread[day]) - float(
            close[day] >= middle[day] + 1.5 * spread[day]
        )

    def leave(day: int, held: float) -> bool:
        return bool(held * (close[day] - middle[day]) >= 0.0)

    return stateful(enter, leave, len(close))


def volatility_targeting(close: pd.Series, high: pd.Series, low: pd.Series) -> list[float]:
    seen = bridged(close)
    change = (seen.ffill() / seen.ffill().shift() - 1.0).where(seen.notna())
    yearly = change.rolling(10).std(ddof=0) * np.sqrt(252.0)
    return list((0.2 / yearly).clip(upper=1.0).where(close.notna()).fillna(0.0))


RULES: dict[str, Rule] = {
    "moving_average_cross": cross,
    "momentum": momentum,
    "mean_reversion": mean_reversion,
    "breakout": breakout,
    "rsi": rsi,
    "bollinger": bollinger,
    "volatility_targeting": volatility_targeting,
}


@pytest.mark.parametrize("gaps", [0.0, 0.03])
@pytest.mark.parametrize("name", RULES)
def test_signals_are_those_of_pandas(name: str, gaps: float) -> None:
    bars = made_bars(3, days=180, gaps=gaps)
    found = signals_of(bars, strategy_named(name), SHORT[name])
    assert np.abs(found).max() > 0.0
    for column in range(bars.shape[1]):
        series = [pd.Series(values[:, column]) for values in (bars.close, bars.high, bars.low)]
        np.testing.assert_allclose(found[:, column], RULES[name](*series), atol=1e-9)


def test_a_missing_close_costs_its_own_day_only() -> None:
    """A gap of up to five days is bridged; a longer one starts the windows anew."""
    close = 50.0 * np.exp(np.cumsum(np.random.default_rng(4).normal(0, 0.02, (700, 2)), axis=0))
    with_gaps = close.copy()
    with_gaps[400, 0] = np.nan
    with_gaps[400:410, 1] = np.nan
    strategy, values = strategy_named("moving_average_cross"), {"fast": 16, "slow": 268}
    found = signals_of(bars_of(with_gaps), strategy, values)
    assert found[400, 0] == 0.0 and (found[401:, 0] != 0.0).all()
    assert not found[400:677, 1].any() and (found[677:, 1] != 0.0).all()


def test_pairs_trade_both_sides_of_the_ratio() -> None:
    bars = made_bars(5, days=200, instruments=5)
    found = signals_of(bars, strategy_named("pairs"), SHORT["pairs"])
    for first in (0, 2):
        ratio = pd.Series(np.log(bars.close[:, first] / bars.close[:, first + 1]))
        score = (ratio - ratio.rolling(10).mean()) / ratio.rolling(10).std(ddof=0)

        def enter(day: int, score: pd.Series = score) -> float:
            value = score[day]
            return value if np.isnan(value) else float(value <= -1.2) - float(value >= 1.2)

        def leave(day: int, held: float, score: pd.Series = score) -> bool:
            return bool(held * score[day] >= -0.2)

        expected = stateful(enter, leave, len(ratio))
        np.testing.assert_array_equal(found[:, first], expected)
        np.testing.assert_array_equal(found[:, first + 1], -np.array(expected))
    np.testing.assert_array_equal(found[:, 4], 0.0)


@pytest.mark.parametrize(
    ("strategy", "values"), one_in(3, CASES), ids=lambda item: getattr(item, "name", "")
)
@settings(max_examples=examples(50), deadline=None)
@given(seed=st.integers(0, 1000), last_known=st.integers(1, 98), gaps=st.sampled_from([0.0, 0.05]))
def test_another_future_changes_no_signal_and_no_return(
    strategy: Strategy, values: dict[str, object], seed: int, last_known: int, gaps: float
) -> None:
    bars = made_bars(seed, days=100, instruments=4, gaps=gaps)
    other = with_other_future(bars, last_known)
    now = slice(0, last_known + 1)
    np.testing.assert_array_equal(
        signals_of(bars, strategy, values)[now], signals_of(other, strategy, values)[now]
    )
    execution = Execution(
        sizing=Sizing(0.3, max_positions=2, stop_loss_pct=0.05, max_drawdown_pct=0.3)
    )
    one, two = (backtest(given, strategy, values, execution) for given in (bars, other))
    np.testing.assert_array_equal(one.daily_returns[now], two.daily_returns[now])
    np.testing.assert_array_equal(one.positions[now], two.positions[now])


@pytest.mark.parametrize(("strategy", "values"), CASES, ids=lambda item: getattr(item, "name", ""))
def test_signals_are_bounded_finite_and_absent_without_a_price(
    strategy: Strategy, values: dict[str, object]
) -> None:
    bars = made_bars(8, days=150, gaps=0.1)
    found = signals_of(bars, strategy, values)
    assert np.isfinite(found).all()
    assert np.abs(found).max() <= 1.0
    assert not found[np.isnan(bars.close)].any()


@pytest.mark.parametrize("name", SHORT)
def test_prices_that_never_move_ask_for_no_position(name: str) -> None:
    # 0.1 has no exact binary form, so sums of it carry rounding.
    bars = bars_of(np.full((60, 4), 0.1))
    assert not signals_of(bars, strategy_named(name), SHORT[name]).any()


@pytest.mark.parametrize("name", ["moving_average_cross", "rsi", "breakout", "bollinger"])
def test_long_only_leaves_the_short_side_out(name: str) -> None:
    bars = made_bars(2, days=200)
    both = signals_of(bars, strategy_named(name), SHORT[name])
    long = signals_of(bars, strategy_named(name), {**SHORT[name], "direction": "long"})
    assert both.min() == -1.0
    np.testing.assert_array_equal(long, np.maximum(both, 0.0))


def test_an_average_forgets_a_price_that_was_enormous() -> None:
    random = np.random.default_rng(1)
    close = np.concatenate([np.full(300, 1e9), 1e-3 * (1.0 + 1e-6 * random.normal(size=400))])
    bars = bars_of(close[:, None])
    found = signals_of(bars, strategy_named("moving_average_cross"), {"fast": 5, "slow": 50})
    series = pd.Series(close[300:])
    expected = np.sign(series.rolling(5).mean() - series.rolling(50).mean())
    np.testing.assert_array_equal(found[350:, 0], expected[50:])


def test_an_expression_gives_the_signals_of_the_strategy_it_spells_out() -> None:
    bars = made_bars(4, days=200)
    strategy = expression_strategy(
        "ts_mean(close, {fast}) - ts_mean(close, {slow})", {"fast": 5, "slow": 20}
    )
    np.testing.assert_array_equal(
        signals_of(bars, strategy, {"slow": 30}),
        signals_of(bars, strategy_named("moving_average_cross"), {"fast": 5, "slow": 30}),
    )


def test_a_cross_section_is_neutral_and_scaled_to_its_largest() -> None:
    bars = made_bars(4, days=50)
    strategy = expression_strategy("{a} * close", {"a": -2.5}, mode="cross_section")
    found = signals_of(bars, strategy, {})
    away = bars.close.mean(axis=1, keepdims=True) - bars.close
    np.testing.assert_allclose(found, away / np.abs(away).max(axis=1, keepdims=True), atol=1e-12)


@settings(max_examples=examples(80), deadline=None)
@given(value=st.floats(-1e6, 1e6))
def test_a_number_in_a_template_is_evaluated_as_it_is(value: float) -> None:
    bars = made_bars(4, days=3, instruments=2)
    strategy = expression_strategy("1 - {x}", {"x": Parameter("float", None, -1e6, 1e6)})
    found = signals_of(bars, strategy, {"x": value})
    np.testing.assert_array_equal(found, np.sign(1.0 - value))


@pytest.mark.parametrize(
    ("template", "parameters", "error", "message"),
    [
        ("rank(clos)", {}, ExpressionError, "clos"),
        ("ts_mean(close, {n}", {"n": 5}, ExpressionError, "ts_mean"),
        ("ts_mean(close, {n)", {}, WrongParameter, "placeholder"),
        ("ts_mean(close, {})", {}, WrongParameter, "placeholder"),
        ("close", {"n": 5}, WrongParameter, "'n' has no placeholder"),
    ],
)
def test_a_wrong_template_is_refused_before_any_data(
    template: str, parameters: dict[str, int], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        expression_strategy(template, parameters)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fastt": 5}, "unknown parameter 'fastt'; did you mean 'fast'"),
        ({"fast": 50, "slow": 20}, "fast 50 must be below slow 20"),
        ({"fast": 0}, "0 is out of range 1 to 2000"),
        ({"fast": 2.5}, "2.5 is not a whole number"),
        ({"fast": "ten"}, "'ten' is not a number"),
        ({"fast": True}, "True is not a number"),
        ({"fast": float("nan")}, "nan"),
        ({"direction": "sideways"}, "'sideways' is not allowed; choose one of long_short, long"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_is_allowed(
    values: dict[str, object], message: str
) -> None:
    with pytest.raises(WrongParameter, match=message):
        run_trials(made_bars(), strategy_named("moving_average_cross"), [{}, values])


def test_an_unknown_strategy_is_answered_with_a_suggestion() -> None:
    with pytest.raises(UnknownStrategy, match="did you mean 'momentum'"):
        strategy_named("momentom")


def test_a_strategy_names_the_field_that_the_bars_lack() -> None:
    bars = made_bars()
    nothing = np.full(bars.shape, np.nan)
    with pytest.raises(BacktestError, match="breakout needs high"):
        signals_of(bars_of(bars.close, high=nothing), strategy_named("breakout"), {})
    with pytest.raises(BacktestError, match="needs volume"):
        signals_of(
            bars_of(bars.close, volume=nothing), expression_strategy("ts_delta(volume, 5)"), {}
        )


def test_strategies_travel_to_other_processes() -> None:
    bars = made_bars()
    for strategy in (*STRATEGIES.values(), *EXPRESSIONS):
        copy: Strategy = pickle.loads(pickle.dumps(strategy))
        sent: Bars = pickle.loads(pickle.dumps(bars))
        np.testing.assert_array_equal(signals_of(sent, copy, {}), signals_of(bars, strategy, {}))
