"""What each request took, and what that amounts to per model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RequestRecord:
    """One request that was sent, or answered from the cache.

    Attributes
    ----------
    model : as the caller names it
    number : 1 for the first request of an answer, 2 for its first retry, ...
    outcome : "answered", "cached", or the kind of the ModelRequestError
    status : HTTP status, None where there was none
    seconds : until the answer or the failure
    prompt_tokens, completion_tokens, cost : see `Completion`
    reason : one line on a failure; of an answer what it mends, None for a first one
    """

    model: str
    number: int
    outcome: str
    status: int | None
    seconds: float
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class ModelMetrics:
    """What the requests to one model amount to.

    Attributes
    ----------
    requests : sent over the network; `cached` answers are not among them
    retries : requests after the first of their answer
    answers : requests that were answered
    success_rate : answers over requests, NaN without a request
    p50, p90, p99 : percentiles of the seconds of answers, linear between two, NaN without one
    prompt_tokens, completion_tokens : sums of what the service reported, unusable answers
        included, None where it did not
    cost : US dollars, None where the service reports none
    """

    model: str
    requests: int
    retries: int
    answers: int
    cached: int
    success_rate: float
    p50: float
    p90: float
    p99: float
    prompt_tokens: int | None
    completion_tokens: int | None
    cost: float | None


def measure_models(records: Iterable[RequestRecord]) -> list[ModelMetrics]:
    """Return the metrics of each model, in the order in which the models first appear."""
    by_model: dict[str, list[RequestRecord]] = {}
    for record in records:
        by_model.setdefault(record.model, []).append(record)
    return [_measure(model, of_model) for model, of_model in by_model.items()]


def _measure(model: str, records: list[RequestRecord]) -> ModelMetrics:
    sent = [record for record in records if record.outcome not in ("cached", "circuit")]
    answered = [record for record in sent if record.outcome == "answered"]
    p50, p90, p99 = (
        np.percentile([record.seconds for record in answered], [50, 90, 99]).tolist()
        if answered
        else (float("nan"),) * 3
    )
    costs = [record.cost for record in sent if record.cost is not None]
    return ModelMetrics(
        model=model,
        requests=len(sent),
        retries=sum(record.number > 1 for record in sent),
        answers=len(answered),
        cached=sum(record.outcome == "cached" for record in records),
        success_rate=len(answered) / len(sent) if sent else float("nan"),
        p50=p50,
        p90=p90,
        p99=p99,
        prompt_tokens=_total(record.prompt_tokens for record in sent),
        completion_tokens=_total(record.completion_tokens for record in sent),
        cost=sum(costs) if costs else None,
    )


def _total(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
