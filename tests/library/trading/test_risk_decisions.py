"""Snapshots, limits and stops."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pytest

from alphafoundry.errors import BacktestError, PortfolioError
from alphafoundry.finance.statistics import beta
from alphafoundry.trading.risk import (
    BookHistory,
    Position,
    RiskLimits,
    RiskMemory,
    RiskSnapshot,
    Stop,
    StopDecision,
    StopRules,
    judge_risk,
    judge_stops,
    measure_risk,
    tail_risk,
)
from tests.library.trading.markets import fields_of, market

EQUITY = 1_000_000.0
PANEL = market()
ROW = 380
DAY: date = PANEL.dates[ROW].astype(date)
HELD = {"S00": 2000, "S05": -1500, "S11": 800, "S23": -900}
NEVER = BookHistory(np.zeros(0), np.zeros(0), np.zeros(0))
LOOSE = RiskLimits(
    value_at_risk=9, gross=9, net=9, name=9, sector=9, beta=9, liquidity_days=99, stress=9
)


def snapshot(held: dict[str, int] | None = None, history: BookHistory = NEVER) -> RiskSnapshot:
    return measure_risk(PANEL, DAY, HELD if held is None else held, EQUITY, history)


def present_book() -> np.ndarray:
    """Return what the present weights would have earned on each day, the slow way."""
    close, returns = PANEL.fields["close"], PANEL.fields["returns"]
    places = {str(name): i for i, name in enumerate(PANEL.symbols)}
    daily = np.zeros(ROW + 1)
    for symbol, shares in HELD.items():
        i = places[symbol]
        weight = shares * close[ROW, i] / EQUITY
        daily += weight * np.nan_to_num(returns[: ROW + 1, i])
    return daily


def test_tails_and_beta_are_of_the_present_book() -> None:
    found = snapshot()
    book = present_book()
    assert len(found.tails) == 6
    for one in found.tails:
        expected = tail_risk(book, one.level, one.method)
        assert one.value_at_risk == pytest.approx(expected.value_at_risk)
        assert one.shortfall == pytest.approx(expected.shortfall)
    with np.errstate(invalid="ignore"):
        mean = np.nanmean(PANEL.fields["returns"][1 : ROW + 1], axis=1)[-252:]
    assert found.beta == pytest.approx(beta(book[-252:], mean))
    assert found.designated is not None
    assert found.stress["market -10 %"] == pytest.approx(-0.10 * found.beta)
    assert found.stress["volatility x 2"] == pytest.approx(-2 * found.designated.value_at_risk)
    assert found.stress["worst 5 days seen"] == pytest.approx(
        min(book[t : t + 5].sum() for t in range(len(book) - 4))
    )
    assert found.stress["worst day seen"] == pytest.approx(book.min())


def test_exposures_add_up() -> None:
    found = snapshot()
    assert found.gross == pytest.approx(sum(abs(w) for w in found.weights.values()))
    assert sum(found.sectors.values()) == pytest.approx(found.net)
    # S00 and S05 are of the sector Autos, and S11 of Banks.
    assert found.sectors["Autos"] == pytest.approx(found.weights["S00"] + found.weights["S05"])
    assert found.sectors["Banks"] == pytest.approx(found.weights["S11"])
    worst = max(found.sectors.values())
    assert found.stress[f"sector -15 % ({max(found.sectors, key=found.sectors.__getitem__)})"] == (
        pytest.approx(-0.15 * worst)
    )
    shares = np.array([abs(w) for w in found.weights.values()]) / found.gross
    assert found.effective_names == pytest.approx(1.0 / (shares**2).sum())
    volume = PANEL.fields["volume"][ROW - 19 : ROW + 1]
    close = PANEL.fields["close"][ROW - 19 : ROW + 1]
    dollars = np.nan_to_num(close * volume).mean(axis=0)
    slowest = max(
        abs(n) * PANEL.fields["close"][ROW, int(name[1:])] / (0.05 * dollars[int(name[1:])])
        for name, n in HELD.items()
    )
    assert found.liquidity_days == pytest.approx(slowest)
    assert found.halved_volume_days == pytest.approx(2 * slowest)


def test_a_snapshot_knows_nothing_of_later_days() -> None:
    close, volume = (PANEL.fields[name].copy() for name in ("close", "volume"))
    close[ROW + 1 :] *= 3.0
    volume[ROW + 1 :] = 1.0
    later = market(fields=fields_of(close, volume))
    # As texts, since NaN is not equal to itself; a repr has all digits.
    found = vars(measure_risk(later, DAY, HELD, EQUITY, NEVER))
    assert repr(found) == repr(vars(snapshot()))


def test_what_is_kept_of_earlier_measurements_changes_none() -> None:
    memory = RiskMemory()
    books = [HELD, {**HELD, "S02": 50}, {"S00": 10}, {}, HELD]
    for row in (ROW, ROW, ROW + 1, ROW):
        for held in books:
            for equity in (EQUITY, 2.0 * EQUITY):
                day: date = PANEL.dates[row].astype(date)
                fresh = measure_risk(PANEL, day, held, equity, NEVER)
                found = measure_risk(PANEL, day, held, equity, NEVER, memory=memory)
                assert repr(vars(found)) == repr(vars(fresh))


def test_a_halted_name_is_named_and_does_not_hide_how_long_the_rest_takes() -> None:
    volume = PANEL.fields["volume"].copy()
    volume[ROW - 30 :, 0] = 0.0
    halted = market(fields=fields_of(PANEL.fields["close"], volume))
    found = measure_risk(halted, DAY, HELD, EQUITY, NEVER)
    assert found.unsellable == ("S00",)
    rest = {symbol: n for symbol, n in HELD.items() if symbol != "S00"}
    assert found.liquidity_days == snapshot(rest).liquidity_days
    assert "but S00" in "\n".join(found.lines())


def test_an_empty_book_has_no_risk_and_is_active() -> None:
    found = snapshot({})
    assert (found.gross, found.tails, found.slowest) == (0.0, (), None)
    assert judge_risk(found, {}).state == "ACTIVE"
    assert "needs 100 days" in "\n".join(found.lines())


def test_what_has_no_price_is_refused() -> None:
    with pytest.raises(PortfolioError, match="'XYZ'"):
        snapshot({"XYZ": 3})
    close = PANEL.fields["close"].copy()
    close[:, 0] = np.nan
    blind = market(fields=fields_of(close, PANEL.fields["volume"]))
    with pytest.raises(PortfolioError, match="S00: held, but it has no close"):
        measure_risk(blind, DAY, HELD, EQUITY, NEVER)


def test_within_its_limits_the_desk_is_active() -> None:
    found = judge_risk(snapshot(), HELD, LOOSE)
    assert (found.state, found.breaches, found.most_shares) == ("ACTIVE", (), {})


@pytest.mark.parametrize("limit", ["gross", "value_at_risk", "stress", "name", "sector"])
def test_a_breach_names_what_must_shrink_and_shrinking_mends_it(limit: str) -> None:
    seen = snapshot()
    assert seen.designated is not None
    values = {
        "gross": seen.gross,
        "value_at_risk": seen.designated.value_at_risk,
        "stress": -min(seen.stress.values()),
        "name": seen.largest,
        "sector": max(abs(net) for net in seen.sectors.values()),
    }
    rules = RiskLimits(**vars(LOOSE) | {limit: 0.8 * values[limit]})
    found = judge_risk(seen, HELD, rules)
    assert found.state == "REDUCING"
    assert {one.limit for one in found.breaches} == {limit}
    after = {
        symbol: int(np.sign(n)) * min(abs(n), found.most_shares.get(symbol, abs(n)))
        for symbol, n in HELD.items()
    }
    assert all(abs(after[symbol]) <= abs(n) for symbol, n in HELD.items())
    assert judge_risk(snapshot(after), after, rules).state == "ACTIVE"


def test_drawdown_reduces_and_then_halts() -> None:
    def state(fall: float) -> str:
        history = BookHistory(np.array([0.02, -fall]), np.zeros(2), np.full(2, np.nan))
        return judge_risk(snapshot(history=history), HELD, LOOSE).state

    assert [state(0.05), state(0.12), state(0.25)] == ["ACTIVE", "REDUCING", "HALTED"]


def test_a_red_test_of_the_value_at_risk_reduces() -> None:
    def state(exceptions: int) -> str:
        earned = np.zeros(250)
        earned[:exceptions] = -0.02
        history = BookHistory(np.zeros(250), earned, np.full(250, 0.015))
        return judge_risk(snapshot(history=history), HELD, LOOSE).state

    assert [state(9), state(10)] == ["ACTIVE", "REDUCING"]


def test_limits_out_of_range_are_refused() -> None:
    with pytest.raises(BacktestError, match="gross"):
        RiskLimits(gross=-1)
    with pytest.raises(BacktestError, match="stop_loss"):
        StopRules(stop_loss=0.0)


DAYS = [date(2021, 3, n) for n in (1, 2, 3, 4, 5, 8, 9, 10, 11, 12)]
RULES = StopRules(
    stop_loss=0.1, cooldown=3, guard_stops=3, guard_sessions=2, drawdown=0.1,
    drawdown_sessions=5, lock=2,
)  # fmt: skip


def stops(until: int, **changes: Any) -> StopDecision:
    values: dict[str, Any] = {
        "sessions": DAYS[: until + 1],
        "positions": {},
        "closes": {},
        "past_stops": [],
        "returns": [0.0] * (until + 1),
    }
    return judge_stops(RULES, **values | changes)


def test_longs_and_shorts_are_stopped_at_the_close_that_reaches_the_stop() -> None:
    held = {
        "A": Position(10, 100.0),
        "B": Position(-10, 100.0),
        "C": Position(10, 100.0),
        "D": Position(5, 9.0),
    }
    found = stops(0, positions=held, closes={"A": 90.0, "B": 110.0, "C": 90.01})
    assert [(one.symbol, one.shares) for one in found.stops] == [("A", -10), ("B", 10)]
    assert found.most_shares == {"A": 0, "B": 0}
    again = stops(0, positions=held, closes={"A": 90.0}, past_stops=found.stops)
    assert again.stops == ()


def test_a_stopped_name_cools_down_for_the_sessions_named() -> None:
    past = [Stop("A", DAYS[1], -10, -0.1)]
    assert ["A" in stops(n, past_stops=past).cooling for n in range(1, 6)] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_many_stops_close_the_door_for_all() -> None:
    past = [Stop(name, DAYS[1 + (name == "C")], -1, -0.1) for name in "ABC"]
    assert [stops(n, past_stops=past).reduce_only for n in range(2, 7)] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert not stops(3, past_stops=past[:2]).reduce_only
    spread = [Stop(name, DAYS[n], -1, -0.1) for n, name in zip((0, 2, 4), "ABC", strict=True)]
    assert not stops(4, past_stops=spread).reduce_only
    assert "3 stops within 2 sessions" in stops(2, past_stops=past).reasons[0]


def test_a_drawdown_locks_the_desk_and_the_lock_ends() -> None:
    returns = [0.0, 0.0, -0.12, 0.1, 0.02, 0.0]
    locked = [stops(n, returns=returns[: n + 1]).reduce_only for n in range(6)]
    assert locked == [False, False, True, True, False, False]
    assert "12.0% below its peak" in stops(2, returns=returns[:3]).reasons[0]


def test_stops_need_a_session() -> None:
    with pytest.raises(PortfolioError, match="no session"):
        judge_stops(RULES, sessions=[], positions={}, closes={}, past_stops=[], returns=[])


def test_stops_before_the_first_session_forbid_nothing() -> None:
    first = DAYS[0] - timedelta(days=1)
    earlier = [Stop(f"N{n}", first, 1, -0.2) for n in range(RULES.guard_stops + 1)]
    found = stops(1, past_stops=earlier)
    assert (found.cooling, found.reduce_only) == (frozenset(), False)
    same = [replace(one, day=DAYS[0]) for one in earlier]
    later = stops(1, past_stops=same)
    assert later.cooling == {one.symbol for one in same}
    assert later.reduce_only
