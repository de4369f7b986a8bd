"""`flows.task_orchestrator` under the name that the Task Orchestrator's documentation imports."""

from flows.task_orchestrator import (
    TaskExecution,
    TaskOrchestrator,
    create_task_orchestrator,
    start_orchestrator,
)

__all__ = [
    "TaskExecution",
    "TaskOrchestrator",
    "create_task_orchestrator",
    "start_orchestrator",
]
