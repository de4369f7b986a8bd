"""Components: a strategy with its parameters, whose signals are stored once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alphafoundry.backtest import SignalStore
from alphafoundry.coordinator.context import PhaseContext
from alphafoundry.coordinator.strategies import StrategySource, source_from_json
from alphafoundry.errors import PhaseFailed


@dataclass(frozen=True)
class Component:
    """A strategy with complete parameters."""

    source: StrategySource
    parameters: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {"strategy": self.source.to_json(), "parameters": dict(self.parameters)}

    @staticmethod
    def from_json(given: Mapping[str, Any]) -> Component:
        """Return the component that `to_json` gave."""
        return Component(source_from_json(given["strategy"]), given["parameters"])


def add_component(found: dict[str, Component], phase: str, name: str, component: Component) -> None:
    """Add a component; one that shares its name with another gets its phase's name before it."""
    if found.get(name, component) != component:
        name = f"{phase}-{name}"
    found.setdefault(name, component)


def store_signals(context: PhaseContext, components: Sequence[Component]) -> list[str]:
    """Store each component's signals over all days and return their keys in the store.

    Raises PhaseFailed where one could not be computed: an ensemble without it would be another.
    """
    (trials,) = context.work(
        "signals", [([component.to_json() for component in components], {})], size=4
    )
    keys = []
    for component, trial in zip(components, trials, strict=True):
        if trial.numbers is None:
            failure = next(item for item in context.failures if item.number == trial.number)
            raise PhaseFailed(
                f"phase {context.phase.name}: the signals of {component.source.type} "
                f"{dict(component.parameters)} could not be computed: {failure.message}"
            )
        keys.append(str(trial.numbers["key"]))
        context.require_honest(component.source.to_json(), component.parameters)
    _repair(context, components, keys)
    return keys


def _repair(context: PhaseContext, components: Sequence[Component], keys: Sequence[str]) -> None:
    """Store signals again whose checkpoint is there and whose file is gone or damaged."""
    store = SignalStore(context.setting.signals)
    for component, key in zip(components, keys, strict=True):
        if store.get(key) is None:
            store.signals(context.bars, component.source.strategy(), component.parameters)
