"""Tables of workflows: phases, trials, samples, alerts."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "workflow_phases",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("workflow", sa.Text(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("trials", sa.Integer(), nullable=False),
        sa.Column("executed", sa.Integer(), nullable=False),
        sa.Column("left_out", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Double()),
        sa.Column("work_seconds", sa.Double()),
        sa.Column("message", sa.Text()),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "status IN ('running', 'finished', 'restored', 'failed', 'interrupted')",
            name=op.f("ck_workflow_phases_status"),
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_workflow_phases_run_id"),
        sa.PrimaryKeyConstraint("id", name="pk_workflow_phases"),
    )
    op.create_index("ix_workflow_phases_run_id", "workflow_phases", ["run_id"])
    op.create_index("ix_workflow_phases_key_status", "workflow_phases", ["key", "status"])
    op.create_table(
        "workflow_trials",
        sa.Column("phase_key", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("workflow", sa.Text(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("batch", sa.Integer(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("item", sa.JSON(), nullable=False),
        sa.Column("metrics", sa.JSON()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("executions", sa.Integer(), nullable=False),
        sa.Column("message", sa.Text()),
        sa.CheckConstraint(
            "status IN ('done', 'left_out')", name=op.f("ck_workflow_trials_status")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_workflow_trials_run_id"),
        sa.PrimaryKeyConstraint("phase_key", "number", name="pk_workflow_trials"),
    )
    op.create_index("ix_workflow_trials_run_id", "workflow_trials", ["run_id"])
    op.create_table(
        "workflow_samples",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("memory_percent", sa.Double(), nullable=False),
        sa.Column("cpu_percent", sa.Double(), nullable=False),
        sa.Column("disk_percent", sa.Double(), nullable=False),
        sa.Column("workflow_memory", sa.BigInteger(), nullable=False),
        sa.Column("workers", sa.Integer(), nullable=False),
        sa.Column("trials_done", sa.Integer(), nullable=False),
        sa.Column("trials_left_out", sa.Integer(), nullable=False),
        sa.Column("trial_seconds", sa.Double()),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_workflow_samples_run_id"),
        sa.PrimaryKeyConstraint("id", name="pk_workflow_samples"),
    )
    op.create_index("ix_workflow_samples_run_id_at", "workflow_samples", ["run_id", "at"])
    op.create_table(
        "workflow_alerts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("threshold", sa.Double(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_workflow_alerts_run_id"),
        sa.PrimaryKeyConstraint("id", name="pk_workflow_alerts"),
    )
    op.create_index("ix_workflow_alerts_run_id", "workflow_alerts", ["run_id"])
