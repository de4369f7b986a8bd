"""Tables of the desk's agents."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# Not as IN (...): SQLite would make a table of the words for each row that is written.
_OUTCOMES = " OR ".join(
    f"outcome = '{one}'" for one in ("ran", "idle", "blocked", "running", "failed", "missed")
)


def upgrade() -> None:
    at = sa.DateTime(timezone=True)
    op.create_table(
        "agent_desks",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Integer()),
        sa.Column("market_label", sa.Text(), nullable=False),
        sa.Column("clock", sa.Text(), nullable=False),
        sa.Column("created_at", at, nullable=False),
        sa.Column("began_at", at, nullable=False),
        sa.Column("seen_until", at, nullable=False),
        sa.Column("ticks", sa.Integer(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("mode_actor", sa.Text(), nullable=False),
        sa.Column("mode_reason", sa.Text(), nullable=False),
        sa.Column("data_until", sa.Date()),
        sa.Column("schedule", sa.JSON(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("report", sa.JSON()),
        sa.PrimaryKeyConstraint("name", name="pk_agent_desks"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_agent_desks_run_id_runs"),
        sa.CheckConstraint("mode IN ('ACTIVE', 'REDUCING', 'HALTED')", name="ck_agent_desks_mode"),
        sa.CheckConstraint("clock IN ('simulated', 'replay', 'wall')", name="ck_agent_desks_clock"),
    )
    op.create_table(
        "agent_ticks",
        sa.Column("desk", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("due_at", at, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("claimed_at", at, nullable=False),
        sa.Column("ended_at", at),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("only_safe", sa.Boolean(), nullable=False),
        sa.Column("lease_until", at),
        sa.Column("wall_claimed", at),
        sa.Column("wall_ended", at),
        sa.Column("worker", sa.Text()),
        sa.Column("result", sa.JSON()),
        sa.Column("seen", sa.JSON()),
        sa.PrimaryKeyConstraint("desk", "agent", "due_at", name="pk_agent_ticks"),
        sa.ForeignKeyConstraint(
            ["desk"], ["agent_desks.name"], name="fk_agent_ticks_desk_agent_desks"
        ),
        sa.CheckConstraint(
            _OUTCOMES,
            name="ck_agent_ticks_outcome",
        ),
    )
    op.create_index("ix_agent_ticks_desk_position", "agent_ticks", ["desk", "position"])
    op.create_index("ix_agent_ticks_desk_outcome", "agent_ticks", ["desk", "outcome"])
    op.create_table(
        "agent_states",
        sa.Column("desk", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("state", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("desk", "agent", name="pk_agent_states"),
        sa.ForeignKeyConstraint(
            ["desk"], ["agent_desks.name"], name="fk_agent_states_desk_agent_desks"
        ),
    )
    op.create_table(
        "agent_alerts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("desk", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("at", at, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("resolved_at", at),
        sa.PrimaryKeyConstraint("id", name="pk_agent_alerts"),
        sa.ForeignKeyConstraint(
            ["desk"], ["agent_desks.name"], name="fk_agent_alerts_desk_agent_desks"
        ),
    )
    op.create_index("ix_agent_alerts_desk_key", "agent_alerts", ["desk", "key"])
    op.create_table(
        "control_decisions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("desk", sa.Text(), nullable=False),
        sa.Column("at", at, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("undo", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_control_decisions"),
        sa.ForeignKeyConstraint(
            ["desk"], ["agent_desks.name"], name="fk_control_decisions_desk_agent_desks"
        ),
    )
    op.create_index("ix_control_decisions_desk_at", "control_decisions", ["desk", "at"])
    op.create_table(
        "health_samples",
        sa.Column("desk", sa.Text(), nullable=False),
        sa.Column("at", at, nullable=False),
        sa.Column("measures", sa.JSON(), nullable=False),
        sa.Column("within", sa.Double(), nullable=False),
        sa.Column("modelled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("desk", "at", name="pk_health_samples"),
        sa.ForeignKeyConstraint(
            ["desk"], ["agent_desks.name"], name="fk_health_samples_desk_agent_desks"
        ),
    )
