"""Signals and a closed terminal end a run with what it has; the next run takes up the rest."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable

import psutil
import pytest
from prefect import flow

from alphafoundry.runs import Stop
from flows import stopping
from flows.stopping import ServerWatch, Signals, run_until_stopped
from tests.working_folder import TIMEOUT, WorkingFolder, wait_until

EACH = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def send_later(*numbers: signal.Signals) -> None:
    """Send signals to this process, 0.2 s apart."""
    for place, number in enumerate(numbers, start=1):
        threading.Timer(0.2 * place, os.kill, (os.getpid(), number)).start()


class Left(Exception):
    """What the end of the process is in a test."""


def left(status: int, message: str) -> None:
    raise Left(status, message)


@pytest.mark.parametrize("number", EACH)
def test_the_first_signal_asks_and_the_handlers_come_back(number: signal.Signals) -> None:
    before = [signal.getsignal(one) for one in EACH]
    stop = Stop()

    async def work() -> str:
        send_later(number)
        await stop.wait()
        return "saved"

    assert run_until_stopped(work, stop, signals=Signals(left)) == "saved"
    assert [signal.getsignal(one) for one in EACH] == before


def test_nohup_holds() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stop = Stop()

    async def work() -> str:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.sleep(0.1)
        return "saved"

    try:
        assert run_until_stopped(work, stop, signals=Signals(left)) == "saved"
    finally:
        signal.signal(signal.SIGHUP, before)
    assert not stop.is_set()


def test_the_second_signal_leaves_at_once_whatever_hangs() -> None:
    stop, released = Stop(), threading.Event()

    async def work() -> None:
        send_later(signal.SIGINT, signal.SIGTERM)
        await stop.wait()
        released.wait()  # the event loop itself hangs

    with pytest.raises(Left) as caught:
        run_until_stopped(work, stop, signals=Signals(left))
    released.set()
    assert caught.value.args[0] == 130


def test_an_error_of_the_work_is_raised() -> None:
    async def work() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_until_stopped(work, Stop(), signals=Signals(left))


def test_threads_that_hang_do_not_keep_the_outcome_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "CLOSING_SECONDS", 0.1)
    released = threading.Event()

    async def work() -> str:
        asyncio.get_running_loop().run_in_executor(None, released.wait)
        return "saved"

    assert run_until_stopped(work, Stop(), signals=Signals(left)) == "saved"
    released.set()


def test_a_run_whose_server_is_gone_gets_a_moment_to_save(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "LOOK_SECONDS", 0.01)
    stop = Stop()
    saved: list[bool] = []

    async def work() -> None:
        await stop.wait()
        saved.append(True)
        raise ConnectionError

    with pytest.raises(Left) as caught:
        run_until_stopped(
            work, stop, signals=Signals(left), lost=lambda: "the server has ended", leave=left
        )
    assert saved and caught.value.args == (2, "the server has ended")


def test_a_server_is_gone_when_it_ended_or_refuses_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(stopping.time, "monotonic", lambda: now[0])
    ended, refuses = [False], [False]
    watch = ServerWatch("http://there", has_ended=lambda: ended[0], refuses=lambda _: refuses[0])

    def at(moment: float) -> str | None:
        now[0] = moment
        return watch.lost()

    assert at(10) is None
    refuses[0] = True
    assert at(20) is None and at(30) is None
    refuses[0] = False
    assert at(34) is None
    refuses[0] = True
    assert at(37) is None and at(50) is None
    assert "does not answer any more" in str(at(53))
    ended[0] = True
    assert "has ended" in str(at(53.1))


def test_a_flow_inside_a_flow_survives_sigterm(in_process: WorkingFolder) -> None:
    stop = Stop()

    @flow
    async def inner() -> str:
        send_later(signal.SIGTERM)
        await stop.wait()
        return "saved"

    @flow
    async def outer() -> str:
        return await inner()

    assert run_until_stopped(outer, stop, signals=Signals(left)) == "saved"


def is_importing(process: psutil.Process) -> bool:
    return any("pydantic_core" in mapped.path for mapped in process.memory_maps())


def is_starting_a_server(process: psutil.Process) -> bool:
    return bool(process.children())


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        (is_importing, signal.SIGINT),
        (is_starting_a_server, signal.SIGTERM),
        pytest.param(is_importing, signal.SIGTERM, marks=pytest.mark.long),
        pytest.param(is_importing, signal.SIGHUP, marks=pytest.mark.long),
        pytest.param(is_starting_a_server, signal.SIGINT, marks=pytest.mark.long),
        pytest.param(is_starting_a_server, signal.SIGHUP, marks=pytest.mark.long),
    ],
)
def test_a_signal_before_the_flow_begins_leaves_nothing_behind(
    lonely_folder: WorkingFolder, moment: Callable[[psutil.Process], bool], number: signal.Signals
) -> None:
    with lonely_folder.start("flows.submit", new=True) as process:
        run = psutil.Process(process.pid)
        wait_until(lambda: process.poll() is not None or moment(run), what="the moment")
        children = run.children()
        process.send_signal(number)
        assert process.wait(TIMEOUT) == 130
    (line,) = lonely_folder.output("flows.submit").split("\n")[-2:-1]
    assert line.startswith("error: stopped")
    assert "Traceback" not in lonely_folder.output("flows.submit")
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []
    assert lonely_folder.count("SELECT count(*) FROM runs") == 0


@pytest.mark.long
def test_ctrl_c_prints_the_report_and_the_next_run_goes_on(working_folder: WorkingFolder) -> None:
    flags = ("--simulations", "30", "--seed", "0")
    with working_folder.start("flows.daily", *flags, "--json", "report.json") as process:
        wait_until(
            lambda: process.poll() is not None or working_folder.finished() >= 3,
            what="three simulations",
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(TIMEOUT) == 130, working_folder.output("flows.daily")
    printed = working_folder.output("flows.daily")
    assert "Traceback" not in printed and "simulations in" in printed
    first = working_folder.json("report.json")["counts"]
    assert 3 <= first["simulated"] < 30
    left = first["unfinished"]
    again = working_folder.report("flows.generate", "--simulations", str(left), "--seed", "0")
    assert again["counts"]["resumed"] == left > 0
    assert again["counts"]["unfinished"] == 0
    assert working_folder.count("SELECT max(attempts) FROM simulations") == 1
