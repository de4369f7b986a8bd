"""Tables in memory: pandas, polars, arrow, and mappings of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from alphafoundry.errors import MarketError
from alphafoundry.market.binary_tables import table_of_arrow
from alphafoundry.market.columns import value_column
from alphafoundry.market.tables import Label, RawTable

_TAKEN = (
    "give a pandas or polars DataFrame or an arrow table, or a mapping of symbol to such a table"
)


def tables_of(frame: Any, *, name: str) -> list[RawTable]:
    """Return the tables of what `load_frame` takes. Raises MarketError where it is nothing such."""
    if not isinstance(frame, Mapping):
        return [_table(frame, name=name, stem=name)]
    if not frame:
        raise MarketError(f"{name}: the mapping is empty; {_TAKEN}")
    if all(value_column(str(key)) for key in frame):
        return [_joined(frame, name=name)]
    return [
        replace(_table(part, name=f"{name}[{key!r}]", stem=str(key)), told=True)
        for key, part in frame.items()
    ]


def _joined(frames: Mapping[Any, Any], *, name: str) -> RawTable:
    """Return one table of wide ones, each of which holds one column of the bars."""
    import pandas as pd

    wide = {}
    for key, frame in frames.items():
        if isinstance(frame, pd.DataFrame):
            part = frame
        else:
            part = _arrow_table(frame, name=f"{name}[{key!r}]").to_pandas()
        if isinstance(part.index, pd.RangeIndex) and len(part.columns):
            part = part.set_index(part.columns[0])
        wide[str(key)] = part
    return _pandas_table(pd.concat(wide, axis=1), name=name, stem=name)


def _table(frame: Any, *, name: str, stem: str) -> RawTable:
    import pandas as pd

    if isinstance(frame, pd.Series):
        frame = frame.to_frame(name=frame.name if value_column(str(frame.name)) else "close")
    if isinstance(frame, pd.DataFrame):
        return _pandas_table(frame, name=name, stem=stem)
    return table_of_arrow(_arrow_table(frame, name=name), name=name, stem=stem)


def _arrow_table(frame: Any, *, name: str) -> Any:
    """Return the arrow table of what is no DataFrame of pandas."""
    import pyarrow as pa

    try:
        if isinstance(frame, pa.Table):
            return frame
        if hasattr(frame, "__arrow_c_stream__"):
            return pa.RecordBatchReader.from_stream(frame).read_all()
        if hasattr(frame, "__arrow_c_array__"):
            return pa.Table.from_batches([pa.record_batch(frame)])
        if hasattr(frame, "to_pandas"):
            return pa.Table.from_pandas(frame.to_pandas())
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise MarketError(f"{name}: cannot be read as an arrow table ({error}); {_TAKEN}") from None
    lazy = "; call collect() first" if hasattr(frame, "collect") else ""
    raise MarketError(f"{name}: a {type(frame).__name__} is no table{lazy}; {_TAKEN}")


def _pandas_table(frame: Any, *, name: str, stem: str) -> RawTable:
    """Return the table of a DataFrame, with the parts of its index that say something."""
    import pandas as pd
    import pyarrow as pa

    frame = _with_levels_named(frame)
    levels = [number for number, level in enumerate(frame.index.names) if level is not None]
    dated = isinstance(frame.index, pd.DatetimeIndex | pd.PeriodIndex)
    texts = frame.index.dtype == object or isinstance(frame.index.dtype, pd.StringDtype)
    keep_all = frame.index.nlevels > 1 or dated or texts
    index = frame.index.to_frame(index=False)
    chosen = range(frame.index.nlevels) if keep_all else levels
    labels: list[Label] = [str(frame.index.names[number] or "") for number in chosen]
    columns = [index.iloc[:, number] for number in chosen]
    paired = frame.columns.nlevels == 2
    if frame.columns.nlevels > 2:
        raise MarketError(
            f"{name}: {frame.columns.nlevels} levels of columns; give two (column, symbol), or one"
        )
    for place, label in enumerate(frame.columns):
        labels.append(tuple(map(str, label)) if paired else str(label))  # type: ignore[arg-type]
        columns.append(frame.iloc[:, place])
    try:
        arrays = [_arrow(column) for column in columns]
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise MarketError(f"{name}: a column is of mixed kinds ({error})") from None
    table = pa.table(
        [pa.chunked_array([array]) if isinstance(array, pa.Array) else array for array in arrays],
        names=[str(number) for number in range(len(arrays))],
    )
    return replace(table_of_arrow(table, name=name, stem=stem), labels=tuple(labels))


def _arrow(column: Any) -> Any:
    """Return the arrow array of a column; what pandas holds as objects of many kinds, as texts."""
    import pandas as pd
    import pyarrow as pa

    if isinstance(column.dtype, pd.PeriodDtype):
        column = column.dt.to_timestamp()
    try:
        return pa.array(column, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        texts = [None if pd.isna(cell) else str(cell) for cell in column]
        return pa.array(texts, type=pa.string())


def _with_levels_named(frame: Any) -> Any:
    """Return a frame whose index of two levels says which is the date and which the symbol."""
    import pandas as pd

    if frame.index.nlevels != 2 or not any(level is None for level in frame.index.names):
        return frame
    dated = [isinstance(level, pd.DatetimeIndex) for level in frame.index.levels]
    if sum(dated) != 1:
        return frame
    return frame.set_axis(
        frame.index.set_names(["date", "symbol"] if dated[0] else ["symbol", "date"])
    )
