"""Conditions of an agent: a small typed grammar, read once when the schedule is loaded.

    market_hours: true           a flag
    system_health: 0.8           a number: at least so much
    position_count: ">0"         a comparison: > >= < <= ==
    market_volatility: [low, normal]     one of some names
    news_events: {is: false, on_unknown: allow}

Nothing is evaluated as a program. A condition of one's own is a function:

    @condition("full_moon", kind="flag")
    def full_moon(snapshot: Snapshot) -> bool | None: ...
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from alphafoundry.agents.packages import add_installed
from alphafoundry.configuration import suggest
from alphafoundry.errors import ConfigurationError

if TYPE_CHECKING:
    from alphafoundry.agents.snapshot import Snapshot

Value = bool | float | str | None
"""What a condition looks at; None where it is not known."""

Kind = Literal["flag", "number", "count", "name"]
OnUnknown = Literal["allow", "block"]

ENTRY_POINTS = "alphafoundry.conditions"
VOLATILITY = ("low", "normal", "high", "extreme")
LAST_CLOSED = "last_closed_session"

_COMPARISON = re.compile(r"\s*(>=|<=|==|>|<)\s*([-+]?[0-9]+(?:\.[0-9]+)?)\s*")
_OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
}


@dataclass(frozen=True)
class Test:
    """What a value has to be.

    Attributes
    ----------
    text : as a person reads it: "true", ">= 0.8", "low or normal"
    passes : of a known value
    """

    text: str
    passes: Callable[[bool | float | str], bool]


@dataclass(frozen=True)
class ConditionKind:
    """What a condition looks at.

    Attributes
    ----------
    kind : "flag" takes true and false; "number" a number or a comparison; "count" both; "name"
        one of `names` or a list of them
    look : reads its value from a snapshot; None where it is not known
    idle : whether a failed test means that there is nothing to do, which satisfies dependants
    timeless : whether it is the same as long as facts, phase of the market and agents are; one
        that looks at the time is not
    share : whether its number lies between 0 and 1
    """

    kind: Kind
    look: Callable[[Snapshot], Value]
    idle: bool = False
    names: tuple[str, ...] = ()
    timeless: bool = False
    share: bool = False


@dataclass(frozen=True)
class Condition:
    """A condition of one agent, ready to be looked at."""

    name: str
    what: ConditionKind
    test: Test
    on_unknown: OnUnknown = "block"

    def failure(self, snapshot: Snapshot) -> str | None:
        """Return why it does not hold, None where it does."""
        found = self.what.look(snapshot)
        if found is None:
            return None if self.on_unknown == "allow" else f"{self.name} is not known"
        if self.test.passes(found):
            return None
        shown = f"{found:.3g}" if isinstance(found, float) else str(found).lower()
        return f"{self.name} is {shown}, not {self.test.text}"


def read_condition(name: str, given: object) -> Condition:
    """Return the condition that a schedule gives.

    Raises ConfigurationError for a name that is not known or a value that it does not take; the
    message names neither file nor line.
    """
    what = _KNOWN.get(name) or known_conditions().get(name)
    if what is None:
        raise ConfigurationError(f"unknown condition; {suggest(name, known_conditions())}")
    on_unknown: OnUnknown = "block"
    if isinstance(given, dict):
        extra = set(given) - {"is", "on_unknown"}
        if extra or "is" not in given:
            raise ConfigurationError("a mapping needs `is`, and may have `on_unknown`; no more")
        chosen = given.get("on_unknown", "block")
        if chosen not in ("allow", "block"):
            raise ConfigurationError(f"on_unknown: {chosen!r} is neither allow nor block")
        on_unknown = "allow" if chosen == "allow" else "block"
        given = given["is"]
    return Condition(name, what, _test(what, given), on_unknown)


def condition(
    name: str, *, kind: Kind, idle: bool = False, names: tuple[str, ...] = ()
) -> Callable[[Callable[[Snapshot], Value]], Callable[[Snapshot], Value]]:
    """Register a condition of one's own; the function reads its value from a snapshot.

    A package may instead name a `ConditionKind` under the entry points `alphafoundry.conditions`;
    packages are asked for names that are not registered, since asking takes milliseconds each time.
    Raises ConfigurationError where the name is taken.
    """

    def register(look: Callable[[Snapshot], Value]) -> Callable[[Snapshot], Value]:
        if name in _KNOWN:
            raise ConfigurationError(f"condition {name!r} is there already; choose another name")
        _KNOWN[name] = ConditionKind(kind, look, idle, names)
        return look

    return register


def known_conditions() -> Mapping[str, ConditionKind]:
    """Return every condition by name, those of installed packages included."""
    add_installed(_KNOWN, ENTRY_POINTS, ConditionKind, "@condition({!r}, kind=...)")
    return _KNOWN


def _test(what: ConditionKind, given: object) -> Test:
    if isinstance(given, bool):
        return _flag(what, given)
    if what.kind == "name":
        return _one_of(what, given)
    if what.kind == "flag":
        raise ConfigurationError(f"{given!r} is neither true nor false")
    if isinstance(given, int | float):
        return _compared(">=", float(given))
    found = _COMPARISON.fullmatch(given) if isinstance(given, str) else None
    if found is None:
        also = ", nor true or false" if what.kind == "count" else ""
        shown = "nothing" if given is None else repr(given)
        raise ConfigurationError(
            f'{shown} is neither a number nor a comparison such as ">0" (> >= < <= ==){also}'
        )
    return _compared(found[1], float(found[2]))


def _flag(what: ConditionKind, given: bool) -> Test:
    if what.kind in {"flag", "count"}:
        return Test(str(given).lower(), lambda value: bool(value) is given)
    raise ConfigurationError(
        f"{str(given).lower()} is no number"
        if what.kind == "number"
        else f"{str(given).lower()} is none of {', '.join(what.names)}"
    )


def _compared(sign: str, limit: float) -> Test:
    compare = _OPERATORS[sign]
    return Test(f"{sign} {limit:g}", lambda value: compare(float(value), limit))


def _one_of(what: ConditionKind, given: object) -> Test:
    wanted = given if isinstance(given, list) else [given]
    for name in wanted:
        if name not in what.names:
            raise ConfigurationError(f"{name!r}: {suggest(str(name), what.names)}")
    return Test(" or ".join(str(name) for name in wanted), lambda value: value in wanted)


def _minutes(moment: int | None) -> float | None:
    return None if moment is None else moment / 60.0


_timeless = partial(ConditionKind, timeless=True)

_KNOWN: dict[str, ConditionKind] = {
    "market_hours": _timeless("flag", lambda seen: seen.moment.trades),
    "after_open": ConditionKind("number", lambda seen: _minutes(seen.moment.since_open)),
    "before_close": ConditionKind("number", lambda seen: _minutes(seen.moment.to_close)),
    "market_volatility": _timeless("name", lambda seen: seen.facts.volatility, names=VOLATILITY),
    "news_events": _timeless("flag", lambda seen: seen.facts.severe_news),
    "position_count": _timeless("count", lambda seen: seen.facts.positions, idle=True),
    "pending_orders": _timeless("count", lambda seen: seen.facts.pending_orders, idle=True),
    "new_trades": _timeless("count", lambda seen: seen.new_trades, idle=True),
    "trading_activity": _timeless("count", lambda seen: seen.facts.trades_today, idle=True),
    "low_activity": _timeless("flag", lambda seen: seen.facts.low_activity),
    "system_health": _timeless("number", lambda seen: seen.health, share=True),
    "data": _timeless(
        "name",
        lambda seen: LAST_CLOSED if seen.data_is_current else "older bars",
        names=(LAST_CLOSED,),
    ),
}
