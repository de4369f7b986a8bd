"""Workflow files of ADMF-PC, as they are public, turned into ours."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from alphafoundry.coordinator.importing import import_workflow
from alphafoundry.coordinator.loading import load_workflow
from alphafoundry.errors import ConfigurationError

Write = Callable[[str], Path]


def test_one_strategy_by_name_with_a_mode(write: Write) -> None:
    found = import_workflow(
        write("""
        name: my first test
        mode: signal_generation
        symbols: [SPY]
        start_date: "2024-01-01"
        end_date: "2024-01-31"
        initial_capital: 100000
        strategy:
          rsi_bands:
            params: {rsi_period: 14, oversold: 25, overbought: 75}
        """)
    )
    document = found.document
    assert document["name"] == "my_first_test"
    assert document["data"]["symbols"] == ["SPY"]
    (strategy,) = document["strategies"]
    assert strategy["type"] == "rsi"
    assert strategy["params"] == {"window": 14, "low": 25, "high": 75}
    assert document["portfolio"] == {"initial_capital": 100000.0}
    assert found.left_out == []
    assert load_workflow(yaml.safe_load(found.to_yaml())).phases[0].kind == "backtest"


def test_lists_are_choices_and_what_is_unknown_is_told(write: Write) -> None:
    found = import_workflow(
        write("""
        name: grid
        topology: signal_generation
        timeframes: ["1m"]
        data: {type: csv, file_path: data/SPY.csv}
        strategies:
          - type: sma_crossover
            name: a grid
            params: {fast_period: [3, 7, 11], slow_period: [15, 23]}
          - {type: vortex_crossover, params: {vortex_period: [11, 19]}}
        classifiers: [{type: hmm}]
        portfolio: {commission: {type: zero}, slippage: {type: percentage, value: 0.0005}}
        optimization: {objective: sharpe_ratio, method: grid_search}
        """)
    )
    assert found.document["strategies"] == [
        {
            "type": "moving_average_cross",
            "name": "a_grid",
            "parameters": {"fast": {"choices": [3, 7, 11]}, "slow": {"choices": [15, 23]}},
        }
    ]
    assert found.document["data"]["market"] == "data/SPY.csv"
    assert found.document["execution"] == {"commission_per_share": 0.0, "slippage_bps": 5.0}
    assert found.document["optimization"] == {"objective": "sharpe", "method": "grid"}
    assert found.left_out == [
        "strategies[1]: there is no strategy like 'vortex_crossover'",
        "timeframes: '1m', since only daily bars are held",
        "classifiers",
    ]
    assert "# left out: classifiers\n" in found.to_yaml()


def test_a_file_without_a_known_strategy_is_refused(write: Write) -> None:
    with pytest.raises(ConfigurationError, match="no strategy that is known here"):
        import_workflow(write("strategies: [{type: supertrend}]\n"))


VALUES = (None, True, "text", -1, 3.5, math.nan, [], {}, [1, 2], {"a": 1}, [[1]], [{}])


def test_ill_typed_values_are_told_and_never_raise_anything_else(write: Write) -> None:
    def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield (*above, key)
            if isinstance(inner, dict | list):
                yield from places(inner, (*above, key))

    whole = yaml.safe_load(WHOLE)
    for place in places(whole):
        for value in VALUES:
            changed = copy.deepcopy(whole)
            inner = changed
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = value
            with contextlib.suppress(ConfigurationError):
                import_workflow(write(yaml.safe_dump(changed)))


WHOLE = """
mode: backtest
strategies: [{type: rsi, params: {rsi_period: 14}, param_overrides: {oversold: [20, 30]}}]
portfolio:
  initial_capital: 5000
  commission: {type: per_share, value: 0.01}
  slippage: {type: percentage, value: 0.001}
  position_sizers: [{size_pct: 10}]
optimization: {objective: returns, max_trials: 3}
"""
