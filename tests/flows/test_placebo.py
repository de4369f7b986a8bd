"""`python -m flows.placebo` from nothing to its report, and going on with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.working_folder import WorkingFolder

pytestmark = pytest.mark.slow
SEARCH = ("flows.placebo", "--simulations", "6", "--seed", "101")


@pytest.mark.long
def test_a_placebo_is_reported_and_gone_on_with(
    tmp_path: Path, market_cache: Path, prefect_url: str
) -> None:
    place = WorkingFolder(tmp_path / "work", cache=market_cache, api=prefect_url)
    first = place.report(*SEARCH, "--runs", "1")
    assert (first["kind"], first["made"], first["wanted"]) == ("placebo", 1, 1)
    assert first["best"]["p"] in (0.5, 1.0)
    assert first["last"] < "2023"
    made = place.rows("SELECT number, run_id, best_sharpe FROM placebos ORDER BY number")
    assert [row[0] for row in made] == [0, 1]
    done = place.run(*SEARCH, "--runs", "2", "--json", "report.json")
    assert done.returncode == 0, done.stderr
    for text in ("placebos", "2 of 2 searches of 6 simulations", "p =", "DSR", "SYNTHETIC"):
        assert text in done.stdout
    rows = place.rows("SELECT number, run_id, best_sharpe FROM placebos ORDER BY number")
    assert rows[:2] == made
    assert rows[2][1] == place.json("report.json")["run_id"] > made[0][1]
    # Nothing of it is a trial of the market, and nothing sealed was looked at.
    assert place.count("SELECT count(*) FROM simulations") == 0
    assert place.count("SELECT count(*) FROM openings") == 0
