"""What a worker does with a batch: trials, signals to store, or weightings to replay.

A batch and its answer are plain JSON values, so that they pass pipes, Dask and checkpoints alike.
"""

from __future__ import annotations

import itertools
import math
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from alphafoundry.backtest import (
    Bars,
    Costs,
    Execution,
    Metrics,
    SignalStore,
    Sizing,
    Strategy,
    look_ahead,
    replay,
    run_trials,
    stacked,
)
from alphafoundry.backtest.strategy import Values
from alphafoundry.coordinator.bars_folder import load_bars, load_part
from alphafoundry.coordinator.identity import code_version, digest
from alphafoundry.coordinator.returns_files import write_returns
from alphafoundry.coordinator.scoring import METRICS, score_of
from alphafoundry.coordinator.strategies import source_from_json
from alphafoundry.errors import OtherCode


@dataclass(frozen=True)
class Setting:
    """What all batches of a workflow share.

    Attributes
    ----------
    bars : folder of the bars; fingerprint : of their content
    signals, returns : folders that are shared between workers
    execution : costs, sizing and capital as plain values
    code : version of the code
    """

    bars: str
    fingerprint: str
    signals: str
    returns: str
    execution: Mapping[str, Any]
    code: str

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def identity(self) -> dict[str, Any]:
        """Return what numbers depend on: not where files are."""
        return {"fingerprint": self.fingerprint, "execution": self.execution, "code": self.code}


@dataclass(frozen=True)
class Batch:
    """Work for one worker.

    Attributes
    ----------
    phase, number : which batch it is
    kind : trials, signals or replay
    items : one per trial: parameters; a component; or weights
    numbers : number of each trial within the phase
    options : of the kind
    """

    phase: str
    number: int
    kind: str
    items: tuple[Any, ...]
    numbers: tuple[int, ...]
    options: Mapping[str, Any]

    def part(self, start: int, end: int) -> Batch:
        """Return the batch with some of its items."""
        return Batch(
            self.phase,
            self.number,
            self.kind,
            self.items[start:end],
            self.numbers[start:end],
            self.options,
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "phase": self.phase,
            "number": self.number,
            "kind": self.kind,
            "items": list(self.items),
            "numbers": list(self.numbers),
            "options": dict(self.options),
        }


def batch_from_json(given: Mapping[str, Any]) -> Batch:
    """Return the batch that `to_json` gave."""
    return Batch(
        given["phase"],
        given["number"],
        given["kind"],
        tuple(given["items"]),
        tuple(given["numbers"]),
        given["options"],
    )


def execution_to_json(execution: Execution) -> dict[str, Any]:
    """Return plain values."""
    return asdict(execution)


def execution_from_json(given: Mapping[str, Any]) -> Execution:
    """Return the execution that `execution_to_json` gave."""
    parts = {"costs": Costs(**given["costs"]), "sizing": Sizing(**given["sizing"])}
    return Execution(**{**given, **parts})


def metrics_to_json(metrics: Metrics) -> list[float | None]:
    """Return the numbers in the order of METRICS; NaN is None."""
    return [
        None if isinstance(value, float) and not math.isfinite(value) else value
        for value in (getattr(metrics, name) for name in METRICS)
    ]


def metrics_by_name(metrics: Metrics) -> dict[str, float | None]:
    """Return metric to value, None where it is not defined."""
    return dict(zip(METRICS, metrics_to_json(metrics), strict=True))


Begun = Callable[[int], None]
"""Takes the place of an item when work on it begins."""


def perform(
    setting: Mapping[str, Any], given: Mapping[str, Any], begun: Begun | None = None
) -> dict[str, Any]:
    """Do a batch, all or nothing.

    begun : called before each trial of a strategy of the user's own

    Returns {"results": one per item, "file": array of daily returns or None, "seconds", "peak"}.
    Whatever the strategy raises is raised; OtherCode where this process does not run the code of
    the setting, whose name the numbers would get.
    """
    if setting["code"] != code_version():
        raise OtherCode(
            "a worker runs other code of Alpha Foundry or other packages than the process that "
            "began this workflow; install the same commit everywhere, start the workers anew, and "
            "run the same command again"
        )
    batch = batch_from_json(given)
    started = time.perf_counter()
    results, file = batch_kind(batch.kind).perform(setting, batch, begun)
    return {
        "results": results,
        "file": file,
        "seconds": time.perf_counter() - started,
        "peak": peak_memory(),
    }


