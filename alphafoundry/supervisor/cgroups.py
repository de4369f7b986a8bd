"""A control group for each life, where the kernel lets this process make one: cgroup v2.

With a group a whole tree is ended at once, a daemon that hides included, and where the controllers
are delegated (systemd's `Delegate=yes`) the kernel holds memory and processor. Standard library
only; nothing here raises: what cannot be had is watched instead.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
OWN = Path("/proc/self/cgroup")

_CONTROLLERS = {"memory": "memory", "cpu": "cpu", "processes": "pids"}
"""What is limited to the controller that holds it."""

_PERIOD = 100_000
_PAUSE = 0.005
_ROUNDS = 100


@dataclass(frozen=True)
class Groups:
    """The groups of one supervision.

    Attributes
    ----------
    folder : theirs, below the group that this process had
    held : what the kernel can limit: memory, cpu, processes
    """

    folder: Path
    held: tuple[str, ...]

    def make(self, mark: str, limits: Mapping[str, int | None]) -> Path | None:
        """Make the group of a life with its limits; None where there is no room for one.

        Parameters
        ----------
        limits : memory in bytes, cpu in percent of a core, processes; None is no limit
        """
        group = self.folder / mark.rpartition("/")[2].replace(":", ".")
        try:
            group.mkdir(exist_ok=True)
        except OSError:
            return None
        for name in self.held:
            most = limits.get(name)
            if most is None:
                continue
            text = f"{most * _PERIOD // 100} {_PERIOD}" if name == "cpu" else str(most)
            with contextlib.suppress(OSError):
                (group / f"{_CONTROLLERS[name]}.max").write_text(text, "ascii")
        return group

    def close(self) -> None:
        """End what is left in any group but this process's own, and remove them."""
        own = own_group()
        with contextlib.suppress(OSError):
            for group in self.folder.iterdir():
                if group.is_dir() and group != own:
                    remove(group)
            self.folder.rmdir()


def own_group() -> Path | None:
    """Return the folder of this process's group, None where there is no cgroup v2."""
    try:
        mounts = MOUNTS.read_text("utf-8").splitlines()
        own = OWN.read_text("utf-8").splitlines()
    except OSError:
        return None
    roots = [line.split()[4] for line in mounts if " - cgroup2 " in line]
    paths = [line[3:] for line in own if line.startswith("0::")]
    if not roots or not paths or "/.." in paths[0]:
        return None
    folder = Path(roots[0]) / paths[0].lstrip("/")
    return folder if folder.is_dir() else None


def open_groups(supervision: str) -> Groups | None:
    """Make the folder for the groups of a supervision; None where this process may not."""
    own = own_group()
    if own is None:
        return None
    folder = own / f"foundry-{supervision}"
    try:
        folder.mkdir()
    except OSError:
        return None
    # A group with processes of its own cannot hand controllers down, so this one moves below.
    # What shares the group, a shell for instance, keeps it from doing so: then none are held.
    wanted = [one for one in _CONTROLLERS.values() if one in _words(own / "cgroup.controllers")]
    if wanted:
        home = folder / "supervisor"
        with contextlib.suppress(OSError):
            home.mkdir()
            (home / "cgroup.procs").write_text(str(os.getpid()), "ascii")
            _hand_down(own, wanted)
            _hand_down(folder, wanted)
    handed = _words(folder / "cgroup.subtree_control")
    return Groups(folder, tuple(name for name, one in _CONTROLLERS.items() if one in handed))


def _hand_down(folder: Path, controllers: list[str]) -> None:
    text = " ".join(f"+{one}" for one in controllers)
    (folder / "cgroup.subtree_control").write_text(text, "ascii")


def _words(path: Path) -> list[str]:
    try:
        return path.read_text("ascii").split()
    except OSError:
        return []


def enter(group: Path) -> None:
    """Move this process into a group."""
    with contextlib.suppress(OSError):
        (group / "cgroup.procs").write_text("0", "ascii")


def kill(group: Path) -> None:
    """Kill everything in a group."""
    with contextlib.suppress(OSError):
        (group / "cgroup.kill").write_text("1", "ascii")


def killed_for_memory(group: Path) -> bool:
    """Return whether the kernel has ended something in a group at its limit of memory."""
    words = _words(group / "memory.events")
    return "oom_kill" in words and int(words[words.index("oom_kill") + 1]) > 0


def remove(group: Path) -> None:
    """Kill what is in a group, and remove it; the kernel takes a moment for both."""
    for _ in range(_ROUNDS):
        kill(group)
        try:
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(_PAUSE)
        else:
            return


def sweep(supervision: str) -> None:
    """End and remove the groups that an earlier supervision has left."""
    own, name = own_group(), f"foundry-{supervision}"
    if own is not None:
        # The core of a supervision may stand in a group below theirs.
        folder = own.parent if own.parent.name == name else own / name
        Groups(folder, ()).close()
