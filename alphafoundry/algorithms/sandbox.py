"""Run a generated algorithm in a process that can only compute.

The child process sees one day at a time: the bars of day s are sent when the decision about day s
is asked, so nothing inside the child, however it is reached, is of the future. Its answers are
fixed fields of bounded size; accounts are kept on this side.

Walls, in the order in which code meets them: the check of the source (`validation`), restricted
builtins and modules, an audit hook, and those of the process: a seccomp filter that leaves no
system call but memory, clock and the two pipes, user nobody (where it is started by root), no
capabilities, an empty root folder, an own network namespace, limits of memory, processor time,
processes, descriptors and files. Which of them stand depends on the kernel and on the container
around it, and is reported in `RunningAlgorithm.walls`; the seccomp filter alone is enough to keep
code from files, processes and the network. Without it (another system than Linux) the audit hook
does that, which holds against Python code but not against a damaged interpreter.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from alphafoundry.algorithms import sandbox_wire as wire
from alphafoundry.algorithms.contract import (
    TOLERATED_FAILURES,
    WARM_UP,
    AlgorithmFailed,
    FailureKind,
    Validated,
)
from alphafoundry.algorithms.validation import argument_order, validate
from alphafoundry.finance.bars import TickerBars
from alphafoundry.finance.orders import Order, Side

_PACKAGE = Path(__file__).resolve().parent
_BOOTSTRAP: Final = """
import os, sys, types
os.dup2(int(sys.argv[3]), 3)
os.closerange(4, 256)
for name, folder in (("alphafoundry", sys.argv[1]), ("alphafoundry.algorithms", sys.argv[2])):
    package = types.ModuleType(name)
    package.__path__ = [folder]
    sys.modules[name] = package
sys.path[:0] = sys.argv[4:]
from alphafoundry.algorithms.sandbox_child import main
main()
"""
"""The packages' own __init__ would import the whole library into the sandbox."""

_CHILD_ENVIRONMENT: Final = {
    "PYTHONHASHSEED": "0",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "LC_ALL": "C.UTF-8",
}
LEAST_TRIED: Final = 48
"""Days on which a trial asks an algorithm, where there are as many."""

_NAMES_PANDAS: Final = re.compile(r"\b(pd|pandas)\b")


@dataclass(frozen=True, kw_only=True)
class SandboxLimits:
    """What an algorithm may use.

    Attributes
    ----------
    call_seconds : processor time of one call of execute_trade, so that a busy machine fails nobody
    load_seconds : processor time of the module's own code, over all tickers
    start_seconds : wall time of starting Python, NumPy and, where it is named, pandas
    wall_seconds : wall time of a whole run
    grace_seconds : wall time beyond those two after which this side stops waiting
    cpu_seconds : processor time of a whole run
    memory_bytes : memory beyond that of Python, NumPy and pandas
    output_bytes : what may be printed; it is thrown away
    """

    call_seconds: float = 1.0
    load_seconds: float = 5.0
    start_seconds: float = 60.0
    wall_seconds: float = 600.0
    grace_seconds: float = 2.0
    cpu_seconds: int = 300
    memory_bytes: int = 512 * 2**20
    output_bytes: int = 2**20


@dataclass(frozen=True)
class Call:
    """One question to an algorithm: the day's bar and the account after the day's fills.

    Attributes
    ----------
    ticker : index in the tickers of the run
    tick : 0-based number of the day
    bar : open, high, low, close, volume
    cash : dollars
    shares : shares held
    """

    ticker: int
    tick: int
    bar: tuple[float, float, float, float, float]
    cash: float
    shares: int


@dataclass(frozen=True)
class CallFailure:
    """A call that raised or answered no order; the algorithm goes on."""

    kind: FailureKind
    reason: str
    line: int | None


Decision = Order | CallFailure | None
"""An order, a failed call, or None for HOLD."""


