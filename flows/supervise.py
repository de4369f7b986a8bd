"""Keep long-running processes alive: `python -m flows.supervise`.

This is only the way in. It reads and checks everything, then becomes the guardian, which stays.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from alphafoundry.errors import ConfigurationError
from alphafoundry.file_lock import file_lock
from alphafoundry.settings import load_settings
from alphafoundry.supervisor import database
from alphafoundry.supervisor.alert_sender import send_test, sender_process
from alphafoundry.supervisor.control import (
    LOCK,
    SupervisorError,
    folder_of,
    is_running,
    running_pid,
)
from alphafoundry.supervisor.guardian import sweep
from alphafoundry.supervisor.plan import Plan, read_plan, with_added, write_plan
from alphafoundry.supervisor.processes import (
    PROCESSES,
    Probe,
    ProcessConfig,
    SupervisorSettings,
    chosen,
    load_processes,
)
from flows.plain_command import Parser, end_with
from tasks.prefect.discovery import running_server

PREFECT_PORT = 4200
TEST_MINUTES = 5.0
LONGEST_FOLDER = 50
LOCK_SECONDS = 2.0
ROOT = Path(__file__).resolve().parent.parent

HELP = """Keep the processes of config/processes.yaml alive: start them in their order, restart what
fails after a growing delay, begin programs that end by themselves again and again, keep what they
print, and end all of them together.

A process that lives is restarted when its health stays below health_threshold for three checks.
For one that died the restart window decides (max_restarts in restart_window); health is shown and
decides nothing. `python -m flows.dashboard` shows and steers them, now and afterwards."""


def main(words: Sequence[str] | None = None) -> NoReturn:
    """Read the flags, check everything, and become the guardian."""
    end_with(lambda: _main(_parser().parse_args(words)))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m flows.supervise",
        description=HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--runtime",
        type=float,
        metavar="MINUTES",
        help="end after so many minutes, and at most one more; 0 is without end "
        "(default: max_runtime_minutes of the file, 360)",
    )
    parser.add_argument(
        "--test", action="store_true", help=f"end after {TEST_MINUTES:g} minutes (--runtime wins)"
    )
    parser.add_argument(
        "--config",
        type=Path,
        default=PROCESSES,
        metavar="FILE",
        help="what is supervised (default: %(default)s)",
    )
    parser.add_argument("--only", metavar="A,B", help="only these, and what they depend on")
    parser.add_argument(
        "--check", action="store_true", help="say what would be supervised, and start nothing"
    )
    parser.add_argument(
        "--drill",
        action="store_true",
        help="break a copy on purpose, and say which promises hold; a minute or two",
    )
    parser.add_argument(
        "--test-alert",
        action="store_true",
        help="send a test to every address that alerts go to (FOUNDRY_ALERTS, config/alerts.yaml)",
    )
    parser.add_argument(
        "--no-session", action="store_true", help="show nothing of it as a flow run in Prefect"
    )
    parser.add_argument(
        "--tied", action="store_true", help="end when standard input closes, for other programs"
    )
    return parser


def _main(given: argparse.Namespace) -> int:
    if given.test_alert:
        print("\n".join(send_test(os.environ)))
        return 0
    if given.drill:
        from flows.drill import drill

        return drill()
    settings = load_processes(given.config)
    only = _names(given.only)
    if only is not None:
        if not only:
            raise ConfigurationError("--only: names no process")
        try:
            settings = chosen(settings, only)
        except KeyError as problem:
            known = ", ".join(one.name for one in settings.processes)
            raise ConfigurationError(
                f"--only: there is no process {problem.args[0]!r}; choose of {known}"
            ) from None
    if not settings.processes:
        raise ConfigurationError(f"{given.config}: processes: is empty; there is nothing to do")
    minutes = _minutes(given, settings)
    home = load_settings().home
    if given.check:
        _print_check(settings, minutes)
        return 0
    if is_running(home):
        print(f"a supervisor runs here already (pid {running_pid(home)}); this is what it does:")
        from flows.dashboard import main as show

        show(["--watch"] if sys.stdout.isatty() else [])
    become_guardian(
        home,
        given.config,
        settings,
        only=only,
        added=for_prefect(settings, session=not given.no_session),
        minutes=minutes,
        tied=given.tied,
    )


def _names(text: str | None) -> list[str] | None:
    if text is None:
        return None
    return [part.strip() for part in text.split(",") if part.strip()]


def _minutes(given: argparse.Namespace, settings: SupervisorSettings) -> float:
    if given.runtime is None:
        return TEST_MINUTES if given.test else settings.max_runtime_minutes
    minutes = float(given.runtime)
    if not 0 <= minutes < 1e7:
        raise ConfigurationError(f"--runtime {minutes:g}: must be a number of minutes from 0")
    return minutes


def for_prefect(
    settings: SupervisorSettings,
    *,
    session: bool = True,
    port: int | None = None,
    always: bool = False,
) -> list[ProcessConfig]:
    """Return the processes that Prefect adds: a server where none runs, and the view of all.

    There is no server where no process needs one, and no view where there is no server.

    port : where the server listens; None is 4200 where that is free, otherwise any that is
    always : whether there is a server even if no process needs one
    """
    if settings.prefect == "off":
        return []
    running = os.environ.get("PREFECT_API_URL") or running_server(prefect_home())
    added = []
    needed = always or any(one.flow or "prefect" in one.depends_on for one in settings.processes)
    if not running and needed:
        added.append(_server(port or free_port(PREFECT_PORT)))
    if session and (running or added):
        added.append(
            ProcessConfig(
                name="session",
                flow="flows.session",
                priority=0,
                depends_on={"prefect": "ready"} if added else {},
                stop_seconds=20,
                slow="none",
            )
        )
    return added


def _server(port: int) -> ProcessConfig:
    return ProcessConfig(
        name="prefect",
        module="tasks.prefect.server",
        args=("--port", str(port)),
        priority=-1,
        restart="always",
        restart_delay=2,
        start_seconds=150,
        probe=Probe(http=f"http://127.0.0.1:{port}/api/health", timeout=10, failures=6),
        stop_seconds=15,
        output="drop",
        slow="none",
    )


def prefect_home() -> Path:
    """Return the folder of Prefect's own files, without importing Prefect."""
    return Path(os.environ.get("PREFECT_HOME") or ".foundry/prefect")


