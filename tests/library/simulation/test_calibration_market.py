"""What the planted effects of the calibration market pay to those who trade them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alphafoundry.market import load_market
from alphafoundry.market.effects import PLANTED, PlantedEffect
from alphafoundry.simulation import SimulationSettings, Simulator, simulate


@pytest.fixture(scope="module")
def simulator(market_cache: Path) -> Simulator:
    return Simulator(load_market("calibration", cache_dir=market_cache))


@pytest.mark.parametrize("effect", PLANTED, ids=lambda effect: effect.name)
def test_an_effect_explains_most_of_the_pnl_of_its_own_expression(
    simulator: Simulator, effect: PlantedEffect
) -> None:
    found = simulator.simulate(effect.expression, SimulationSettings(decay=effect.decay))
    assert found.planted is not None
    assert found.planted[effect.name] > 0.5
    others = [share for name, share in found.planted.items() if name != effect.name]
    assert found.planted[effect.name] > 2 * max(np.abs(others))
    assert found.expected_sharpe is not None
    assert found.expected_sharpe > 1.0


def test_an_alpha_of_noise_earns_none_of_the_effects(simulator: Simulator) -> None:
    market = simulator.panel
    noise = np.random.default_rng(0).normal(size=market.shape)
    found = simulate("noise", replace(market, fields={**market.fields, "noise": noise}))
    assert found.expected_sharpe is not None
    assert abs(found.expected_sharpe) < 0.5
