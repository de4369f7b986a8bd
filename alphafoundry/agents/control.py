"""What a person changes about a desk: recorded, and held to from the next tick on."""

from __future__ import annotations

import getpass
from datetime import datetime

from sqlalchemy import select

from alphafoundry.agents.account import STATES
from alphafoundry.agents.book import StoredBook
from alphafoundry.agents.hours import seconds
from alphafoundry.agents.registry import Control
from alphafoundry.agents.snapshot import DeskMode
from alphafoundry.configuration import suggest
from alphafoundry.errors import FoundryError
from alphafoundry.store import Store
from alphafoundry.store.agent_tables import AgentDeskRow
from alphafoundry.store.agents import read_agent_desk, read_agent_states
from alphafoundry.store.desk_tables import DeskRow
from alphafoundry.trading import set_state


def change_desk(
    store: Store, mode: DeskMode, reason: str, *, desk: str | None, at: datetime
) -> str:
    """Set the state of a desk, None is the newest; return a line about it."""
    found = read_agent_desk(store, desk)
    if found.mode == mode:
        return f"desk {found.name}: is {mode} already"
    _apply(store, found, Control(reason, mode), at)
    with store.session() as session:
        ledger = session.scalar(select(DeskRow.id).where(DeskRow.name == found.name))
    if ledger is not None:
        # A ledger that has halted by itself goes on only by a person's word.
        set_state(store, ledger, STATES[mode], reason=reason)
    return f"desk {found.name}: {found.mode} -> {mode}: {reason}"


def pause_agent(
    store: Store, agent: str, reason: str | None, *, desk: str | None, at: datetime
) -> str:
    """Let an agent rest, or go on where `reason` is None; return a line about it.

    Raises FoundryError for an agent that the desk does not have.
    """
    found = read_agent_desk(store, desk)
    states = read_agent_states(store, found.name)
    if agent not in states:
        raise FoundryError(f"desk {found.name}: no agent {agent!r}; {suggest(agent, states)}")
    _apply(store, found, Control(reason or "resumed", pause={agent: reason}), at)
    return f"desk {found.name}: {agent} {'goes on' if reason is None else 'rests: ' + reason}"


def _apply(store: Store, found: AgentDeskRow, wanted: Control, at: datetime) -> None:
    states = read_agent_states(store, found.name)
    intervals = {name: state["interval"] for name, state in states.items()}
    book = StoredBook(store, found.name, intervals, seconds(found.began_at))
    with book.transaction() as opened:
        opened.control(getpass.getuser(), wanted, seconds(at))
