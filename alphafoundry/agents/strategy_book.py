"""Which strategies a desk trades: rows from proposal over incubation to retirement.

The rows are the truth, and the floor trades those that are live. Changes take hold with the next
rebalancing; each change by an agent or a person is a decision with its evidence and its undo.
"""

from __future__ import annotations

import getpass
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alphafoundry.agents.control import desk_time
from alphafoundry.agents.floor import TradingFloor
from alphafoundry.agents.hours import utc
from alphafoundry.agents.model_signals import is_model
from alphafoundry.configuration import suggest
from alphafoundry.errors import FoundryError
from alphafoundry.simulation.pnl import lag
from alphafoundry.store import Store
from alphafoundry.store.agents import desk_transaction, read_agent_desk
from alphafoundry.store.model_tables import ModelRow, ModelState
from alphafoundry.store.models import read_models
from alphafoundry.store.strategies import propose_strategies, read_strategies
from alphafoundry.store.strategy_tables import DeskStrategyRow, StrategyState
from alphafoundry.trading.portfolio import LiveStrategy

Array = NDArray[np.float64]


def take_up(floor: TradingFloor, now: int) -> None:
    """Let the floor trade what the rows say is live; write those that it began with first.

    In a simulation nobody else changes rows, so they are read once.
    """
    if floor.strategies_known and floor.simulated:
        return
    rows = read_strategies(floor.store, floor.desk)
    if not rows and floor.strategies:
        reason = "the desk began with it"
        propose_strategies(
            floor.store,
            floor.desk,
            [
                {
                    "alpha_id": one.alpha_id,
                    "strategy": one.to_json(),
                    "state": "live",
                    "found_on": one.data_until,
                    "data_until": one.data_until,
                    "fitness": None,
                    "sharpe": None,
                    "trials": 0,
                    "changed_at": utc(now),
                    "reason": reason,
                    "evidence": {},
                    "synthetic": floor.panel.synthetic,
                }
                for one in floor.strategies
            ],
        )
        rows = read_strategies(floor.store, floor.desk)
    floor.trade(_in_order(floor.strategies, [one for one in rows if one.state == "live"]))


def may_go(alpha_id: str, live: Sequence[LiveStrategy]) -> bool:
    """Return whether a strategy may be retired: one that is no model has to trade on.

    A model ends with the last alpha that it reads.
    """
    return any(one.alpha_id != alpha_id and not is_model(one) for one in live)


def trade_live(floor: TradingFloor) -> None:
    """Let the floor trade what the rows say is live by now."""
    live = read_strategies(floor.store, floor.desk, state="live")
    floor.trade(_in_order(floor.strategies, live))


def _in_order(
    traded: Sequence[LiveStrategy], rows: Sequence[DeskStrategyRow]
) -> list[LiveStrategy]:
    """Return the strategies of rows, those that trade already in the order that they have."""
    found = {row.alpha_id: LiveStrategy.from_json(row.strategy) for row in rows}
    kept = [one for one in traded if one.alpha_id in found]
    known = {one.alpha_id for one in kept}
    return [*kept, *(one for name, one in found.items() if name not in known)]


def set_state(
    floor: TradingFloor,
    alpha_id: str,
    state: StrategyState,
    *,
    actor: str,
    now: int,
    reason: str,
    evidence: Mapping[str, Any],
    found_on: date | None = None,
) -> None:
    """Change a strategy's state for an agent, and let the floor trade what is live then.

    found_on : day after which its days are fresh from now on; None leaves it
    """
    _write(
        floor.store,
        floor.desk,
        alpha_id,
        state,
        actor,
        utc(now),
        reason,
        evidence,
        found_on=found_on,
    )
    trade_live(floor)


