"""The process in which the agents of a desk on a clock run, so that one that hangs can be killed.

The process that keeps the clock and the ticks asks; this one has the floor and answers. After each
run it says what the floor knows and no row does, from which another one goes on after a kill.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from alphafoundry.agents.desk import TimedOut
from alphafoundry.agents.floor import TradingFloor
from alphafoundry.agents.installed import known_agents
from alphafoundry.agents.registry import Agent, AgentContext, AgentResult
from alphafoundry.agents.snapshot import Facts
from alphafoundry.errors import FoundryError
from alphafoundry.store.column_types import to_json

Kept = Mapping[str, Any]
MakeFloor = Callable[[Kept | None], AbstractContextManager[TradingFloor]]
"""Opens the floor as it was kept; a function of a module, or a `partial` of one."""

GRACE = 5.0
"""Seconds between the signal that asks a process to end and the one that ends it."""

START_SECONDS = 300.0
"""Importing, loading a market and making the programme may take so long on a busy machine."""


class FloorWorker:
    """The agents' process, seen from the one that keeps the clock; a context manager.

    Attributes
    ----------
    kept : what the floor knew after the last run that ended
    cpu : processor seconds that runs took in there
    kills : how often it was killed
    """

    def __init__(self, make: MakeFloor, kept: Kept | None, *, speed: float = 1.0) -> None:
        """Keep how to start it.

        Parameters
        ----------
        speed : seconds of the desk's clock in one true second, by which time-outs are shorter
        """
        self.kept = kept
        self.cpu = 0.0
        self.kills = 0
        self._make = make
        self._speed = speed
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None

    def __enter__(self) -> FloorWorker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The process, None where none runs."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process, where none runs, and wait until its floor is open.

        Raises FoundryError where it cannot be opened.
        """
        if self._process is not None:
            return
        self._pipe, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "alphafoundry.agents.worker", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                # A group of its own: a kill reaches what the agents have started, and Ctrl-C in the
                # terminal does not end a run in the middle.
                start_new_session=True,
            )
        self._ask(("open", self._make, self.kept), START_SECONDS)

    def stop(self) -> None:
        """End the process."""
        if self._process is None:
            return
        assert self._pipe is not None
        self._pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE)
        self._kill_group()

    def facts(self, now: int) -> Facts:
        """Return what the gate sees, as `TradingFloor.facts` says it; nothing where none runs.

        It is asked within a claim's transaction, in which no floor could be opened.
        """
        if self._process is None:
            return Facts()
        try:
            found: Facts = self._ask(("facts", now), START_SECONDS)
        except FoundryError:
            # The next agent that is run starts another process.
            return Facts()
        return found

    def agents(self, agents: Mapping[str, Agent]) -> dict[str, Agent]:
        """Return the agents as ones that run over there."""
        return {name: self._remote(one) for name, one in agents.items()}

    def _remote(self, agent: Agent) -> Agent:
        def version(context: AgentContext) -> str | None:
            found: str | None = self._call("version", context)
            return found

        def run(context: AgentContext) -> AgentResult:
            found: AgentResult = self._call("run", context)
            return found

        return replace(
            agent, run=run, inputs_version=None if agent.inputs_version is None else version
        )

    def _call(self, what: str, context: AgentContext) -> Any:
        self.start()
        seconds = (context.deadline - context.now) / self._speed
        try:
            return self._ask((what, context._replace(floor=None)), seconds)
        except TimedOut:
            self.start()
            asked = context.deadline - context.now
            raise TimedOut(
                f"killed after {asked} s, its time-out, and all it had started"
            ) from None

    def _ask(self, message: tuple[Any, ...], seconds: float) -> Any:
        """Return the answer; kill the process where none comes in time."""
        assert self._pipe is not None and self._process is not None
        try:
            self._pipe.send(message)
            if not self._pipe.poll(seconds):
                self._kill_group()
                raise TimedOut(f"no answer within {seconds:g} s")
            kind, answer, kept, cpu = self._pipe.recv()
        except (EOFError, ConnectionError):
            process = self._process
            self._kill_group()
            raise FoundryError(
                f"the agents' process died (exit status {process.returncode}); another is started"
            ) from None
        self.cpu += cpu
        if kept is not None:
            self.kept = kept
        if kind == "error":
            raise FoundryError(answer)
        return answer

    def _kill_group(self) -> None:
        """End the process and everything that it started: asked first, then by force."""
        assert self._process is not None and self._pipe is not None
        group = self._process.pid
        self.kills += self._process.poll() is None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline and _lives(group, self._process):
            time.sleep(0.02)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)
        self._process.wait()
        self._pipe.close()
        self._process = self._pipe = None
        if self.kept is not None:
            # The run that was killed may have changed rows: what was seen before is no longer so.
            account = self.kept["account"]
            changed = {**account, "version": account["version"] + 1, "seen": None}
            self.kept = {**self.kept, "account": changed}


def _lives(group: int, process: subprocess.Popen[bytes]) -> bool:
    process.poll()
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _answers(pipe: Connection) -> Iterator[tuple[str, Any, Kept | None, float]]:
    """Yield the answer to each question, until there are no more."""
    with contextlib.ExitStack() as stack:
        floor: TradingFloor | None = None
        while True:
            try:
                what, *given = pipe.recv()
            except (EOFError, ConnectionError):
                return
            began = time.process_time()
            kept = None
            try:
                answer: Any = None
                if what == "open":
                    make, before = given
                    floor = stack.enter_context(make(before))
                elif what == "facts":
                    assert floor is not None
                    answer = floor.facts(given[0])
                else:
                    assert floor is not None
                    answer = _run(what, given[0]._replace(floor=floor))
                if what != "facts":
                    kept = {"floor": floor.kept(), "account": floor.account.kept()}
                yield "done", answer, _plain(kept), time.process_time() - began
            except FoundryError as problem:
                yield "error", str(problem), None, time.process_time() - began
            except Exception as problem:
                # The text of a foreign exception might hold anything.
                told = f"{type(problem).__name__} in the agent's code"
                yield "error", told, None, time.process_time() - began


def _run(what: str, context: AgentContext) -> Any:
    agent = known_agents()[context.name]
    if what == "version":
        assert agent.inputs_version is not None
        return agent.inputs_version(context)
    return agent.run(context)


def _plain(kept: Kept | None) -> Kept | None:
    """Return it as JSON would give it back, which is what `restore` takes."""
    if kept is None:
        return None
    found: Kept = json.loads(to_json(kept))
    return found


def main() -> None:
    """Answer on the connection whose descriptor is the argument."""
    with Connection(int(sys.argv[1])) as pipe:
        for answer in _answers(pipe):
            pipe.send(answer)


if __name__ == "__main__":
    main()
