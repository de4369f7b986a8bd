"""Commands in processes of their own for the price of one start of Python and Prefect.

`python -m tests.side_by_side_commands FOLDER` reads `FOLDER/commands.json`, imports what the
commands import, and then forks once for each: the command line is read, the environment taken and
the process ended as for `python -m MODULE`. What each printed, and its exit status, stay in FOLDER.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

AT_ONCE = 2


def become(command: dict[str, Any], folder: Path, name: str) -> None:
    """Run the command in this process, with its output in files; it may raise SystemExit."""
    for descriptor, kind in ((1, "out"), (2, "err")):
        file = os.open(folder / f"{name}.{kind}", os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(file, descriptor)
        os.close(file)
    os.environ.update(command["env"])
    sys.argv = [command["module"], *command["flags"]]
    sys.modules.pop(command["module"], None)
    runpy.run_module(command["module"], run_name="__main__", alter_sys=True)


def main() -> None:
    folder = Path(sys.argv[1])
    commands: list[dict[str, Any]] = json.loads((folder / "commands.json").read_text())
    for module in sorted({command["module"] for command in commands}):
        importlib.import_module(module)
    running: dict[int, int] = {}
    statuses: dict[int, int] = {}
    for number, command in enumerate(commands):
        while len(running) == AT_ONCE:
            wait_for_one(running, statuses)
        child = os.fork()
        if child == 0:
            become(command, folder, str(number))
            return
        running[child] = number
    while running:
        wait_for_one(running, statuses)
    (folder / "statuses.json").write_text(json.dumps([statuses[n] for n in sorted(statuses)]))


def wait_for_one(running: dict[int, int], statuses: dict[int, int]) -> None:
    child, status = os.wait()
    statuses[running.pop(child)] = os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    main()
