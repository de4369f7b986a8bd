"""Ideas that were screened in bulk: trials that count, with the numbers that chose among them."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "screened",
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("service", "key", "canonical", "expression")
        ),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        *(
            sa.Column(name, sa.Double())
            for name in ("sharpe", "fitness", "turnover", "returns", "drawdown", "margin")
        ),
        sa.Column("days", sa.Integer()),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("pnl_days", sa.LargeBinary()),
        sa.Column("pnl_amounts", sa.LargeBinary()),
        sa.Column("screened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("chosen_at", sa.DateTime(timezone=True)),
        sa.Column("market_id", sa.Text()),
        sa.Column("data_version", sa.Text()),
        sa.Column("data_until", sa.Date()),
        sa.PrimaryKeyConstraint("service", "key", name="pk_screened"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_screened_run_id_runs"),
    )
    op.create_index("ix_screened_service_run_id", "screened", ["service", "run_id"])
    op.create_index("ix_screened_service_chosen_at", "screened", ["service", "chosen_at"])
