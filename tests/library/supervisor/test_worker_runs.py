"""Flow runs of a worker are measured apart from it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from alphafoundry.supervisor import linux
from alphafoundry.supervisor.worker_runs import FLOW_RUN, WorkerRuns

WORKER = f"""
import os, subprocess, sys, time
run = [sys.executable, "-c", "import subprocess, time; subprocess.Popen(['sleep', '1000']);"
       "time.sleep(1000)"]
subprocess.Popen(run, env={{**os.environ, "{FLOW_RUN}": "run-1"}}, start_new_session=True)
subprocess.Popen(["sleep", "1001"])
time.sleep(1000)
"""


def test_the_tree_of_a_flow_run_is_not_the_worker_s(tmp_path: Path) -> None:
    worker = subprocess.Popen([sys.executable, "-c", WORKER], cwd=tmp_path)
    runs = WorkerRuns()
    try:
        deadline = time.monotonic() + 300
        while True:
            samples = linux.sample_all()
            children = linux.children_of(samples)
            found, theirs = runs.measure(worker.pid, samples, children, time.monotonic())
            whole = linux.tree_of(worker.pid, children)
            if len(theirs) == 2 and len(whole) == 4:
                break
            assert time.monotonic() < deadline
            time.sleep(0.02)
        (one,) = found
        assert one.flow_run == "run-1" and one.usage.processes == 2
        assert worker.pid not in theirs and {pid for pid, _ in runs.members()} == theirs
    finally:
        for pid in linux.tree_of(worker.pid, linux.children_of(linux.sample_all())):
            linux.kill(pid)
        worker.wait()
    found, theirs = runs.measure(os.getpid(), {}, {}, time.monotonic())
    assert (found, theirs, runs.members()) == ([], set(), set())
