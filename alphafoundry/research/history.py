"""What earlier runs found, in the words of generators and miners."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from alphafoundry.expressions import Expression, parse
from alphafoundry.research.crowding import novelty
from alphafoundry.research.proposals import MINER, Outcome
from alphafoundry.research.selection import PnlSeries
from alphafoundry.research.tree_edits import write
from alphafoundry.research.variations import turned
from alphafoundry.simulation.settings import SimulationSettings
from alphafoundry.store import (
    AlphaRow,
    ScreenedRow,
    Store,
    hopeful_alphas,
    read_alphas,
    read_chosen,
    read_daily_pnl,
    read_origins,
    read_simulations,
    read_submissions,
)
from alphafoundry.store.tables import SimulationStatus

FINISHED: tuple[SimulationStatus, ...] = ("complete", "warning", "error", "timeout", "failed")
MOST_COMPARED = 200
CROWD = 0.7

_SETTINGS = {field.alias for field in SimulationSettings.model_fields.values()}


def past_outcomes(store: Store, service: str) -> list[Outcome]:
    """Return every finished simulation of the service with its fitness, oldest first.

    The fitness of a hopeful alpha is multiplied by its novelty, so that a generator that learns
    from it looks for other ideas than those it has, and above all than those submitted.
    """
    rows = read_simulations(store, service=service, status=FINISHED)
    alphas = read_alphas(store, service, [row.alpha_id for row in rows if row.alpha_id])
    new = novelties(store, service)
    return [Outcome(row.expression, _worth(alphas.get(row.alpha_id or ""), new)) for row in rows]


def silent_ids(store: Store, service: str, *, chosen: bool = False) -> set[str]:
    """Return the ids of the alphas that are there because others, or they themselves, were good.

    Those are sums and variations, and with `chosen` also what was simulated since it was strong
    when it was screened.
    """
    strong = (
        {turned_to_earn(row).canonical for row in read_chosen(store, service)} if chosen else set()
    )
    return {
        alpha_id
        for canonical, origin, alpha_id in read_origins(store, service, status=FINISHED)
        if alpha_id and (origin == MINER or canonical in strong)
    }


def turned_to_earn(row: ScreenedRow) -> Expression:
    """Return the expression of a screened idea, that of a loser reversed."""
    expression = parse(row.expression)
    if (row.sharpe or 0.0) < 0.0:
        return parse(write(turned(expression.root)))
    return expression


def novelties(store: Store, service: str) -> dict[str, float]:
    """Return alpha id to novelty, for the 200 fittest hopeful alphas with a known PnL."""
    best = hopeful_alphas(store, service, unmined=False, limit=MOST_COMPARED)
    done = [row.alpha_id for row in read_submissions(store, service, status=("accepted",))]
    fitness = {alpha.alpha_id: alpha.fitness for alpha in best}
    series = _series(store, service, [*fitness, *done], fitness)
    return novelty(
        [series[alpha_id] for alpha_id in fitness if alpha_id in series],
        [series[alpha_id] for alpha_id in done if alpha_id in series],
        crowd=CROWD,
    )


def simulated_alphas(store: Store, service: str) -> set[tuple[str, SimulationSettings]]:
    """Return (canonical expression, settings) of everything that was ever planned."""
    return {
        (row.canonical, settings_of(row.settings))
        for row in read_simulations(store, service=service)
    }


def settings_of(brain_settings: Mapping[str, Any]) -> SimulationSettings:
    """Return the settings of a BRAIN object; keys that only BRAIN adds are left out."""
    return _read_settings(
        json.dumps({key: value for key, value in brain_settings.items() if key in _SETTINGS})
    )


@lru_cache(maxsize=256)
def _read_settings(text: str) -> SimulationSettings:
    """Read settings once: a search goes through all its alphas in every round.

    Known by their JSON, in which true is no 1 and a list may stand.
    """
    return SimulationSettings.model_validate(json.loads(text))


def _worth(alpha: AlphaRow | None, new: Mapping[str, float]) -> float | None:
    if alpha is None or alpha.fitness is None:
        return None
    return alpha.fitness * new.get(alpha.alpha_id, 1.0)


def _series(
    store: Store, service: str, alpha_ids: Iterable[str], fitness: Mapping[str, float | None]
) -> dict[str, PnlSeries]:
    return {
        alpha_id: PnlSeries(
            alpha_id,
            daily.dates,
            daily.values,
            value if (value := fitness.get(alpha_id)) is not None else math.nan,
        )
        for alpha_id, daily in read_daily_pnl(store, service, alpha_ids).items()
    }
