"""Register every deployment of `prefect.yaml`, the limits and the automations: `make deploy`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectNotFound, PrefectException
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


@contextlib.contextmanager
def _told_in_one_line(where: str, done: str = "") -> Iterator[None]:
    try:
        yield
    # Prefect's client raises a RuntimeError where it does not even hear the server's version.
    except (httpx.HTTPError, PrefectException, RuntimeError) as problem:
        told = " ".join(str(problem).split()) or type(problem).__name__
        raise FoundryError(f"{done}the Prefect server at {where} fails: {told}") from None


_SAYS_WIDELY = {"COLUMNS": "1000"}
"""Prefect breaks its lines at the width of a terminal."""


def _fault(said: str, complaint: str) -> str:
    """Return in one line which deployment Prefect failed at, why, and which it had registered."""
    begun = re.findall(r"Deploying (\S+) ", said)
    registered = [one.rpartition("/")[2] for one in re.findall(r"Deployment '(\S+)' succ", said)]
    at = f" at {begun[-1]!r}" if begun and begun[-1] not in registered else ""
    told = ", ".join(registered) or "none"
    return (
        f"Prefect failed{at}: {_cause(said, complaint)}; registered before: {told}; mend it and "
        "run `make deploy` again"
    )


def _cause(said: str, complaint: str) -> str:
    """Return the last exception that says something, or what Prefect said last."""
    raised = [line.strip() for line in complaint.splitlines() if re.match(r"[\w.]+(: |$)", line)]
    # One that ends so hands on what the exception before it said.
    causes = [line for line in raised if not line.endswith(":")]
    if causes:
        return ([line for line in causes if ": " in line] or causes)[-1]
    return " ".join(f"{said.rpartition('╯')[2]} {complaint}".split()) or "it said nothing"


def deploy() -> None:
    """Provision limits, work pool and automations, then register the deployments.

    The limit of a deployment is named after it.

    Raises
    ------
    FoundryError : no server answers, it fails again and again, a file has a mistake, or Prefect
        refused a deployment; it says which were registered before
    """
    limits = load_limits()
    automations = load_automations(ROOT / AUTOMATIONS)
    with (
        prefect_server(temporary=False) as server,
        temporary_settings(set_defaults={PREFECT_CLIENT_MAX_RETRIES: RETRIES}),
    ):
        with _told_in_one_line(server.url):
            changed = asyncio.run(_provision(limits, automations))
        own = {"PREFECT_API_URL": server.url, "FOUNDRY_ROOT": str(ROOT)}
        own["PREFECT_CLIENT_MAX_RETRIES"] = str(PREFECT_CLIENT_MAX_RETRIES.value())
        done = subprocess.run(
            [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"],
            cwd=ROOT,
            env={**os.environ, **own, **_SAYS_WIDELY},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise FoundryError(_fault(done.stdout, done.stderr))
        with _told_in_one_line(server.url, "every deployment is registered, but "):
            asyncio.run(name_limits_of_deployments())
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