class RunningAlgorithm:
    """An algorithm in its process, from `Sandbox.start`; a context manager that ends it.

    Attributes
    ----------
    walls : names of the walls that stand around it
    seconds : wall time spent in `decide`, seconds
    calls : number of calls answered
    """

    def __init__(
        self,
        algorithm: Validated,
        tickers: Sequence[str],
        past: Mapping[str, NDArray[np.float64]],
        limits: SandboxLimits,
    ) -> None:
        self.limits = limits
        self.walls: tuple[str, ...] = ()
        self.seconds = 0.0
        self.calls = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._answers = -1
        self._questions = -1
        self._sequence = 0
        self._end = time.monotonic() + limits.wall_seconds
        self._folder = tempfile.mkdtemp(prefix="algorithm-")
        pandas = bool(_NAMES_PANDAS.search(algorithm.source))
        try:
            self._start()
            self._load(algorithm, tickers, past, pandas=pandas)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> RunningAlgorithm:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"RunningAlgorithm({self.calls} calls, walls={', '.join(self.walls)})"

    def decide(self, calls: Sequence[Call]) -> list[Decision]:
        """Return one decision per call, in order; raises `AlgorithmFailed` where it is out."""
        self._sequence += 1
        parts = [wire.STEP.pack(self._sequence, len(calls))]
        parts += [
            wire.CALL.pack(call.ticker, call.tick, *call.bar, call.cash, call.shares)
            for call in calls
        ]
        began = time.perf_counter()
        allowed = len(calls) * self.limits.call_seconds + self.limits.grace_seconds
        deadline = min(time.monotonic() + allowed, self._end)
        self._send(b"".join(parts), deadline)
        size = len(calls) * wire.DECISION.size
        payload = self._receive(wire.DECISIONS, size, deadline)
        self.seconds += time.perf_counter() - began
        self.calls += len(calls)
        return self._read_decisions(payload, len(calls))

    def close(self) -> None:
        """End the process and remove its folder; again does nothing."""
        process = self._process
        if process is not None:
            # The process leads a group of its own, so this reaches whatever it may have started.
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.close()
        if self._answers >= 0:
            os.close(self._answers)
            self._answers = -1
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> None:
        answers, child_end = os.pipe()
        self._answers = answers
        try:
            os.set_blocking(answers, False)
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter
                [
                    *(sys.executable, "-S", "-s", "-P", "-c", _BOOTSTRAP),
                    *(str(_PACKAGE.parent), str(_PACKAGE), str(child_end), *_library_folders()),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=self._folder,
                env=_CHILD_ENVIRONMENT,
                start_new_session=True,
                bufsize=0,
                pass_fds=(child_end,),
            )
        except OSError as error:
            self._fail("start", f"no process could be started: {error.strerror or error}")
        finally:
            os.close(child_end)
        assert self._process.stdin is not None
        self._questions = self._process.stdin.fileno()
        os.set_blocking(self._questions, False)

    def _load(
        self,
        algorithm: Validated,
        tickers: Sequence[str],
        past: Mapping[str, NDArray[np.float64]],
        *,
        pandas: bool,
    ) -> None:
        settings = {
            "call_seconds": self.limits.call_seconds,
            "load_seconds": self.limits.load_seconds,
            "output_bytes": self.limits.output_bytes,
            "memory_bytes": self.limits.memory_bytes,
            "cpu_seconds": self.limits.cpu_seconds,
            "parent": os.getpid(),
            "pandas": pandas,
        }
        deadline = min(time.monotonic() + self.limits.start_seconds, self._end)
        self._send(json.dumps(settings).encode(), deadline)
        # The child has not seen any code yet, so its word about the walls can be believed.
        self.walls = tuple(json.loads(self._receive(wire.READY, 0, deadline)))
        # It keeps the folder as its root; without a name nothing can be put there, and nothing is
        # left over where this process is killed.
        shutil.rmtree(self._folder, ignore_errors=True)
        program = json.dumps(
            {
                "source": algorithm.source,
                "signature": algorithm.signature,
                "order": argument_order(algorithm),
                "tickers": list(tickers),
                "days": [len(past[ticker]) for ticker in tickers],
            }
        ).encode()
        tables = [np.ascontiguousarray(past[ticker], np.float64).tobytes() for ticker in tickers]
        allowed = self.limits.load_seconds + self.limits.grace_seconds
        deadline = min(time.monotonic() + allowed, self._end)
        self._send(b"".join((wire.LENGTH.pack(len(program)), program, *tables)), deadline)
        self._receive(wire.LOADED, 0, deadline)

    def _send(self, message: bytes, deadline: float) -> None:
        left = memoryview(wire.LENGTH.pack(len(message)) + message)
        try:
            while left:
                try:
                    left = left[os.write(self._questions, left) :]
                except BlockingIOError:
                    self._wait(self._questions, select.POLLOUT, deadline)
        except BrokenPipeError:
            # What the child said before it ended is better than that it ended.
            self._receive(wire.FAILED, 0, deadline)
            self._died()

    def _receive(self, kind: int, size: int, deadline: float) -> bytes:
        header = self._read(wire.HEADER.size, deadline)
        found, sequence, length = wire.HEADER.unpack(header)
        notes = wire.MOST_NOTES * (wire.NOTE.size + wire.LONGEST_TEXT)
        if found not in (kind, wire.FAILED) or length > size + notes:
            self._fail("corrupt", "its process wrote something that is not an answer")
        payload = self._read(length, deadline)
        if found == wire.FAILED:
            self._report(payload)
        if sequence != self._sequence:
            self._fail("corrupt", "its process answered another question")
        return payload

    def _read(self, size: int, deadline: float) -> bytes:
        parts: list[bytes] = []
        while size:
            try:
                part = os.read(self._answers, size)
            except BlockingIOError:
                self._wait(self._answers, select.POLLIN, deadline)
                continue
            if not part:
                self._died()
            parts.append(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            if not self.walls:
                self._fail("start", "the sandbox's process was not up in time")
            whole = deadline >= self._end
            self._fail("time", "the whole run took too long" if whole else "a call did not end")

    def _read_decisions(self, payload: bytes, count: int) -> list[Decision]:
        end = count * wire.DECISION.size
        failures: dict[int, CallFailure] = {}
        try:
            for call, kind, line, reason in wire.read_notes(payload[end:]):
                failures[call] = CallFailure(kind, reason, line)
        except ValueError as error:
            self._fail("corrupt", f"its process wrote {error}")
        if len(payload) < end:
            self._fail("corrupt", "its process wrote too few decisions")
        decisions: list[Decision] = []
        for index, (what, quantity) in enumerate(wire.DECISION.iter_unpack(payload[:end])):
            if what == wire.HOLD:
                decisions.append(None)
            elif what == wire.CALL_FAILED:
                unknown = CallFailure("error", "the call failed", None)
                decisions.append(failures.get(index, unknown))
            elif what in _SIDES and (quantity == wire.ALL or 0 < quantity <= wire.LARGEST_QUANTITY):
                decisions.append(Order(_SIDES[what], None if quantity == wire.ALL else quantity))
            else:
                self._fail("corrupt", "its process wrote a decision that does not exist")
        return decisions

    def _report(self, payload: bytes) -> NoReturn:
        try:
            ((_, kind, line, reason),) = wire.read_notes(payload)
        except ValueError:
            self._fail("corrupt", "its process wrote a failure that cannot be read")
        raise AlgorithmFailed(kind, reason, line)

    def _died(self) -> NoReturn:
        assert self._process is not None
        try:
            code = self._process.wait(timeout=self.limits.grace_seconds)
        except subprocess.TimeoutExpired:
            self._fail("corrupt", "its process closed the pipe")
        if not self.walls:
            self._fail("start", f"the sandbox's process ended with status {code} before it was up")
        if code >= 0:
            self._fail("exit", f"it ended its process with status {code}")
        kind, reason = _SIGNALS.get(
            -code, ("crashed", f"its process was killed by {_signal_name(-code)}")
        )
        self._fail(kind, reason)

    def _fail(self, kind: FailureKind, reason: str) -> NoReturn:
        raise AlgorithmFailed(kind, reason)


_SIDES: Final[Mapping[int, Side]] = {wire.BUY: "BUY", wire.SELL: "SELL"}
_SIGNALS: Final[Mapping[int, tuple[FailureKind, str]]] = {
    signal.SIGSYS: ("forbidden", "it made a system call that the sandbox denies"),
    signal.SIGXCPU: ("time", "it used up its processor time"),
    signal.SIGPROF: ("time", "a call took too long"),
}


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _library_folders() -> list[str]:
    folders = []
    for name in ("numpy", "pandas"):
        found = importlib.util.find_spec(name)
        if found is not None and found.origin is not None:
            folders.append(str(Path(found.origin).parents[1]))
    return list(dict.fromkeys(folders))


@dataclass(frozen=True)
class Sandbox:
    """Runs algorithms within limits, each in a process of its own."""

    limits: SandboxLimits = SandboxLimits()

    def start(
        self,
        algorithm: Validated | str,
        tickers: Sequence[str],
        past: Mapping[str, NDArray[np.float64]],
    ) -> RunningAlgorithm:
        """Start a process, build its walls and run the algorithm's module in it.

        Parameters
        ----------
        algorithm : source, or source that `validate` has passed. A text is checked first
        tickers : what the calls' indices mean; each has its own namespace and history
        past : ticker to the bars before the first call, shape (n_days, 5): open, high, low,
            close, volume

        The process ends with the thread that started it. Raises `RefusedCode` where a text does
        not pass the check, `AlgorithmFailed` where its module fails or the process cannot start.
        """
        checked = validate(algorithm) if isinstance(algorithm, str) else algorithm
        return RunningAlgorithm(checked, tickers, past, self.limits)

    def walls(self) -> tuple[str, ...]:
        """Return the walls that stand around an algorithm on this machine, without any of them.

        Raises `AlgorithmFailed` of the kind "start" where the sandbox does not start.
        """
        nothing = Validated("def execute_trade(*_):\n    return 'HOLD'\n", "simple")
        with self.start(nothing, [], {}) as running:
            return running.walls

    def smoke(
        self,
        source: Validated | str,
        bars: TickerBars,
        *,
        warm_up: int = WARM_UP,
        tolerated: int = TOLERATED_FAILURES,
        cash: float = 10_000.0,
    ) -> None:
        """Try the algorithm on `bars`, with all cash and then all shares, as strictly as a race.

        The first `warm_up` bars are its history before the first call, as in a race; fewer where
        no `LEAST_TRIED` bars would be left. A call that fails with less history than a race gives
        does not count.

        Parameters
        ----------
        warm_up : days of history that the race gives before its first call
        tolerated : failed calls that the race allows

        Raises `RefusedCode`, or `AlgorithmFailed` for the first call that failed, where more
        calls failed than are tolerated, or all of them.
        """
        table = bars.table()
        past = max(0, min(warm_up, len(table) - LEAST_TRIED))
        failures: list[CallFailure] = []
        counted = 0
        with self.start(source, [bars.ticker], {bars.ticker: table[:past]}) as running:
            for tick, row in enumerate(table[past:]):
                open_, high, low, close, volume = map(float, row)
                # Both sides of the code are walked: with cash, and with shares.
                shares = int(cash // close) if tick % 2 else 0
                bar = (open_, high, low, close, volume)
                call = Call(0, tick, bar, 0.0 if shares else cash, shares)
                (decision,) = running.decide([call])
                if isinstance(decision, CallFailure):
                    failures.append(decision)
                    counted += past + tick >= warm_up
                    if counted > tolerated:
                        break
        if counted > tolerated or (failures and len(failures) == len(table) - past):
            first = failures[0]
            raise AlgorithmFailed(first.kind, first.reason, first.line)
