"""Workflow files of ADMF-PC, as they are public, turned into ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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
