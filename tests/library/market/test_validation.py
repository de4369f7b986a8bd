from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from alphafoundry.market.bars import Bars
from alphafoundry.market.leaps import find_leaps
from alphafoundry.market.splits import Series
from alphafoundry.market.validation import validate
from tests.property_tests import examples

MakeBars = Callable[..., Bars]


def kinds(clean: Bars) -> set[tuple[str, str]]:
    return {(issue.symbol, issue.kind) for issue in clean.issues}


def masked_days(clean: Bars, column: int = 0) -> list[int]:
    return np.flatnonzero(np.isnan(clean.values["close"][:, column])).tolist()


def test_faultless_bars_pass_untouched(bars: MakeBars) -> None:
    raw = bars()
    clean = validate(raw)
    assert clean.issues == ()
    for name, values in raw.values.items():
        assert np.array_equal(clean.values[name], values)


@pytest.mark.parametrize("value", [0.0, -3.0, np.inf])
@pytest.mark.parametrize("column", ["open", "high", "low", "close"])
def test_a_price_must_be_positive_and_finite(bars: MakeBars, value: float, column: str) -> None:
    raw = bars()
    raw.values[column][20, 0] = value
    clean = validate(raw)
    assert kinds(clean) == {("S0", "non-positive-price")}
    assert masked_days(clean) == [20]
    assert all(np.isnan(values[20, 0]) for values in clean.values.values())
    assert clean.issues[0].masked == 1
    assert "2020-01-21" in clean.issues[0].detail


def test_a_bar_that_contradicts_itself_is_masked(bars: MakeBars) -> None:
    raw = bars()
    raw.values["high"][5, 0] = raw.values["low"][5, 0] / 2
    raw.values["close"][9, 1] *= 1.4
    clean = validate(raw)
    assert kinds(clean) == {("S0", "absurd-price"), ("S1", "absurd-price")}
    assert masked_days(clean, 0) == [5]
    assert masked_days(clean, 1) == [9]


@pytest.mark.parametrize("factor", [10.0, 0.1, 3.0, 0.01])
@pytest.mark.parametrize("length", [1, 2, 5])
def test_a_spike_that_turns_back_is_masked(bars: MakeBars, factor: float, length: int) -> None:
    raw = bars()
    for name in ("open", "high", "low", "close"):
        raw.values[name][30 : 30 + length, 0] *= factor
    clean = validate(raw)
    assert kinds(clean) == {("S0", "spike")}
    assert masked_days(clean) == list(range(30, 30 + length))


@pytest.mark.parametrize("factor", [0.3, 0.05, 2.6])
def test_a_crash_or_a_takeover_is_honest(bars: MakeBars, factor: float) -> None:
    raw = bars()
    for name in ("open", "high", "low", "close"):
        raw.values[name][30:, 0] *= factor
    clean = validate(raw)
    assert masked_days(clean) == []
    assert not any(issue.masked for issue in clean.issues)


def test_a_crash_that_recovers_half_is_honest(bars: MakeBars) -> None:
    raw = bars()
    for name in ("open", "high", "low", "close"):
        raw.values[name][30, 0] *= 0.4
        raw.values[name][31:, 0] *= 0.7
    assert masked_days(validate(raw)) == []


def test_an_absurd_jump_enters_no_return(bars: MakeBars) -> None:
    raw = bars()
    for name in ("open", "high", "low", "close"):
        raw.values[name][30:, 0] *= 143.0
    clean = validate(raw)
    assert kinds(clean) == {("S0", "jump")}
    assert masked_days(clean) == []
    returns = np.diff(np.log(clean.values["close"][:, 0]))
    assert abs(returns[29]) < 1e-12
    others = np.delete(np.arange(59), 29)
    np.testing.assert_allclose(returns[others], np.diff(np.log(raw.values["close"][:, 0]))[others])


def test_a_split_in_the_adjusted_prices_is_reported_and_used(bars: MakeBars) -> None:
    raw = bars(days=40)
    adjusted = raw.values["close"].copy()
    for name in ("open", "high", "low", "close"):
        raw.values[name][:20, 0] *= 4.0
    clean = validate(Bars(raw.dates, raw.symbols, {**raw.values, "adj_close": adjusted}))
    assert kinds(clean) == {("S0", "split")}
    assert masked_days(clean) == []
    assert "4 on 2020-01-21" in clean.issues[0].detail


