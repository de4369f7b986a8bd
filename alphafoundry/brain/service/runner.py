"""Simulations that run: a few at a time in threads, the rest is turned away."""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from alphafoundry.brain.service.alpha_document import (
    KEPT_RECORD_SETS,
    alpha_document,
    alpha_id,
    content_key,
)
from alphafoundry.brain.service.alpha_rows import NewAlpha
from alphafoundry.brain.service.choices import SimulationRequest
from alphafoundry.brain.service.multi_simulation import COMMON_SETTINGS
from alphafoundry.brain.service.service_store import State
from alphafoundry.brain.service.simulation_requests import Simulations, fields_of, place_of_error
from alphafoundry.brain.service.simulation_rows import AlreadyThereError
from alphafoundry.clock import Clock, eastern_day
from alphafoundry.errors import ExpressionError, FoundryError
from alphafoundry.market.identity import DataVersion
from alphafoundry.simulation.result import SimulationResult

_log = logging.getLogger(__name__)

MOST_PROGRESS = 0.95
MOST_ATTEMPTS = 5
SUCCEEDED = ("COMPLETE", "WARNING")


class TooManyRunningError(Exception):
    """As many simulations run as may."""


class QuotaUsedUpError(Exception):
    """As many simulations were made today as may."""


@dataclass
class _Single:
    id: str
    request: SimulationRequest
    parent: str | None = None


@dataclass
class _Job:
    """What holds one place: a simulation, or several that run one after another.

    parent : id of what is answered for several; None for a simulation of its own
    answer : how it has ended, once that is kept
    over : done with `answer` when the place is free again
    """

    simulations: tuple[_Single, ...]
    parent: str | None
    day: date
    started: float
    stop: threading.Event = field(default_factory=threading.Event)
    kept: int = 0
    answer: Mapping[str, Any] | None = None
    over: Future[Mapping[str, Any] | None] = field(default_factory=Future)

    @property
    def id(self) -> str:
        return self.parent or self.simulations[0].id

    def end(self) -> None:
        """Tell those who wait that the place is free."""
        if not self.over.done():
            self.over.set_result(self.answer)


