"""Caps: they exist, they hold, and a dead process does not keep a slot."""

from __future__ import annotations

import asyncio
import json
import signal
from urllib.parse import unquote
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.client.schemas.responses import GlobalConcurrencyLimitResponse

from alphafoundry.errors import ConfigurationError
from tasks.prefect import limits
from tasks.prefect.limits import ensure_limits, require_limit
from tasks.supervisor.throttle import Throttle
from tests.tasks.holder import CAP
from tests.working_folder import WorkingFolder, wait_until

AT = "2026-03-02T11:00:00Z"


async def read(cap: str) -> GlobalConcurrencyLimitResponse:
    async with get_client() as client:
        return await client.read_global_concurrency_limit_by_name(f"tag:{cap}")


async def switch_off(cap: str) -> None:
    async with get_client() as client:
        await client.update_global_concurrency_limit(
            f"tag:{cap}", GlobalConcurrencyLimitUpdate(active=False)
        )


def taken() -> int:
    return asyncio.run(read(CAP)).active_slots


async def test_a_missing_limit_is_an_error_not_a_free_pass(in_process: WorkingFolder) -> None:
    with pytest.raises(ConfigurationError, match=r"tag:nobody-made-it.*limits\.yaml"):
        await require_limit("nobody-made-it")


async def test_a_limit_that_is_switched_off_is_an_error(in_process: WorkingFolder) -> None:
    await ensure_limits({"switched-off": 2})
    assert await require_limit("switched-off") == 2
    await switch_off("switched-off")
    with pytest.raises(ConfigurationError, match="no active concurrency limit"):
        await require_limit("switched-off")


async def test_runs_that_begin_at_once_may_make_the_same_limit(in_process: WorkingFolder) -> None:
    await asyncio.gather(*(ensure_limits({"made-at-once": 3}) for _ in range(8)))
    assert await require_limit("made-at-once") == 3


async def test_limits_can_be_ensured_again_and_changed(in_process: WorkingFolder) -> None:
    await ensure_limits({"changing": 2})
    first = await read("changing")
    await ensure_limits({"changing": 2})
    assert (await read("changing")).id == first.id
    await ensure_limits({"changing": 5})
    assert await require_limit("changing") == 5


async def test_a_limit_that_was_switched_off_is_not_used_in_silence(
    in_process: WorkingFolder,
) -> None:
    await ensure_limits({"quiet": 2})
    await switch_off("quiet")
    try:
        await ensure_limits({"quiet": 2})
    except ConfigurationError as problem:
        assert "quiet" in str(problem)
    else:
        assert await require_limit("quiet") == 2


@pytest.mark.slow
def test_a_living_holder_keeps_its_slot_and_a_killed_one_does_not(
    in_process: WorkingFolder,
) -> None:
    with in_process.start("tests.tasks.holder") as holder:
        wait_until(
            lambda: (
                holder.poll() is not None or "holding" in in_process.output("tests.tasks.holder")
            ),
            what="the holder's slot",
        )
        assert holder.poll() is None, in_process.output("tests.tasks.holder")
        assert taken() == 1
        asyncio.run(ensure_limits({CAP: 1}))
        assert taken() == 1, "the holder is alive"
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert taken() == 1, "Prefect does not see the kill at once"
    asyncio.run(ensure_limits({CAP: 1}))
    assert taken() == 0
    assert not list((in_process.prefect_home / "slot-holders").iterdir())


async def test_a_cap_steps_down_while_memory_is_short_and_comes_back(
    in_process: WorkingFolder,
) -> None:
    await ensure_limits({"throttled": 3})
    throttle = Throttle("throttled", 3)
    assert await throttle.follow("fine") is None
    assert await throttle.follow("tight") == "the machine is tight: the cap throttled is 2 of 3"
    assert await throttle.follow("tight") is None
    assert await throttle.follow("critical") and await require_limit("throttled") == 1
    await ensure_limits({"throttled": 3})  # a run begins
    await throttle.follow("critical")
    assert await require_limit("throttled") == 1
    await throttle.give_back()
    assert await require_limit("throttled") == 3
    assert await Throttle("throttled", 1).follow("critical") is None


async def test_every_limit_of_a_deployment_gets_its_name_however_many_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owners = {uuid4(): "first", uuid4(): "last", uuid4(): "taken"}
    names = [f"tag:cap{number}" for number in range(420)]
    for place, owner in zip((7, 401, 403), owners, strict=True):
        names[place] = f"deployment:{owner}"
    names[410] = "deployment:taken"
    renamed: dict[str, str] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path.endswith("/v2/concurrency_limits/filter"):
            asked = json.loads(request.content)
            assert 1 <= asked["limit"] <= 200
            rows = [
                {"id": str(uuid4()), "created": AT, "updated": AT, "name": name, "limit": 1}
                | {"active": True, "active_slots": 0, "slot_decay_per_second": 0.0}
                for name in names[asked["offset"] : asked["offset"] + asked["limit"]]
            ]
            return httpx.Response(200, json=rows)
        if request.method == "PATCH":
            renamed[unquote(path.rpartition("/")[2])] = json.loads(request.content)["name"]
            return httpx.Response(204)
        if "/deployments/" not in path:
            return httpx.Response(404)
        owner = UUID(path.rpartition("/")[2])
        row = {"id": str(owner), "name": owners[owner], "flow_id": str(uuid4())}
        return httpx.Response(200, json=row | {"created": AT, "updated": AT})

    transport = httpx.MockTransport(answer)
    made = PrefectClient("http://prefect/api", httpx_settings={"transport": transport})
    monkeypatch.setattr(limits, "get_client", lambda: made)
    await limits.name_limits_of_deployments()
    assert renamed == {
        names[7]: "deployment:first",
        names[401]: "deployment:last",
    }
