"""`python -m flows.continuous`: two sides that go on, and a clean end."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections import Counter
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from alphafoundry.research.run import Tally
from alphafoundry.runs import NoProgress, Stop
from tests.flows.misbehaving import FITTING, Service
from tests.working_folder import TIMEOUT, WorkingFolder, wait_until

LOGS = ("alpha_orchestrator.log", "alpha_generator_ollama.log", "alpha_miner.log")


def logged(place: WorkingFolder, name: str) -> str:
    path = place.path / name
    return path.read_text() if path.exists() else ""


def run_until(
    place: WorkingFolder, text: str, name: str, end: signal.Signals, *flags: str, **env: str
) -> None:
    """Run until a log says `text`, send the signal, and check how it ends."""
    with place.start("flows.continuous", *flags, **env) as process:
        wait_until(
            lambda: process.poll() is not None or text in logged(place, name),
            what=f"{text!r} in {name}",
        )
        assert process.poll() is None, place.output("flows.continuous")
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(end)
        assert process.wait(TIMEOUT) == 0, place.output("flows.continuous")
    assert not [one for one in children if one.is_running() and one.status() != "zombie"]
    assert "Traceback" not in place.output("flows.continuous")


@pytest.mark.slow
def test_sigterm_ends_it_with_everything_saved(
    working_folder: WorkingFolder, tmp_path: Path
) -> None:
    with Service(tmp_path).on_a_port() as url:
        flags = ("--simulations", "6", "--brain", url)
        run_until(working_folder, "Mined: ", "alpha_miner.log", signal.SIGTERM, *flags, **FITTING)
    orchestrator, generator, miner = (logged(working_folder, name) for name in LOGS)
    assert "Max concurrent simulations: 3" in orchestrator
    assert "Alpha generator started with PID: " in orchestrator
    assert "Both alpha generator and expression miner are running concurrently" in orchestrator
    assert "Stopped: " in orchestrator
    assert "Round 1 begins" in generator and "Round 1: " in generator
    assert "alphas to mine" in miner and "Found " in miner
    assert working_folder.rows("SELECT status FROM runs") == [("interrupted",)]
    assert working_folder.count("SELECT count(*) FROM simulations WHERE origin = 'miner'") > 0
    assert working_folder.rows("PRAGMA integrity_check") == [("ok",)]


@pytest.mark.long
def test_ctrl_c_ends_it_and_its_temporary_server(lonely_folder: WorkingFolder) -> None:
    flags = ("--simulations", "5")
    run_until(lonely_folder, "Round 1 begins", "alpha_generator_ollama.log", signal.SIGINT, *flags)
    assert lonely_folder.rows("SELECT status FROM runs") == [("interrupted",)]


@pytest.mark.long
def test_a_used_up_quota_is_waited_for(working_folder: WorkingFolder, tmp_path: Path) -> None:
    """Neither side invents alphas that cannot be simulated before tomorrow."""
    service = Service(tmp_path, daily_simulations=6)
    with (
        service.on_a_port() as url,
        working_folder.start(
            "flows.continuous", "--simulations", "10", "--brain", url, **FITTING
        ) as process,
    ):
        wait_until(lambda: working_folder.finished() >= 6, what="six simulations")
        time.sleep(3)
        assert process.poll() is None
        posted = service.counting.posted
        planned = working_folder.count("SELECT count(*) FROM simulations")
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == 0
    assert planned <= 2 * 10
    assert posted <= 6 + 2 * 3
    rounds = logged(working_folder, "alpha_generator_ollama.log").count("begins")
    assert rounds + logged(working_folder, "alpha_miner.log").count("Found") <= 4


def bench_of(stop: Stop) -> SimpleNamespace:
    return SimpleNamespace(stop=stop, progress=NoProgress(), tally=Tally())


async def test_a_side_that_fails_is_restarted_while_the_other_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from alphafoundry.research import continuous as sides

    monkeypatch.setattr(sides, "FIRST_DELAY", 0.02)
    turns: Counter[str] = Counter()
    stop = Stop()

    async def failing(number: int) -> None:
        turns["failing"] += 1
        if number < 3:
            raise RuntimeError("the generator broke")

    async def working(_: int) -> None:
        turns["working"] += 1
        await asyncio.sleep(0.005)
        if turns["failing"] >= 5:
            stop.set()

    run = bench_of(stop)
    log = logging.getLogger("test.side")
    async with asyncio.timeout(TIMEOUT):
        await asyncio.gather(
            sides.keep_running(run, "Alpha generator", failing, log),
            sides.keep_running(run, "Alpha miner", working, log),
        )
    assert turns["failing"] >= 5
    assert turns["working"] > 10
    assert caplog.text.count("Alpha generator failed; restarting it") == 3
    assert "the generator broke" in caplog.text


async def test_the_wait_before_a_restart_doubles_and_a_stop_ends_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from alphafoundry.research import continuous as sides

    stop = Stop()
    waits: list[float] = []

    async def note(_: object, seconds: float) -> None:
        waits.append(seconds)
        if len([one for one in waits if one > 0]) == 8:
            stop.set()

    async def failing(_: int) -> None:
        raise RuntimeError("broken for good")

    monkeypatch.setattr(sides, "sleep", note)
    log = logging.getLogger("test.side")
    await sides.keep_running(bench_of(stop), "Alpha miner", failing, log)
    assert [one for one in waits if one > 0] == [5, 10, 20, 40, 80, 160, 300, 300]


def rotating(logger: logging.Logger) -> list[logging.Handler]:
    """Handlers that are ours; pytest may have added its own."""
    return [one for one in logger.handlers if isinstance(one, RotatingFileHandler)]


def test_logs_are_rotated_and_closed(tmp_path: Path) -> None:
    from alphafoundry.research import continuous as sides

    with sides.log_files(tmp_path) as logs:
        for logger in logs.values():
            logger.info("a line")
            assert len(rotating(logger)) == 1
    assert all("INFO a line" in (tmp_path / name).read_text() for name in LOGS)
    assert all(not rotating(logger) for logger in logs.values())
