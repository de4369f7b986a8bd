"""model_innovation: learns models from the alphas' scores, and opens the vault for the best."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal

from pydantic import Field

from alphafoundry.agents.floor import TradingFloor, floor_of
from alphafoundry.agents.hours import utc
from alphafoundry.agents.model_signals import is_model
from alphafoundry.agents.registry import AgentContext, AgentResult, Parameters, agent
from alphafoundry.agents.strategy_book import take_up
from alphafoundry.models import (
    MOST_ROWS,
    Bet,
    Kind,
    candidates,
    missing_package,
    samples_of,
    search,
)
from alphafoundry.seeds import seed_number
from alphafoundry.store.model_tables import ModelRow
from alphafoundry.store.models import read_models, record_model

OWN = "model_innovation"
LEAST_DAYS = 300
ROWS_IN_SIMULATION = 20_000
_HALF_SPREAD = 0.5e-4
"""Fraction of a trade for each basis point of the whole spread that is expected."""


class InnovationParameters(Parameters):
    """Parameters of model_innovation.

    Attributes
    ----------
    innovation_mode : settings tried of each type: one conservative, two exploratory, four
        aggressive
    model_types : ridge is always among them; "lightgbm" and "ensemble" need the extra `models`;
        "lstm" and "transformer" need the extra `deep`
    validation_split : share of the days that is the vault
    max_iterations : trees, or steps of learning, of a model at most
    days : of samples, the last ones
    every_sessions : between two searches
    most_in_simulation : searches of a whole simulated desk
    """

    innovation_mode: Literal["conservative", "exploratory", "aggressive"] = "exploratory"
    model_types: tuple[Kind, ...] = ("ridge",)
    validation_split: float = Field(0.2, ge=0.1, le=0.5)
    max_iterations: int = Field(100, ge=1)
    days: int = Field(750, ge=LEAST_DAYS)
    every_sessions: int = Field(20, ge=1)
    most_in_simulation: int = Field(2, ge=0)


@agent(
    OWN,
    parameters=InnovationParameters,
    seconds=300.0,
    inputs_version=lambda given: str(floor_of(given).data_until),
)
def model_innovation(context: AgentContext) -> AgentResult:
    """Search among models where enough sessions have gone by since the last search."""
    floor, given = floor_of(context), context.parameters
    if floor.data_until is None:
        return AgentResult("no bars yet")
    take_up(floor, context.now)
    if all(map(is_model, floor.strategies)):
        return AgentResult("no strategy trades, so there is nothing to learn from")
    known = read_models(floor.store, floor.desk)
    reason = _not_yet(floor, given, known)
    if reason is not None:
        return AgentResult(reason)
    return _search(context, floor, given, known)


def _not_yet(floor: TradingFloor, given: InnovationParameters, known: list[ModelRow]) -> str | None:
    assert floor.data_until is not None
    end = floor.days_to(floor.data_until)
    if end < LEAST_DAYS:
        return f"{end} days are too few to learn from"
    if known:
        left = given.every_sessions - (end - floor.days_to(known[-1].data_until))
        if left > 0:
            return f"the next search is {left} sessions away"
    if floor.simulated and len(known) >= given.most_in_simulation:
        return f"the simulation's {given.most_in_simulation} searches are done"
    return None


def _search(
    context: AgentContext,
    floor: TradingFloor,
    given: InnovationParameters,
    known: list[ModelRow],
) -> AgentResult:
    assert floor.data_until is not None
    panel = floor.panel.until(floor.data_until)
    history = floor.rebalancer().history
    # A model learns from alphas, not from what another model makes of them.
    places = [n for n, one in enumerate(history.strategies) if not is_model(one)]
    samples = samples_of(panel, history.scores[places], days=given.days)
    asked = dict.fromkeys(given.model_types)
    kinds = [one for one in asked if missing_package(one) is None]
    left_out = [one for one in asked if one not in kinds]
    tried = candidates(kinds, given.innovation_mode, most_iterations=given.max_iterations)
    before = known[-1].trials if known else 0
    found = search(
        samples,
        tried,
        panel.fields["returns"][-len(samples) :],
        vault_share=given.validation_split,
        opening=len(known) + 1,
        earlier_trials=before,
        cost=_HALF_SPREAD * floor.rules.costs.spread_bps,
        seed=seed_number(context.seed, OWN, floor.data_until.isoformat()),
        most_rows=ROWS_IN_SIMULATION if floor.simulated else MOST_ROWS,
    )
    name = f"{found.chosen.kind}-{floor.data_until}"
    vault = found.vault
    evidence: dict[str, Any] = {
        "vault": {key: _plain(value) for key, value in asdict(vault).items()},
        "walk_forward": {key: round(value, 5) for key, value in found.information.items()},
    }
    record_model(
        floor.store,
        floor.desk,
        {
            "model": name,
            "kind": found.chosen.kind,
            "settings": dict(found.chosen.settings),
            "features": [history.strategies[place].alpha_id for place in places],
            "text": found.model.to_text(),
            "state": "shadow" if vault.passed else "refused",
            "data_until": floor.data_until,
            "data_version": panel.fingerprint,
            "opening": len(known) + 1,
            "trials": before + found.trials,
            "bet": asdict(Bet()),
            "evidence": evidence,
            "changed_at": utc(context.now),
            "reason": vault.reason,
            "synthetic": panel.synthetic,
        },
    )
    became = "goes into the shadow" if vault.passed else "is refused"
    told = f"of {found.trials} candidates {found.chosen} {became}: {vault.reason}"
    if left_out:
        told += f"; left out: {', '.join(left_out)}"
    return AgentResult(told, figures={"model": name, "trials": found.trials, **evidence["vault"]})


def _plain(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value
