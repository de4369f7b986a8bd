"""The program of the sandbox's child process: builds its walls, then runs one algorithm.

It is started with nothing on the import path but this package and NumPy's folder, and speaks the
protocol of `sandbox_wire` on descriptors 0 and 3. It holds only bars that the arena has sent.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from enum import Enum
from types import FrameType, ModuleType, TracebackType
from typing import Any, Final, NoReturn, TypeGuard

import numpy as np

from alphafoundry.algorithms import sandbox_wire as wire
from alphafoundry.algorithms.contract import FailureKind
from alphafoundry.algorithms.sandbox_child_namespace import (
    FIELDS,
    FILENAME,
    History,
    load_modules,
    make_namespace,
    shown_modules,
)
from alphafoundry.algorithms.sandbox_child_walls import build_walls

LAST_RESORTS: Final[dict[type[BaseException], FailureKind]] = {
    SystemExit: "exit",
    KeyboardInterrupt: "exit",
    GeneratorExit: "exit",
    MemoryError: "memory",
    RecursionError: "recursion",
}
"""Exceptions after which the algorithm is not asked again."""


class Child:
    """One algorithm, its namespaces by ticker, and the two pipes."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.call_seconds: float = settings["call_seconds"]
        self.load_seconds: float = settings["load_seconds"]
        self.output_left: int = settings["output_bytes"]
        self.sequence = 0
        self.call = 0
        self.histories: list[History] = []
        self.functions: list[Callable[..., object]] = []
        self.names: list[str] = []
        self.full = False
        self.order: tuple[int, ...] = ()
        self.modules: dict[str, ModuleType] = {}

    def load(self, message: bytes) -> None:
        """Run the algorithm's module once for each ticker."""
        length = wire.LENGTH.unpack_from(message)[0]
        program = json.loads(message[wire.LENGTH.size : wire.LENGTH.size + length])
        past = np.frombuffer(message, np.float64, offset=wire.LENGTH.size + length)
        past = past.reshape(-1, len(FIELDS))
        self.names = program["tickers"]
        self.full = program["signature"] == "full"
        self.order = tuple(program["order"])
        start = 0
        signal.signal(signal.SIGPROF, self.out_of_time)
        signal.setitimer(signal.ITIMER_PROF, self.load_seconds)
        for days in program["days"]:
            self.histories.append(History(past[start : start + days]))
            start += days
        del past, message
        try:
            code = compile(program["source"], FILENAME, "exec", dont_inherit=True)
            for history in self.histories:
                namespace = make_namespace(self.modules, history, self.output)
                exec(code, namespace)  # noqa: S102 - this is the sandbox
                self.functions.append(namespace["execute_trade"])
        except BaseException as error:
            self.fail_with(error)
        signal.setitimer(signal.ITIMER_PROF, 0)

    def step(self, message: bytes) -> bytes:
        """Return the decisions of one step's calls, and notes about those that failed."""
        self.sequence, count = wire.STEP.unpack_from(message)
        decisions = []
        notes: list[bytes] = []
        limit, arm = self.call_seconds, signal.setitimer
        for index, (ticker, tick, *bar, cash, shares) in enumerate(
            wire.CALL.iter_unpack(message[wire.STEP.size :])
        ):
            self.histories[ticker].append(bar)
            self.call = index
            arm(signal.ITIMER_PROF, limit)
            try:
                given: tuple[object, ...] = (self.names[ticker], cash, shares)
                if self.full:
                    given = (self.names[ticker], bar[3], tick, cash, shares)
                answer = self.functions[ticker](*[given[place] for place in self.order])
                decision = read_decision(answer, full=self.full)
                arm(signal.ITIMER_PROF, 0)
            except BaseException as error:
                if not isinstance(error, Exception) or isinstance(error, tuple(LAST_RESORTS)):
                    self.fail_with(error)
                kind: FailureKind = "bad-order" if isinstance(error, BadOrder) else "error"
                decision = (wire.CALL_FAILED, wire.ALL)
                if len(notes) < wire.MOST_NOTES:
                    line = line_of(error.__traceback__)
                    notes.append(wire.note(index, kind, line, describe(error)))
                arm(signal.ITIMER_PROF, 0)
            decisions.append(wire.DECISION.pack(*decision))
        if len(decisions) != count:
            os._exit(1)
        return b"".join((*decisions, *notes))

    def output(
        self, *values: object, sep: str | None = " ", end: str | None = "\n", **_: Any
    ) -> None:
        """Count what the algorithm prints and throw it away."""
        self.output_left -= sum(len(str(value)) + 1 for value in values)
        if self.output_left < 0:
            self.fail("output", "printed more than the limit", _line(sys._getframe(1)))

    def out_of_time(self, number: int, frame: FrameType | None) -> None:
        """End the process: a call or the module took too long."""
        if len(self.functions) < len(self.histories):
            reason = f"its module took longer than {self.load_seconds:g} s"
        else:
            reason = f"one call took longer than {self.call_seconds:g} s"
        self.fail("time", reason, _line(frame))

    def forbidden(self, what: str) -> None:
        """End the process: the algorithm tried what is forbidden."""
        self.fail("forbidden", what, _line(sys._getframe(1)))

    def fail_with(self, error: BaseException) -> NoReturn:
        """End the process for an exception."""
        kind: FailureKind = "error"
        for each, name in LAST_RESORTS.items():
            if isinstance(error, each):
                kind = name
        self.fail(kind, describe(error), line_of(error.__traceback__))

    def fail(self, kind: FailureKind, reason: str, line: int | None) -> NoReturn:
        """Report the failure and end the process."""
        # No finally clause or handler of the algorithm gets to run after this.
        send(wire.FAILED, self.sequence, wire.note(self.call, kind, line, reason))
        os._exit(0)


