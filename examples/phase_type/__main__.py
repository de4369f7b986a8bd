"""Run a workflow with a phase type of one's own: `python -m examples.phase_type`."""

from __future__ import annotations

from pathlib import Path

from alphafoundry.coordinator import run_workflow

if __name__ == "__main__":
    report = run_workflow(Path(__file__).with_name("neighbours.yaml"), say=print)
    for phase in report.phases:
        print(f"{phase.name}: {phase.result}")
