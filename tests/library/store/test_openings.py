"""The register of trials, and openings of sealed days that wear."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from alphafoundry.errors import StoreError
from alphafoundry.evidence import opening_level
from alphafoundry.expressions import parse
from alphafoundry.store import (
    AlphaRecord,
    DailyPnl,
    DataOrigin,
    Finalist,
    MarketSplit,
    OpeningRow,
    RunRow,
    SealedResult,
    SimulationPlan,
    Store,
    begin_run,
    count_trials,
    finish_opening,
    finish_simulation,
    fix_split,
    judged_pnl,
    mark_sending,
    plan_opening,
    plan_simulations,
    read_opening,
    read_openings,
    read_verdicts,
)

SEALED = date(2021, 1, 4), date(2022, 6, 30)
SERVICE = "local:a1b2.3.to-2020-12-24"


def finalist(name: str) -> Finalist:
    return Finalist(
        alpha_id=name,
        expression=f"rank({name})",
        settings={"decay": 4},
        key=f"key of {name}",
        search_days=800,
        sharpe=1.6,
        sharpe_low=0.8,
        sharpe_high=2.4,
        dsr=0.6,
        shrunk_sharpe=0.4,
    )


def plan(store: Store, run: RunRow, *names: str, to: date = SEALED[1]) -> OpeningRow:
    return plan_opening(
        store,
        SERVICE,
        [finalist(name) for name in names],
        run_id=run.id,
        market_id="a1b2",
        sealed_from=SEALED[0],
        sealed_to=to,
        trials=60,
        level_of=opening_level,
    )


def test_every_look_at_the_same_days_halves_the_level(store: Store, run: RunRow) -> None:
    first, second = plan(store, run, "a", "b"), plan(store, run, "a", "c")
    third = plan(store, run, "d", to=date(2023, 6, 30))
    assert [one.number for one in (first, second, third)] == [1, 2, 3]
    assert [one.level for one in (first, second, third)] == [0.05, 0.025, 0.0125]
    # A plan that never was carried out counts: nobody knows what the run saw before it died.
    assert [one.opened_at for one in read_openings(store, "a1b2")] == [None, None, None]


def test_the_same_finalists_get_the_opening_that_they_had(store: Store, run: RunRow) -> None:
    first = plan(store, run, "a", "b")
    finish_opening(store, first.id, [SealedResult("found", "p", 300, p=0.01)] * 2)
    again = plan(store, begin_run(store, flow="mine", service=SERVICE), "b", "a")
    more_days = plan(store, run, "a", "b", to=date(2023, 6, 30))
    assert first.id == again.id == more_days.id
    assert again.opened_at is not None
    assert again.sealed_to == SEALED[1]
    assert len(read_openings(store, "a1b2")) == 1


def test_results_are_written_once_and_whole(store: Store, run: RunRow) -> None:
    opening = plan(store, run, "a", "b")
    pnl = DailyPnl(np.array(["2021-01-04", "2021-01-05"], "datetime64[D]"), np.array([1.5, -2.0]))
    with pytest.raises(ValueError, match="zip"):
        finish_opening(store, opening.id, [SealedResult("found", "p", 300)])
    found, rows = read_opening(store, opening.id)
    assert found.opened_at is None
    assert [row.verdict for row in rows] == [None, None]
    result = SealedResult("found", "p", 300, sealed_sharpe=1.9, days_needed=float("inf"), pnl=pnl)
    finish_opening(store, opening.id, [result, SealedResult("not confirmed", "low", 300)])
    finish_opening(store, opening.id, [SealedResult("unproven", "late", 1)] * 2)
    found, rows = read_opening(store, opening.id)
    assert found.opened_at is not None
    assert [row.verdict for row in rows] == ["found", "not confirmed"]
    assert (rows[0].sealed_sharpe, rows[0].days_needed) == (1.9, None)
    kept = judged_pnl(rows[0])
    assert kept is not None
    np.testing.assert_array_equal(kept.values, pnl.values)
    assert judged_pnl(rows[1]) is None
    with pytest.raises(StoreError, match="no opening 99"):
        finish_opening(store, 99, [])


def test_what_was_found_stays_found_and_otherwise_the_last_verdict_counts(
    store: Store, run: RunRow
) -> None:
    first = plan(store, run, "a", "b", "c")
    finish_opening(
        store,
        first.id,
        [SealedResult(one, "", 300) for one in ("found", "unproven", "unproven")],
    )
    second = plan(store, run, "a", "b")
    finish_opening(
        store,
        second.id,
        [SealedResult("unproven", "", 320), SealedResult("not confirmed", "", 320)],
    )
    plan(store, run, "c", "d")
    verdicts = read_verdicts(store, SERVICE, ["a", "b", "c", "d", "e"])
    found = {alpha_id: row.verdict for alpha_id, row in verdicts.items()}
    assert found == {"a": "found", "b": "not confirmed", "c": "unproven"}
    assert read_verdicts(store, "local:other.3", ["a"]) == {}


def test_the_first_split_of_a_market_holds(store: Store) -> None:
    first = MarketSplit(date(2020, 12, 24), date(2021, 1, 4), 0.3, 5)
    assert fix_split(store, "a1b2", first) == first
    assert (
        fix_split(store, "a1b2", MarketSplit(date(2021, 6, 1), date(2021, 7, 1), 0.2, 5)) == first
    )


def simulate(
    store: Store, run: RunRow, service: str, texts: list[str], *, ends: bool = True
) -> None:
    plans = [
        SimulationPlan(parse(text).canonical, text, {"decay": 4, "truncation": 0.08}, "grammar")
        for text in texts
    ]
    for row in plan_simulations(store, service, plans, run_id=run.id).new:
        mark_sending(store, row.id)
        if ends:
            alpha = AlphaRecord(f"{service}{row.id}", row.expression, {}, market_id=row.market_id)
            finish_simulation(store, row.id, "complete", alpha=alpha)


def test_the_register_counts_every_idea_of_these_prices_once(store: Store) -> None:
    origin = DataOrigin("a1b2", "bars", "f1", date(2017, 1, 3), date(2020, 12, 24))
    sealed, whole, old = SERVICE, "local:a1b2.3", "local:a1b2.2"
    for service in (sealed, whole, old):
        run = begin_run(store, flow="daily", service=service, data=origin)
        simulate(store, run, service, ["rank(close)", "ts_rank(volume, 20)"])
    assert count_trials(store, sealed, "a1b2") == 2
    second = begin_run(store, flow="mine", service=sealed, data=origin)
    simulate(store, second, sealed, ["-rank(close)", "reverse(-rank(close))", "-1 * rank(close)"])
    assert count_trials(store, sealed, "a1b2") == 2
    simulate(store, second, sealed, ["rank(open)", "-(rank(close) + rank(open))"])
    assert count_trials(store, sealed, "a1b2") == 4
    simulate(store, second, sealed, ["rank(low)"], ends=False)
    assert count_trials(store, sealed, "a1b2") == 4
    elsewhere = begin_run(store, flow="daily", service="local:ffff.3")
    simulate(store, elsewhere, "worldquant", ["rank(high)"])
    assert count_trials(store, sealed, "a1b2") == 4
    assert count_trials(store, "worldquant", None) == 1
