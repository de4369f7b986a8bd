"""What runs: one module per workflow, each `python -m flows.NAME` and a deployment."""

import os
import signal
import sys
from pathlib import Path

# Prefect reads these at import. Its console handler would print a line per task run over the
# progress bar; the same lines still reach the UI. Values set by the user win.
os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
os.environ.setdefault("DO_NOT_TRACK", "1")

# prefect.toml puts Prefect's home inside this folder, and Prefect does not create parents.
if Path("prefect.toml").exists():
    Path(".foundry").mkdir(exist_ok=True)


def _leave(*_: object) -> None:
    os.write(2, b"\nerror: stopped before anything had begun\n")
    os._exit(130)


# Python sets argv so while it imports this package for `python -m flows.NAME`. The imports that
# follow take seconds; until the command can handle a signal, nothing is there to be saved.
if sys.argv[:1] == ["-m"]:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
