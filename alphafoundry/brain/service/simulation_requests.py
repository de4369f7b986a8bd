"""Carrying out a request: a regular alpha, or a SUPER alpha over the alphas that are stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np

from alphafoundry.brain.service.choices import SimulationRequest
from alphafoundry.brain.service.data_sets import data_sets_of
from alphafoundry.brain.service.self_correlation import related_alphas
from alphafoundry.brain.service.service_store import State
from alphafoundry.errors import ExpressionError
from alphafoundry.expressions import Expression, parse
from alphafoundry.simulation.result import SimulationResult
from alphafoundry.simulation.settings import SimulationSettings
from alphafoundry.simulation.simulator import Simulator
from alphafoundry.simulation.stored_alphas import Property, StoredAlpha, setting_properties
from alphafoundry.simulation.super_settings import SuperSettings
from alphafoundry.simulation.super_simulation import SuperResult, simulate_super

SettingsT = TypeVar("SettingsT", bound=SimulationSettings)


class Simulations:
    """Simulates on one market, over the alphas of one state; safe to share among threads."""

    def __init__(self, simulator: Simulator, state: State) -> None:
        self._simulator = simulator
        self._state = state
        self._earlier: dict[str, Simulator] = {}

    def simulate(self, request: SimulationRequest) -> SimulationResult:
        """Return what a request gives; see `simulate` and `simulate_super` for the errors."""
        if request.selection is None:
            return self._simulator.simulate(request.expression, request.settings)
        assert isinstance(request.settings, SuperSettings)
        selection = parse(request.selection)
        alphas = stored_alphas(self._state, correlated="self_correlation" in selection.fields)
        return self._super(alphas, request.settings, selection, request.expression)

    def again(self, document: Mapping[str, Any]) -> SimulationResult:
        """Return the result of an alpha once more; a SUPER alpha keeps its components.

        It ends on the day on which the alpha's data ended, whatever was added to the market
        since.
        """
        simulator = self._as_of(document.get("dataUntil"))
        if document["type"] != "SUPER":
            settings = _settings(SimulationSettings, document)
            return simulator.simulate(document["regular"]["code"], settings)
        found = (self._state.alphas.find(alpha) for alpha in document["components"])
        alphas = [_stored(component) for component in found if component is not None]
        settings = _settings(SuperSettings, document)
        return self._super(
            alphas, settings, parse("1"), document["combo"]["code"], simulator=simulator
        )

    def _as_of(self, day: str | None) -> Simulator:
        panel = self._simulator.panel
        if day is None or np.datetime64(day, "D") >= panel.dates[-1]:
            return self._simulator
        if day not in self._earlier:
            self._earlier.clear()
            self._earlier[day] = Simulator(panel.until(day))
        return self._earlier[day]

    def _super(
        self,
        alphas: Sequence[StoredAlpha],
        settings: SuperSettings,
        selection: Expression,
        combo: str,
        *,
        simulator: Simulator | None = None,
    ) -> SimulationResult:
        on = simulator or self._simulator
        return simulate_super(
            alphas,
            on.panel,
            settings,
            selection=selection,
            combo=combo,
            evaluator=on.evaluators,
            keep_positions=False,
        )


def place_of_error(request: SimulationRequest, problem: ExpressionError) -> str:
    """Return which text of a request an error is in: regular, selection or combo."""
    if request.selection is None:
        return "regular"
    return "selection" if problem.expression == request.selection else "combo"


def fields_of(result: SimulationResult) -> frozenset[str]:
    """Return the data fields that an alpha, or the components of a SUPER alpha, use."""
    if not isinstance(result, SuperResult):
        return result.expression.fields
    return frozenset().union(*(alpha.expression.fields for alpha in result.components))


def stored_alphas(state: State, *, correlated: bool = False) -> list[StoredAlpha]:
    """Return the regular alphas of the account, oldest first, equal ones once.

    correlated : also find the largest correlation with a submitted alpha where it is not known
    """
    found = []
    for document in state.alphas.regular():
        alpha = document["id"]
        known = document["is"].get("selfCorrelation")
        if correlated and known is None:
            known = max((other.correlation for other in related_alphas(state, alpha)), default=0.0)
        found.append(_stored(document, self_correlation=known))
    return found


def _stored(document: Mapping[str, Any], **more: Property) -> StoredAlpha:
    settings = _settings(SimulationSettings, document)
    expression = _parsed(document["regular"]["code"])
    statistics = document["is"]
    fields = expression.fields
    submitted = document["dateSubmitted"]
    properties: dict[str, Property] = {
        "id": document["id"],
        "own": 1.0,
        "favorite": float(document["favorite"]),
        "name": document["name"] or "",
        "category": document["category"] or "NONE",
        "color": document["color"] or "NONE",
        "status": document["status"],
        "os_start_date": submitted[:10] if submitted else None,
        "turnover": statistics["turnover"],
        "long_count": statistics["longCount"],
        "short_count": statistics["shortCount"],
        "operator_count": float(expression.operator_count),
        "datafield_count": float(len(fields)),
        "tags": document["tags"],
        "datafields": fields,
        **data_sets_of(fields),
        "classifications": [found["name"] for found in document["classifications"]],
        "competitions": (),
        **{name: statistics[name] for name in _STATISTICS},
        **setting_properties(settings),
        **more,
    }
    return StoredAlpha(document["id"], expression, settings, properties)


_STATISTICS = ("sharpe", "fitness", "returns", "drawdown", "margin", "pnl")


@lru_cache(maxsize=10_000)
def _parsed(code: str) -> Expression:
    return parse(code)


def _settings(kind: type[SettingsT], document: Mapping[str, Any]) -> SettingsT:
    known = kind.model_fields.values()
    return kind.model_validate(
        {field.alias: document["settings"][field.alias] for field in known if field.alias}
    )
