"""The Prefect server dies or hangs in the middle of a run: one line, soon, and all is saved."""

from __future__ import annotations

import contextlib
import re
import signal
from collections.abc import Iterator

import httpx
import psutil
import pytest

from tests.flows.test_optimize import LASTING, write
from tests.servers import prefect_api
from tests.working_folder import Process, WorkingFolder, wait_until

MANY = "240"
SOON = 90.0
"""Far less than a run that waits for a server that is gone, far more than one that ends."""


def server_of(process: Process) -> psutil.Process:
    """Return the temporary server of a command."""
    (found,) = [
        child
        for child in psutil.Process(process.pid).children()
        if re.search(r"tasks\.prefect\.\w*server", " ".join(child.cmdline()))
    ]
    return found


def trials(place: WorkingFolder) -> int:
    return place.count("SELECT count(*) FROM workflow_trials")


@contextlib.contextmanager
def under_way(place: WorkingFolder, flow: str, **env: str) -> Iterator[tuple[str, Process]]:
    """Start a flow and wait until it has finished something."""
    module = f"flows.{flow}"
    flags = [write(place, LASTING)] if flow == "optimize" else ["--simulations", MANY]
    done = trials if flow == "optimize" else WorkingFolder.finished
    with place.start(module, *flags, **env) as process:
        wait_until(lambda: process.poll() is not None or done(place) >= 2, what="the first results")
        assert process.poll() is None, place.output(module)
        yield module, process


def check_one_line(place: WorkingFolder, module: str, status: str = "interrupted") -> str:
    printed = place.output(module)
    assert "Traceback" not in printed and "| ERROR" not in printed, printed
    (line,) = [line for line in printed.splitlines() if line.startswith("error: ")]
    assert line == printed.rstrip().splitlines()[-1]
    assert place.rows("SELECT status FROM runs") == [(status,)]
    assert place.rows("PRAGMA integrity_check") == [("ok",)]
    return line


@pytest.mark.slow
@pytest.mark.parametrize("flow", ["generate", pytest.param("optimize", marks=pytest.mark.long)])
def test_a_temporary_server_that_dies(lonely_folder: WorkingFolder, flow: str) -> None:
    place = lonely_folder
    with under_way(place, flow) as (module, process):
        server_of(process).kill()
        assert process.wait(SOON) == 2, place.output(module)
    assert "the Prefect server" in check_one_line(place, module)
    assert (trials(place) if flow == "optimize" else place.finished()) >= 2


@pytest.mark.slow
@pytest.mark.long
def test_a_configured_server_that_dies(lonely_folder: WorkingFolder) -> None:
    place = lonely_folder
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(prefect_api(place.prefect_home))
        module, process = stack.enter_context(under_way(place, "generate", PREFECT_API_URL=url))
        # What forks the commands may be the child of another process of pytest.
        (server,) = {
            one.pid
            for one in psutil.net_connections("tcp")
            if one.status == psutil.CONN_LISTEN and one.laddr.port == httpx.URL(url).port
        }
        psutil.Process(server).kill()
        assert process.wait(SOON) == 2, place.output(module)
        assert url in check_one_line(place, module)


@pytest.mark.slow
@pytest.mark.long
def test_a_server_that_hangs_is_left_by_the_second_signal(lonely_folder: WorkingFolder) -> None:
    place = lonely_folder
    with under_way(place, "generate") as (module, process):
        server = server_of(process)
        server.suspend()
        process.send_signal(signal.SIGINT)
        wait_until(lambda: "stopping:" in place.output(module), what="the answer to the first")
        process.send_signal(signal.SIGTERM)
        assert process.wait(SOON) == 130, place.output(module)
        assert not psutil.pid_exists(server.pid) or server.status() == psutil.STATUS_ZOMBIE
    assert "stopped at once" in check_one_line(place, module)
    again = place.report("flows.generate", "--simulations", "4")["counts"]
    assert (again["resumed"], again["unfinished"]) == (4, 0)


@pytest.mark.long
def test_mistakes_are_told_before_a_server_is_started(lonely_folder: WorkingFolder) -> None:
    place = lonely_folder
    (place.path / "bad.json").write_text('{"password": "hunter2"}')
    workflow = """
        workflow: {type: optimization}
        data: {market: calibration, symbols: [NOSUCH]}
        optimization: {method: grid, parameters: {fast: [3, 5], slow: [20, 30]}}
    """
    mistakes = {
        "no/such.parquet": ("flows.daily", ("--market", "no/such.parquet"), {}),
        "mars": ("flows.continuous", ("--market", "mars"), {}),
        "mine.json": ("flows.submit", ("--brain", "worldquant", "--credentials", "mine.json"), {}),
        "bad.json": ("flows.mine", ("--brain", "worldquant", "--credentials", "bad.json"), {}),
        "'NOSUCH'": ("flows.algorithms", ("--ticker", "NOSUCH", "--market", "calibration"), {}),
        "'a::b'": ("flows.algorithms", ("--models", "a::b"), {}),
        "OPENROUTER_API_KEY": ("flows.algorithms", (), {"OPENROUTER_API_KEY": "two words"}),
        "NOSUCH": ("flows.optimize", (write(place, workflow),), {}),
        "none.yaml": ("flows.optimize", ("none.yaml",), {}),
        "--reproduce": ("flows.optimize", (), {}),
        "write postgresql://": ("flows.daily", (), {"FOUNDRY_DATABASE_URL": "nowhere"}),
        "cannot be created": ("flows.mine", (), {"FOUNDRY_HOME": "/dev/null/home"}),
        "--json /proc/report": ("flows.submit", ("--json", "/proc/report"), {}),
    }
    for done, says in zip(place.run_each(*mistakes.values()), mistakes, strict=True):
        assert done.returncode == 2, done.stderr
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
        assert says in done.stderr and "hunter2" not in done.stderr
    assert not (place.prefect_home / "temporary-server.log").exists()
    assert place.count("SELECT count(*) FROM runs") == 0
