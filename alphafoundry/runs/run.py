"""The life of one run: recorded when it begins, kept alive by a heartbeat, closed when it ends."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from alphafoundry.errors import FoundryError, RunStopped, StoreError, TakenOver
from alphafoundry.runs.progress import NoProgress, Progress
from alphafoundry.runs.stop import Stop
from alphafoundry.store import DataOrigin, Store, beat, begin_run, finish_run

HEARTBEAT_SECONDS = 30.0

PRESUMED_DEAD = (
    "this run was presumed dead; another has taken over its work. What had finished is saved; "
    "start it again when the other has ended"
)

Ending = Literal["finished", "interrupted", "failed"]

_log = logging.getLogger(__name__)
_open: dict[int, Run] = {}


class Run:
    """One run of a flow, an agent or a process. Made by `open_run`.

    Attributes
    ----------
    store, id : the database, and the row of the run in it
    flow : what runs, such as "daily"
    progress : where it shows how far it is
    stop : set when it was asked to end
    report : JSON values that are stored with the row when the run ends
    presumed_dead : whether the row says that the run has ended although it had not
    """

    def __init__(
        self, store: Store, run_id: int, *, flow: str, progress: Progress, stop: Stop
    ) -> None:
        self.store = store
        self.id = run_id
        self.flow = flow
        self.progress = progress
        self.stop = stop
        self.report: Mapping[str, Any] | None = None
        self.presumed_dead = False
        self._began = time.monotonic()
        self._over = threading.Event()
        self._ending = threading.Lock()
        self._heart = threading.Thread(
            target=self._keep_beating, daemon=True, name=f"heartbeat of run {run_id}"
        )
        _open[id(self)] = self
        self._heart.start()

    def __repr__(self) -> str:
        return f"Run({self.id}, {self.flow!r}, {self.seconds:.0f} s)"

    @property
    def seconds(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._began

    def check_not_stopped(self) -> None:
        """Raise RunStopped once the run was asked to end."""
        if self.stop.is_set():
            raise RunStopped

    def beat(self) -> bool:
        """Give a sign of life; False, and the run is asked to stop, where it is presumed dead.

        Raises
        ------
        StoreError : the database does not answer
        """
        alive = beat(self.store, self.id)
        if not alive:
            self._is_presumed_dead()
        return alive

    def end(self, ending: Ending, reason: str | None = None) -> None:
        """Record how the run ended, once; `reason` is kept as "error" of the stored report.

        Raises
        ------
        StoreError : the database does not answer; another run will find this one dead
        """
        with self._ending:
            if self._over.is_set():
                return
            self._over.set()
        _open.pop(id(self), None)
        report = self.report
        if reason is not None:
            report = {**(report or {}), "error": reason}
        if not finish_run(self.store, self.id, ending, report):
            self._is_presumed_dead()

    def _is_presumed_dead(self) -> None:
        if not self.presumed_dead:
            self.presumed_dead = True
            self.progress.say(
                "This run was presumed dead; another has taken over its work: stopping"
            )
            self.stop.set(PRESUMED_DEAD)

    def _keep_beating(self) -> None:
        # A thread, because an event loop that works on something large gives no sign of life.
        while not self._over.wait(HEARTBEAT_SECONDS):
            try:
                if not self.beat():
                    return
            except Exception as problem:
                _log.warning("run %d could not give a sign of life: %s", self.id, problem)


@contextlib.contextmanager
def open_run(
    store: Store,
    *,
    flow: str,
    service: str,
    market_label: str | None = None,
    seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
    data: DataOrigin | None = None,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> Iterator[Run]:
    """Record a run for the length of the block, keep it alive, and record how it ended.

    It ends as finished; as interrupted where it was asked to stop, cancelled, or presumed dead;
    and as failed, with the reason, after any other exception.

    Parameters
    ----------
    service : what it works against, such as "local:<fingerprint>"
    market_label : one line that names its market
    settings : of the run, without secrets
    data : the market and data version that it works on

    Raises
    ------
    TakenOver : at the end, where the run was presumed dead and another has its work
    StoreError : the row cannot be written
    """
    row = begin_run(
        store,
        flow=flow,
        service=service,
        market_label=market_label,
        seed=seed,
        settings=settings,
        data=data,
    )
    run = Run(store, row.id, flow=flow, progress=progress or NoProgress(), stop=stop or Stop())
    try:
        yield run
    except BaseException as problem:
        interrupted = run.stop.is_set() or not isinstance(problem, Exception)
        with contextlib.suppress(StoreError):
            if interrupted:
                run.end("interrupted")
            else:
                run.end("failed", _reason(problem))
        if run.presumed_dead and isinstance(problem, Exception):
            raise TakenOver(PRESUMED_DEAD) from problem
        raise
    run.end("interrupted" if run.stop.is_set() else "finished")
    if run.presumed_dead:
        raise TakenOver(PRESUMED_DEAD)


def interrupt_open_runs(seconds: float = 1.0) -> None:
    """Record every open run of this process as interrupted, because the process ends now.

    Parameters
    ----------
    seconds : most that it takes, whatever hangs; a run whose row could not be written is found
        dead by the next one
    """

    def record() -> None:
        for run in list(_open.values()):
            with contextlib.suppress(Exception):
                run.end("interrupted")

    recording = threading.Thread(target=record, daemon=True)
    recording.start()
    recording.join(seconds)


def _reason(problem: BaseException) -> str:
    """Return why a run failed; the text of a foreign exception might hold anything."""
    return str(problem) if isinstance(problem, FoundryError) else type(problem).__name__
