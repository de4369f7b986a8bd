"""A workflow document brought to one form and checked, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import alphafoundry.coordinator.phases  # noqa: F401  (registers the types)
from alphafoundry.backtest import Costs, Execution, Sizing
from alphafoundry.configuration import mistake, read_part, suggest
from alphafoundry.coordinator.document import (
    PhaseLimits,
    PhaseSection,
    Section,
    StrategySection,
    WorkflowDocument,
)
from alphafoundry.coordinator.graph import topological
from alphafoundry.coordinator.outputs import Shape
from alphafoundry.coordinator.parameter_space import ParameterSpec, default_spec
from alphafoundry.coordinator.phase_types import (
    PhaseType,
    phase_type_named,
    phase_types,
    type_of,
)
from alphafoundry.coordinator.strategies import SEED_PARAMETER, StrategySource, StrategyUse
from alphafoundry.coordinator.workflow import InputRef, Phase, Workflow
from alphafoundry.errors import BacktestError, ConfigurationError, ExpressionError
from alphafoundry.yaml_document import KeyPath, YamlDocument, read_yaml

DEFAULT_STRATEGY = "moving_average_cross"

DOCUMENT_TYPES: Mapping[str, str] = {
    "parameter_discovery": "optimization",
    "regime_analysis": "analysis",
    "ensemble_optimization": "signal_replay",
    "validation": "validation",
    "final_validation": "validation",
    "walk_forward": "walk_forward",
}
"""Types of the phases of `coordinator.phases` that bear a name of the document."""


DOCUMENT_NAME = "workflow.yaml"
"""What messages and the run's folder call a document that is given as a mapping."""


def load_workflow(source: Path | str | Mapping[str, Any]) -> Workflow:
    """Read and check a workflow: a YAML file, or the document itself.

    Raises
    ------
    ConfigurationError : file:line: key, what is wrong and what is allowed
    """
    if isinstance(source, Mapping):
        return _Loader(Path(DOCUMENT_NAME), YamlDocument(dict(source))).workflow()
    path = Path(source)
    return _Loader(path, read_yaml(path)).workflow()


