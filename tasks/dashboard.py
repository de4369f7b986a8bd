"""What the dashboard asks of Prefect, over its API: deployments, runs, caps, and starting one."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

from alphafoundry.dashboard import Cap, Deployment, FlowRun, PrefectView
from alphafoundry.errors import FoundryError
from tasks.prefect.discovery import running_server

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.responses import DeploymentResponse

FRESH_SECONDS = 5.0
ANSWER_SECONDS = 5.0
MOST_RUNS = 50
AT_ONCE = 200

T = TypeVar("T")


class PrefectServer:
    """The Prefect server of this home, wherever it is just now."""

    def __init__(self) -> None:
        # Here rather than at the first look, so that its memory belongs to the start.
        import prefect.client.orchestration  # noqa: F401

        self._lock = threading.Lock()
        self._view: PrefectView | None = None
        self._at = 0.0

    def view(self) -> PrefectView:
        """Return a look that is a few seconds old at most; never raises.

        While one looks, the others get what was seen last: a server that hangs holds up one page.
        """
        known = self._view
        if known is not None and self._lock.locked():
            return known
        with self._lock:
            if self._view is None or time.monotonic() - self._at > FRESH_SECONDS:
                self._view = _look()
                self._at = time.monotonic()
            return self._view

    def start(self, deployment: str, parameters: Mapping[str, Any], *, key: str) -> tuple[str, str]:
        """Start a deployment; return a line about its run, and the run's address.

        Raises FoundryError where there is no such deployment, or no server.
        """
        from prefect.exceptions import ObjectNotFound

        address = _address()
        if not address:
            raise FoundryError(f"{deployment}: no Prefect server runs; `make up` starts one")
        try:
            with _client(address) as client:
                found = client.read_deployment_by_name(deployment)
                run = client.create_flow_run_from_deployment(
                    found.id, parameters=dict(parameters), idempotency_key=key, tags=["dashboard"]
                )
        except ObjectNotFound:
            raise FoundryError(
                f"{deployment}: Prefect has no such deployment; `make deploy` registers them"
            ) from None
        except Exception as problem:
            raise FoundryError(f"{deployment}: {_line(problem)}") from None
        return f"run {run.name} is scheduled", f"{_pages(address)}/runs/flow-run/{run.id}"


def _address() -> str:
    """Return the address of the API: the one that is configured, or of the server of this home."""
    given = os.environ.get("PREFECT_API_URL")
    return given or running_server(Path(os.environ.get("PREFECT_HOME", ".foundry/prefect"))) or ""


def _client(address: str) -> SyncPrefectClient:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_KEY

    return SyncPrefectClient(
        address,
        auth_string=PREFECT_API_AUTH_STRING.value(),
        api_key=PREFECT_API_KEY.value(),
        httpx_settings={"timeout": ANSWER_SECONDS},
    )


def _look() -> PrefectView:
    address = _address()
    if not address:
        return PrefectView("no Prefect server runs; `make up` or `make server` starts one", "")
    try:
        with _client(address) as client:
            flows = {one.id: one.name for one in _every(client.read_flows)}
            deployments = list(_every(client.read_deployments))
            names = {f"deployment:{one.id}": f"deployment {one.name}" for one in deployments}
            return PrefectView(
                "",
                _pages(address),
                deployments=_deployments(deployments, flows),
                waiting=_waiting(client, flows, _pages(address)),
                caps=sorted(
                    (
                        Cap(
                            names.get(one.name, one.name.removeprefix("tag:").replace(":", " ", 1)),
                            one.limit,
                            one.active_slots,
                        )
                        for one in _every(client.read_global_concurrency_limits)
                    ),
                    key=lambda cap: (-cap.active, cap.name),
                ),
            )
    except Exception as problem:
        return PrefectView(f"Prefect does not answer: {_line(problem)}", _pages(address))


def _every(read: Callable[..., Sequence[T]]) -> Iterator[T]:
    """Yield all that a list of Prefect's has; the server gives so many at once."""
    offset = 0
    while found := read(limit=AT_ONCE, offset=offset):
        yield from found
        offset += len(found)
        if len(found) < AT_ONCE:
            return


def _deployments(
    found: Iterable[DeploymentResponse], flows: Mapping[UUID, str]
) -> list[Deployment]:
    return sorted(
        (
            Deployment(
                name=f"{flows.get(one.flow_id, '?')}/{one.name}",
                description=one.description or "",
                parameters=one.parameters or {},
                schedules=[_schedule(each.schedule) for each in one.schedules],
                active=any(each.active for each in one.schedules) and not one.paused,
            )
            for one in found
        ),
        key=lambda one: one.name,
    )


def _schedule(schedule: object) -> str:
    for name in ("cron", "rrule", "interval"):
        if (value := getattr(schedule, name, None)) is not None:
            return f"{name} {value}"
    return str(schedule)


def _waiting(client: SyncPrefectClient, flows: Mapping[UUID, str], pages: str) -> list[FlowRun]:
    """Return the runs that are late, scheduled or under way."""
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort

    kinds = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
    runs = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=kinds))
        ),
        sort=FlowRunSort.EXPECTED_START_TIME_ASC,
        limit=MOST_RUNS,
    )
    return [
        FlowRun(
            name=one.name,
            flow=flows.get(one.flow_id, "?"),
            state=one.state_name or "",
            start=one.start_time or one.expected_start_time,
            link=f"{pages}/runs/flow-run/{one.id}",
        )
        for one in runs
    ]


def _pages(address: str) -> str:
    """Return where Prefect's pages are, without a user or password."""
    parts = urlsplit(address.removesuffix("/").removesuffix("/api"))
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _line(problem: Exception) -> str:
    return (str(problem) or type(problem).__name__).splitlines()[0]
