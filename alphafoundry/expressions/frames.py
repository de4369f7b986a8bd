"""Wide tables in memory as the arrays that expressions read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import MarketError

if TYPE_CHECKING:
    import pandas as pd


def arrays_of(data: Any) -> dict[str, NDArray[Any]]:
    """Return name to array of shape (n_days, n_instruments) of a mapping of name to wide table.

    Parameters
    ----------
    data : name to an array, a pandas or polars DataFrame or an arrow table. A first column of
        dates is taken for the days. Tables with the same days and instruments in another order
        are brought into the order of the first

    Raises MarketError where `data` is no mapping, where a table holds what is no number, or where
    tables are of different days or instruments.
    """
    if not isinstance(data, Mapping):
        raise MarketError(
            f"a {type(data).__name__} is no mapping of fields; give a panel, or name to wide table "
            "(days down, instruments across) such as {'close': frame}; for a table of bars use "
            "alphafoundry.market.load_frame(table)"
        )
    arrays: dict[str, NDArray[Any]] = {}
    first: tuple[str, pd.DataFrame] | None = None
    for name, value in data.items():
        if isinstance(value, np.ndarray):
            arrays[name] = value
            continue
        frame = _frame(value)
        if frame is None:
            arrays[name] = np.asarray(value)
            continue
        if first is None:
            first = name, frame
        arrays[name] = _in_order(name, frame, *first)
    return arrays


def _frame(value: Any) -> pd.DataFrame | None:
    """Return a wide table as a DataFrame with its days as index; None where it is no table."""
    import pandas as pd

    frame = value if isinstance(value, pd.DataFrame) else None
    if frame is None and hasattr(value, "to_pandas") and not isinstance(value, pd.Series):
        converted = value.to_pandas()
        frame = converted if isinstance(converted, pd.DataFrame) else None
    if frame is None or not len(frame.columns):
        return frame
    start = frame.iloc[:, 0]
    dated = pd.api.types.is_datetime64_any_dtype(start) or (
        start.dtype == object and all(hasattr(day, "year") for day in start)
    )
    return frame.set_index(frame.columns[0]) if dated else frame


def _in_order(name: str, frame: pd.DataFrame, first_name: str, first: pd.DataFrame) -> NDArray[Any]:
    for axis, labels, wanted in (
        ("days", frame.index, first.index),
        ("instruments", frame.columns, first.columns),
    ):
        if not labels.equals(wanted) and (
            len(labels) != len(wanted) or not labels.is_unique or not labels.isin(wanted).all()
        ):
            raise MarketError(
                f"{name} and {first_name} are of different {axis}; bring them to the same ones, "
                "with frame.reindex_like"
            )
    ordered = frame if frame is first else frame.reindex(index=first.index, columns=first.columns)
    if all(isinstance(kind, np.dtype) and kind.kind in "fiub" for kind in ordered.dtypes):
        return ordered.to_numpy()
    try:
        return ordered.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        raise MarketError(
            f"{name} holds what is no number; give one column of numbers for each instrument, "
            "with the days as index"
        ) from None
