"""The bytes between the sandbox and its child process.

To the child: a 4-byte length and a message. From the child: a header (kind, sequence number,
payload length) and a payload of bounded size, fixed fields and text only, so that reading a
hostile child's answer can neither run code nor take more memory than the bound.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, get_args

from alphafoundry.algorithms.contract import FailureKind

LENGTH: Final = struct.Struct("<I")
"""Before each message to the child: its length in bytes."""

STEP: Final = struct.Struct("<II")
"""Start of a step: sequence number, number of calls."""

CALL: Final = struct.Struct("<IIddddddq")
"""One call: ticker index, tick, open, high, low, close, volume, cash (dollars), shares held."""

HEADER: Final = struct.Struct("<BII")
"""Before each message from the child: kind, sequence number, payload length in bytes."""

READY, LOADED, DECISIONS, FAILED = 1, 2, 3, 4

DECISION: Final = struct.Struct("<Bq")
"""One decision: what, and a quantity that is `ALL` where the order names none."""

HOLD, BUY, SELL, CALL_FAILED = 0, 1, 2, 3
ALL: Final = -1
LARGEST_QUANTITY: Final = 2**53

NOTE: Final = struct.Struct("<IBiH")
"""Before a text about a failure: call index, index in `KINDS`, line or 0, text length in bytes."""

KINDS: Final[Sequence[FailureKind]] = get_args(FailureKind)
LONGEST_TEXT: Final = 400
MOST_NOTES: Final = 8
RESPONSE_FD: Final = 3
"""The descriptor that the child answers on; it reads from 0."""


def note(call: int, kind: FailureKind, line: int | None, reason: str) -> bytes:
    """Return the bytes of a failure; the text is cut to `LONGEST_TEXT` bytes."""
    text = reason.encode("utf-8", "replace")[:LONGEST_TEXT]
    return NOTE.pack(call, KINDS.index(kind), line or 0, len(text)) + text


def read_notes(payload: bytes) -> list[tuple[int, FailureKind, int | None, str]]:
    """Return (call, kind, line, reason) of each note; ValueError where the bytes are none."""
    found: list[tuple[int, FailureKind, int | None, str]] = []
    position = 0
    while position < len(payload):
        if len(payload) - position < NOTE.size:
            raise ValueError("a cut note")
        call, kind, line, length = NOTE.unpack_from(payload, position)
        position += NOTE.size
        text = payload[position : position + length]
        position += length
        if len(text) != length or length > LONGEST_TEXT or kind >= len(KINDS) or line < 0:
            raise ValueError("a malformed note")
        found.append((call, KINDS[kind], line or None, plain(text.decode("utf-8", "replace"))))
    return found


def plain(text: str, longest: int = 200) -> str:
    """Return text as one line of printable characters, cut to `longest`."""
    shown = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"
