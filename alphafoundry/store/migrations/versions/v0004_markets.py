"""Markets that last and data versions that change; rows refer to both.

A local service was named after a fingerprint of every bar. Each such name becomes a market of
its own, under that fingerprint, with one data version; its days are read from the labels of its
runs. The names of services stay as they are, so every row is still where it was.
"""

import re
from datetime import UTC, date, datetime
from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_TABLES = ("runs", "simulations", "alphas", "workflow_trials", "race_results")
_DAYS = re.compile(r"(\d{4}-\d{2}-\d{2}) to (\d{4}-\d{2}-\d{2})")
_LOCAL = "local:"


def upgrade() -> None:
    op.create_table(
        "markets",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("universe", sa.Text(), nullable=False),
        sa.Column("adjustment", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_markets"),
    )
    op.create_table(
        "data_versions",
        sa.Column("market_id", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("first_day", sa.Date()),
        sa.Column("last_day", sa.Date()),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("market_id", "fingerprint", name="pk_data_versions"),
    )
    for table in _TABLES:
        op.add_column(table, sa.Column("market_id", sa.Text()))
        op.add_column(table, sa.Column("data_version", sa.Text()))
        op.add_column(table, sa.Column("data_until", sa.Date()))
    _name_what_is_there(op.get_bind())


def _name_what_is_there(connection: sa.Connection) -> None:
    runs = sa.table("runs", *map(sa.column, ("id", "service", "market_label", *_DATA)))
    described = sa.table("runs", sa.column("service"), sa.column("settings", sa.JSON()))
    labels: dict[str, str] = {}
    for run, service, label in connection.execute(
        sa.select(runs.c.id, runs.c.service, runs.c.market_label).order_by(runs.c.id)
    ).all():
        if label:
            labels[service] = label
        until = _days(label)[1]
        if until is not None:
            # Runs of workflows and races know their days only; what they made refers to the run.
            _set(connection, "runs", sa.column("id") == run, data_until=until)
            for table in ("workflow_trials", "race_results"):
                _set(connection, table, sa.column("run_id") == run, data_until=until)
    sources = {
        service: str(settings.get("market") or "")
        for service, settings in connection.execute(
            sa.select(described.c.service, described.c.settings)
        ).all()
        if isinstance(settings, dict)
    }
    services = set(labels)
    for table in ("simulations", "alphas"):
        column: sa.ColumnClause[str] = sa.column("service", sa.Text())
        services.update(connection.scalars(sa.select(column).select_from(sa.table(table))))
    for service in sorted(services):
        if service.startswith(_LOCAL):
            _keep_local(connection, service, labels.get(service, ""), sources.get(service, ""))
        elif not service.startswith("workflow:"):
            _until_last_pnl(connection, service)


_DATA = ("market_id", "data_version", "data_until")


def _keep_local(connection: sa.Connection, service: str, label: str, source: str) -> None:
    fingerprint = service.removeprefix(_LOCAL)
    first, last = _days(label)
    now = datetime.now(UTC)
    connection.execute(
        sa.insert(_typed("markets")).values(
            id=fingerprint,
            source=_source(source) or label or service,
            universe="every name of the source",
            adjustment="as the source gives",
            label=label,
            created_at=now,
        )
    )
    connection.execute(
        sa.insert(_typed("data_versions")).values(
            market_id=fingerprint,
            fingerprint=fingerprint,
            first_day=first,
            last_day=last,
            seen_at=now,
        )
    )
    for table in ("runs", "simulations", "alphas"):
        _set(
            connection,
            table,
            sa.column("service") == service,
            market_id=fingerprint,
            data_version=fingerprint,
            data_until=last,
        )


def _until_last_pnl(connection: sa.Connection, service: str) -> None:
    """Data of a remote service: an alpha's last day is that of its daily PnL, where we have it."""
    pnl = sa.table("daily_pnl", *map(sa.column, ("service", "alpha_id", "days")))
    for alpha, days in connection.execute(
        sa.select(pnl.c.alpha_id, pnl.c.days).where(pnl.c.service == service)
    ).all():
        if not days:
            continue
        last = date.fromordinal(
            date(1970, 1, 1).toordinal() + int.from_bytes(bytes(days)[-4:], "little", signed=True)
        )
        mine = sa.and_(sa.column("service") == service, sa.column("alpha_id") == alpha)
        for table in ("alphas", "simulations"):
            _set(connection, table, mine, data_until=last)


def _set(
    connection: sa.Connection, table: str, where: sa.ColumnElement[bool], **values: object
) -> None:
    connection.execute(sa.update(_typed(table)).where(where).values(**values))


def _typed(table: str) -> sa.TableClause:
    texts = ("id", "source", "universe", "adjustment", "label", "fingerprint")
    return sa.table(
        table,
        *(sa.column(name, sa.Text()) for name in (*texts, "market_id", "data_version")),
        *(sa.column(name, sa.Date()) for name in ("data_until", "first_day", "last_day")),
        *(sa.column(name, sa.DateTime(timezone=True)) for name in ("created_at", "seen_at")),
    )


def _source(market: str) -> str:
    """Return what the run called its market in the one form that markets have today."""
    named = {"calibration": "calibration, seed 0", "sample": "skfolio sample"}
    path = Path(market).expanduser()
    return str(path.resolve()) if market and path.is_file() else named.get(market, market)


def _days(label: str | None) -> tuple[date | None, date | None]:
    found = _DAYS.search(label or "")
    if found is None:
        return None, None
    try:
        return date.fromisoformat(found[1]), date.fromisoformat(found[2])
    except ValueError:
        return None, None
