"""The tables of the desk's agents: their ticks, states, alerts, and what was decided about them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from alphafoundry.store.column_types import PlainText
from alphafoundry.store.tables import Table, one_of

TickOutcome = Literal["running", "ran", "failed", "idle", "blocked", "missed"]
DeskMode = Literal["ACTIVE", "REDUCING", "HALTED"]
ClockKind = Literal["simulated", "replay", "wall"]


class AgentDeskRow(Table):
    """A desk as its agents see it.

    name : of the desk
    clock : what its times are: simulated, replay of a past session, or true
    began_at, seen_until : desk time of its first and its newest tick
    ticks : so far
    mode : ACTIVE, REDUCING (only orders that reduce) or HALTED
    mode_actor, mode_reason : who set it, and why
    data_until : last day whose bars the desk has taken in
    schedule : the merged schedule, as plain values; settings : of the desk, seed included
    checkpoint : of a simulation: all that is not in rows, after the last session that was kept
    """

    __tablename__ = "agent_desks"
    __table_args__ = (one_of("mode", DeskMode), one_of("clock", ClockKind))

    name: Mapped[str] = mapped_column(primary_key=True)
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id"))
    market_label: Mapped[str]
    clock: Mapped[ClockKind] = mapped_column(PlainText)
    created_at: Mapped[datetime]
    began_at: Mapped[datetime]
    seen_until: Mapped[datetime]
    ticks: Mapped[int]
    mode: Mapped[DeskMode] = mapped_column(PlainText)
    mode_actor: Mapped[str]
    mode_reason: Mapped[str]
    data_until: Mapped[date | None]
    schedule: Mapped[dict[str, Any]]
    settings: Mapped[dict[str, Any]]
    report: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    checkpoint: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))

    def __repr__(self) -> str:
        return f"AgentDeskRow({self.name!r}, {self.mode}, {self.ticks} ticks)"


class AgentTickRow(Table):
    """One due time of an agent and what became of it; the key makes it happen once.

    position : order in which the desk's ticks were claimed
    due_at, claimed_at, ended_at, lease_until : desk time
    wall_claimed, wall_ended : true time; None in a simulation
    only_safe : whether the run was held to what lessens risk
    result : what the agent gave back; seen : facts that the gate saw, on a wall clock only
    """

    __tablename__ = "agent_ticks"
    __table_args__ = (
        one_of("outcome", TickOutcome),
        Index(None, "desk", "position"),
        # Of what runs alone: a desk has few of these, and a thousand others each session.
        Index(
            None,
            "desk",
            "outcome",
            sqlite_where=text("outcome = 'running'"),
            postgresql_where=text("outcome = 'running'"),
        ),
    )

    desk: Mapped[str] = mapped_column(ForeignKey("agent_desks.name"), primary_key=True)
    agent: Mapped[str] = mapped_column(primary_key=True)
    due_at: Mapped[datetime] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger)
    outcome: Mapped[TickOutcome] = mapped_column(PlainText)
    reason: Mapped[str]
    claimed_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    attempts: Mapped[int]
    only_safe: Mapped[bool]
    lease_until: Mapped[datetime | None]
    wall_claimed: Mapped[datetime | None]
    wall_ended: Mapped[datetime | None]
    worker: Mapped[str | None]
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    seen: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))

    def __repr__(self) -> str:
        return f"AgentTickRow({self.agent!r}, {self.due_at:%Y-%m-%d %H:%M:%S}, {self.outcome})"


class AgentStateRow(Table):
    """What the ticks of an agent add up to; written with each of them."""

    __tablename__ = "agent_states"

    desk: Mapped[str] = mapped_column(ForeignKey("agent_desks.name"), primary_key=True)
    agent: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[dict[str, Any]]


class AgentAlertRow(Table):
    """Something that a person should look at; one row for as long as it lasts.

    key : what it is about; a second alert of an open key raises `count`
    """

    __tablename__ = "agent_alerts"
    __table_args__ = (Index(None, "desk", "key"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    desk: Mapped[str] = mapped_column(ForeignKey("agent_desks.name"))
    key: Mapped[str]
    at: Mapped[datetime]
    text: Mapped[str]
    count: Mapped[int]
    resolved_at: Mapped[datetime | None]


class ControlDecisionRow(Table):
    """What a person or meta_control changed about the desk, and how to undo it.

    actor : "meta_control", "risk_management", or who gave the command
    subject : "desk" or an agent
    evidence : the figures and thresholds behind it
    """

    __tablename__ = "control_decisions"
    __table_args__ = (Index(None, "desk", "at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    desk: Mapped[str] = mapped_column(ForeignKey("agent_desks.name"))
    at: Mapped[datetime]
    actor: Mapped[str]
    subject: Mapped[str]
    before: Mapped[str]
    after: Mapped[str]
    reason: Mapped[str]
    evidence: Mapped[dict[str, Any]]
    undo: Mapped[str]


class HealthSampleRow(Table):
    """The host at one moment; percentages. `modelled` where a simulation drew them."""

    __tablename__ = "health_samples"

    desk: Mapped[str] = mapped_column(ForeignKey("agent_desks.name"), primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    measures: Mapped[dict[str, Any]]
    within: Mapped[float]
    modelled: Mapped[bool]
