"""From the live alphas of the store to intended orders, each with its reasons.

On a session, at 15:40 and with bars up to yesterday:

    chosen = live_strategies(store, service, session=day)      # or seed_strategies(...)
    desk = Rebalancer(panel, chosen.strategies)                # once for many sessions
    plan = desk.rebalance(day, {"SYN001": 120}, equity=1_000_000.0)
    for order in plan.orders:                                  # market on close
        print(order.side, order.quantity, order.symbol)
        print(plan.why(order.symbol))                          # adds up to the quantity
    plan.targets, plan.answer.outcome, plan.notes

`parity_pnl` is what one alpha held alone must earn to equal its simulation, `trade_to_weights` the
plain book that other backtesters are compared with.
"""

from __future__ import annotations

from alphafoundry.trading.portfolio.parity import (
    BookValues,
    ParityPnl,
    parity_pnl,
    trade_to_weights,
)
from alphafoundry.trading.portfolio.programme import (
    Answer,
    Limits,
    Programme,
    Question,
    TradingCosts,
)
from alphafoundry.trading.portfolio.rebalancing import (
    CorporateAction,
    IntendedOrder,
    Rebalancer,
    Rebalancing,
)
from alphafoundry.trading.portfolio.risk_model import RiskModel, fit_risk_model
from alphafoundry.trading.portfolio.signals import SignalHistory
from alphafoundry.trading.portfolio.strategies import (
    LiveStrategy,
    Selection,
    live_strategies,
    seed_strategies,
)

__all__ = [
    "Answer",
    "BookValues",
    "CorporateAction",
    "IntendedOrder",
    "Limits",
    "LiveStrategy",
    "ParityPnl",
    "Programme",
    "Question",
    "Rebalancer",
    "Rebalancing",
    "RiskModel",
    "Selection",
    "SignalHistory",
    "TradingCosts",
    "fit_risk_model",
    "live_strategies",
    "parity_pnl",
    "seed_strategies",
    "trade_to_weights",
]
