"""Ticks of the desk's agents and what the desk knows of itself: claimed, written and read here."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from alphafoundry.clock import utc_now
from alphafoundry.errors import NotInStore, StoreError
from alphafoundry.store.agent_tables import (
    AgentAlertRow,
    AgentDeskRow,
    AgentStateRow,
    AgentTickRow,
    ClockKind,
    ControlDecisionRow,
    HealthSampleRow,
)
from alphafoundry.store.database import (
    Store,
    add_columns,
    insert_once,
    lock_subject,
    put_rows,
)
from alphafoundry.store.model_tables import ModelRow
from alphafoundry.store.runs import is_alive
from alphafoundry.store.strategy_tables import DeskStrategyRow
from alphafoundry.store.tables import RunRow

IS_COUNTERFACTUAL = AgentDeskRow.settings["without"].as_string().is_not(None)
"""Whether a desk is another one without an agent, a limit or a cost."""


def open_agent_desk(
    store: Store,
    name: str,
    *,
    market_label: str,
    clock: ClockKind,
    began_at: datetime,
    schedule: Mapping[str, Any],
    settings: Mapping[str, Any],
    run_id: int | None = None,
) -> AgentDeskRow:
    """Record a desk, or take up the one of that name with today's schedule and settings.

    Raises StoreError where another process is at work on it.
    """
    with store.write() as session:
        found = session.get(AgentDeskRow, name)
        if found is not None and found.run_id not in (None, run_id):
            other = session.get(RunRow, found.run_id)
            if other is not None and is_alive(other):
                raise StoreError(
                    f"desk {name}: process {other.pid} on {other.host} is at work on it; wait for "
                    "its end, or begin another with --restart"
                )
        if found is None:
            found = AgentDeskRow(
                name=name,
                market_label=market_label,
                clock=clock,
                created_at=utc_now(),
                began_at=began_at,
                seen_until=began_at,
                ticks=0,
                mode="ACTIVE",
                mode_actor="",
                mode_reason="",
            )
            session.add(found)
        found.run_id = run_id
        found.schedule, found.settings = dict(schedule), dict(settings)
    return found


def read_agent_desk(store: Store, name: str | None = None) -> AgentDeskRow:
    """Return a desk by its name, or the newest that is no counterfactual of another.

    Raises
    ------
    NotInStore : there is none
    """
    found = newest_agent_desk(store) if name is None else find_agent_desk(store, name)
    if found is None:
        what = "no desk yet; run `make desk`" if name is None else f"no desk {name!r}"
        raise NotInStore(f"{store.label}: there is {what}")
    return found


def find_agent_desk(store: Store, name: str) -> AgentDeskRow | None:
    """Return the desk of that name, None where there is none."""
    with store.session() as session:
        return session.get(AgentDeskRow, name)


def run_at_work(store: Store, desk: AgentDeskRow) -> RunRow | None:
    """Return the run of the process that is at work on a desk, None where none lives."""
    if desk.run_id is None:
        return None
    with store.session() as session:
        run = session.get(RunRow, desk.run_id)
    return run if run is not None and is_alive(run) else None


def newest_agent_desk(store: Store, clock: ClockKind | None = None) -> AgentDeskRow | None:
    """Return the newest desk that is no counterfactual of another, None where there is none.

    clock : of such desks alone; None is of any
    """
    query = select(AgentDeskRow).where(~IS_COUNTERFACTUAL)
    if clock is not None:
        query = query.where(AgentDeskRow.clock == clock)
    newest = (AgentDeskRow.created_at.desc(), AgentDeskRow.name.desc())
    with store.session() as session:
        return session.scalars(query.order_by(*newest).limit(1)).one_or_none()


class DeskTransaction:
    """The rows of one desk, in one transaction that no other claim enters."""

    def __init__(self, session: Session, desk: str) -> None:
        self._session = session
        self._desk = desk

    def states(self) -> dict[str, dict[str, Any]]:
        """Return agent to its state."""
        rows = self._session.scalars(select(AgentStateRow).where(AgentStateRow.desk == self._desk))
        return {row.agent: row.state for row in rows}

    def put_states(self, states: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the states of agents."""
        given = [
            {"desk": self._desk, "agent": agent, "state": dict(state)}
            for agent, state in states.items()
        ]
        put_rows(self._session, AgentStateRow, given, "desk", "agent", changes=("state",))

    def running(self) -> list[AgentTickRow]:
        """Return the ticks under way."""
        query = select(AgentTickRow).where(
            AgentTickRow.desk == self._desk, AgentTickRow.outcome == "running"
        )
        return list(self._session.scalars(query))

    def has_tick(self, agent: str, due_at: datetime) -> bool:
        """Return whether a due time has its row."""
        query = select(AgentTickRow.position).where(
            AgentTickRow.desk == self._desk,
            AgentTickRow.agent == agent,
            AgentTickRow.due_at == due_at,
        )
        return self._session.execute(query).first() is not None

    def add_ticks(self, columns: Mapping[str, list[Any]]) -> None:
        """Insert ticks, each of which must be new, given column by column."""
        desk = [self._desk] * len(columns["agent"])
        add_columns(self._session, AgentTickRow, {"desk": desk, **columns})

    def change_tick(self, agent: str, due_at: datetime, values: Mapping[str, Any]) -> bool:
        """Change a tick that is under way; False where it has ended."""
        done = self._session.execute(
            update(AgentTickRow)
            .where(
                AgentTickRow.desk == self._desk,
                AgentTickRow.agent == agent,
                AgentTickRow.due_at == due_at,
                AgentTickRow.outcome == "running",
            )
            .values(**values)
            .returning(AgentTickRow.position)
        ).all()
        return bool(done)

    def desk(self) -> AgentDeskRow:
        """Return the desk's row; changing it changes the row."""
        return self._session.get_one(AgentDeskRow, self._desk)

    def strategy(self, alpha_id: str) -> DeskStrategyRow:
        """Return the row of one of its strategies; changing it changes the row."""
        return self._session.get_one(DeskStrategyRow, (self._desk, alpha_id))

    def model(self, name: str) -> ModelRow:
        """Return the row of one of its models; changing it changes the row."""
        return self._session.get_one(ModelRow, (self._desk, name))

    def put_desk(self, **values: Any) -> None:
        """Change columns of the desk's row without reading it; its checkpoint is long."""
        self._session.execute(
            update(AgentDeskRow)
            .where(AgentDeskRow.name == self._desk)
            .values(**values)
            .execution_options(synchronize_session=False)
        )

    def alert(self, key: str, at: datetime, text: str) -> None:
        """Write an alert, or count it once more where it is open."""
        found = self._session.scalars(
            select(AgentAlertRow).where(
                AgentAlertRow.desk == self._desk,
                AgentAlertRow.key == key,
                AgentAlertRow.resolved_at.is_(None),
            )
        ).first()
        if found is not None:
            found.count += 1
            found.text = text
            return
        self._session.add(AgentAlertRow(desk=self._desk, key=key, at=at, text=text, count=1))
        self._session.flush()

    def resolve(self, key: str, at: datetime) -> None:
        """Close an alert where it is open."""
        self._session.execute(
            update(AgentAlertRow)
            .where(
                AgentAlertRow.desk == self._desk,
                AgentAlertRow.key == key,
                AgentAlertRow.resolved_at.is_(None),
            )
            .values(resolved_at=at)
        )

    def decide(
        self,
        at: datetime,
        *,
        actor: str,
        subject: str,
        before: str,
        after: str,
        reason: str,
        evidence: Mapping[str, Any],
        undo: str,
    ) -> None:
        """Record what was changed, why, and how to undo it."""
        self._session.add(
            ControlDecisionRow(
                desk=self._desk,
                at=at,
                actor=actor,
                subject=subject,
                before=before,
                after=after,
                reason=reason,
                evidence=dict(evidence),
                undo=undo,
            )
        )

    def add_samples(self, rows: Sequence[Mapping[str, Any]], *, keep: timedelta) -> None:
        """Insert samples of the host, and forget those that are older than `keep` by the newest.

        One of the same moment is left as it is.
        """
        if rows:
            given = [{"desk": self._desk, **row} for row in rows]
            insert_once(self._session, HealthSampleRow, given, "desk", "at")
            oldest = max(row["at"] for row in rows) - keep
            self._session.execute(
                delete(HealthSampleRow).where(
                    HealthSampleRow.desk == self._desk, HealthSampleRow.at < oldest
                )
            )


