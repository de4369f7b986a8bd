"""The tables of news: headlines as a desk came to know them, and what scorers said of them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from alphafoundry.store.tables import Table


class NewsRow(Table):
    """One headline of a desk.

    key : SHA-256 of what identifies it at its source
    source : feed or generator that it is from
    symbols : names of the market that it is about; none is about the market
    published_at : by its source; known_at : from when on the desk may act on it
    day : valid day, the day at the exchange on which it was published
    synthetic : made for a generated market
    """

    __tablename__ = "news"
    __table_args__ = (Index(None, "desk", "known_at"),)

    desk: Mapped[str] = mapped_column(ForeignKey("agent_desks.name"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    source: Mapped[str]
    title: Mapped[str]
    url: Mapped[str]
    symbols: Mapped[list[Any]]
    published_at: Mapped[datetime]
    known_at: Mapped[datetime]
    day: Mapped[date]
    synthetic: Mapped[bool]

    def __repr__(self) -> str:
        return f"NewsRow({self.desk!r}, {self.day}, {self.title!r})"


class NewsScoreRow(Table):
    """What one scorer said of one headline.

    scorer : "lexicon", or the name of a language model
    score : -1 bad to 1 good
    events : kinds of news that were found
    refused : why a model's answer was not taken and the lexicon's stands; None otherwise
    """

    __tablename__ = "news_scores"
    __table_args__ = (ForeignKeyConstraint(["desk", "key"], ["news.desk", "news.key"]),)

    desk: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    scorer: Mapped[str]
    score: Mapped[float]
    events: Mapped[list[Any]]
    severe: Mapped[bool]
    refused: Mapped[str | None]
