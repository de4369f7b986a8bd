"""What a schedule asks for and nothing here can give, and what could never come about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from alphafoundry.agents.desk import agents_of, read_parameters
from alphafoundry.agents.installed import known_agents
from alphafoundry.agents.rules import DeskRules
from alphafoundry.agents.schedule import ENVIRONMENT, Schedule, load_schedule
from alphafoundry.errors import ConfigurationError, MarketError
from alphafoundry.market.sessions import exchange_zone
from alphafoundry.models import missing_package

_COUNTS = (*range(1000), 1e6)
_NOT_HERE = "asked by a desk on a clock alone (run), whose market is a folder that comes from it"

NOT_SERVED: Mapping[str, Mapping[str, str]] = {
    "asset_classes": {
        "crypto": "a desk trades the sessions of one stock exchange",
        "forex": "a desk trades the sessions of one stock exchange",
    },
    "timeframes": {
        "1h": "markets hold daily bars",
        "4h": "markets hold daily bars",
    },
    "sources": {
        "social": "no agent here reads it",
        "reddit": "no agent here reads it",
        "twitter": "its interface is not free to use",
    },
    "data_sources": {
        "yfinance": _NOT_HERE,
        "alpha_vantage": _NOT_HERE,
        "polygon": _NOT_HERE,
    },
    "sync_types": {
        "fundamentals": "markets hold daily bars",
    },
}
"""Parameter to the values of it that cannot be served, and why."""


def checked_schedule(path: Path, *, environment: str = ENVIRONMENT) -> Schedule:
    """Return a schedule whose agents are there and take their parameters; with what is left out.

    Raises ConfigurationError for anything that is wrong, in one line.
    """
    schedule = load_schedule(path, environment=environment)
    try:
        exchange_zone(schedule.orchestrator.exchange)
    except MarketError as problem:
        raise schedule.wrong(("orchestrator", "exchange"), str(problem)) from None
    read_parameters(schedule, agents_of(schedule, known_agents()))
    return replace(schedule, left_out=tuple(_left_out(schedule)))


def check_other_environments(schedule: Schedule) -> None:
    """Raise ConfigurationError for what is wrong in the file's environments that are not chosen."""
    for environment in schedule.environments:
        if environment != schedule.environment:
            try:
                checked_schedule(schedule.path, environment=environment)
            except ConfigurationError as problem:
                raise ConfigurationError(f"{problem} (environment {environment})") from None


def cautions(schedule: Schedule) -> Iterator[str]:
    """Yield what is allowed and can never come about, a sentence each."""
    for name, task in schedule.tasks.items():
        if task.max_duration is not None and task.max_duration >= task.timeout:
            yield (
                f"{name}: it is killed after {task.timeout / 60:g} min, so a warning after "
                f"{task.max_duration / 60:g} min never comes"
            )
        retries, delay = task.settings.retry_count, task.settings.retry_delay_minutes * 60
        room = min(task.timeout, task.interval)
        possible = 0
        while possible < retries and delay * (2 ** (possible + 1) - 1) < room:
            possible += 1
        if possible < retries:
            yield (
                f"{name}: of {retries} retries {possible} at most begin before its time-out and "
                "its next tick"
            )
        for condition in task.conditions:
            shares = (percent / 100 for percent in range(101))
            if condition.what.share and not any(map(condition.test.passes, shares)):
                yield (
                    f"{name}: {condition.name} lies between 0 and 1 and is never "
                    f"{condition.test.text}, so it never runs"
                )
            if condition.what.kind == "count" and not any(map(condition.test.passes, _COUNTS)):
                yield (
                    f"{name}: {condition.name} counts from 0 on and is never "
                    f"{condition.test.text}, so it never runs"
                )
    yield from _cautions_of_rules(schedule.rules)


def _cautions_of_rules(rules: DeskRules) -> Iterator[str]:
    for name in ("gross", "net", "name", "sector"):
        aim, most = getattr(rules.limits, name), getattr(rules.risk, name)
        if most < aim:
            yield (
                f"desk.risk.{name} {most:g} is below desk.limits.{name} {aim:g}, so a book as the "
                "rebalancing aims at it is a breach at once"
            )
    if rules.risk.halt_drawdown < rules.risk.drawdown:
        yield (
            f"desk.risk.halt_drawdown {rules.risk.halt_drawdown:g} is below desk.risk.drawdown "
            f"{rules.risk.drawdown:g}, so the desk halts and never only reduces"
        )


def _left_out(schedule: Schedule) -> Iterator[tuple[str, str]]:
    parameters: dict[str, Mapping[str, Any]] = {
        name: task.settings.parameters for name, task in schedule.tasks.items()
    }
    for name, settings in schedule.disabled.items():
        if name not in known_agents():
            yield f"tasks.{name}", "there is no such agent yet; it is not enabled"
        parameters[name] = settings.parameters
    for name, given in parameters.items():
        for parameter, value in given.items():
            for one in value if isinstance(value, list) else [value]:
                reason = _why_not(parameter, one)
                if reason is not None:
                    yield f"tasks.{name}.parameters.{parameter}: {one}", reason


def _why_not(parameter: str, value: Any) -> str | None:
    if parameter == "model_types":
        return missing_package(value)
    return NOT_SERVED.get(parameter, {}).get(value) if isinstance(value, str) else None