@contextlib.contextmanager
def desk_transaction(store: Store, desk: str) -> Iterator[DeskTransaction]:
    """Write to the rows of one desk, all or nothing, alone."""
    with store.write() as session:
        lock_subject(session, f"desk {desk}")
        yield DeskTransaction(session, desk)


def read_ticks(
    store: Store,
    desk: str,
    *,
    agent: str | None = None,
    due_at: datetime | None = None,
    due: tuple[datetime, datetime] | None = None,
    limit: int | None = None,
) -> list[AgentTickRow]:
    """Return ticks of a desk in the order in which they were claimed.

    Parameters
    ----------
    due : only those due from the first of both on and before the second
    limit : only the newest so many
    """
    query = select(AgentTickRow).where(AgentTickRow.desk == desk)
    if agent is not None:
        query = query.where(AgentTickRow.agent == agent)
    if due_at is not None:
        query = query.where(AgentTickRow.due_at == due_at)
    if due is not None:
        query = query.where(AgentTickRow.due_at >= due[0], AgentTickRow.due_at < due[1])
    with store.session() as session:
        if limit is None:
            return list(session.scalars(query.order_by(AgentTickRow.position)))
        newest = session.scalars(query.order_by(AgentTickRow.position.desc()).limit(limit))
        return list(newest)[::-1]


