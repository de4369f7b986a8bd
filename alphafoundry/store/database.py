"""One SQL database: a SQLite file by default, PostgreSQL by its URL."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import (
    Connection,
    Dialect,
    Engine,
    Insert,
    Select,
    TableClause,
    UpdateBase,
    create_engine,
    event,
    text,
)
from sqlalchemy import insert as plain_insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session

from alphafoundry.errors import StoreError, StoreUnavailable
from alphafoundry.sqlite_copy import copy_before
from alphafoundry.store.address import Address, read_address
from alphafoundry.store.column_types import from_json, plain_text, to_json
from alphafoundry.store.migrations import REVISION, read_revision, upgrade
from alphafoundry.store.store_lock import store_lock
from alphafoundry.store.tables import Table

T = TypeVar("T", int, str)

SQLITE_WAIT = 30.0
"""Seconds that a SQLite connection waits for another writer."""

SQLITE_CACHE_MB = 32
"""Megabytes that a SQLite connection may keep."""

CONNECT_WAIT = 10
"""Seconds until a PostgreSQL server must have answered."""

UNANSWERED = 60
"""Seconds without a sign of life of the other host after which either end of a connection to
PostgreSQL gives it up."""

_LONGEST_LIST = 500

_KEPT = "kept"
"""Name of what a session of `Store.together` keeps."""

_WRITTEN_ALIKE = frozenset((str, bool, datetime, date, type(None)))
"""Kinds of values of which equal ones are written alike; 0.0 and -0.0 are not, nor 1 and True."""

_MIGRATION_LOCK = 4_701_120_251
"""Key of PostgreSQL's advisory lock around migrations."""


