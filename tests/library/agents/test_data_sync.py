"""data_sync: a session whose closing fails is closed by the next attempt, and once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from alphafoundry.agents.bodies.data_sync import DataSyncParameters, data_sync
from alphafoundry.agents.floor import TradingFloor
from alphafoundry.agents.hours import utc
from alphafoundry.agents.registry import AgentContext
from alphafoundry.errors import StoreError
from alphafoundry.store import open_store
from alphafoundry.store.agents import open_agent_desk, read_agent_desk
from tests.library.agents.desks import hours_of
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
