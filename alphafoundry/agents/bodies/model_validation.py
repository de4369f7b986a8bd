"""model_validation: lets frozen models foretell each day, and judges them by what comes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from alphafoundry.agents.floor import TradingFloor, floor_of
from alphafoundry.agents.hours import utc
from alphafoundry.agents.model_signals import model_strategy
from alphafoundry.agents.registry import AgentContext, AgentResult, Parameters, agent
from alphafoundry.agents.retirement import ONCE_IN, SHRUNK
from alphafoundry.agents.strategy_book import set_model_state, set_state, take_up, trade_live
from alphafoundry.evidence import cusum_threshold, lower_cusum
from alphafoundry.models import (
    ENOUGH,
    HORIZON,
    WINDOW,
    Bet,
    Samples,
    predictions,
    rank_information,
    read_model,
    samples_of,
)
from alphafoundry.store.model_tables import ModelRow, ModelState
from alphafoundry.store.models import (
    change_model,
    last_prediction,
    open_predictions,
    read_information,
    read_models,
    record_predictions,
    settle_prediction,
)
from alphafoundry.store.strategies import propose_strategies, read_strategies

OWN = "model_validation"
ALLOWANCE = 0.1
"""Deviations of a day's rank correlation that a champion may lie below half of its vault's mean."""

_MARGIN = WINDOW
"""Days of scores before the first forecast, which a network looks at."""


class ValidationParameters(Parameters):
    """Parameters of model_validation.

    Attributes
    ----------
    shadow_sessions : fresh days before a model may become champion, at least
    most_shadow_sessions : after which one that has not won is retired
    """

    shadow_sessions: int = Field(20, ge=5)
    most_shadow_sessions: int = Field(250, ge=20)


@agent(
    OWN,
    parameters=ValidationParameters,
    seconds=20.0,
    inputs_version=lambda given: str(floor_of(given).data_until),
)
def model_validation(context: AgentContext) -> AgentResult:
    """Foretell the new days, settle those that have come, and promote, demote or retire."""
    floor, given = floor_of(context), context.parameters
    if floor.data_until is None:
        return AgentResult("no bars yet")
    take_up(floor, context.now)
    rows = read_models(floor.store, floor.desk, "shadow", "champion")
    if not rows or not floor.strategies:
        return AgentResult("no model is in the shadow")
    lines = []
    for row in list(rows):
        missing = set(row.features) - {one.alpha_id for one in floor.strategies}
        if missing:
            told = f"it reads {', '.join(sorted(missing))}, which trade no more"
            lines.append(_set(floor, row, "retired", told, context.now))
            rows.remove(row)
    if rows:
        oldest = min(_foretold_to(floor, row) for row in rows)
        samples, places = _samples(floor, oldest)
        for row in rows:
            _foretell(floor, row, samples, places)
            _settle(floor, row, samples)
        lines += _judge(floor, given, rows, context.now)
    champion = next(iter(read_models(floor.store, floor.desk, "champion")), None)
    told = f"champion {champion.model}" if champion else "no champion"
    return AgentResult(
        "; ".join((told, *lines)), figures={"models": len(rows), "changes": len(lines)}
    )


def _foretold_to(floor: TradingFloor, row: ModelRow) -> date:
    return last_prediction(floor.store, floor.desk, row.model) or row.data_until


def _samples(floor: TradingFloor, oldest: date) -> tuple[Samples, Mapping[str, int]]:
    """Return the samples from some days before `oldest` on, and alpha id to its feature."""
    assert floor.data_until is not None
    panel = floor.panel.until(floor.data_until)
    since = int((panel.dates > np.datetime64(oldest)).sum())
    history = floor.rebalancer().history
    places = {one.alpha_id: place for place, one in enumerate(history.strategies)}
    return samples_of(panel, history.scores, days=since + HORIZON + _MARGIN), places


def _foretell(
    floor: TradingFloor, row: ModelRow, samples: Samples, places: Mapping[str, int]
) -> None:
    """Write what a model foretells on every day since it last did."""
    known = np.datetime64(_foretold_to(floor, row))
    start = int(np.searchsorted(samples.dates, known, side="right"))
    if start == len(samples):
        return
    chosen = replace(samples, features=samples.features[:, :, [places[n] for n in row.features]])
    told = predictions(read_model(row.kind, row.text), chosen, start, len(samples))
    record_predictions(
        floor.store,
        floor.desk,
        [
            {
                "model": row.model,
                "day": day,
                "forecasts": values.astype("<f4").tobytes(),
                "information": None,
            }
            for day, values in zip(samples.dates[start:].tolist(), told, strict=True)
        ],
    )


def _settle(floor: TradingFloor, row: ModelRow, samples: Samples) -> None:
    """Hold predictions against what came, for the days of which it is known."""
    last: date = samples.dates[-1 - HORIZON].item()
    for one in open_predictions(floor.store, floor.desk, row.model, until=last):
        place = int(np.searchsorted(samples.dates, np.datetime64(one.day)))
        if samples.dates[place] != np.datetime64(one.day):
            continue
        forecasts: NDArray[np.float64] = np.frombuffer(one.forecasts, "<f4").astype(np.float64)
        found = rank_information(forecasts[None], samples.target[place][None])[0]
        # A day on which nothing can be told counts as one on which nothing was foretold.
        value = float(found) if np.isfinite(found) else 0.0
        settle_prediction(floor.store, floor.desk, row.model, one.day, value)


def _judge(
    floor: TradingFloor, given: ValidationParameters, rows: list[ModelRow], now: int
) -> list[str]:
    lines = []
    known = {row.model: _information(floor, row) for row in rows}
    champion = next((row for row in rows if row.state == "champion"), None)
    if champion is not None:
        decline = _decline(champion, known[champion.model])
        if decline is not None:
            lines.append(_set(floor, champion, "retired", decline, now))
            champion = None
    for row in [one for one in rows if one.state == "shadow"]:
        bet = _bet(row, known, champion)
        change_model(floor.store, floor.desk, row.model, {"bet": asdict(bet)})
        rival = "nothing" if champion is None else champion.model
        if bet.is_won and bet.days >= given.shadow_sessions:
            if champion is not None:
                told = f"{row.model} takes its place"
                lines.append(_set(floor, champion, "retired", told, now))
            told = f"wealth {bet.wealth:.1f} of {ENOUGH:g} in {bet.days} fresh days against {rival}"
            lines.append(_set(floor, row, "champion", told, now, bet))
            _propose(floor, row, now)
            # Whoever is left has to win against the new one, from its first day on.
            return lines
        if bet.days >= given.most_shadow_sessions:
            told = f"wealth {bet.wealth:.1f} of {ENOUGH:g} after {bet.days} fresh days"
            lines.append(_set(floor, row, "retired", told, now, bet))
    return lines


def _information(floor: TradingFloor, row: ModelRow) -> dict[date, float]:
    """Return day to rank correlation, of the days since a model came into the shadow last."""
    found = read_information(floor.store, floor.desk, row.model)
    since = row.evidence.get("back_since", "")
    return {day: value for day, value in found.items() if day.isoformat() > since}


def _propose(floor: TradingFloor, row: ModelRow, now: int) -> None:
    """Let the new champion's forecasts incubate as any other strategy.

    Those of one that was retired and has won again do so anew.
    """
    reason = "the forecasts of the champion"
    retired = read_strategies(floor.store, floor.desk, state="retired")
    if row.model in {one.alpha_id for one in retired}:
        set_state(
            floor,
            row.model,
            "incubating",
            actor=OWN,
            now=now,
            reason=f"{reason}, which has won again",
            evidence={},
            found_on=floor.data_until,
        )
        return
    propose_strategies(
        floor.store,
        floor.desk,
        [
            {
                "alpha_id": row.model,
                "strategy": model_strategy(row, floor.strategies).to_json(),
                "state": "incubating",
                "found_on": floor.data_until,
                "data_until": row.data_until,
                "fitness": None,
                "sharpe": None,
                "trials": row.trials,
                "changed_at": utc(now),
                "reason": reason,
                "evidence": {},
                "synthetic": floor.panel.synthetic,
            }
        ],
    )


def _bet(
    row: ModelRow, known: Mapping[str, Mapping[date, float]], champion: ModelRow | None
) -> Bet:
    """Return the bet on a model against the champion, or against nothing, on its fresh days.

    It begins anew with each champion: what was won against another says nothing.
    """
    bet = Bet()
    own = known[row.model]
    rival = known[champion.model] if champion is not None else None
    for day in sorted(own):
        if rival is None:
            bet = bet.after(own[day])
        elif day in rival:
            bet = bet.after(own[day] - rival[day])
    return bet


def _decline(row: ModelRow, known: Mapping[date, float]) -> str | None:
    """Return why a champion is demoted, None where it stays."""
    vault = row.evidence["vault"]
    if not known or not vault["deviation"] > 0.0:
        return None
    values = [known[day] for day in sorted(known)]
    expected = SHRUNK * vault["information"]
    found = lower_cusum(values, mean=expected, deviation=vault["deviation"], allowance=ALLOWANCE)
    threshold = cusum_threshold(allowance=ALLOWANCE, run_length=ONCE_IN)
    if found <= threshold:
        return None
    mean = float(np.mean(values))
    return (
        f"CUSUM {found:.1f} over {threshold:.1f}: rank correlation {mean:+.3f} in {len(values)} "
        f"days, expected {expected:+.3f}"
    )


def _set(
    floor: TradingFloor,
    row: ModelRow,
    state: ModelState,
    reason: str,
    now: int,
    bet: Bet | None = None,
) -> str:
    """Change the state of a model, with a decision's row; return a line."""
    evidence: dict[str, Any] = dict(row.evidence)
    if bet is not None:
        evidence["bet"] = asdict(bet)
    told = set_model_state(
        floor.store,
        floor.desk,
        row.model,
        state,
        actor=OWN,
        at=utc(now),
        reason=reason,
        evidence=evidence,
    )
    if state == "retired" and row.model in {one.alpha_id for one in floor.strategies}:
        trade_live(floor)
    return told
