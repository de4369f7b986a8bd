"""The sections of a workflow document on machines: runners, limits, measurements."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    Field,
    model_validator,
)

from alphafoundry.coordinator.document_values import Bytes, Number, Section, Text, Whole

TaskRunnerName = Literal["auto", "in_process", "threads", "processes", "dask"]


class InfrastructureSection(Section):
    """Where the work runs.

    task_runner : in_process (one after another), threads, processes (isolated, with limits) or
        dask; auto chooses
    scheduler_address : of a running Dask cluster; left out, one is started on this machine
    """

    task_runner: TaskRunnerName = "auto"
    max_workers: Annotated[Whole, Field(ge=1, le=1000)] | None = None
    max_memory_gb: Annotated[Number, Field(gt=0)] | None = None
    max_cpu_cores: Annotated[Number, Field(gt=0)] | None = None
    container_pool_size: Annotated[Whole, Field(ge=1, le=1000)] = 100
    container_timeout_seconds: Annotated[Number, Field(gt=0)] = 3600.0
    scheduler_address: Text | None = None
    batch_size: Annotated[Whole, Field(ge=1, le=10_000)] | None = None


class AlertSection(Section):
    """Thresholds that raise an alert; percentages, seconds for trial_seconds."""

    memory_percent: Annotated[Number, Field(gt=0, le=100)] = 90.0
    cpu_percent: Annotated[Number, Field(gt=0)] = 101.0
    disk_percent: Annotated[Number, Field(gt=0, le=100)] = 95.0
    failed_trials_percent: Annotated[Number, Field(ge=0, le=100)] = 10.0
    trial_seconds: Annotated[Number, Field(gt=0)] | None = None


class MonitoringSection(Section):
    """What is measured while the workflow runs; intervals in seconds."""

    enable_metrics: bool = True
    metrics_interval: Annotated[Number, Field(ge=0.1)] = 10.0
    health_check_interval: Annotated[Number, Field(ge=0.1)] = 30.0
    alerts: AlertSection = AlertSection()


class ResourceLimits(Section):
    """What one trial (the document's container) may use.

    memory_per_container : "512MB", "2GB"
    cpu_per_container : cores
    cpu_seconds : processor time, None is without a limit
    """

    memory_per_container: Bytes | None = None
    memory_gb: Annotated[Number, Field(gt=0)] | None = None
    cpu_per_container: Annotated[Number, Field(gt=0)] | None = None
    cpu_cores: Annotated[Number, Field(gt=0)] | None = None
    cpu_seconds: Annotated[Number, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _once(self) -> ResourceLimits:
        if self.memory_per_container is not None and self.memory_gb is not None:
            raise ValueError("has both memory_per_container and memory_gb; leave one out")
        if self.cpu_per_container is not None and self.cpu_cores is not None:
            raise ValueError("has both cpu_per_container and cpu_cores; leave one out")
        return self

    @property
    def memory(self) -> int | None:
        """Bytes, None without a limit."""
        if self.memory_gb is not None:
            return int(self.memory_gb * 1024**3)
        return self.memory_per_container

    @property
    def cores(self) -> float | None:
        """Cores, None where nothing is said."""
        return self.cpu_cores if self.cpu_cores is not None else self.cpu_per_container
