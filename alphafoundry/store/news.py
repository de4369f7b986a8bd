"""Headlines of a desk and their scores: written and read here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import bindparam, select

from alphafoundry.store.database import Store, in_chunks, insert_once, read_rows
from alphafoundry.store.news_tables import NewsRow, NewsScoreRow

_SCORES = (
    select(NewsRow.day, NewsRow.symbols, NewsScoreRow.score)
    .join(NewsScoreRow, (NewsScoreRow.desk == NewsRow.desk) & (NewsScoreRow.key == NewsRow.key))
    .where(
        NewsRow.desk == bindparam("desk"),
        NewsRow.known_at > bindparam("after"),
        NewsRow.known_at <= bindparam("until"),
    )
    .order_by(NewsRow.known_at, NewsRow.key)
)


def known_news(store: Store, desk: str, keys: Sequence[str]) -> set[str]:
    """Return which of the keys the desk has already."""
    found: set[str] = set()
    with store.session() as session:
        for chunk in in_chunks(keys):
            query = select(NewsRow.key).where(NewsRow.desk == desk, NewsRow.key.in_(chunk))
            found.update(session.scalars(query))
    return found


def record_news(
    store: Store,
    desk: str,
    news: Sequence[Mapping[str, Any]],
    scores: Sequence[Mapping[str, Any]],
) -> None:
    """Write headlines with their scores, in one transaction; one that is there stays as it is."""
    if not news:
        return
    with store.write() as session:
        for table, rows in ((NewsRow, news), (NewsScoreRow, scores)):
            insert_once(session, table, [{"desk": desk, **row} for row in rows], "desk", "key")


def read_news(
    store: Store,
    desk: str,
    *,
    after: datetime | None = None,
    until: datetime | None = None,
    limit: int | None = None,
) -> list[tuple[NewsRow, NewsScoreRow]]:
    """Return headlines with their scores by the time at which they were known, the oldest first.

    Parameters
    ----------
    after, until : known after the first and not after the second; None is no bound
    limit : only the newest so many
    """
    query = (
        select(NewsRow, NewsScoreRow)
        .join(
            NewsScoreRow,
            (NewsScoreRow.desk == NewsRow.desk) & (NewsScoreRow.key == NewsRow.key),
        )
        .where(NewsRow.desk == desk)
        .order_by(NewsRow.known_at.desc(), NewsRow.key.desc())
        .limit(limit)
    )
    if after is not None:
        query = query.where(NewsRow.known_at > after)
    if until is not None:
        query = query.where(NewsRow.known_at <= until)
    with store.session() as session:
        newest = session.execute(query).all()
    return [(row, score) for row, score in reversed(newest)]


def read_news_scores(
    store: Store, desk: str, *, after: datetime, until: datetime
) -> list[tuple[date, list[str], float]]:
    """Return (valid day, symbols, score) of headlines, the oldest first, without their texts.

    after, until : known after the first and not after the second
    """
    given = {"desk": desk, "after": after, "until": until}
    with store.session() as session:
        rows = read_rows(session, _SCORES, given)
    return [(day, symbols, score) for day, symbols, score in rows]
