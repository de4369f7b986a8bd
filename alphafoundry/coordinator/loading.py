"""A workflow document brought to one form and checked, before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import alphafoundry.coordinator.phases  # noqa: F401  (registers the types)
from alphafoundry.backtest import Costs, Execution, Sizing
from alphafoundry.configuration import Mistakes
from alphafoundry.coordinator.document_file import DocumentFile, as_name, read_document
from alphafoundry.coordinator.graph import generations
from alphafoundry.coordinator.phase_loading import (
    check_phase,
    check_replay,
    load_input,
    load_phase,
    type_of_section,
)
from alphafoundry.coordinator.phase_sections import phase_sections
from alphafoundry.coordinator.phase_types import PhaseType
from alphafoundry.coordinator.strategies import StrategyUse
from alphafoundry.coordinator.strategy_loading import load_strategies
from alphafoundry.coordinator.workflow import InputRef, Phase, Workflow
from alphafoundry.yaml_document import KeyPath


def load_workflow(source: Path | str | Mapping[str, Any]) -> Workflow:
    """Read and check a workflow: a YAML file, or the document itself.

    Raises
    ------
    ConfigurationError : file:line: key, what is wrong and what is allowed; a line per mistake.
        What a key may be is checked first, what keys say together only where that is right
    """
    return _workflow(read_document(source))


def _workflow(file: DocumentFile) -> Workflow:
    document = file.document
    mistakes = Mistakes()
    strategies: tuple[StrategyUse, ...] = ()
    with mistakes:
        _check_once(file, ("execution_mode",), "workflow", "coordinator")
    with mistakes:
        _check_once(file, ("monitoring",), None, "coordinator")
    with mistakes:
        strategies = load_strategies(file)
    sections = phase_sections(file)
    names = [section.name for section, _ in sections]
    kinds: dict[str, PhaseType] = {}
    inputs: dict[str, tuple[InputRef, ...]] = {}
    for place, (section, key) in enumerate(sections):
        with mistakes:
            if section.name in names[:place]:
                raise file.wrong((*key, "name"), f"phase {section.name!r} is defined twice")
        with mistakes:
            kinds[section.name] = type_of_section(file, section, key)
        found = []
        for number, text in enumerate(section.inputs):
            with mistakes:
                found.append(load_input(file, text, (*key, "inputs", number), section.name, names))
        inputs[section.name] = tuple(found)
    mistakes.raise_any()
    needs = {name: tuple(dict.fromkeys(ref.phase for ref in refs)) for name, refs in inputs.items()}
    try:
        ordered = generations(needs)
    except ValueError as problem:
        first = str(problem).split(" -> ", 1)[0]
        key = next(key for section, key in sections if section.name == first)
        raise file.wrong((*key, "inputs"), f"phases wait for each other: {problem}") from None
    phases: dict[str, Phase] = {}
    for section, key in sections:
        with mistakes:
            kind, before = kinds[section.name], inputs[section.name]
            phases[section.name] = load_phase(file, section, key, kind, before)
    mistakes.raise_any()
    workflow = Workflow(
        path=str(file.path),
        name=document.name or document.workflow.name or as_name(file.path.stem),
        version=document.version,
        document=document,
        phases=tuple(phases[name] for generation in ordered for name in generation),
        generations=tuple(tuple(generation) for generation in ordered),
        strategies=strategies,
        execution=_execution(file),
        seed=document.coordinator.reproducibility.master_seed,
        needs=needs,
    )
    for section, key in sections:
        with mistakes:
            check_phase(file, workflow, section, key)
    with mistakes:
        check_replay(file, workflow)
    mistakes.raise_any()
    return workflow


def _check_once(file: DocumentFile, key: KeyPath, first: str | None, second: str) -> None:
    one = file.yaml.values if first is None else file.yaml.values.get(first) or {}
    other = file.yaml.values.get(second) or {}
    name = str(key[-1])
    if name in one and name in other and one[name] != other[name]:
        above = f"{first}." if first else ""
        raise file.wrong(
            (second, name),
            f"{above}{name} has another value; leave one of the two out",
        )


def _most_exposure(file: DocumentFile) -> float:
    """Return the cap of exposure, by default as much as the leverage asks for.

    Raises ConfigurationError where the document says both and the cap undoes the leverage.
    """
    risk, leverage = file.document.risk_management.params, file.document.portfolio.leverage
    if "max_exposure_pct" not in risk.model_fields_set:
        return max(risk.max_exposure_pct, leverage)
    if leverage > 1.0 and leverage > risk.max_exposure_pct:
        raise file.wrong(
            ("portfolio", "leverage"),
            f"{leverage:g} is above risk_management.params.max_exposure_pct "
            f"{risk.max_exposure_pct:g}, which would undo it; raise that, or leave one of them out",
        )
    return risk.max_exposure_pct


def _execution(file: DocumentFile) -> Execution:
    risk = file.document.risk_management.params
    costs = file.document.execution
    return Execution(
        costs=Costs(
            commission_per_share=costs.commission_per_share,
            max_commission_pct=costs.max_commission_pct,
            commission_bps=costs.commission_bps,
            slippage_bps=costs.slippage_bps,
        ),
        sizing=Sizing(
            position_size_pct=risk.position_size_pct,
            max_positions=risk.max_positions,
            max_exposure_pct=_most_exposure(file),
            stop_loss_pct=risk.stop_loss_pct,
            take_profit_pct=risk.take_profit_pct,
            trailing_stop_pct=risk.trailing_stop_pct,
            max_drawdown_pct=risk.max_drawdown_pct,
            leverage=file.document.portfolio.leverage,
        ),
        initial_capital=file.document.portfolio.initial_capital,
        fill=costs.fill,
        stops=costs.stops,
        borrow_pct=costs.borrow_pct,
    )
