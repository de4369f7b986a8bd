"""The strategies by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from alphafoundry.backtest.reversion import BOLLINGER, MEAN_REVERSION, PAIRS, RSI
from alphafoundry.backtest.strategy import Strategy, strategy_from
from alphafoundry.backtest.trend import (
    BREAKOUT,
    MOMENTUM,
    MOVING_AVERAGE_CROSS,
    VOLATILITY_TARGETING,
)

STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {
        strategy.name: strategy
        for strategy in (
            MOVING_AVERAGE_CROSS,
            MOMENTUM,
            MEAN_REVERSION,
            BREAKOUT,
            RSI,
            BOLLINGER,
            VOLATILITY_TARGETING,
            PAIRS,
        )
    }
)


def strategy_named(name: str) -> Strategy:
    """Return the strategy of that name; raises UnknownStrategy with a suggestion."""
    return strategy_from(name, STRATEGIES)
