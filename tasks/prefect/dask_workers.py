"""What the workers of a Dask cluster elsewhere must have before they do any work.

Found missing in the middle of a run, each of these would not end it: a worker that cannot reach
Prefect's API computes all the same and records nothing, and one without the shared folder keeps
what it makes to itself. So all workers are asked before anything is sent, and one that joins later
is asked with the first work that it gets.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect.context import SettingsContext

from alphafoundry.coordinator.identity import (
    package_versions,
    source_digest,
    sources,
    sources_on_disk,
)
from alphafoundry.errors import ConfigurationError

if TYPE_CHECKING:
    from distributed import Client

CONNECT_SECONDS = 10.0
"""How long a scheduler may take to answer."""

ANSWER_SECONDS = 120.0
"""How long its workers may take to look around: they import this program for it."""

OWN_SETTINGS = ("ssl_cert_file", "key", "auth_string")
"""Settings of Prefect's API that each machine has for itself."""

# A worker imports this file when it is first asked, before all that computes.
sources()


@dataclass(frozen=True)
class Needs:
    """What work takes on the worker that does it.

    Attributes
    ----------
    source : `source_digest` of this process
    packages : versions of what can change a number
    marks : paths, as the work writes them, each with the text that stands there
    flow_run : id of a flow run that Prefect's API knows, "" where the work does not use it
    prefect : settings as they travel with a task, None where these of the worker count
    asked_by : what work of one run has in common
    """

    source: str = field(default_factory=source_digest)
    packages: Mapping[str, str] = field(default_factory=package_versions)
    marks: Mapping[str, str] = field(default_factory=dict)
    flow_run: str = ""
    prefect: Mapping[str, Any] | None = None
    asked_by: str = field(default_factory=lambda: uuid.uuid4().hex)


def missing(needs: Needs) -> str:
    """Return what this process lacks of the needs, in one clause with the remedy; "" if nothing."""
    if source_digest() != needs.source:
        return "runs other source code of Alpha Foundry; start it anew from the same commit"
    if sources_on_disk() != sources():
        return "has had its source code changed since it was started; start it anew"
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
    return _unreachable(needs) if needs.flow_run else ""


_satisfied: set[str] = set()
"""Runs whose needs this process was asked for, and has."""


def require_here(needs: Needs) -> None:
    """Raise ConfigurationError where this worker lacks something; it looks once for each run."""
    if needs.asked_by in _satisfied:
        return
    if lacks := missing(needs):
        raise ConfigurationError(f"the worker {_own_address()} joined in the middle and {lacks}")
    _satisfied.add(needs.asked_by)


def _own_address() -> str:
    from distributed import get_worker

    return str(get_worker().address)


def _unreachable(needs: Needs) -> str:
    from prefect.client.orchestration import get_client
    from prefect.settings import get_current_settings

    with SettingsContext(**needs.prefect) if needs.prefect else contextlib.nullcontext():
        address = get_current_settings().api.url
        if not address:
            # A client would start a server of its own.
            return "is given no address of Prefect's API; set PREFECT_API_URL"
        try:
            with get_client(sync_client=True) as client:
                client.read_flow_run(uuid.UUID(needs.flow_run))
        except Exception as problem:  # whatever is in the way there is told here
            said = " ".join(str(problem).split())[:200] or type(problem).__name__
            return (
                f"cannot use Prefect's API at {address} ({said}); give PREFECT_API_URL an address "
                "that the workers reach, as of a server on this machine's own address, and each "
                "worker the certificate and the key that it needs there"
            )
    return ""


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
) -> AsyncIterator[Needs]:
    """Check the workers of the scheduler, and run the block with settings that fit them.

    Gives what a worker that joins later must be asked for, by `require_here`.

    Parameters
    ----------
    flow_run : id of this flow run
    folders : that the work and this process share

    Raises ConfigurationError in one line where a worker lacks something.
    """
    from prefect.settings import (
        PREFECT_LOCAL_STORAGE_PATH,
        get_current_settings,
        temporary_settings,
    )

    storage = get_current_settings().results.local_storage_path.resolve()
    with (
        # A path of this machine's checkout must be whole elsewhere.
        temporary_settings({PREFECT_LOCAL_STORAGE_PATH: storage}),
        _sent_to_workers() as sent,
        _marked((storage, *folders)) as marks,
    ):
        needs = Needs(marks=marks, flow_run=flow_run)

        def check() -> None:
            with cluster_at(address) as client:
                require_workers(client, address, replace(needs, prefect=sent.serialize()))

        await asyncio.to_thread(check)
        yield needs


class _SentSettings(SettingsContext):
    """Prefect's settings, which it sends with each task, without what each machine has for itself.

    A worker that is sent no certificate and no key uses its own. What is set for a server is of no
    use to it and may have a password in it; it must not start one.
    """

    def serialize(self, include_secrets: bool = True) -> dict[str, Any]:
        """Return what is sent."""
        sent = super().serialize(include_secrets=include_secrets)
        settings = dict(sent["settings"])
        api = dict(settings.get("api", {}))
        for name in OWN_SETTINGS:
            api.pop(name, None)
        settings |= {"api": api, "server": {"ephemeral": {"enabled": False}}}
        return sent | {"settings": settings, "profile": {"name": "sent", "env_vars": {}}}


@contextlib.contextmanager
def _sent_to_workers() -> Iterator[_SentSettings]:
    """Have tasks of the block take the settings along that are meant for workers."""
    from prefect.context import get_settings_context

    context = get_settings_context()
    with _SentSettings(profile=context.profile, settings=context.settings) as sent:
        yield sent


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
