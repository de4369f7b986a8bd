"""The package of examples/desk_plugin, found by its entry points as an installed one is."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from alphafoundry.agents import conditions, registry
from alphafoundry.agents.desk import Desk
from alphafoundry.agents.installed import known_agents
from alphafoundry.agents.schedule_check import checked_schedule
from alphafoundry.agents.snapshot import Facts
from alphafoundry.store.agents import read_ticks
from tests.library.agents.desks import GivenClock, at, stored_book
from tests.library.agents.research_floor import research_floor
from tests.library.agents.small_desks import small_panel

PACKAGE = Path(__file__).resolve().parents[2] / "examples" / "desk_plugin"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Put the package and what its installation would write on the path."""
    given = tomllib.loads((PACKAGE / "pyproject.toml").read_text("utf-8"))["project"]
    about = tmp_path / "site" / "desk_plugin-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {given['name']}\nVersion: 1\n")
    groups = given["entry-points"].items()
    (about / "entry_points.txt").write_text(
        "\n".join(
            f"[{group}]\n" + "\n".join(f"{name} = {where}" for name, where in entries.items())
            for group, entries in groups
        )
    )
    monkeypatch.syspath_prepend(str(about.parent))
    monkeypatch.syspath_prepend(str(PACKAGE))
    monkeypatch.setattr(registry, "_KNOWN", dict(known_agents()))
    monkeypatch.setattr(conditions, "_KNOWN", dict(conditions.known_conditions()))


def test_the_package_is_short() -> None:
    lines = [
        line
        for path in (PACKAGE / "pyproject.toml", PACKAGE / "desk_plugin.py")
        for line in path.read_text("utf-8").splitlines()
        if line.strip() and not line.startswith("#")
    ]
    assert len(lines) < 40


def test_its_agent_runs_where_its_condition_holds(installed, tmp_path) -> None:
    schedule = checked_schedule(PACKAGE / "schedule.yaml")
    with research_floor(tmp_path / "floor", small_panel()) as floor:
        floor.data_until = floor.panel.dates[-3].item()
        began = at("2024-03-13T12:00:00")
        book = stored_book(floor.store, schedule, began)
        desk = Desk(schedule, floor.hours, known_agents(), book, floor)
        for day in (14, 15):
            desk.step("breadth", GivenClock(at(f"2024-03-{day}T15:00:00")), facts=Facts(host=1.0))
        rows = [one for one in read_ticks(floor.store, "test") if one.outcome != "missed"]
    assert [one.outcome for one in rows] == ["blocked", "ran"]
    assert rows[0].reason == "weekday is thursday, not monday or friday"
    assert rows[1].reason.endswith("of the names rose")
