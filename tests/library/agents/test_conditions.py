"""The grammar of conditions, and what they look at."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from alphafoundry.agents import conditions, registry
from alphafoundry.agents.conditions import condition, known_conditions, read_condition
from alphafoundry.agents.health import AgentState
from alphafoundry.agents.installed import known_agents
from alphafoundry.agents.snapshot import Facts, Snapshot
from alphafoundry.errors import ConfigurationError
from tests.library.agents.desks import at, hours_of

HOURS = hours_of("2024-03-01", "2024-03-20")


def seen(moment: str = "2024-03-08T15:00:00", **facts: object) -> Snapshot:
    now = at(moment)
    states = {"own": AgentState(60.0), "other": AgentState(60.0)}
    return Snapshot(now, HOURS.at(now), "own", facts=Facts(**facts), agents=states)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "given", "facts", "holds"),
    [
        ("position_count", ">0", {"positions": 1}, True),
        ("position_count", ">0", {"positions": 0}, False),
        ("position_count", "<= 2", {"positions": 3}, False),
        ("position_count", 2, {"positions": 2}, True),
        ("pending_orders", True, {"pending_orders": 4}, True),
        ("pending_orders", True, {"pending_orders": 0}, False),
        ("pending_orders", False, {"pending_orders": 0}, True),
        ("new_trades", True, {"fills": 1}, True),
        ("trading_activity", True, {"trades_today": 0}, False),
        ("low_activity", True, {"pending_orders": 0}, True),
        ("market_volatility", "normal", {"volatility": "high"}, False),
        ("market_volatility", ["normal", "high"], {"volatility": "high"}, True),
        ("news_events", False, {"severe_news": False}, True),
        ("news_events", False, {"severe_news": True}, False),
        ("system_health", 0.9, {"host": 0.9}, True),
        ("system_health", 0.9, {"host": 0.75}, False),
        ("system_health", "> 0.9", {"host": 0.9}, False),
    ],
)
def test_a_condition_means_what_it_says(name, given, facts, holds):
    assert (read_condition(name, given).failure(seen(**facts)) is None) is holds


@pytest.mark.parametrize(
    ("moment", "hours", "closed"),
    [
        ("2024-03-08T14:29:59", False, True),  # before the open, in winter time
        ("2024-03-08T14:30:00", True, False),
        ("2024-03-08T21:29:59", True, False),  # half an hour of grace
        ("2024-03-08T21:30:00", False, True),
        ("2024-03-09T16:00:00", False, True),  # Saturday
        ("2024-03-11T13:30:00", True, False),  # in summer time the session begins an hour earlier
    ],
)
def test_market_hours_are_those_of_the_exchange(moment, hours, closed):
    assert (read_condition("market_hours", True).failure(seen(moment)) is None) is hours
    assert (read_condition("market_hours", False).failure(seen(moment)) is None) is closed


def test_minutes_from_open_and_to_close():
    before_close = read_condition("before_close", 20)
    assert before_close.failure(seen("2024-03-08T20:40:00")) is None
    assert "19" in str(before_close.failure(seen("2024-03-08T20:41:00")))
    assert read_condition("after_open", "<= 10").failure(seen("2024-03-08T14:41:00"))


def test_what_is_not_known_blocks_unless_it_is_allowed():
    assert read_condition("news_events", False).failure(seen()) == "news_events is not known"
    allowed = read_condition("news_events", {"is": False, "on_unknown": "allow"})
    assert allowed.failure(seen()) is None


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("market_hour", True, "did you mean 'market_hours'"),
        ("position_count", "> many", "neither a number nor a comparison"),
        ("position_count", "__import__('os')", "neither a number nor a comparison"),
        ("market_hours", 1, "neither true nor false"),
        ("market_volatility", "wild", "choose one of extreme, high, low, normal"),
        ("system_health", True, "true is no number"),
        ("news_events", {"is": False, "unknown": "allow"}, "may have `on_unknown`"),
        ("news_events", {"is": False, "on_unknown": "maybe"}, "neither allow nor block"),
    ],
)
def test_what_is_not_understood_is_refused(name, given, message):
    with pytest.raises(ConfigurationError) as problem:
        read_condition(name, given)
    assert message in str(problem.value)


def test_a_condition_of_ones_own():
    @condition("full_moon", kind="flag")
    def full_moon(snapshot: Snapshot) -> bool | None:
        return snapshot.now % 2 == 0

    try:
        assert read_condition("full_moon", True).failure(seen("2024-03-08T15:00:00")) is None
        assert read_condition("full_moon", True).failure(seen("2024-03-08T15:00:01"))
        with pytest.raises(ConfigurationError, match="there already"):
            condition("full_moon", kind="flag")(full_moon)
    finally:
        del known_conditions()["full_moon"]  # type: ignore[attr-defined]


def packaged(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str, entry: str, body: str = ""
) -> None:
    """Put a package with one entry point on the path, as its installation would."""
    about = folder / f"{name}-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (about / "entry_points.txt").write_text(f"[alphafoundry.{kind}]\n{entry}\n")
    (folder / f"{name}.py").write_text(body)
    monkeypatch.setattr(conditions, "_KNOWN", dict(known_conditions()))
    monkeypatch.setattr(registry, "_KNOWN", dict(known_agents()))
    monkeypatch.syspath_prepend(str(folder))


def test_a_broken_package_is_told_only_where_its_condition_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = tmp_path / "broken-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[alphafoundry.conditions]\ntide = math:pi\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert read_condition("position_count", ">0").name == "position_count"
    with pytest.raises(ConfigurationError, match="entry point tide: math:pi is no ConditionKind"):
        read_condition("tide", True)


def test_an_entry_point_may_name_a_decorated_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged(
        tmp_path,
        monkeypatch,
        "decorated_condition",
        "conditions",
        "even_hour = decorated_condition:even",
        "from alphafoundry.agents.conditions import condition\n"
        "@condition('even_hour', kind='flag')\n"
        "def even(snapshot):\n    return True\n",
    )
    assert read_condition("even_hour", True).failure(seen("2024-03-08T15:00:00")) is None


def test_an_agent_of_a_package_may_be_a_decorated_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged(
        tmp_path,
        monkeypatch,
        "decorated_agent",
        "agents",
        "teller = decorated_agent:tell",
        "from alphafoundry.agents.registry import AgentResult, agent\n"
        "@agent('teller')\n"
        "def tell(context):\n    return AgentResult('told')\n",
    )
    assert known_agents()["teller"].name == "teller"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("import no_such_module", r"no_agent:tell cannot be imported \(ModuleNotFoundError: No"),
        ("x = 1", r"no_agent:tell cannot be imported \(AttributeError: "),
        ("def tell(context): ...", "no_agent:tell is no Agent, nor a function decorated by @agent"),
    ],
)
def test_a_package_whose_agent_is_none_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, message: str
) -> None:
    packaged(tmp_path, monkeypatch, "no_agent", "agents", "teller = no_agent:tell", body)
    monkeypatch.delitem(sys.modules, "no_agent", raising=False)
    with pytest.raises(ConfigurationError, match=f"entry point teller: {message}"):
        known_agents()
    sys.modules.pop("no_agent", None)
