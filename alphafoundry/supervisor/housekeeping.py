"""One turn of housekeeping: `python -m alphafoundry.supervisor.housekeeping`.

Copies each SQLite file of the home folder once a day, while others write, and keeps seven copies.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sqlite3
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from alphafoundry.supervisor.control import SupervisorError

FOLDER = "backups"
FILES = ("foundry.sqlite", "supervisor.db", "feed.db")
KEPT = 7
EXIT_ERROR = 2


def back_up(home: Path, *, today: date) -> list[Path]:
    """Copy what has no copy of today, and delete all but the last seven; return the new copies.

    Raises
    ------
    SupervisorError : there is not room for a copy, or a file cannot be read
    """
    folder = home / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name in FILES:
        source, copy = home / name, folder / f"{today.isoformat()}-{name}"
        if not source.exists() or copy.exists():
            continue
        room = shutil.disk_usage(folder).free
        if source.stat().st_size * 2 > room:
            raise SupervisorError(
                f"{copy}: {source.stat().st_size / 2**20:.0f} MB and a rest do not fit into the "
                f"{room / 2**20:.0f} MB that are free; make room"
            )
        draft = copy.with_name(f".{copy.name}")
        draft.unlink(missing_ok=True)
        try:
            with contextlib.closing(
                sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=60)
            ) as connection:
                connection.execute("VACUUM INTO ?", (str(draft),))
        except sqlite3.Error as problem:
            draft.unlink(missing_ok=True)
            raise SupervisorError(f"{source}: {problem}") from None
        draft.chmod(0o600)
        draft.replace(copy)
        made.append(copy)
        for old in sorted(folder.glob(f"*-{name}"))[:-KEPT]:
            old.unlink()
    return made


def main(words: Sequence[str] | None = None) -> int:
    """Do one turn; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m alphafoundry.supervisor.housekeeping")
    home = Path(os.environ.get("FOUNDRY_HOME") or ".foundry")
    parser.add_argument("--home", type=Path, default=home)
    given = parser.parse_args(words)
    try:
        made = back_up(given.home, today=datetime.now(UTC).date())
    except (SupervisorError, OSError) as problem:
        sys.stderr.write(f"error: {problem}\n")
        return EXIT_ERROR
    told = ", ".join(path.name for path in made) or "nothing; today's copies are there"
    sys.stdout.write(f"copied {told}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
