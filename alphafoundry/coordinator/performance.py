"""Where the time of a workflow went, and what would make it faster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from alphafoundry.coordinator.resources import Usage
from alphafoundry.coordinator.results import PhaseResult
from alphafoundry.store import SampleRow


def analyse(
    *,
    total_seconds: float,
    results: Mapping[str, PhaseResult],
    samples: Sequence[SampleRow],
    alerts: Sequence[str],
    usage: Usage,
    workers: int,
) -> dict[str, Any]:
    """Return the analysis of a run that ended.

    Parameters
    ----------
    results : phase to its result, with `seconds` of the clock and `work_seconds` of its trials
    samples : measurements of the run
    usage : of the resource manager

    Keys: total_execution_time, phase_breakdown, resource_utilization, bottlenecks,
    optimization_suggestions, alerts. Utilisations are fractions.
    """
    breakdown = {}
    for name, result in results.items():
        seconds = result.seconds
        busy = result.work_seconds / (seconds * workers) if seconds > 0 else 0.0
        breakdown[name] = {
            "seconds": seconds,
            "share": seconds / total_seconds if total_seconds else 0.0,
            "trials": result.trials,
            "trials_per_second": result.trials / seconds if seconds > 0 else None,
            "work_seconds": result.work_seconds,
            "worker_utilization": None if result.restored else min(busy, 1.0),
            "restored": result.restored,
        }
    worked = [sample for sample in samples if sample.phase]
    cpu = [sample.cpu_percent / 100 for sample in worked]
    utilization = {
        "peak_memory_usage": max((sample.memory_percent / 100 for sample in samples), default=None),
        "peak_workflow_memory": max((sample.workflow_memory for sample in samples), default=None),
        "peak_trial_process_memory": max((result.peak for result in results.values()), default=0),
        "avg_cpu_usage": sum(cpu) / len(cpu) if cpu else None,
        "admitted_memory_peak": usage.peak_memory,
        "admitted_cores_peak": usage.peak_cores,
        "waits_for_resources": usage.waits,
        "batches_made_smaller": usage.shrunk,
        "workers": workers,
    }
    ran = {name: line for name, line in breakdown.items() if not line["restored"]}
    return {
        "total_execution_time": total_seconds,
        "phase_breakdown": breakdown,
        "resource_utilization": utilization,
        "bottlenecks": _bottlenecks(ran, total_seconds),
        "optimization_suggestions": _suggestions(ran, utilization),
        "alerts": list(alerts),
    }


def _bottlenecks(ran: Mapping[str, Mapping[str, Any]], total: float) -> list[str]:
    lines = []
    for name, line in sorted(ran.items(), key=lambda item: -item[1]["seconds"])[:2]:
        if line["share"] >= 0.2:
            lines.append(
                f"{name} took {line['seconds']:.1f} s, {line['share']:.0%} of the time"
                f" ({line['work_seconds']:.1f} s of trials)"
            )
    counted = sum(line["seconds"] for line in ran.values())
    if total - counted > 0.3 * total and total > 1:
        lines.append(
            f"{total - counted:.1f} s were spent outside of the phases: data, plots, Prefect"
        )
    return lines


def _suggestions(ran: Mapping[str, Mapping[str, Any]], utilization: Mapping[str, Any]) -> list[str]:
    lines = []
    memory, cpu = utilization["peak_memory_usage"], utilization["avg_cpu_usage"]
    if memory is not None and memory > 0.8:
        lines.append("Memory was over 80 % full: lower memory_per_container or max_workers")
    if cpu is not None and cpu < 0.3 and ran:
        lines.append("The processor was under 30 % busy: raise max_workers or batch_size")
    if ran:
        slowest = max(ran, key=lambda name: float(ran[name]["seconds"]))
        lines.append(f"Look at {slowest} first: it takes the longest")
        busy = ran[slowest]["worker_utilization"]
        if busy is not None and busy < 0.3 and ran[slowest]["seconds"] > 5:
            lines.append(
                f"Workers were {busy:.0%} busy in {slowest}: larger batches, or task_runner "
                "threads, cost less around the trials"
            )
    if utilization["waits_for_resources"]:
        lines.append(
            f"Work waited {utilization['waits_for_resources']} times for memory or cores: "
            "the limits of a trial times the workers are above the budget"
        )
    return lines
