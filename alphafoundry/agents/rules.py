"""What a desk's book may be and what its trades cost: the section `desk` of the schedule's file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, create_model

from alphafoundry.configuration import NumbersOnly, mistake, read_part
from alphafoundry.errors import FoundryError
from alphafoundry.trading import BrokerRules, OrderLimits
from alphafoundry.trading.portfolio import Limits, TradingCosts
from alphafoundry.trading.risk import RiskLimits, StopRules
from alphafoundry.yaml_document import YamlDocument

SECTION = "desk"


@dataclass(frozen=True)
class DeskRules:
    """The rules of a desk, each part by the class that uses it.

    Attributes
    ----------
    limits : what the rebalancing aims within
    risk : what changes the desk's state when the market has moved the book
    stops : when positions are closed, and for how long nothing is opened
    orders : what a single order may be; checked in the transaction that sends it
    costs : what the rebalancing expects a trade to cost
    broker : what the paper broker charges and allows
    """

    limits: Limits = field(default_factory=Limits)
    risk: RiskLimits = field(default_factory=RiskLimits)
    stops: StopRules = field(default_factory=StopRules)
    orders: OrderLimits = field(default_factory=OrderLimits)
    costs: TradingCosts = field(default_factory=TradingCosts)
    broker: BrokerRules = field(default_factory=BrokerRules)

    def lines(self) -> Iterator[str]:
        """Yield a line for each part, with every value that holds."""
        for part in fields(self):
            values = asdict(getattr(self, part.name))
            told = ", ".join(f"{name} {_told(value)}" for name, value in values.items())
            yield f"{SECTION}.{part.name}: {told}"


def _told(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, frozenset):
        return "+".join(sorted(value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


class _Part(NumbersOnly):
    model_config = ConfigDict(extra="forbid", frozen=True)


_KINDS: Mapping[str, type] = {
    "limits": Limits,
    "risk": RiskLimits,
    "stops": StopRules,
    "orders": OrderLimits,
    "costs": TradingCosts,
    "broker": BrokerRules,
}
"""Part to the class whose fields are its keys."""


def _form(kind: type) -> type[BaseModel]:
    """Return the form of a part: the keys, types and defaults of its class."""
    hints = get_type_hints(kind)
    keys: dict[str, Any] = {
        one.name: (hints[one.name], one.default)
        for one in fields(kind)
        if one.default is not MISSING
    }
    return create_model(kind.__name__, __base__=_Part, **keys)


RulesFile: type[BaseModel] = create_model(
    "RulesFile",
    __base__=_Part,
    **{name: (_form(kind), _form(kind)()) for name, kind in _KINDS.items()},  # type: ignore[call-overload]
)
"""The section as it stands in the file; a key that is left out has its usual value."""


def read_rules(document: YamlDocument, path: Path) -> DeskRules:
    """Return the rules of a schedule's file.

    Raises ConfigurationError for a key that is unknown, a value of another type and one out of
    range, with file, line and key.
    """
    read = read_part(document, RulesFile, path=path, key=(SECTION,))
    parts: dict[str, Any] = {}
    for name, kind in _KINDS.items():
        values = dict(getattr(read, name))
        try:
            parts[name] = kind(**values)
        except FoundryError as problem:
            key, _, complaint = str(problem).partition(": ")
            inside = (key,) if key in values else ()
            told = complaint if inside else str(problem)
            raise mistake(document, path, (SECTION, name, *inside), told) from None
    return DeskRules(**parts)