class Store:
    """An open database; made by `open_store`, safe for many threads and processes.

    Attributes
    ----------
    label : where it is, without password
    """

    def __init__(self, engine: Engine, address: Address) -> None:
        self.engine = engine
        self.label = address.label
        self._address = address
        self._writer = engine.execution_options(foundry_write=True)
        self._here = threading.local()
        self._reader = engine
        if address.file is None:
            self._reader = engine.execution_options(isolation_level="REPEATABLE READ")

    def __repr__(self) -> str:
        return f"Store({self.label!r})"

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        """Read one consistent state; nothing is written."""
        if (together := self._together()) is not None:
            with self._part_of(together):
                yield together
            return
        with (
            _errors_in_one_line(self._address),
            Session(self._reader, expire_on_commit=False, autoflush=False) as session,
        ):
            yield session

    @contextlib.contextmanager
    def write(self) -> Iterator[Session]:
        """Write all or nothing: committed at the end of the block, undone by an exception.

        On SQLite the block is the only writer from its start (BEGIN IMMEDIATE).
        """
        if (together := self._together()) is not None:
            with self._part_of(together):
                try:
                    with together.begin_nested():
                        yield together
                except BaseException:
                    together.info[_KEPT].clear()
                    raise
            return
        with (
            _errors_in_one_line(self._address),
            Session(self._writer, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Make one transaction of all that this thread reads and writes in the block.

        Each `write` in it still is all or nothing. For work that starts anew where it was broken
        off, as a simulation does: what a commit promises, to survive a kill before something is
        done, holds at the end of the block only.
        """
        with (
            _errors_in_one_line(self._address),
            Session(self._writer, expire_on_commit=False) as session,
            session.begin(),
        ):
            self._here.session, self._here.depth = session, 0
            session.info[_KEPT] = {}
            try:
                yield
            finally:
                self._here.session = None

    @property
    def is_together(self) -> bool:
        """Whether this thread is in a block of `together`."""
        return self._together() is not None

    def _together(self) -> Session | None:
        return getattr(self._here, "session", None)

    @contextlib.contextmanager
    def _part_of(self, session: Session) -> Iterator[None]:
        """Let the rows of a block be its own, as those of a session of its own would be."""
        self._here.depth += 1
        try:
            with _errors_in_one_line(self._address):
                yield
        finally:
            self._here.depth -= 1
            if self._here.depth == 0:
                session.expunge_all()


def open_store(url: str | None = None, *, home: Path, cache_mb: int = SQLITE_CACHE_MB) -> Store:
    """Open the database, creating or migrating its tables where needed.

    Parameters
    ----------
    url : postgresql://..., sqlite:///FILE, or None for the file foundry.sqlite in `home`
    home : folder of the default file; created where it does not exist
    cache_mb : megabytes that each connection to SQLite may keep; up to five stay open

    Raises
    ------
    StoreError : not reachable, not writable, not a database, or written by newer code
    """
    address = read_address(url, home=home)
    with _errors_in_one_line(address):
        engine = _create_engine(address, cache_mb=cache_mb)
        try:
            with engine.connect() as connection:
                revision = read_revision(connection)
            if revision != REVISION:
                _migrate(engine, address)
        except BaseException:
            engine.dispose()
            raise
    return Store(engine, address)


def check_database(url: str, *, home: Path) -> str:
    """Connect to a database that another program uses, and return where it is, without password.

    Raises
    ------
    StoreError : it cannot be reached
    """
    address = read_address(url, home=home)
    with _errors_in_one_line(address):
        engine = _create_engine(address)
        try:
            engine.connect().close()
        finally:
            engine.dispose()
    return address.label


def kept_of(session: Session) -> dict[Any, Any] | None:
    """Return what a block of `Store.together` keeps of what was read in it; None outside of one.

    Whoever writes what is kept there changes it too. It is empty again after a `write` that was
    undone.
    """
    kept: dict[Any, Any] | None = session.info.get(_KEPT)
    return kept


def insert(session: Session, table: type[Table]) -> postgresql.Insert | sqlite.Insert:
    """Return an INSERT that can say ON CONFLICT, for the database of the session."""
    return insert_of(session.get_bind().dialect.name, table)


def insert_of(dialect: str, table: type[Table] | TableClause) -> postgresql.Insert | sqlite.Insert:
    """Return the same for a database by its name, "postgresql" or "sqlite"."""
    if dialect == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def add_rows(session: Session, table: type[Table], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert many rows at once, without an object for each; their keys are the same columns."""
    if rows:
        session.flush()
        execute_many(session, _plain_insert(table), rows)


def add_columns(session: Session, table: type[Table], columns: Mapping[str, list[Any]]) -> None:
    """Insert many rows at once, given column by column, all of the same length."""
    if any(columns.values()):
        session.flush()
        _execute_columns(session, _plain_insert(table), columns)


def execute_many(
    session: Session, statement: UpdateBase, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Carry out a statement once for each row of parameters, which all have the same names.

    On SQLite the driver gets the rows as they are: thousands for each session of a desk.

    Parameters
    ----------
    statement : one that is kept, since what it compiles to is kept with it
    """
    if rows:
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        _execute_columns(session, statement, columns)


def carry_out(session: Session, statement: UpdateBase, values: Mapping[str, Any]) -> Any:
    """Carry out a statement with one row of parameters; for what every simulation does.

    On SQLite the driver gets it as it is, as of `execute_many`.

    Parameters
    ----------
    statement : one that is kept, without `IN`, whose length the driver would have to know

    Returns
    -------
    The first column of the row that the statement returns, None where it returns none.
    """
    session.flush()
    connection = session.connection()
    if connection.dialect.name != "sqlite":
        found = connection.execute(statement, dict(values))
    else:
        sql, parameters = _driver_sql_of_one(statement, connection.dialect)
        found = connection.exec_driver_sql(
            sql,
            tuple(
                value if name is None else keep(values[name]) if keep else values[name]
                for name, value, keep in parameters
            ),
        )
    return found.scalar() if found.returns_rows else None


def _execute_columns(
    session: Session, statement: UpdateBase, columns: Mapping[str, list[Any]]
) -> None:
    connection = session.connection()
    if connection.dialect.name != "sqlite":
        rows = zip(*columns.values(), strict=True)
        session.execute(statement, [dict(zip(columns, row, strict=True)) for row in rows])
        return
    sql, names, kept = _driver_sql(statement, connection.dialect, tuple(columns))
    given = [_column(columns[name], keep) for name, keep in zip(names, kept, strict=True)]
    connection.exec_driver_sql(sql, list(zip(*given, strict=True)))


def read_rows(
    session: Session, statement: Select[*tuple[Any, ...]], given: Mapping[str, Any] | None = None
) -> list[tuple[Any, ...]]:
    """Return what a SELECT of columns finds, as plain tuples.

    On SQLite the driver is asked directly: a session of a desk reads hundreds of times.

    Parameters
    ----------
    statement : one that is kept, since what it compiles to is kept with it
    given : value of each `bindparam`, a list for an expanding one
    """
    connection = session.connection()
    if connection.dialect.name != "sqlite":
        return [tuple(row) for row in session.execute(statement, given)]
    if session.autoflush:
        session.flush()
    sql, binds, kept = _driver_select(statement, connection.dialect)
    values: list[Any] = []
    for name, usual, lists, keep in binds:
        value = usual if given is None else given.get(name, usual)
        if lists is not None:
            sql = sql.replace(lists, ", ".join("?" * len(value)), 1)
            values += value if keep is None else map(keep, value)
        else:
            values.append(value if keep is None else keep(value))
    # Errors of the driver are told as those of the library: see `_errors_in_one_line`.
    driver: Any = connection.connection.driver_connection
    rows: list[tuple[Any, ...]] = driver.execute(sql, values).fetchall()
    if not kept or not rows:
        return rows
    columns = list(zip(*rows, strict=True))
    for place, read in kept:
        columns[place] = tuple(map(read, columns[place]))
    return list(zip(*columns, strict=True))


@lru_cache(maxsize=256)
def _driver_select(
    statement: Select[*tuple[Any, ...]], dialect: Dialect
) -> tuple[
    str,
    tuple[tuple[str, Any, str | None, Callable[[Any], Any] | None], ...],
    tuple[tuple[int, Callable[[Any], Any]], ...],
]:
    """Return the SQL of a statement, its parameters in order, and which columns are read how.

    A parameter is its name, its usual value, what stands in the SQL for a list, and how it is
    written.
    """
    compiled: Any = statement.compile(dialect=dialect)
    binds = []
    for name in compiled.positiontup:
        bind = compiled.binds[name]
        keep = bind.type.dialect_impl(dialect).bind_processor(dialect)
        lists = f"__[POSTCOMPILE_{name}]" if bind.expanding else None
        binds.append((bind.key, bind.effective_value, lists, keep))
    reads = (
        column.type.dialect_impl(dialect).result_processor(dialect, None)
        for column in statement.selected_columns
    )
    kept = tuple((place, read) for place, read in enumerate(reads) if read is not None)
    return compiled.string, tuple(binds), kept


def _column(values: list[Any], keep: Callable[[Any], Any] | None) -> list[Any]:
    """Return the values of a column as the driver takes them."""
    if keep is None or values.count(None) == len(values):
        return values
    if keep is plain_text:
        # A thousand short texts are looked through faster as one.
        whole = "".join(filter(None, values))
        if whole.isascii() and "\0" not in whole:
            return values
    if _WRITTEN_ALIKE.issuperset(map(type, values)):
        # Thousands of rows have the same few.
        written = {value: keep(value) for value in set(values)}
        return [written[value] for value in values]
    nothing = keep(None) if None in values else None
    return [nothing if value is None else keep(value) for value in values]


def insert_once(
    session: Session, table: type[Table], rows: Sequence[Mapping[str, Any]], *key: str
) -> None:
    """Insert many rows at once; one whose key is there already stays as it is."""
    session.flush()
    execute_many(session, _upsert(session.get_bind().dialect.name, table, key, ()), rows)


def put_rows(
    session: Session,
    table: type[Table],
    rows: Sequence[Mapping[str, Any]],
    *key: str,
    changes: tuple[str, ...],
) -> None:
    """Insert many rows at once; of one whose key is there already these columns change."""
    session.flush()
    execute_many(session, _upsert(session.get_bind().dialect.name, table, key, changes), rows)


@lru_cache(maxsize=64)
def _upsert(
    dialect: str, table: type[Table], key: tuple[str, ...], changes: tuple[str, ...]
) -> UpdateBase:
    added = insert_of(dialect, _rows_of(table))
    if not changes:
        return added.on_conflict_do_nothing(index_elements=key)
    return added.on_conflict_do_update(
        index_elements=key, set_={name: added.excluded[name] for name in changes}
    )


@lru_cache(maxsize=256)
def _driver_sql(
    statement: UpdateBase, dialect: Dialect, names: tuple[str, ...]
) -> tuple[str, tuple[str, ...], tuple[Callable[[Any], Any] | None, ...]]:
    """Return the SQL of a statement, its parameters in order, and how each value is written."""
    compiled: Any = statement.compile(dialect=dialect, column_keys=list(names))
    order = tuple(compiled.positiontup)
    kept = (compiled.binds[name].type.dialect_impl(dialect) for name in order)
    return compiled.string, order, tuple(one.bind_processor(dialect) for one in kept)


@lru_cache(maxsize=64)
def _driver_sql_of_one(
    statement: UpdateBase, dialect: Dialect
) -> tuple[str, tuple[tuple[str | None, Any, Callable[[Any], Any] | None], ...]]:
    """Return the SQL of a statement, and each parameter in order.

    A parameter is either given by name, and written by a function where there is one, or it stands
    in the statement and is a value without a name.
    """
    compiled: Any = statement.compile(dialect=dialect)
    parameters: list[tuple[str | None, Any, Callable[[Any], Any] | None]] = []
    for name in compiled.positiontup:
        bound = compiled.binds[name]
        keep = bound.type.dialect_impl(dialect).bind_processor(dialect)
        if bound.required:
            parameters.append((name, None, keep))
        else:
            parameters.append((None, keep(bound.value) if keep else bound.value, None))
    return compiled.string, tuple(parameters)


@lru_cache(maxsize=64)
def _plain_insert(table: type[Table]) -> Insert:
    return plain_insert(_rows_of(table))


def _rows_of(table: type[Table]) -> TableClause:
    return cast(TableClause, table.__table__)


def in_chunks(values: Iterable[T]) -> Iterator[list[T]]:
    """Yield the different values in lists short enough for one IN (...)."""
    different = list(dict.fromkeys(values))
    for start in range(0, len(different), _LONGEST_LIST):
        yield different[start : start + _LONGEST_LIST]


def lock_subject(session: Session, subject: str) -> None:
    """Let no other writer into the same subject until the transaction ends.

    On SQLite a writing transaction is alone anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:subject, 0))"),
            {"subject": subject},
        )


