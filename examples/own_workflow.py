"""A workflow from Python, without Prefect or YAML: `python -m examples.own_workflow`.

A search over two strategies, one of them our own, and a validation of what it found. The same
document in YAML runs under Prefect by `python -m flows.optimize FILE`.
"""

from __future__ import annotations

from alphafoundry.coordinator import run_workflow

WORKFLOW = {
    "workflow": {"type": "multi_phase"},
    "data": {
        "market": "calibration",  # SYNTHETIC
        "symbols": ["SYN001", "SYN002", "SYN003"],
        "max_bars": 500,
    },
    "strategies": [
        {"name": "streak", "type": "examples.own_strategy:STREAK"},
        {"name": "trend", "type": "moving_average_cross", "parameters": {"slow": [30, 60]}},
    ],
    "phases": [
        {"name": "search", "type": "optimization", "container_count": 30},
        {"name": "check", "type": "validation", "inputs": ["search.best_params"]},
    ],
}


def main() -> None:
    report = run_workflow(WORKFLOW, say=print)
    for phase in report.phases:
        print(f"{phase.name}: {phase.result}")


if __name__ == "__main__":
    main()
