"""The strategies of a document: made, named, and checked with their ranges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from alphafoundry.backtest import OWN_RULES
from alphafoundry.configuration import Mistakes, suggest
from alphafoundry.coordinator.document import StrategySection
from alphafoundry.coordinator.document_file import DocumentFile, as_name
from alphafoundry.coordinator.parameter_space import ParameterSpec, default_spec
from alphafoundry.coordinator.strategies import SEED_PARAMETER, StrategySource, StrategyUse
from alphafoundry.errors import BacktestError, ExpressionError
from alphafoundry.yaml_document import KeyPath

DEFAULT_STRATEGY = "moving_average_cross"


def load_strategies(file: DocumentFile) -> tuple[StrategyUse, ...]:
    given = file.document.strategies or (StrategySection(type=DEFAULT_STRATEGY),)
    enabled = [(place, item) for place, item in enumerate(given) if item.enabled]
    if not enabled:
        raise file.wrong(("strategies",), "has no enabled strategy; enable at least one")
    uses: list[StrategyUse] = []
    mistakes = Mistakes()
    for place, section in enabled:
        with mistakes:
            use = _strategy(file, place, section, len(enabled))
            if any(other.name == use.name for other in uses):
                raise file.wrong(
                    ("strategies", place),
                    f"a second strategy is called {use.name!r}; give each a name",
                )
            uses.append(use)
    mistakes.raise_any()
    shares = [section.allocation for _, section in enabled]
    if any(share is not None for share in shares):
        if any(share is None for share in shares):
            raise file.wrong(
                ("strategies",), "some have an allocation and some have not; give all or none"
            )
        total = sum(share for share in shares if share is not None)
        if abs(total - 1.0) > 1e-6:
            raise file.wrong(("strategies",), f"the allocations sum to {total:g}, not to 1")
    for name in file.document.optimization.parameters:
        _check_parameter(file, name, uses, ("optimization", "parameters", name))
    return tuple(uses)


def _check_parameter(file: DocumentFile, name: str, uses: list[StrategyUse], key: KeyPath) -> None:
    """Refuse a range for a parameter that no strategy has."""
    known = {parameter for use in uses for parameter in use.strategy.parameters} | {
        f"{use.name}.{parameter}" for use in uses for parameter in use.strategy.parameters
    }
    if name not in known:
        raise file.wrong(key, f"no strategy has the parameter {name!r}; {suggest(name, known)}")


def _source(file: DocumentFile, place: int, section: StrategySection) -> StrategySource:
    """Return how the strategy is made; the placeholders of an expression get defaults."""
    key = ("strategies", place)
    defaults: dict[str, float] = {}
    if section.template is not None:
        for name, value in section.params.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise file.wrong((*key, "params", name), f"{value!r} is not a number")
            defaults[name] = value
        ranges = {**file.document.optimization.parameters, **section.parameters}
        for name, spec in ranges.items():
            defaults.setdefault(name.split(".")[-1], _first_value(spec))
        used = {name for name in defaults if f"{{{name}}}" in section.template}
        defaults = {name: value for name, value in defaults.items() if name in used}
    source = StrategySource(
        section.type, section.template, tuple(sorted(defaults.items())), section.symbols
    )
    if section.symbols is not None:
        known = file.document.data.symbols or section.symbols
        for number, symbol in enumerate(section.symbols):
            if symbol not in known:
                raise file.wrong(
                    (*key, "symbols", number),
                    f"{symbol!r} is not in data.symbols; {suggest(symbol, known)}",
                )
            if symbol in section.symbols[:number]:
                raise file.wrong((*key, "symbols", number), f"{symbol!r} is listed twice")
    try:
        source.strategy()
    except (BacktestError, ExpressionError) as problem:
        raise file.wrong(
            (*key, "type" if section.template is None else "template"), str(problem)
        ) from None
    return source


def _with_rules(
    file: DocumentFile, place: int, section: StrategySection, name: str, source: StrategySource
) -> StrategySource:
    """Return the source with the rules that the document names among the strategy's parameters.

    Raises ConfigurationError where the document says a rule for the whole portfolio, too.
    """
    own = {*section.params, *section.parameters}
    wanted = own | _searched_names(file)
    base = source.strategy().parameters
    rules = tuple(
        rule
        for rule in OWN_RULES
        if rule not in base and (rule in wanted or f"{name}.{rule}" in wanted)
    )
    risk = file.document.risk_management.params
    for rule in rules:
        key: KeyPath = ("strategies", place) if rule in own else ("risk_management", "params", rule)
        if rule in risk.model_fields_set:
            raise file.wrong(
                key,
                f"{rule} is a parameter of the strategy {name} too; leave it out of "
                "risk_management.params or of the parameters",
            )
        if rule != "position_size_pct" and file.document.execution.stops == "high_low":
            raise file.wrong(
                ("execution", "stops"),
                f"high_low is for the stops of risk_management.params; {rule} of the strategy "
                f"{name} looks at closes: leave one of them out",
            )
    fill, size = file.document.execution.fill, risk.position_size_pct
    return replace(source, rules=rules, size=size, fill=fill)


def _searched_names(file: DocumentFile) -> set[str]:
    """Return the parameters that any search of the document names."""
    document = file.document
    names = {*document.optimization.parameters, *document.walk_forward.optimization.parameters}
    phases = (*document.workflow.phases, *document.phases)
    for config in (phase.config for phase in phases):
        inner = config.get("optimization")
        for section in (config, inner if isinstance(inner, Mapping) else {}):
            given = section.get("parameters")
            names |= set(given) if isinstance(given, Mapping) else set()
    return names


def _strategy(file: DocumentFile, place: int, section: StrategySection, count: int) -> StrategyUse:
    key = ("strategies", place)
    source = _source(file, place, section)
    name = section.name or as_name(
        section.type.rsplit(":", 1)[-1] if section.template is None else f"expression_{place}"
    )
    source = _with_rules(file, place, section, name, source)
    strategy = source.strategy()
    params = dict(section.params)
    space: dict[str, ParameterSpec] = {}
    for parameter, declared in strategy.parameters.items():
        given: ParameterSpec | None = (
            section.parameters.get(parameter)
            or file.document.optimization.parameters.get(f"{name}.{parameter}")
            or file.document.optimization.parameters.get(parameter)
        )
        if given is not None:
            params.pop(parameter, None)
            space[parameter] = given
        elif parameter in source.rules:
            # Named by a phase only, it stays what it is in the others.
            params.setdefault(parameter, declared.default)
        elif parameter not in params and parameter != SEED_PARAMETER:
            if declared.default is None:
                raise file.wrong(
                    key if section.template is None else (*key, "template"),
                    f"the parameter {parameter!r} has no default; give it a value in params, "
                    "or a range in parameters",
                )
            space[parameter] = default_spec(declared)
    for parameter in (*section.params, *section.parameters):
        if parameter not in strategy.parameters:
            inner = "params" if parameter in section.params else "parameters"
            raise file.wrong(
                (*key, inner, parameter),
                f"{section.type} has no parameter {parameter!r}; "
                f"{suggest(parameter, strategy.parameters)}",
            )
    for parameter, spec in space.items():
        _check_range(file, strategy, parameter, spec, key)
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
        raise file.wrong((*key, "params", parameter), str(problem)) from None
    return use


def _check_range(
    file: DocumentFile, strategy: Any, parameter: str, spec: ParameterSpec, key: KeyPath
) -> None:
    """Refuse a range whose ends the strategy does not take."""
    declared = strategy.parameters[parameter]
    ends = spec.choices if spec.choices is not None else (spec.min, spec.max)
    if declared.kind == "choice" and spec.choices is None:
        raise file.wrong(
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
                    if candidate in file.yaml.lines
                ),
                key,
            )
            raise file.wrong(where, str(problem)) from None


def _first_value(spec: ParameterSpec) -> float:
    value = spec.min if spec.choices is None else spec.choices[0]
    number = float(value) if isinstance(value, int | float) else 1.0
    return int(number) if number.is_integer() else number
