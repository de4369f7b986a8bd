"""Chains of cell-by-cell operators, calculated in stretches that stay in the processor's cache."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alphafoundry.expressions import buffers
from alphafoundry.expressions.instructions import CellStep, Instruction, Program, written
from alphafoundry.expressions.threads import share, threads_here

CELLS_AT_ONCE = 32_768
_PROGRAM = "alphafoundry.expressions.kernels.program"


@dataclass(frozen=True)
class Step:
    """One operator of a chain.

    Attributes
    ----------
    name : of its value
    inputs : names of the values it reads
    options : its keywords
    instruction : what does the same in a program, None where nothing does
    """

    name: str
    kernel: Callable[..., Any]
    inputs: tuple[str, ...]
    options: Mapping[str, Any]
    instruction: Instruction | None


def calculate(
    steps: Sequence[Step], values: Mapping[str, Any], shape: tuple[int, int]
) -> NDArray[np.float64] | float:
    """Run the steps in order and return the last one's value.

    values : arrays of that shape (n_days, n_instruments), and numbers, by name. With numbers
    only, the answer is a number.
    """
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    numbers = {name: value for name, value in values.items() if name not in arrays}
    if not arrays:
        with np.errstate(all="ignore"):
            return float(_run(steps, dict(numbers), None))
    out = buffers.empty(shape)
    program = _program(steps, values)
    if program is not None:
        run_program = importlib.import_module(_PROGRAM).run_program
        flat = out.reshape(-1)
        share(
            lambda first, last: run_program(
                program.code, program.constants, program.inputs, flat, first, last
            ),
            flat.size,
            max(-(-flat.size // threads_here()), CELLS_AT_ONCE),
        )
        return out

    def fill(first: int, last: int) -> None:
        block: dict[str, Any] = {name: array[first:last] for name, array in arrays.items()}
        with np.errstate(all="ignore"):
            _run(steps, block | numbers, out[first:last])

    share(fill, shape[0], max(CELLS_AT_ONCE // max(shape[1], 1), 1))
    return out


def _program(steps: Sequence[Step], values: Mapping[str, Any]) -> Program | None:
    """Return the steps as a program, None where one of them has to be done otherwise."""
    chain = []
    for step in steps:
        what = step.instruction
        if what is None or any(step.options.values()):
            return None
        if what.only is not None:
            second = values.get(step.inputs[1])
            if isinstance(second, np.ndarray) or second != what.only:
                return None
        inputs = step.inputs[:1] if what.only is not None else step.inputs
        chain.append(CellStep(step.name, what, inputs))
    arrays = (value for value in values.values() if isinstance(value, np.ndarray))
    fits = all(array.flags.carray and array.dtype == np.float64 for array in arrays)
    return written(chain, values) if fits else None


def _run(steps: Sequence[Step], values: dict[str, Any], out: NDArray[np.float64] | None) -> Any:
    result: Any = None
    for step in steps:
        inputs = [values[name] for name in step.inputs]
        if step is steps[-1] and out is not None:
            if isinstance(step.kernel, np.ufunc):
                return step.kernel(*inputs, out=out)
            out[...] = step.kernel(*inputs, **step.options)
            return out
        result = step.kernel(*inputs, **step.options)
        values[step.name] = result
    return result
