"""What a person changes about a desk: recorded, and held to from the next tick on."""

from __future__ import annotations

import getpass
from datetime import datetime

from alphafoundry.agents.account import STATES
from alphafoundry.agents.book import StoredBook
from alphafoundry.agents.hours import seconds
from alphafoundry.agents.registry import Control
from alphafoundry.agents.snapshot import DeskMode
from alphafoundry.configuration import suggest
from alphafoundry.errors import FoundryError
from alphafoundry.store import Store
from alphafoundry.store.agent_tables import AgentDeskRow
from alphafoundry.store.agents import read_agent_desk, read_agent_states, read_ticks
from alphafoundry.trading import ledger_of, set_state


def change_desk(
    store: Store, mode: DeskMode, reason: str, *, desk: str | None, at: datetime
) -> str:
    """Set the state of a desk, None is the newest; return a line about it.

    What an agent has set is a person's from then on, and no agent takes it back.

    at : the true time

    Raises FoundryError for a simulation.
    """
    found = _running(store, desk)
    ledger = ledger_of(store, found.name)
    own = mode == "ACTIVE" or found.mode_actor not in read_agent_states(store, found.name)
    stuck = ledger is not None and ledger.state == "halted" and mode != "HALTED"
    if found.mode == mode and own and not stuck:
        return f"desk {found.name}: is {mode} already"
    _apply(store, found, Control(reason, mode), at)
    if ledger is not None:
        # A ledger that has halted by itself goes on only by a person's word.
        set_state(store, ledger.id, STATES[mode], reason=reason)
    return f"desk {found.name}: {found.mode} -> {mode}: {reason}"


def pause_agent(
    store: Store, agent: str, reason: str | None, *, desk: str | None, at: datetime
) -> str:
    """Let an agent rest, or go on where `reason` is None; return a line about it.

    Raises FoundryError for a simulation and for an agent that the desk does not have.
    """
    if reason is not None and not reason.strip():
        raise FoundryError("the reason is empty; say in a few words why the agent is to rest")
    found = _running(store, desk)
    states = read_agent_states(store, found.name)
    if agent not in states:
        raise FoundryError(f"desk {found.name}: no agent {agent!r}; {suggest(agent, states)}")
    _apply(store, found, Control(reason or "resumed", pause={agent: reason}), at)
    return f"desk {found.name}: {agent} {'goes on' if reason is None else 'rests: ' + reason}"


def desk_time(store: Store, found: AgentDeskRow, at: datetime) -> datetime:
    """Return the time of the desk's clock: of one in the past, that of its newest tick."""
    if found.clock == "wall":
        return at
    newest = read_ticks(store, found.name, limit=1)
    return newest[0].claimed_at if newest else found.began_at


def _running(store: Store, desk: str | None) -> AgentDeskRow:
    """Return a desk that a person may change."""
    found = read_agent_desk(store, desk)
    if found.clock == "simulated":
        raise FoundryError(
            f"desk {found.name}: is a simulation, in which no person takes part; name a desk that "
            "runs with --desk (python -m flows.desk run)"
        )
    return found


def _apply(store: Store, found: AgentDeskRow, wanted: Control, at: datetime) -> None:
    states = read_agent_states(store, found.name)
    intervals = {name: state["interval"] for name, state in states.items()}
    book = StoredBook(store, found.name, intervals, seconds(found.began_at))
    now = desk_time(store, found, at)
    with book.transaction() as opened:
        opened.control(getpass.getuser(), wanted, seconds(now))
