"""A process that does batches for another one, within limits: `WorkerPool` starts it.

It reads one JSON request per line from standard input. On standard output it says {"begun"} when
the kernels are compiled and the clock of the request may start, {"trial"} when a trial of the
user's own begins, then gives the answer, one line each. It ends when its input closes, which the
kernel does however the parent dies.
"""

from __future__ import annotations

import json
import os
import queue
import resource
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from alphafoundry.backtest import run_trials
from alphafoundry.coordinator.bars_folder import load_bars
from alphafoundry.coordinator.batches import perform
from alphafoundry.coordinator.identity import code_version
from alphafoundry.coordinator.strategies import source_from_json
from alphafoundry.errors import CannotKeep, OtherCode

_PAGE = resource.getpagesize()


def _address_space() -> int:
    """Return the bytes of address space that this process has reserved."""
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123
        return int(file.read().split()[0]) * _PAGE


def _limit_memory(least: int | None) -> None:
    """Allow `least` bytes more than the process has now; None lifts the limit."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    soft = hard if least is None else _address_space() + least
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _limit_processor(seconds: float | None) -> None:
    """Let the kernel end this process after so many more seconds of processor time."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = hard if seconds is None else int(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


_EMBEDDED: dict[str, Any] = {"type": "moving_average_cross", "template": None, "defaults": []}
_warm: set[str] = set()


def _warm_up(request: Mapping[str, Any]) -> None:
    """Compile kernels before a limit of time or memory counts the compiler.

    A strategy of the user's own is not called here, where nothing limits it; the kernels that
    trade its signals are compiled with an embedded one.
    """
    batch = request["batch"]
    given = batch["options"].get("strategy")
    own = given is None or ":" in given["type"]
    known = _EMBEDDED if own else given
    if json.dumps(known) in _warm:
        return
    bars = load_bars(request["setting"]["bars"])
    run_trials(
        bars.between(0, min(8, bars.shape[0])),
        source_from_json(known).strategy(),
        [{}] if own else batch["items"][:1],
    )
    _warm.add(json.dumps(known))


def answer(
    request: Mapping[str, Any], begin: Callable[[], None], trial: Callable[[int], None]
) -> dict[str, Any]:
    """Do one request and return what to say about it.

    begin : called when its time starts; trial : called when one of its trials begins
    """
    under_way: int | None = None

    def announce(place: int) -> None:
        nonlocal under_way
        under_way = place
        trial(place)

    try:
        _warm_up(request)
        begin()
        _limit_memory(request.get("memory"))
        _limit_processor(request.get("cpu_seconds"))
        try:
            done = perform(request["setting"], request["batch"], announce)
        finally:
            _limit_memory(None)
            _limit_processor(None)
        return {"done": done}
    except (CannotKeep, OtherCode) as problem:
        return _error("machine", str(problem), None)
    except MemoryError:
        limit = request.get("memory")
        limited = "" if limit is None else f" than {limit / 1024**2:.0f} MB"
        return _error("memory", f"needed more memory{limited}", under_way)
    except Exception as problem:
        text = " ".join(str(problem).split()) or "no message"
        return _error("raised", f"{type(problem).__name__}: {text}", under_way)


def _error(kind: str, message: str, place: int | None) -> dict[str, Any]:
    return {"error": {"kind": kind, "message": message, "place": place}}


def main() -> None:
    """Answer requests until the input closes."""
    code_version()  # what the files hold now is what this process has imported
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # Whatever a strategy prints must not get between the answers.
    os.dup2(2, 1)
    requests: queue.SimpleQueue[str] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            requests.put(line)
        os._exit(0)

    threading.Thread(target=read, daemon=True, name="requests").start()

    def say(line: dict[str, Any]) -> None:
        output.write(json.dumps(line) + "\n")
        output.flush()

    while True:
        say(
            answer(
                json.loads(requests.get()),
                lambda: say({"begun": True}),
                lambda place: say({"trial": place}),
            )
        )


if __name__ == "__main__":
    main()
