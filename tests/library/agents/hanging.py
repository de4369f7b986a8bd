"""Agents for test_worker.py, and a floor that counts: another process imports this."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alphafoundry.agents.registry import AgentContext, AgentResult, agent
from alphafoundry.agents.snapshot import Facts
from alphafoundry.errors import MarketError


class CountingAccount:
    version = 0

    def kept(self) -> dict[str, Any]:
        return {"version": self.version, "seen": [1], "broker": None}


class CountingFloor:
    def __init__(self, kept: Any) -> None:
        self.account = CountingAccount()
        self.count = 0
        if kept is not None:
            self.count, self.account.version = kept["floor"]["count"], kept["account"]["version"]

    def prepare(self) -> None:
        pass

    def kept(self) -> dict[str, Any]:
        return {"count": self.count}

    def facts(self, now: int) -> Facts:
        return Facts(positions=self.count)


@contextlib.contextmanager
def counting_floor(kept: Any) -> Iterator[Any]:
    yield CountingFloor(kept)


@agent("counts_in_test")
def counts(context: AgentContext) -> AgentResult:
    context.floor.count += 1
    return AgentResult(f"{context.floor.count} of {os.getpid()}")


@agent("fails_in_test")
def fails(context: AgentContext) -> AgentResult:
    if context.seed == 1:
        raise MarketError("no bars today")
    if context.seed == 2:
        os._exit(7)
    raise ValueError("the password is secret")


@agent("hangs_in_test")
def hangs(context: AgentContext) -> AgentResult:
    """Ignore the request to end, start a process that does so too, and never return."""
    folder = Path(os.environ["TEST_OF_HANGING"])
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    child = subprocess.Popen([sys.executable, "-c", code])
    if os.fork() == 0:
        time.sleep(600)
    context.floor.count += 100
    (folder / "pids.new").write_text(f"{os.getpid()} {child.pid}")
    (folder / "pids.new").rename(folder / "pids")
    time.sleep(600)
    return AgentResult()
