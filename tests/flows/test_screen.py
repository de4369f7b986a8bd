"""`python -m flows.screen`, and a run that simulates the best of what was screened."""

from __future__ import annotations

import pytest

from tests.working_folder import WorkingFolder


@pytest.mark.long
def test_ideas_are_screened_and_the_next_run_simulates_the_best(place: WorkingFolder) -> None:
    found = place.report("flows.screen", "--prescreen", "60")
    assert (found["kind"], found["ideas"], found["synthetic"]) == ("screening", 60, True)
    assert found["trials"] <= 60 and found["best"] and found["luck"] > 0
    assert all(0.0 <= one["dsr"] <= 1.0 for one in found["best"])
    assert place.count("SELECT count(*) FROM simulations") == 0
    done = place.run("flows.generate", "--prescreen", "20", "--simulations", "3")
    assert done.returncode == 0, done.stderr
    assert "20 ideas screened, the 3 best unlike ones" in done.stdout and "SYNTHETIC" in done.stdout
    assert place.count("SELECT count(*) FROM screened") == 80
    assert place.count("SELECT count(*) FROM simulations") == 3
    best = place.rows("SELECT max(abs(sharpe)) FROM screened")[0][0]
    chosen = place.rows("SELECT max(abs(sharpe)) FROM screened WHERE chosen_at IS NOT NULL")
    assert chosen[0][0] == best
