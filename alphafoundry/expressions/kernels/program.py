"""Chains of cell-by-cell arithmetic, interpreted over stretches that stay in the cache.

A program is a list of instructions over numbered places: inputs first, then registers. Each
instruction is one loop of vector code over a stretch of cells, so a chain reads its inputs and
writes its answer once, whatever its length, and no expression needs a compiler.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from alphafoundry.compilation import FloatPanel, kernel
from alphafoundry.expressions.instructions import (
    ABSOLUTE,
    ADD,
    AND,
    DIVIDE,
    EQUAL,
    INPUTS,
    INVERT,
    LESS,
    LESS_EQUAL,
    MAXIMUM,
    MINIMUM,
    MULTIPLY,
    NEGATE,
    NOT,
    NOT_EQUAL,
    OR,
    REGISTERS,
    SIGN,
    SIGNED_SQUARE,
    SQUARE,
    STRETCH,
    SUBTRACT,
)

Cells = NDArray[np.float64]
Code = NDArray[np.int64]


@kernel
def _arithmetic(code: int, a: Cells, b: Cells, out: Cells) -> None:
    n = out.shape[0]
    if code == ADD:
        for j in range(n):
            out[j] = a[j] + b[j]
    elif code == SUBTRACT:
        for j in range(n):
            out[j] = a[j] - b[j]
    elif code == MULTIPLY:
        for j in range(n):
            out[j] = a[j] * b[j]
    elif code == DIVIDE:
        for j in range(n):
            out[j] = a[j] / b[j]
    elif code == MAXIMUM:
        for j in range(n):
            larger = a[j] if a[j] >= b[j] else b[j]
            out[j] = a[j] if math.isnan(a[j]) else larger
    else:
        for j in range(n):
            smaller = a[j] if a[j] <= b[j] else b[j]
            out[j] = a[j] if math.isnan(a[j]) else smaller


@kernel
def _of_one(code: int, a: Cells, out: Cells) -> None:  # noqa: PLR0912
    n = out.shape[0]
    if code == NEGATE:
        for j in range(n):
            out[j] = -a[j]
    elif code == ABSOLUTE:
        for j in range(n):
            out[j] = abs(a[j])
    elif code == SIGN:
        for j in range(n):
            sign = (1.0 if a[j] > 0.0 else 0.0) - (1.0 if a[j] < 0.0 else 0.0)
            out[j] = a[j] if math.isnan(a[j]) else sign
    elif code == SQUARE:
        for j in range(n):
            out[j] = a[j] * a[j]
    elif code == SIGNED_SQUARE:
        for j in range(n):
            out[j] = a[j] * abs(a[j])
    elif code == INVERT:
        for j in range(n):
            out[j] = 1.0 / a[j]
    elif code == NOT:
        for j in range(n):
            known = 1.0 if a[j] == 0.0 else 0.0
            out[j] = math.nan if math.isnan(a[j]) else known
    else:
        for j in range(n):
            out[j] = 1.0 if math.isnan(a[j]) else 0.0


@kernel
def _compare(code: int, a: Cells, b: Cells, out: Cells) -> None:
    """Answer 1 for yes, 0 for no, NaN where either side is."""
    n = out.shape[0]
    if code == LESS:
        for j in range(n):
            known = 1.0 if a[j] < b[j] else 0.0
            out[j] = math.nan if math.isnan(a[j]) | math.isnan(b[j]) else known
    elif code == LESS_EQUAL:
        for j in range(n):
            known = 1.0 if a[j] <= b[j] else 0.0
            out[j] = math.nan if math.isnan(a[j]) | math.isnan(b[j]) else known
    elif code == EQUAL:
        for j in range(n):
            known = 1.0 if a[j] == b[j] else 0.0
            out[j] = math.nan if math.isnan(a[j]) | math.isnan(b[j]) else known
    elif code == NOT_EQUAL:
        for j in range(n):
            known = 1.0 if a[j] != b[j] else 0.0
            out[j] = math.nan if math.isnan(a[j]) | math.isnan(b[j]) else known
    elif code == AND:
        for j in range(n):
            known = 1.0 if (a[j] != 0.0) & (b[j] != 0.0) else 0.0
            out[j] = math.nan if math.isnan(a[j]) | math.isnan(b[j]) else known
    else:
        for j in range(n):
            known = 1.0 if (a[j] != 0.0) | (b[j] != 0.0) else 0.0
            out[j] = math.nan if math.isnan(a[j]) | math.isnan(b[j]) else known


@kernel
def _choose(c: Cells, a: Cells, b: Cells, out: Cells) -> None:
    """Answer a where c is not 0, else b; NaN where c is."""
    for j in range(out.shape[0]):
        chosen = a[j] if c[j] != 0.0 else b[j]
        out[j] = math.nan if math.isnan(c[j]) else chosen


@kernel
def _at(
    place: int, inputs: tuple[Cells, ...], registers: FloatPanel, start: int, count: int
) -> Cells:
    if place < INPUTS:
        return inputs[place][start : start + count]
    return registers[place - INPUTS, :count]


@kernel
def _registers(code: Code, constants: Cells, size: int) -> FloatPanel:
    """Return a row for each register that the code names, constants written out."""
    written = np.zeros(REGISTERS, np.bool_)
    used = 0
    for i in range(code.shape[0]):
        for k in range(1, 5):
            used = max(used, code[i, k] - INPUTS + 1)
        if code[i, 4] >= INPUTS:
            written[code[i, 4] - INPUTS] = True
    registers = np.empty((used, size))
    for k in range(used):
        if not written[k]:
            registers[k, :] = constants[k]
    return registers


@kernel
def run_program(
    code: Code,
    constants: Cells,
    inputs: tuple[Cells, ...],
    out: Cells,
    first: int,
    last: int,
) -> None:
    """Run the instructions on cells first..last of flat arrays.

    code : shape (n_instructions, 5): what, the places of up to three operands, and the place of
        the result. A place below INPUTS is an input, others are registers; -1 is out
    constants : values of the registers before the program begins, NaN where that is open
    inputs : INPUTS arrays of one length
    """
    registers = _registers(code, constants, min(STRETCH, last - first))
    for start in range(first, last, STRETCH):
        count = min(STRETCH, last - start)
        for i in range(code.shape[0]):
            what = code[i, 0]
            a = _at(code[i, 1], inputs, registers, start, count)
            b = _at(code[i, 2], inputs, registers, start, count)
            to = code[i, 4]
            answer = out[start : start + count]
            if to >= 0:
                answer = _at(to, inputs, registers, start, count)
            if what <= MINIMUM:
                _arithmetic(what, a, b, answer)
            elif what < LESS or what >= NOT:
                _of_one(what, a, answer)
            elif what <= OR:
                _compare(what, a, b, answer)
            else:
                _choose(a, b, _at(code[i, 3], inputs, registers, start, count), answer)
