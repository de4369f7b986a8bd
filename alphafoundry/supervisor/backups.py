"""Copies of the home folder's databases, a folder a day, and how one is put back."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from alphafoundry.file_lock import file_lock
from alphafoundry.sqlite_copy import BACKUPS, BEFORE, copy_database, fault_of, flush, is_in_use
from alphafoundry.supervisor.control import LOCK, SupervisorError, folder_of

KEPT = 7
"""Days of which copies are kept, and as many sets from before a migration."""

REPLACED = "replaced-"
"""Begins the name of a folder with what a restoration has put aside."""

_COMPANIONS = ("", "-wal", "-shm")


_NAMES = ("foundry.sqlite", "supervisor.db", "feed.db", "local-brain.sqlite", "prefect.db")


def databases(home: Path, prefect_home: Path) -> dict[str, Path]:
    """Return the SQLite files of a home by the name of their copy; some may not be there.

    The paper broker's books of simulated desks are left out: their desk can be simulated again.
    """
    files = {name: home / name for name in _NAMES} | {"prefect.db": prefect_home / "prefect.db"}
    books = {path.name for path in (home / "desks").glob("*.sqlite")}
    for one in backup_sets(home):  # a book that is gone can still be restored
        books |= {path.name for path in one.folder.glob("desks/*.sqlite")}
    kept = sorted(name for name in books if not name.startswith("simulation-"))
    return files | {f"desks/{name}": home / "desks" / name for name in kept}


def back_up(home: Path, files: Mapping[str, Path], *, today: date) -> list[Path]:
    """Copy what has no copy of today, and delete all but the last sets; return the new copies.

    Raises
    ------
    FoundryError : there is not room for a copy, or a file cannot be read
    """
    folder = home / BACKUPS / today.isoformat()
    made = []
    for name, source in files.items():
        copy = folder / name
        if source.exists() and not copy.exists():
            copy_database(source, copy)
            made.append(copy)
    if made:
        sets = backup_sets(home)
        for kind in (False, True):
            of_kind = [one for one in sets if one.before_migration is kind]
            for old in of_kind[KEPT:]:
                shutil.rmtree(old.folder)
    return made


@dataclass(frozen=True)
class BackupSet:
    """Copies that were made on one day, or before one migration."""

    folder: Path

    @property
    def name(self) -> str:
        """How a person names it: the day."""
        return self.folder.name

    @property
    def before_migration(self) -> bool:
        """Whether it was made because tables were about to change."""
        return BEFORE in self.name

    @property
    def files(self) -> dict[str, Path]:
        """Its copies by name."""
        found = (one for one in sorted(self.folder.rglob("*")) if one.is_file())
        return {
            one.relative_to(self.folder).as_posix(): one
            for one in found
            if not one.name.startswith(".")
        }


def backup_sets(home: Path) -> list[BackupSet]:
    """Return every set of copies, the newest first."""
    folder = home / BACKUPS
    if not folder.is_dir():
        return []
    found = [BackupSet(one) for one in folder.iterdir() if one.is_dir() and one.name[:1].isdigit()]
    return sorted(found, key=lambda one: one.name, reverse=True)


def choose(home: Path, files: Mapping[str, Path], name: str | None) -> tuple[BackupSet, list[str]]:
    """Return the set to put back, and why newer ones were passed over.

    Without a name it is the newest in which every copy is whole and none is missing that an
    earlier set has.

    Raises
    ------
    SupervisorError : there is no such set, or it is damaged
    """
    sets = backup_sets(home)
    if name is not None:
        by_name = {one.name: one for one in sets}
        if name not in by_name:
            known = ", ".join(by_name) or "none"
            raise SupervisorError(
                f"{home / BACKUPS}: there is no copy {name!r}; there are: {known}"
            )
        found = by_name[name]
        fault = _fault_of_set(found, files, ())
        if fault is not None:
            raise SupervisorError(f"{found.folder}: {fault}; choose another one")
        return found, []
    passed: list[str] = []
    for position, one in enumerate(sets):
        if one.before_migration:
            continue
        earlier = {name for other in sets[position:] for name in other.files if name in _NAMES}
        fault = _fault_of_set(one, files, earlier)
        if fault is None:
            return one, passed
        passed.append(f"{one.name}: {fault}")
    told = f": {'; '.join(passed)}" if passed else ""
    raise SupervisorError(f"{home / BACKUPS}: there is no whole copy{told}")


def _fault_of_set(
    found: BackupSet, files: Mapping[str, Path], wanted: set[str] | tuple[()]
) -> str | None:
    copies = {name: path for name, path in found.files.items() if name in files}
    if not copies:
        return "it is empty"
    missing = sorted(name for name in wanted if name in files and name not in copies)
    if missing:
        return f"it has no {missing[0]}"
    for name, path in copies.items():
        fault = fault_of(path)
        if fault is not None:
            return f"{name} is damaged ({fault})"
    return None


def restore(home: Path, files: Mapping[str, Path], chosen: BackupSet, *, now: datetime) -> Path:
    """Put the copies of a set in the place of the databases.

    What was there is moved aside, so a restoration can be undone by hand; one that was killed is
    run again. The supervisor's lock is held meanwhile.

    Returns the folder with what was there.

    Raises
    ------
    SupervisorError : a supervisor runs, another program has a database open, or there is no room
    """
    folder_of(home).mkdir(parents=True, exist_ok=True)
    with file_lock(folder_of(home) / LOCK, wait=0) as lock:
        if lock is None:
            raise SupervisorError("the platform runs; end it first: make down")
        copies = {files[name]: path for name, path in chosen.files.items() if name in files}
        for target in copies:
            if target.exists() and is_in_use(target):
                raise SupervisorError(f"{target}: another program has it open; end that first")
        drafts = _drafts(copies)
        aside = home / BACKUPS / f"{REPLACED}{now:%Y-%m-%d-%H%M%S}"
        aside.mkdir(parents=True)
        for target, draft in drafts.items():
            for companion in _COMPANIONS:
                old = target.with_name(target.name + companion)
                place = aside / old.parent.relative_to(home) if old.is_relative_to(home) else aside
                if old.exists():
                    place.mkdir(parents=True, exist_ok=True)
                    shutil.move(old, place / old.name)
            draft.replace(target)
            flush(target.parent)
        return aside


def _drafts(copies: Mapping[Path, Path]) -> dict[Path, Path]:
    """Copy each file beside its place, and check that it arrived whole.

    Raises
    ------
    SupervisorError : there is no room, or a copy did not arrive whole
    """
    drafts: dict[Path, Path] = {}
    try:
        for target, copy in copies.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            draft = target.with_name(f".{target.name}-restored")
            drafts[target] = draft
            shutil.copyfile(copy, draft)
            draft.chmod(target.stat().st_mode & 0o777 if target.exists() else 0o600)
            fault = fault_of(draft)
            if fault is not None:
                raise SupervisorError(f"{draft}: did not arrive whole: {fault}")
            with contextlib.closing(sqlite3.connect(draft)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")  # which a copy does not keep
            flush(draft)
    except BaseException:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)
        raise
    return drafts
