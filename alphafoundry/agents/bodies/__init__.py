"""The agents themselves, one module each; importing this registers them."""

from alphafoundry.agents.bodies import (
    data_sync,
    execution,
    explanation,
    meta_control,
    performance_analysis,
    portfolio_rebalancing,
    risk_management,
    sentiment_fetch,
    system_health,
)

__all__ = [
    "data_sync",
    "execution",
    "explanation",
    "meta_control",
    "performance_analysis",
    "portfolio_rebalancing",
    "risk_management",
    "sentiment_fetch",
    "system_health",
]
