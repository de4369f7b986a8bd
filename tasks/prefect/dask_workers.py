"""What the workers of a Dask cluster elsewhere must have before any work is sent to them.

Found missing in the middle of a run, each of these would not end it: a worker that cannot reach
Prefect's API computes all the same and records nothing, and one without the shared folder keeps
what it makes to itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import alphafoundry
from alphafoundry.coordinator.identity import package_versions
from alphafoundry.errors import ConfigurationError

if TYPE_CHECKING:
    from distributed import Client

CONNECT_SECONDS = 10.0
"""How long a scheduler may take to answer."""

ANSWER_SECONDS = 120.0
"""How long its workers may take to look around: they import this program for it."""


@dataclass(frozen=True)
class Needs:
    """What work takes on the worker that does it.

    Attributes
    ----------
    source : `source_digest` of this process
    packages : versions of what can change a number
    marks : paths, as the work writes them, each with the text that stands there
    prefect : Prefect's settings as they travel with a task, None where the work does not use it
    flow_run : id of a flow run that the API knows
    """

    source: str
    packages: Mapping[str, str]
    marks: Mapping[str, str] = field(default_factory=dict)
    prefect: Mapping[str, Any] | None = None
    flow_run: str = ""


def source_digest() -> str:
    """Return 16 hex digits of the source of the library."""
    found = hashlib.sha256()
    root = Path(alphafoundry.__file__).parent
    for path in sorted(root.rglob("*")):
        if path.suffix in (".py", ".lark"):
            found.update(f"{path.relative_to(root)}\0".encode())
            found.update(path.read_bytes())
    return found.hexdigest()[:16]


def missing(needs: Needs) -> str:
    """Return what this process lacks of the needs, in one clause with the remedy; "" if nothing."""
    if source_digest() != needs.source:
        return "has other source code of Alpha Foundry; start it from the same commit"
    own = package_versions()
    for name, wanted in needs.packages.items():
        if own.get(name) != wanted:
            had = own.get(name, "not at all")
            return f"has {name} {had}, and {wanted} is needed for the same numbers"
    for path, text in needs.marks.items():
        try:
            same = Path(path).read_text() == text
        except OSError:
            same = False
        if not same:
            return (
                f"does not see {Path(path).parent} of this machine; share that folder under the "
                "same path, or set FOUNDRY_HOME and PREFECT_HOME to one that is shared"
            )
    return _unreachable(needs) if needs.prefect is not None else ""


def _unreachable(needs: Needs) -> str:
    from prefect.client.orchestration import get_client
    from prefect.context import hydrated_context
    from prefect.settings import get_current_settings

    try:
        with hydrated_context({"settings_context": dict(needs.prefect or {})}):
            address = get_current_settings().api.url
            with get_client(sync_client=True) as client:
                client.read_flow_run(uuid.UUID(needs.flow_run))
    except Exception as problem:  # whatever is in the way there is told here
        said = " ".join(str(problem).split())[:200] or type(problem).__name__
        return (
            f"cannot use Prefect's API at {_told(needs)} ({said}); give PREFECT_API_URL an address "
            "that the workers reach, as of a server on this machine's own address"
        )
    return "" if address else "is given no address of Prefect's API; set PREFECT_API_URL"


def _told(needs: Needs) -> str:
    api = dict(needs.prefect or {}).get("settings", {}).get("api", {})
    return str(api.get("url") or "no address")


@contextlib.contextmanager
def cluster_at(address: str) -> Iterator[Client]:
    """Give a client of the scheduler.

    Raises ConfigurationError where Dask is not installed, or nothing answers there.
    """
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise ConfigurationError(
            "task_runner dask needs prefect-dask; run make install EXTRAS=dask"
        ) from None
    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as problem:
        said = " ".join(str(problem).split())[:200]
        raise ConfigurationError(
            f"scheduler_address {address}: no Dask scheduler answers ({said}); start one with "
            "dask scheduler, or leave the address out"
        ) from None
    try:
        yield client
    finally:
        client.close()


def require_workers(client: Client, address: str, needs: Needs) -> int:
    """Return how many threads all workers have, each of which has what the work needs.

    Raises ConfigurationError for the first worker that has not, and where there is none.
    """
    workers = client.scheduler_info(n_workers=-1)["workers"]
    if not workers:
        raise ConfigurationError(
            f"scheduler_address {address}: it has no workers; start some with dask worker {address}"
        )
    try:
        told = client.sync(
            asyncio.wait_for,
            client.run(missing, needs, on_error="return", asynchronous=True),
            ANSWER_SECONDS,
        )
    except TimeoutError:
        raise ConfigurationError(
            f"scheduler_address {address}: its workers did not answer in {ANSWER_SECONDS:g} s"
        ) from None
    for worker, said in sorted(told.items()):
        if isinstance(said, BaseException):
            reason = " ".join(str(said).split())[:200] or type(said).__name__
            raise ConfigurationError(
                f"scheduler_address {address}: the worker {worker} cannot run this program "
                f"({reason}); start it in a checkout of the same commit"
            )
        if said:
            raise ConfigurationError(f"scheduler_address {address}: the worker {worker} {said}")
    return sum(int(one["nthreads"]) for one in workers.values())


@contextlib.asynccontextmanager
async def prepared_for_workers(
    address: str, *, flow_run: str, folders: tuple[Path, ...]
) -> AsyncIterator[None]:
    """Check the workers of the scheduler, and run the block with settings that fit them.

    Prefect sends its settings with each task: paths of this machine's checkout must be whole, and
    the path of a certificate is left to each worker.

    Parameters
    ----------
    flow_run : id of this flow run
    folders : that the work and this process share

    Raises ConfigurationError in one line where a worker lacks something.
    """
    from prefect.context import SettingsContext
    from prefect.settings import (
        PREFECT_API_SSL_CERT_FILE,
        PREFECT_LOCAL_STORAGE_PATH,
        get_current_settings,
        temporary_settings,
    )

    storage = get_current_settings().results.local_storage_path.resolve()
    changed = {PREFECT_LOCAL_STORAGE_PATH: storage, PREFECT_API_SSL_CERT_FILE: None}
    with temporary_settings(changed), _marked((storage, *folders)) as marks:
        context = SettingsContext.get()
        needs = Needs(
            source_digest(),
            package_versions(),
            marks,
            context.serialize() if context else {},
            flow_run,
        )

        def check() -> None:
            with cluster_at(address) as client:
                require_workers(client, address, needs)

        await asyncio.to_thread(check)
        yield


@contextlib.contextmanager
def _marked(folders: tuple[Path, ...]) -> Iterator[dict[str, str]]:
    """Put a file of a text of its own into each folder, and remove them at the end."""
    name, text = f".seen-by-workers-{uuid.uuid4().hex}", uuid.uuid4().hex
    marks = {str(folder.resolve() / name): text for folder in folders}
    try:
        for path in marks:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(text)
        yield marks
    finally:
        for path in marks:
            Path(path).unlink(missing_ok=True)