def _create_engine(address: Address, *, cache_mb: int = SQLITE_CACHE_MB) -> Engine:
    if address.file is None:
        try:
            return create_engine(
                address.url,
                json_serializer=to_json,
                json_deserializer=from_json,
                pool_pre_ping=True,
                connect_args=_postgres_arguments(address),
            )
        except ModuleNotFoundError:
            raise StoreError(
                f"{address.label}: the PostgreSQL driver is not installed; "
                "run make install EXTRAS=postgres"
            ) from None
    try:
        address.file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"{address.label}: its folder cannot be created: {error.strerror}"
        ) from None
    engine = create_engine(
        address.url,
        json_serializer=to_json,
        json_deserializer=from_json,
        connect_args={"timeout": SQLITE_WAIT},
        # One after the other all take the connection whose cache is warm, and no other fills its.
        pool_use_lifo=True,
    )
    event.listen(engine, "connect", lambda made, _record: _prepare_sqlite(made, cache_mb))
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _postgres_arguments(address: Address) -> dict[str, Any]:
    """Return how to connect where the address does not say it.

    A host that loses its power or its network tells nobody. Without being asked whether it is still
    there, a connection of it would keep its locks for two hours, and one to it would wait as long.
    """
    alive = {"idle": UNANSWERED // 2, "interval": UNANSWERED // 6, "count": 3}
    there = {f"tcp_keepalives_{name}": value for name, value in alive.items()}
    there["tcp_user_timeout"] = 1000 * UNANSWERED
    wanted = {
        "connect_timeout": CONNECT_WAIT,
        **{f"keepalives_{name}": value for name, value in alive.items()},
        "tcp_user_timeout": 1000 * UNANSWERED,
        "options": " ".join(f"-c {name}={value}" for name, value in there.items()),
    }
    return {name: value for name, value in wanted.items() if name not in address.url.query}


def _prepare_sqlite(connection: Any, cache_mb: int) -> None:
    """Leave BEGIN to us, check foreign keys, flush each commit to the disk, and bound the cache."""
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA cache_size = -{cache_mb * 1024}")


def _begin_sqlite(connection: Connection) -> None:
    write = connection.get_execution_options().get("foundry_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _migrate(engine: Engine, address: Address) -> None:
    with contextlib.ExitStack() as stack:
        if address.file is not None:
            stack.enter_context(store_lock(Path(f"{address.file}.lock")))
            _copy_before_migration(engine, address.file)
            with contextlib.closing(sqlite3.connect(address.file, timeout=SQLITE_WAIT)) as plain:
                plain.execute("PRAGMA journal_mode = WAL")
        writer = engine.execution_options(foundry_write=True)
        connection = stack.enter_context(writer.begin())
        if address.file is None:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        upgrade(connection, label=address.label)


def _copy_before_migration(engine: Engine, file: Path) -> None:
    """Copy a file whose tables are about to change; one that another process has just changed not.

    Raises
    ------
    CopyFailed : there is no room for a copy
    """
    with engine.connect() as connection:
        before = read_revision(connection)
    if before not in (None, REVISION):
        copy_before(file, REVISION, home=file.parent)


@contextlib.contextmanager
def _errors_in_one_line(address: Address) -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise _store_error(error, address) from None


def _store_error(error: SQLAlchemyError | sqlite3.Error, address: Address) -> StoreError:
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    message = " ".join(str(cause).split())
    password = address.url.password
    if password:
        message = message.replace(str(password), "***")
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    if lost or any(sign in message for sign in ("is locked", "starting up", "shutting down")):
        return StoreUnavailable(f"{address.label}: {message}; try again")
    return StoreError(f"{address.label}: {message}{_advice(message)}")


def _advice(message: str) -> str:
    for sign, advice in {
        "not a database": "; move the file away or name another one",
        "malformed": "; the file is damaged, restore a copy or move it away",
        "readonly": "; make the file and its folder writable",
        "unable to open": "; make the folder writable or name another one",
        "disk is full": "; free some space",
        "disk I/O error": "; is there space on the disk, and does it work?",
        "password authentication failed": "; correct FOUNDRY_DATABASE_URL",
        "no password supplied": "; correct FOUNDRY_DATABASE_URL",
        "Connection refused": "; start the server or correct FOUNDRY_DATABASE_URL",
        "No such file": "; start the server or correct FOUNDRY_DATABASE_URL",
        "could not translate host name": "; correct FOUNDRY_DATABASE_URL",
        "failed to resolve host": "; correct FOUNDRY_DATABASE_URL",
        "does not exist": "; create it or correct FOUNDRY_DATABASE_URL",
    }.items():
        if sign in message:
            return advice
    return ""
