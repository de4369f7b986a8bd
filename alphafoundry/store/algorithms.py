"""Algorithms that models were asked for, the requests, the races, and the best of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any, Literal

from sqlalchemy import and_, or_, select, update
from sqlalchemy.orm import Session

from alphafoundry.clock import utc_now
from alphafoundry.errors import StoreError
from alphafoundry.store.database import Store, lock_subject
from alphafoundry.store.runs import data_of, interrupt_dead_runs
from alphafoundry.store.tables import AlgorithmRow, ModelRequestRow, RaceResultRow, RunRow

LONGEST_ANSWER = 200_000
"""Characters of an answer that are kept."""


@dataclass(frozen=True)
class AlgorithmPlan:
    """An algorithm to ask for; see `AlgorithmRow`."""

    model: str
    provider: str
    label: str
    prompt_version: str
    prompt: str


@dataclass(frozen=True)
class ModelRequest:
    """One request to a language model; see `ModelRequestRow`."""

    model: str
    number: int
    outcome: str
    status: int | None
    seconds: float
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class RaceLine:
    """One line of a leader board; see `RaceResultRow`."""

    name: str
    algorithm_id: int | None = None
    rank: int | None = None
    total_return: float | None = None
    sharpe: float | None = None
    drawdown: float | None = None
    trades: int | None = None
    seconds_per_call: float | None = None
    failure: str | None = None
    statistics: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RacedAlgorithm:
    """One of the best of a race, with the data that ranked it.

    Attributes
    ----------
    source : the program
    tickers : that it was raced on
    sharpe : annualised, of the race's days
    market_id, data_until : of the race
    """

    algorithm_id: int
    model: str
    source: str
    tickers: tuple[str, ...]
    sharpe: float
    market_id: str | None
    data_until: date | None


def raced_candidates(store: Store) -> list[RacedAlgorithm]:
    """Return the candidates of all races, each as its newest race ranked it, the best first.

    Of those with the same Sharpe ratio the oldest comes first; without one, none.
    """
    query = (
        select(AlgorithmRow, RaceResultRow)
        .join(RaceResultRow, RaceResultRow.algorithm_id == AlgorithmRow.id)
        .where(
            AlgorithmRow.candidate,
            RaceResultRow.failure.is_(None),
        )
        .order_by(RaceResultRow.id)
    )
    with store.session() as session:
        found = {
            row.id: RacedAlgorithm(
                row.id,
                row.model,
                row.source,
                tuple(line.tickers),
                line.sharpe,
                line.market_id,
                line.data_until,
            )
            for row, line in session.execute(query)
            if row.source is not None and line.sharpe is not None
        }
    return sorted(found.values(), key=lambda one: (-one.sharpe, one.algorithm_id))


def plan_algorithms(
    store: Store,
    run_id: int,
    batch: str,
    plans: Sequence[AlgorithmPlan],
    *,
    now: datetime | None = None,
) -> list[AlgorithmRow]:
    """Record the algorithms of a run, in order; those of an interrupted run are taken over.

    A row that a dead run of the same batch had finished moves to this run as it is: its model
    has answered and is not asked again. Of a run that failed, only the rows that are ready move.
    An answer that nobody has judged yet (`keep_answer`) moves from any run that has ended; its
    row has the status "asking", as those of models that are still to be asked, and an answer.
    """
    now = now or utc_now()
    with store.write() as session:
        lock_subject(session, "algorithms")
        interrupt_dead_runs(session, now=now)
        taken = _take_over(session, run_id, batch)
        rows = []
        for position, plan in enumerate(plans):
            row = taken.get(position)
            if row is None:
                row = AlgorithmRow(
                    run_id=run_id,
                    batch=batch,
                    position=position,
                    model=plan.model,
                    provider=plan.provider,
                    label=plan.label,
                    prompt_version=plan.prompt_version,
                    prompt=plan.prompt,
                    status="asking",
                    requests=0,
                    candidate=False,
                    created_at=now,
                )
                session.add(row)
            rows.append(row)
    return rows


def _take_over(session: Session, run_id: int, batch: str) -> dict[int, AlgorithmRow]:
    """Move the finished rows of the newest dead run that has any; return them by position."""
    finished = session.execute(
        select(AlgorithmRow, RunRow.status)
        .join(RunRow, RunRow.id == AlgorithmRow.run_id)
        .where(
            AlgorithmRow.batch == batch,
            RunRow.id != run_id,
            or_(
                and_(
                    RunRow.status.in_(("interrupted", "failed")),
                    AlgorithmRow.status.in_(("ready", "refused")),
                ),
                and_(
                    RunRow.status != "running",
                    AlgorithmRow.status == "asking",
                    AlgorithmRow.answer.is_not(None),
                ),
            ),
        )
        .order_by(AlgorithmRow.run_id.desc(), AlgorithmRow.position)
    ).all()
    taken: dict[int, AlgorithmRow] = {}
    for row, status in finished:
        if row.position in taken or (status == "failed" and row.status == "refused"):
            continue
        taken[row.position] = row
        row.run_id = run_id
    session.flush()
    return taken


def keep_answer(store: Store, algorithm_id: int, answer: str, *, requests: int) -> None:
    """Record an answer as it came, to be judged; StoreError where there is no such row.

    Until `finish_algorithm` says what came of it, the row has the status "asking" and an answer:
    a run that takes it over judges it and does not ask again.
    """
    with store.write() as session:
        kept = session.execute(
            update(AlgorithmRow)
            .where(AlgorithmRow.id == algorithm_id)
            .values(
                status="asking",
                answer=answer,
                source=None,
                signature=None,
                reason=None,
                requests=requests,
                finished_at=None,
            )
            .returning(AlgorithmRow.id)
        ).all()
        if not kept:
            raise StoreError(f"{store.label}: there is no algorithm {algorithm_id}")


def finish_algorithm(
    store: Store,
    algorithm_id: int,
    status: Literal["ready", "refused", "failed"],
    *,
    answer: str | None = None,
    source: str | None = None,
    signature: str | None = None,
    reason: str | None = None,
    requests: int = 0,
    now: datetime | None = None,
) -> None:
    """Record what came of asking for an algorithm; StoreError where there is no such row."""
    with store.write() as session:
        ended = session.execute(
            update(AlgorithmRow)
            .where(AlgorithmRow.id == algorithm_id)
            .values(
                status=status,
                answer=None if answer is None else answer[:LONGEST_ANSWER],
                source=source,
                signature=signature,
                reason=reason,
                requests=requests,
                finished_at=now or utc_now(),
            )
            .returning(AlgorithmRow.id)
        ).all()
        if not ended:
            raise StoreError(f"{store.label}: there is no algorithm {algorithm_id}")


def read_algorithms(store: Store, run_id: int) -> list[AlgorithmRow]:
    """Return the algorithms of a run, in the order in which their models were given."""
    query = (
        select(AlgorithmRow).where(AlgorithmRow.run_id == run_id).order_by(AlgorithmRow.position)
    )
    with store.session() as session:
        return list(session.scalars(query))


def record_model_requests(
    store: Store,
    run_id: int,
    requests: Iterable[ModelRequest],
    *,
    provider: str,
    endpoint: str,
    now: datetime | None = None,
) -> None:
    """Record requests to language models, in their order.

    endpoint : address without credentials
    """
    now = now or utc_now()
    rows = [
        ModelRequestRow(
            run_id=run_id, provider=provider, endpoint=endpoint, at=now, **asdict(request)
        )
        for request in requests
    ]
    if rows:
        with store.write() as session:
            session.add_all(rows)


def read_model_requests(store: Store, run_id: int) -> list[ModelRequestRow]:
    """Return the requests of a run, in the order recorded."""
    query = (
        select(ModelRequestRow).where(ModelRequestRow.run_id == run_id).order_by(ModelRequestRow.id)
    )
    with store.session() as session:
        return list(session.scalars(query))


def record_race(
    store: Store,
    run_id: int,
    lines: Iterable[RaceLine],
    *,
    market_label: str,
    tickers: Sequence[str],
    now: datetime | None = None,
) -> None:
    """Record the leader board of a run's race, in its order."""
    now = now or utc_now()
    with store.write() as session:
        data = data_of(session, run_id)
        session.add_all(
            RaceResultRow(
                **data,
                run_id=run_id,
                algorithm_id=line.algorithm_id,
                name=line.name,
                market_label=market_label,
                tickers=list(tickers),
                rank=line.rank,
                total_return=line.total_return,
                sharpe=line.sharpe,
                drawdown=line.drawdown,
                trades=line.trades,
                seconds_per_call=line.seconds_per_call,
                failure=line.failure,
                statistics=dict(line.statistics),
                at=now,
            )
            for line in lines
        )


