"""The whole pipeline with its database on PostgreSQL."""

from __future__ import annotations

import psycopg
import pytest

from tests.postgres import PASSWORD, running_postgres
from tests.working_folder import WorkingFolder


@pytest.mark.long
def test_a_daily_run(working_folder: WorkingFolder) -> None:
    """The report agrees with the database, the password shows nowhere, and no file is made."""
    place = working_folder
    command = ("flows.daily", "--simulations", "8", "--json", "report.json")
    with running_postgres() as server:
        url = server.database()
        done = place.run(*command, FOUNDRY_DATABASE_URL=url)
        assert done.returncode == 0, done.stderr
        with psycopg.connect(url) as database:
            made = database.execute(
                "SELECT count(*), count(DISTINCT key), max(attempts), count(alpha_id)"
                " FROM simulations"
            ).fetchone()
            submitted = database.execute(
                "SELECT count(*) FROM submissions WHERE status = 'accepted'"
            ).fetchone()
            statuses = database.execute("SELECT status FROM runs").fetchall()
    printed = done.stdout + done.stderr
    assert "Traceback" not in printed and PASSWORD not in printed
    counts = place.json("report.json")["counts"]
    assert (counts["simulated"], counts["unfinished"]) == (8, 0)
    assert made == (8, 8, 1, 8 - counts["errors"])
    assert submitted == (counts["submitted"],)
    assert statuses == [("finished",)]
    assert not (place.home / "foundry.sqlite").exists()
