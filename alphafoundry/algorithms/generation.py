"""What models are asked to write, and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from alphafoundry.algorithms.contract import NoCode, RefusedCode, Signature
from alphafoundry.algorithms.extraction import extract_code
from alphafoundry.algorithms.leader_board import BUY_AND_HOLD
from alphafoundry.algorithms.prompts import MarketNote, Prompt, build_prompt, repair_prompt
from alphafoundry.algorithms.validation import validate
from alphafoundry.errors import ConfigurationError
from alphafoundry.llm import Completion, Provider

MOST_REPAIRS = 2
"""How often a refused program goes back to its model."""

Status = Literal["ready", "refused", "failed", "skipped"]


@dataclass(frozen=True)
class Assignment:
    """What one model is asked to do.

    Attributes
    ----------
    position : place in the caller's order, from 0
    model : as the caller names it, in every report
    prompt : what it is asked
    known_as : as the service names it, where that differs by the suffix ":free"
    occurrence : 0 where the model is named for the first time in this run, then 1, ...
    repair : 0 for a first answer, 1 where a refused program went back once, ...
    """

    position: int
    model: str
    prompt: Prompt
    known_as: str
    occurrence: int = 0
    repair: int = 0

    @property
    def about(self) -> str | None:
        """What is kept with a request, besides what it took: None for a first answer."""
        return f"repair {self.repair}: {self.prompt.mends}" if self.repair else None


@dataclass(frozen=True)
class GeneratedAlgorithm:
    """What came of an assignment.

    Attributes
    ----------
    status : "ready" passed the checks of the source; "refused" is an answer that did not;
        "failed" gave no answer; "skipped" was not asked
    answer : the text as the model wrote it, None without one
    source, signature : the program, None where it is not ready
    reason : one line, None where it is ready
    requests : how many were sent
    draft : a program that the check refused, None where there is none
    """

    position: int
    model: str
    status: Status
    answer: str | None = None
    source: str | None = None
    signature: Signature | None = None
    reason: str | None = None
    requests: int = 0
    draft: str | None = None


@dataclass(frozen=True)
class Generation:
    """What all models wrote, in the order in which they were given.

    Attributes
    ----------
    label : what wrote it, for reports
    prompt_version : of the templates
    results : one for each model, also for those without an algorithm
    """

    label: str
    prompt_version: str
    results: tuple[GeneratedAlgorithm, ...]

    @property
    def ready(self) -> tuple[GeneratedAlgorithm, ...]:
        """The algorithms that can be raced."""
        return tuple(one for one in self.results if one.status == "ready")

    def __repr__(self) -> str:
        lines = [f"Generation({len(self.ready)} of {len(self.results)} ready, {self.label})"]
        for one in self.results:
            told = one.reason or f"{one.signature}, {len((one.source or '').splitlines())} lines"
            lines.append(f"  {one.model}: {one.status}: {told}")
        return "\n".join(lines)


def assign(models: Sequence[str], note: MarketNote, *, seed: int = 0) -> list[Assignment]:
    """Return the assignment of each model, in order.

    Raises
    ------
    ConfigurationError : a name is empty, holds "::" or a line break, or is that of the benchmark
    """
    times: Counter[str] = Counter()
    assignments = []
    for position, model in enumerate(models):
        if not model.strip() or "::" in model or not model.isprintable():
            raise ConfigurationError(f"{model!r} is not the name of a model")
        if model.strip().casefold() == BUY_AND_HOLD:
            raise ConfigurationError(
                f"{model!r} is what the algorithms race against, and cannot be a model's name too"
            )
        prompt = build_prompt(model, note, occurrence=times[model], seed=seed)
        assignments.append(Assignment(position, model, prompt, model, times[model]))
        times[model] += 1
    return assignments


async def sort_out(
    provider: Provider, assignments: Iterable[Assignment]
) -> tuple[list[Assignment], list[GeneratedAlgorithm]]:
    """Return the assignments whose model the provider has, and a placeholder for each other.

    A model that is listed only with, or only without, the suffix ":free" is asked by that name.
    """
    listed = await provider.available()
    kept: list[Assignment] = []
    skipped: list[GeneratedAlgorithm] = []
    for one in assignments:
        name = one.model if listed is None else _listed_name(one.model, listed)
        if name is None:
            reason = f"unavailable: {provider.endpoint} does not list this model"
            skipped.append(GeneratedAlgorithm(one.position, one.model, "skipped", reason=reason))
        else:
            kept.append(replace(one, known_as=name))
    return kept, skipped


def _listed_name(model: str, listed: frozenset[str]) -> str | None:
    base = model.removesuffix(":free")
    return next((name for name in (model, base, f"{base}:free") if name in listed), None)


def read_answer(
    assignment: Assignment, completion: Completion, *, requests: int
) -> GeneratedAlgorithm:
    """Take the program out of an answer and check its source; it is not run."""
    result = GeneratedAlgorithm(
        assignment.position,
        assignment.model,
        "refused",
        answer=completion.text,
        requests=requests,
    )
    draft = None
    try:
        draft = extract_code(completion.text)
        checked = validate(draft)
    except (NoCode, RefusedCode) as problem:
        reason = str(problem)
        if isinstance(problem, NoCode) or "execute_trade is missing" in reason:
            reason = f"missing_execute_trade: {reason}"
        return replace(result, reason=" ".join(reason.split()), draft=draft)
    return replace(result, status="ready", source=checked.source, signature=checked.signature)


def repair_of(
    one: Assignment, written: GeneratedAlgorithm, *, most: int = MOST_REPAIRS
) -> Assignment | None:
    """Return how the model is asked to mend what the check refused.

    None where nothing was refused, where the answer held no program, which asking again would not
    change, or where its program has gone back `most` times.
    """
    if written.draft is None or written.status != "refused" or one.repair >= most:
        return None
    prompt = repair_prompt(one.prompt, written.draft, written.reason or "")
    return replace(one, prompt=prompt, repair=one.repair + 1)


def no_answer(assignment: Assignment, reason: str, *, requests: int = 0) -> GeneratedAlgorithm:
    """Return the placeholder of a model that gave no answer."""
    return GeneratedAlgorithm(
        assignment.position, assignment.model, "failed", reason=reason, requests=requests
    )
