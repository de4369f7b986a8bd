"""Simulations: planned once, sent, finished together with their alpha, resumed after a crash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from sqlalchemy import Table, Update, bindparam, func, or_, select, update

from alphafoundry.clock import utc_now
from alphafoundry.errors import StoreError, TakenOver
from alphafoundry.store.alphas import AlphaRecord, put_alpha
from alphafoundry.store.daily_pnl import DailyPnl, put_daily_pnl
from alphafoundry.store.database import Store, carry_out, in_chunks, insert, lock_subject
from alphafoundry.store.runs import data_of, interrupt_dead_runs
from alphafoundry.store.tables import UNFINISHED, RunRow, SimulationRow, SimulationStatus

_DATA = ("market_id", "data_version", "data_until")

_ROWS = cast(Table, SimulationRow.__table__)


def _changing(*given: str, before: Sequence[SimulationStatus], **values: Any) -> Update:
    """Return an UPDATE of the row `simulation` that gives its service where it was `before`.

    Built once: making a statement takes longer than carrying it out.

    given : columns whose values come with each execution
    """
    return (
        update(_ROWS)
        .where(
            _ROWS.c.id == bindparam("simulation"),
            or_(*(_ROWS.c.status == status for status in before)),
        )
        .values({name: bindparam(name) for name in given} | values)
        .returning(_ROWS.c.service)
    )


_NOT_SENT = {"location": None, "sent_at": None}
_ENDING = ("status", "message", "alpha_id", "correlation_to_parent", "gain", "finished_at")
_SENDING = _changing(
    "sent_at",
    before=("planned", "deferred"),
    status="sending",
    attempts=_ROWS.c.attempts + 1,
    message=None,
)
_SENT = _changing("location", before=("sending",), status="sent")
_LOST = _changing("message", before=UNFINISHED, status="planned", **_NOT_SENT)
_REFUSED = _changing(
    "message", before=UNFINISHED, status="planned", attempts=_ROWS.c.attempts - 1, **_NOT_SENT
)
_DEFERRED = _changing(
    "message", before=UNFINISHED, status="deferred", attempts=_ROWS.c.attempts - 1, **_NOT_SENT
)
_FINISHED = _changing(*_ENDING, before=UNFINISHED)
_FINISHED_WITH_ALPHA = _changing(*_ENDING, *_DATA, before=UNFINISHED)

_ONE = select(SimulationRow).where(SimulationRow.id == bindparam("simulation"))

Ending = Literal["complete", "warning", "error", "timeout", "failed", "cancelled"]


@dataclass(frozen=True)
class SimulationPlan:
    """A simulation to be made.

    Attributes
    ----------
    canonical : the same for every expression of equal meaning
    settings : BRAIN's JSON object
    origin : "grammar", "formula", "template", "ollama", "miner" or "import"
    parent_alpha_id, variation : what the miner varied, and how
    """

    canonical: str
    expression: str
    settings: Mapping[str, Any]
    origin: str
    parent_alpha_id: str | None = None
    variation: str | None = None

    @property
    def key(self) -> str:
        """The identity of the simulation within a service."""
        return simulation_key(self.canonical, self.settings)


@dataclass(frozen=True)
class Planned:
    """What `plan_simulations` did.

    Attributes
    ----------
    new : rows that this call made, in the order given
    duplicates : how many plans were there before, in the store or earlier in the list
    """

    new: tuple[SimulationRow, ...]
    duplicates: int


def simulation_key(canonical: str, settings: Mapping[str, Any]) -> str:
    """Return the SHA-256 in hex of the canonical expression and the settings.

    The order of the settings does not matter, and neither does 0 against 0.0.
    """
    plain = json.dumps(
        [canonical, {name: _whole(value) for name, value in settings.items()}],
        sort_keys=True,
        separators=(",", ":"),
    )
    return hashlib.sha256(plain.encode()).hexdigest()


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def plan_simulations(
    store: Store,
    service: str,
    plans: Iterable[SimulationPlan],
    *,
    run_id: int,
    now: datetime | None = None,
) -> Planned:
    """Record simulations that were never planned before; the others are left out and counted.

    Several processes may plan the same at once: each simulation is new for one of them.
    """
    now = now or utc_now()
    given = list(plans)
    by_key: dict[str, SimulationPlan] = {}
    for plan in given:
        by_key.setdefault(plan.key, plan)
    if not by_key:
        return Planned((), 0)
    # Sorted, so that two PostgreSQL transactions meet their common keys in the same order.
    rows = [
        {
            "service": service,
            "key": key,
            "canonical": plan.canonical,
            "expression": plan.expression,
            "settings": dict(plan.settings),
            "origin": plan.origin,
            "run_id": run_id,
            "parent_alpha_id": plan.parent_alpha_id,
            "variation": plan.variation,
            "status": "planned",
            "attempts": 0,
            "created_at": now,
        }
        for key, plan in sorted(by_key.items())
    ]
    with store.write() as session:
        data = data_of(session, run_id)
        rows = [row | data for row in rows]
        made = session.scalars(
            insert(session, SimulationRow)
            .on_conflict_do_nothing(index_elements=["service", "key"])
            .returning(SimulationRow),
            rows,
        )
        new = {simulation.key: simulation for simulation in made}
    kept = tuple(new[key] for key in by_key if key in new)
    return Planned(kept, len(given) - len(kept))


def known_keys(store: Store, service: str, keys: Iterable[str]) -> frozenset[str]:
    """Return those of `keys` that the store holds, in whatever status."""
    found: set[str] = set()
    with store.session() as session:
        for some in in_chunks(keys):
            query = select(SimulationRow.key).where(
                SimulationRow.service == service, SimulationRow.key.in_(some)
            )
            found.update(session.scalars(query))
    return frozenset(found)


def mark_sending(store: Store, simulation_id: int, *, now: datetime | None = None) -> None:
    """Record, before the request, that a planned or deferred simulation is being sent."""
    _change(store, _SENDING, simulation_id, sent_at=now or utc_now())


def mark_sent(store: Store, simulation_id: int, location: str) -> None:
    """Record where the service runs a simulation that was being sent."""
    _change(store, _SENT, simulation_id, location=location)


def mark_back_to_planned(
    store: Store, simulation_id: int, message: str | None = None, *, refused: bool = False
) -> None:
    """Record that the service does not have an unfinished simulation, so it can be sent again.

    Parameters
    ----------
    refused : the request is known not to have been carried out, so it does not count as sent
    """
    _change(store, _REFUSED if refused else _LOST, simulation_id, message=message)


def mark_deferred(store: Store, simulation_id: int, message: str) -> None:
    """Record that the service has refused an unfinished simulation for today."""
    _change(store, _DEFERRED, simulation_id, message=message)


def finish_simulation(
    store: Store,
    simulation_id: int,
    status: Ending,
    *,
    message: str | None = None,
    alpha: AlphaRecord | None = None,
    daily_pnl: DailyPnl | None = None,
    correlation_to_parent: float | None = None,
    gain: float | None = None,
    now: datetime | None = None,
) -> None:
    """Record the end of a simulation, its alpha and its daily PnL: all of it or nothing.

    Parameters
    ----------
    correlation_to_parent : of daily PnL, None for an alpha without parent
    gain : fitness minus the parent's fitness

    Raises
    ------
    TakenOver : the simulation is finished already
    """
    if daily_pnl is not None and alpha is None:
        raise ValueError("daily PnL without the alpha that made it")
    now = now or utc_now()
    found = {} if alpha is None else {name: getattr(alpha, name) for name in _DATA}
    with store.write() as session:
        service = carry_out(
            session,
            _FINISHED if alpha is None else _FINISHED_WITH_ALPHA,
            {
                "simulation": simulation_id,
                "status": status,
                "message": message,
                "alpha_id": None if alpha is None else alpha.alpha_id,
                "correlation_to_parent": correlation_to_parent,
                "gain": gain,
                "finished_at": now,
                **found,
            },
        )
        if service is None:
            raise _wrong_status(store, session.get(SimulationRow, simulation_id), simulation_id)
        if alpha is not None:
            put_alpha(session, service, alpha, now=now)
            if daily_pnl is not None:
                put_daily_pnl(session, service, alpha.alpha_id, daily_pnl)


def claim_abandoned(
    store: Store,
    service: str,
    *,
    run_id: int,
    limit: int | None = None,
    now: datetime | None = None,
) -> list[SimulationRow]:
    """Give the run the unfinished simulations whose own run is over or dead; return them.

    Each is given to one run only, however many ask at once. Runs found dead are marked
    interrupted. A claimed row keeps its status: "sent" has a location to ask, "sending" may or
    may not have reached the service.

    Parameters
    ----------
    limit : most to claim; those that were sent or are being sent come first, then the oldest
    """
    with store.write() as session:
        lock_subject(session, f"abandoned:{service}")
        interrupt_dead_runs(session, now=now or utc_now())
        abandoned = session.scalars(
            select(SimulationRow)
            .where(
                SimulationRow.service == service,
                SimulationRow.status.in_(UNFINISHED),
                SimulationRow.run_id != run_id,
                SimulationRow.run_id.in_(select(RunRow.id).where(RunRow.status != "running")),
            )
            .order_by(SimulationRow.status.in_(("sending", "sent")).desc(), SimulationRow.id)
            .limit(limit)
            .with_for_update()
        )
        claimed = list(abandoned)
        for simulation in claimed:
            simulation.run_id = run_id
        return claimed


def read_simulation(store: Store, simulation_id: int) -> SimulationRow:
    """Return one simulation; StoreError where there is none with this id."""
    with store.session() as session:
        found = session.scalars(_ONE, {"simulation": simulation_id}).one_or_none()
    if found is None:
        raise StoreError(f"{store.label}: there is no simulation {simulation_id}")
    return found


def read_simulations(
    store: Store,
    *,
    run_id: int | None = None,
    service: str | None = None,
    status: Sequence[SimulationStatus] = (),
    limit: int | None = None,
) -> list[SimulationRow]:
    """Return simulations in the order planned; an empty `status` is every status."""
    query = select(SimulationRow).order_by(SimulationRow.id).limit(limit)
    if run_id is not None:
        query = query.where(SimulationRow.run_id == run_id)
    if service is not None:
        query = query.where(SimulationRow.service == service)
    if status:
        query = query.where(SimulationRow.status.in_(status))
    with store.session() as session:
        return list(session.scalars(query))


def read_origins(
    store: Store, service: str, *, status: Sequence[SimulationStatus] = ()
) -> list[tuple[str, str, str | None]]:
    """Return (canonical expression, origin, alpha id) of simulations; reads nothing else.

    status : of those that are meant; empty is every status
    """
    query = select(SimulationRow.canonical, SimulationRow.origin, SimulationRow.alpha_id).where(
        SimulationRow.service == service
    )
    if status:
        query = query.where(SimulationRow.status.in_(status))
    with store.session() as session:
        return [(canonical, origin, one) for canonical, origin, one in session.execute(query)]


def count_simulations(
    store: Store, service: str, *, run_id: int | None = None
) -> dict[SimulationStatus, int]:
    """Return status to number of simulations; a status without any is left out."""
    query = (
        select(SimulationRow.status, func.count())
        .where(SimulationRow.service == service)
        .group_by(SimulationRow.status)
    )
    if run_id is not None:
        query = query.where(SimulationRow.run_id == run_id)
    with store.session() as session:
        return dict(session.execute(query).all())


def _change(store: Store, change: Update, simulation_id: int, **values: Any) -> None:
    with store.write() as session:
        if carry_out(session, change, {"simulation": simulation_id, **values}) is None:
            raise _wrong_status(store, session.get(SimulationRow, simulation_id), simulation_id)


def _wrong_status(store: Store, found: SimulationRow | None, simulation_id: int) -> StoreError:
    if found is None:
        return StoreError(f"{store.label}: there is no simulation {simulation_id}")
    return TakenOver(
        f"{store.label}: simulation {simulation_id} is already {found.status}; "
        "another process may have taken it over"
    )
