"""Work on a Dask cluster whose workers run elsewhere: the same numbers, or a refusal before it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import certifi
import psutil
import pytest

from alphafoundry.coordinator.reproducibility import compare
from alphafoundry.errors import ConfigurationError, FoundryError
from alphafoundry.research.generation import generator_of
from alphafoundry.research.proposals import Proposal, Proposals, Proposer
from alphafoundry.research.run import research_run
from alphafoundry.research.screening import JudgeHere, Screening, screen_all
from alphafoundry.settings import load_settings
from alphafoundry.simulation import SimulationSettings
from alphafoundry.simulation.screening import Screener
from alphafoundry.store import candidates_of_screening, read_screened
from tasks.prefect.dask_workers import (
    Needs,
    cluster_at,
    prepared_for_workers,
    require_workers,
)
from tasks.research.dask_judge import judging_by
from tests.library.coordinator.test_workflows import FOUR_PHASES
from tests.library.research.searches import make_market
from tests.working_folder import ROOT, WorkingFolder

pytest.importorskip("distributed")
from tests.dask_cluster import Cluster, dask_cluster

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with dask_cluster(tmp_path / "cluster") as started:
        yield started


async def _propose(source: Proposer, count: int) -> Proposals:
    return await source.propose(count)


Happens = Callable[[], None]


async def screened(
    home: Path, address: str | None, in_the_middle: Happens = lambda: None
) -> list[str]:
    """Return everything that was screened as text, every number with all its digits."""
    settings = load_settings(environment={}, home=home, screen={"ideas": 36, "batch": 6})
    batches = 0

    async def screen(screening: Screening, ideas: list[Proposal]) -> None:
        nonlocal batches
        batches += 1
        if batches == 3:
            await asyncio.to_thread(in_the_middle)
        await asyncio.to_thread(screening.screen, ideas)

    with contextlib.nullcontext(JudgeHere) if address is None else judging_by(address) as judge_of:
        async with (
            research_run(
                settings, flow="screen", lanes=1, panel=make_market(3, reversal=0.05)
            ) as run,
            generator_of(run) as source,
        ):
            await screen_all(run, source, _propose, screen=screen, judge_of=judge_of)
            rows = read_screened(run.store, run.service)
            kept = candidates_of_screening(run.store, run.service, most=60)
    columns = ("canonical", "sharpe", "fitness", "turnover", "returns", "drawdown", "margin")
    numbers = [repr([getattr(row, name) for name in (*columns, "days", "reason")]) for row in rows]
    return sorted([*numbers, *(f"{row.canonical} {row.pnl_amounts!r}" for row in kept)])


@pytest.mark.parametrize("dies", [True, pytest.param(False, marks=pytest.mark.long)])
async def test_workers_elsewhere_give_the_same_numbers_even_where_one_dies(
    tmp_path: Path, cluster: Cluster, dies: bool
) -> None:
    here = await screened(tmp_path / "here", None)
    assert len(here) > 36
    cluster.add_worker()
    cluster.add_worker()
    if not dies:
        assert await screened(tmp_path / "there", cluster.address) == here
        return
    assert await screened(tmp_path / "dying", cluster.address, cluster.kill_first) == here
    assert cluster.workers[0].wait(300) == -signal.SIGKILL


def test_a_scheduler_without_workers_is_refused(cluster: Cluster) -> None:
    with (
        pytest.raises(ConfigurationError, match=r"has no workers; start some with dask worker"),
        judging_by(cluster.address),
    ):
        pass


@pytest.mark.long
def test_a_worker_without_this_program_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "alphafoundry.py").write_text("raise ImportError('No module named alphafoundry')")
    cluster.add_worker(PYTHONPATH=str(tmp_path))
    with (
        pytest.raises(ConfigurationError, match=r"cannot run this program .*No module named"),
        judging_by(cluster.address),
    ):
        pass


def copied(folder: Path) -> Path:
    """Return a checkout whose files are those of this program, one of them to be written to."""
    folder.mkdir()
    root = Path(__file__).resolve().parents[2]
    for name in ("tasks", "tests"):
        (folder / name).symlink_to(root / name)
    (folder / "alphafoundry").mkdir()
    for path in (root / "alphafoundry").iterdir():
        if path.name not in (ONE_FILE, "__pycache__"):
            (folder / "alphafoundry" / path.name).symlink_to(path)
    shutil.copy(root / "alphafoundry" / ONE_FILE, folder / "alphafoundry")
    return folder


ONE_FILE = "seeds.py"


def change(checkout: Path) -> None:
    """Write another text into the file."""
    with (checkout / "alphafoundry" / ONE_FILE).open("a") as file:
        file.write("\n# changed\n")


@pytest.mark.long
def test_a_worker_of_another_version_is_refused_until_it_is_started_anew(
    cluster: Cluster, tmp_path: Path
) -> None:
    other, same = copied(tmp_path / "other"), copied(tmp_path / "same")
    change(other)
    cluster.add_worker(PYTHONPATH=str(other))
    refused = pytest.raises(ConfigurationError, match=r"runs other source code .*; start it anew")
    with refused, judging_by(cluster.address):
        pass
    # What lies on its disk is now the same, and what it imported is not.
    shutil.copy(same / "alphafoundry" / ONE_FILE, other / "alphafoundry")
    with refused, judging_by(cluster.address):
        pass
    cluster.kill_first()
    cluster.add_worker(PYTHONPATH=str(other))
    with judging_by(cluster.address):
        pass


@pytest.mark.long
def test_a_worker_whose_code_is_changed_beneath_it_is_refused(
    cluster: Cluster, tmp_path: Path
) -> None:
    other = copied(tmp_path / "other")
    cluster.add_worker(PYTHONPATH=str(other))
    with judging_by(cluster.address):
        pass
    change(other)
    with (
        pytest.raises(ConfigurationError, match=r"source code changed since it was started; start"),
        judging_by(cluster.address),
    ):
        pass


@pytest.mark.long
async def test_a_worker_of_another_version_that_joins_in_the_middle_ends_a_screening(
    cluster: Cluster, tmp_path: Path
) -> None:
    other = copied(tmp_path / "other")
    change(other)
    cluster.add_worker()

    def replaced() -> None:
        cluster.add_worker(PYTHONPATH=str(other))
        cluster.kill_first()

    with pytest.raises(ConfigurationError, match=r"joined in the middle and runs other source"):
        await screened(tmp_path / "home", cluster.address, replaced)


def test_panels_of_one_name_and_other_content_are_judged_each_by_its_own(cluster: Cluster) -> None:
    """The fingerprint of days that are cut off does not know what was masked on them later."""
    market = make_market(3, reversal=0.05)
    values = dict(market.fields) | {"close": market.fields["close"][:, ::-1].copy()}
    cluster.add_worker()
    alphas = [("rank(ts_delta(close, 5))", SimulationSettings())]
    with judging_by(cluster.address) as judge_of:
        found = [
            [repr(one.statistics) for one in judge_of(panel, 1.0, 0, 1.0).screen(alphas)]
            for panel in (market, replace(market, fields=values))
        ]
    here = [
        [repr(one.statistics) for one in Screener(panel).screen(alphas)]
        for panel in (market, replace(market, fields=values))
    ]
    assert here[0] != here[1]
    assert found == here


def test_where_nothing_listens_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.prefect.dask_workers.CONNECT_SECONDS", 0.5)
    with (
        pytest.raises(ConfigurationError, match=r"tcp://127.0.0.1:9: no Dask scheduler answers"),
        judging_by("tcp://127.0.0.1:9"),
    ):
        pass


def test_a_worker_that_does_not_share_the_folder_is_refused(cluster: Cluster) -> None:
    cluster.add_worker()
    needs = Needs(marks={"/not/shared/mark": "text"})
    with (
        cluster_at(cluster.address) as client,
        pytest.raises(ConfigurationError, match=r"does not see /not/shared of this machine; share"),
    ):
        require_workers(client, cluster.address, needs)


def far(address: str) -> str:
    """The workflow of four phases on the cluster."""
    return FOUR_PHASES.replace(
        "{batch_size: 8}", f"{{batch_size: 8, scheduler_address: {address}}}"
    )


async def optimized(place: WorkingFolder, text: str, runner: str) -> Any:
    """Return the results of the workflow, and see that nothing came from a checkpoint."""
    from flows.optimize import optimize

    (place.path / "flow.yaml").write_text(text)
    report = await optimize("flow.yaml", task_runner=runner, restart=True)
    assert not any(phase.restored for phase in report.phases)
    return json.loads((Path(report.folder) / "results.json").read_text())


@pytest.mark.long
async def test_a_workflow_has_the_same_numbers_on_workers_in_other_folders(
    in_process: WorkingFolder, cluster: Cluster
) -> None:
    here = await optimized(in_process, FOUR_PHASES, "in_process")
    cluster.add_worker()
    cluster.add_worker()
    there = await optimized(in_process, far(cluster.address), "dask")
    assert compare(here, there, {}, {}).differences == ()
    # What the workers did is kept where this process keeps it, not in their own folders.
    assert not [path for path in cluster.folder.rglob("*") if "storage" in path.name]
    for worker in cluster.workers:
        for child in psutil.Process(worker.pid).children(recursive=True):
            assert "prefect.server" not in " ".join(child.cmdline())


@pytest.mark.long
async def test_workers_that_cannot_reach_the_api_are_refused_before_anything_runs(
    in_process: WorkingFolder, cluster: Cluster
) -> None:
    cluster.add_worker(HTTP_PROXY="http://127.0.0.1:9", http_proxy="http://127.0.0.1:9")
    with pytest.raises(ConfigurationError, match=r"cannot use Prefect's API at http://127.0.0.1:"):
        await optimized(in_process, far(cluster.address), "dask")
    folders = list((in_process.home / "workflows").glob("*"))
    assert folders and not [folder for folder in folders if (folder / "results.json").exists()]
    assert not list(in_process.home.rglob(".seen-by-workers-*"))


@pytest.mark.long
async def test_a_worker_that_joins_a_workflow_in_the_middle_must_fit_too(
    in_process: WorkingFolder,
    cluster: Cluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = copied(tmp_path / "other")
    change(other)
    cluster.add_worker()

    @contextlib.asynccontextmanager
    async def and_then_replaced(*args: Any, **options: Any) -> AsyncIterator[Needs]:
        async with prepared_for_workers(*args, **options) as needs:
            cluster.add_worker(PYTHONPATH=str(other))
            cluster.kill_first()
            yield needs

    monkeypatch.setattr("flows.optimize.prepared_for_workers", and_then_replaced)
    with pytest.raises(FoundryError, match=r"joined in the middle and runs other source code"):
        await optimized(in_process, far(cluster.address), "dask")


def own_settings(settings: dict[str, Any]) -> tuple[str | None, str | None, bool]:
    """Return certificate and key of a task on this worker, and whether it may start a server."""
    from prefect.context import hydrated_context
    from prefect.settings import get_current_settings

    with hydrated_context({"settings_context": settings}):
        found = get_current_settings()
        key = found.api.key.get_secret_value() if found.api.key else None
        return found.api.ssl_cert_file, key, found.server.ephemeral.enabled


@pytest.mark.long
async def test_each_worker_has_its_own_certificate_and_key(
    in_process: WorkingFolder, cluster: Cluster, tmp_path: Path
) -> None:
    from prefect import flow
    from prefect.context import SettingsContext
    from prefect.runtime import flow_run
    from prefect.settings import (
        PREFECT_API_KEY,
        PREFECT_API_SSL_CERT_FILE,
        PREFECT_SERVER_DATABASE_CONNECTION_URL,
        temporary_settings,
    )

    bundles = [str(tmp_path / f"{name}.pem") for name in ("here", "there", "elsewhere")]
    for bundle in bundles:
        shutil.copy(certifi.where(), bundle)
    cluster.add_worker(PREFECT_API_SSL_CERT_FILE=bundles[1], PREFECT_API_KEY="key-there")
    cluster.add_worker(SSL_CERT_FILE=bundles[2], PYTHONPATH=str(ROOT))  # read by an import

    @flow
    async def sent() -> dict[str, Any]:
        async with prepared_for_workers(
            cluster.address, flow_run=str(flow_run.id), folders=(tmp_path,)
        ):
            context = SettingsContext.get()
            return context.serialize() if context else {}

    with temporary_settings(
        {
            PREFECT_API_SSL_CERT_FILE: bundles[0],
            PREFECT_API_KEY: "key-here",
            PREFECT_SERVER_DATABASE_CONNECTION_URL: "postgresql+asyncpg://a:secret@host/prefect",
        }
    ):
        settings = await sent()
    for kept in (bundles[0], "key-here", "secret"):
        assert kept not in repr(settings)
    with cluster_at(cluster.address) as client:
        told = set(client.run(own_settings, settings).values())
    assert told == {(bundles[1], "key-there", False), (bundles[2], None, False)}


async def test_a_worker_that_is_given_no_address_is_refused_and_starts_no_server(
    cluster: Cluster,
) -> None:
    cluster.add_worker()
    needs = Needs(
        flow_run=str(uuid.uuid4()),
        prefect={"profile": {"name": "sent", "env_vars": {}}, "settings": {}},
    )
    with (
        cluster_at(cluster.address) as client,
        pytest.raises(ConfigurationError, match=r"is given no address of Prefect's API; set"),
    ):
        require_workers(client, cluster.address, needs)
    assert psutil.Process(cluster.workers[0].pid).children(recursive=True) == []
