"""Waiting for BRAIN: looking until something is done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from alphafoundry.errors import BrainUnavailable

T = TypeVar("T")

MOST_FAILED_LOOKS = 5
FIRST_PAUSE_AFTER_FAILURE = 0.2
SHORTEST_PAUSE = 0.005


async def until_done(
    look: Callable[[], Awaitable[T]],
    pause_of: Callable[[T], float | None],
    *,
    deadline: float,
    what: str,
) -> T:
    """Look again and again; return the first answer whose pause is None.

    Parameters
    ----------
    look : asks the service
    pause_of : seconds until the next look, None where the answer is final
    deadline : seconds until the answer must be there
    what : what is waited for, for messages

    A few failed looks in a row are forgiven, since the work goes on at the service. Raises
    BrainUnavailable after five of them, and at the deadline.
    """
    end = time.monotonic() + deadline
    failed = 0
    while True:
        try:
            answer = await look()
        except BrainUnavailable as problem:
            failed += 1
            if failed >= MOST_FAILED_LOOKS or not problem.transient:
                raise
            asked = problem.retry_after
            pause = FIRST_PAUSE_AFTER_FAILURE * 2 ** (failed - 1) if asked is None else asked
        else:
            failed = 0
            wanted = pause_of(answer)
            if wanted is None:
                return answer
            pause = wanted
        remaining = end - time.monotonic()
        if remaining <= 0:
            raise BrainUnavailable(
                f"{what} was not finished after {deadline:g} s; look again later"
            )
        await asyncio.sleep(max(SHORTEST_PAUSE, min(pause, remaining)))
