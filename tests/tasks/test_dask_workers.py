"""Work on a Dask cluster whose workers run elsewhere: the same numbers, or a refusal before it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import certifi
import pytest

from alphafoundry.coordinator.identity import package_versions
from alphafoundry.coordinator.reproducibility import compare
from alphafoundry.errors import ConfigurationError
from alphafoundry.research.generation import generator_of
from alphafoundry.research.proposals import Proposal, Proposals, Proposer
from alphafoundry.research.run import research_run
from alphafoundry.research.screening import Screening, screen_all
from alphafoundry.settings import load_settings
from alphafoundry.store import candidates_of_screening, read_screened
from tasks.prefect.dask_workers import (
    Needs,
    cluster_at,
    prepared_for_workers,
    require_workers,
    source_digest,
)
from tasks.research.dask_judge import judging_by
from tests.dask_cluster import Cluster, dask_cluster
from tests.library.coordinator.test_workflows import FOUR_PHASES
from tests.library.research.searches import make_market
from tests.working_folder import WorkingFolder

pytest.importorskip("distributed")
pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with dask_cluster(tmp_path / "cluster") as started:
        yield started


async def _propose(source: Proposer, count: int) -> Proposals:
    return await source.propose(count)


async def screened(home: Path, address: str | None, dying: Cluster | None = None) -> list[str]:
    """Return everything that was screened as text, every number with all its digits."""
    settings = load_settings(environment={}, home=home, screen={"ideas": 36, "batch": 6})
    batches = 0

    async def screen(screening: Screening, ideas: list[Proposal]) -> None:
        nonlocal batches
        batches += 1
        if dying is not None and batches == 3:
            os.kill(dying.workers[0].pid, signal.SIGKILL)
        await asyncio.to_thread(screening.screen, ideas)

    with judging_by(address) as judge_of:
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


async def test_workers_elsewhere_give_the_same_numbers_even_where_one_dies(
    tmp_path: Path, cluster: Cluster
) -> None:
    here = await screened(tmp_path / "here", None)
    assert len(here) > 36
    cluster.add_worker()
    cluster.add_worker()
    assert await screened(tmp_path / "there", cluster.address) == here
    assert await screened(tmp_path / "dying", cluster.address, dying=cluster) == here
    assert cluster.workers[0].wait(30) == -signal.SIGKILL


def test_a_scheduler_without_workers_is_refused(cluster: Cluster) -> None:
    with (
        pytest.raises(ConfigurationError, match=r"has no workers; start some with dask worker"),
        judging_by(cluster.address),
    ):
        pass


def test_a_worker_without_this_program_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "alphafoundry.py").write_text("raise ImportError('No module named alphafoundry')")
    cluster.add_worker(PYTHONPATH=str(tmp_path))
    with (
        pytest.raises(ConfigurationError, match=r"cannot run this program .*No module named"),
        judging_by(cluster.address),
    ):
        pass


def test_a_worker_of_another_version_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    root = Path(__file__).resolve().parents[2]
    for name in ("tasks", "tests"):
        (other / name).symlink_to(root / name)
    # Every file is that of this program but one.
    (other / "alphafoundry").mkdir()
    for path in (root / "alphafoundry").iterdir():
        if path.name not in ("seeds.py", "__pycache__"):
            (other / "alphafoundry" / path.name).symlink_to(path)
    text = (root / "alphafoundry" / "seeds.py").read_text()
    (other / "alphafoundry" / "seeds.py").write_text(f"{text}\n# changed\n")
    cluster.add_worker(PYTHONPATH=str(other))
    with (
        pytest.raises(ConfigurationError, match=r"other source code of Alpha Foundry; start it"),
        judging_by(cluster.address),
    ):
        pass


def test_where_nothing_listens_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.prefect.dask_workers.CONNECT_SECONDS", 0.5)
    with (
        pytest.raises(ConfigurationError, match=r"tcp://127.0.0.1:9: no Dask scheduler answers"),
        judging_by("tcp://127.0.0.1:9"),
    ):
        pass


def test_a_worker_that_does_not_share_the_folder_is_refused(cluster: Cluster) -> None:
    cluster.add_worker()
    needs = Needs(source_digest(), package_versions(), {"/not/shared/mark": "text"})
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


async def test_workers_that_cannot_reach_the_api_are_refused_before_anything_runs(
    in_process: WorkingFolder, cluster: Cluster
) -> None:
    cluster.add_worker(HTTP_PROXY="http://127.0.0.1:9", http_proxy="http://127.0.0.1:9")
    with pytest.raises(ConfigurationError, match=r"cannot use Prefect's API at http://127.0.0.1:"):
        await optimized(in_process, far(cluster.address), "dask")
    folders = list((in_process.home / "workflows").glob("*"))
    assert folders and not [folder for folder in folders if (folder / "results.json").exists()]
    assert not list(in_process.home.rglob(".seen-by-workers-*"))


async def test_no_path_of_a_certificate_is_sent_to_workers(
    in_process: WorkingFolder, cluster: Cluster, tmp_path: Path
) -> None:
    from prefect import flow
    from prefect.context import SettingsContext
    from prefect.runtime import flow_run
    from prefect.settings import PREFECT_API_SSL_CERT_FILE, temporary_settings

    own = tmp_path / "certificates.pem"
    shutil.copy(certifi.where(), own)
    cluster.add_worker()

    @flow
    async def sent() -> str:
        async with prepared_for_workers(
            cluster.address, flow_run=str(flow_run.id), folders=(tmp_path,)
        ):
            context = SettingsContext.get()
            return repr(context.serialize() if context else None)

    with temporary_settings({PREFECT_API_SSL_CERT_FILE: str(own)}):
        assert str(own) not in await sent()
