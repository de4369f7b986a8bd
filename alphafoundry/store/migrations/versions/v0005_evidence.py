"""What tells a discovery from luck: splits of markets, openings of sealed days, and verdicts.

Runs know the days that they searched; alphas keep both parts of a test period and, on synthetic
markets, the Sharpe ratio that is true. Nothing that was there changes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_VERDICTS = "verdict IN ('found', 'unproven', 'not confirmed')"


def upgrade() -> None:
    for name in ("search_from", "search_to", "sealed_from", "sealed_to"):
        op.add_column("runs", sa.Column(name, sa.Date()))
    op.add_column("alphas", sa.Column("expected_sharpe", sa.Double()))
    for name in ("train", "test"):
        op.add_column("alphas", sa.Column(name, sa.JSON()))
    op.create_table(
        "market_splits",
        sa.Column("market_id", sa.Text(), nullable=False),
        sa.Column("search_to", sa.Date(), nullable=False),
        sa.Column("sealed_from", sa.Date(), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.Column("embargo_days", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("market_id", name="pk_market_splits"),
    )
    op.create_table(
        "openings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("market_id", sa.Text(), nullable=False),
        sa.Column("sealed_from", sa.Date(), nullable=False),
        sa.Column("sealed_to", sa.Date(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("level", sa.Double(), nullable=False),
        sa.Column("trials", sa.Integer(), nullable=False),
        sa.Column("finalists", sa.Text(), nullable=False),
        sa.Column("planned_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_openings"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_openings_run_id_runs"),
    )
    op.create_index("ix_openings_market_id", "openings", ["market_id"])
    op.create_index("ix_openings_service_finalists", "openings", ["service", "finalists"])
    op.create_table(
        "verdicts",
        sa.Column("opening_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("alpha_id", sa.Text(), nullable=False),
        sa.Column("expression", sa.Text(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("frozen_on", sa.Date(), nullable=False),
        sa.Column("fitness_bound", sa.Double()),
        sa.Column("search_days", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Double()) for name in ("sharpe", "sharpe_low", "sharpe_high", "dsr")),
        sa.Column("sealed_days", sa.Integer()),
        *(
            sa.Column(name, sa.Double())
            for name in (
                "sealed_sharpe",
                "sealed_low",
                "sealed_high",
                "settled_sharpe",
                "net_sharpe",
                "p",
                "upper",
                "days_needed",
            )
        ),
        sa.Column("pnl_days", sa.LargeBinary()),
        sa.Column("pnl_amounts", sa.LargeBinary()),
        sa.Column("verdict", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.PrimaryKeyConstraint("opening_id", "position", name="pk_verdicts"),
        sa.ForeignKeyConstraint(
            ["opening_id"], ["openings.id"], name="fk_verdicts_opening_id_openings"
        ),
        sa.CheckConstraint(_VERDICTS, name="ck_verdicts_verdict"),
    )
    op.create_index("ix_verdicts_service_alpha_id", "verdicts", ["service", "alpha_id"])
