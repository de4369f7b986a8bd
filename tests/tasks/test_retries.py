"""Which failures a task tries again, measured on real task runs."""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx
from prefect import flow, task

from alphafoundry.errors import (
    AuthenticationError,
    BrainRequestError,
    BrainUnavailable,
    ConfigurationError,
    LanguageModelError,
    RateLimited,
)
from tasks.prefect.retries import TRANSIENT, RetryPolicy
from tests.working_folder import WorkingFolder

TRANSIENT_FAILURES = {
    "rate limit": RateLimited("429", kind="rate", retry_after=1.0),
    "too many at once": RateLimited("429", kind="concurrent"),
    "server error": BrainUnavailable("503", status=503),
    "no answer": BrainUnavailable("no answer"),
    "read time-out": httpx.ReadTimeout("slow"),
    "connection refused": httpx.ConnectError("refused"),
    "busy language model": LanguageModelError("busy", transient=True),
}
FINAL_FAILURES = {
    "not found": BrainRequestError("404", status=404),
    "fate unknown": BrainUnavailable("502", status=502, fate_unknown=True),
    "daily quota": RateLimited("429", kind="daily"),
    "wrong password": AuthenticationError("401"),
    "wrong setting": ConfigurationError("wrong"),
    "a bug": ZeroDivisionError("division by zero"),
}
QUICK: RetryPolicy = {**TRANSIENT, "retry_delay_seconds": [0.0, 0.0, 0.0]}
attempts: Counter[tuple[str, str]] = Counter()


@task(**QUICK)
async def fail_async(name: str, problem: Exception) -> None:
    attempts["async", name] += 1
    raise problem


@task(**QUICK)
def fail_sync(name: str, problem: Exception) -> None:
    attempts["sync", name] += 1
    raise problem


@task(**QUICK)
async def fail_twice() -> str:
    attempts["async", "twice"] += 1
    if attempts["async", "twice"] <= 2:
        raise BrainUnavailable("503")
    return "done"


@flow
async def try_all() -> str:
    failures = {**TRANSIENT_FAILURES, **FINAL_FAILURES}
    for name, problem in failures.items():
        fail_sync(name, problem, return_state=True)
    await asyncio.gather(
        *(fail_async(name, problem, return_state=True) for name, problem in failures.items())
    )
    return await fail_twice()


def test_the_policy_tries_what_may_pass_four_times_and_the_rest_once(
    in_process: WorkingFolder,
) -> None:
    attempts.clear()
    assert asyncio.run(try_all()) == "done"
    assert attempts.pop(("async", "twice")) == 3
    expected = {
        (kind, name): times
        for kind in ("async", "sync")
        for names, times in ((TRANSIENT_FAILURES, 4), (FINAL_FAILURES, 1))
        for name in names
    }
    assert dict(attempts) == expected


def test_the_waits_are_short_because_a_slot_may_be_held_meanwhile() -> None:
    assert TRANSIENT["retries"] == len(TRANSIENT["retry_delay_seconds"]) == 3
    assert sum(TRANSIENT["retry_delay_seconds"]) < 5
