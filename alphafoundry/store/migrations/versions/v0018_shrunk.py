"""Finalists keep the Sharpe ratio that was to be expected of them."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("verdicts") as table:
        table.add_column(sa.Column("shrunk_sharpe", sa.Double()))
