"""One turn of housekeeping: `python -m alphafoundry.supervisor.housekeeping`.

Copies each SQLite file of the home folder once a day, while others write; `make restore` puts the
newest copies back. Gives the room of what Prefect's server has deleted back to the disk.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
from collections.abc import Sequence
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
    try:
        files = databases(given.home, prefect_home)
        made = back_up(given.home, files, today=datetime.now(UTC).date())
        freed = give_back(files["prefect.db"]) if files["prefect.db"].exists() else 0
    except sqlite3.Error as problem:
        line = f"{files['prefect.db']}: {problem}"
    except FoundryError as problem:
        line = str(problem)
    except OSError as problem:
        line = os_error_in_one_line(problem)
    else:
        there = any(one.exists() for one in files.values())
        rest = "today's copies are there" if there else f"{given.home} has no database yet"
        told = ", ".join(path.name for path in made) or f"nothing; {rest}"
        back = f"; prefect.db gave {freed / 2**20:.1f} MB back" if freed else ""
        sys.stdout.write(f"copied {told}{back}\n")
        return 0
    sys.stderr.write(f"error: {line}\n")
    return EXIT_ERROR


if __name__ == "__main__":
    sys.exit(main())
