"""Workflows: their phases, trials, measurements and alerts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import func, select, update

from alphafoundry.clock import utc_now
from alphafoundry.errors import StoreError
from alphafoundry.store.database import Store, insert
from alphafoundry.store.runs import data_of
from alphafoundry.store.tables import AlertRow, PhaseRow, PhaseStatus, SampleRow, TrialRow


@dataclass(frozen=True)
class TrialRecord:
    """What became of one trial; the fields are those of `TrialRow`."""

    number: int
    batch: int
    seed: int
    item: Any
    metrics: Mapping[str, Any] | None
    attempts: int
    message: str | None
    strategy: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class BestTrial:
    """The best trial of one strategy of a workflow.

    Attributes
    ----------
    strategy, parameters : what it was, as `StrategySource.to_json` gives it, and with what
    sharpe : annualised, of the days that the search saw
    market_id, data_until : of the data behind it
    """

    workflow: str
    strategy: Mapping[str, Any]
    parameters: Mapping[str, Any]
    sharpe: float
    market_id: str | None
    data_until: date | None


def best_trials(store: Store) -> list[BestTrial]:
    """Return the best trial of each strategy of each workflow, by Sharpe ratio, the best first.

    Of equal ones the oldest counts.
    """
    query = (
        select(TrialRow)
        .where(TrialRow.status == "done", TrialRow.strategy.is_not(None))
        .order_by(TrialRow.run_id, TrialRow.phase_key, TrialRow.number)
    )
    best: dict[tuple[str, str], BestTrial] = {}
    with store.session() as session:
        for row in session.scalars(query):
            sharpe = (row.metrics or {}).get("sharpe")
            if sharpe is None or row.strategy is None:
                continue
            key = (row.workflow, json.dumps(row.strategy, sort_keys=True))
            if key not in best or sharpe > best[key].sharpe:
                best[key] = BestTrial(
                    row.workflow, row.strategy, row.item, sharpe, row.market_id, row.data_until
                )
    return sorted(best.values(), key=lambda one: -one.sharpe)


def begin_phase(
    store: Store, *, run_id: int, workflow: str, phase: str, key: str, now: datetime | None = None
) -> int:
    """Record that a run begins a phase; return the row's id."""
    row = PhaseRow(
        run_id=run_id,
        workflow=workflow,
        phase=phase,
        key=key,
        status="running",
        trials=0,
        executed=0,
        left_out=0,
        started_at=now or utc_now(),
    )
    with store.write() as session:
        session.add(row)
    return row.id


def finish_phase(
    store: Store,
    phase_id: int,
    status: PhaseStatus,
    *,
    trials: int = 0,
    executed: int = 0,
    left_out: int = 0,
    seconds: float | None = None,
    work_seconds: float | None = None,
    message: str | None = None,
    now: datetime | None = None,
) -> None:
    """Record how a phase ended; StoreError where there is no such row."""
    with store.write() as session:
        ended = session.execute(
            update(PhaseRow)
            .where(PhaseRow.id == phase_id)
            .values(
                status=status,
                trials=trials,
                executed=executed,
                left_out=left_out,
                seconds=seconds,
                work_seconds=work_seconds,
                message=message,
                finished_at=now or utc_now(),
            )
            .returning(PhaseRow.id)
        ).all()
        if not ended:
            raise StoreError(f"{store.label}: there is no phase {phase_id}")


def record_trials(
    store: Store,
    records: Sequence[TrialRecord],
    *,
    run_id: int,
    workflow: str,
    phase: str,
    phase_key: str,
    executed: bool,
) -> None:
    """Keep what became of trials, in one transaction.

    executed : False where they come from a checkpoint. Then a row that is there stays as it is;
        one that is absent, because the run was killed between the checkpoint and this, is made
    """
    if not records:
        return
    rows = [
        {
            "phase_key": phase_key,
            "number": record.number,
            "run_id": run_id,
            "workflow": workflow,
            "phase": phase,
            "batch": record.batch,
            "seed": record.seed,
            "item": record.item,
            "metrics": None if record.metrics is None else dict(record.metrics),
            "status": "left_out" if record.metrics is None else "done",
            "attempts": record.attempts,
            "executions": 1,
            "message": record.message,
            "strategy": None if record.strategy is None else dict(record.strategy),
        }
        for record in records
    ]
    with store.write() as session:
        data = data_of(session, run_id)
        rows = [row | data for row in rows]
        statement = insert(session, TrialRow)
        identity = [TrialRow.phase_key, TrialRow.number]
        if executed:
            new = statement.excluded
            statement = statement.on_conflict_do_update(
                index_elements=identity,
                set_={
                    "run_id": new.run_id,
                    "metrics": new.metrics,
                    "status": new.status,
                    "attempts": new.attempts,
                    "message": new.message,
                    "executions": TrialRow.executions + 1,
                    **{name: new[name] for name in data},
                },
            )
        else:
            statement = statement.on_conflict_do_nothing(index_elements=identity)
        # Rows as parameters, so that one short statement is compiled instead of a long one.
        session.connection().execute(statement, rows)


def read_trials(store: Store, phase_key: str) -> list[TrialRow]:
    """Return the trials of a phase in their order."""
    query = select(TrialRow).where(TrialRow.phase_key == phase_key).order_by(TrialRow.number)
    with store.session() as session:
        return list(session.scalars(query))


def count_executions(store: Store, workflow: str) -> dict[str, tuple[int, int]]:
    """Return phase to (trials, how often one was worked on) over all runs of a workflow."""
    query = (
        select(TrialRow.phase, func.count(), func.sum(TrialRow.executions))
        .where(TrialRow.workflow == workflow)
        .group_by(TrialRow.phase)
    )
    with store.session() as session:
        return {phase: (int(rows), int(times)) for phase, rows, times in session.execute(query)}


def read_phases(store: Store, *, run_id: int | None = None) -> list[PhaseRow]:
    """Return phases in the order in which they began, of one run or of all."""
    query = select(PhaseRow).order_by(PhaseRow.id)
    if run_id is not None:
        query = query.where(PhaseRow.run_id == run_id)
    with store.session() as session:
        return list(session.scalars(query))


def record_sample(store: Store, sample: SampleRow, alerts: Sequence[AlertRow] = ()) -> None:
    """Keep a measurement and the alerts that it raises."""
    with store.write() as session:
        session.add(sample)
        session.add_all(alerts)


def read_samples(store: Store, run_id: int) -> list[SampleRow]:
    """Return the measurements of a run in their order."""
    query = select(SampleRow).where(SampleRow.run_id == run_id).order_by(SampleRow.id)
    with store.session() as session:
        return list(session.scalars(query))


def read_alerts(store: Store, run_id: int) -> list[AlertRow]:
    """Return the alerts of a run in their order."""
    query = select(AlertRow).where(AlertRow.run_id == run_id).order_by(AlertRow.id)
    with store.session() as session:
        return list(session.scalars(query))