class Runner:
    """Runs simulations in threads, and keeps each result before it says that it is finished.

    Parameters
    ----------
    service : name of the service, part of each alpha's id
    max_concurrent : simulations at the same time
    daily_simulations : successful ones per US Eastern day, None is no limit
    simulation_seconds : least duration of a successful one
    version : of the data that is simulated on

    Attributes
    ----------
    peak_running : most simulations that ran at the same time
    finished : simulations that ended, in whatever way
    busy_seconds : seconds that simulations took, added up
    span_seconds : seconds from the first one's start to the last one's end
    """

    def __init__(
        self,
        simulations: Simulations,
        state: State,
        *,
        service: str,
        max_concurrent: int,
        daily_simulations: int | None,
        simulation_seconds: float,
        now: Clock,
        version: DataVersion,
    ) -> None:
        self._version = version
        self._simulations = simulations
        self._state = state
        self._service = service
        self._max_concurrent = max_concurrent
        self._daily_simulations = daily_simulations
        self._simulation_seconds = simulation_seconds
        self._now = now
        self._lock = threading.Lock()
        self._jobs: dict[str, _Job] = {}
        self._computing = 0
        self._pool = ThreadPoolExecutor(max_concurrent, thread_name_prefix="simulation")
        self.peak_running = 0
        self.finished = 0
        self.busy_seconds = 0.0
        self.span_seconds = 0.0
        self._first_start: float | None = None

    def close(self) -> None:
        """Stop the simulations that run; they are lost."""
        with self._lock:
            for job in self._jobs.values():
                job.stop.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        with self._lock:
            for job in self._jobs.values():
                job.end()

    def left_today(self) -> int | None:
        """Return how many simulations may still be made today, None without a quota."""
        with self._lock:
            return self._left(eastern_day(self._now()))

    def _left(self, day: date) -> int | None:
        if self._daily_simulations is None:
            return None
        running = sum(
            len(job.simulations) - job.kept for job in self._jobs.values() if job.day == day
        )
        return max(0, self._daily_simulations - running - self._state.simulations.count_of(day))

    def start(self, request: SimulationRequest) -> str:
        """Begin a simulation; return its id.

        Raises QuotaUsedUpError or TooManyRunningError.
        """
        return self._begin((_Single(_new_id(), request),), None)

    def start_several(self, requests: Sequence[SimulationRequest]) -> str:
        """Begin simulations that run one after another in one place; return their parent's id.

        Raises QuotaUsedUpError or TooManyRunningError.
        """
        parent = _new_id()
        children = tuple(_Single(_new_id(), request, parent) for request in requests)
        return self._begin(children, parent)

    def _begin(self, simulations: tuple[_Single, ...], parent: str | None) -> str:
        with self._lock:
            day = eastern_day(self._now())
            left = self._left(day)
            if left is not None and left < len(simulations):
                raise QuotaUsedUpError
            if len(self._jobs) >= self._max_concurrent:
                raise TooManyRunningError
            job = _Job(simulations, parent, day, time.monotonic())
            self._jobs[job.id] = job
        self._pool.submit(self._run, job)
        return job.id

    def progress(self, simulation_id: str) -> float | None:
        """Return how far a running simulation is, 0 to 0.95; None where it does not run."""
        with self._lock:
            job = self._jobs.get(simulation_id)
        if job is None:
            return None
        usual = max(self._simulation_seconds, 1.0) * len(job.simulations)
        share = (time.monotonic() - job.started) / usual
        return round(min(MOST_PROGRESS, share), 2)

    def end_of(self, simulation_id: str) -> Future[Mapping[str, Any] | None] | None:
        """Return a future of a running simulation's answer; None where it does not run.

        The future gives None where the simulation is lost.
        """
        # Not under the lock, which is held while a result is written: an event loop asks this.
        job = self._jobs.get(simulation_id)
        return None if job is None else job.over

    def cancel(self, simulation_id: str) -> bool:
        """Stop a running simulation and free its place; False where it does not run."""
        with self._lock:
            job = self._jobs.get(simulation_id)
            if job is None or job.stop.is_set():
                return False
            job.stop.set()
            self._end(job, "CANCELLED")
            del self._jobs[simulation_id]
            job.end()
        return True

    def _run(self, job: _Job) -> None:
        with self._lock:
            if self._first_start is None:
                self._first_start = job.started
            self._computing += 1
            self.peak_running = max(self.peak_running, self._computing)
        try:
            self._run_all(job)
        except Exception:
            _log.exception("simulation %s could not be kept", job.id)
        finally:
            with self._lock:
                self._computing -= 1
                self.finished += len(job.simulations)
                now = time.monotonic()
                self.busy_seconds += now - job.started
                self.span_seconds = now - (self._first_start or now)
                self._jobs.pop(job.id, None)
                job.end()

    def _run_all(self, job: _Job) -> None:
        """Run the simulations in turn; the first that fails cancels those after it."""
        statuses: list[str] = []
        for single in job.simulations:
            end, result = self._outcome(single.request, job.stop)
            with self._lock:
                if job.id not in self._jobs or job.stop.is_set():
                    return
                self._keep(job, single, end, result)
                statuses.append(end["status"])
                if end["status"] not in SUCCEEDED:
                    break
        if job.parent is not None:
            failed = statuses[-1] not in SUCCEEDED
            with self._lock:
                if job.id in self._jobs and not job.stop.is_set():
                    self._end(job, "ERROR" if failed else "COMPLETE")

    def _end(self, job: _Job, status: str) -> None:
        """Keep that what has not run never will, and how the parent ended."""
        for single in job.simulations[job.kept :]:
            self._keep(job, single, {"status": "CANCELLED"})
        if job.parent is None:
            return
        body = job.simulations[0].request.body
        answer = {
            "id": job.parent,
            "children": [single.id for single in job.simulations],
            "type": body["type"],
            "settings": {name: body["settings"][name] for name in COMMON_SETTINGS},
            "status": status,
        }
        self._state.simulations.keep(answer, day=job.day)
        job.answer = answer

    def _outcome(
        self, request: SimulationRequest, stop: threading.Event
    ) -> tuple[dict[str, Any], SimulationResult | None]:
        started = time.monotonic()
        try:
            result = self._simulations.simulate(request)
        except ExpressionError as problem:
            return {
                "status": "ERROR",
                "message": problem.message,
                "location": {
                    "line": problem.line,
                    "start": problem.column - 1,
                    "end": problem.end_column - 1,
                    "property": place_of_error(request, problem),
                },
            }, None
        except FoundryError as problem:
            return {"status": "ERROR", "message": str(problem)}, None
        except Exception:
            _log.exception("simulation of %r failed", request.expression)
            message = "The simulation failed in the simulator; its log says more."
            return {"status": "FAIL", "message": message}, None
        stop.wait(started + self._simulation_seconds - time.monotonic())
        return {"status": "WARNING" if result.warnings else "COMPLETE"}, result

    def _keep(
        self,
        job: _Job,
        single: _Single,
        end: Mapping[str, Any],
        result: SimulationResult | None = None,
    ) -> None:
        family = {"parent": single.parent} if single.parent else {}
        answer = {"id": single.id, **family, **single.request.body, **end}
        job.kept += 1
        answer |= self._store(answer, job.day, result)
        if job.parent is None:
            job.answer = answer

    def _store(
        self, answer: Mapping[str, Any], day: date, result: SimulationResult | None
    ) -> dict[str, str]:
        """Store the answer to a simulation; return what its alpha adds to it."""
        if result is None:
            self._state.simulations.keep(answer, day=day)
            return {}
        for attempt in range(MOST_ATTEMPTS):
            alpha = self._new_alpha(result, attempt)
            added = {"alpha": alpha.id}
            # Another process on the same file may have made the same alpha meanwhile.
            with contextlib.suppress(AlreadyThereError):
                self._state.simulations.keep({**answer, **added}, day=day, alpha=alpha)
                return added
        raise AlreadyThereError(answer["id"])

    def _new_alpha(self, result: SimulationResult, attempt: int) -> NewAlpha:
        key = content_key(result)
        identity = alpha_id(self._service, key, self._state.alphas.count_of(key) + attempt)
        created = self._now()
        return NewAlpha(
            id=identity,
            content_key=key,
            created=created,
            document=alpha_document(result, alpha=identity, created=created, version=self._version),
            days=result.dates,
            dollars=result.daily_pnl,
            record_sets={
                name: result.record_set(name)
                for name in KEPT_RECORD_SETS
                if name in result.record_set_names
            },
            record_set_names=result.record_set_names,
            fields=fields_of(result),
        )


def _new_id() -> str:
    return secrets.token_hex(12)
