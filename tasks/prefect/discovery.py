"""Which Prefect server there is, told without importing Prefect, which takes a second."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

SERVER_LOCK = "server.lock"
"""Locked as long as `make server` runs for a home; holds the address of its API."""


@contextlib.contextmanager
def locked(path: Path, operation: int) -> Iterator[int | None]:
    """Hold a lock on `path`; gives None where a non-blocking lock is not to be had."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, operation)
        except BlockingIOError:
            yield None
            return
        yield descriptor
    finally:
        os.close(descriptor)


def running_server(home: Path) -> str | None:
    """Return the address of the server that `make server` keeps for a home, if it runs."""
    path = home / SERVER_LOCK
    if not path.exists():
        return None
    with locked(path, fcntl.LOCK_SH | fcntl.LOCK_NB) as free:
        return None if free is not None else path.read_text(encoding="utf-8").strip() or None


def home_without_server() -> Path | None:
    """Return Prefect's home if a run in this folder will need a temporary server.

    A guess, made before anything is imported. It looks at the environment, at `prefect.toml` and
    at the lock of `make server`; None also where other places may say more (a profile).
    """
    if os.environ.get("PREFECT_API_URL") or os.environ.get("PREFECT_PROFILE"):
        return None
    try:
        own = tomllib.loads(Path("prefect.toml").read_text(encoding="utf-8"))
    except FileNotFoundError:
        own = {}
    except (OSError, ValueError):
        return None
    named = os.environ.get("PREFECT_HOME") or own.get("home")
    if not isinstance(named, str) or "api" in own or Path(".env").exists():
        return None
    home = Path(named).expanduser().resolve()
    try:
        if (home / "profiles.toml").exists() or running_server(home) is not None:
            return None
    except OSError:
        return None
    return home
