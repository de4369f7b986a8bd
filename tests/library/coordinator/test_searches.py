"""Searches: what they ask for, and that nothing but seed and scores decides it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphafoundry.coordinator.components import Component, add_component
from alphafoundry.coordinator.graph import generations
from alphafoundry.coordinator.parameter_space import ParameterSpec
from alphafoundry.coordinator.phases.signal_replay import bounded_shares
from alphafoundry.coordinator.sampling import distributions, search_for
from alphafoundry.coordinator.strategies import StrategySource
from alphafoundry.coordinator.workflow import Workflow

Load = Callable[[str], Workflow]
METHODS = ("grid", "random", "tpe", "genetic", "differential_evolution", "qmc")

DOCUMENT = """
strategies:
  - type: moving_average_cross
    parameters: {fast: [2, 40], slow: [10, 120]}
"""


def trials_of(load: Load, method: str, *, seed: int = 1, trials: int = 90) -> list[tuple[int, int]]:
    use = load(DOCUMENT).strategies[0]
    search = search_for(method, use, trials=trials, seed=seed, name="search")
    found = []
    while points := search.ask():
        found += [(int(point["fast"]), int(point["slow"])) for point in points]
        search.tell([-((p["fast"] - 12) ** 2) - (p["slow"] - 70) ** 2 / 9 for p in points])  # type: ignore[operator]
    return found


@pytest.mark.parametrize("method", METHODS)
def test_a_search_repeats_itself_and_stays_inside(load: Load, method: str) -> None:
    one = trials_of(load, method)
    assert one == trials_of(load, method)
    assert 60 <= len(one) <= 90
    assert all(2 <= fast <= 40 and 10 <= slow <= 120 and fast < slow for fast, slow in one)
    if method != "grid":
        assert len(one) == 90
        assert one != trials_of(load, method, seed=2)


@pytest.mark.parametrize("method", ["tpe", "genetic", "differential_evolution"])
def test_a_search_that_is_told_scores_finds_the_top(load: Load, method: str) -> None:
    def distance(point: tuple[int, int]) -> float:
        return (point[0] - 12) ** 2 + (point[1] - 70) ** 2 / 9

    found = trials_of(load, method, trials=200)
    last = sorted(map(distance, found[-50:]))[25]
    first = sorted(map(distance, found[:25]))[12]
    assert last < first / 2


def test_a_grid_is_every_combination_and_its_constraints_hold(load: Load) -> None:
    use = load(
        "strategies: [{type: moving_average_cross, parameters: {fast: [5, 10, 15], "
        "slow: {min: 10, max: 30, step: 10}}}]"
    ).strategies[0]
    search = search_for("grid", use, trials=None, seed=0, name="x", comparisons=["slow != 30"])
    assert [(point["fast"], point["slow"]) for point in search.ask()] == [
        (5, 10),
        (5, 20),
        (10, 20),
        (15, 20),
    ]
    assert search.infeasible == 5
    assert search.ask() == []


@given(st.floats(0, 1), st.integers(-50, 50), st.integers(0, 50), st.booleans())
def test_positions_stay_inside_the_range(place: float, low: int, width: int, whole: bool) -> None:
    spec = ParameterSpec(min=low, max=low + width)
    value = spec.at(place, whole=whole)
    assert low <= float(value) <= low + width
    assert not whole or isinstance(value, int)


@given(st.integers(1, 12), st.data())
def test_every_phase_comes_after_what_it_needs(count: int, data: st.DataObject) -> None:
    names = [f"p{number}" for number in range(count)]
    needs = {
        name: data.draw(st.lists(st.sampled_from(names[:place]), unique=True)) if place else []
        for place, name in enumerate(names)
    }
    order = data.draw(st.permutations(names))
    found = generations({name: needs[name] for name in order})
    assert sorted(name for generation in found for name in generation) == sorted(names)
    assert all(one == sorted(one, key=order.index) for one in found)
    level = {name: place for place, generation in enumerate(found) for name in generation}
    for name in names:
        assert level[name] == 1 + max((level[need] for need in needs[name]), default=-1)


def test_a_cycle_is_named() -> None:
    with pytest.raises(ValueError, match="b -> c -> b"):
        generations({"a": ["b"], "b": ["c"], "c": ["b"]})


def test_optuna_takes_every_point_of_a_grid_whose_step_is_no_whole_number(load: Load) -> None:
    use = load(
        "strategies: [{type: rsi, parameters: {window: {min: 2, max: 20, step: 2.5}}}]"
    ).strategies[0]
    search = search_for("grid", use, trials=None, seed=1, name="search")
    found = []
    while points := search.ask():
        for point in points:
            optuna.trial.create_trial(value=1.0, params=point, distributions=distributions(use))
            found.append(point["window"])
        search.tell([0.0] * len(points))
    assert sorted(set(found)) == [2, 4, 7, 10, 12, 14, 17, 20]


def test_a_comparison_counts_for_strategies_that_have_both_parameters(load: Load) -> None:
    rsi, cross = load(
        "strategies: [{type: rsi}, {type: moving_average_cross, "
        "parameters: {fast: [2, 40], slow: [10, 120]}}]"
    ).strategies
    for use, comparison in ((rsi, "window < slow"), (cross, "fast < 10")):
        search = search_for(
            "random", use, trials=20, seed=1, name="search", comparisons=[comparison]
        )
        points = search.ask()
        assert len(points) == 20
    assert all(int(point["fast"]) < 10 for point in points)


@given(
    shares=st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=12),
    floor=st.floats(0.0, 1.0),
    slack=st.floats(0.0, 1.0),
)
def test_weights_keep_between_their_floors_and_the_most(
    shares: list[float], floor: float, slack: float
) -> None:
    size = len(shares)
    most = 1 / size + slack * (1 - 1 / size)
    floors = np.full(size, floor / size)
    found = bounded_shares(np.array(shares), floors, most)
    assert found.sum() == pytest.approx(1.0, abs=1e-12)
    assert (found >= floors - 1e-15).all()
    assert (found <= most).all()
    above = (found - floors)[found < most - 1e-9]
    ratios = above / np.array(shares)[found < most - 1e-9]
    assert ratios == pytest.approx(np.full(len(ratios), ratios.mean() if len(ratios) else 0.0))


def test_no_component_is_lost_where_two_searches_number_theirs_alike() -> None:
    one, other = (Component(StrategySource("rsi"), {"window": window}) for window in (5, 9))
    found: dict[str, Component] = {}
    for phase, component in (("first", one), ("second", other), ("third", one)):
        add_component(found, phase, "rsi-0", component)
    assert found == {"rsi-0": one, "second-rsi-0": other}