@pytest.mark.parametrize(
    ("length", "volume", "stale"),
    [(5, 0.0, True), (4, 0.0, False), (12, 9.0, False), (20, 9.0, True)],
)
def test_a_price_that_stands_still(bars: MakeBars, length: int, volume: float, stale: bool) -> None:
    raw = bars(days=100)
    days = slice(30, 30 + length)
    for name in ("open", "high", "low", "close"):
        raw.values[name][days, 0] = 50.0
    raw.values["close"][29, 0], raw.values["high"][29, 0], raw.values["low"][29, 0] = 51, 52, 40
    raw.values["volume"][days, 0] = volume
    clean = validate(raw)
    assert masked_days(clean) == (list(range(31, 30 + length)) if stale else [])


def test_a_garbage_series_is_left_out_whole(bars: MakeBars) -> None:
    raw = bars(days=200)
    raw.values["close"][::3, 0] *= -1
    raw.values["volume"][: len(raw.dates) * 2 // 3, 1] = 0.0
    raw.values["high"][:, 1] = raw.values["low"][:, 1] = raw.values["close"][:, 1]
    raw.values["open"][:, 1] = raw.values["close"][:, 1]
    clean = validate(raw)
    assert kinds(clean) == {("S0", "garbage"), ("S1", "garbage")}
    for values in clean.values.values():
        assert np.isnan(values[:, :2]).all()
        assert not np.isnan(values[:, 2]).any()


@pytest.mark.parametrize(("first", "after"), [(150, 300), (150, 250), (40, 300)])
@pytest.mark.parametrize("value", [0.0, -1.0])
def test_closes_of_zero_at_the_end_of_a_name_leave_its_days_before(
    bars: MakeBars, first: int, after: int, value: float
) -> None:
    """Nobody can tell a name that became worthless from one whose feed broke until it is back."""
    raw = bars(days=300)
    for name in ("open", "high", "low", "close"):
        raw.values[name][first:after, 0] = value
    clean = validate(raw)
    masked = masked_days(clean)
    if after == 300:
        assert masked == list(range(first, 300))
        assert kinds(clean) == {("S0", "non-positive-price")}
    else:
        assert set(range(first, after)) < set(masked)
        assert ("S0", "garbage") in kinds(clean)


@pytest.mark.parametrize("other", ["frozen", "of another name", "a day late"])
def test_an_adjusted_close_that_is_no_adjustment_is_told(bars: MakeBars, other: str) -> None:
    raw = bars(days=120)
    close = raw.values["close"]
    factor = np.repeat([[0.5], [0.98], [1.0]], 40, axis=0)
    raw.values["adj_close"] = close * factor
    if other == "frozen":
        raw.values["adj_close"][:, 1] = 1.0
    elif other == "of another name":
        raw.values["adj_close"][:, 1] = close[:, 2] * factor[:, 0]
    else:
        raw.values["adj_close"][1:, 1] = close[:-1, 1] * factor[:-1, 0]
    clean = validate(raw)
    assert {symbol for symbol, kind in kinds(clean) if kind == "other-series"} == {"S1"}
    assert ("S0", "split") in kinds(clean)
    assert ("S1", "split") not in kinds(clean)


@pytest.mark.parametrize("ahead", [1, 20])
def test_a_vwap_or_cap_of_another_day_is_told(bars: MakeBars, ahead: int) -> None:
    raw = bars(days=200)
    values = raw.values
    shares = np.repeat([1e8, 1.2e8], 100)[:, None]
    values["cap"] = np.round(values["close"] * shares, -6)
    values["vwap"] = (values["high"] + values["low"] + values["close"]) / 3.0
    assert not kinds(validate(raw))
    for name in ("cap", "vwap"):
        values[name][:-ahead, 1] = values[name][ahead:, 1]
    clean = validate(raw)
    assert kinds(clean) == {("S1", "other-series")}
    assert {issue.detail.split()[0] for issue in clean.issues} == {"cap", "vwap"}


def test_an_adjusted_close_in_whole_cents_is_an_adjustment(bars: MakeBars) -> None:
    raw = bars(days=400)
    raw.values["close"] = np.round(raw.values["close"], 2)
    raw.values["adj_close"] = np.round(raw.values["close"] * 0.31, 2)
    assert not kinds(validate(raw))


def test_a_series_that_leaps_all_the_time_is_garbage(bars: MakeBars) -> None:
    raw = bars(days=200)
    for name in ("open", "high", "low", "close"):
        raw.values[name][::2, 0] *= 10.0
    assert ("S0", "garbage") in kinds(validate(raw))


def test_lost_volume_costs_the_volume_not_the_price(bars: MakeBars) -> None:
    raw = bars()
    raw.values["volume"][7, 0] = 0.0
    clean = validate(raw)
    assert kinds(clean) == {("S0", "lost-volume")}
    assert np.isnan(clean.values["volume"][7, 0])
    assert masked_days(clean) == []


def test_gaps_are_reported_late_listings_are_not(bars: MakeBars) -> None:
    raw = bars()
    for values in raw.values.values():
        values[:10, 0] = np.nan
        values[20:26, 1] = np.nan
    clean = validate(raw)
    assert kinds(clean) == {("S1", "gap")}
    assert "6 bars" in clean.issues[0].detail


def test_a_day_on_which_hardly_anyone_trades_is_removed(bars: MakeBars) -> None:
    raw = bars(names=40)
    for values in raw.values.values():
        values[15, 1:] = np.nan
    clean = validate(raw)
    assert len(clean.dates) == len(raw.dates) - 1
    assert raw.dates[15] not in clean.dates
    assert clean.issues[0].kind == "thin-day"


@st.composite
def faulty_bars(draw: st.DrawFn) -> Bars:
    """Return bars with faults of every kind, on top of each other."""
    days, names = draw(st.integers(20, 90)), 3
    random = np.random.default_rng(draw(st.integers(0, 2**20)))
    close = 50.0 * np.exp(np.cumsum(0.02 * random.standard_normal((days, names)), axis=0))
    values = {"close": close, "volume": np.rint(random.uniform(1e5, 1e6, (days, names)))}
    full = draw(st.booleans())
    if full:
        values |= {"open": close * 1.001, "high": close * 1.01, "low": close * 0.99}
    prices = [values[name] for name in values if name != "volume"]
    for _ in range(draw(st.integers(0, 6))):
        start = draw(st.integers(1, days - 1))
        length = draw(st.integers(1, 40))
        place = slice(start, start + length), draw(st.integers(0, names - 1))
        kind = draw(st.sampled_from(["scale", "rest", "stand", "gap", "thin", "negative", "idle"]))
        if kind in ("scale", "rest"):
            where = place if kind == "scale" else (slice(start, None), place[1])
            factor = draw(st.sampled_from([0.001, 0.01, 1 / 4, 1 / 3, 0.5, 2.0, 5.0, 100.0, 400.0]))
            for array in prices:
                array[where] *= factor
            if draw(st.booleans()):
                values["volume"][where] = np.rint(values["volume"][where] / factor)
        elif kind == "stand":
            for array in prices:
                array[place] = array[start - 1, place[1]]
            if draw(st.booleans()):
                values["volume"][place] = 0.0
        elif kind == "negative":
            values["close"][place] *= -1.0
        elif kind == "idle":
            values["volume"][place] = 0.0
        else:
            for array in values.values():
                if kind == "gap":
                    array[place] = np.nan
                else:
                    array[start] = np.nan
    if draw(st.booleans()):
        values["adj_close"] = values["close"] * draw(st.sampled_from([0.5, 1.0, 0.3]))
    dates = np.datetime64("2020-01-01") + np.arange(days)
    return Bars(dates, np.array(["A", "B", "C"]), values)


def same(one: np.ndarray, other: np.ndarray) -> bool:
    return np.array_equal(one, other, equal_nan=True)


@settings(max_examples=examples(400), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(faulty_bars(), st.data())
def test_no_later_bar_changes_what_was_known_on_a_day(raw: Bars, data: st.DataObject) -> None:
    clean = validate(raw)
    row = data.draw(st.integers(0, len(clean.dates) - 1))
    cut = int(np.searchsorted(raw.dates, clean.dates[row])) + 1
    earlier = validate(
        Bars(raw.dates[:cut], raw.symbols, {n: array[:cut] for n, array in raw.values.items()})
    )
    assert same(earlier.dates, clean.dates[: row + 1])
    seen = clean.revisions.as_of(row, clean.values)
    for name, values in earlier.values.items():
        assert same(values, seen[name]), name
    assert [found for found in clean.revisions.breaks if found.known_at <= row] == list(
        earlier.revisions.breaks
    )


def test_masked_values_are_kept_with_the_row_on_which_they_were_known(bars: MakeBars) -> None:
    raw = bars()
    for name in ("open", "high", "low", "close"):
        raw.values[name][30:33, 0] *= 10.0
    revisions = validate(raw).revisions
    assert revisions.rows.tolist() == [30, 31, 32]
    assert revisions.known_at.tolist() == [33, 33, 33]
    assert same(revisions.before["close"], raw.values["close"][30:33, 0])
    assert len(revisions.pending(32)) == 3
    assert len(revisions.pending(33)) == 0


PRICES = arrays(
    np.float64,
    (30, 2),
    elements=st.one_of(st.floats(-10, 1e7, allow_subnormal=False), st.just(np.nan), st.just(5.0)),
)


@settings(max_examples=examples(200), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PRICES, PRICES, PRICES, PRICES)
def test_whatever_comes_in_what_comes_out_is_a_bar(
    high: np.ndarray, low: np.ndarray, close: np.ndarray, volume: np.ndarray
) -> None:
    dates = np.datetime64("2020-01-01") + np.arange(30)
    values = {"high": high, "low": low, "close": close, "volume": volume}
    clean = validate(Bars(dates, np.array(["A", "B"]), values))
    out = clean.values
    for name in ("high", "low", "close"):
        assert not (out[name] <= 0).any()
        changed = ~np.isnan(out[name])
        kept = values[name][np.isin(dates, clean.dates)]
        for found in clean.revisions.breaks:
            kept[found.row :, found.column] *= found.factor
        assert np.array_equal(out[name][changed], kept[changed])
    assert not (out["volume"] < 0).any()
    assert not (out["high"] < out["low"]).any()
    assert not (out["close"] > out["high"] * 1.002).any()
    assert not (out["close"] < out["low"] * 0.998).any()
    touched = {issue.symbol for issue in clean.issues}
    for column, symbol in enumerate("AB"):
        lost = np.isnan(out["close"][:, column]).sum() - np.isnan(close[:, column]).sum()
        assert lost <= 0 or symbol in touched


@given(arrays(np.float64, st.integers(0, 40), elements=st.floats(-5, 5)))
def test_leaps_are_inside_their_series(path: np.ndarray) -> None:
    for leap in find_leaps(Series(path, np.arange(len(path)))):
        assert 0 < leap.start < leap.back <= leap.known + 1 <= len(path)


def test_validation_does_not_touch_its_input(bars: MakeBars) -> None:
    raw = bars()
    raw.values["close"][5, 0] = -1.0
    before = {name: values.copy() for name, values in raw.values.items()}
    validate(raw)
    for name, values in raw.values.items():
        assert np.array_equal(values, before[name])


@pytest.mark.parametrize("factor", [0.01, 1000.0])
def test_a_volume_in_another_unit_from_some_day_on_is_told_and_used(
    bars: MakeBars, factor: float
) -> None:
    raw = bars(days=120)
    raw.values["volume"][70:, 1] *= factor
    clean = validate(raw)
    assert kinds(clean) == {("S1", "volume-unit")}
    (issue,) = clean.issues
    assert "from 2020-03-11 on" in issue.detail and issue.masked == 0
    assert ("1/" in issue.detail) == (factor < 1)
    assert np.array_equal(clean.values["volume"], raw.values["volume"])


def test_a_unit_that_changes_for_a_whole_market_is_told_once(bars: MakeBars) -> None:
    raw = bars(days=120, names=30)
    raw.values["volume"][70:] *= 0.1
    (issue,) = validate(raw).issues
    assert (issue.symbol, issue.kind) == ("", "volume-unit")
    assert "from 2020-03-11 on" in issue.detail


def test_trading_that_rises_with_the_price_or_in_days_is_no_change_of_unit(bars: MakeBars) -> None:
    raw = bars(days=160, names=4)
    volume, prices = raw.values["volume"], ("open", "high", "low", "close")
    volume[70:, 0] *= 40.0  # a takeover: the price leaps on the first day
    volume[70:, 1] *= np.exp(np.minimum(np.arange(90) * 0.1, 5.0))  # interest that grows
    volume[70:, 2] *= 40.0  # a storm: the price moves five times as much from then on
    storm = np.random.default_rng(3).normal(0.0, 0.08, 90).cumsum()
    for name in prices:
        raw.values[name][70:, 0] *= 1.4
        raw.values[name][70:, 2] *= np.exp(storm)
    volume[100, 3] *= 1000.0  # one day
    assert "volume-unit" not in {kind for _, kind in kinds(validate(raw))}


def test_shares_beside_coins_have_a_unit_too(bars: MakeBars) -> None:
    raw = bars(days=140, names=4)
    weekend = np.isin(np.arange(140) % 7, [3, 4])
    for values in raw.values.values():
        values[weekend, :2] = np.nan
    raw.values["volume"][71:, 0] *= 1000.0
    assert {symbol for symbol, kind in kinds(validate(raw)) if kind == "volume-unit"} == {"S0"}


def filled_in(raw: Bars, names: slice, rows: list[int], *, volume: bool) -> None:
    for name, values in raw.values.items():
        if name != "volume" or volume:
            values[rows, names] = values[[row - 1 for row in rows], names]


def test_days_without_trading_that_were_filled_in_are_told(bars: MakeBars) -> None:
    raw = bars(days=60, names=8)
    filled_in(raw, slice(None), [13, 20, 27], volume=True)
    (issue,) = validate(raw).issues
    assert (issue.symbol, issue.kind) == ("", "repeated-bar")
    assert "on 2020-01-14 and on 2 more days" in issue.detail


def test_filled_in_closes_alone_are_told(bars: MakeBars) -> None:
    raw = bars(days=60, names=8)
    raw = replace(raw, values={"close": raw.values["close"]})
    filled_in(raw, slice(None), [13], volume=False)
    assert kinds(validate(raw)) == {("", "repeated-bar")}


def test_names_of_another_calendar_that_were_filled_in_are_told(bars: MakeBars) -> None:
    raw = bars(days=60, names=8)
    filled_in(raw, slice(0, 2), [13, 20, 27], volume=True)
    assert kinds(validate(raw)) == {("S0", "repeated-bar"), ("S1", "repeated-bar")}


def test_a_close_that_happens_to_be_that_of_the_day_before_is_no_fault(bars: MakeBars) -> None:
    raw = bars(days=60, names=8)
    raw.values["close"][13:16, 0] = raw.values["close"][12, 0]
    raw.values["high"][13:16, 0] = raw.values["close"][12, 0] * 1.1
    raw.values["low"][13:16, 0] = raw.values["close"][12, 0] * 0.9
    assert validate(raw).issues == ()


@pytest.mark.parametrize("bars_away", [80, 300])
def test_prices_in_pence_for_a_while_come_back_without_a_loss(
    bars: MakeBars, bars_away: int
) -> None:
    """What was multiplied by 100 and divided again has the returns of the days as they are."""
    raw = bars(days=500, names=2)
    true = np.diff(np.log(raw.values["close"]), axis=0)
    for name in ("open", "high", "low", "close"):
        raw.values[name][100 : 100 + bars_away, 0] *= 100.0
    clean = validate(raw)
    moved = np.abs(np.diff(np.log(clean.values["close"]), axis=0) - true)
    assert moved.max() < 0.1, "at most the move of a day of change is left out"
    assert {issue.symbol for issue in clean.issues} == {"S0"}
    assert np.array_equal(clean.values["close"][:, 1], raw.values["close"][:, 1])


def test_a_loss_of_another_factor_than_an_earlier_rise_counts(bars: MakeBars) -> None:
    raw = bars(days=500, names=2)
    for name in ("open", "high", "low", "close"):
        raw.values[name][100:, 0] *= 100.0
        raw.values[name][400:, 0] *= 0.004
    clean = validate(raw)
    assert clean.values["close"][400, 0] / clean.values["close"][399, 0] < 0.005


def test_a_market_in_pence_until_some_day_does_not_lose_it_all(bars: MakeBars) -> None:
    raw = bars(days=300, names=8)
    true = np.diff(np.log(raw.values["close"]), axis=0)
    for name in ("open", "high", "low", "close"):
        raw.values[name][:200] *= 100.0
    raw.values["close"][200, 3] = np.nan
    clean = validate(raw)
    moved = np.diff(np.log(clean.values["close"]), axis=0)
    whole = [column for column in range(8) if column != 3]
    np.testing.assert_allclose(moved[:, whole], true[:, whole], atol=1e-9)
    assert abs(np.log(clean.values["close"][201, 3] / clean.values["close"][199, 3])) < 0.3
    assert kinds(clean) == {(f"S{name}", "jump") for name in range(8)}
    assert {(found.row, found.known_at) for found in clean.revisions.breaks} == {
        (200, 200),
        (201, 201),
    }


def test_one_name_that_falls_by_a_hundred_counts(bars: MakeBars) -> None:
    raw = bars(days=300, names=8)
    for name in ("open", "high", "low", "close"):
        raw.values[name][200:, 2] *= 0.01
    clean = validate(raw)
    assert clean.values["close"][200, 2] / clean.values["close"][199, 2] < 0.02


def test_weekly_bars_say_nothing_of_a_unit(bars: MakeBars) -> None:
    raw = bars(days=120)
    raw.values["volume"][70:, 1] *= 1000.0
    weekly = replace(raw, dates=np.datetime64("2015-01-02") + 7 * np.arange(120))
    assert not kinds(validate(weekly))
