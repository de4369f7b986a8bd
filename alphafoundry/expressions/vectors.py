"""VECTOR fields: a list of values per day and instrument."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class VectorField:
    """A ragged panel.

    Attributes
    ----------
    values : float64 array of all values, day by day, instrument by instrument
    offsets : int64 array of shape (n_days * n_instruments + 1,); the values of instrument j on
        day t are values[offsets[t * n_instruments + j] : offsets[t * n_instruments + j + 1]]
    shape : (n_days, n_instruments)
    """

    values: NDArray[np.float64]
    offsets: NDArray[np.int64]
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        days, names = self.shape
        if self.offsets.shape != (days * names + 1,):
            raise ValueError(f"offsets must have {days * names + 1} entries for shape {self.shape}")
        if np.any(np.diff(self.offsets) < 0) or self.offsets[0] != 0:
            raise ValueError("offsets must start at 0 and never fall")
        if self.offsets[-1] != len(self.values):
            raise ValueError("the last offset must be the number of values")
