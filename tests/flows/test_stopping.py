"""Ctrl-C and SIGTERM end a run with what it has; the next run takes up the rest."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable

import psutil
import pytest
from prefect import flow

from flows.stopping import run_until_stopped
from tests.working_folder import TIMEOUT, WorkingFolder, wait_until

BOTH = (signal.SIGINT, signal.SIGTERM)


def send_later(*numbers: signal.Signals) -> None:
    """Send signals to this process, 0.2 s apart."""
    for place, number in enumerate(numbers, start=1):
        threading.Timer(0.2 * place, os.kill, (os.getpid(), number)).start()


@pytest.mark.parametrize("number", BOTH)
def test_the_first_signal_asks_and_the_handlers_come_back(number: signal.Signals) -> None:
    before = [signal.getsignal(one) for one in BOTH]
    stop = asyncio.Event()

    async def work() -> str:
        await stop.wait()
        return "saved"

    send_later(number)
    assert run_until_stopped(work, stop) == "saved"
    assert [signal.getsignal(one) for one in BOTH] == before


def test_the_second_signal_cancels() -> None:
    stop = asyncio.Event()

    async def work() -> None:
        await stop.wait()
        await asyncio.sleep(3600)

    send_later(signal.SIGINT, signal.SIGTERM)
    with pytest.raises(asyncio.CancelledError):
        run_until_stopped(work, stop)


def test_an_error_of_the_work_is_raised() -> None:
    async def work() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_until_stopped(work, asyncio.Event())


def test_a_flow_inside_a_flow_survives_sigterm(in_process: WorkingFolder) -> None:
    stop = asyncio.Event()

    @flow
    async def inner() -> str:
        await stop.wait()
        return "saved"

    @flow
    async def outer() -> str:
        return await inner()

    send_later(signal.SIGTERM)
    assert run_until_stopped(outer, stop) == "saved"


def is_importing(process: psutil.Process) -> bool:
    return any("pydantic_core" in mapped.path for mapped in process.memory_maps())


def is_starting_a_server(process: psutil.Process) -> bool:
    return bool(process.children())


@pytest.mark.parametrize("number", BOTH)
@pytest.mark.parametrize("moment", [is_importing, is_starting_a_server])
def test_a_signal_before_the_flow_begins_leaves_nothing_behind(
    lonely_folder: WorkingFolder, moment: Callable[[psutil.Process], bool], number: signal.Signals
) -> None:
    with lonely_folder.start("flows.submit") as process:
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


@pytest.mark.slow
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
    again = working_folder.report("flows.generate", "--simulations", "30", "--seed", "0")["counts"]
    assert again["resumed"] == first["unfinished"] > 0
    assert again["unfinished"] == 0
    assert working_folder.count("SELECT max(attempts) FROM simulations") == 1
