"""Register every deployment of `prefect.yaml`, the limits and the automations: `make deploy`."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from alphafoundry.errors import FoundryError, os_error_in_one_line
from alphafoundry.settings import load_limits
from deployments.automations import (
    AUTOMATIONS,
    AutomationsFile,
    ensure_automations,
    load_automations,
)
from tasks.prefect.limits import ensure_limits, name_limits_of_deployments
from tasks.prefect.server import prefect_server

ROOT = Path(__file__).resolve().parent.parent
WORK_POOL = "local"

RETRIES = 7
"""Times that a question is asked again, after 2, 4, 8 s and so on.

A server on SQLite answers 503 where others wrote between what it read and what it writes. On a busy
machine Prefect's five times were not enough.
"""


async def _ensure_work_pool() -> None:
    async with get_client() as client:
        try:
            await client.read_work_pool(WORK_POOL)
        except ObjectNotFound:
            await client.create_work_pool(WorkPoolCreate(name=WORK_POOL, type="process"))


async def _provision(limits: dict[str, int], automations: AutomationsFile) -> list[str]:
    await ensure_limits(limits)
    await _ensure_work_pool()
    return await ensure_automations(automations)


def deploy() -> None:
    """Provision limits, work pool and automations, then register the deployments.

    The limit of a deployment is named after it.

    Raises
    ------
    FoundryError : no server answers, it fails again and again, a file has a mistake, or Prefect
        refused a deployment (its message is shown)
    """
    limits = load_limits()
    automations = load_automations(ROOT / AUTOMATIONS)
    with (
        prefect_server(temporary=False) as server,
        temporary_settings(set_defaults={PREFECT_CLIENT_MAX_RETRIES: RETRIES}),
    ):
        try:
            changed = asyncio.run(_provision(limits, automations))
        except httpx.HTTPError as problem:
            told = " ".join(str(problem).split()) or type(problem).__name__
            raise FoundryError(f"the Prefect server at {server.url} fails: {told}") from None
        own = {"PREFECT_API_URL": server.url, "FOUNDRY_ROOT": str(ROOT)}
        own["PREFECT_CLIENT_MAX_RETRIES"] = str(PREFECT_CLIENT_MAX_RETRIES.value())
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
            cwd=ROOT,
            env={**os.environ, **own},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if not done.returncode:
            asyncio.run(name_limits_of_deployments())
    if done.returncode:
        raise FoundryError(f"prefect deploy failed:\n{done.stdout}{done.stderr}")
    caps = ", ".join(f"{name} {size}" for name, size in limits.items())
    print(f"Deployments of prefect.yaml are registered at {server.url}; limits: {caps}.")
    print(
        f"Automations: {len(automations.automations)}, {', '.join(changed) or 'all as they were'}."
    )
    print(f"Next: export PREFECT_API_URL={server.url}")
    print("      .venv/bin/prefect deployment run 'daily/daily' --watch   (with `make worker`)")


if __name__ == "__main__":
    try:
        deploy()
    except FoundryError as problem:
        sys.exit(f"error: {problem}")
    except OSError as problem:
        sys.exit(f"error: {os_error_in_one_line(problem)}")
