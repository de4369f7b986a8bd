"""The label of each data version, so that a later run of a market does not rename what is there."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_versions = sa.table("data_versions", *map(sa.column, ("market_id", "fingerprint", "label")))
_runs = sa.table("runs", *map(sa.column, ("id", "market_id", "data_version", "market_label")))
_markets = sa.table("markets", *map(sa.column, ("id", "label")))


def upgrade() -> None:
    op.add_column("data_versions", sa.Column("label", sa.Text()))
    first = (
        sa.select(_runs.c.market_label)
        .where(
            _runs.c.market_id == _versions.c.market_id,
            _runs.c.data_version == _versions.c.fingerprint,
            _runs.c.market_label.is_not(None),
        )
        .order_by(_runs.c.id)
        .limit(1)
        .scalar_subquery()
    )
    market = (
        sa.select(_markets.c.label).where(_markets.c.id == _versions.c.market_id).scalar_subquery()
    )
    op.execute(sa.update(_versions).values(label=sa.func.coalesce(first, market)))
