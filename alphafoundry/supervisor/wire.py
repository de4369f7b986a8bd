"""Messages between guardian and core: a JSON object per packet, with file descriptors."""

from __future__ import annotations

import array
import json
import socket
from collections.abc import Sequence
from typing import Any

LARGEST = 1 << 17
"""Bytes of one packet."""

_MOST_DESCRIPTORS = 4

Message = dict[str, Any]


def channel() -> tuple[socket.socket, socket.socket]:
    """Return two connected ends."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(end: socket.socket, message: Message, descriptors: Sequence[int] = ()) -> None:
    """Send one message; BlockingIOError where a non-blocking end is full."""
    socket.send_fds(end, [json.dumps(message).encode()], list(descriptors))


def receive(end: socket.socket) -> tuple[Message | None, list[int]]:
    """Return one message and its descriptors; None where the other end is closed."""
    size = array.array("i").itemsize * _MOST_DESCRIPTORS
    try:
        data, extra, _, _ = end.recvmsg(LARGEST, socket.CMSG_SPACE(size), socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        return None, []
    descriptors = array.array("i")
    for level, kind, content in extra:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            usable = len(content) - len(content) % descriptors.itemsize
            descriptors.frombytes(content[:usable])
    return (json.loads(data) if data else None), list(descriptors)
