"""A desk at a broker outside, on a clock: bars, orders and fills over real sockets."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from alphafoundry.agents.chosen_broker import KEYS
from alphafoundry.agents.clocks import TrueClock
from alphafoundry.agents.desk_account import order_limits
from alphafoundry.agents.hours import utc
from alphafoundry.agents.outside_account import begin_outside_desk
from alphafoundry.agents.reconciling import reconcile_desk
from alphafoundry.agents.schedule import Schedule
from alphafoundry.agents.schedule_check import checked_schedule
from alphafoundry.agents.true_clock import TrueClockDesk, check_market, client_of, desk_name
from alphafoundry.errors import ConfigurationError
from alphafoundry.market.market_folder import read_market_folder
from alphafoundry.market.panel import Panel
from alphafoundry.market.sessions import sessions
from alphafoundry.market.update import update_market
from alphafoundry.market.update_command import source_named
from alphafoundry.research.run import load_simulated_market
from alphafoundry.settings import BrokerSettings, FoundrySettings
from alphafoundry.store import Store, open_store
from alphafoundry.store.agents import read_agent_desk, read_ticks
from alphafoundry.trading import read_orders
from alphafoundry.trading.portfolio import LiveStrategy
from tests.library.agents.research_floor import research_floor
from tests.library.agents.small_desks import SkippingClock
from tests.library.trading.alpaca_server import EASTERN, KEY, NUMBER, SECRET, Alpaca, serving
from tests.library.trading.markets import REVERSAL, market
from tests.schedules import SCHEDULE, with_little_learning

LAST = date(2024, 3, 15)


def market_until(last: date, days: int = 620) -> Panel:
    """Return a market on the last sessions up to a day, long enough for a simulation."""
    found = [one.day for one in sessions("XNYS", date(2021, 6, 1), last)][-days:]
    return market(days=days, dates=np.array(found, dtype="datetime64[D]"))


def alpaca_of(panel: Panel, now: Any) -> Alpaca:
    """Return an account on a market whose bars the data API tells."""
    close, volume = panel.fields["close"], panel.fields["volume"]
    bars: dict[str, list[dict[str, Any]]] = {}
    prices = {}
    for column, name in enumerate(panel.symbols):
        for row in np.flatnonzero(np.isfinite(close[:, column])):
            day = panel.dates[row].item()
            price = round(float(close[row, column]), 2)
            prices[day, str(name)] = Decimal(str(price))
            midnight = datetime(day.year, day.month, day.day, tzinfo=EASTERN).astimezone(UTC)
            bars.setdefault(str(name), []).append(
                {
                    "t": f"{midnight:%Y-%m-%dT%H:%M:%SZ}",
                    **dict.fromkeys(("o", "h", "l", "c", "vw"), price),
                    "v": int(volume[row, column]),
                    "n": 10,
                }
            )
    hours = {
        one.day: tuple(f"{at.astimezone(EASTERN):%H:%M}" for at in (one.opens, one.closes))
        for one in sessions("XNYS", LAST - timedelta(days=20), LAST + timedelta(days=20))
    }
    return Alpaca(now=now, hours=hours, prices=prices, bars=bars, cash=Decimal(1_000_000))


def patient(folder: Path) -> Schedule:
    """Return the project's schedule for a folder of Alpaca, and for a host however busy."""
    text = with_little_learning(SCHEDULE.read_text(encoding="utf-8"))
    busy = "{cpu: 80, memory: 85, disk: 90}"
    assert busy in text
    path = folder / "task_schedule.yaml"
    text = text.replace(busy, "{cpu: 1000, memory: 1000, disk: 1000}")
    mode = "      control_mode: adaptive\n"
    assert mode in text
    path.write_text(text.replace(mode, f"{mode}      late_threshold: 1000\n"), encoding="utf-8")
    return checked_schedule(path)


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(KEYS, (KEY, SECRET), strict=True):
        monkeypatch.setenv(name, value)


def desk_at(store: Store, settings: FoundrySettings, schedule: Schedule, now: int) -> TrueClockDesk:
    panel = load_simulated_market(settings)
    check_market(panel, schedule)
    name = desk_name(NUMBER)
    with client_of(settings, panel) as client:
        begin_outside_desk(
            store, client, name=name, exchange="XNYS", limits=order_limits(schedule), now=utc(now)
        )
    known = LAST - timedelta(days=30)
    own = REVERSAL.settings.model_copy(update={"neutralization": "MARKET"})
    strategy = LiveStrategy(REVERSAL.alpha_id, REVERSAL.expression, own, known, "unproven")
    return TrueClockDesk(
        store,
        settings,
        name=name,
        run_id=None,
        panel=panel,
        schedule=schedule,
        strategies=[strategy],
        cash=1_000_000.0,
        now=now,
    )


