"""Algorithms, requests and races in the database, and what an interrupted run leaves."""

from __future__ import annotations

import pytest

from alphafoundry.errors import StoreError
from alphafoundry.store import (
    AlgorithmPlan,
    ModelRequest,
    RaceLine,
    RunRow,
    Store,
    begin_run,
    finish_algorithm,
    finish_run,
    keep_answer,
    mark_candidates,
    plan_algorithms,
    read_algorithms,
    read_candidates,
    read_model_requests,
    read_race,
    record_model_requests,
    record_race,
)
from tests.some_cases import one_in

PLANS = [AlgorithmPlan(model, "openai", "language models", "v1-x", "hello") for model in "abc"]


def new_run(store: Store) -> RunRow:
    return begin_run(store, flow="algorithms", service="openai")


def finish(store: Store, run: RunRow, position: int, status: str) -> None:
    row = read_algorithms(store, run.id)[position]
    finish_algorithm(store, row.id, status, source=f"source of {row.model}", requests=2)  # type: ignore[arg-type]


def statuses(store: Store, run: RunRow) -> list[tuple[str, str]]:
    return [(row.model, row.status) for row in read_algorithms(store, run.id)]


def test_what_an_interrupted_run_finished_is_taken_over_once(store: Store) -> None:
    first = new_run(store)
    plan_algorithms(store, first.id, "batch", PLANS)
    finish(store, first, 0, "ready")
    finish(store, first, 1, "refused")
    finish_run(store, first.id, "interrupted")
    second = new_run(store)
    rows = plan_algorithms(store, second.id, "batch", PLANS)
    assert [(row.model, row.status) for row in rows] == statuses(store, second)
    assert statuses(store, second) == [("a", "ready"), ("b", "refused"), ("c", "asking")]
    assert rows[0].source == "source of a" and rows[0].requests == 2
    assert statuses(store, first) == [("c", "asking")]
    finish(store, second, 2, "ready")
    finish_run(store, second.id, "finished")
    third = new_run(store)
    plan_algorithms(store, third.id, "batch", PLANS)
    assert [status for _, status in statuses(store, third)] == ["asking"] * 3


def test_another_batch_and_a_living_run_keep_theirs(store: Store) -> None:
    first = new_run(store)
    plan_algorithms(store, first.id, "batch", PLANS)
    finish(store, first, 0, "ready")
    second = new_run(store)
    plan_algorithms(store, second.id, "batch", PLANS)
    assert [status for _, status in statuses(store, second)] == ["asking"] * 3
    finish_run(store, first.id, "interrupted")
    third = new_run(store)
    plan_algorithms(store, third.id, "another batch", PLANS)
    assert [status for _, status in statuses(store, third)] == ["asking"] * 3


def test_of_a_failed_run_only_what_is_ready_is_taken_over(store: Store) -> None:
    first = new_run(store)
    plan_algorithms(store, first.id, "batch", PLANS)
    finish(store, first, 0, "ready")
    finish(store, first, 1, "refused")
    finish(store, first, 2, "failed")
    finish_run(store, first.id, "failed")
    second = new_run(store)
    plan_algorithms(store, second.id, "batch", PLANS)
    assert [status for _, status in statuses(store, second)] == ["ready", "asking", "asking"]


@pytest.mark.parametrize("end", one_in(3, ["finished", "failed", "interrupted"]))
def test_an_answer_that_nobody_judged_is_taken_over_from_any_run(store: Store, end: str) -> None:
    first = new_run(store)
    rows = plan_algorithms(store, first.id, "batch", PLANS)
    keep_answer(store, rows[0].id, "x" * 300_000, requests=2)
    finish(store, first, 1, "ready")
    keep_answer(store, rows[1].id, "judged in vain", requests=1)
    finish_run(store, first.id, end)  # type: ignore[arg-type]
    second = new_run(store)
    rows = plan_algorithms(store, second.id, "batch", PLANS)
    assert [(row.status, len(row.answer or ""), row.requests) for row in rows] == [
        ("asking", 300_000, 2),
        ("asking", 14, 1),
        ("asking", 0, 0),
    ]
    assert rows[1].source is None
    with pytest.raises(StoreError, match="no algorithm 77"):
        keep_answer(store, 77, "", requests=1)


def test_a_missing_algorithm_is_an_error(store: Store) -> None:
    with pytest.raises(StoreError, match="no algorithm 77"):
        finish_algorithm(store, 77, "ready")


def test_requests_come_back_in_their_order(store: Store) -> None:
    run = new_run(store)
    given = [
        ModelRequest("a", 1, "rate limit", 429, 0.25, reason="slow down"),
        ModelRequest("a", 2, "answered", 200, 1.5, 900, 300, 0.00125),
    ]
    record_model_requests(store, run.id, given, provider="openai", endpoint="http://host/v1")
    record_model_requests(store, run.id, [], provider="openai", endpoint="http://host/v1")
    rows = read_model_requests(store, run.id)
    assert [(row.number, row.outcome, row.status, row.cost) for row in rows] == [
        (1, "rate limit", 429, None),
        (2, "answered", 200, 0.00125),
    ]
    assert {row.endpoint for row in rows} == {"http://host/v1"}


def test_a_race_and_its_candidates(store: Store) -> None:
    run = new_run(store)
    rows = plan_algorithms(store, run.id, "batch", PLANS)
    for position in range(3):
        finish(store, run, position, "ready")
    lines = [
        RaceLine("b", rows[1].id, 1, 0.5, 1.2, 0.1, 12, 1e-4, None, {"equity": [1.0, 1.5]}),
        RaceLine("buy-and-hold", None, 2, 0.1, float("nan")),
        RaceLine("a", rows[0].id, failure="time: too slow"),
    ]
    record_race(store, run.id, lines, market_label="SYNTHETIC", tickers=["X"])
    mark_candidates(store, [rows[1].id])
    told = read_race(store, run.id)
    assert [(one.name, one.rank, one.sharpe) for one in told] == [
        ("b", 1, 1.2),
        ("buy-and-hold", 2, None),
        ("a", None, None),
    ]
    assert told[0].statistics == {"equity": [1.0, 1.5]} and told[0].tickers == ["X"]
    assert [(one.model, one.source) for one in read_candidates(store)] == [("b", "source of b")]
