"""The phase type `signal_generation`: components' signals computed once and stored."""

from __future__ import annotations

from alphafoundry.coordinator.components import Component, add_component, store_signals
from alphafoundry.coordinator.context import PhaseContext
from alphafoundry.coordinator.document_values import Section, Text
from alphafoundry.coordinator.phase_outputs import OptimizationOutputs, SignalOutputs
from alphafoundry.coordinator.phase_types import phase_type
from alphafoundry.coordinator.phases.optimization import chosen_strategies
from alphafoundry.coordinator.wording import counted
from alphafoundry.coordinator.workflow import Phase, Workflow


class SignalGenerationConfig(Section):
    """`config` of a signal generation.

    strategies : names, None is all enabled ones
    """

    strategies: tuple[Text, ...] | None = None


def _chosen(phase: Phase, workflow: Workflow) -> list[str]:
    assert isinstance(phase.config, SignalGenerationConfig)
    return [use.name for use in chosen_strategies(phase.config.strategies, {}, workflow)]


def _trials(phase: Phase, workflow: Workflow, _days: int) -> int:
    return len(_chosen(phase, workflow))


def _check(phase: Phase, workflow: Workflow) -> None:
    _chosen(phase, workflow)


@phase_type(
    "signal_generation",
    config=SignalGenerationConfig,
    outputs=SignalOutputs,
    trials=_trials,
    check=_check,
    looks_at="nothing",
    container_types=("signal_generation",),
    result=lambda outputs: f"{counted(len(outputs.components), 'component')} stored",
)
def signal_generation(context: PhaseContext) -> SignalOutputs:
    """Store the signals of the top trials of the searches before, else of the strategies."""
    names = _chosen(context.phase, context.workflow)
    components: dict[str, Component] = {}
    for phase, outputs in context.before(OptimizationOutputs):
        for name, component in outputs.components.items():
            add_component(components, phase, name, component)
    if not components:
        components = {
            use.name: Component(use.source, use.complete({})) for use in context.strategies(names)
        }
    keys = store_signals(context, list(components.values()))
    return SignalOutputs(components, dict(zip(components, keys, strict=True)))
