"""Control groups, where the kernel lets this process make them; limits in a folder that is none."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from alphafoundry.supervisor import cgroups
from alphafoundry.supervisor.cgroups import Groups


def test_limits_are_written_where_the_kernel_holds_them(tmp_path: Path) -> None:
    groups = Groups(tmp_path, ("memory", "cpu", "processes"))
    group = groups.make("id/name:3", {"memory": 1024, "cpu": 150, "processes": None})
    assert group == tmp_path / "name.3"
    written = {path.name: path.read_text() for path in group.iterdir()}
    assert written == {"memory.max": "1024", "cpu.max": "150000 100000"}
    watched = Groups(tmp_path, ()).make("id/other:1", {"memory": 1024})
    assert watched is not None and list(watched.iterdir()) == []


def test_an_end_at_the_limit_of_memory_is_known(tmp_path: Path) -> None:
    assert not cgroups.killed_for_memory(tmp_path)
    (tmp_path / "memory.events").write_text("low 0\noom 1\noom_kill 0\n")
    assert not cgroups.killed_for_memory(tmp_path)
    (tmp_path / "memory.events").write_text("low 0\noom 1\noom_kill 1\n")
    assert cgroups.killed_for_memory(tmp_path)


@pytest.mark.parametrize(
    ("mounts", "own"),
    [
        ("1 2 0:3 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory", "0::/"),
        ("1 2 0:3 / {here} rw - cgroup2 none rw", "4:memory:/"),
        ("1 2 0:3 / {here} rw - cgroup2 none rw", "0::/../../elsewhere"),
        ("1 2 0:3 / {here} rw - cgroup2 none rw", "0::/gone"),
    ],
)
def test_without_a_group_of_its_own_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mounts: str, own: str
) -> None:
    (tmp_path / "mounts").write_text(mounts.format(here=tmp_path))
    (tmp_path / "own").write_text(own)
    monkeypatch.setattr(cgroups, "MOUNTS", tmp_path / "mounts")
    monkeypatch.setattr(cgroups, "OWN", tmp_path / "own")
    assert cgroups.open_groups("id") is None


def test_a_daemon_that_hides_is_ended_with_its_group() -> None:
    groups = cgroups.open_groups(f"test-{os.getpid()}")
    if groups is None:
        pytest.skip("this process may not make control groups")
    try:
        group = groups.make("id/hidden:1", {})
        assert group is not None
        script = "echo 0 > $1; env -i setsid sleep 100000 & exec sleep 100000"
        child = subprocess.Popen(["sh", "-c", script, "sh", str(group / "cgroup.procs")])
        deadline = time.monotonic() + 300
        while len((group / "cgroup.procs").read_text().split()) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        cgroups.kill(group)
        assert child.wait(300) == -9
        cgroups.remove(group)
        assert not group.exists()
    finally:
        groups.close()
    assert not groups.folder.exists()