def peak_memory() -> int:
    """Return the most memory that this process has held, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


_Answer = tuple[list[Any], str | None]
_Perform = Callable[[Mapping[str, Any], Batch, Begun | None], _Answer]


@dataclass(frozen=True)
class BatchKind:
    """A kind of batch.

    Attributes
    ----------
    perform : does a batch: results, and the file of daily returns or None
    is_trial : whether an item counts as a trial; storing signals prepares trials, it is none
    names : names of the numbers of a result; one name where the result is one value
    """

    perform: _Perform
    is_trial: bool
    names: tuple[str, ...]

    def named(self, found: Any) -> dict[str, Any] | None:
        """Return the result by name, None for an item left out."""
        if found is None:
            return None
        values = found if isinstance(found, list | tuple) else [found]
        return dict(zip(self.names, values, strict=True))


_KINDS: dict[str, BatchKind] = {}


def batch_kind(name: str) -> BatchKind:
    """Return the kind of that name."""
    return _KINDS[name]


def _work(
    name: str, *, is_trial: bool = True, names: tuple[str, ...] = METRICS
) -> Callable[[_Perform], _Perform]:
    """Register the decorated function as what a batch of kind `name` does."""

    def register(function: _Perform) -> _Perform:
        _KINDS[name] = BatchKind(function, is_trial, names)
        return function

    return register


def _part(setting: Mapping[str, Any], options: Mapping[str, Any]) -> Bars:
    rows = options.get("rows")
    bars = load_bars(setting["bars"])
    return bars if rows is None else load_part(setting["bars"], rows[0], rows[1])


def _execution(setting: Mapping[str, Any], batch: Batch) -> Execution:
    return execution_from_json(batch.options.get("execution") or setting["execution"])


def _measured(options: Mapping[str, Any]) -> tuple[int, int] | None:
    measured = options.get("measured")
    return None if measured is None else (measured[0], measured[1])


@_work("trials")
def _trials(setting: Mapping[str, Any], batch: Batch, begun: Begun | None) -> _Answer:
    """Backtest each parameter set; with `keep_returns` their daily returns go to a file."""
    strategy = source_from_json(batch.options["strategy"]).strategy()
    if begun is not None and ":" in batch.options["strategy"]["type"]:
        strategy = _announced(strategy, begun)
    keep = bool(batch.options.get("keep_returns"))
    found = run_trials(
        _part(setting, batch.options),
        strategy,
        batch.items,
        _execution(setting, batch),
        measured=_measured(batch.options),
        keep_daily=keep,
    )
    results = [metrics_to_json(trial.metrics) for trial in found]
    if not keep:
        return results, None
    return results, _keep_returns(setting, batch, [trial.daily_returns for trial in found])


@_work("pruned trials", names=(*METRICS, "early", "pruned"))
def _pruned_trials(setting: Mapping[str, Any], batch: Batch, begun: Begun | None) -> _Answer:
    """Backtest each parameter set on the first days, and those that are good enough on all.

    Of one that is given up the numbers are those of the first days; `early` is its score there.
    One that has not traded there has no score and is not given up: its windows may not be full.
    """
    told, rows = batch.options["pruning"], batch.options["rows"]
    first_days = {**batch.options, "rows": [rows[0], told["until"]]}
    early, _ = _trials(setting, replace(batch, options=first_days), begun)
    scores: list[float | None] = []
    for found in early:
        numbers = dict(zip(METRICS, found, strict=True))
        score = score_of(numbers, told["objective"])
        scores.append(score if numbers["trades"] and math.isfinite(score) else None)
    below = told["below"]
    kept = [
        place
        for place, score in enumerate(scores)
        if below is None or score is None or score >= below
    ]
    items = tuple(batch.items[place] for place in kept)
    again = None if begun is None else lambda place: begun(kept[place])
    whole, _ = _trials(setting, replace(batch, items=items), again) if items else ([], None)
    results = [[*found, score, 1] for found, score in zip(early, scores, strict=True)]
    for place, found in zip(kept, whole, strict=True):
        results[place] = [*found, scores[place], 0]
    return results, None


def _announced(strategy: Strategy, begun: Begun) -> Strategy:
    """Return the strategy that says so before each of its trials, which come in their order."""
    places = itertools.count()

    def fill(bars: Bars, values: Values, out: np.ndarray[Any, Any]) -> None:
        begun(next(places))
        strategy.fill(bars, values, out)

    return replace(strategy, fill=fill)


def _keep_returns(
    setting: Mapping[str, Any], batch: Batch, daily: Sequence[np.ndarray[Any, Any]]
) -> str:
    """Write daily returns, shape (n_trials, n_days), to a file named by what made them."""
    made_by = [setting[name] for name in ("fingerprint", "execution", "code")]
    name = digest([made_by, batch.to_json()])[:32]
    return write_returns(Path(setting["returns"]), name, daily)


@_work("signals", is_trial=False, names=("key",))
def _signals(setting: Mapping[str, Any], batch: Batch, begun: Begun | None) -> _Answer:
    """Store the signals of each component; the result is its key."""
    bars = _part(setting, batch.options)
    store = SignalStore(setting["signals"])
    results = []
    for place, item in enumerate(batch.items):
        if begun is not None:
            begun(place)
        strategy = source_from_json(item["strategy"]).strategy()
        store.signals(bars, strategy, item["parameters"])
        results.append(store.key(bars, strategy, item["parameters"]))
    return results, None


@_work("look ahead", is_trial=False, names=("found",))
def _look_ahead(setting: Mapping[str, Any], batch: Batch, begun: Begun | None) -> _Answer:
    """Say of each component how its signals know the future, "" where they do not."""
    bars = _part(setting, batch.options)
    results = []
    for place, item in enumerate(batch.items):
        if begun is not None:
            begun(place)
        strategy = source_from_json(item["strategy"]).strategy()
        results.append(look_ahead(bars, strategy, item["parameters"]) or "")
    return results, None


@lru_cache(maxsize=2)
def _components(
    signals: str, bars: str, rows: tuple[int, int], keys: str
) -> np.ndarray[Any, np.dtype[np.float64]]:
    return stacked(SignalStore(signals), load_part(bars, *rows), keys.split(","))


@_work("replay")
def _replay(setting: Mapping[str, Any], batch: Batch, _begun: Begun | None) -> _Answer:
    """Backtest weighted sums of stored signals."""
    bars = _part(setting, batch.options)
    rows = tuple(batch.options.get("rows") or (0, bars.shape[0]))
    components = _components(
        setting["signals"], setting["bars"], rows, ",".join(batch.options["keys"])
    )
    found = replay(
        components,
        [list(weights) for weights in batch.items],
        bars,
        _execution(setting, batch),
        measured=_measured(batch.options),
    )
    results = [metrics_to_json(result.metrics) for result in found]
    if not batch.options.get("keep_returns"):
        return results, None
    return results, _keep_returns(setting, batch, [result.daily_returns for result in found])
