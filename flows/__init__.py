"""What runs: one module per workflow, each `python -m flows.NAME` and a deployment."""

import contextlib
import gc
import os
import signal
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks.prefect.discovery import home_without_server
from tasks.prefect.temporary_server import FEW_COLLECTIONS, prepare

# Prefect reads these at import. Its console handler would print a line per task run over the
# progress bar; the same lines still reach the UI. Values set by the user win.
os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
os.environ.setdefault("DO_NOT_TRACK", "1")
# While a server restarts, Prefect would print each event that it could not send, 2,000 characters.
os.environ.setdefault("PREFECT_LOGGING_INTERNAL_LEVEL", "CRITICAL")


def _variables(table: dict[str, Any], prefix: str = "PREFECT") -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        name = f"{prefix}_{key.upper()}"
        if isinstance(value, dict):
            yield from _variables(value, name)
        else:
            yield name, str(value)


# Prefect's files lie with the others, so that a checkout which cannot be written runs, too.
if os.environ.get("FOUNDRY_HOME"):
    os.environ.setdefault("PREFECT_HOME", str(Path(os.environ["FOUNDRY_HOME"], "prefect")))

# Prefect reads prefect.toml only in the working directory; without its settings the caps are slow,
# and the slots of a killed run are lost.
_settings = Path(__file__).resolve().parent.parent / "prefect.toml"
if not Path("prefect.toml").exists() and _settings.exists():
    for _name, _value in _variables(tomllib.loads(_settings.read_text("utf-8"))):
        os.environ.setdefault(_name, _value)

# They put Prefect's home inside this folder, and Prefect does not create parents.
if Path("prefect.toml").exists() or _settings.exists():
    with contextlib.suppress(OSError):
        Path(os.environ.get("PREFECT_HOME", ".foundry/prefect")).parent.mkdir(
            parents=True, exist_ok=True
        )


def _leave(*_: object) -> None:
    os.write(2, b"\nerror: stopped before anything had begun\n")
    os._exit(130)


# Flags with which a command ends without a run.
_TELLING = {"-h", "--help", "--check", "--schema"}
_TELLING |= {"status", "why", "pause", "resume", "halt", "check"}

# Commands that are no flow: they have no server, and nothing to save.
_WITHOUT_FLOW = {"flows.supervise", "flows.dashboard", "flows.platform", "flows.web"}

# Python sets argv so while it imports this package for `python -m flows.NAME`. The imports that
# follow take seconds; until the command can handle a signal, nothing is there to be saved.
if sys.argv[:1] == ["-m"] and not _WITHOUT_FLOW.intersection(sys.orig_argv):
    signal.signal(signal.SIGINT, _leave)
    signal.signal(signal.SIGTERM, _leave)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _leave)
    gc.set_threshold(*FEW_COLLECTIONS)
    # Prefect's server takes longer to import than the flow, so its imports come first; it serves
    # only when the command has found no mistake and wants it.
    if not _TELLING.intersection(sys.orig_argv):
        with contextlib.suppress(OSError):
            if (_home := home_without_server()) is not None:
                prepare(_home)
