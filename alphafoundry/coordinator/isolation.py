"""One bad trial never sinks the others: a batch that fails is split until the culprit is alone.

Only a trial that fails alone is charged. Where it is known which one was under way, that one is
tried alone at once; its siblings are done without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from alphafoundry.coordinator.batches import Batch
from alphafoundry.errors import PhaseFailed


class TrialFailed(Exception):
    """A batch gave no answer.

    Attributes
    ----------
    kind : raised, memory, timeout, cpu or signal; machine where that is at fault, not the trial
    message : what happened, one line
    place : of the item that was under way, None where it is not known
    """

    def __init__(self, kind: str, message: str, place: int | None = None) -> None:
        self.kind = kind
        self.message = message
        self.place = place
        super().__init__(message)


@dataclass(frozen=True)
class Failure:
    """A trial that was left out.

    Attributes
    ----------
    number : of the trial in its phase
    kind : raised, memory, timeout, cpu or signal
    attempts : how often it was tried alone
    """

    number: int
    kind: str
    message: str
    attempts: int


@dataclass(frozen=True)
class BatchOutcome:
    """What came of a batch.

    Attributes
    ----------
    results : one per item, None where left out
    files : {file, numbers} of the daily returns that were kept
    failures : trials left out
    seconds : of work; peak : most memory of a process, bytes; retried : attempts that failed
    """

    results: list[Any]
    files: list[dict[str, Any]]
    failures: list[Failure]
    seconds: float
    peak: int
    retried: int


def _split(batch: Batch, place: int | None) -> list[Batch]:
    """Return the items before the suspect, the suspect, and those after; halves without one."""
    size = len(batch.items)
    cuts = [0, size // 2, size] if place is None else sorted({0, place, place + 1, size})
    return [batch.part(start, end) for start, end in pairwise(cuts)]


def carry_out(
    batch: Batch, attempt: Callable[[Batch], dict[str, Any]], *, retries: int
) -> BatchOutcome:
    """Do a batch whatever its trials do.

    Parameters
    ----------
    attempt : does a batch all or nothing, raises TrialFailed
    retries : tries of a single trial after its first

    Where all goes well there is one attempt and one file. Raises PhaseFailed where results cannot
    be written, or the worker runs other code.
    """
    results: dict[int, Any] = {}
    files: list[dict[str, Any]] = []
    failures: list[Failure] = []
    seconds, peak, retried = 0.0, 0, 0
    waiting = [(batch, 1)]
    while waiting:
        part, tries = waiting.pop()
        try:
            done = attempt(part)
        except TrialFailed as problem:
            if problem.kind == "machine":
                # No trial is to blame, and a checkpoint that says so would stay wrong for ever.
                raise PhaseFailed(f"phase {batch.phase}: {problem.message}") from None
            retried += 1
            if len(part.items) > 1:
                waiting.extend((smaller, 1) for smaller in reversed(_split(part, problem.place)))
            elif tries <= retries:
                waiting.append((part, tries + 1))
            else:
                failures.append(Failure(part.numbers[0], problem.kind, problem.message, tries))
            continue
        results.update(zip(part.numbers, done["results"], strict=True))
        if done["file"] is not None:
            files.append({"file": done["file"], "numbers": list(part.numbers)})
        seconds += done["seconds"]
        peak = max(peak, done["peak"])
    return BatchOutcome(
        results=[results.get(number) for number in batch.numbers],
        files=files,
        failures=failures,
        seconds=seconds,
        peak=peak,
        retried=retried,
    )
