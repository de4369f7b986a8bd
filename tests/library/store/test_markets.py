"""Markets that last, data versions that change, and rows that refer to both."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from alphafoundry.store import (
    AlphaRecord,
    DataOrigin,
    ElsewhereCount,
    RaceLine,
    SimulationPlan,
    Store,
    TrialRecord,
    begin_run,
    best_alphas,
    count_by_version,
    count_elsewhere,
    finish_simulation,
    known_keys,
    mark_sending,
    open_store,
    plan_simulations,
    read_alphas,
    read_data_versions,
    read_markets,
    read_race,
    read_runs,
    read_simulations,
    read_trials,
    record_race,
    record_trials,
)
from alphafoundry.store.migrations import REVISION

EARLIER = Path(__file__).parent / "databases" / "revision_0003.sql"
OLD = "local:00112233445566ff"
ORIGIN = DataOrigin(
    market_id="a1b2",
    source="/data/bars.parquet",
    fingerprint="f1",
    first=date(2020, 1, 2),
    last=date(2023, 1, 26),
    label="bars.parquet",
)
NEXT = replace(ORIGIN, fingerprint="f2", last=date(2023, 1, 27))


@pytest.fixture
def earlier(tmp_path: Path) -> Store:
    """A database that the code before this revision made, opened by this code."""
    with sqlite3.connect(tmp_path / "foundry.sqlite") as connection:
        connection.executescript(EARLIER.read_text(encoding="utf-8"))
    connection.close()
    return open_store(home=tmp_path)


def test_a_migrated_database_keeps_every_row_and_names_its_data(earlier: Store) -> None:
    (market,) = read_markets(earlier)
    assert market.id == "00112233445566ff"
    assert market.source == "data/bars.parquet"
    (version,) = read_data_versions(earlier, market.id)
    assert (version.first_day, version.last_day) == (date(2020, 1, 2), date(2023, 1, 26))
    assert version.label in {run.market_label for run in read_runs(earlier)} - {None}
    simulations = read_simulations(earlier, service=OLD)
    assert len(simulations) == 6
    alphas = read_alphas(earlier, OLD, [f"OLD{number}" for number in range(5)])
    for row in [*simulations, *alphas.values(), *read_runs(earlier)[-1:]]:
        assert row.market_id == market.id
        assert row.data_version == version.fingerprint
        assert row.data_until == date(2023, 1, 26)
    assert [alpha.alpha_id for alpha in best_alphas(earlier, OLD, limit=2)] == ["OLD4", "OLD3"]
    earlier.close()


def test_a_file_is_copied_before_its_tables_change(earlier: Store, tmp_path: Path) -> None:
    (copy,) = (tmp_path / "backups").glob(f"*-before-{REVISION}/foundry.sqlite")
    with contextlib.closing(sqlite3.connect(copy)) as connection:
        found = connection.execute("SELECT version_num FROM foundry_schema_version").fetchone()
    assert found != (REVISION,)


def test_the_copy_of_a_store_elsewhere_is_not_taken_for_that_of_the_home(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "other.sqlite")) as connection:
        connection.executescript(EARLIER.read_text(encoding="utf-8"))
    open_store(f"sqlite:///{tmp_path}/other.sqlite", home=tmp_path).close()
    (copy,) = (tmp_path / "backups").glob(f"*-before-{REVISION}/*")
    assert copy.name == "other.sqlite"


def test_a_migrated_remote_alpha_ends_with_its_daily_pnl(earlier: Store) -> None:
    alpha = read_alphas(earlier, "worldquant", ["WQ1"])["WQ1"]
    assert (alpha.market_id, alpha.data_version) == (None, None)
    assert alpha.data_until == date(2020, 1, 7)
    earlier.close()


def test_migrated_trials_and_races_know_the_last_day_of_their_data(earlier: Store) -> None:
    (trial,) = read_trials(earlier, "k1")
    assert trial.data_until == date(2024, 1, 3)
    (line,) = read_race(earlier, 4)
    assert line.data_until == date(2023, 1, 26)
    earlier.close()


def test_a_migrated_database_plans_nothing_twice(earlier: Store) -> None:
    known = read_simulations(earlier, service=OLD)
    plans = [
        SimulationPlan(row.canonical, row.expression, row.settings, row.origin) for row in known
    ]
    run = begin_run(earlier, flow="daily", service=OLD)
    assert plan_simulations(earlier, OLD, plans, run_id=run.id).new == ()
    earlier.close()


def test_rows_refer_to_the_market_and_version_of_their_run(store: Store) -> None:
    run = begin_run(store, flow="daily", service="local:a1b2.2", data=ORIGIN)
    (row,) = plan_simulations(
        store, "local:a1b2.2", [SimulationPlan("c", "close", {}, "grammar")], run_id=run.id
    ).new
    assert (row.market_id, row.data_version, row.data_until) == ("a1b2", "f1", ORIGIN.last)
    record = TrialRecord(0, 0, 7, {}, {"sharpe": 0.5}, 1, None)
    record_trials(
        store, [record], run_id=run.id, workflow="w", phase="p", phase_key="k", executed=True
    )
    record_race(store, run.id, [RaceLine("x")], market_label="m", tickers=["A"])
    for made in (*read_trials(store, "k"), *read_race(store, run.id)):
        assert (made.market_id, made.data_version, made.data_until) == ("a1b2", "f1", ORIGIN.last)


def test_an_alpha_keeps_the_version_that_the_service_names(store: Store) -> None:
    """A simulation that was left by an earlier run may end on newer data than it was planned on."""
    service = "local:a1b2.2"
    run = begin_run(store, flow="daily", service=service, data=ORIGIN)
    (row,) = plan_simulations(
        store, service, [SimulationPlan("c", "close", {}, "grammar")], run_id=run.id
    ).new
    mark_sending(store, row.id)
    alpha = AlphaRecord("A", "close", {}, market_id="a1b2", data_version="f2", data_until=NEXT.last)
    finish_simulation(store, row.id, "complete", alpha=alpha)
    (ended,) = read_simulations(store, service=service)
    assert (ended.data_version, ended.data_until) == ("f2", NEXT.last)


def test_a_day_added_keeps_the_market_and_makes_a_version(store: Store) -> None:
    service = "local:a1b2.2"
    plans = [SimulationPlan(f"c{n}", f"close+{n}", {}, "grammar") for n in range(200)]
    first = begin_run(store, flow="daily", service=service, data=ORIGIN)
    for row in plan_simulations(store, service, plans, run_id=first.id).new:
        mark_sending(store, row.id)
        finish_simulation(
            store,
            row.id,
            "complete",
            alpha=AlphaRecord(
                f"A{row.id}",
                row.expression,
                {},
                market_id="a1b2",
                data_version="f1",
                data_until=ORIGIN.last,
            ),
        )
    second = begin_run(store, flow="daily", service=service, data=NEXT)
    planned = plan_simulations(store, service, plans, run_id=second.id)
    assert planned.new == ()
    assert planned.duplicates == 200
    assert len(known_keys(store, service, [plan.key for plan in plans])) == 200
    assert [market.id for market in read_markets(store)] == ["a1b2"]
    assert [version.fingerprint for version in read_data_versions(store, "a1b2")] == ["f1", "f2"]
    (count,) = count_by_version(store, service)
    assert (count.data_version, count.data_until, count.alphas) == ("f1", ORIGIN.last, 200)
    assert count_elsewhere(store, ORIGIN.source, service) == ElsewhereCount(0, 0)
    assert count_elsewhere(store, ORIGIN.source, "local:a1b2.3") == ElsewhereCount(200, 0)
    sealed = f"{service}.to-2022-01-31"
    assert count_elsewhere(store, ORIGIN.source, sealed) == ElsewhereCount(0, 200)


def test_a_later_run_does_not_rename_what_is_there(store: Store) -> None:
    def labels() -> tuple[str, dict[str, str | None]]:
        (market,) = read_markets(store)
        versions = read_data_versions(store, ORIGIN.market_id)
        return market.label, {one.fingerprint: one.label for one in versions}

    def begin(data: DataOrigin) -> None:
        begin_run(store, flow="daily", service="local:a1b2.2", data=data)

    first = replace(ORIGIN, label="SYNTHETIC market to 26 January")
    begin(first)
    begin(replace(first, label="something else"))
    assert labels() == (first.label, {"f1": first.label})
    newer = replace(NEXT, label="SYNTHETIC market to 27 January")
    begin(newer)
    begin(replace(first, label="the old days once more"))
    begin(replace(first, fingerprint="f0", last=date(2023, 1, 25), label="older days"))
    assert labels() == (
        newer.label,
        {"f0": "older days", "f1": first.label, "f2": newer.label},
    )
