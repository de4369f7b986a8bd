"""The cap on simulations holds over processes, and counts what the service simulates."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import httpx
import pytest

from alphafoundry.research.simulation_queue import MOST_BEHIND
from tests.flows.misbehaving import FITTING, Service
from tests.working_folder import TIMEOUT, WorkingFolder

CAP = 3
EACH = 4


@pytest.mark.slow
def test_two_generators_share_one_cap(working_folder: WorkingFolder, tmp_path: Path) -> None:
    service = Service(tmp_path, max_concurrent=CAP, simulation_seconds=0.4)
    with service.on_a_port() as brain, contextlib.ExitStack() as stack:
        flags = ("--simulations", str(EACH), "--brain", brain)
        runs = [
            stack.enter_context(
                working_folder.start("flows.generate", *flags, "--seed", str(seed), **FITTING)
            )
            for seed in (1, 2)
        ]
        assert [run.wait(TIMEOUT) for run in runs] == [0, 0], working_folder.output(
            "flows.generate"
        )
        seen = metrics(brain)
    assert seen["peak_running"] <= CAP
    assert seen["simulations"] == working_folder.finished() == 2 * EACH
    assert seen["answered_429"] <= 2
    per_run = working_folder.rows("SELECT count(*) FROM simulations GROUP BY run_id")
    assert per_run == [(EACH,), (EACH,)]


def metrics(url: str) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.get(f"{url}/foundry/metrics", trust_env=False).json()
    return answer


@pytest.mark.long
def test_a_lane_sends_the_next_while_it_fetches_a_result(
    place: WorkingFolder, tmp_path: Path
) -> None:
    """No alpha is answered before three simulations were accepted, one at a time."""
    from flows.generate import generate

    service = Service(tmp_path, max_concurrent=1)
    service.alphas_after = 3
    with service.on_a_port() as url:
        report = asyncio.run(generate(simulations=4, max_concurrent=1, brain=url))
        seen = metrics(url)
    assert report.counts.simulated == 4
    assert (seen["peak_running"], seen["answered_429"]) == (1, 0)


@pytest.mark.long
def test_what_was_not_fetched_when_a_run_ends_is_fetched_by_the_next(
    place: WorkingFolder, tmp_path: Path
) -> None:
    from flows.generate import generate

    service = Service(tmp_path, max_concurrent=1)
    many = 2 * MOST_BEHIND
    sent = MOST_BEHIND + 1

    async def cut_off(url: str) -> None:
        run = asyncio.ensure_future(generate(simulations=many, max_concurrent=1, brain=url))
        while place.count("SELECT count(*) FROM simulations WHERE status = 'sent'") < sent:
            await asyncio.sleep(0.05)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    with service.on_a_port() as url:
        service.alphas_after = many + 1
        asyncio.run(cut_off(url))
        statuses = place.rows("SELECT status, count(*) FROM simulations GROUP BY 1")
        assert dict(statuses) == {"sent": sent, "planned": many - sent}
        service.alphas_after = 0
        again = asyncio.run(generate(simulations=many, brain=url))
    assert (again.counts.resumed, again.counts.unfinished) == (many, 0)
    assert set(service.counting.accepted.values()) == {1}
