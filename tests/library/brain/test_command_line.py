"""`python -m alphafoundry.brain.server`: one line for each mistake, and nothing lost in a kill."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from alphafoundry.brain import BrainClient
from alphafoundry.brain.service.command_line import main
from alphafoundry.errors import BrainRequestError
from tests.library.brain.conftest import GOOD, OTHER_GOOD, SETTINGS
from tests.library.brain.markets import write_market
from tests.piped_commands import PipedCommand, run_forked
from tests.working_folder import ROOT

COMMAND = "alphafoundry.brain.server"


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_market(tmp_path_factory.mktemp("market") / "small.parquet")


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    flags = ["--state", str(folder / "s.sqlite"), "--cache", str(folder), *arguments]
    return run_forked(COMMAND, flags, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)})


@contextlib.contextmanager
def running(market: Path, folder: Path, *options: str) -> Iterator[tuple[PipedCommand, str]]:
    """Give a server process, whose errors go to the file `errors`, and its address."""
    flags = ["--port", "0", "--market", str(market), "--poll-seconds", "0.02"]
    flags += ["--state", str(folder / "state.sqlite"), "--cache", str(folder), *options]
    errors = folder / "errors"
    with errors.open("w") as stderr, PipedCommand(COMMAND, flags, stderr=stderr.fileno()) as it:
        line = ""
        while "http://" not in line:
            line = it.stdout.readline()
            assert line, errors.read_text()
        yield it, line.split()[-1]


def test_help_names_every_flag(tmp_path: Path) -> None:
    told = run("--help", folder=tmp_path)
    assert told.returncode == 0
    for flag in ("--host", "--port", "--market", "--max-concurrent", "--simulation-seconds"):
        assert flag in told.stdout
    assert "--daily-submissions" in told.stdout and "--state" in told.stdout


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--market", "nowhere"], "nowhere"),
        (["--host", "0.0.0.0"], "--credentials"),
        (["--credentials", "/nowhere/credential.txt"], "cannot read the BRAIN credentials"),
        (["--max-concurrent", "0"], "--max-concurrent"),
        (["--port", "70000"], "not a port"),
        (["--simulation-seconds", "nan"], "not a number of seconds"),
        (["--credentials", "FILE", "--host", "no.such.host.invalid"], "cannot listen"),
    ],
)
def test_mistakes_are_one_line_and_status_2(
    tmp_path: Path, arguments: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    credentials = tmp_path / "credential.txt"
    credentials.write_text('["researcher@example.com", "secret"]')
    arguments = [str(credentials) if word == "FILE" else word for word in arguments]
    places = ["--state", str(tmp_path / "s.sqlite"), "--cache", str(tmp_path)]
    try:
        status = main([*places, "--port", "0", *arguments])
    except SystemExit as ended:
        status = ended.code
    told = capsys.readouterr().err
    assert status == 2
    assert text in told.strip().splitlines()[-1] and "Traceback" not in told


def test_a_port_in_use_and_a_state_that_is_no_database(tmp_path: Path, market: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        told = run("--port", port, folder=tmp_path)
    assert told.returncode == 2 and f"127.0.0.1:{port}" in told.stderr
    assert len(told.stderr.splitlines()) == 1
    broken = tmp_path / "s.sqlite"
    broken.write_text("this is no database, it is a text " * 100)
    told = run("--port", "0", "--market", str(market), folder=tmp_path)
    assert told.returncode == 2 and str(broken) in told.stderr
    assert len(told.stderr.splitlines()) == 1


def test_ctrl_c_ends_quietly(tmp_path: Path, market: Path) -> None:
    with running(market, tmp_path) as (process, _):
        process.send_signal(signal.SIGINT)
        assert process.wait(300) == 0
    assert (tmp_path / "errors").read_text() == ""


async def test_a_kill_loses_nothing_that_was_finished(tmp_path: Path, market: Path) -> None:
    settings = SETTINGS
    with running(market, tmp_path) as (process, url):
        async with BrainClient(url) as client:
            finished = await client.post_simulation(GOOD, settings)
            alpha = (await client.poll_simulation(finished)).alpha
            assert alpha is not None
            before = await client.alpha(alpha)
            dates, dollars = await client.daily_pnl(alpha)
            assert (await client.submit(alpha)).status == "accepted"
        process.kill()
        process.wait(300)
    with running(market, tmp_path, "--simulation-seconds", "60") as (process, url):
        async with BrainClient(url) as client:
            lost = await client.post_simulation(OTHER_GOOD, settings)
            assert not (await client.get_simulation(lost)).finished
        process.kill()
        process.wait(300)
    with running(market, tmp_path) as (_, url):
        async with BrainClient(url) as client:
            path = finished.split("/", 3)[-1]
            assert (await client.get_simulation(f"/{path}")).alpha == alpha
            after = await client.alpha(alpha)
            assert after.status == "ACTIVE" and after.statistics.sharpe == before.statistics.sharpe
            dates_after, dollars_after = await client.daily_pnl(alpha)
            assert (dates == dates_after).all() and (dollars == dollars_after).all()
            table = await client.record_set(alpha, "turnover")
            assert len(table["records"]) == len(dates)
            assert (await client.submit(alpha)).status == "already_submitted"
            other = (
                await client.poll_simulation(await client.post_simulation(OTHER_GOOD, settings))
            ).alpha
            assert other is not None
            used = [c for c in await client.check(other) if c.name == "REGULAR_SUBMISSION"]
            assert used[0].value == 1
            with pytest.raises(BrainRequestError) as caught:
                await client.get_simulation(f"/{lost.split('/', 3)[-1]}")
            assert caught.value.status == 404
