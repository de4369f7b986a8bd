"""The data that an evaluator reads: checked, masked and laid out for the kernels."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from alphafoundry.expressions import buffers
from alphafoundry.expressions.threads import ROWS_AT_ONCE, share
from alphafoundry.expressions.units import DEFAULT_FIELDS, FieldInfo
from alphafoundry.expressions.vectors import VectorField

FloatPanel = NDArray[np.float64]
GroupPanel = NDArray[np.int32]
Values = TypeVar("Values")

_LARGEST_LABEL = 65_536


class Inputs:
    """Fields, groups and vectors of one panel; each is prepared on its first use.

    Attributes
    ----------
    shape : (n_days, n_instruments)
    infos : name to what `check` needs to know
    outside : True where the mask hides the cell; None where it hides nothing

    kept_as : the type in which prepared fields are kept; they are read as float64

    Raises ValueError where shapes differ, a name is used twice or there is nothing.
    """

    def __init__(
        self,
        fields: Mapping[str, FloatPanel],
        groups: Mapping[str, GroupPanel],
        vectors: Mapping[str, VectorField],
        mask: NDArray[np.bool_] | None,
        kept_as: type[np.float64] | type[np.float32] = np.float64,
    ) -> None:
        self._fields = _lowered(fields)
        self._groups = _lowered(groups)
        self._vectors = _lowered(vectors)
        self._kept_as = kept_as
        named: list[tuple[str, Any]] = [
            *self._fields.items(),
            *self._groups.items(),
            *self._vectors.items(),
        ]
        if len({name for name, _ in named}) < len(fields) + len(groups) + len(vectors):
            raise ValueError("a field, group or vector has the name of another")
        self.shape = _common_shape([*named, *([] if mask is None else [("mask", mask)])])
        self.outside = None if mask is None or bool(np.all(mask)) else ~np.asarray(mask, bool)
        self.infos = self._describe()
        self._prepared: dict[str, NDArray[Any]] = {}
        self._lock = threading.Lock()

    def read(self, name: str) -> FloatPanel | GroupPanel | VectorField:
        """Return the values of a field (NaN where hidden), a group or a vector."""
        if name in self._vectors:
            return self._vectors[name]
        with self._lock:
            kept = self._prepared.get(name)
        if kept is None:
            made = self._prepare(name)
            with self._lock:
                kept = self._prepared.setdefault(name, made)
        return kept.astype(np.float64) if kept.dtype == np.float32 else kept

    def _prepare(self, name: str) -> NDArray[Any]:
        if name in self._groups:
            return _group_panel(self._groups[name])
        values = _writeable(self._fields[name], self._kept_as)
        if self._kept_as is np.float64 or self.outside is None:
            return self.hide(values)
        return np.where(self.outside, np.float32(np.nan), values)

    def hide(self, values: FloatPanel) -> FloatPanel:
        """Return the values with NaN where the mask hides the cell."""
        outside = self.outside
        if outside is None:
            return values
        hidden = buffers.empty(values.shape)

        def fill(first: int, last: int) -> None:
            hidden[first:last] = values[first:last]
            np.copyto(hidden[first:last], np.nan, where=outside[first:last])

        share(fill, len(values), ROWS_AT_ONCE)
        return hidden

    def _describe(self) -> dict[str, FieldInfo]:
        infos: dict[str, FieldInfo] = {}
        for name in self._fields:
            known = DEFAULT_FIELDS.get(name)
            fits = known is not None and known.type == "MATRIX"
            infos[name] = known if known and fits else FieldInfo(name, "MATRIX")
        infos.update({name: FieldInfo(name, "GROUP") for name in self._groups})
        infos.update({name: FieldInfo(name, "VECTOR") for name in self._vectors})
        return infos


def _lowered(named: Mapping[str, Values]) -> dict[str, Values]:
    """Return the same with names as expressions have them: in lower case."""
    return {name.lower() if name.isidentifier() else name: found for name, found in named.items()}


def _common_shape(named: Iterable[tuple[str, Any]]) -> tuple[int, int]:
    shape: tuple[int, int] | None = None
    for name, values in named:
        found = tuple(values.shape)
        if len(found) != 2 or (shape is not None and found != shape):
            raise ValueError(
                f"{name} has shape {found}, expected {shape or '(n_days, n_instruments)'}"
            )
        shape = found
    if shape is None:
        raise ValueError("an evaluator needs at least one field")
    return shape


def _writeable(values: NDArray[Any], kind: type) -> NDArray[Any]:
    """Return the values in C order; kernels know only one signature, that of writeable arrays."""
    panel: NDArray[Any] = np.ascontiguousarray(values, dtype=kind)
    return panel if panel.flags.writeable else panel.copy()


def _group_panel(labels: GroupPanel) -> GroupPanel:
    """Return int32 labels small enough to count by label."""
    array = np.asarray(labels)
    if int(array.max(initial=-1)) <= _LARGEST_LABEL:
        return _writeable(np.maximum(array, -1), np.int32)
    known = array >= 0
    relabelled = np.full(array.shape, -1, np.int32)
    relabelled[known] = np.unique(array[known], return_inverse=True)[1]
    return relabelled
