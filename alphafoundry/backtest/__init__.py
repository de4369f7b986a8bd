"""Backtests: strategies, trials by the thousand, signal replay, regimes, ensembles."""

from __future__ import annotations

from alphafoundry.backtest.benchmark import buy_and_hold
from alphafoundry.backtest.ensembles import (
    EnsembleConstraints,
    allowed_together,
    optimise_weights,
)
from alphafoundry.backtest.execution import Execution, Sizing
from alphafoundry.backtest.expression_strategies import expression_strategy
from alphafoundry.backtest.look_ahead import look_ahead
from alphafoundry.backtest.market_features import market_features, market_returns
from alphafoundry.backtest.objectives import OBJECTIVES, score
from alphafoundry.backtest.own_rules import OWN_RULES, narrowed, on_symbols, with_own_rules
from alphafoundry.backtest.regimes import (
    RegimeModel,
    best_per_regime,
    fit_regimes,
    regime_scores,
    switched,
)
from alphafoundry.backtest.replay import ReplayResult, replay, stacked
from alphafoundry.backtest.signal_store import SignalStore
from alphafoundry.backtest.strategies import STRATEGIES, strategy_named
from alphafoundry.backtest.strategy import Parameter, Strategy
from alphafoundry.backtest.trials import (
    BacktestResult,
    TrialResult,
    backtest,
    backtest_signals,
    run_trials,
    signals_of,
)
from alphafoundry.backtest.walk_forward import Window, walk_forward_windows
from alphafoundry.finance.bars import Bars
from alphafoundry.finance.costs import Costs
from alphafoundry.finance.statistics import Metrics, metrics_of

__all__ = [
    "OBJECTIVES",
    "OWN_RULES",
    "STRATEGIES",
    "BacktestResult",
    "Bars",
    "Costs",
    "EnsembleConstraints",
    "Execution",
    "Metrics",
    "Parameter",
    "RegimeModel",
    "ReplayResult",
    "SignalStore",
    "Sizing",
    "Strategy",
    "TrialResult",
    "Window",
    "allowed_together",
    "backtest",
    "backtest_signals",
    "best_per_regime",
    "buy_and_hold",
    "expression_strategy",
    "fit_regimes",
    "look_ahead",
    "market_features",
    "market_returns",
    "metrics_of",
    "narrowed",
    "on_symbols",
    "optimise_weights",
    "regime_scores",
    "replay",
    "run_trials",
    "score",
    "signals_of",
    "stacked",
    "strategy_named",
    "switched",
    "walk_forward_windows",
    "with_own_rules",
]
