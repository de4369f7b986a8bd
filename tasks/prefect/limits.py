"""Concurrency caps: created from `config/limits.yaml`, and freed when their holder has died.

A cap NAME is Prefect's global limit `tag:NAME`; a task run with the tag NAME holds a slot of it.
Prefect gives the slot of a killed process back after a minute on a server of its own and never
on a temporary one. So every holder also keeps a lock file, which the kernel unlocks when the
process ends in whatever way: a slot whose file is unlocked belongs to nobody and is freed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitUpdate
from prefect.client.schemas.responses import GlobalConcurrencyLimitResponse
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.runtime import task_run
from prefect.settings import PREFECT_HOME

from alphafoundry.errors import ConfigurationError
from tasks.prefect.server import Server

LIMITS_AT_ONCE: Final = 200
"""A Prefect server gives no more at once, and ten where it is not told."""

_OF_DEPLOYMENT: Final = "deployment:"


def _holders() -> Path:
    folder = Path(PREFECT_HOME.value()) / "slot-holders"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextlib.contextmanager
def holding_slot() -> Iterator[None]:
    """Mark the running task as the living holder of its slots, for the length of the block."""
    path = _holders() / str(task_run.get_id())
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _is_dead(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _leases_of_the_dead() -> Iterator[tuple[str, Path]]:
    """Yield (lease, holder's file) of each slot whose holder has died on this machine."""
    for lease in (Path(PREFECT_HOME.value()) / "concurrency_leases").glob("*-*.json"):
        try:
            holder = json.loads(lease.read_text())["metadata"]["holder"]["id"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        path = _holders() / str(holder)
        if _is_dead(path):
            yield lease.stem, path


async def _release_slots_of_the_dead(server: Server, names: list[str]) -> int:
    """Free the slots of killed runs; return how many leases were given back."""
    released = 0
    async with get_client() as client:
        for lease, holder in list(_leases_of_the_dead()):
            await client.release_concurrency_slots_with_lease(UUID(lease))
            holder.unlink(missing_ok=True)
            released += 1
        if server.alone:
            for name in names:
                await client.update_global_concurrency_limit(
                    name, GlobalConcurrencyLimitUpdate(active_slots=0)
                )
    return released


async def ensure_limits(limits: Mapping[str, int], server: Server | None = None) -> None:
    """Create or update each cap, read it back, and free the slots of processes that died.

    Parameters
    ----------
    limits : cap name to size, at least 1
    server : what `prefect_server()` gave; None inside a deployment's run

    Raises
    ------
    ConfigurationError : the server did not keep a cap as it was told
    """
    names = [f"tag:{name}" for name in limits]
    async with get_client() as client:
        for name, size in zip(names, limits.values(), strict=True):
            try:
                await client.upsert_global_concurrency_limit_by_name(name, size)
            except ObjectAlreadyExists:  # another run made it a moment ago
                await client.upsert_global_concurrency_limit_by_name(name, size)
            kept = await _read_limit(client, name)
            # A supervisor lowers a cap while the machine is short of memory; more is never right.
            if kept is None or kept > size:
                raise ConfigurationError(
                    f"concurrency limit {name!r} is {kept} on the Prefect server although "
                    f"{size} was set; look at it with `prefect gcl inspect {name}`"
                )
    await _release_slots_of_the_dead(server or Server("", temporary=False, alone=False), names)


async def name_limits_of_deployments() -> None:
    """Name the limit of each deployment after it: `deployment:daily`.

    Prefect calls it by the deployment's id, which says nothing to who looks at the limits, and
    finds it by an id of its own. A name that is taken, or that a person gave, stays.
    """
    async with get_client() as client:
        limits = await _every_limit(client)
        taken = {limit.name for limit in limits}
        for limit in limits:
            try:
                owner = await client.read_deployment(UUID(limit.name.removeprefix(_OF_DEPLOYMENT)))
            except (ValueError, ObjectNotFound):
                continue
            name = f"{_OF_DEPLOYMENT}{owner.name}"
            if name not in taken:
                taken.add(name)
                await client.update_global_concurrency_limit(
                    limit.name, GlobalConcurrencyLimitUpdate(name=name)
                )


async def _every_limit(client: PrefectClient) -> list[GlobalConcurrencyLimitResponse]:
    found: list[GlobalConcurrencyLimitResponse] = []
    while part := await client.read_global_concurrency_limits(
        limit=LIMITS_AT_ONCE, offset=len(found)
    ):
        found += part
    return found


async def _read_limit(client: PrefectClient, name: str) -> int | None:
    """Return the size of an active limit, None where it is missing or switched off."""
    try:
        limit = await client.read_global_concurrency_limit_by_name(name)
    except (ObjectNotFound, httpx.HTTPStatusError):
        return None
    return limit.limit if limit.active else None


async def require_limit(cap: str) -> int:
    """Return the size of a cap that must exist.

    A task with a tag that has no limit would run unlimited without a word, so who starts
    capped work asks here first.

    Raises
    ------
    ConfigurationError : the limit is missing or switched off
    """
    async with get_client() as client:
        size = await _read_limit(client, f"tag:{cap}")
    if size is None:
        raise ConfigurationError(
            f"the Prefect server has no active concurrency limit 'tag:{cap}', so the cap "
            f"{cap!r} would not hold; run `make deploy` or add it to config/limits.yaml"
        )
    return size
