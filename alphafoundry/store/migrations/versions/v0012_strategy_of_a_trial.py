"""A trial of a workflow says which strategy its parameters belong to."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("workflow_trials", sa.Column("strategy", sa.JSON(none_as_null=True)))