class _Loader:
    def __init__(self, path: Path, yaml: YamlDocument) -> None:
        self.path = path
        self.yaml = yaml
        if not yaml.values:
            raise ConfigurationError(
                f"{path}: the file is empty; give at least a workflow, phases or strategies"
            )
        self.document = read_part(yaml, WorkflowDocument, path=path)

    def wrong(self, key: KeyPath, complaint: str) -> ConfigurationError:
        return mistake(self.yaml, self.path, key, complaint)

    def workflow(self) -> Workflow:
        document = self.document
        self._check_once(("execution_mode",), "workflow", "coordinator")
        self._check_once(("monitoring",), None, "coordinator")
        strategies = self.strategies()
        sections = self.sections()
        names = [section.name for section, _ in sections]
        for place, (section, key) in enumerate(sections):
            if section.name in names[:place]:
                raise self.wrong((*key, "name"), f"phase {section.name!r} is defined twice")
        kinds = {section.name: self.kind(section, key) for section, key in sections}
        inputs = {
            section.name: tuple(
                self.reference(text, (*key, "inputs", place), section.name, names)
                for place, text in enumerate(section.inputs)
            )
            for section, key in sections
        }
        needs = {
            name: tuple(dict.fromkeys(ref.phase for ref in refs)) for name, refs in inputs.items()
        }
        try:
            generations = topological(names, needs)
        except ValueError as problem:
            first = str(problem).split(" -> ", 1)[0]
            key = next(key for section, key in sections if section.name == first)
            raise self.wrong((*key, "inputs"), f"phases wait for each other: {problem}") from None
        phases = {
            section.name: self.phase(section, key, kinds[section.name], inputs[section.name])
            for section, key in sections
        }
        workflow = Workflow(
            path=str(self.path),
            name=document.name or document.workflow.name or _as_name(self.path.stem),
            version=document.version,
            document=document,
            phases=tuple(phases[name] for generation in generations for name in generation),
            generations=tuple(tuple(generation) for generation in generations),
            strategies=strategies,
            execution=self.execution(),
            seed=document.coordinator.reproducibility.master_seed,
            needs=needs,
        )
        for section, key in sections:
            self.check_phase(workflow, section, key)
        return workflow

    def _check_once(self, key: KeyPath, first: str | None, second: str) -> None:
        one = self.yaml.values if first is None else self.yaml.values.get(first) or {}
        other = self.yaml.values.get(second) or {}
        name = str(key[-1])
        if name in one and name in other and one[name] != other[name]:
            above = f"{first}." if first else ""
            raise self.wrong(
                (second, name),
                f"stands in {above}{name} too, with another value; leave one out",
            )

    def execution(self) -> Execution:
        risk = self.document.risk_management.params
        costs = self.document.execution
        return Execution(
            costs=Costs(
                commission_per_share=costs.commission_per_share,
                commission_bps=costs.commission_bps,
                slippage_bps=costs.slippage_bps,
            ),
            sizing=Sizing(
                position_size_pct=risk.position_size_pct,
                max_positions=risk.max_positions,
                max_exposure_pct=risk.max_exposure_pct,
                stop_loss_pct=risk.stop_loss_pct,
                take_profit_pct=risk.take_profit_pct,
                max_drawdown_pct=risk.max_drawdown_pct,
                leverage=self.document.portfolio.leverage,
            ),
            initial_capital=self.document.portfolio.initial_capital,
        )

    # Strategies

    def strategies(self) -> tuple[StrategyUse, ...]:
        given = self.document.strategies or (StrategySection(type=DEFAULT_STRATEGY),)
        enabled = [(place, item) for place, item in enumerate(given) if item.enabled]
        if not enabled:
            raise self.wrong(("strategies",), "has no enabled strategy; enable at least one")
        uses: list[StrategyUse] = []
        for place, section in enabled:
            uses.append(self.strategy(place, section, len(enabled)))
            if any(use.name == uses[-1].name for use in uses[:-1]):
                raise self.wrong(
                    ("strategies", place),
                    f"a second strategy is called {uses[-1].name!r}; give each a name",
                )
        shares = [section.allocation for _, section in enabled]
        if any(share is not None for share in shares):
            if any(share is None for share in shares):
                raise self.wrong(
                    ("strategies",), "some have an allocation and some have not; give all or none"
                )
            total = sum(share for share in shares if share is not None)
            if abs(total - 1.0) > 1e-6:
                raise self.wrong(("strategies",), f"the allocations sum to {total:g}, not to 1")
        for name in self.document.optimization.parameters:
            self.check_parameter(name, uses, ("optimization", "parameters", name))
        return tuple(uses)

    def check_parameter(self, name: str, uses: list[StrategyUse], key: KeyPath) -> None:
        """Refuse a range for a parameter that no strategy has."""
        known = {parameter for use in uses for parameter in use.strategy.parameters} | {
            f"{use.name}.{parameter}" for use in uses for parameter in use.strategy.parameters
        }
        if name not in known:
            raise self.wrong(key, f"no strategy has the parameter {name!r}; {suggest(name, known)}")

    def source(self, place: int, section: StrategySection) -> StrategySource:
        """Return how the strategy is made; the placeholders of an expression get defaults."""
        key = ("strategies", place)
        defaults: dict[str, float] = {}
        if section.template is not None:
            for name, value in section.params.items():
                if isinstance(value, bool) or not isinstance(value, int | float):
                    raise self.wrong((*key, "params", name), f"{value!r} is not a number")
                defaults[name] = value
            ranges = {**self.document.optimization.parameters, **section.parameters}
            for name, spec in ranges.items():
                defaults.setdefault(name.split(".")[-1], _first_value(spec))
            used = {name for name in defaults if f"{{{name}}}" in section.template}
            defaults = {name: value for name, value in defaults.items() if name in used}
        source = StrategySource(section.type, section.template, tuple(sorted(defaults.items())))
        try:
            source.strategy()
        except (BacktestError, ExpressionError) as problem:
            raise self.wrong(
                (*key, "type" if section.template is None else "template"), str(problem)
            ) from None
        return source

    def strategy(self, place: int, section: StrategySection, count: int) -> StrategyUse:
        key = ("strategies", place)
        source = self.source(place, section)
        strategy = source.strategy()
        name = section.name or _as_name(
            section.type.rsplit(":", 1)[-1] if section.template is None else f"expression_{place}"
        )
        params = dict(section.params)
        space: dict[str, ParameterSpec] = {}
        for parameter, declared in strategy.parameters.items():
            given: ParameterSpec | None = (
                section.parameters.get(parameter)
                or self.document.optimization.parameters.get(f"{name}.{parameter}")
                or self.document.optimization.parameters.get(parameter)
            )
            if given is not None:
                params.pop(parameter, None)
                space[parameter] = given
            elif parameter not in params and parameter != SEED_PARAMETER:
                space[parameter] = default_spec(declared)
        for parameter in (*section.params, *section.parameters):
            if parameter not in strategy.parameters:
                inner = "params" if parameter in section.params else "parameters"
                raise self.wrong(
                    (*key, inner, parameter),
                    f"{section.type} has no parameter {parameter!r}; "
                    f"{suggest(parameter, strategy.parameters)}",
                )
        for parameter, spec in space.items():
            self.check_range(strategy, parameter, spec, key)
        use = StrategyUse(
            name,
            source,
            params,
            space,
            section.allocation if section.allocation is not None else 1 / count,
        )
        try:
            for parameter, value in params.items():
                strategy.parameters[parameter].checked(name, parameter, value)
        except BacktestError as problem:
            raise self.wrong((*key, "params", parameter), str(problem)) from None
        return use

    def check_range(self, strategy: Any, parameter: str, spec: ParameterSpec, key: KeyPath) -> None:
        """Refuse a range whose ends the strategy does not take."""
        declared = strategy.parameters[parameter]
        ends = spec.choices if spec.choices is not None else (spec.min, spec.max)
        if declared.kind == "choice" and spec.choices is None:
            raise self.wrong(
                (*key, "parameters", parameter),
                f"{parameter} takes one of {', '.join(declared.choices)}, not a range",
            )
        for value in ends:
            try:
                declared.checked(strategy.name, parameter, value)
            except BacktestError as problem:
                where = next(
                    (
                        candidate
                        for candidate in (
                            (*key, "parameters", parameter),
                            ("optimization", "parameters", parameter),
                        )
                        if candidate in self.yaml.lines
                    ),
                    key,
                )
                raise self.wrong(where, str(problem)) from None

    # Phases

    def sections(self) -> list[tuple[PhaseSection, KeyPath]]:
        """Return the phases with the place of each in the file, limits merged in."""
        document = self.document
        inside, top = document.workflow.phases, document.phases
        if inside and top:
            raise self.wrong(("phases",), "phases stand in workflow.phases too; leave one out")
        base: KeyPath = ("workflow", "phases") if inside else ("phases",)
        listed = [
            (section, (*base, place)) for place, section in enumerate(inside if inside else top)
        ]
        limits = document.coordinator.phases
        if not listed and limits:
            return self.from_limits(limits)
        if not listed:
            return [(self.single(), ("workflow",))]
        if document.workflow.type not in (None, "multi_phase"):
            raise self.wrong(
                ("workflow", "type"),
                f"a workflow of type {document.workflow.type!r} has one phase of its own; "
                "write multi_phase, or leave the phases out",
            )
        names = [section.name for section, _ in listed]
        for name in limits:
            if name not in names:
                raise self.wrong(
                    ("coordinator", "phases", name),
                    f"there is no phase {name!r}; {suggest(name, names)}",
                )
        return [(self.merged(section, limits.get(section.name)), key) for section, key in listed]

    def merged(self, section: PhaseSection, limits: PhaseLimits | None) -> PhaseSection:
        """Return the section with the limits that `coordinator.phases` sets."""
        if limits is None:
            return section
        key = ("coordinator", "phases", section.name)
        if limits.type is not None and limits.type != section.type:
            raise self.wrong((*key, "type"), f"the phase is of type {section.type!r}")
        update: dict[str, Any] = {}
        if section.execution_mode is None:
            update["execution_mode"] = limits.execution_mode
        if section.container_count is None:
            update["container_count"] = limits.max_containers
        elif limits.max_containers is not None:
            update["container_count"] = min(section.container_count, limits.max_containers)
        if "resources" not in section.model_fields_set:
            update["resources"] = limits.resources
        if section.timeout_hours is None:
            update["timeout_hours"] = limits.timeout_hours
        return section.model_copy(update=update)

    def from_limits(self, limits: Mapping[str, PhaseLimits]) -> list[tuple[PhaseSection, KeyPath]]:
        """Make phases of `coordinator.phases` alone: the document's second shape."""
        result: list[tuple[PhaseSection, KeyPath]] = []
        previous: PhaseSection | None = None
        for name, given in limits.items():
            key = ("coordinator", "phases", name)
            replay = given.execution_mode == "SIGNAL_REPLAY"
            found = given.type or ("signal_replay" if replay else DOCUMENT_TYPES.get(name))
            if found is None:
                raise self.wrong(
                    key, f"phase {name!r} has no type; add type: one of {', '.join(phase_types())}"
                )
            inputs = given.inputs
            if not inputs and previous is not None:
                inputs = (f"{previous.name}.{phase_type_named(previous.type).passes}",)
            section = PhaseSection(
                name=name,
                type=found,
                inputs=inputs,
                container_count=given.max_containers,
                execution_mode=given.execution_mode,
                resources=given.resources,
                timeout_hours=given.timeout_hours,
            )
            result.append((section, key))
            previous = section
        return result

    def single(self) -> PhaseSection:
        """Return the one phase of a workflow without a list of phases."""
        document = self.document
        kind = document.workflow.type or "backtest"
        if kind == "multi_phase":
            raise self.wrong(
                ("workflow", "phases"), "a workflow of type multi_phase lists its phases; add them"
            )
        return PhaseSection(name=kind, type=kind, container_count=document.workflow.container_count)

    def kind(self, section: PhaseSection, key: KeyPath) -> PhaseType:
        """Return what the phase does."""
        config_method = section.config.get("method")
        if section.method and config_method and section.method != config_method:
            raise self.wrong(
                (*key, "method"),
                f"config.method is {config_method!r}; leave one of them out",
            )
        method = section.method or config_method
        try:
            kind = phase_type_named(section.type)
        except ConfigurationError as problem:
            raise self.wrong((*key, "type"), str(problem)) from None
        replay = method == "signal_replay" or section.execution_mode == "SIGNAL_REPLAY"
        if replay and section.type not in ("optimization", "signal_replay"):
            raise self.wrong(
                (*key, "method" if method else "execution_mode"),
                f"a phase of type {section.type!r} replays no signals; use type optimization",
            )
        return phase_type_named("signal_replay") if replay else kind

    def reference(self, text: str, key: KeyPath, phase: str, names: list[str]) -> InputRef:
        """Return the input; the key inside is checked later, when the shapes are known."""
        name, *inner = text.split(".")
        if name not in names:
            raise self.wrong(key, f"{text!r}: there is no phase {name!r}; {suggest(name, names)}")
        if name == phase:
            raise self.wrong(key, f"{text!r}: a phase cannot take its own output")
        if not inner or not all(inner):
            raise self.wrong(key, f"{text!r} names no key; write {name}.KEY")
        return InputRef(name, tuple(inner))

    def phase(
        self, section: PhaseSection, key: KeyPath, kind: PhaseType, inputs: tuple[InputRef, ...]
    ) -> Phase:
        """Return the phase with its config checked by the model of its kind."""
        values = dict(section.config)
        if section.method is not None and "method" in kind.config.model_fields:
            values["method"] = section.method
        elif section.method is not None and section.method != "signal_replay":
            raise self.wrong((*key, "method"), f"a phase of type {section.type!r} has no method")
        if kind.name == "signal_replay":
            values.pop("method", None)
        part = YamlDocument(
            {"config": values},
            {
                ("config", *line_key[len(key) + 1 :]): line
                for line_key, line in self.yaml.lines.items()
                if line_key[: len(key) + 1] == (*key, "config")
            },
        )
        config = self.read_config(part, kind, key)
        container = section.container_type
        if container is not None and container not in kind.container_types:
            raise self.wrong(
                (*key, "container_type"),
                f"{container!r} does not fit a phase of type {section.type!r}",
            )
        limits = section.resources
        return Phase(
            name=section.name,
            kind=kind.name,
            code=kind.code,
            config=config,
            inputs=inputs,
            trials=section.container_count,
            mode=section.execution_mode,
            memory=limits.memory,
            cores=limits.cores,
            cpu_seconds=limits.cpu_seconds,
            timeout_hours=section.timeout_hours,
        )

    def read_config(self, part: YamlDocument, kind: PhaseType, key: KeyPath) -> Section:
        """Read the config; its mistakes name the key from the top of the file."""
        shifted = YamlDocument(
            _nested(key, part.values),
            {(*key, *line_key): line for line_key, line in part.lines.items()}
            | {key: self.yaml.lines.get(key, 1)},
        )
        return read_part(shifted, kind.config, path=self.path, key=(*key, "config"))

    def check_phase(self, workflow: Workflow, section: PhaseSection, key: KeyPath) -> None:
        """Check what needs the other phases: keys of inputs, dependencies, outputs."""
        phase = workflow.phase(section.name)
        for place, ref in enumerate(phase.inputs):
            source = workflow.phase(ref.phase)
            where = (*key, "inputs", place)
            self.check_key(ref.text, ref.key, type_of(source).keys(source, workflow), where)
        kind = type_of(phase)
        above = [type_of(workflow.phase(name)) for name in workflow.upstream(phase.name)]
        if kind.needs and not any(issubclass(item.outputs, kind.needs) for item in above):
            fitting = [name for name, item in phase_types().items() if item.outputs in kind.needs]
            raise self.wrong(
                (*key, "inputs") if section.inputs else key,
                f"phase {phase.name!r} of type {section.type!r} depends on a phase of type "
                f"{' or '.join(fitting)}; add one of its outputs to inputs",
            )
        given = kind.keys(phase, workflow)
        for place, output in enumerate(section.outputs):
            self.check_key(output, tuple(output.split(".")), given, (*key, "outputs", place))
        try:
            kind.check(phase, workflow)
        except ConfigurationError as problem:
            raise self.wrong(key, str(problem)) from None

    def check_key(self, text: str, inner: tuple[str, ...], shape: Shape, key: KeyPath) -> None:
        """Follow a nested key into the shape of a phase's outputs."""
        for depth, part in enumerate(inner):
            if shape is None:
                return
            if part not in shape:
                above = ".".join(inner[:depth])
                where = f" in {above}" if above else ""
                raise self.wrong(
                    key, f"{text!r}: there is no key {part!r}{where}; {suggest(part, shape)}"
                )
            shape = shape[part]


def _nested(key: KeyPath, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values at a key, as `read_part` walks it; a list index becomes a mapping's key."""
    inner: dict[Any, Any] = dict(values)
    for part in reversed(key):
        inner = {part: inner}
    return inner


def _as_name(text: str) -> str:
    name = "".join(char if char.isalnum() or char in "_-" else "_" for char in text)
    return name if name[:1].isalnum() else f"w{name}"


def _first_value(spec: ParameterSpec) -> float:
    value = spec.min if spec.choices is None else spec.choices[0]
    number = float(value) if isinstance(value, int | float) else 1.0
    return int(number) if number.is_integer() else number
