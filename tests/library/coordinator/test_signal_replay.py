"""Ensemble weights: what is tried keeps to the objective of the phase."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from alphafoundry.backtest import Bars, Execution, backtest
from alphafoundry.coordinator.batches import Batch, Setting, perform
from alphafoundry.coordinator.components import Component
from alphafoundry.coordinator.context import PhaseContext
from alphafoundry.coordinator.isolation import BatchOutcome, carry_out
from alphafoundry.coordinator.phase_types import type_of
from alphafoundry.coordinator.strategies import StrategySource
from alphafoundry.coordinator.workflow import Workflow
from tests.library.coordinator.searches import search_outputs
from tests.own_strategies import SIZED

Load = Callable[[str], Workflow]

DOCUMENT = """
workflow: {type: multi_phase}
phases:
  - {name: search, type: optimization}
  - name: mix
    type: signal_replay
    container_count: 12
    inputs: [search.components]
    config: {objective: OBJECTIVE, constraints: {max_correlation: 0.5}}
"""


def tried(load: Load, bars: Bars, setting: Setting, objective: str) -> list[str]:
    """Return the components that ever get a weight."""
    workflow = load(DOCUMENT.replace("OBJECTIVE", objective))
    source = StrategySource("tests.own_strategies:SIZED")
    weightings: list[list[float]] = []

    def run(batches: Sequence[Batch]) -> Iterator[BatchOutcome]:
        for batch in batches:
            if batch.kind == "replay":
                weightings.extend(batch.items)
            yield carry_out(
                batch, lambda part: perform(setting.to_json(), part.to_json()), retries=0
            )

    components = {name: Component(source, parameters) for name, parameters in PAIR.items()}
    phase = workflow.phase("mix")
    outputs = type_of(phase).run(
        PhaseContext(
            workflow=workflow,
            phase=phase,
            bars=bars,
            split=250,
            setting=setting,
            inputs={},
            upstream={"search": search_outputs(components=components)},
            run=run,
        )
    )
    assert len(weightings) == 12
    names = list(outputs.components)
    held = np.array(weightings).any(axis=0)
    return [name for name, any_weight in zip(names, held, strict=True) if any_weight]


PAIR = {
    "large": {"lookback": 21, "size": 1.0},
    "small": {"lookback": 20, "size": 0.4},
}


def test_of_two_that_move_alike_the_objective_keeps_the_better(
    load: Load, bars: Bars, setting: Setting
) -> None:
    found = {
        name: backtest(bars, SIZED, values, Execution(), measured=(0, 250))
        for name, values in PAIR.items()
    }
    daily = np.array([result.daily_returns for result in found.values()])
    assert np.corrcoef(daily)[0, 1] > 0.5
    by_sharpe = max(found, key=lambda name: found[name].statistics.sharpe)
    by_cvar = min(found, key=lambda name: found[name].statistics.cvar)
    assert by_sharpe != by_cvar, "the bars must tell the objectives apart"
    assert tried(load, bars, setting, "sharpe") == [by_sharpe]
    assert tried(load, bars, setting, "cvar") == [by_cvar]
