"""What the best trials of the store's workflows say of every name, as signals that a desk weighs.

A workflow searches parameters of strategies of its own instruments. On the desk's market such a
strategy gives each name a position; these, scaled to a book of 1, stand beside the alphas' books
and count by what they have foretold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alphafoundry.finance.bars import Bars
from alphafoundry.market.panel import Panel
from alphafoundry.simulation.settings import SimulationSettings
from alphafoundry.store import Store
from alphafoundry.store.trials import BestTrial, best_trials
from alphafoundry.trading.portfolio import LiveStrategy, Selection

MOST = 5
"""Strategies of workflows that trade beside the alphas."""


def live_workflows(
    store: Store, *, session: date, market_id: str | None, most: int = MOST
) -> Selection:
    """Return the best trial of each strategy of each workflow that may trade on `session`.

    Refused are trials on another market, on data that reach to the session or beyond, and
    strategies of a user's own module, whose code may have changed since. The order is that of
    their Sharpe ratios, which a search has chosen: no verdict stands behind them.
    """
    chosen: list[LiveStrategy] = []
    refused: dict[str, str] = {}
    for trial in best_trials(store):
        name = f"{trial.workflow}.{_told(trial)}"
        reason = _refusal(trial, session, market_id)
        if reason is not None:
            refused[name] = reason
        elif len(chosen) < most:
            assert trial.data_until is not None
            chosen.append(
                LiveStrategy(
                    alpha_id=_name(trial),
                    expression=_told(trial),
                    settings=SimulationSettings(),
                    data_until=trial.data_until,
                    verdict="unproven",
                    seeded=True,
                    rule={"strategy": trial.strategy, "parameters": trial.parameters},
                )
            )
    return Selection(tuple(chosen), refused)


def rule_weights(panel: Panel, rule: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return what a workflow's strategy would hold of every name, shape (n_days, n_instruments).

    Each day's absolute weights add to 1, or to 0 where it holds nothing; row t follows from bars
    up to t. Names without a close on the day are left out.

    rule : `LiveStrategy.rule`

    Raises BacktestError or ExpressionError where the strategy cannot run on the market.
    """
    # What workflows are made of is loaded for a desk that trades one alone.
    from alphafoundry.backtest import signals_of
    from alphafoundry.coordinator.strategies import source_from_json

    strategy = source_from_json(rule["strategy"]).strategy()
    bars = Bars.from_panel(panel)
    held = np.nan_to_num(signals_of(bars, strategy, rule["parameters"]))
    held = np.where(np.isfinite(bars.close), held, 0.0)
    gross = np.abs(held).sum(axis=1, keepdims=True)
    weights: NDArray[np.float64] = np.divide(
        held, gross, out=np.zeros_like(held), where=gross > 0.0
    )
    return weights


def _refusal(trial: BestTrial, session: date, market_id: str | None) -> str | None:
    if ":" in trial.strategy["type"]:
        return "its strategy is a module of the user's own, whose code may have changed since"
    if trial.data_until is None:
        return "the last day of its data is not known; run the workflow again"
    if trial.data_until >= session:
        return f"its data reach to {trial.data_until}, not before the session {session}"
    if market_id is not None and trial.market_id != market_id:
        return f"it belongs to another market ({trial.market_id or 'unknown'})"
    return None


def _name(trial: BestTrial) -> str:
    """Return a name that no other strategy has: a workflow may hold several expressions."""
    template = trial.strategy["template"]
    own = "" if template is None else f" {hashlib.sha256(template.encode()).hexdigest()[:6]}"
    return f"workflow {trial.workflow}/{trial.strategy['type']}{own}"


def _told(trial: BestTrial) -> str:
    given = ", ".join(f"{name}={value}" for name, value in sorted(trial.parameters.items()))
    return f"{trial.strategy['template'] or trial.strategy['type']}({given})"
