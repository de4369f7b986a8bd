"""Numbers of two alphas captured from the service, and the identities between them."""

from __future__ import annotations

import pytest

from alphafoundry.simulation.statistics import annual_returns, fitness


@pytest.mark.parametrize(
    ("sharpe", "returns", "turnover", "shown"),
    [(0.19, 0.0195, 0.0242, 0.08), (0.21, 0.0218, 0.0242, 0.09)],
)
def test_fitness_of_the_captured_alphas(
    sharpe: float, returns: float, turnover: float, shown: float
) -> None:
    assert round(fitness(sharpe, returns, turnover) + 1e-9, 2) == pytest.approx(shown, abs=0.006)


def test_returns_of_the_captured_alpha() -> None:
    assert round(annual_returns(1_946_403, 2516), 4) == 0.0195
