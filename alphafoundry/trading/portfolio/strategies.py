"""Which alphas of the store the desk may trade on a session, and which not and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np

from alphafoundry.simulation.correlation import pnl_correlation
from alphafoundry.simulation.settings import SimulationSettings
from alphafoundry.store import (
    AlphaRow,
    DailyPnl,
    Store,
    VerdictRow,
    best_alphas,
    hopeful_alphas,
    read_daily_pnl,
    read_opening,
    read_verdicts,
)

MOST_ALIKE = 0.7
"""Two alphas whose daily PnL is more correlated than this are one idea; the better one trades."""

_CANDIDATES = 10
"""Rows looked at for each strategy wanted: most of the best are variants of one idea."""


@dataclass(frozen=True)
class LiveStrategy:
    """An alpha, or another rule with a position in every name, that the desk trades.

    Attributes
    ----------
    alpha_id, expression, settings : as the store has them; the delay is 1
    data_until : last day of the data that its search knew, before the session
    verdict : "found" or "unproven"; "found" only where the days that proved it are past
    seeded : whether it was put live on a fresh store without an incubation
    rule : of what is no alpha: plain values from which its weights are made. `expression` then
        tells it to people
    """

    alpha_id: str
    expression: str
    settings: SimulationSettings
    data_until: date
    verdict: str
    seeded: bool = False
    rule: Mapping[str, Any] | None = None

    @property
    def counts_from(self) -> date | None:
        """Return the last day on which it holds nothing because it was learned from it, or None."""
        given = None if self.rule is None else self.rule.get("counts_from")
        return None if given is None else date.fromisoformat(given)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "alpha_id": self.alpha_id,
            "expression": self.expression,
            "settings": self.settings.to_brain(),
            "data_until": self.data_until.isoformat(),
            "verdict": self.verdict,
            "seeded": self.seeded,
            **({} if self.rule is None else {"rule": dict(self.rule)}),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> LiveStrategy:
        """Return the one that `to_json` gave."""
        return cls(
            **{
                **values,
                "settings": SimulationSettings.model_validate(values["settings"]),
                "data_until": date.fromisoformat(values["data_until"]),
            }
        )


@dataclass(frozen=True)
class Selection:
    """The strategies of a session, the best first, and alpha id to the reason of each refusal."""

    strategies: tuple[LiveStrategy, ...]
    refused: Mapping[str, str] = field(default_factory=dict)


def live_strategies(
    store: Store,
    service: str,
    *,
    session: date,
    most: int = 10,
    market_id: str | None = None,
    verdicts: Mapping[str, str] | None = None,
    hopeful: bool = True,
    seeded: bool = False,
) -> Selection:
    """Return the alphas that may trade on `session`, by fitness, each unlike those before it.

    Refused are: alphas of delay 0, since their data end with the close at which they trade; alphas
    whose data reach to the session or beyond, or whose last day is not known; those of another
    market; those with a verdict other than "found" and "unproven"; and those whose daily PnL
    before the session is more than 0.7 correlated with that of a better one.

    Parameters
    ----------
    service : whose alphas, the name that the store keeps them under
    most : strategies at most
    market_id : only alphas simulated on this market; None takes those of any
    verdicts : alpha id to verdict where the caller knows more than the openings, such as
        "not confirmed" for what moves like a refuted finalist; it counts before that of the store
    hopeful : only those that a search called hopeful
    seeded : label of the strategies
    """
    looked_at = most * _CANDIDATES
    rows = (
        hopeful_alphas(store, service, unmined=False, limit=looked_at)
        if hopeful
        else best_alphas(store, service, by="fitness", limit=looked_at)
    )
    ids = [row.alpha_id for row in rows]
    judged = read_verdicts(store, service, ids)
    pnl = read_daily_pnl(store, service, ids)
    chosen: list[LiveStrategy] = []
    refused: dict[str, str] = {}
    for row in rows:
        if len(chosen) == most:
            break
        verdict = _verdict(store, judged.get(row.alpha_id), session)
        if verdicts is not None:
            verdict = verdicts.get(row.alpha_id, verdict)
        reason = _refusal(row, verdict, session, market_id)
        if reason is None:
            reason = _likeness(row.alpha_id, [one.alpha_id for one in chosen], pnl, session)
        if reason is not None:
            refused[row.alpha_id] = reason
            continue
        assert row.data_until is not None
        chosen.append(
            LiveStrategy(
                alpha_id=row.alpha_id,
                expression=row.expression,
                settings=_settings(row),
                data_until=row.data_until,
                verdict=verdict,
                seeded=seeded,
            )
        )
    return Selection(tuple(chosen), refused)


def seed_strategies(
    store: Store,
    service: str,
    *,
    session: date,
    most: int = 5,
    market_id: str | None = None,
    verdicts: Mapping[str, str] | None = None,
) -> Selection:
    """Return what a fresh desk starts with: the best alphas of a short search, labelled as seeded.

    The rules are those of `live_strategies`, but alphas need not be hopeful: a short search calls
    few of them so. `session` is the first one that will be traded.
    """
    return live_strategies(
        store,
        service,
        session=session,
        most=most,
        market_id=market_id,
        verdicts=verdicts,
        hopeful=False,
        seeded=True,
    )


def _settings(row: AlphaRow) -> SimulationSettings:
    """Return the settings of an alpha, without what its service adds, such as its days."""
    known = {
        name
        for field_name, field in SimulationSettings.model_fields.items()
        for name in (field_name, field.alias)
    }
    return SimulationSettings.model_validate(
        {name: value for name, value in row.settings.items() if name in known}
    )


def _verdict(store: Store, row: VerdictRow | None, session: date) -> str:
    if row is None or row.verdict is None:
        return "unproven"
    if row.verdict == "found" and read_opening(store, row.opening_id)[0].sealed_to >= session:
        # Days that the desk has not reached yet cannot speak for an alpha.
        return "unproven"
    return row.verdict


def _refusal(row: AlphaRow, verdict: str, session: date, market_id: str | None) -> str | None:
    if row.settings.get("delay", 1) != 1:
        return "its delay is 0: its data end with the close at which it would trade"
    if row.data_until is None:
        return "the last day of its data is not known; simulate it again"
    if row.data_until >= session:
        return f"its data reach to {row.data_until}, not before the session {session}"
    if market_id is not None and row.market_id != market_id:
        return f"it belongs to another market ({row.market_id or 'unknown'})"
    if verdict not in ("found", "unproven"):
        return f"its verdict is {verdict!r}"
    return None


def _likeness(
    alpha_id: str, chosen: list[str], pnl: Mapping[str, DailyPnl], session: date
) -> str | None:
    """Return why an alpha is no idea of its own; one whose PnL is not known is taken as one."""
    mine = pnl.get(alpha_id)
    if mine is None:
        return None
    before = mine.dates < np.datetime64(session, "D")
    for other_id in chosen:
        other = pnl.get(other_id)
        if other is None:
            continue
        past = other.dates < np.datetime64(session, "D")
        alike = pnl_correlation(
            mine.dates[before], mine.values[before], other.dates[past], other.values[past]
        )
        if alike > MOST_ALIKE:
            return f"its daily PnL is {alike:.2f} correlated with that of {other_id}"
    return None
