"""A phase's work inside Prefect's transactions."""

from __future__ import annotations

import asyncio
import gc
import warnings

import pytest
from prefect.transactions import atransaction, transaction

import tasks.coordinator.phases
from alphafoundry.errors import PhaseFailed


@pytest.mark.parametrize("in_a_batch", [False, True])
async def test_a_phase_that_fails_leaves_no_coroutine_behind(
    monkeypatch: pytest.MonkeyPatch, in_a_batch: bool
) -> None:
    def failing() -> None:
        if in_a_batch:
            with transaction():
                raise PhaseFailed("phase a: too few trials")
        raise PhaseFailed("phase a: too few trials")

    monkeypatch.setitem(tasks.coordinator.phases._working, ("token", "key"), failing)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(PhaseFailed, match="too few trials"):
            # As the task of a phase holds it, whose body runs in a thread.
            async with atransaction():
                await asyncio.to_thread(tasks.coordinator.phases._work_on, "key", "token")
        gc.collect()
    assert [str(item.message) for item in caught if item.category is RuntimeWarning] == []
