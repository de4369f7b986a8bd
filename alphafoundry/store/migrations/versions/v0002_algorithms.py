"""Algorithms written by language models, the requests for them, and their races."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "algorithms",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("batch", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("prompt_version", sa.Text(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text()),
        sa.Column("source", sa.Text()),
        sa.Column("signature", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.Column("candidate", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "status IN ('asking', 'ready', 'refused', 'failed')",
            name=op.f("ck_algorithms_status"),
        ),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_algorithms_run_id"),
        sa.PrimaryKeyConstraint("id", name="pk_algorithms"),
        sa.UniqueConstraint("run_id", "position", name="uq_algorithms_run_id_position"),
    )
    op.create_index("ix_algorithms_batch_status", "algorithms", ["batch", "status"])
    op.create_index("ix_algorithms_candidate", "algorithms", ["candidate"])
    op.create_table(
        "model_requests",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger()),
        sa.Column("completion_tokens", sa.BigInteger()),
        sa.Column("cost", sa.Double()),
        sa.Column("reason", sa.Text()),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_model_requests_run_id"),
        sa.PrimaryKeyConstraint("id", name="pk_model_requests"),
    )
    op.create_index("ix_model_requests_run_id", "model_requests", ["run_id"])
    op.create_index("ix_model_requests_model", "model_requests", ["model"])
    op.create_table(
        "race_results",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("algorithm_id", sa.Integer()),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("market_label", sa.Text(), nullable=False),
        sa.Column("tickers", sa.JSON(), nullable=False),
        sa.Column("rank", sa.Integer()),
        sa.Column("total_return", sa.Double()),
        sa.Column("sharpe", sa.Double()),
        sa.Column("drawdown", sa.Double()),
        sa.Column("trades", sa.Integer()),
        sa.Column("seconds_per_call", sa.Double()),
        sa.Column("failure", sa.Text()),
        sa.Column("statistics", sa.JSON(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_race_results_run_id"),
        sa.ForeignKeyConstraint(
            ["algorithm_id"], ["algorithms.id"], name="fk_race_results_algorithm_id"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_race_results"),
    )
    op.create_index("ix_race_results_run_id", "race_results", ["run_id"])
    op.create_index("ix_race_results_algorithm_id", "race_results", ["algorithm_id"])
