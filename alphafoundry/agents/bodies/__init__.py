"""The agents themselves, one module each; importing this registers them."""

from alphafoundry.agents.bodies import (
    alert_manager,
    cache_management,
    data_sync,
    execution,
    explanation,
    market_analysis,
    meta_control,
    model_innovation,
    model_validation,
    performance_analysis,
    portfolio_rebalancing,
    risk_management,
    sentiment_fetch,
    strategy_backtesting,
    strategy_research,
    system_health,
)

__all__ = [
    "alert_manager",
    "cache_management",
    "data_sync",
    "execution",
    "explanation",
    "market_analysis",
    "meta_control",
    "model_innovation",
    "model_validation",
    "performance_analysis",
    "portfolio_rebalancing",
    "risk_management",
    "sentiment_fetch",
    "strategy_backtesting",
    "strategy_research",
    "system_health",
]