def count_ticks(store: Store, desk: str) -> list[tuple[str, str, int]]:
    """Return (agent, outcome, how many) of a desk's ticks."""
    query = (
        select(AgentTickRow.agent, AgentTickRow.outcome, func.count())
        .where(AgentTickRow.desk == desk)
        .group_by(AgentTickRow.agent, AgentTickRow.outcome)
        .order_by(AgentTickRow.agent, AgentTickRow.outcome)
    )
    with store.session() as session:
        return [(agent, outcome, count) for agent, outcome, count in session.execute(query)]


def count_reasons(store: Store, desk: str) -> list[tuple[str, str, str, bool, int]]:
    """Return (agent, outcome, reason, only safe, how many) of a desk's ticks, the first first."""
    alike = (
        AgentTickRow.agent,
        AgentTickRow.outcome,
        AgentTickRow.reason,
        AgentTickRow.only_safe,
    )
    query = (
        select(*alike, func.count())
        .where(AgentTickRow.desk == desk)
        .group_by(*alike)
        .order_by(func.min(AgentTickRow.position))
    )
    with store.session() as session:
        return [
            (agent, outcome, why, safe, count)
            for agent, outcome, why, safe, count in session.execute(query)
        ]


def read_agent_states(store: Store, desk: str) -> dict[str, dict[str, Any]]:
    """Return agent to its state."""
    with store.session() as session:
        return DeskTransaction(session, desk).states()


def read_agent_alerts(store: Store, desk: str, *, limit: int = 50) -> list[AgentAlertRow]:
    """Return the newest alerts of a desk, the newest first."""
    query = (
        select(AgentAlertRow)
        .where(AgentAlertRow.desk == desk)
        .order_by(AgentAlertRow.id.desc())
        .limit(limit)
    )
    with store.session() as session:
        return list(session.scalars(query))


def read_control_decisions(
    store: Store, desk: str, *, limit: int = 100
) -> list[ControlDecisionRow]:
    """Return the newest decisions about a desk, the newest first."""
    query = (
        select(ControlDecisionRow)
        .where(ControlDecisionRow.desk == desk)
        .order_by(ControlDecisionRow.id.desc())
        .limit(limit)
    )
    with store.session() as session:
        return list(session.scalars(query))


def save_desk_report(store: Store, desk: str, report: Mapping[str, Any]) -> None:
    """Keep the report of a desk with it."""
    with desk_transaction(store, desk) as rows:
        rows.desk().report = dict(report)
