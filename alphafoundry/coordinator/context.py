"""What a phase may use while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload

from alphafoundry.backtest import Bars, Execution
from alphafoundry.coordinator.batches import Batch, Setting, batch_kind
from alphafoundry.coordinator.isolation import BatchOutcome, Failure
from alphafoundry.coordinator.strategies import SEED_PARAMETER, StrategyUse
from alphafoundry.coordinator.workflow import Phase, Workflow
from alphafoundry.errors import PhaseFailed
from alphafoundry.seeds import seed_number

One = TypeVar("One")
Other = TypeVar("Other")

RunBatches = Callable[[Sequence[Batch]], Iterator[BatchOutcome]]
"""Does batches, side by side or not, and yields what came of each in their order."""

SMALLEST_BATCH = 25
LARGEST_BATCH = 500


def batch_size(trials: int, given: int | None = None) -> int:
    """Return how many trials one batch holds: about sixteen batches, whatever runs them."""
    if given is not None:
        return given
    return min(max(-(-trials // 16), SMALLEST_BATCH), LARGEST_BATCH)


@dataclass(frozen=True)
class Trial:
    """One trial that ended.

    Attributes
    ----------
    number : within the phase
    item : its parameters, component or weights
    numbers : metric to value, None where it is not defined; None for a trial left out
    """

    number: int
    item: Any
    numbers: Mapping[str, float | None] | None


@dataclass
class PhaseContext:
    """The phase, its inputs, and how to get work done.

    Attributes
    ----------
    bars : the whole history; split : first row out of sample, the number of rows without one
    inputs : "phase.key" to its value
    upstream : phase to its outputs, every one that this one depends on, in their order
    run : does batches
    say : shows a line to the person
    notes : lines for the report; failures : trials left out
    """

    workflow: Workflow
    phase: Phase
    bars: Bars
    split: int
    setting: Setting
    inputs: Mapping[str, Any]
    upstream: Mapping[str, Any]
    run: RunBatches
    say: Callable[[str], None] = lambda _: None
    keep_returns: bool = False
    notes: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    trials: int = 0
    work_seconds: float = 0.0
    peak: int = 0
    _batches: int = 0
    _numbers: int = 0
    _honest: set[str] = field(default_factory=set)
    _begun: float = field(default_factory=time.monotonic)

    @property
    def execution(self) -> Execution:
        """Costs, sizing and capital."""
        return self.workflow.execution

    def rows(self, period: str) -> tuple[int, int]:
        """Return first row and row after the last of "train", "test" or "all"."""
        days = self.bars.shape[0]
        if period == "train":
            return 0, self.split
        if period == "test":
            if self.split >= days:
                raise PhaseFailed(
                    f"phase {self.phase.name}: no days are kept out of sample; "
                    "set data.test_fraction above 0"
                )
            return self.split, days
        return 0, days

    def strategies(self, names: Sequence[str] | None = None) -> list[StrategyUse]:
        """Return the strategies of that name, all enabled ones where None."""
        uses = self.workflow.strategies
        return [use for use in uses if names is None or use.name in names]

    @overload
    def before(self, one: type[One], /) -> list[tuple[str, One]]: ...

    @overload
    def before(self, one: type[One], other: type[Other], /) -> list[tuple[str, One | Other]]: ...

    def before(self, *classes: type[Any]) -> list[tuple[str, Any]]:
        """Return (name, outputs) of the phases upstream that gave outputs of one of these classes.

        The nearest is last.
        """
        return [
            (name, outputs)
            for name, outputs in self.upstream.items()
            if isinstance(outputs, classes)
        ]

    def work(
        self,
        kind: str,
        groups: Iterable[tuple[Sequence[Any], Mapping[str, Any]]],
        *,
        size: int | None = None,
    ) -> list[list[Trial]]:
        """Do items in batches and return a trial per item, group by group.

        Parameters
        ----------
        kind : of the batches. "trials" backtests parameters, "signals" stores the signals of
            components, "replay" backtests weights of stored signals
        groups : items that share options, with the options, plain values. All kinds take `rows`,
            the first row and the row after the last, all rows where it is missing. "trials" needs
            `strategy` (`StrategyUse.source.to_json()`), "replay" the `keys` of its signals; both
            take `measured` (rows that the numbers are of), `keep_returns` and `execution`
            (`execution_to_json` of other costs, sizing or capital than the workflow's)
        size : items of a batch; None follows the document
        """
        batches: list[Batch] = []
        places: list[int] = []
        listed = [(list(items), dict(options)) for items, options in groups]
        for place, (items, options) in enumerate(listed):
            step = size or batch_size(len(items), self.workflow.document.infrastructure.batch_size)
            for start in range(0, len(items), step):
                numbers = tuple(
                    range(self._numbers, self._numbers + len(items[start : start + step]))
                )
                chosen = tuple(
                    self._seeded(item, number, options)
                    for item, number in zip(items[start : start + step], numbers, strict=True)
                )
                batches.append(
                    Batch(self.phase.name, self._batches, kind, chosen, numbers, options)
                )
                places.append(place)
                self._batches += 1
                self._numbers += len(chosen)
                self.trials += len(chosen) if batch_kind(kind).is_trial else 0
        results: list[list[Trial]] = [[] for _ in listed]
        for batch, place, outcome in zip(batches, places, self.run(batches), strict=True):
            self._check_time()
            self.failures.extend(outcome.failures)
            self.files.extend(outcome.files)
            self.work_seconds += outcome.seconds
            self.peak = max(self.peak, outcome.peak)
            for number, item, found in zip(
                batch.numbers, batch.items, outcome.results, strict=True
            ):
                results[place].append(Trial(number, item, batch_kind(kind).named(found)))
        if kind in ("trials", "pruned trials"):
            for (_, options), trials in zip(listed, results, strict=True):
                done = next((trial.item for trial in trials if trial.numbers is not None), None)
                if done is not None:
                    self.require_honest(options["strategy"], done, options.get("rows"))
        return results

    def require_honest(
        self, strategy: Mapping[str, Any], parameters: Any, rows: Sequence[int] | None = None
    ) -> None:
        """Raise PhaseFailed where a strategy of the user's own looks ahead; asked once each.

        strategy : `StrategyUse.source.to_json()`. One that takes a seed is not asked: what it
            draws for a day may depend on how many days there are
        """
        name = strategy["type"]
        if ":" not in name or name in self._honest or SEED_PARAMETER in parameters:
            return
        self._honest.add(name)
        component = {"strategy": strategy, "parameters": parameters}
        options = {} if rows is None else {"rows": list(rows)}
        ((trial,),) = self.work("look ahead", [([component], options)])
        if trial.numbers is None:
            failure = self.failures.pop()
            self.notes.append(
                f"{self.phase.name}: whether strategy {name} looks ahead is not known, as the "
                f"check failed: {failure.message}"
            )
        elif found := trial.numbers["found"]:
            raise PhaseFailed(
                f"phase {self.phase.name}: strategy {name} looks ahead: {found}; a signal may use "
                "bars up to its own day only"
            )

    def _seeded(self, item: Any, number: int, options: Mapping[str, Any]) -> Any:
        """Return the item with the trial's own seed where its strategy takes one."""
        if not options.get("seeded"):
            return item
        return {**item, SEED_PARAMETER: seed_number(self.workflow.seed, self.phase.name, number)}

    def require_enough(self, trials: Iterable[Trial]) -> list[Trial]:
        """Return the trials that ended well; raises PhaseFailed where too few are left."""
        listed = list(trials)
        left = [trial for trial in listed if trial.numbers is not None]
        allowed = self.workflow.document.coordinator.fault_tolerance.max_failed_fraction
        lost = len(listed) - len(left)
        if not left or lost > allowed * len(listed):
            why = self.failures[0].message if self.failures else "there was nothing to run"
            raise PhaseFailed(
                f"phase {self.phase.name}: {lost} of {len(listed)} trials were left out, more than "
                f"{allowed:.0%} (max_failed_fraction); the first: {why}"
            )
        return left

    def _check_time(self) -> None:
        hours = self.phase.timeout_hours
        if hours is not None and time.monotonic() - self._begun > hours * 3600:
            raise PhaseFailed(
                f"phase {self.phase.name}: took longer than its timeout_hours {hours:g}; started "
                "again, it goes on where it was"
            )
