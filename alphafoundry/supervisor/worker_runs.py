"""Flow runs that a worker has started: measured each for itself, not as part of the worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from alphafoundry.supervisor import linux
from alphafoundry.supervisor.sampling import Meter, Usage

WORKER = "worker"
"""Name of the process that starts flow runs."""

FLOW_RUN = "PREFECT__FLOW_RUN_ID"
"""Variable by which Prefect tells a process which run it is."""


@dataclass(frozen=True)
class RunUsage:
    """What the tree of a flow run uses."""

    flow_run: str
    pid: int
    usage: Usage


@dataclass
class WorkerRuns:
    """Finds the flow runs below a worker, and measures them."""

    _runs: dict[tuple[int, int], str] = field(default_factory=dict)
    _meters: dict[str, Meter] = field(default_factory=dict)

    def measure(
        self,
        pid: int,
        samples: Mapping[int, linux.ProcessSample],
        children: dict[int, list[int]],
        now: float,
    ) -> tuple[list[RunUsage], set[int]]:
        """Return the usage of each flow run below the worker `pid`, and the pids of all of them."""
        alive: dict[tuple[int, int], str] = {}
        found: list[RunUsage] = []
        theirs: set[int] = set()
        for one in children.get(pid, ()):
            key = (one, samples[one].started)
            # A child shows the worker's own variables until it has become its program.
            run = self._runs.get(key) or next(iter(linux.marks(one, FLOW_RUN)), None)
            if run is None:
                continue
            alive[key] = run
            tree = linux.tree_of(one, children)
            theirs.update(tree)
            meter = self._meters.setdefault(run, Meter())
            found.append(RunUsage(run, one, meter.measure(one, samples, tree, now)))
        self._runs = alive
        self._meters = {run: self._meters[run] for run in alive.values()}
        return found, theirs

    def members(self) -> set[tuple[int, int]]:
        """Return pid and start of every process that was seen in a flow run."""
        return {member for meter in self._meters.values() for member in meter.members}
