"""Runs: which flow ran where, and whether its process still lives."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

import psutil
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from alphafoundry.clock import utc_now
from alphafoundry.errors import StoreError
from alphafoundry.store.database import Store
from alphafoundry.store.markets import DataOrigin, put_origin
from alphafoundry.store.tables import RunRow, RunStatus

SILENCE = timedelta(minutes=10)
"""A run on another host that gave no sign of life for this long counts as dead."""

_SAME_START = 2.0
"""Seconds by which two readings of a process's start may differ."""


def begin_run(
    store: Store,
    *,
    flow: str,
    service: str,
    market_label: str | None = None,
    seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
    data: DataOrigin | None = None,
    now: datetime | None = None,
) -> RunRow:
    """Record that this process starts a run, and that those whose process has died are over.

    Parameters
    ----------
    settings : without secrets
    data : the market and data version that the run works on; its rows refer to both
    """
    now = now or utc_now()
    run = RunRow(
        flow=flow,
        service=service,
        market_label=market_label,
        seed=seed,
        settings=dict(settings or {}),
        host=socket.gethostname(),
        pid=os.getpid(),
        process_started=psutil.Process().create_time(),
        heartbeat_at=now,
        started_at=now,
        status="running",
        market_id=data.market_id if data else None,
        data_version=data.fingerprint if data else None,
        data_until=data.last if data else None,
        search_from=data.first if data and data.sealed_from else None,
        search_to=data.last if data and data.sealed_from else None,
        sealed_from=data.sealed_from if data else None,
        sealed_to=data.sealed_to if data else None,
    )
    with store.write() as session:
        interrupt_dead_runs(session, now=now)
        if data is not None:
            put_origin(session, data, now=now)
        session.add(run)
    return run


def beat(store: Store, run_id: int, *, now: datetime | None = None) -> bool:
    """Give a sign of life; False where the run is over, or was presumed dead meanwhile.

    A run that gets False must stop: its unfinished work may belong to another run by now.
    """
    with store.write() as session:
        beaten = session.execute(
            update(RunRow)
            .where(RunRow.id == run_id, RunRow.status == "running")
            .values(heartbeat_at=now or utc_now())
            .returning(RunRow.id)
        ).all()
    return bool(beaten)


def finish_run(
    store: Store,
    run_id: int,
    status: Literal["finished", "failed", "interrupted"],
    report: Mapping[str, Any] | None = None,
    *,
    now: datetime | None = None,
) -> bool:
    """Record how a run ended; False where it was presumed dead and closed by another run.

    Such a run stays interrupted, since its unfinished work may belong to another by now; its
    report is kept all the same.

    Raises
    ------
    StoreError : there is no such run
    """
    kept = None if report is None else dict(report)
    with store.write() as session:
        run = session.get(RunRow, run_id, with_for_update=True)
        if run is None:
            raise StoreError(f"{store.label}: there is no run {run_id}")
        was_running = run.status == "running"
        if was_running:
            run.status = status
            run.finished_at = now or utc_now()
        run.report = kept
    return was_running


def read_runs(store: Store, *, status: RunStatus | None = None, limit: int = 100) -> list[RunRow]:
    """Return runs, the newest first."""
    query = select(RunRow).order_by(RunRow.id.desc()).limit(limit)
    if status is not None:
        query = query.where(RunRow.status == status)
    with store.session() as session:
        return list(session.scalars(query))


def is_alive(run: RunRow, *, now: datetime | None = None) -> bool:
    """Return whether the run is still under way.

    On this host its process must exist and be the one that began the run, not a later one with
    the same number; on another host its last sign of life must be younger than `SILENCE`.
    """
    if run.status != "running":
        return False
    if run.host != socket.gethostname():
        return (now or utc_now()) - run.heartbeat_at < SILENCE
    try:
        process = psutil.Process(run.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return abs(process.create_time() - run.process_started) < _SAME_START
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def interrupt_dead_runs(session: Session, *, now: datetime) -> None:
    """Mark each run whose process has died as interrupted, within the caller's transaction."""
    running = session.scalars(select(RunRow).where(RunRow.status == "running"))
    dead = [run.id for run in running if not is_alive(run, now=now)]
    if dead:
        session.execute(
            update(RunRow)
            .where(RunRow.id.in_(dead), RunRow.status == "running")
            .values(status="interrupted", finished_at=now)
        )


def data_of(session: Session, run_id: int) -> dict[str, Any]:
    """Return the columns market_id, data_version and data_until of a run, for its other rows."""
    found = session.execute(
        select(RunRow.market_id, RunRow.data_version, RunRow.data_until).where(RunRow.id == run_id)
    ).one_or_none()
    return {} if found is None else dict(found._mapping)
