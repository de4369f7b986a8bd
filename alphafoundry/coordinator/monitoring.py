"""Measurements while a workflow runs, and alerts where a threshold is crossed."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from pathlib import Path

import psutil

from alphafoundry.clock import utc_now
from alphafoundry.coordinator.document import WorkflowDocument
from alphafoundry.coordinator.machine_sections import MonitoringSection
from alphafoundry.errors import StoreError
from alphafoundry.store import AlertRow, SampleRow, Store, record_sample

_log = logging.getLogger(__name__)


class Monitor:
    """Samples the machine and the run every `metrics_interval` in a thread of its own.

    Use as a context manager. One sample is taken at the start and one at the end, so that a run
    shorter than the interval has both.
    """

    def __init__(
        self, store: Store, run_id: int, document: WorkflowDocument, *, home: Path
    ) -> None:
        self._store = store
        self._run_id = run_id
        self._section: MonitoringSection = (
            document.monitoring or document.coordinator.monitoring or MonitoringSection()
        )
        self._home = home
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._phases: list[str] = []
        self._trials = 0
        self._left_out = 0
        self._work_seconds = 0.0
        self._raised: set[str] = set()
        self._last_check = 0.0
        self.alerts: list[str] = []

    def __enter__(self) -> Monitor:
        if self._section.enable_metrics:
            psutil.cpu_percent()
            self._sample()
            self._thread = threading.Thread(target=self._watch, daemon=True, name="monitor")
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._thread is not None:
            self._thread.join()
            self._sample(check=True)

    def begin(self, phase: str) -> None:
        """Count a phase as under way."""
        with self._lock:
            self._phases.append(phase)

    def end(self, phase: str) -> None:
        """Count it as over."""
        with self._lock, contextlib.suppress(ValueError):
            self._phases.remove(phase)

    def count(self, *, trials: int, left_out: int, seconds: float) -> None:
        """Count trials that were worked on, those left out among them, and their work."""
        with self._lock:
            self._trials += trials
            self._left_out += left_out
            self._work_seconds += seconds

    def _watch(self) -> None:
        while not self._done.wait(self._section.metrics_interval):
            now = time.monotonic()
            check = now - self._last_check >= self._section.health_check_interval
            self._last_check = now if check else self._last_check
            self._sample(check=check)

    def _sample(self, *, check: bool = True) -> None:
        with self._lock:
            trials, left_out, seconds = self._trials, self._left_out, self._work_seconds
            phase = ", ".join(self._phases)
        memory, workers = _memory_of_the_run()
        sample = SampleRow(
            run_id=self._run_id,
            at=utc_now(),
            phase=phase,
            memory_percent=psutil.virtual_memory().percent,
            cpu_percent=psutil.cpu_percent(),
            disk_percent=psutil.disk_usage(str(self._home)).percent,
            workflow_memory=memory,
            workers=workers,
            trials_done=trials,
            trials_left_out=left_out,
            trial_seconds=seconds / trials if trials else None,
        )
        alerts = self._alerts(sample) if check else []
        try:
            record_sample(self._store, sample, alerts)
        except StoreError as problem:
            # A measurement is not worth the run: the next one may be written again.
            _log.warning("a measurement was not kept: %s", problem)

    def _alerts(self, sample: SampleRow) -> list[AlertRow]:
        """Return an alert for each threshold that is crossed now and was not before."""
        limits = self._section.alerts
        failed = 100.0 * sample.trials_left_out / sample.trials_done if sample.trials_done else 0.0
        values = {
            "memory_percent": (sample.memory_percent, limits.memory_percent, "memory in use, %"),
            "cpu_percent": (sample.cpu_percent, limits.cpu_percent, "processor in use, %"),
            "disk_percent": (sample.disk_percent, limits.disk_percent, "disk in use, %"),
            "failed_trials_percent": (failed, limits.failed_trials_percent, "trials left out, %"),
            "trial_seconds": (
                sample.trial_seconds or 0.0,
                limits.trial_seconds,
                "seconds of one trial",
            ),
        }
        alerts = []
        for kind, (value, limit, words) in values.items():
            if limit is None or value <= limit:
                self._raised.discard(kind)
            elif kind not in self._raised:
                self._raised.add(kind)
                message = f"{words}: {value:.3g} is above {limit:g}"
                self.alerts.append(message)
                _log.warning("alert: %s", message)
                alerts.append(
                    AlertRow(
                        run_id=self._run_id,
                        at=sample.at,
                        kind=kind,
                        value=value,
                        threshold=limit,
                        message=message,
                    )
                )
        return alerts


def _memory_of_the_run() -> tuple[int, int]:
    """Return bytes held by this process and its workers, and how many workers there are."""
    here = psutil.Process()
    total = here.memory_info().rss
    workers = 0
    for child in here.children(recursive=True):
        with contextlib.suppress(psutil.Error):
            command = " ".join(child.cmdline())
            if "alphafoundry.coordinator.worker" in command:
                workers += 1
                total += child.memory_info().rss
    return total, workers
