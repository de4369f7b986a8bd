"""The whole platform: `python -m flows.platform up`, `down`, `status`, `unit`, `restore`."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import psutil

from alphafoundry.errors import ConfigurationError, StoreError
from alphafoundry.settings import load_settings
from alphafoundry.supervisor import database
from alphafoundry.supervisor.backups import choose, databases, restore
from alphafoundry.supervisor.control import (
    SupervisorError,
    ask,
    folder_of,
    is_running,
    running_pid,
)
from alphafoundry.supervisor.output import last_lines
from alphafoundry.supervisor.platform import PLATFORM, PlatformSettings, load_platform, unit
from alphafoundry.supervisor.processes import ProcessConfig, load_processes
from alphafoundry.supervisor.reading import read_status
from flows.plain_command import Parser, end_with
from flows.supervise import (
    PREFECT_PORT,
    become_guardian,
    for_prefect,
    free_port,
    prefect_home,
)
from flows.web import port_of, sign_in_link
from tasks.prefect.discovery import running_server

START_SECONDS = 300.0
DOWN_SECONDS = 110.0
FAILED_STARTS = 3
LOG = "platform.log"
PREFECT_DATABASE = (
    "PREFECT_SERVER_DATABASE_CONNECTION_URL",
    "PREFECT_API_DATABASE_CONNECTION_URL",
)
"""Where Prefect reads the address of its database, the first that is set."""

EXIT_DOWN = 1


def main(words: Sequence[str] | None = None) -> NoReturn:
    """Do what was asked, and end the process."""
    end_with(lambda: _run(_parser().parse_args(words)))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m flows.platform",
        description="Prefect server, deployments, worker and every process of "
        "config/processes.yaml, for days. up starts them, down ends them, status shows them, unit "
        "prints a service for systemd, restore puts the newest whole copy of every database back.",
        allow_abbrev=False,
    )
    parser.add_argument("action", choices=["up", "down", "status", "unit", "restore"])
    parser.add_argument("--port", metavar="N|auto", help="of the Prefect server")
    parser.add_argument(
        "--config", type=Path, default=PLATFORM, metavar="FILE", help="(default: %(default)s)"
    )
    parser.add_argument(
        "--foreground", action="store_true", help="stay in this terminal, or in systemd's service"
    )
    parser.add_argument(
        "--from", dest="copy", metavar="DAY", help="with restore: the copy of that day"
    )
    parser.add_argument(
        "--check", action="store_true", help="with restore: say what would be done, and do nothing"
    )
    return parser


def _run(given: argparse.Namespace) -> int:
    home = load_settings().home
    if given.action == "restore":
        return _restore(home, given.copy, check=given.check)
    if given.copy is not None or given.check:
        raise SupervisorError("--from and --check need restore")
    if given.action == "up":
        return _up(home, given)
    if given.action == "down":
        return _down(home)
    if given.action == "unit":
        environment = {"FOUNDRY_HOME": str(home.absolute())}
        if "PREFECT_HOME" in os.environ:
            environment["PREFECT_HOME"] = str(prefect_home().absolute())
        print(unit(folder=Path.cwd(), environment=environment, python=sys.executable), end="")
        return 0
    if not is_running(home):
        print("the platform is down; `make up` starts it")
        return EXIT_DOWN
    from flows.dashboard import main as show

    show([])
    return 0


def _up(home: Path, given: argparse.Namespace) -> int:
    settings = load_platform(given.config)
    supervised = load_processes(settings.processes)
    if is_running(home):
        print(f"runs already (pid {running_pid(home)})")
        _tell_where(home, port_of(supervised.processes))
        return 0
    home.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(home).free / 2**20
    if free < settings.least_disk_mb:
        raise ConfigurationError(
            f"{home}: {free:.0f} MB are free, {given.config} wants least_disk_mb "
            f"{settings.least_disk_mb}; make room"
        )
    print(f"databases  {_check_databases(home, given.config, mixed=settings.mixed_databases)}")
    added = platform_processes(settings, _port(given.port, settings))
    if given.foreground:
        become_guardian(home, settings.processes, supervised, only=None, added=added, minutes=0)
    child = _start_in_background(home, given)
    try:
        return _wait_until_up(home, child, port_of(supervised.processes))
    except KeyboardInterrupt:
        # It has a session of its own, and Ctrl-C has not reached it.
        print(
            "\nthe platform goes on in the background; `make status` shows it, `make down` ends it"
        )
        raise


def _check_databases(home: Path, config: Path, *, mixed: bool) -> str:
    """Find a database that cannot be used before anything starts; return where both are.

    Raises
    ------
    ConfigurationError : one is on PostgreSQL and the other is not
    StoreError : one cannot be reached or used
    """
    from alphafoundry.store.database import check_database, open_store

    secret = load_settings().database_url
    store = open_store(None if secret is None else secret.get_secret_value(), home=home)
    store.close()
    told = [f"store {store.label}"]
    given = next((os.environ[name] for name in PREFECT_DATABASE if os.environ.get(name)), None)
    on_postgres = given is not None and given.startswith("postgres")
    if given is not None and on_postgres:
        # Prefect's driver is another one; the address is the same.
        plain = given.replace("postgresql+asyncpg://", "postgresql://", 1)
        try:
            told.append(f"Prefect {check_database(plain, home=home)}")
        except StoreError as problem:
            line = str(problem).replace("FOUNDRY_DATABASE_URL", PREFECT_DATABASE[0])
            raise ConfigurationError(f"Prefect's database {line}") from None
    else:
        told.append(f"Prefect {'as configured' if given else prefect_home() / 'prefect.db'}")
    if on_postgres != store.label.startswith("postgresql://") and not mixed:
        raise ConfigurationError(
            f"{' and '.join(told)}: one is on PostgreSQL alone; set FOUNDRY_DATABASE_URL and "
            f"{PREFECT_DATABASE[0]} both, or mixed_databases: true in {config}"
        )
    return ", ".join(told)


def _port(flag: str | None, settings: PlatformSettings) -> int:
    """Return the port of the server, which is free.

    Raises
    ------
    ConfigurationError : it is no port, or another program has it
    """
    wanted: int | str = settings.port
    if flag is not None:
        wanted = flag if flag == "auto" else _number(flag)
    if wanted == "auto":
        return free_port(PREFECT_PORT)
    port = int(wanted)
    if free_port(port) != port:
        raise ConfigurationError(
            f"port {port} is taken by {_owner(port)}; choose another --port, or --port auto"
        )
    return port


def _number(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise ConfigurationError(f"--port {text}: is not a port from 1 to 65535, nor auto")
    return int(text)


def _owner(port: int) -> str:
    """Return the program that listens on a port."""
    with contextlib.suppress(psutil.Error, OSError):
        for one in psutil.net_connections("tcp"):
            of_port = getattr(one.laddr, "port", None) == port
            if of_port and one.status == psutil.CONN_LISTEN and one.pid:
                return f"{psutil.Process(one.pid).name()} (pid {one.pid})"
    return "another program"


def platform_processes(settings: PlatformSettings, port: int) -> list[ProcessConfig]:
    """Return what the platform adds: server, session, deployments and worker.

    Raises
    ------
    ConfigurationError : the processes are set not to use Prefect
    """
    supervised = load_processes(settings.processes)
    if supervised.prefect == "off":
        raise ConfigurationError(f"{settings.processes}: prefect: is off; the platform needs auto")
    added = for_prefect(supervised, port=port, always=True)
    address = {"PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
    configured = os.environ.get("PREFECT_API_URL") or running_server(prefect_home())
    if configured:
        address = {"PREFECT_API_URL": configured}
    ready = {"prefect": "ready"}
    retention = settings.prefect.environment()
    updates: dict[str, dict[str, object]] = {
        "prefect": {"environment": retention},
        "session": {"args": ("--steps-hours", f"{settings.prefect.steps_hours:g}")},
    }
    added = [one.model_copy(update=updates.get(one.name, {})) for one in added]
    if settings.worker:
        for more in (
            {
                "name": "deploy",
                "module": "deployments.deploy",
                "restart_delay": 5,
                "max_restarts": 5,
                "depends_on": ready,
            },
            {
                "name": "worker",
                "module": "prefect",
                "args": ["worker", "start", "--pool", "local", "--type", "process"],
                "depends_on": ready | {"deploy": "finished"},
                "restart": "always",
                "stop_main_only": True,
                "stop_seconds": 15,
                "slow": "none",
            },
        ):
            added.append(
                ProcessConfig.model_validate({"priority": 1, "environment": address} | more)
            )
    if settings.metrics_port is not None:
        added.append(
            ProcessConfig(
                name="metrics",
                module="alphafoundry.supervisor.metrics",
                args=("--port", str(settings.metrics_port)),
                priority=1,
                restart="always",
                notify=True,
                slow="none",
            )
        )
    return added


def _start_in_background(home: Path, given: argparse.Namespace) -> subprocess.Popen[bytes]:
    folder = folder_of(home)
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "flows.platform", "up", "--foreground"]
    command += ["--config", str(given.config)]
    command += [] if given.port is None else ["--port", given.port]
    with (folder / LOG).open("ab") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


def _wait_until_up(home: Path, child: subprocess.Popen[bytes], dashboard: int | None) -> int:
    """Wait until the Prefect server and the dashboard answer, and say where everything is."""
    log = folder_of(home) / LOG
    deadline = time.monotonic() + START_SECONDS
    print("starting ...", flush=True)
    while time.monotonic() < deadline:
        # Where two started at once, both wait for the one that runs.
        if child.poll() is not None and not is_running(home):
            said = "".join(last_lines(log, 1)).removeprefix("error: ")
            raise SupervisorError(f"the platform has ended again: {said} ({log})")
        with contextlib.suppress(SupervisorError):
            status = read_status(home / database.FILE)
            rows = {row["name"]: row["state"] for row in status.processes}
            mine = status.supervision["pid"] == running_pid(home)
            up = rows.get("prefect", "running") == "running" and "session" in rows
            if mine and up and rows.get("dashboard") not in ("waiting", "starting"):
                _tell_where(home, dashboard)
                return 0
            if mine and rows.get("prefect") == "quarantined":
                break
        time.sleep(0.5)
    raise SupervisorError(
        f"the Prefect server is not ready; {folder_of(home) / 'logs/prefect.log'} says why, and "
        "`python -m flows.dashboard --explain prefect`; `make down` ends the platform"
    )


def _tell_where(home: Path, dashboard: int | None) -> None:
    if dashboard is not None:
        print(f"dashboard  {sign_in_link(home, dashboard)}")
        print("           it holds for a minute, and once; `make link` prints another")
    address = os.environ.get("PREFECT_API_URL") or running_server(prefect_home())
    ui = (address or "").removesuffix("/api")
    print(f"Prefect    {ui or 'starts'}")
    place = urllib.parse.urlsplit(ui)
    if place.hostname in ("127.0.0.1", "localhost") and place.port:
        port = place.port
        ports = [port] if dashboard is None else [port, dashboard]
        tunnels = " ".join(f"-L {one}:127.0.0.1:{one}" for one in ports)
        print(f"from afar  ssh {tunnels} THIS_MACHINE")
    print("processes  python -m flows.dashboard --watch")
    print(f"log        {folder_of(home) / LOG}")
    print("end        make down")


def _down(home: Path) -> int:
    pid = running_pid(home)
    if pid is None:
        print("the platform is down already")
        return 0
    try:
        ask(home, {"do": "end", "why": "make down", "soon": True})
    except SupervisorError:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    print("stopping ...", flush=True)
    deadline = time.monotonic() + DOWN_SECONDS
    while is_running(home):
        if time.monotonic() > deadline:
            raise SupervisorError(
                f"pid {pid} has not ended within {DOWN_SECONDS:.0f} s; `kill -9 {pid}` ends all"
            )
        time.sleep(0.2)
    print("down")
    return 0


def _restore(home: Path, copy: str | None, *, check: bool) -> int:
    """Put every database back as it was when a copy was made."""
    if is_running(home):
        raise SupervisorError(f"the platform runs (pid {running_pid(home)}); end it: make down")
    server = running_server(prefect_home()) if prefect_home().is_dir() else None
    if server is not None:
        raise SupervisorError(f"the Prefect server at {server} runs; end it first")
    files = databases(home, prefect_home())
    chosen, passed = choose(home, files, copy)
    for line in passed:
        print(f"passed over {line}")
    names = ", ".join(name for name in chosen.files if name in files)
    if check:
        print(f"would restore {names} from {chosen.folder}")
        return 0
    aside = restore(home, files, chosen, now=datetime.now(UTC))
    print(f"restored {names} from {chosen.folder}")
    print(f"what was there is in {aside}")
    return 0


if __name__ == "__main__":
    main()
