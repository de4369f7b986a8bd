"""The phase types by name. A new type is one function with `@phase_type(...)`."""

from __future__ import annotations

import inspect
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any, Literal, TypeVar, get_args

from alphafoundry.backtest import Bars
from alphafoundry.configuration import suggest
from alphafoundry.coordinator.context import PhaseContext
from alphafoundry.coordinator.document_values import Section
from alphafoundry.coordinator.identity import digest
from alphafoundry.coordinator.outputs import Shape, output_keys
from alphafoundry.coordinator.strategies import StrategyUse, source_digest
from alphafoundry.coordinator.workflow import Phase, Workflow
from alphafoundry.errors import ConfigurationError
from alphafoundry.importing import imported_by_name
from alphafoundry.runs import Table

Outputs = TypeVar("Outputs")

LooksAt = Literal["nothing", "train", "all"]

LIBRARY = "alphafoundry.coordinator.phases."
"""Where the types are whose source is part of the version of the code."""


@dataclass(frozen=True)
class Measured:
    """What a backtest measured.

    Attributes
    ----------
    metrics : metric to value, None where it is not defined
    sample : what the days are: out_of_sample, in_sample (searched on), given (no search)
    benchmark : metrics of buying and holding the same names, None where nobody looked
    """

    metrics: Mapping[str, float | None]
    sample: str
    benchmark: Mapping[str, float | None] | None = None


@dataclass(frozen=True)
class TopTrial:
    """One of the best trials of a search."""

    number: int
    strategy: str
    parameters: Mapping[str, Any]
    score: float
    metrics: Mapping[str, int | float | None]


@dataclass(frozen=True)
class PhaseType:
    """A kind of phase: what it does, needs, gives and shows.

    Attributes are the parameters of `phase_type`, and

    run : does the work and returns the outputs
    code : digest of the source of a type of the user's own, None for one of this library
    """

    name: str
    run: Callable[[PhaseContext], Any]
    outputs: type[Any]
    config: type[Section]
    keys: Callable[[Phase, Workflow], Mapping[str, Shape]]
    trials: Callable[[Phase, Workflow, int], int]
    needs: tuple[type[Any], ...]
    needs_returns: bool
    takes_count: bool
    check: Callable[[Phase, Workflow], None]
    unused: Callable[[Phase, Workflow], Sequence[str]]
    looks_at: LooksAt | Callable[[Any], int]
    passes: str
    container_types: tuple[str, ...]
    searches: Callable[[Phase, Workflow], Sequence[StrategyUse]] | None
    result: Callable[[Any], str]
    measured: Callable[[Any], Measured | None]
    chosen: Callable[[Any], Mapping[str, int | float | None] | None]
    top_trials: Callable[[Any], Sequence[TopTrial]]
    plots: Callable[[Any, Phase, Workflow, Bars], Mapping[str, bytes]]
    tables: Callable[[Any, Phase, int], Sequence[Table]]
    code: str | None

    def looked_until(self, outputs: Any, *, split: int, days: int) -> int | None:
        """Return the row after the last day that shaped the outputs, None where none did."""
        if callable(self.looks_at):
            return self.looks_at(outputs)
        return {"nothing": None, "train": split, "all": days}[self.looks_at]


_TYPES: dict[str, PhaseType] = {}


def _no_plots(
    _outputs: Any, _phase: Phase, _workflow: Workflow, _bars: Bars
) -> Mapping[str, bytes]:
    return {}