class BadOrder(Exception):
    """The algorithm's answer is no order."""


_SIDES: Final = {"BUY": wire.BUY, "SELL": wire.SELL}
_SIDE_KEYS: Final = (
    "action", "side", "signal", "order", "decision", "type", "direction", "operation",
)  # fmt: skip
_QUANTITY_KEYS: Final = ("quantity", "qty", "shares")
_OTHER_AMOUNTS: Final = (
    "size", "amount", "units", "volume", "value", "notional", "weight", "fraction", "percent",
    "allocation",
)  # fmt: skip
"""Keys of an order that might mean shares, dollars or a part of the cash."""

_ORDER_IN_A_TEXT: Final = re.compile(
    r"(BUY|SELL|HOLD)(?:[ :,]+|\s*\|\s*(?:[A-Z^][\w.^=-]*\s*\|\s*)?)(\d+)(?: SHARES?)?"
)


def read_decision(answer: object, *, full: bool) -> tuple[int, int]:
    """Return (what, quantity) of an answer; raises `BadOrder`.

    An order may be written in any form that has one meaning: a side, a side and a quantity as a
    pair in either order, as a dict or as a text, each with a reason besides; a function that ends
    without an answer orders nothing. A quantity above 1 is rounded down to whole shares.
    """
    if answer is None:
        return wire.HOLD, wire.ALL
    side, quantity = _side_and_quantity(answer)
    if side == "HOLD":
        return wire.HOLD, wire.ALL
    if side not in _SIDES:
        raise BadOrder("answered a side that is neither BUY nor SELL")
    if quantity is None:
        if full:
            raise BadOrder(f"answered {side} without a quantity")
        return _SIDES[side], wire.ALL
    if not 0 <= quantity <= wire.LARGEST_QUANTITY or 0 < quantity < 1:
        raise BadOrder(f"answered the quantity {quantity!s:.30}, not a whole number from 0 up")
    if quantity == 0:
        # An order for nothing, as a program gives it whose cash or shares are used up.
        return wire.HOLD, wire.ALL
    return _SIDES[side], int(quantity)


