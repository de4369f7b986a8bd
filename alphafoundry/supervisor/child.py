"""What a supervised program may tell its supervisor: ready, beat, status. Standard library only.

The protocol is systemd's `sd_notify`, so a program that knows it needs nothing else; outside a
supervisor every call does nothing.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

FLOW_RUN = "X_FLOW_RUN"
"""What `flow_run` says; systemd leaves names with X_ to others, and passes over them."""

_stop = threading.Event()


def ready() -> None:
    """Say that the work has begun."""
    _notify("READY=1")


def stopping() -> None:
    """Say that the end has begun."""
    _notify("STOPPING=1")


def beat() -> None:
    """Say that the process is not hung; call it at least every half of `watchdog_seconds`."""
    _notify("WATCHDOG=1")


def status(text: str) -> None:
    """Say in one line what is going on; the dashboard shows it."""
    _notify(f"STATUS={' '.join(text.split())[:200]}")


def flow_run(run: UUID) -> None:
    """Say which flow run of Prefect this process is."""
    _notify(f"{FLOW_RUN}={run}")


def obey() -> None:
    """Let SIGTERM set what `should_stop` tells, instead of ending the process at once."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        _stop.set()
        stopping()

    signal.signal(signal.SIGTERM, stop)


def should_stop(wait: float = 0.0) -> bool:
    """Return whether the supervisor has asked to stop; waits up to so many seconds for it."""
    return _stop.wait(wait) if wait > 0 else _stop.is_set()


def _notify(text: str) -> None:
    """Send one datagram; one that finds no room is dropped, since a beat must not block."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.setblocking(False)
            end.sendto(text.encode(), address)
    except OSError:
        return
