"""Many reads and writes of one thread as one transaction."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import select, text

from alphafoundry.clock import utc_now
from alphafoundry.errors import StoreError
from alphafoundry.store import Store
from alphafoundry.store.agent_tables import AgentDeskRow
from alphafoundry.store.agents import desk_transaction, open_agent_desk, read_agent_desk


def made(store: Store, name: str) -> None:
    open_agent_desk(
        store,
        name,
        market_label="a test",
        clock="simulated",
        began_at=utc_now(),
        schedule={},
        settings={},
    )


def names(store: Store) -> list[str]:
    with store.session() as session:
        return sorted(session.scalars(select(AgentDeskRow.name)))


def elsewhere(store: Store) -> list[str]:
    """What another thread sees."""
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.extend(names(store)))
    thread.start()
    thread.join()
    return found


def test_others_see_all_of_it_at_the_end_and_the_thread_at_once(store: Store) -> None:
    with store.together():
        made(store, "a")
        made(store, "b")
        with desk_transaction(store, "a") as rows:
            rows.desk().mode = "HALTED"
        assert names(store) == ["a", "b"] and read_agent_desk(store, "a").mode == "HALTED"
        assert elsewhere(store) == []
    assert elsewhere(store) == ["a", "b"]
    made(store, "c")
    assert elsewhere(store) == ["a", "b", "c"]


def test_what_leaves_the_block_undoes_all_and_what_is_caught_its_own_part(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.together():
        made(store, "a")
        raise ZeroDivisionError
    assert names(store) == []
    with store.together():
        made(store, "a")
        with pytest.raises(StoreError), store.write() as session:
            session.execute(text("INSERT INTO agent_desks (name) VALUES ('half')"))
        made(store, "b")
    assert names(store) == ["a", "b"]
