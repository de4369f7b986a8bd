"""Cell-by-cell arithmetic as instructions, and chains of it as programs.

`kernels.program` runs a program. What is here needs no compiler, so operators can name their
instruction without importing one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

ADD, SUBTRACT, MULTIPLY, DIVIDE, MAXIMUM, MINIMUM = range(6)
NEGATE, ABSOLUTE, SIGN, SQUARE, SIGNED_SQUARE, INVERT = range(6, 12)
LESS, LESS_EQUAL, EQUAL, NOT_EQUAL, AND, OR = range(12, 18)
CHOOSE, NOT, IS_NAN = range(18, 21)

NAN_OF_EITHER = frozenset({ADD, SUBTRACT, MULTIPLY, DIVIDE, MAXIMUM, MINIMUM})
"""Arithmetic whose answer is NaN where any of its inputs is."""

INPUTS = 8
"""Arrays that a program can read."""

REGISTERS = 24
"""Intermediate values and constants that a program can hold."""

STRETCH = 8192
"""Cells that an instruction treats at once.

The registers of a usual chain then fit a second-level cache. With shorter stretches they would fit
the nearest one, but reading several inputs in small turns costs far more than that saves: 1.9 times
the time for (close - open) / (high - low + 0.001) with 1024.
"""

OUT = -1
FloatPanel = NDArray[np.float64]


@dataclass(frozen=True)
class Instruction:
    """What does the same as an operator whose keywords have their defaults.

    Attributes
    ----------
    code : the instruction
    operands : places of the operator's inputs, in the order that the instruction wants
    only : the value that the second input must have, where it does it for one value only
    """

    code: int
    operands: tuple[int, ...] = (0, 1)
    only: float | None = None


@dataclass(frozen=True)
class CellStep:
    """One operator of a chain: the name of its value, its instruction, the values it reads."""

    name: str
    instruction: Instruction
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class Program:
    """A chain, ready for `kernels.program.run_program`; the attributes are its arguments."""

    code: NDArray[np.int64]
    constants: FloatPanel
    inputs: tuple[FloatPanel, ...]


class _Full(Exception):
    """More inputs, constants or intermediate values than there are places."""


class _Places:
    """Which place holds which value while a program is written."""

    def __init__(self, steps: Sequence[CellStep], values: Mapping[str, Any]) -> None:
        self.inputs: list[FloatPanel] = []
        self.constants = np.full(REGISTERS, np.nan)
        self._values = values
        self._place: dict[str, int] = {}
        self._free = list(range(INPUTS, INPUTS + REGISTERS))
        self._last_use = {name: step.name for step in steps for name in step.inputs}
        self._registers: set[str] = set()
        # Before any other register is taken: a constant is written once, before the first step.
        for name in dict.fromkeys(name for step in steps for name in step.inputs):
            value = values.get(name)
            if value is not None and not isinstance(value, np.ndarray):
                self._place[name] = self._take()
                self.constants[self._place[name] - INPUTS] = value

    def read(self, name: str) -> int:
        """Return the place of a value, an input getting one on its first use."""
        if name not in self._place:
            if len(self.inputs) == INPUTS:
                raise _Full
            self._place[name] = len(self.inputs)
            self.inputs.append(self._values[name].reshape(-1))
        return self._place[name]

    def write(self, name: str) -> int:
        """Return a place for an intermediate value."""
        self._place[name] = self._take()
        self._registers.add(name)
        return self._place[name]

    def release(self, step: CellStep) -> None:
        """Free the places of intermediate values that no later step reads."""
        for name in set(step.inputs):
            if name in self._registers and self._last_use[name] == step.name:
                self._free.insert(0, self._place[name])

    def scratch(self) -> int:
        """Return a place that stays taken."""
        return self._take()

    def _take(self) -> int:
        if not self._free:
            raise _Full
        return self._free.pop(0)


def written(steps: Sequence[CellStep], values: Mapping[str, Any]) -> Program | None:
    """Return the program that leaves the last step's value in the output.

    values : flat or two-dimensional float64 arrays in C order, and numbers, by name. None where
    the chain needs more places than there are.
    """
    code: list[tuple[int, ...]] = []
    try:
        places = _Places(steps, values)
        for step in steps:
            _write(step, places, OUT if step is steps[-1] else None, code)
    except _Full:
        return None
    inputs = [*places.inputs, *places.inputs[:1] * (INPUTS - len(places.inputs))]
    return Program(np.array(code, np.int64), places.constants, tuple(inputs))


def _write(step: CellStep, places: _Places, to: int | None, code: list[tuple[int, ...]]) -> None:
    """Add a step's instructions; more than two inputs are taken two at a time, as by `reduce`."""
    what = step.instruction
    read = [places.read(name) for name in step.inputs]
    if what.only is None and len(read) > len(what.operands):
        first, *more = read
        between = places.scratch()
        for place in more[:-1]:
            code.append((what.code, first, place, 0, between))
            first = between
        read = [first, more[-1]]
    operands = [read[place] for place in what.operands]
    target = places.write(step.name) if to is None else to
    places.release(step)
    code.append((what.code, *operands, *[0] * (3 - len(operands)), target))
