"""Many readings and writings as one transaction, and many rows as one statement."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import DateTime, Dialect, Select, bindparam, column, func, or_, select, table
from sqlalchemy.dialects import sqlite

from alphafoundry.clock import utc_now
from alphafoundry.errors import StoreError
from alphafoundry.store import RunRow, Store, begin_run, read_runs
from alphafoundry.store.column_types import PlainText, UtcDateTime
from alphafoundry.store.database import _column, add_rows, read_rows
from alphafoundry.store.desk_tables import DeskRow
from tests.library.store.conftest import SERVICE


def desk(name: str) -> DeskRow:
    return DeskRow(
        name=name,
        epoch="0" * 16,
        exchange="XNYS",
        broker="paper",
        account_number=name,
        synthetic=True,
        state="active",
        foreign_rule="halt",
        next_sequence=1,
        created_at=utc_now(),
    )


def seen(store: Store) -> list[str]:
    """Names as another thread sees them, which has a connection of its own."""
    found: list[str] = []

    def look() -> None:
        with store.session() as session:
            found.extend(session.scalars(select(DeskRow.name).order_by(DeskRow.name)))

    other = threading.Thread(target=look)
    other.start()
    other.join()
    return found


def count(store: Store) -> int:
    with store.session() as session:
        return session.scalar(select(func.count()).select_from(DeskRow)) or 0


def test_others_see_what_was_done_together_at_its_end(store: Store) -> None:
    with store.together():
        with store.write() as session:
            session.add(desk("one"))
        assert count(store) == 1
        with store.write() as session:
            session.add(desk("two"))
        assert (count(store), seen(store)) == (2, [])
    assert seen(store) == ["one", "two"]


def test_a_write_that_fails_is_undone_alone(store: Store) -> None:
    with store.together():
        with store.write() as session:
            session.add(desk("kept"))
        with pytest.raises(ZeroDivisionError), store.write() as session:
            session.add(desk("undone"))
            session.flush()
            _ = 1 / 0
        assert count(store) == 1
    assert seen(store) == ["kept"]


def test_what_breaks_the_block_undoes_all_of_it(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.together():
        with store.write() as session:
            session.add(desk("undone"))
        _ = 1 / 0
    assert count(store) == 0
    with store.write() as session:
        session.add(desk("after"))
    assert seen(store) == ["after"]


def test_a_row_that_was_read_before_is_read_anew(store: Store) -> None:
    with store.write() as session:
        session.add(desk("one"))
    with store.together():
        with store.session() as session:
            before = session.scalars(select(DeskRow)).one()
        with store.write() as session:
            session.execute(DeskRow.__table__.update().values(state="halted"))
        with store.session() as session:
            after = session.scalars(select(DeskRow)).one()
        assert (before.state, after.state) == ("active", "halted")
        # As after any other reading, changing what was read changes no row.
        after.state = "reducing"
        with store.session() as session:
            assert session.scalars(select(DeskRow.state)).one() == "halted"


def test_many_rows_are_the_rows_that_single_ones_would_be(store: Store) -> None:
    moment = datetime(2024, 3, 8, 15, 59, 59, 1, timezone(timedelta(hours=-5)))
    values: dict[str, Any] = {
        "flow": "desk",
        "service": SERVICE,
        "status": "running",
        "host": "a host",
        "pid": 7,
        "process_started": 1.5,
        "started_at": moment,
        "heartbeat_at": moment,
        "settings": {"share": float("nan"), "names": ("a", "b")},
        "market_label": "nul \0 and \udc80",
    }
    with store.write() as session:
        session.add(RunRow(**values))
        add_rows(session, RunRow, [values, values])
    one, *others = read_runs(store)
    columns = [c.name for c in RunRow.__table__.columns if c.name != "id"]
    assert len(others) == 2
    for other in others:
        assert [getattr(other, name) for name in columns] == [
            getattr(one, name) for name in columns
        ]
    assert begin_run(store, flow="daily", service=SERVICE).id > max(row.id for row in others)


def test_plain_rows_are_those_that_sqlalchemy_reads(store: Store) -> None:
    moment = datetime(2024, 3, 8, 15, 59, 59, 1, timezone(timedelta(hours=-5)))
    with store.write() as session:
        for name in "abcd":
            made = desk(name)
            made.reconciled_at = moment if name < "c" else None
            session.add(made)
    columns = (DeskRow.name, DeskRow.synthetic, DeskRow.reconciled_at, DeskRow.created_at)
    names = bindparam("names", expanding=True)
    asked: list[tuple[Select[Any], dict[str, Any]]] = [
        (select(*columns).order_by(DeskRow.name), {}),
        (select(*columns).where(DeskRow.name.in_(names)), {"names": ["a", "d"]}),
        (select(*columns).where(DeskRow.name.in_(names)), {"names": []}),
        (select(*columns).where(DeskRow.name.not_in(names)), {"names": []}),
        (
            select(DeskRow.id, func.count())
            .where(DeskRow.state.in_(("active", "halted")), DeskRow.created_at > bindparam("then"))
            .where(or_(DeskRow.name.in_(names), DeskRow.name == bindparam("one")))
            .group_by(DeskRow.id)
            .order_by(DeskRow.id.desc())
            .limit(2),
            {"names": ["a", "b"], "one": "d", "then": moment},
        ),
    ]
    for reading in (store.session, store.write):
        for query, values in asked:
            with reading() as session:
                theirs = [tuple(row) for row in session.execute(query, values)]
                assert read_rows(session, query, values) == theirs
                assert read_rows(session, query, values) == theirs


def test_plain_rows_are_read_after_what_was_changed_before(store: Store) -> None:
    query = select(DeskRow.name, DeskRow.state).order_by(DeskRow.name)
    with store.together(), store.write() as session:
        one = desk("one")
        session.add(one)
        assert read_rows(session, query) == [("one", "active")]
        one.state = "halted"
        assert read_rows(session, query) == [("one", "halted")]


def test_a_mistake_of_the_driver_is_one_line_too(store: Store) -> None:
    query = select(column("missing")).select_from(table("nowhere"))
    with pytest.raises(StoreError, match="nowhere") as caught, store.session() as session:
        read_rows(session, query)
    assert "\n" not in str(caught.value)


SQLITE: Dialect = sqlite.dialect()


@settings(deadline=None)
@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45))])))
def test_times_are_written_as_sqlalchemy_writes_them(moment: datetime) -> None:
    theirs = DateTime().dialect_impl(SQLITE).bind_processor(SQLITE)
    ours = UtcDateTime().bind_processor(SQLITE)
    try:
        wanted = moment.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        return
    assert theirs is not None
    assert ours(moment) == theirs(wanted)


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=())))
def test_text_is_made_plain_character_by_character(text: str) -> None:
    bad = {"\0", *map(chr, range(0xD800, 0xE000))}
    wanted = "".join("\ufffd" if char in bad else char for char in text)
    assert PlainText().bind_processor(SQLITE)(text) == wanted


@settings(deadline=None)
@given(st.lists(st.none() | st.text(st.characters(exclude_categories=()), max_size=4), max_size=6))
def test_a_column_of_texts_is_made_plain_like_each_of_them(texts: list[str | None]) -> None:
    one_by_one = PlainText().bind_processor(SQLITE)
    assert _column(list(texts), one_by_one) == [one_by_one(text) for text in texts]
