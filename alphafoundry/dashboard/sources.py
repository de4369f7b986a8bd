"""What the dashboard reads: the store, the supervisor's database, the feed's, and Prefect."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import create_engine
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from alphafoundry.clock import utc_now
from alphafoundry.dashboard.tables import Database
from alphafoundry.errors import FoundryError
from alphafoundry.market import feed_store
from alphafoundry.store import Store
from alphafoundry.supervisor import database as supervisor_database


class NothingYet(FoundryError):
    """A database that is not there, since nothing was written to it."""


@dataclass(frozen=True)
class Deployment:
    """A flow that can be started.

    Attributes
    ----------
    name : FLOW/NAME, as Prefect has it
    schedules : in words; active : whether any of them is on
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    schedules: Sequence[str] = ()
    active: bool = False


@dataclass(frozen=True)
class FlowRun:
    """A flow run as Prefect has it."""

    name: str
    flow: str
    state: str
    start: datetime | None
    link: str


@dataclass(frozen=True)
class Cap:
    """A concurrency limit and what of it is in use."""

    name: str
    limit: int
    active: int


@dataclass(frozen=True)
class PrefectView:
    """One look at Prefect.

    Attributes
    ----------
    problem : why it could not be asked, "" where it could
    address : of its pages, "" where there is no server
    waiting : runs that are late, scheduled or under way
    """

    problem: str
    address: str
    deployments: Sequence[Deployment] = ()
    waiting: Sequence[FlowRun] = ()
    caps: Sequence[Cap] = ()


class Prefect(Protocol):
    """What the dashboard asks of Prefect; `tasks/dashboard.py` fills it."""

    def view(self) -> PrefectView:
        """Return a look that is a few seconds old at most; never raises."""
        ...

    def start(self, deployment: str, parameters: Mapping[str, Any], *, key: str) -> tuple[str, str]:
        """Start a deployment; return a line about its run, and the run's address.

        key : one that comes again starts nothing again

        Raises FoundryError where it cannot be started.
        """
        ...


class WithoutPrefect:
    """No Prefect: there is nothing to start."""

    _PROBLEM = "this dashboard was started without Prefect"

    def view(self) -> PrefectView:
        """Return that there is none."""
        return PrefectView(self._PROBLEM, "")

    def start(self, deployment: str, parameters: Mapping[str, Any], *, key: str) -> tuple[str, str]:
        """Raise FoundryError: there is nothing to start."""
        raise FoundryError(f"{deployment}: {self._PROBLEM}")


class Sources:
    """Everything that pages read.

    Attributes
    ----------
    store : of the flows
    home : folder of everything else
    now : gives the time
    """

    def __init__(
        self,
        store: Store,
        home: Path,
        *,
        prefect: Prefect | None = None,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self.store = store
        self.home = home
        self.prefect: Prefect = prefect or WithoutPrefect()
        self.now = now
        self._files: dict[str, tuple[Path, Engine]] = {
            "supervisor": _reader(home / supervisor_database.FILE),
            "feed": _reader(home / feed_store.FILE),
        }

    @property
    def supervisor(self) -> Path:
        """The database of the supervisor; it may not be there."""
        return self._files["supervisor"][0]

    @contextlib.contextmanager
    def connect(self, name: Database) -> Iterator[Connection]:
        """Read one consistent state of a database.

        Raises
        ------
        NothingYet : its file is not there
        FoundryError : it cannot be read
        """
        if name == "store":
            with self.store.session() as session:
                yield session.connection()
            return
        path, engine = self._files[name]
        if not path.exists():
            raise NothingYet(f"{path} is not there yet")
        try:
            with engine.connect() as connection:
                yield connection
        except (SQLAlchemyError, sqlite3.Error) as problem:
            told = str(getattr(problem, "orig", None) or problem).splitlines()[0]
            raise FoundryError(f"{path}: {told}") from None

    @property
    def engines(self) -> list[Engine]:
        """The engines behind all of it, for who counts queries."""
        return [self.store.engine, *(engine for _, engine in self._files.values())]

    def close(self) -> None:
        """Close every connection; the store is the caller's."""
        for _, engine in self._files.values():
            engine.dispose()


def _reader(path: Path) -> tuple[Path, Engine]:
    def connect() -> sqlite3.Connection:
        return sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0, check_same_thread=False
        )

    return path, create_engine("sqlite+pysqlite://", creator=connect, poolclass=NullPool)
