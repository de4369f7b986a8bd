"""What users of BRAIN published, against our formulas and our turnover."""

from __future__ import annotations

import os
import statistics
from pathlib import Path

import pytest

from benchmarks.public_results import (
    MARKET,
    RESULTS,
    SECTORS,
    Row,
    fitness_fits,
    log_correlation,
    margin_fits,
    read_results,
    simulated_turnovers,
)


@pytest.fixture(scope="module")
def published() -> list[Row]:
    path = Path(os.environ.get("FOUNDRY_PUBLIC_RESULTS", RESULTS))
    if not path.is_file():
        pytest.skip(f"no published results in {path}; set FOUNDRY_PUBLIC_RESULTS to such a file")
    return read_results(path)


def test_the_fitness_formula_gives_what_brain_shows(published: list[Row]) -> None:
    assert len(published) >= 30
    assert [row["expression"] for row in published if not fitness_fits(row)] == []
    wrong = [{**row, "fitness": row["fitness"] + 0.03} for row in published]
    assert not any(map(fitness_fits, wrong))


def test_margin_is_that_of_a_year_of_250_days(published: list[Row]) -> None:
    assert all(margin_fits(row, 250) for row in published)
    assert sum(margin_fits(row, 252) for row in published) < 0.2 * len(published)


@pytest.mark.long
def test_turnover_here_is_near_that_of_brain(published: list[Row]) -> None:
    for path in (MARKET, SECTORS):
        if not path.is_file():
            pytest.skip(f"no {path}; set FOUNDRY_TEST_DATA to the folder that has it")
    chosen = published[::4]
    ours = simulated_turnovers(chosen, MARKET, SECTORS)
    theirs = [row["turnover"] for row in chosen]
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    assert 0.9 < statistics.median(ratios) < 1.1
    assert log_correlation(ours, theirs) > 0.97