def read_race(store: Store, run_id: int) -> list[RaceResultRow]:
    """Return the leader board of a run's race, in its order."""
    query = select(RaceResultRow).where(RaceResultRow.run_id == run_id).order_by(RaceResultRow.id)
    with store.session() as session:
        return list(session.scalars(query))


def count_raced(store: Store, market_id: str | None, *, besides: Iterable[str] = ()) -> int:
    """Return how many different algorithms were ever raced on a market, over all runs.

    Parameters
    ----------
    besides : sources that are left out; one that differs in a single letter is another algorithm
    """
    if market_id is None:
        return 0
    query = (
        select(AlgorithmRow.source)
        .join(RaceResultRow, RaceResultRow.algorithm_id == AlgorithmRow.id)
        .where(RaceResultRow.market_id == market_id)
        .distinct()
    )
    with store.session() as session:
        return len(set(session.scalars(query)) - set(besides))


def mark_candidates(store: Store, algorithm_ids: Iterable[int]) -> None:
    """Mark the best algorithms of a race, so that other flows can find them."""
    with store.write() as session:
        session.execute(
            update(AlgorithmRow)
            .where(AlgorithmRow.id.in_(list(algorithm_ids)))
            .values(candidate=True)
        )


def read_candidates(store: Store, *, limit: int = 20) -> list[AlgorithmRow]:
    """Return the best algorithms of past races with their source, the newest first."""
    query = (
        select(AlgorithmRow)
        .where(AlgorithmRow.candidate)
        .order_by(AlgorithmRow.id.desc())
        .limit(limit)
    )
    with store.session() as session:
        return list(session.scalars(query))
