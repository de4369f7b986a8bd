"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "alphas",
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("alpha_id", sa.Text(), nullable=False),
        sa.Column("expression", sa.Text(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("sharpe", sa.Double()),
        sa.Column("fitness", sa.Double()),
        sa.Column("turnover", sa.Double()),
        sa.Column("returns", sa.Double()),
        sa.Column("drawdown", sa.Double()),
        sa.Column("margin", sa.Double()),
        sa.Column("pnl", sa.Double()),
        sa.Column("long_count", sa.Integer()),
        sa.Column("short_count", sa.Integer()),
        sa.Column("grade", sa.Text()),
        sa.Column("checks", sa.JSON(), nullable=False),
        sa.Column("hopeful", sa.Boolean(), nullable=False),
        sa.Column("mined_at", sa.DateTime(timezone=True)),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("planted", sa.JSON()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("source IN ('simulated', 'import')", name=op.f("ck_alphas_source")),
        sa.PrimaryKeyConstraint("service", "alpha_id", name="pk_alphas"),
    )
    op.create_index(
        "ix_alphas_service_hopeful_fitness", "alphas", ["service", "hopeful", "fitness"]
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("flow", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("market_label", sa.Text()),
        sa.Column("seed", sa.BigInteger()),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("process_started", sa.Double(), nullable=False),
        sa.Column("heartbeat_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("report", sa.JSON()),
        sa.CheckConstraint(
            "status IN ('running', 'finished', 'failed', 'interrupted')",
            name=op.f("ck_runs_status"),
        ),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
    )
    op.create_index("ix_runs_status", "runs", ["status"])
    op.create_table(
        "daily_pnl",
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("alpha_id", sa.Text(), nullable=False),
        sa.Column("days", sa.LargeBinary(), nullable=False),
        sa.Column("amounts", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["service", "alpha_id"],
            ["alphas.service", "alphas.alpha_id"],
            name="fk_daily_pnl_service_alpha_id",
        ),
        sa.PrimaryKeyConstraint("service", "alpha_id", name="pk_daily_pnl"),
    )
    op.create_table(
        "refusals",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_refusals_run_id"),
        sa.PrimaryKeyConstraint("id", name="pk_refusals"),
    )
    op.create_index("ix_refusals_run_id", "refusals", ["run_id"])
    op.create_table(
        "simulations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("canonical", sa.Text(), nullable=False),
        sa.Column("expression", sa.Text(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("parent_alpha_id", sa.Text()),
        sa.Column("variation", sa.Text()),
        sa.Column("correlation_to_parent", sa.Double()),
        sa.Column("gain", sa.Double()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("location", sa.Text()),
        sa.Column("alpha_id", sa.Text()),
        sa.Column("message", sa.Text()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True)),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "status IN ('planned', 'sending', 'sent', 'deferred', 'complete', 'warning', 'error', "
            "'timeout', 'failed', 'cancelled')",
            name=op.f("ck_simulations_status"),
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_simulations_run_id"),
        sa.PrimaryKeyConstraint("id", name="pk_simulations"),
        sa.UniqueConstraint("service", "key", name="uq_simulations_service_key"),
    )
    op.create_index("ix_simulations_run_id_status", "simulations", ["run_id", "status"])
    op.create_index("ix_simulations_service_alpha_id", "simulations", ["service", "alpha_id"])
    op.create_index("ix_simulations_service_status", "simulations", ["service", "status"])
    op.create_table(
        "submissions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("alpha_id", sa.Text(), nullable=False),
        sa.Column("eastern_day", sa.Date(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text()),
        sa.Column("checks", sa.JSON(), nullable=False),
        sa.Column("intended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True)),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "status IN ('intended', 'accepted', 'rejected', 'failed')",
            name=op.f("ck_submissions_status"),
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_submissions_run_id"),
        sa.PrimaryKeyConstraint("id", name="pk_submissions"),
        sa.UniqueConstraint("service", "alpha_id", name="uq_submissions_service_alpha_id"),
    )
    op.create_index("ix_submissions_service_eastern_day", "submissions", ["service", "eastern_day"])
