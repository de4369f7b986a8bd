"""Whole workflows on the calibration market, without Prefect: what phases and trials give.

`tests/flows/test_optimize.py` holds that the flow gives the same numbers.
"""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from alphafoundry.coordinator import run_workflow
from alphafoundry.coordinator.report import WorkflowReport
from alphafoundry.coordinator.reproducibility import compare

FOUR_PHASES = """
workflow:
  type: multi_phase
  execution_mode: COMPOSABLE
  phases:
    - {name: search, type: optimization, container_count: 48}
    - name: regimes
      type: analysis
      inputs: [search.best_params]
      config: {classifier: rules, n_regimes: 2}
    - name: ensemble
      type: signal_replay
      container_count: 30
      inputs: [regimes.regime_weights]
    - {name: validation, type: validation, inputs: [ensemble.final_weights]}
data:
  market: calibration
  symbols: [SYN001, SYN002, SYN003, SYN004, SYN005, SYN006]
  max_bars: 500
strategies:
  - type: moving_average_cross
    parameters: {fast: [2, 20], slow: [30, 90]}
optimization: {method: tpe, objective: sharpe}
infrastructure: {batch_size: 8}
reporting: {plots: false}
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, market_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of the workflows, in a working directory of its own."""
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "home"
    monkeypatch.setenv("FOUNDRY_HOME", str(home))
    home.mkdir()
    (home / "cache").symlink_to(market_cache)
    return home


def run(text: str, **options: Any) -> WorkflowReport:
    Path("flow.yaml").write_text(textwrap.dedent(text))
    return run_workflow("flow.yaml", **options)


def results(report: WorkflowReport) -> Any:
    return json.loads((Path(report.folder) / "results.json").read_text())


def differences(one: Any, other: Any) -> tuple[str, ...]:
    return compare(one, other, {}, {}).differences


@pytest.mark.long
def test_independent_phases_and_several_strategies() -> None:
    text = """
        workflow: {type: multi_phase, execution_mode: HYBRID}
        data: {market: calibration, symbols: [SYN001, SYN002, SYN003, SYN004], max_bars: 400}
        strategies:
          - {type: moving_average_cross, name: trend, parameters: {fast: [2, 9], slow: [20, 60]}}
          - {type: rsi, name: swing, parameters: {window: [5, 20]}}
          - {type: expression, name: turn, template: "-ts_delta(close, {days})",
             parameters: {days: {min: 1, max: 5, step: 1}}}
        phases:
          - {name: grid, type: optimization, container_count: 30, config: {method: grid}}
          - {name: evolved, type: optimization, method: differential_evolution,
             container_count: 24, config: {strategies: [trend]}}
          - {name: genes, type: optimization, method: genetic, container_count: 20,
             config: {strategies: [swing]}}
          - {name: store, type: signal_generation, inputs: [grid.top_trials]}
          - {name: mix, type: signal_replay, container_count: 40,
             inputs: [store.components, evolved.best_params],
             config: {constraints: {max_weight: 0.5, min_strategies: 2}}}
          - {name: forward, type: walk_forward, container_count: 9,
             config: {train_period_days: 120, test_period_days: 60, step_days: 60}}
          - {name: check, type: backtest, inputs: [mix.final_weights]}
        """
    report = run(text)
    found = results(report)
    kinds = Counter(trial["strategy"] for trial in found["grid"]["trial_list"])
    assert kinds["trend"] <= 10 and kinds["swing"] <= 10 and kinds["turn"] == 5
    weights = found["mix"]["final_weights"]["all"]
    assert sum(weights.values()) == pytest.approx(1)
    assert max(weights.values()) <= 0.5 + 1e-9
    assert sum(weight > 0 for weight in weights.values()) >= 2
    windows = found["forward"]["windows"]
    assert len(windows) == 5
    assert all(window["train"][1] < window["test"][0] for window in windows)
    # The last 120 of 400 days are out of sample: the third window trains until day 240.
    assert found["forward"]["best_params"] == {windows[2]["strategy"]: windows[2]["parameters"]}
    tested = found["forward"]["equity"]["days"]
    assert tested == sorted(set(tested))
    assert found["check"]["metrics"]["days"] == 120
    again = run(text, restart=True, task_runner="processes")
    assert differences(found, results(again)) == ()


def test_trials_have_seeds_of_their_own() -> None:
    text = """
        workflow: {type: optimization}
        data: {market: calibration, symbols: [SYN001, SYN002], max_bars: 300}
        strategies:
          - {type: "tests.own_strategies:SEEDED", parameters: {lookback: [1, 2, 3, 4]}}
        """
    first = results(run(text))["optimization"]["trial_list"]
    seeds = [trial["parameters"]["seed"] for trial in first]
    assert len(set(seeds)) == 4
    other = textwrap.dedent(text) + "coordinator: {reproducibility: {master_seed: 7}}\n"
    second = results(run(other))["optimization"]["trial_list"]
    assert not set(seeds) & {trial["parameters"]["seed"] for trial in second}


@pytest.mark.long
def test_daily_returns_that_are_cut_short_are_made_again(home: Path) -> None:
    """Files that are there and not whole: the batches are done again, the numbers stay."""
    first = results(run(FOUR_PHASES))
    files = sorted((home / "coordinator" / "returns").iterdir())
    for number, file in enumerate(files):
        content = bytearray(file.read_bytes())
        content[-9] ^= 1
        file.write_bytes(content if number % 2 else content[: len(content) // 2])
    changed = FOUR_PHASES.replace("n_regimes: 2", "n_regimes: 3")
    fresh = results(run(changed))
    run(FOUR_PHASES)
    assert differences(first, results(run(FOUR_PHASES))) == ()
    assert fresh["search"] == first["search"]
