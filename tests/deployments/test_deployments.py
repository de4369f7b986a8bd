"""Deployments: every one of `prefect.yaml` can be registered, and schedules make runs."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prefect import Flow, flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.states import Cancelled, Pending

from alphafoundry.errors import ConfigurationError
from alphafoundry.settings import DEFAULT_LIMITS
from alphafoundry.store import open_store
from alphafoundry.store.agents import read_agent_desk, read_ticks
from deployments.automations import ensure_automations, load_automations
from deployments.deploy import deploy
from tests.flows.test_cancelling import (
    MANY,
    cancel,
    check_the_next_run_goes_on,
    client,
    state_of,
)
from tests.servers import free_port
from tests.working_folder import ROOT, TIMEOUT, WorkingFolder, wait_until

DEPLOYMENTS = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
NAMES = {"algorithms", "daily", "continuous", "desk", "desk-replay", "generate", "mine"}
NAMES |= {"desk-tick", "optimize", "placebo", "screen", "submit", "supervise"}


def test_there_is_a_deployment_for_each_flow() -> None:
    assert {one["name"] for one in DEPLOYMENTS} == NAMES


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda one: one["name"])
def test_an_entrypoint_is_a_flow_of_that_name(deployment: dict[str, Any]) -> None:
    file, name = deployment["entrypoint"].split(":")
    assert (ROOT / file).is_file()
    module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    found = getattr(module, name)
    assert isinstance(found, Flow)
    assert found.name == deployment["name"]
    assert deployment["description"]


AUTOMATIONS = ROOT / "config/automations.yaml"


def test_automations_expect_what_prefect_and_the_supervisor_emit() -> None:
    from tasks.supervisor.view import LEAST_KINDS

    found = load_automations(AUTOMATIONS)
    expected = {one for each in found.automations for one in each.trigger.expect}
    processes = {one for one in expected if one.startswith("foundry.process.")}
    assert processes <= {f"foundry.process.{kind}" for kind in LEAST_KINDS}
    assert all(one.name.startswith("foundry: ") and one.description for one in found.automations)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("notify: slack", r":1: notify: 'slack' is not of the form"),
        ("automations: [{name: a, trigger: {type: event, posture: Reactive, threshold: 1, "
         "within: 0}, actions: []}]\nnotfy: x", "unknown key 'notfy'"),
        ("automations: [{name: a, trigger: {type: event, posture: Reactive, expected: [x], "
         "threshold: 1, within: 0}, actions: []}]", r":1: .* trigger\.expected: is an unknown key"),
        ("automations: [{name: a, trigger: {type: event, posture: Reactive, threshold: 1, "
         "within: 0}, actions: [{type: do-nothin}]}]", r"actions\[0\]: 'do-nothin' is no action"),
        ("automations: [{name: a, trigger: {type: event, posture: Reactive, threshold: 1, within: "
         "0}, actions: [{type: change-flow-run-state, state: CRASHD}]}]",
         r"actions\[0\]\.state: Input should be"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_automations_names_the_line(
    tmp_path: Path, text: str, complaint: str
) -> None:
    path = tmp_path / "automations.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=complaint):
        load_automations(path)


@pytest.mark.slow
async def test_an_automation_is_made_once_and_stays_off_where_a_person_switched_it_off(
    prefect_url: str, in_process: WorkingFolder
) -> None:
    found = load_automations(AUTOMATIONS)
    await ensure_automations(found)
    assert await ensure_automations(found) == []
    first = found.automations[0]
    async with get_client() as client:
        (made,) = await client.read_automations_by_name(first.name)
        await client.pause_automation(made.id)
        changed = first.model_copy(update={"description": "changed"})
        done = await ensure_automations(found.model_copy(update={"automations": (changed,)}))
        assert done == [f"updated {first.name!r}"]
        (again,) = await client.read_automations_by_name(first.name)
    assert (again.id, again.enabled, again.description) == (made.id, False, "changed")
    with pytest.raises(ConfigurationError, match="there is no block"):
        await ensure_automations(found.model_copy(update={"notify": "slack-webhook/nobody"}))


async def registered() -> dict[str, Any]:
    async with get_client() as client:
        return {one.name: one for one in await client.read_deployments() if one.name in NAMES}


Fault = Callable[[str, str, bytes], httpx.Response | None]
"""Answers in the place of the server by method, path and body; None lets the server answer."""


def busy() -> Fault:
    """Of a server whose database is busy: a deployment is refused six times first."""
    asked: Counter[str] = Counter()

    def fault(method: str, path: str, body: bytes) -> httpx.Response | None:
        if (method, path) != ("POST", "/api/deployments/"):
            return None
        asked[path] += 1
        if asked[path] > 6:
            return None
        return httpx.Response(503, headers={"retry-after": "0"}, content=b"{}")

    return fault


@contextlib.contextmanager
def standing_before(url: str, fault: Fault) -> Iterator[str]:
    """Stand before a Prefect server, with faults of it."""

    class Before(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            answer = fault(self.command, self.path, body)
            if answer is None:
                kept = {"host", "content-length", "connection", "accept-encoding"}
                sent = {key: one for key, one in self.headers.items() if key.lower() not in kept}
                target = url.removesuffix("/api") + self.path
                answer = asking.request(self.command, target, headers=sent, content=body)
            self.send_response(answer.status_code)
            for key in ("content-type", "retry-after"):
                if key in answer.headers:
                    self.send_header(key, answer.headers[key])
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with (
        httpx.Client(trust_env=False, timeout=60) as asking,
        ThreadingHTTPServer(("127.0.0.1", 0), Before) as server,
    ):
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/api"
        finally:
            server.shutdown()


@pytest.fixture(scope="module")
def deployed(
    tmp_path_factory: pytest.TempPathFactory,
    market_cache: Path,
    prefect_url: str,
    prefect_home: Path,
) -> subprocess.CompletedProcess[str]:
    """What `make deploy` printed, where the database of the server was busy at first."""
    folder = tmp_path_factory.mktemp("deploy") / "work"
    with standing_before(prefect_url, busy()) as url:
        place = WorkingFolder(folder, cache=market_cache, api=url, prefect_home=prefect_home)
        return place.run("deployments.deploy")


@pytest.mark.slow
def test_one_command_registers_them_all(
    deployed: subprocess.CompletedProcess[str], in_process: WorkingFolder
) -> None:
    assert deployed.returncode == 0, deployed.stderr
    assert "limits: " in deployed.stdout
    check_all_are_registered()


@pytest.mark.slow
async def test_a_limit_under_its_new_name_still_lets_one_run_begin(
    deployed: subprocess.CompletedProcess[str], in_process: WorkingFolder
) -> None:
    async with get_client() as prefect:
        placebo = (await registered())["placebo"]
        runs = [await prefect.create_flow_run_from_deployment(placebo.id) for _ in range(2)]
        given = [(await prefect.set_flow_run_state(one.id, Pending())).state for one in runs]
        limit = await prefect.read_global_concurrency_limit_by_name("deployment:placebo")
        assert [one and one.type for one in given] == [StateType.PENDING, StateType.CANCELLED]
        assert limit.active_slots == 1
        await prefect.set_flow_run_state(runs[0].id, Cancelled())


def refuse_generate(method: str, path: str, body: bytes) -> httpx.Response | None:
    # It is asked for by name before it is made, or made anew.
    asked = path == "/api/deployments/name/generate/generate"
    return httpx.Response(500, json={"detail": "disk I/O error"}) if asked else None


def refuse_to_list_limits(method: str, path: str, body: bytes) -> httpx.Response | None:
    listing = (method, path) == ("POST", "/api/v2/concurrency_limits/filter")
    return httpx.Response(500, json={"detail": "disk I/O error"}) if listing else None


@pytest.mark.long
@pytest.mark.parametrize(
    ("fault", "wanted"),
    [
        (
            refuse_generate,
            r"error: Prefect failed at 'generate': .*disk I/O error.*; "
            r"registered before: daily, continuous; mend it and run `make deploy` again\n",
        ),
        pytest.param(
            refuse_to_list_limits,
            r"error: every deployment is registered, but the Prefect server at \S+ fails: .*"
            r"disk I/O error.*\n",
            marks=pytest.mark.long,
        ),
    ],
    ids=["of a deployment", "after the deployments"],
)
def test_a_failure_halfway_says_what_was_registered(
    fault: Fault, wanted: str, prefect_url: str, working_folder: WorkingFolder
) -> None:
    with standing_before(prefect_url, fault) as url:
        done = working_folder.run("deployments.deploy", PREFECT_API_URL=url)
    assert done.returncode == 1
    assert re.fullmatch(wanted, done.stderr), done.stderr


@pytest.mark.long
def test_they_can_be_registered_again(
    deployed: subprocess.CompletedProcess[str], in_process: WorkingFolder
) -> None:
    deploy()
    check_all_are_registered()


def check_all_are_registered() -> None:
    found = asyncio.run(registered())
    assert found.keys() == NAMES
    for given in DEPLOYMENTS:
        one = found[given["name"]]
        assert one.work_pool_name == "local"
        assert one.entrypoint == given["entrypoint"]
        assert not any(schedule.active for schedule in one.schedules), "schedules start off"
        assert len(one.schedules) == len(given.get("schedules", []))
        limit, wanted = one.global_concurrency_limit, given.get("concurrency_limit")
        if wanted is None:
            assert limit is None
        else:
            assert (limit.name, limit.limit) == (f"deployment:{one.name}", wanted["limit"])
    asyncio.run(limits_are_there())


async def limits_are_there() -> None:
    async with get_client() as client:
        for name, size in DEFAULT_LIMITS.items():
            limit = await client.read_global_concurrency_limit_by_name(f"tag:{name}")
            assert (limit.limit, limit.active) == (size, True)


def test_deploying_without_a_server_says_so(lonely_folder: WorkingFolder) -> None:
    done = lonely_folder.run("deployments.deploy")
    assert done.returncode != 0
    assert done.stderr.startswith("error: no Prefect server runs; start one with `make server`")
    assert "Traceback" not in done.stderr
    assert not (lonely_folder.prefect_home / "temporary-server.log").exists(), "it started one"


def test_deploying_to_a_server_that_does_not_answer_says_so(lonely_folder: WorkingFolder) -> None:
    address = f"http://127.0.0.1:{free_port()}/api"
    done = lonely_folder.run("deployments.deploy", PREFECT_API_URL=address)
    assert done.returncode != 0
    assert done.stderr == (
        f"error: no Prefect server answers at {address}; start it with `make server`\n"
    )


@flow
def nothing() -> None:
    """Do nothing."""


async def scheduled_runs(seconds: float) -> int:
    """Deploy on an interval; return how many runs the server has planned by then."""
    async with get_client() as client:
        flow_id = await client.create_flow(nothing)
        deployment = await client.create_deployment(
            flow_id,
            name="every-minute",
            entrypoint="tests/deployments/test_deployments.py:nothing",
            schedules=[
                {"schedule": IntervalSchedule(interval=timedelta(minutes=1)), "active": True}
            ],
        )
        planned = FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=[deployment]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        )
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := await client.read_flow_runs(flow_run_filter=planned):
                return len(found)
            await asyncio.sleep(0.5)
    return 0


@pytest.mark.slow
def test_the_server_plans_runs_of_a_schedule(in_process: WorkingFolder) -> None:
    """With a database library that does not fit, the scheduler dies and nothing says so."""
    assert asyncio.run(scheduled_runs(seconds=TIMEOUT)) >= 3


@pytest.mark.long
def test_a_run_of_a_worker_is_cancelled(
    deployed: subprocess.CompletedProcess[str], in_process: WorkingFolder
) -> None:
    place = in_process
    worker = ("prefect", "worker", "start", "--pool", "local", "--type", "process")
    with place.start(*worker, new=True, PREFECT_WORKER_QUERY_SECONDS="1") as process:
        with client() as prefect:
            deployment = prefect.read_deployment_by_name("daily/daily")
            run = prefect.create_flow_run_from_deployment(
                deployment.id, parameters={"simulations": MANY}
            )
        wait_until(lambda: place.finished() >= 2, what="two simulations")
        cancel(run.id)
        wait_until(lambda: state_of(run.id) == "Cancelled", what="the end of the run")
        process.send_signal(signal.SIGINT)
        process.wait(TIMEOUT)
    check_the_next_run_goes_on(place, most_attempts=2)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_two_workers_do_each_tick_of_a_desk_once(
    deployed: subprocess.CompletedProcess[str], in_process: WorkingFolder
) -> None:
    place = in_process
    worker = ("worker", "start", "--pool", "local", "--type", "process")
    with (
        place.start("prefect", *worker, new=True, PREFECT_WORKER_QUERY_SECONDS="1"),
        place.start("prefect", *worker, new=True, PREFECT_WORKER_QUERY_SECONDS="1"),
    ):
        flags = ("--deployments", "--start", "15:38", "--speed", "1", "--minutes", "6")
        done = place.run("flows.desk", "run", *flags, "--seeding", "20", timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout + done.stderr
    assert "decisions made again from them: all alike" in told
    assert "reconciled to $0.00" in told
    with open_store(home=place.home) as store:
        ticks = read_ticks(store, read_agent_desk(store).name)
    assert len({(one.agent, one.due_at) for one in ticks}) == len(ticks)
    assert "ran" in {one.outcome for one in ticks}
    assert len({one.worker for one in ticks if one.outcome == "ran"}) > 1, "each in a process"
    with client() as prefect:
        left = [one.name for one in prefect.read_deployments() if " of replay-" in one.name]
    assert left == []
