"""Operators that run together, on pieces of the panel that stay in the processor's cache.

Only the last value is written to memory. Threads take one piece after another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alphafoundry.expressions import buffers
from alphafoundry.expressions.compiled import Compiled
from alphafoundry.expressions.registry import Kind, Operator, Pieces
from alphafoundry.expressions.threads import at_most, share

FloatPanel = NDArray[np.float64]

CELLS_AT_ONCE = 32_768
"""Cells of a piece on which everything works cell by cell."""

ROW_CELLS_AT_ONCE = 98_304
"""Cells of a piece of whole rows."""

COLUMNS_AT_ONCE = 256


@dataclass(frozen=True)
class Step:
    """One operator of a run.

    Attributes
    ----------
    name : of its value
    inputs : names of the values it reads
    options : its keywords
    hidden : for each input, whether cells outside the universe have yet to become NaN
    """

    name: str
    operator: Operator
    inputs: tuple[str, ...]
    options: Mapping[str, Any]
    hidden: tuple[bool, ...]


@dataclass(frozen=True)
class Run:
    """What the steps of one run share.

    Attributes
    ----------
    shape : (n_days, n_instruments) of the panel
    outside : True where a cell is outside the universe; None where all are inside
    nan_handling : as of `Evaluator`
    """

    shape: tuple[int, int]
    outside: NDArray[np.bool_] | None
    nan_handling: bool

    def calculate(self, steps: Sequence[Step], pieces: Pieces, values: Mapping[str, Any]) -> Any:
        """Run the steps in order and return the last one's value.

        values : arrays of the panel's shape, and numbers, by name. Where everything is a number
        and works cell by cell, the answer is a number.
        """
        arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
        if pieces is Pieces.CELLS and not arrays:
            return float(self._run(steps, dict(values), self.shape, None, None))
        direct = len(steps) == 1 and isinstance(steps[0].operator.kernel, Compiled)
        if pieces is Pieces.WHOLE or (direct and not self.nan_handling):
            with np.errstate(all="ignore"):
                return self._apply(steps[-1], values, self.shape, self.outside, None)
        out = buffers.empty(self.shape)
        if pieces is Pieces.COLUMNS:
            self._by_columns(steps, values, arrays, out)
        else:
            cells = CELLS_AT_ONCE if pieces is Pieces.CELLS else ROW_CELLS_AT_ONCE
            self._by_rows(steps, values, arrays, out, max(cells // max(self.shape[1], 1), 1))
        return out

    def _by_rows(
        self,
        steps: Sequence[Step],
        values: Mapping[str, Any],
        arrays: Mapping[str, Any],
        out: FloatPanel,
        rows: int,
    ) -> None:
        def fill(first: int, last: int) -> None:
            piece = {name: array[first:last] for name, array in arrays.items()}
            outside = None if self.outside is None else self.outside[first:last]
            shape = (last - first, self.shape[1])
            self._run(steps, {**values, **piece}, shape, outside, out[first:last])

        share(fill, self.shape[0], rows)

    def _by_columns(
        self,
        steps: Sequence[Step],
        values: Mapping[str, Any],
        arrays: Mapping[str, Any],
        out: FloatPanel,
    ) -> None:
        """Kernels know only arrays in C order, so each piece is copied once, into the cache."""

        def fill(first: int, last: int) -> None:
            shape = (self.shape[0], last - first)
            piece = {}
            for name, array in arrays.items():
                piece[name] = buffers.empty(shape)
                piece[name][...] = array[:, first:last]
            outside = None if self.outside is None else self.outside[:, first:last]
            self._run(steps, {**values, **piece}, shape, outside, out[:, first:last])

        share(fill, self.shape[1], COLUMNS_AT_ONCE)

    def _run(
        self,
        steps: Sequence[Step],
        values: dict[str, Any],
        shape: tuple[int, int],
        outside: NDArray[np.bool_] | None,
        out: FloatPanel | None,
    ) -> Any:
        """Run the steps on one piece; the last value goes to out where that is given."""
        last_use = {name: step for step in steps for name in step.inputs}
        result: Any = None
        with at_most(1), np.errstate(all="ignore"):
            for step in steps:
                result = self._apply(
                    step, values, shape, outside, out if step is steps[-1] else None
                )
                values[step.name] = result
                for name in step.inputs:
                    if last_use[name] is step:
                        values.pop(name, None)
            if out is not None and result is not out:
                out[...] = result
        return result

    def _apply(
        self,
        step: Step,
        values: Mapping[str, Any],
        shape: tuple[int, int],
        outside: NDArray[np.bool_] | None,
        out: FloatPanel | None,
    ) -> Any:
        operator = step.operator
        kernel = operator.kernel
        if operator.elementwise:
            inputs = [values[name] for name in step.inputs]
            if operator.ufunc is not None and len(inputs) <= 2 and not any(step.options.values()):
                kernel = operator.ufunc
            if not isinstance(kernel, np.ufunc):
                return kernel(*inputs, **step.options)
            if out is None and any(isinstance(value, np.ndarray) for value in inputs):
                out = buffers.empty(shape)
            return kernel(*inputs, out=out)
        inputs = [
            self._input(step, index, values[name], shape, outside)
            for index, name in enumerate(step.inputs)
        ]
        options = dict(step.options)
        if operator.spreads:
            options["spread"] = self.nan_handling
        if out is not None and out.flags.c_contiguous and isinstance(kernel, Compiled):
            kernel.fill(out, *inputs, *options.values(), *kernel.fixed)
            result = out
        else:
            result = kernel(*inputs, **options)
        if self.nan_handling and operator.category == "Time Series" and operator.has_lookback:
            return _zero_where_window_is_missing(operator, inputs, result)
        return result

    def _input(
        self,
        step: Step,
        index: int,
        value: Any,
        shape: tuple[int, int],
        outside: NDArray[np.bool_] | None,
    ) -> Any:
        kind = step.operator.input_at(index).kind
        if kind is Kind.LOOKBACK:
            return min(int(value), self.shape[0] + 1)
        if kind is Kind.NUMBER:
            return value if step.operator.has_lookback else expand(value, shape)
        if kind is not Kind.MATRIX:
            return value
        panel = expand(value, shape)
        if not step.hidden[index] or outside is None:
            return panel
        return hide(panel, outside)


def expand(value: Any, shape: tuple[int, int]) -> FloatPanel:
    """Return an array as it is, a number as an array of that shape."""
    if isinstance(value, np.ndarray):
        return value
    panel = buffers.empty(shape)
    panel.fill(float(value))
    return panel


def hide(values: FloatPanel, outside: NDArray[np.bool_]) -> FloatPanel:
    """Return a copy with NaN where outside is True."""
    hidden = buffers.empty(values.shape)
    hidden[...] = values
    np.copyto(hidden, np.nan, where=outside)
    return hidden


def _zero_where_window_is_missing(
    operator: Operator, inputs: list[Any], result: FloatPanel
) -> FloatPanel:
    """Put 0 for NaN where all of the first input's window is NaN."""
    kinds = [operator.input_at(index).kind for index in range(len(inputs))]
    days: int = inputs[kinds.index(Kind.LOOKBACK)]
    data: FloatPanel = inputs[kinds.index(Kind.MATRIX)]
    window = days + 1 if operator.name in ("ts_delay", "ts_delta") else days
    if window > len(data):
        return result
    missing = np.zeros((len(data) + 1, data.shape[1]), np.int32)
    np.cumsum(np.isnan(data), axis=0, out=missing[1:])
    late = result[window - 1 :]
    late[(missing[window:] - missing[:-window] == window) & np.isnan(late)] = 0.0
    return result