def free_port(wanted: int) -> int:
    """Return a port of this machine that nobody listens on, the wanted one if it can be had."""
    for port in (wanted, 0):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise ConfigurationError("this machine has no free port")


def _print_check(settings: SupervisorSettings, minutes: float) -> None:
    """Print what would be supervised, in the order of starting."""
    search = [str(Path.cwd()), *sys.path]
    for one in sorted(settings.processes, key=lambda one: one.priority):
        kind = f"turns every {one.loop_interval:g} s" if one.requires_loop else one.restart
        needs = ", ".join(f"{name} {what}" for name, what in one.depends_on.items())
        missing = one.missing(search)
        parts = [f"priority {one.priority}", kind]
        parts += [f"after {needs}"] if needs else []
        parts += [f"MISSING: {missing}"] if missing else []
        print(f"{one.name:<16} {'; '.join(parts)}")
    length = f"{minutes:g} minutes" if minutes else "until it is stopped"
    print(f"{len(settings.processes)} processes, {length}")


def become_guardian(
    home: Path,
    config: Path,
    settings: SupervisorSettings,
    *,
    only: list[str] | None,
    added: list[ProcessConfig],
    minutes: float,
    tied: bool = False,
) -> NoReturn:
    """Write the plan, end what an earlier supervision has left, and turn into the guardian."""
    folder = folder_of(home)
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    supervision = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
    # Held from here on, by the guardian too: of two that start at once one touches nothing of the
    # other. Who looks whether a supervisor runs has the lock for a moment as well.
    with _naming(folder), file_lock(folder / LOCK, wait=LOCK_SECONDS) as lock:
        if lock is None:
            raise SupervisorError(f"{folder}: a supervisor runs here already")
        os.ftruncate(lock, 0)
        os.pwrite(lock, json.dumps({"pid": os.getpid(), "id": supervision}).encode(), 0)
        os.set_inheritable(lock, True)
        _end_leftovers(folder)
        _check_database(home / database.FILE)
        added = [*added, *sender_process(os.environ)]
        plan = Plan(
            id=supervision,
            settings=with_added(settings, added).model_dump(mode="json"),
            config=str(config.absolute()),
            only=only,
            added=[one.model_dump(mode="json") for one in added],
            runtime_minutes=minutes,
            begun=time.clock_gettime(time.CLOCK_BOOTTIME),
            folder=str(Path.cwd()),
            search=[str(Path.cwd()), *sys.path],
            sockets=_folder_for_sockets(),
            commit=_commit(),
        )
        write_plan(folder, plan)
        length = f"for {minutes:g} minutes" if minutes else "until it is stopped"
        print(f"supervising {len(plan.settings['processes'])} processes {length}; Ctrl-C ends it")
        sys.stdout.flush()
        _tell_home(home)
        command = [sys.executable, "-m", "alphafoundry.supervisor.guardian"]
        command += [str(folder.absolute()), supervision, "--lock", str(lock)]
        command += ["--tied"] if tied else []
        os.execv(sys.executable, command)


def _tell_home(home: Path) -> None:
    """Let programs that read no settings find the home that `config/foundry.yaml` names."""
    if home != Path(os.environ.get("FOUNDRY_HOME") or ".foundry"):
        # A flow would look for Prefect's files in the new home, and they stay where they were.
        os.environ["PREFECT_HOME"] = str(prefect_home().absolute())
        os.environ["FOUNDRY_HOME"] = str(home.absolute())


def _folder_for_sockets() -> str:
    """Make a folder of this user's own; the address of a socket has at most 107 bytes."""
    places = (os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir())
    usable = (one for one in places if len(one) <= LONGEST_FOLDER and os.access(one, os.W_OK))
    return tempfile.mkdtemp(prefix="foundry-", dir=next(usable, "/tmp"))  # noqa: S108


def _end_leftovers(folder: Path) -> None:
    """End the processes of a supervision whose guardian and core died at once."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        plan = read_plan(folder)
        count = sweep(plan.id)
        shutil.rmtree(plan.sockets, ignore_errors=True)
        if count:
            print(f"ended {count} processes that an earlier supervision had left behind")


@contextlib.contextmanager
def _naming(folder: Path) -> Iterator[None]:
    """Let an error of the system say where it was, when it does not: a full disk tells no file."""
    try:
        yield
    except OSError as problem:
        problem.filename = problem.filename or str(folder)
        raise


def _check_database(path: Path) -> None:
    """Find a database that cannot be written before anything starts."""
    try:
        with contextlib.closing(database.open_for_writing(path)) as connection:
            connection.execute("SELECT count(*) FROM supervisions")
    except sqlite3.Error as problem:
        raise SupervisorError(
            f"{path}: {problem}; make room or mend it, or move it away, and a new one is made"
        ) from None


def _commit() -> str:
    """Return the git commit of the code, "" where there is none."""
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


if __name__ == "__main__":
    main()