def phase_type(
    name: str,
    *,
    outputs: type[Outputs],
    config: type[Section] = Section,
    keys: Callable[[Phase, Workflow], Mapping[str, Shape]] | None = None,
    trials: Callable[[Phase, Workflow, int], int] = lambda _phase, _workflow, _days: 1,
    needs: tuple[type[Any], ...] = (),
    needs_returns: bool = False,
    takes_count: bool = False,
    check: Callable[[Phase, Workflow], None] = lambda _phase, _workflow: None,
    unused: Callable[[Phase, Workflow], Sequence[str]] = lambda _phase, _workflow: (),
    looks_at: LooksAt | Callable[[Outputs], int] = "all",
    passes: str | None = None,
    container_types: tuple[str, ...] = (),
    searches: Callable[[Phase, Workflow], Sequence[StrategyUse]] | None = None,
    result: Callable[[Outputs], str] = lambda _: "",
    measured: Callable[[Outputs], Measured | None] = lambda _: None,
    chosen: Callable[[Outputs], Mapping[str, int | float | None] | None] = lambda _: None,
    top_trials: Callable[[Outputs], Sequence[TopTrial]] = lambda _: (),
    plots: Callable[[Outputs, Phase, Workflow, Bars], Mapping[str, bytes]] = _no_plots,
    tables: Callable[[Outputs, Phase, int], Sequence[Table]] = lambda _outputs, _phase, _most: (),
) -> Callable[[Callable[[PhaseContext], Outputs]], Callable[[PhaseContext], Outputs]]:
    """Register the decorated function as what a phase of type `name` does.

    Parameters
    ----------
    outputs : frozen dataclass that the function returns; its fields are the keys that later
        phases name in `inputs`
    config : model of the phase's `config`
    keys : the keys that the phase gives and what is inside, from the phase and its workflow;
        left out, the fields of `outputs`
    trials : how many trials it runs, from the phase, its workflow and the number of days of its
        bars; raises BacktestError where these days are too few
    needs : classes of outputs, one of which a phase that it depends on gives; () for none
    needs_returns : whether it reads the daily returns of the trials before it
    takes_count : whether the document's `container_count`, `Phase.trials`, changes anything
    check : raises ConfigurationError for what the config's model does not see
    unused : a line for each key of the phase that changes nothing, and why
    looks_at : the days that shape the outputs: "nothing" (none), "train", "all", or the row after
        the last of them from the outputs. A backtest of such days is not called out of sample
    passes : key that the next phase of `coordinator.phases` takes, where it names no inputs;
        left out, the first field of `outputs`
    container_types : names that the document's `container_type` may have
    searches : the strategies with the spaces that it searches; then the outputs have a
        `trial_list`, from which a study for Optuna's dashboard is made
    result : what was found, in a few words
    measured : metrics for the report, None where nothing was backtested
    chosen : metrics of the best of its trials, on the days that chose it; None where nothing was
    top_trials : the best trials, for the table of the report
    plots : title to PNG, from the outputs, the phase, its workflow and the bars
    tables : of the report, from the outputs, the phase and `reporting.top_trials`

    Raises ConfigurationError, when the function is decorated, for what cannot be declared so, and
    where another function has the name.
    """
    functions = {
        "keys": keys,
        "trials": trials,
        "check": check,
        "unused": unused,
        "searches": searches,
        "result": result,
        "measured": measured,
        "chosen": chosen,
        "top_trials": top_trials,
        "plots": plots,
        "tables": tables,
    }

    def register(
        run: Callable[[PhaseContext], Outputs],
    ) -> Callable[[PhaseContext], Outputs]:
        complaint = (
            _about_the_function(run)
            or _about_the_classes(outputs, config, needs)
            or _about_the_days(looks_at)
            or _about_the_callables(functions)
        )
        if complaint:
            raise ConfigurationError(f"phase type {name!r}: {complaint}")
        before = _TYPES.get(name)
        if before is not None and _place(before.run) != _place(run):
            raise ConfigurationError(
                f"there is already a phase type {name!r}, in {before.run.__module__}; "
                f"give the one in {run.__module__} another name"
            )
        every = output_keys(outputs)
        _TYPES[name] = PhaseType(
            name=name,
            run=run,
            outputs=outputs,
            config=config,
            keys=keys or (lambda _phase, _workflow: every),
            trials=trials,
            needs=needs,
            needs_returns=needs_returns,
            takes_count=takes_count,
            check=check,
            unused=unused,
            looks_at=looks_at,
            passes=passes or next(iter(every)),
            container_types=container_types,
            searches=searches,
            result=result,
            measured=measured,
            chosen=chosen,
            top_trials=top_trials,
            plots=plots,
            tables=tables,
            code=_code(run),
        )
        return run

    return register


def phase_types() -> Mapping[str, PhaseType]:
    """Return every type that is registered, by name."""
    return dict(_TYPES)


def phase_type_named(name: str) -> PhaseType:
    """Return the type of that name, or the one of "module:function", which is imported.

    Raises ConfigurationError with a suggestion.
    """
    if ":" in name:
        return _imported(name)
    if name not in _TYPES:
        raise ConfigurationError(
            f"{name!r} is not a type of phase; {suggest(name, _TYPES)}; a type of your own is "
            "written module:function"
        )
    return _TYPES[name]


def type_of(phase: Phase) -> PhaseType:
    """Return the type of the phase."""
    return _TYPES[phase.kind]


def _imported(reference: str) -> PhaseType:
    found = imported_by_name(reference, "phase type")
    for kind in _TYPES.values():
        if kind.run is found:
            return kind
    raise ConfigurationError(
        f"{reference!r} is not a phase type; decorate the function with @phase_type(...)"
    )


def _about_the_function(run: Callable[..., Any]) -> str | None:
    if inspect.iscoroutinefunction(run):
        return f"{run.__name__} is async; write a plain function"
    try:
        inspect.signature(run).bind(None)
    except TypeError:
        return f"{run.__name__}{inspect.signature(run)} takes no context; give it that one argument"
    return None


def _about_the_classes(outputs: Any, config: Any, needs: Any) -> str | None:
    if not _is_frozen_dataclass(outputs):
        return f"outputs: {_called(outputs)} is no frozen dataclass; write @dataclass(frozen=True)"
    if not (isinstance(config, type) and issubclass(config, Section)):
        return f"config: {_called(config)} is no subclass of Section (of document_values)"
    if not isinstance(needs, tuple):
        return f"needs: {_called(needs)} is no tuple of classes of outputs; write (Outputs,)"
    other = next((one for one in needs if not _is_frozen_dataclass(one)), None)
    if other is not None:
        return f"needs: {_called(other)} is no class of outputs of a phase type"
    return None


def _about_the_days(looks_at: Any) -> str | None:
    if callable(looks_at) or looks_at in get_args(LooksAt):
        return None
    return f"looks_at: {looks_at!r} is neither a function nor one of {', '.join(get_args(LooksAt))}"


def _about_the_callables(functions: Mapping[str, Any]) -> str | None:
    for name, given in functions.items():
        if given is not None and not callable(given):
            return f"{name}: {given!r} is no function"
    return None


def _is_frozen_dataclass(given: Any) -> bool:
    return (
        isinstance(given, type)
        and is_dataclass(given)
        and bool(getattr(given, "__dataclass_params__").frozen)  # noqa: B009
    )


def _called(given: Any) -> str:
    return given.__name__ if isinstance(given, type) else repr(given)


def _place(run: Callable[..., Any]) -> tuple[str, str]:
    return run.__module__, run.__qualname__


def _code(run: Callable[..., Any]) -> str | None:
    """Return a digest of the source behind a type; stored results must not outlive it."""
    if run.__module__.startswith(LIBRARY):
        return None
    found = "" if run.__module__ == "__main__" else source_digest(run.__module__)
    if found:
        return found
    try:
        return digest(inspect.getsource(run))[:16]
    except (OSError, TypeError):
        # Without a source nothing tells two versions apart, so results serve this process only.
        return uuid.uuid4().hex[:16]
