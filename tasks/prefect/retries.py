"""The one policy for trying again: what is transient, how often, how long between."""

from __future__ import annotations

from typing import Any, TypedDict

import httpx
from prefect import Task
from prefect.client.schemas.objects import State, TaskRun

from alphafoundry.errors import FoundryError


def is_transient(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Tell Prefect whether this failure may pass: 429, 5xx, time-outs and network errors.

    The result is read with `_sync=True`, because an async task would give a coroutine here, and
    what is raised in this function counts as "no".
    """
    problem = state.result(raise_on_failure=False, _sync=True)  # type: ignore[call-overload]
    if isinstance(problem, FoundryError):
        return problem.transient
    return isinstance(problem, httpx.TransportError)


class RetryPolicy(TypedDict):
    """The retry arguments of a Prefect task."""

    retries: int
    retry_delay_seconds: list[float]
    retry_jitter_factor: float
    retry_condition_fn: Any


TRANSIENT: RetryPolicy = {
    "retries": 3,
    "retry_delay_seconds": [0.5, 1.0, 2.0],
    "retry_jitter_factor": 0.1,
    "retry_condition_fn": is_transient,
}
"""Three more tries after 0.5, 1 and 2 s, 10 % jitter: `@task(**TRANSIENT)`."""
