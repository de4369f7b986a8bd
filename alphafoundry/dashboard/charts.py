"""Charts as data: series over a shared axis, thinned to the width that shows them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Axis = Literal["time", "number"]
Array = NDArray[np.float64]

NARROWEST, WIDEST = 50, 4000


@dataclass(frozen=True, eq=False)
class Chart:
    """Series that share an axis.

    Attributes
    ----------
    x : seconds since 1970 or plain numbers, ascending, shape (n,)
    series : label to values of shape (n,); NaN is a gap
    unit : of the values: "dollars", "percent", "bytes", "ratio", "share" (0 to 1) or ""
    x_name, x_unit : of an axis of plain numbers
    points : dots instead of lines
    marks : (x, label) of moments that are drawn as lines
    note : what a reader must know, such as that prices are SYNTHETIC
    """

    title: str
    x: Array
    series: Mapping[str, Array]
    axis: Axis = "time"
    unit: str = ""
    x_name: str = ""
    x_unit: str = ""
    points: bool = False
    marks: Sequence[tuple[float, str]] = ()
    note: str = ""

    def thinned(self, width: int) -> Chart:
        """Return the chart with at most two points for each of `width` columns and series.

        Least and greatest value of each column are kept, so no peak is lost.
        """
        keep = thin(list(self.series.values()), min(max(width, NARROWEST), WIDEST))
        if keep is None:
            return self
        series = {label: values[keep] for label, values in self.series.items()}
        return replace(self, x=self.x[keep], series=series)

    def to_json(self) -> dict[str, Any]:
        """Return plain values; NaN is null."""
        return {
            "title": self.title,
            "axis": self.axis,
            "unit": self.unit,
            "x_name": self.x_name,
            "x_unit": self.x_unit,
            "points": self.points,
            "note": self.note,
            "x": self.x.tolist(),
            "series": [
                {"label": label, "values": [_plain(value) for value in values.tolist()]}
                for label, values in self.series.items()
            ],
            "marks": [[at, label] for at, label in self.marks],
        }

    def rows(self) -> list[list[Any]]:
        """Return the chart as a table: the axis and each series."""
        columns = list(self.series.values())
        return [
            [_axis_text(at, self.axis), *(_plain(float(values[place])) for values in columns)]
            for place, at in enumerate(self.x.tolist())
        ]


def thin(series: Sequence[Array], width: int) -> NDArray[np.int64] | None:
    """Return which points to keep, ascending; None where there are few enough.

    At most 2 x `width` points in all: each series has its share of the columns.
    """
    count = len(series[0]) if series else 0
    if count <= 2 * width:
        return None
    columns = max(width // len(series), 1)
    edges = np.linspace(0, count, columns + 1).astype(np.int64)
    kept = set[int]()
    for values in series:
        low = np.where(np.isnan(values), np.inf, values)
        high = np.where(np.isnan(values), -np.inf, values)
        for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            if end > begin:
                kept.add(begin + int(np.argmin(low[begin:end])))
                kept.add(begin + int(np.argmax(high[begin:end])))
    kept |= {0, count - 1} if len(kept) + 2 <= 2 * width else set()
    return np.array(sorted(kept), dtype=np.int64)


def seconds_of(days: NDArray[np.datetime64]) -> Array:
    """Return days as seconds since 1970."""
    return days.astype("datetime64[s]").astype(np.int64).astype(np.float64)


def _plain(value: float) -> float | None:
    return float(f"{value:.8g}") if math.isfinite(value) else None


def _axis_text(at: float, axis: Axis) -> Any:
    if axis == "number":
        return _plain(at)
    moment = datetime.fromtimestamp(at, UTC)
    return moment.date().isoformat() if at % 86400 == 0 else moment.strftime("%Y-%m-%d %H:%M:%S")