@pytest.mark.long
@pytest.mark.usefixtures("forked_workers")
def test_a_desk_trades_a_session_and_takes_in_its_bars(
    tmp_path: Path, keys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bars"
    start = datetime(2024, 3, 15, 15, 38, tzinfo=EASTERN).timestamp()
    moment = [start]
    alpaca = alpaca_of(market_until(LAST), lambda: utc(int(moment[0])))
    with serving(alpaca), open_store(home=tmp_path) as store:
        monkeypatch.setenv("FOUNDRY_ALPACA_DATA_URL", alpaca.address)
        source = source_named(
            "alpaca", folder, symbols=",".join(alpaca.bars), progress=lambda line: None
        )
        update_market(folder, source, exchange="XNYS", now=utc(int(start)))
        assert read_market_folder(folder).dates[-1] == np.datetime64("2024-03-14")
        settings = FoundrySettings(
            home=tmp_path,
            market=str(folder),
            broker=BrokerSettings(provider="alpaca", address=alpaca.address),
        )
        schedule = patient(tmp_path)
        desk = desk_at(store, settings, schedule, int(start))

        def sent() -> bool:
            told = [one.status for one in read_orders(store, 1)]
            return bool(told) and not {"intended", "sending"} & set(told)

        live(desk, alpaca, start, minutes=11, stop=sent)
        written = {one.client_order_id for one in read_orders(store, 1)}
        assert sent()
        # Nobody is there for a quarter of an hour; another process takes the desk up.
        later = start + 17 * 60
        alpaca.now = lambda: utc(int(later))
        desk = desk_at(store, settings, schedule, int(later))
        live(desk, alpaca, later, minutes=26)

        orders = read_orders(store, 1)
        assert {one.client_order_id for one in orders} == written
        assert orders and {one.status for one in orders} == {"filled"}
        ids = [one["client_order_id"] for one in alpaca.orders.values()]
        assert sorted(ids) == sorted(one.client_order_id for one in orders)
        found = read_agent_desk(store, desk.name)
        assert (found.clock, found.data_until) == ("wall", LAST)
        seen = reconcile_desk(
            store, tmp_path, outside=lambda: client_of(settings, load_simulated_market(settings))
        )
        assert seen.agrees and not seen.equity
        report = desk.report()
        assert report.totals.differences == []
        assert [one.day for one in report.evenings] == [LAST]
        assert report.evenings[0].equity == pytest.approx(float(alpaca.cash) + _value(alpaca))
        rows = read_ticks(store, desk.name)
        assert len({(row.agent, row.due_at) for row in rows}) == len(rows)
        away = [row for row in rows if row.agent == "execution" and row.outcome == "missed"]
        assert len(away) >= 10, "what nobody was there for is not done late"
        assert SECRET not in str([(row.reason, row.result) for row in rows])


def live(
    desk: TrueClockDesk,
    alpaca: Alpaca,
    start: float,
    *,
    minutes: int,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Let time go by for desk and broker alike."""
    clock = SkippingClock(start, 1.0)
    alpaca.now = lambda: utc(int(clock.exact()))
    until = int(start) + minutes * 60
    desk.live(clock, until=until, asked_to_stop=stop)


def _value(alpaca: Alpaca) -> float:
    return float(sum(n * alpaca.price(LAST, name) for name, n in alpaca.held().items()))


def test_the_true_clock_is_the_time_of_day_and_wakes_when_asked_to_stop() -> None:
    asked = iter([False, False, True])
    clock = TrueClock(lambda: next(asked))
    assert abs(clock.exact() - time.time()) < 60
    clock.sleep_until(clock.now() + 3600)
    assert next(asked, None) is None


def test_a_market_that_cannot_grow_is_refused_in_one_line(tmp_path: Path) -> None:
    schedule = checked_schedule(SCHEDULE)
    with pytest.raises(ConfigurationError, match="data update FOLDER --source alpaca"):
        check_market(market_until(LAST, 30), schedule)
    folder = tmp_path / "bars"
    alpaca = alpaca_of(market_until(LAST, 30), lambda: utc(2_000_000_000))
    with serving(alpaca), pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOUNDRY_ALPACA_DATA_URL", alpaca.address)
        for name, value in zip(KEYS, (KEY, SECRET), strict=True):
            patch.setenv(name, value)
        source = source_named("alpaca", folder, symbols="S00,S01", progress=lambda line: None)
        update_market(folder, source, exchange="XNYS", now=datetime(2024, 3, 16, tzinfo=UTC))
    panel = replace(market_until(LAST, 30), source=str(folder))
    check_market(panel, schedule)
    path = tmp_path / "own.yaml"
    path.write_text(SCHEDULE.read_text(encoding="utf-8").replace(", alpaca]", "]"))
    with pytest.raises(ConfigurationError, match="data_sources: leaves out alpaca") as told:
        check_market(panel, checked_schedule(path))
    assert "\n" not in str(told.value)


def test_new_bars_are_taken_in_and_a_split_moves_what_was_paid(tmp_path: Path) -> None:
    whole = market_until(LAST, 30)
    split = {**whole.fields, "close": whole.fields["close"] / 2.0}
    answers: list[tuple[str, Panel | None]] = [
        ("nothing new", None),
        ("a day", replace(whole, fields=split)),
    ]
    with research_floor(tmp_path, whole.until(date(2024, 3, 14)), simulated=False) as floor:
        taken: list[Panel] = []
        floor.account = SimpleNamespace(take_panel=taken.append)  # type: ignore[assignment]
        floor.fetch = lambda now: answers.pop(0)
        floor._entries = {"S00": 40.0, "S01": 30.0}
        closed = next(one for one in floor.hours.sessions if one.day == LAST).closes
        assert floor.fetch_bars(closed + 60) == "", "a bar is there 15 minutes after the close"
        later = closed + 15 * 60
        assert floor.awaits_bars(later) and floor.fetch_bars(later) == "nothing new"
        assert floor.awaits_bars(later) and floor.fetch_bars(later) == "a day"
        assert floor.panel.dates[-1] == np.datetime64(LAST) and taken == [floor.panel]
        assert floor._entries == pytest.approx({"S00": 20.0, "S01": 15.0})
        assert not floor.awaits_bars(later) and floor.fetch_bars(later) == ""
        assert floor.newest_bar(later) == LAST
