"""One turn of housekeeping: `python -m alphafoundry.supervisor.housekeeping`.

Copies each SQLite file of the home folder once a day, while others write; `make restore` puts the
newest copies back. Gives the room of what Prefect's server has deleted back to the disk.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from alphafoundry.errors import FoundryError, os_error_in_one_line
from alphafoundry.sqlite_room import give_back
from alphafoundry.supervisor.backups import back_up, databases

EXIT_ERROR = 2


def main(words: Sequence[str] | None = None) -> int:
    """Do one turn; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m alphafoundry.supervisor.housekeeping", description=__doc__
    )
    home = Path(os.environ.get("FOUNDRY_HOME") or ".foundry")
    parser.add_argument("--home", type=Path, default=home, help="(default: %(default)s)")
    given = parser.parse_args(words)
    prefect_home = Path(os.environ.get("PREFECT_HOME") or given.home / "prefect")
    faults: list[str] = []
    files: dict[str, Path] = {}
    made: list[Path] = []
    freed = 0
    # Room first: copies need it, and the more where there is too little for any.
    with _told(faults):
        freed = _room_of_prefect(prefect_home / "prefect.db")
    with _told(faults):
        files = databases(given.home, prefect_home)
        made = back_up(given.home, files, today=datetime.now(UTC).date())
    if made or freed or not faults:
        there = any(one.exists() for one in files.values())
        rest = "; today's copies are there" if there else f"; {given.home} has no database yet"
        told = ", ".join(path.name for path in made) or f"nothing{'' if faults else rest}"
        back = f"; prefect.db gave {freed / 2**20:.1f} MB back" if freed else ""
        sys.stdout.write(f"copied {told}{back}\n")
    for line in faults:
        sys.stderr.write(f"error: {line}\n")
    return EXIT_ERROR if faults else 0


def _room_of_prefect(database: Path) -> int:
    try:
        return give_back(database) if database.exists() else 0
    except sqlite3.Error as problem:
        raise FoundryError(f"{database}: {problem}") from None


@contextlib.contextmanager
def _told(faults: list[str]) -> Iterator[None]:
    """Keep in one line what went wrong in the block, and go on."""
    try:
        yield
    except FoundryError as problem:
        faults.append(str(problem))
    except OSError as problem:
        faults.append(os_error_in_one_line(problem))


if __name__ == "__main__":
    sys.exit(main())
