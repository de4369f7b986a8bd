"""Tables of an alpha that are not kept: the alpha is simulated again when one is asked for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from alphafoundry.simulation.result import SimulationResult

_log = logging.getLogger(__name__)

MOST_KEPT = 64
"""Results that stay in memory."""


class Repeater:
    """Computes the tables of an alpha that are not kept, by simulating it again in a thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._results: dict[str, SimulationResult | None] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="record-set")

    def result(
        self, alpha: str, simulate: Callable[[], SimulationResult]
    ) -> SimulationResult | None:
        """Return the result where it is there; otherwise begin to compute it by `simulate`."""
        with self._lock:
            if alpha in self._results:
                return self._results[alpha]
            while len(self._results) >= MOST_KEPT:
                del self._results[next(iter(self._results))]
            self._results[alpha] = None
        self._pool.submit(self._compute, alpha, simulate)
        return None

    def _compute(self, alpha: str, simulate: Callable[[], SimulationResult]) -> None:
        try:
            result = simulate()
        except Exception:
            _log.exception("alpha %s could not be simulated again", alpha)
            with self._lock:
                self._results.pop(alpha, None)
        else:
            with self._lock:
                self._results[alpha] = result

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown(wait=True, cancel_futures=True)
