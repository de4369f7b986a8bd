"""The strategies of a workflow: by name, by expression, or a Strategy of the user's own module."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from alphafoundry.backtest import (
    Strategy,
    expression_strategy,
    on_symbols,
    strategy_named,
    with_own_rules,
)
from alphafoundry.backtest.execution import Fill
from alphafoundry.coordinator.parameter_space import ParameterSpec
from alphafoundry.errors import BacktestError, UnknownStrategy
from alphafoundry.importing import imported_by_name

SEED_PARAMETER = "seed"
"""A strategy's parameter of this name gets the trial's own seed, unless the document sets it."""


@dataclass(frozen=True)
class StrategySource:
    """How to make a strategy again in another process.

    type : name of an embedded strategy, module:attribute, or "expression"
    template : of an expression
    defaults : of an expression: placeholder and its default
    symbols : that it sees and trades; None is all
    rules : of `OWN_RULES`, which it has as parameters; size, fill : of the backtest, for them
    """

    type: str
    template: str | None = None
    defaults: tuple[tuple[str, float], ...] = ()
    symbols: tuple[str, ...] | None = None
    rules: tuple[str, ...] = ()
    size: float = 0.05
    fill: Fill = "close"

    def to_json(self) -> dict[str, Any]:
        """Return plain values, from which `source_from_json` makes this again.

        For a strategy of the user's own, `code` tells its module's source apart in checkpoints.
        """
        plain: dict[str, Any] = {
            "type": self.type,
            "template": self.template,
            "defaults": list(self.defaults),
        }
        if self.symbols is not None:
            plain["symbols"] = list(self.symbols)
        if self.rules:
            plain |= {"rules": list(self.rules), "size": self.size, "fill": self.fill}
        if self.template is None and ":" in self.type:
            plain["code"] = source_digest(self.type.partition(":")[0])
        return plain

    def strategy(self) -> Strategy:
        """Return the strategy. Raises BacktestError or ExpressionError."""
        if self.template is not None:
            found = expression_strategy(self.template, dict(self.defaults))
        elif ":" in self.type:
            found = _imported(self.type)
        else:
            found = strategy_named(self.type)
        if self.symbols is not None:
            found = on_symbols(found, self.symbols)
        if self.rules:
            found = with_own_rules(found, self.rules, position_size_pct=self.size, fill=self.fill)
        return found


def source_from_json(given: Mapping[str, Any]) -> StrategySource:
    """Return the source that `to_json` gave."""
    defaults = tuple((str(name), value) for name, value in given["defaults"])
    symbols = given.get("symbols")
    return StrategySource(
        given["type"],
        given["template"],
        defaults,
        symbols=None if symbols is None else tuple(symbols),
        rules=tuple(given.get("rules", ())),
        size=given.get("size", 0.05),
        fill=given.get("fill", "close"),
    )


@dataclass(frozen=True)
class StrategyUse:
    """One enabled strategy of a workflow.

    Attributes
    ----------
    name : how the document calls it; unique
    source : how it is made
    params : fixed values
    space : parameter to the values that a search tries
    allocation : share of the capital, all shares sum to 1
    """

    name: str
    source: StrategySource
    params: Mapping[str, Any]
    space: Mapping[str, ParameterSpec]
    allocation: float

    @property
    def strategy(self) -> Strategy:
        """The strategy itself."""
        return self.source.strategy()

    @property
    def seeded(self) -> bool:
        """Whether each trial gets a seed of its own: the strategy takes one, nobody sets it."""
        declared = SEED_PARAMETER in self.strategy.parameters
        return declared and SEED_PARAMETER not in {**self.params, **self.space}

    def complete(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return all parameters: fixed ones, then `values`, then defaults; checked."""
        return self.strategy.complete({**self.params, **values})


def _imported(reference: str) -> Strategy:
    found = imported_by_name(reference, "strategy", refused=UnknownStrategy)
    if not isinstance(found, Strategy):
        raise BacktestError(
            f"strategy {reference!r} is a {type(found).__name__}, not a Strategy of "
            "alphafoundry.backtest"
        )
    # Two modules may use one name, and stored signals must not outlive the code that made them.
    source = source_digest(reference.partition(":")[0])
    return replace(found, identity=f"{reference} {source} {found.identity}")


@cache
def source_digest(module_name: str) -> str:
    """Return 16 hex digits of a module's source file; "" where it has none that can be read."""
    file = getattr(importlib.import_module(module_name), "__file__", None)
    try:
        return "" if file is None else hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16]
    except OSError:
        return ""
