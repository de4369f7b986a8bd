"""Markets and data versions: what the rows of a run were computed from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from alphafoundry.store.database import Store, insert
from alphafoundry.store.tables import AlphaRow, DataVersionRow, MarketRow


@dataclass(frozen=True)
class DataOrigin:
    """The market that a run works on, and the content that it had at the time.

    Attributes
    ----------
    market_id : the same on every day that data are added
    source, universe, adjustment : what makes the market, for people
    fingerprint : of the content
    first, last : first and last day of the content
    label : one line for people
    sealed_from, sealed_to : days after those that the run may not see; None where there are none
    """

    market_id: str
    source: str
    fingerprint: str
    first: date
    last: date
    universe: str = ""
    adjustment: str = ""
    label: str = ""
    sealed_from: date | None = None
    sealed_to: date | None = None


@dataclass(frozen=True)
class VersionCount:
    """How many alphas of a service were simulated on one data version.

    data_version, data_until : None for alphas of which that was never recorded
    """

    data_version: str | None
    data_until: date | None
    alphas: int


def put_origin(session: Session, origin: DataOrigin, *, now: datetime) -> None:
    """Record a market and its data version; what is there keeps its first time and label.

    The label of the market is that of its newest content, by last day.
    """
    known = session.scalars(
        select(DataVersionRow.fingerprint).where(
            DataVersionRow.market_id == origin.market_id,
            (DataVersionRow.fingerprint == origin.fingerprint)
            | (DataVersionRow.last_day > origin.last),
        )
    ).first()
    market = insert(session, MarketRow).values(
        id=origin.market_id,
        source=origin.source,
        universe=origin.universe,
        adjustment=origin.adjustment,
        label=origin.label,
        created_at=now,
    )
    session.execute(
        market.on_conflict_do_update(index_elements=["id"], set_={"label": origin.label})
        if known is None
        else market.on_conflict_do_nothing(index_elements=["id"])
    )
    session.execute(
        insert(session, DataVersionRow)
        .values(
            market_id=origin.market_id,
            fingerprint=origin.fingerprint,
            first_day=origin.first,
            last_day=origin.last,
            label=origin.label,
            seen_at=now,
        )
        .on_conflict_do_nothing(index_elements=["market_id", "fingerprint"])
    )


def read_markets(store: Store) -> list[MarketRow]:
    """Return every market that a run worked on, the oldest first."""
    with store.session() as session:
        return list(session.scalars(select(MarketRow).order_by(MarketRow.created_at, MarketRow.id)))


def read_data_versions(store: Store, market_id: str) -> list[DataVersionRow]:
    """Return the data versions of a market in the order of their last days."""
    query = (
        select(DataVersionRow)
        .where(DataVersionRow.market_id == market_id)
        .order_by(DataVersionRow.last_day, DataVersionRow.seen_at)
    )
    with store.session() as session:
        return list(session.scalars(query))


def count_by_version(store: Store, service: str) -> list[VersionCount]:
    """Return how many alphas of a service there are of each data version, the oldest first."""
    query = (
        select(AlphaRow.data_version, AlphaRow.data_until, func.count())
        .where(AlphaRow.service == service)
        .group_by(AlphaRow.data_version, AlphaRow.data_until)
        .order_by(AlphaRow.data_until)
    )
    with store.session() as session:
        return [VersionCount(*row) for row in session.execute(query)]


@dataclass(frozen=True)
class ElsewhereCount:
    """How many alphas of the same source other services hold; they stay, and are not used.

    earlier_rules : simulated by earlier rules, so the same alpha has other numbers today
    other_days : simulated by today's rules on another part of the days
    """

    earlier_rules: int
    other_days: int


def count_elsewhere(store: Store, source: str, service: str) -> ElsewhereCount:
    """Return how many alphas of the same source are kept under other names of a local service."""
    rules = ".".join(service.split(".")[:2])
    query = (
        select(AlphaRow.service, func.count())
        .join(MarketRow, MarketRow.id == AlphaRow.market_id)
        .where(MarketRow.source == source, AlphaRow.service != service)
        .group_by(AlphaRow.service)
    )
    with store.session() as session:
        counts = session.execute(query).all()
    here = sum(n for name, n in counts if name == rules or name.startswith(f"{rules}."))
    return ElsewhereCount(sum(n for _, n in counts) - here, here)
