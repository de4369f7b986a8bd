"""Simulations that run: a few at a time in threads, the rest is turned away."""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from alphafoundry.brain.service.alpha_document import (
    KEPT_RECORD_SETS,
    alpha_document,
    alpha_id,
    content_key,
)
from alphafoundry.brain.service.choices import SimulationRequest
from alphafoundry.brain.service.quotas import Clock, eastern_day
from alphafoundry.brain.service.state import AlreadyThereError, NewAlpha, State
from alphafoundry.errors import ExpressionError, FoundryError
from alphafoundry.simulation.simulator import SimulationResult, Simulator

_log = logging.getLogger(__name__)

MOST_PROGRESS = 0.95
MOST_ATTEMPTS = 5


class TooManyRunningError(Exception):
    """As many simulations run as may."""


class QuotaUsedUpError(Exception):
    """As many simulations were made today as may."""


@dataclass
class _Job:
    id: str
    request: SimulationRequest
    day: date
    started: float
    stop: threading.Event = field(default_factory=threading.Event)


class Runner:
    """Runs simulations in threads, and keeps each result before it says that it is finished.

    Parameters
    ----------
    service : name of the service, part of each alpha's id
    max_concurrent : simulations at the same time
    daily_simulations : successful ones per US Eastern day, None is no limit
    simulation_seconds : least duration of a successful one

    Attributes
    ----------
    peak_running : most simulations that ran at the same time
    finished : simulations that ended, in whatever way
    busy_seconds : seconds that simulations took, added up
    span_seconds : seconds from the first one's start to the last one's end
    """

    def __init__(
        self,
        simulator: Simulator,
        state: State,
        *,
        service: str,
        max_concurrent: int,
        daily_simulations: int | None,
        simulation_seconds: float,
        now: Clock,
    ) -> None:
        self._simulator = simulator
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

    def left_today(self) -> int | None:
        """Return how many simulations may still be made today, None without a quota."""
        with self._lock:
            return self._left(eastern_day(self._now()))

    def _left(self, day: date) -> int | None:
        if self._daily_simulations is None:
            return None
        running = sum(job.day == day for job in self._jobs.values())
        return max(0, self._daily_simulations - running - self._state.simulations_of(day))

    def start(self, request: SimulationRequest) -> str:
        """Begin a simulation; return its id.

        Raises QuotaUsedUpError or TooManyRunningError.
        """
        with self._lock:
            day = eastern_day(self._now())
            if self._left(day) == 0:
                raise QuotaUsedUpError
            if len(self._jobs) >= self._max_concurrent:
                raise TooManyRunningError
            job = _Job(secrets.token_hex(12), request, day, time.monotonic())
            self._jobs[job.id] = job
        self._pool.submit(self._run, job)
        return job.id

    def progress(self, simulation_id: str) -> float | None:
        """Return how far a running simulation is, 0 to 0.95; None where it does not run."""
        with self._lock:
            job = self._jobs.get(simulation_id)
        if job is None:
            return None
        share = (time.monotonic() - job.started) / max(self._simulation_seconds, 1.0)
        return round(min(MOST_PROGRESS, share), 2)

    def cancel(self, simulation_id: str) -> bool:
        """Stop a running simulation and free its place; False where it does not run."""
        with self._lock:
            job = self._jobs.get(simulation_id)
            if job is None or job.stop.is_set():
                return False
            job.stop.set()
            self._keep(job, {"status": "CANCELLED"})
            del self._jobs[simulation_id]
        return True

    def _run(self, job: _Job) -> None:
        with self._lock:
            if self._first_start is None:
                self._first_start = job.started
            self._computing += 1
            self.peak_running = max(self.peak_running, self._computing)
        try:
            end, result = self._outcome(job)
            with self._lock:
                if job.id in self._jobs and not job.stop.is_set():
                    self._keep(job, end, result)
        except Exception:
            _log.exception("simulation %s could not be kept", job.id)
        finally:
            with self._lock:
                self._computing -= 1
                self.finished += 1
                now = time.monotonic()
                self.busy_seconds += now - job.started
                self.span_seconds = now - (self._first_start or now)
                self._jobs.pop(job.id, None)

    def _outcome(self, job: _Job) -> tuple[dict[str, Any], SimulationResult | None]:
        try:
            result = self._simulator.simulate(job.request.expression, job.request.settings)
        except ExpressionError as problem:
            return {
                "status": "ERROR",
                "message": problem.message,
                "location": {
                    "line": problem.line,
                    "start": problem.column - 1,
                    "end": problem.end_column - 1,
                    "property": "regular",
                },
            }, None
        except FoundryError as problem:
            return {"status": "ERROR", "message": str(problem)}, None
        except Exception:
            _log.exception("simulation of %r failed", job.request.expression)
            message = "The simulation failed in the simulator; its log says more."
            return {"status": "FAIL", "message": message}, None
        job.stop.wait(job.started + self._simulation_seconds - time.monotonic())
        return {"status": "WARNING" if result.warnings else "COMPLETE"}, result

    def _keep(
        self, job: _Job, end: Mapping[str, Any], result: SimulationResult | None = None
    ) -> None:
        answer = {"id": job.id, **job.request.body, **end}
        if result is None:
            self._state.keep_simulation(answer, day=job.day)
            return
        for attempt in range(MOST_ATTEMPTS):
            alpha = self._new_alpha(job, result, attempt)
            # Another process on the same file may have made the same alpha meanwhile.
            with contextlib.suppress(AlreadyThereError):
                self._state.keep_simulation({**answer, "alpha": alpha.id}, day=job.day, alpha=alpha)
                return
        raise AlreadyThereError(job.id)

    def _new_alpha(self, job: _Job, result: SimulationResult, attempt: int) -> NewAlpha:
        key = content_key(result.expression.canonical, job.request.settings)
        identity = alpha_id(self._service, key, self._state.alphas_with(key) + attempt)
        created = self._now()
        return NewAlpha(
            id=identity,
            content_key=key,
            created=created,
            document=alpha_document(result, alpha=identity, created=created),
            days=result.dates,
            dollars=result.daily_pnl,
            record_sets={
                name: result.record_set(name)
                for name in KEPT_RECORD_SETS
                if name in result.record_set_names
            },
            record_set_names=result.record_set_names,
            fields=result.expression.fields,
        )
