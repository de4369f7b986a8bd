"""Prefect's task runner for the work of a workflow: threads, processes, or Dask."""

from __future__ import annotations

from typing import Any

from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from alphafoundry.coordinator.planning import RunnerChoice
from alphafoundry.errors import ConfigurationError


def task_runner(choice: RunnerChoice, scheduler_address: str | None) -> TaskRunner[Any]:
    """Return the runner.

    With "processes", threads of this process hand batches to worker processes, which have limits
    and can be ended; Prefect's own process pool has neither.

    Raises ConfigurationError where Dask is asked for and not installed.
    """
    if choice.name != "dask":
        return ThreadPoolTaskRunner(max_workers=choice.workers)
    try:
        from prefect_dask.task_runners import DaskTaskRunner
    except ModuleNotFoundError:
        raise ConfigurationError(
            "task_runner dask needs prefect-dask; run make install EXTRAS=dask"
        ) from None
    if scheduler_address is not None:
        return DaskTaskRunner(address=scheduler_address)
    return DaskTaskRunner(
        cluster_kwargs={
            "n_workers": choice.workers,
            "threads_per_worker": 1,
            "dashboard_address": None,
        }
    )
