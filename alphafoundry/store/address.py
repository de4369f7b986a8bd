"""Where the database is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from alphafoundry.errors import StoreError

_POSTGRESQL = ("postgresql", "postgres", "postgresql+psycopg")


@dataclass(frozen=True)
class Address:
    """A database address that is safe to print.

    Attributes
    ----------
    url : for SQLAlchemy, with the password
    label : for people, without the password
    file : the SQLite file, None for PostgreSQL
    """

    url: URL
    label: str
    file: Path | None

    def __repr__(self) -> str:
        return f"Address({self.label!r})"


def read_address(url: str | None, *, home: Path) -> Address:
    """Return the address of `url`; None is the file foundry.sqlite in `home`.

    Raises
    ------
    StoreError : not an address, or of a database other than SQLite and PostgreSQL
    """
    if url is None:
        return _sqlite(home / "foundry.sqlite")
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise StoreError(
            "the database URL is not an address; write postgresql://USER:PASSWORD@HOST/NAME or "
            "sqlite:///FILE"
        ) from None
    if parsed.drivername in ("sqlite", "sqlite+pysqlite"):
        if parsed.database in (None, "", ":memory:") or str(parsed.database).startswith("file:"):
            raise StoreError("the database must be a file: write sqlite:///FILE")
        return _sqlite(Path(str(parsed.database)))
    if parsed.drivername in _POSTGRESQL:
        user = f"{parsed.username}@" if parsed.username else ""
        host = parsed.host or parsed.query.get("host") or "localhost"
        port = f":{parsed.port}" if parsed.port else ""
        label = f"postgresql://{user}{host}{port}/{parsed.database or ''}"
        return Address(parsed.set(drivername="postgresql+psycopg"), label, None)
    raise StoreError(
        f"the database URL starts with {parsed.drivername!r}; choose one of postgresql, sqlite"
    )


def _sqlite(file: Path) -> Address:
    return Address(URL.create("sqlite+pysqlite", database=str(file)), str(file), file)