def person_sets_state(
    store: Store,
    alpha_id: str,
    state: StrategyState,
    reason: str,
    *,
    desk: str | None,
    at: datetime,
) -> str:
    """Change the state of a strategy or a model for a person; return a line about it.

    A model that is brought back goes into the shadow, where it has to win again.

    at : the true time

    Raises FoundryError for a simulation, an unknown strategy, and the last one that is live.
    """
    found = read_agent_desk(store, desk)
    if found.clock == "simulated":
        raise FoundryError(f"desk {found.name}: is a simulation, in which no person takes part")
    at = desk_time(store, found, at)
    rows = {row.alpha_id: row for row in read_strategies(store, found.name)}
    models = {row.model: row for row in read_models(store, found.name)}
    if alpha_id in models:
        return _person_sets_model(store, found.name, models[alpha_id], state, reason, at)
    if alpha_id not in rows:
        raise FoundryError(
            f"desk {found.name}: no strategy {alpha_id!r}; {suggest(alpha_id, [*rows, *models])}"
        )
    before = rows[alpha_id].state
    if before == state:
        return f"desk {found.name}: {alpha_id} is {state} already"
    live = [LiveStrategy.from_json(row.strategy) for row in rows.values() if row.state == "live"]
    if state == "retired" and not may_go(alpha_id, live):
        raise FoundryError(
            f"desk {found.name}: {alpha_id} is the last that trades, but for models that read it; "
            "halt the desk"
        )
    _write(store, found.name, alpha_id, state, getpass.getuser(), at, reason, {})
    return f"desk {found.name}: {alpha_id} {before} -> {state}: {reason}"


def _person_sets_model(
    store: Store, desk: str, row: ModelRow, state: StrategyState, reason: str, at: datetime
) -> str:
    after: ModelState = "retired" if state == "retired" else "shadow"
    if row.state == after:
        return f"desk {desk}: {row.model} is {after} already"
    if row.state == "refused":
        raise FoundryError(f"desk {desk}: {row.model} was refused by the vault: {row.reason}")
    actor = getpass.getuser()
    told = set_model_state(
        store, desk, row.model, after, actor=actor, at=at, reason=reason, evidence={}
    )
    return f"desk {desk}: {told}"


def set_model_state(
    store: Store,
    desk: str,
    model: str,
    state: ModelState,
    *,
    actor: str,
    at: datetime,
    reason: str,
    evidence: Mapping[str, Any],
) -> str:
    """Change a model's state together with the decision's row; return a line about it.

    What trades its forecasts is retired with it. One that comes back into the shadow is judged by
    the days after that alone.

    at : the desk's time
    """
    with desk_transaction(store, desk) as rows:
        row = rows.model(model)
        before = row.state
        row.state, row.changed_at, row.reason = state, at, reason
        if state == "shadow":
            row.evidence = {**row.evidence, "back_since": at.date().isoformat()}
        rows.decide(
            at,
            actor=actor,
            subject=f"model {model}",
            before=before,
            after=state,
            reason=reason,
            evidence=evidence,
            undo=_undo(model, state),
        )
    trades = {row.alpha_id for row in read_strategies(store, desk) if row.state != "retired"}
    if state == "retired" and model in trades:
        _write(store, desk, model, "retired", actor, at, f"its model: {reason}", evidence)
    return f"{model} {before} -> {state}: {reason}"


def _write(
    store: Store,
    desk: str,
    alpha_id: str,
    state: StrategyState,
    actor: str,
    at: datetime,
    reason: str,
    evidence: Mapping[str, Any],
    *,
    found_on: date | None = None,
) -> None:
    with desk_transaction(store, desk) as rows:
        row = rows.strategy(alpha_id)
        before = row.state
        row.state, row.changed_at = state, at
        row.reason, row.evidence = reason, dict(evidence)
        row.found_on = found_on or row.found_on
        rows.decide(
            at,
            actor=actor,
            subject=f"strategy {alpha_id}",
            before=before,
            after=state,
            reason=reason,
            evidence=evidence,
            undo=_undo(alpha_id, state),
        )


def _undo(name: str, state: StrategyState | ModelState) -> str:
    return f"{'reinstate' if state == 'retired' else 'retire'} {name}"


def strategy_returns(floor: TradingFloor) -> tuple[NDArray[np.datetime64], Array]:
    """Return what each strategy that trades earned alone each day, before costs, to `data_until`.

    Dates of shape (n_days,) and returns over half its book of shape (n_strategies, n_days), as a
    simulation counts them. Days before a strategy holds anything are 0.
    """
    assert floor.data_until is not None
    behind = lag(1)
    end = floor.days_to(floor.data_until)
    return floor.panel.dates[behind:end], floor.rebalancer().history.earned[:, : end - behind]


def first_day_of(row: DeskStrategyRow) -> date:
    """Return the last day that a strategy's search or proposal knew; later ones are fresh."""
    return max(row.found_on, row.data_until)