def _side_and_quantity(answer: object) -> tuple[str, int | float | None]:
    """Take an order apart; the quantity is None where there is none."""
    word = _word(answer)
    if word is not None:
        found = _ORDER_IN_A_TEXT.fullmatch(word)
        if found:
            return found.group(1), int(found.group(2))
        if word not in ("HOLD", *_SIDES):
            raise BadOrder(f"answered {word!r:.60}")
        return word, None
    answer = _held(answer)
    if isinstance(answer, dict):
        given = answer
        words = {_word(answer[key]): answer[key] for key in _SIDE_KEYS if key in answer}
        sides = [value for word, value in words.items() if word in ("HOLD", *_SIDES)]
        answer = [*sides, *(answer[key] for key in _QUANTITY_KEYS if key in answer)]
        if len(sides) != 1:
            raise BadOrder("answered a dict without one key 'action'")
        unclear = [key for key in _OTHER_AMOUNTS if given.get(key) is not None]
        if unclear and len(answer) == 1 and _word(sides[0]) != "HOLD":
            raise BadOrder(
                f"answered {unclear[0]!r}, which says no number of shares; write 'quantity'"
            )
    if not isinstance(answer, (tuple, list)) or not 1 <= len(answer) <= 3:
        raise BadOrder(f"answered a {type(answer).__name__:.40}, not an order")
    parts = list(answer)
    if len(parts) > 1 and _is_number(parts[0]) and _word(parts[1]) is not None:
        parts[:2] = parts[1], parts[0]
    side = _word(parts[0]) or ""
    if side == "HOLD":
        return side, None
    numbers = [part for part in parts[1:] if _is_number(part)]
    if len(numbers) > 1 or not all(_is_number(p) or _word(p) is not None for p in parts[1:]):
        raise BadOrder(f"answered a {type(answer).__name__:.40} that is not an order")
    if len(parts) > 1 and (_word(parts[1]) or "")[:1].isdigit():
        raise BadOrder("answered a quantity that is no number")
    return side, numbers[0] if numbers else None


def _held(answer: object) -> object:
    """Return what an object of a class of the program's own holds, as a dict."""
    if dataclasses.is_dataclass(answer) and not isinstance(answer, type):
        return {each.name: getattr(answer, each.name) for each in dataclasses.fields(answer)}
    if isinstance(answer, (tuple, list, dict)):
        return answer
    slots = [vars(kind).get("__slots__", ()) for kind in type(answer).__mro__]
    names = [name for one in slots for name in ([one] if isinstance(one, str) else one)]
    held = {name: getattr(answer, name) for name in names if hasattr(answer, name)}
    return held | getattr(answer, "__dict__", {}) or answer


def _word(value: object) -> str | None:
    """Return a text, or the text of a member of an enumeration or its name, in capitals."""
    if isinstance(value, Enum):
        named = value.name.upper() in ("HOLD", *_SIDES)
        value = value.name if named else value.value
    return str(value).strip().upper() if isinstance(value, str) else None


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(
        value, (bool, np.bool_)
    )


def describe(error: BaseException) -> str:
    """Return 'Type: text' of an exception, whatever its own methods do."""
    name = type(error).__name__
    if isinstance(error, BadOrder):
        return str(error)
    try:
        text = str(error)
    except Exception:
        text = "its text cannot be shown"
    return f"{name}: {text}" if text else name


def line_of(trace: TracebackType | None) -> int | None:
    """Return the innermost line of the algorithm in a traceback."""
    line = None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == FILENAME:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _line(frame: FrameType | None) -> int | None:
    while frame is not None:
        if frame.f_code.co_filename == FILENAME:
            return frame.f_lineno
        frame = frame.f_back
    return None


def receive() -> bytes:
    """Return the next message; ends the process where the arena has closed the pipe."""
    return _read(wire.LENGTH.unpack(_read(wire.LENGTH.size))[0])


def _read(size: int) -> bytes:
    parts = []
    while size:
        part = os.read(0, min(size, 1 << 20))
        if not part:
            os._exit(0)
        parts.append(part)
        size -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def send(kind: int, sequence: int, payload: bytes) -> None:
    """Write one message to the arena."""
    message = wire.HEADER.pack(kind, sequence, len(payload)) + payload
    while message:
        message = message[os.write(wire.RESPONSE_FD, message) :]


def main() -> None:
    """Build the walls, load the algorithm, answer steps until the pipe closes."""
    settings = json.loads(receive())
    # pandas without it needs less memory and starts no threads.
    sys.modules["pyarrow"] = None  # type: ignore[assignment]
    child = Child(settings)
    try:
        load_modules(pandas=settings["pandas"])
        child.modules = shown_modules(pandas=settings["pandas"])
        walls = build_walls(
            memory_bytes=settings["memory_bytes"],
            cpu_seconds=settings["cpu_seconds"],
            parent=settings["parent"],
            on_violation=child.forbidden,
        )
    except Exception as error:
        child.fail("start", describe(error), None)
    send(wire.READY, 0, json.dumps(walls).encode())
    child.load(receive())
    send(wire.LOADED, 0, b"")
    while True:
        message = receive()
        decisions = child.step(message)
        send(wire.DECISIONS, child.sequence, decisions)
