"""Searches of mirrored prices, with which a search of the true ones is compared.

Verdicts tell what is left of a finalist when it is traded, and how steady it is.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "placebos",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("mirror", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("market_id", sa.Text(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("budget", sa.Integer(), nullable=False),
        sa.Column("trials", sa.Integer(), nullable=False),
        sa.Column("hopeful", sa.Integer(), nullable=False),
        sa.Column("unlike", sa.Integer(), nullable=False),
        *(
            sa.Column(name, sa.Double())
            for name in ("best_sharpe", "best_dsr", "best_fitness", "unlike_sharpe")
        ),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", "mirror", "number", name="pk_placebos"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_placebos_run_id_runs"),
        sa.CheckConstraint("mirror IN ('none', 'all', 'residual')", name="ck_placebos_mirror"),
    )
    op.create_index("ix_placebos_market_id", "placebos", ["market_id"])
    for name in (
        *("capacity", "impact_small", "impact_middle", "impact_large"),
        *("worst_year", "calm_sharpe", "wild_sharpe"),
    ):
        op.add_column("verdicts", sa.Column(name, sa.Double()))
    for name in ("years", "years_up"):
        op.add_column("verdicts", sa.Column(name, sa.Integer()))
