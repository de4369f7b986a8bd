"""The phase type `signal_generation`: components' signals computed once and stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from alphafoundry.coordinator.components import Component, add_component, store_signals
from alphafoundry.coordinator.context import PhaseContext
from alphafoundry.coordinator.document import Section, Text
from alphafoundry.coordinator.phase_types import Shape, phase_type
from alphafoundry.coordinator.phases.optimization import chosen_strategies
from alphafoundry.coordinator.workflow import Phase, Workflow


class SignalGenerationConfig(Section):
    """`config` of a signal generation.

    strategies : names, None is all enabled ones
    """

    strategies: tuple[Text, ...] | None = None


def _chosen(phase: Phase, workflow: Workflow) -> list[str]:
    assert isinstance(phase.config, SignalGenerationConfig)
    return [use.name for use in chosen_strategies(phase.config.strategies, {}, workflow)]


def _outputs(_phase: Phase, _workflow: Workflow) -> Mapping[str, Shape]:
    return {"components": None, "signals": None}


def _trials(phase: Phase, workflow: Workflow, _days: int) -> int:
    return len(_chosen(phase, workflow))


def _check(phase: Phase, workflow: Workflow) -> None:
    _chosen(phase, workflow)


@phase_type(
    "signal_generation",
    config=SignalGenerationConfig,
    outputs=_outputs,
    trials=_trials,
    check=_check,
)
def signal_generation(context: PhaseContext) -> dict[str, Any]:
    """Store the signals of the top trials of the searches before, else of the strategies."""
    names = _chosen(context.phase, context.workflow)
    components: dict[str, Component] = {}
    for phase, outputs in context.of_kind("optimization"):
        for name, given in outputs["components"].items():
            add_component(components, phase, name, Component.from_json(given))
    if not components:
        components = {
            use.name: Component(use.source, use.complete({})) for use in context.strategies(names)
        }
    keys = store_signals(context, list(components.values()))
    return {
        "components": {name: component.to_json() for name, component in components.items()},
        "signals": dict(zip(components, keys, strict=True)),
    }
