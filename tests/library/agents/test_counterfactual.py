"""The counterfactual desk: one agent, limit or cost less, and both desks side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from alphafoundry.agents.comparison import DeskComparison
from alphafoundry.agents.counterfactual import COSTS, LIMITS, counterfactual_of, schedule_without
from alphafoundry.agents.report import DeskReport
from alphafoundry.agents.schedule import Schedule
from alphafoundry.agents.schedule_check import checked_schedule
from alphafoundry.agents.simulation import finished_simulation, plain_values
from alphafoundry.agents.status import desk_status
from alphafoundry.errors import FoundryError
from alphafoundry.runs import Report, to_markdown
from alphafoundry.store import Store, open_store
from alphafoundry.store.agents import count_ticks, read_agent_desk
from tests.library.agents.small_desks import SCHEDULE, small_desk, small_panel

SESSIONS = 3


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    return plain_values(checked_schedule(SCHEDULE))


def test_every_agent_limit_and_cost_can_be_left_out(values: dict[str, Any]) -> None:
    for name in values["tasks"]:
        without = schedule_without(values, [name], "production")
        assert name not in without.tasks
        assert all(name not in task.closure for task in without.tasks.values())
    for name in [*LIMITS, *COSTS, "costs"]:
        if name in ("interest", "orders.max_order_value", "orders.max_gross", "orders.max_name"):
            continue  # the schedule sets none
        assert plain_values(schedule_without(values, [name], "production")) != values, name
    rules = schedule_without(
        values, ["costs", "limits.gross", "limits.turnover"], "production"
    ).rules
    assert (rules.costs.spread_bps, rules.costs.impact, rules.costs.borrow) == (0.0, 0.0, 0.0)
    assert (rules.broker.half_spread, float(rules.broker.commission_per_share)) == (0.0, 0.0)
    assert (rules.limits.gross, rules.limits.turnover) == (2.0, 4.0)


def test_what_cannot_be_left_out_is_told(values: dict[str, Any]) -> None:
    for name, told in (
        ("limits.sectr", "did you mean 'limits.sector'"),
        ("sentiment", "did you mean 'sentiment_fetch'"),
        ("orders.max_gross", "this desk has none; nothing would change"),
    ):
        with pytest.raises(FoundryError, match=told):
            schedule_without(values, [name], "production")
    with pytest.raises(FoundryError, match="is the last agent"):
        schedule_without({"tasks": {"a": {"interval_minutes": 5}}}, ["a"], "production")


def report_of(
    store: Store, panel: Any, home: Path, name: str, schedule: Schedule | None = None
) -> DeskReport:
    with small_desk(store, panel, home, name=name, sessions=SESSIONS, schedule=schedule) as desk:
        desk.prepare()
        for session in desk.sessions:
            desk.run_session(session)
        return desk.report()


@pytest.fixture(scope="module")
def as_it_was(tmp_path_factory: pytest.TempPathFactory) -> DeskReport:
    """The report of a desk that lacks nothing."""
    home = tmp_path_factory.mktemp("as-it-was")
    with open_store(None, home=home) as store:
        return report_of(store, small_panel(), home, "as-it-was")


@pytest.mark.long
def test_two_desks_stand_side_by_side(
    tmp_path: Path, values: dict[str, Any], as_it_was: DeskReport
) -> None:
    panel = small_panel()
    with open_store(None, home=tmp_path) as store:
        free = report_of(
            store, panel, tmp_path, "free", schedule_without(values, ["costs"], "production")
        )
        silent = report_of(
            store,
            panel,
            tmp_path,
            "silent",
            schedule_without(values, ["explanation"], "production"),
        )
        blind = report_of(
            store, panel, tmp_path, "blind", schedule_without(values, ["data_sync"], "production")
        )
        assert "explanation" not in {agent for agent, _, _ in count_ticks(store, "silent")}
    # The first session pays for its trades, too.
    assert sum(one.earned for one in as_it_was.evenings) == pytest.approx(as_it_was.earned)
    before = as_it_was.to_json()
    found: Report = DeskComparison(before, free.to_json(), ("costs",))
    plain = json.loads(json.dumps(found.to_json()))
    changes = np.array([[one["before"], one["after"]] for one in plain["sessions"]])
    assert len(changes) == SESSIONS
    assert changes.sum(axis=0) == pytest.approx([as_it_was.earned, free.earned], abs=1e-6)
    differences = changes[:, 1] - changes[:, 0]
    assert plain["difference"] == pytest.approx(differences.sum(), abs=1e-6)
    assert plain["error"] == pytest.approx(np.sqrt(SESSIONS * differences.var(ddof=1)))
    shown = {one["figure"]: (one["before"], one["after"]) for one in plain["figures"]}
    assert shown["costs"][0] > 0.0 and shown["costs"][1] == pytest.approx(0.0)
    assert plain["parted"] == plain["sessions"][0]["day"]
    assert f"{abs(plain['difference']):,.2f} dollars" in to_markdown(found)

    same = DeskComparison(before, silent.to_json(), ("explanation",))
    assert same.summary() == [("same", "no session differs by a cent without explanation")]
    none = DeskComparison(before, blind.to_json(), ("data_sync",))
    assert f"only 0 of {SESSIONS} sessions" in none.summary()[0][1]


def test_desks_with_other_sessions_are_not_set_apart(as_it_was: DeskReport) -> None:
    whole = as_it_was.to_json()
    fewer = {**whole, "sessions": whole["sessions"][:2], "desk": "cut"}
    fewer |= {"equity": fewer["sessions"][-1]["equity"], "earned": whole["earned"] / 3}
    found = DeskComparison(whole, fewer, ("data_sync",))
    plain = found.to_json()
    assert (plain["difference"], plain["error"]) == (None, None)
    assert {row["difference"] for row in found.tables()[0].rows} == {""}
    assert len(plain["sessions"]) == 2 and "earned" in to_markdown(found)
    assert "only 2 of 3 sessions were closed" in found.summary()[0][1]


def test_the_newest_desk_is_no_counterfactual(tmp_path: Path) -> None:
    panel = small_panel()
    with open_store(None, home=tmp_path) as store:
        with pytest.raises(FoundryError, match="no desk yet"):
            finished_simulation(store, None)
        with small_desk(store, panel, tmp_path, name="first"):
            pass
        with small_desk(
            store, panel, tmp_path, name="other", more={"like": "first", "without": ["costs"]}
        ):
            pass
        assert desk_status(store).desk.name == "first"
        first, other = read_agent_desk(store, "first"), read_agent_desk(store, "other")
        # Done again it stays what it is; without more it is the first without both.
        assert counterfactual_of(first, ()) == {}
        assert counterfactual_of(other, ()) == {"like": "first", "without": ["costs"]}
        assert counterfactual_of(other, ["explanation"]) == {
            "like": "first",
            "without": ["costs", "explanation"],
        }
        assert "a counterfactual: first without costs" in list(desk_status(store, "other").lines())
        with pytest.raises(FoundryError, match="no finished simulation"):
            finished_simulation(store, "first")
