"""data_sync: a session whose closing fails is closed by the next attempt, and once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from alphafoundry.agents.bodies.data_sync import DataSyncParameters, data_sync
from alphafoundry.agents.floor import TradingFloor
from alphafoundry.agents.health import AgentState
from alphafoundry.agents.hours import utc
from alphafoundry.agents.installed import known_agents
from alphafoundry.agents.registry import AgentContext
from alphafoundry.errors import StoreError
from alphafoundry.market.market_folder import read_market_folder
from alphafoundry.market.update import update_market
from alphafoundry.market.update_command import source_named
from alphafoundry.store import open_store
from alphafoundry.store.agents import open_agent_desk, read_agent_desk
from tests.library.agents.desks import hours_of
from tests.library.agents.research_floor import research_floor
from tests.library.agents.small_desks import small_panel
from tests.library.market.test_vendors import alpaca_bars, served
from tests.library.trading.markets import market


class _Account:
    """Cash alone, in a store that is away for a moment."""

    def __init__(self) -> None:
        self.closed: list[object] = []
        self.away = True

    def equity(self) -> float:
        return 1_000.0

    def positions(self) -> dict[str, int]:
        return {}

    def traded(self, session: object) -> dict[str, int]:
        return {}

    def close_session(self, session: object, now: int) -> None:
        if self.away:
            self.away = False
            raise StoreError("the store is away")
        self.closed.append(session)


def test_the_folder_of_the_market_is_updated_from_its_vendor_and_a_fault_holds_up_nothing(
    tmp_path, monkeypatch
):
    folder = tmp_path / "bars"
    faults = [
        (200, {"bars": {"AAA": "none"}, "next_page_token": None}, {}),
        (200, alpaca_bars(c="a lot"), {}),
    ]

    def answer(path, query, number):
        if number > 1 and faults:
            return faults.pop(0)
        return 200, alpaca_bars(), {}

    with served(answer) as service:
        monkeypatch.setenv("FOUNDRY_ALPACA_DATA_URL", service.address)
        monkeypatch.setenv("APCA_API_KEY_ID", "known")
        monkeypatch.setenv("APCA_API_SECRET_KEY", "hush-hush")
        source = source_named("alpaca", folder, symbols="AAA", progress=lambda line: None)
        update_market(folder, source, exchange="XNYS", now=datetime(2024, 3, 9, tzinfo=UTC))
        assert len(read_market_folder(folder).dates) == 2
        panel = replace(small_panel(), source=str(folder))
        with research_floor(tmp_path, panel, simulated=False) as floor:
            first = floor.panel.dates[-1].item()
            now = next(one for one in floor.hours.sessions if one.day == first).closes + 1200

            def sync(*sources):
                given = DataSyncParameters(data_sources=sources)
                context = AgentContext(floor, "data_sync", now, now, now + 60, given, 0)
                return known_agents()["data_sync"].inputs_version(context), data_sync(context)

            _, left_out = sync("market", "polygon")
            assert "data_sources leaves out alpaca" in left_out.summary
            for _ in range(2):
                _, failed = sync("market", "alpaca")
                assert "; alpaca gave nothing: " in failed.summary
                assert "hush" not in failed.summary
                assert len(read_market_folder(folder).dates) == 2
                assert floor.data_until == first
            again, done = sync("market", "alpaca")
            assert again is None, "after a fault the next tick has work"
            assert "; alpaca: " in done.summary
            assert len(read_market_folder(folder).dates) == 4
            asked = len(service.asked)
            version, quiet = sync("market", "alpaca")
            assert version == str(first) and "alpaca" not in quiet.summary
            assert len(service.asked) == asked


def test_the_vendor_is_asked_when_the_bars_of_the_session_are_in(tmp_path, monkeypatch):
    folder = tmp_path / "bars"
    with served(lambda path, query, number: (200, alpaca_bars(), {})) as service:
        monkeypatch.setenv("FOUNDRY_ALPACA_DATA_URL", service.address)
        monkeypatch.setenv("APCA_API_KEY_ID", "known")
        monkeypatch.setenv("APCA_API_SECRET_KEY", "hush-hush")
        source = source_named("alpaca", folder, symbols="AAA", progress=lambda line: None)
        update_market(folder, source, exchange="XNYS", now=datetime(2024, 3, 9, tzinfo=UTC))
        panel = replace(small_panel(), source=str(folder))
        with research_floor(tmp_path, panel, simulated=False) as floor:
            floor.account = _Account()
            floor.data_until = floor.panel.dates[-2].item()
            day = floor.panel.dates[-1].item()
            now = next(one for one in floor.hours.sessions if one.day == day).closes + 1200
            agent = known_agents()["data_sync"]
            state = AgentState(600.0)

            def sync():
                given = DataSyncParameters(data_sources=("market", "alpaca"))
                context = AgentContext(
                    floor, "data_sync", now, now, now + 60, given, 0, agents={"data_sync": state}
                )
                return agent.inputs_version(context), agent.run(context)

            asked = len(service.asked)
            with pytest.raises(StoreError, match="is away"):
                sync()
            assert len(service.asked) == asked
            state.fold("failed", now)
            # What failed might have been a vendor that hangs: the bars are taken in by themselves.
            _, alone = sync()
            assert "asked by the next run" in alone.summary
            assert floor.data_until == day and len(service.asked) == asked
            version, done = sync()
            assert version is None and "; alpaca: " in done.summary
            assert len(service.asked) > asked


def test_a_session_whose_closing_fails_is_closed_by_the_next_attempt(tmp_path):
    panel = market(days=6, names=5)
    hours = hours_of("2020-01-02", "2020-01-09")
    day = panel.dates[-1].item()
    now = next(one for one in hours.sessions if one.day == day).closes + 1200
    with open_store(home=tmp_path) as store:
        open_agent_desk(
            store,
            "small",
            market_label=panel.label,
            clock="wall",
            began_at=utc(now),
            schedule={},
            settings={},
        )
        account = _Account()
        floor = TradingFloor(
            store=store,
            desk="small",
            panel=panel,
            hours=hours,
            account=account,  # type: ignore[arg-type]
            strategies=[],
            home=tmp_path,
            simulated=False,
            sample_age=900,
            samples_kept=timedelta(days=1),
            data_until=panel.dates[-2].item(),
        )
        context = AgentContext(floor, "data_sync", now, now, now + 60, DataSyncParameters(), 0)
        with pytest.raises(StoreError, match="is away"):
            data_sync(context)
        assert floor.data_until < day
        assert data_sync(context).figures["equity"] == 1_000.0
        assert account.closed == [day]
        assert [one.day for one in floor.evenings] == [day]
        assert read_agent_desk(store).data_until == day
