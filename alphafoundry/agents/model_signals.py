"""What a champion foretells of every name, as a strategy that a desk may weigh beside its alphas.

A model saw the days it was learned from, so nothing that it says of them counts: it holds nothing
until its data end, and its rank correlation of those days is taken as 0. So it earns its weight by
days that nobody had seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alphafoundry.agents import workflow_signals
from alphafoundry.market.panel import Panel
from alphafoundry.models import predictions, read_model, samples_of
from alphafoundry.simulation.settings import SimulationSettings
from alphafoundry.store.model_tables import ModelRow
from alphafoundry.trading.portfolio import LiveStrategy
from alphafoundry.trading.portfolio.signals import signal_history

Array = NDArray[np.float64]


def model_strategy(row: ModelRow, strategies: Sequence[LiveStrategy]) -> LiveStrategy:
    """Return a model as a strategy.

    strategies : those that trade, all that it reads among them
    """
    by_name = {one.alpha_id: one for one in strategies}
    return LiveStrategy(
        alpha_id=row.model,
        expression=f"{row.kind}({', '.join(row.features)})",
        settings=SimulationSettings(),
        data_until=row.data_until,
        verdict="unproven",
        rule={
            "model": {"kind": row.kind, "text": row.text},
            "features": [by_name[name].to_json() for name in row.features],
            "counts_from": row.data_until.isoformat(),
        },
    )


def is_model(strategy: LiveStrategy) -> bool:
    """Return whether a strategy is what a model foretells."""
    return strategy.rule is not None and "model" in strategy.rule


def rule_weights(panel: Panel, rule: Mapping[str, Any]) -> Array:
    """Return the weights of what is no alpha: a workflow's strategy, an algorithm or a model.

    Shape (n_days, n_instruments); each day's absolute weights add to 1, or to 0 where nothing is
    held. Row t follows from bars up to t. A model holds its forecasts less their mean, from the
    day after its data end.

    Raises what `signal_history` and `workflow_signals.rule_weights` raise.
    """
    if "algorithm" in rule:
        # The sandbox and its arena are loaded for a desk that trades an algorithm alone.
        from alphafoundry.agents import algorithm_signals

        return algorithm_signals.rule_weights(panel, rule)
    if "model" not in rule:
        return workflow_signals.rule_weights(panel, rule)
    features = [LiveStrategy.from_json(one) for one in rule["features"]]
    scores = signal_history(panel, features, rules=rule_weights).scores
    days = len(panel.dates)
    start = int(np.searchsorted(panel.dates, np.datetime64(rule["counts_from"]), side="right"))
    model = read_model(rule["model"]["kind"], rule["model"]["text"])
    said = predictions(model, samples_of(panel, scores, days=days), start, days)
    weights = np.zeros((days, len(panel.symbols)))
    known = said != 0.0
    means = said.sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1)
    held = np.where(known, said - means, 0.0)
    gross = np.abs(held).sum(axis=1, keepdims=True)
    np.divide(held, gross, out=weights[start:], where=gross > 0.0)
    return weights
