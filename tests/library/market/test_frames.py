"""A DataFrame of daily bars as a market."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from alphafoundry.errors import MarketError
from alphafoundry.expressions import evaluate
from alphafoundry.market import load_frame, load_market
from alphafoundry.simulation import SimulationSettings, simulate


def bars(days: int = 600, names: int = 30) -> pd.DataFrame:
    random = np.random.default_rng(2)
    dates = pd.bdate_range("2020-01-01", periods=days)
    symbols = [f"S{place:02d}" for place in range(names)]
    close = 50 * np.exp(np.cumsum(random.normal(0, 0.02, (days, names)), axis=0))
    index = pd.MultiIndex.from_product([dates, symbols], names=["date", "symbol"])
    volume = random.integers(1_000, 9_000, days * names)
    return pd.DataFrame({"close": close.ravel(), "volume": volume}, index=index)


def test_a_frame_gives_the_panel_of_the_same_file(tmp_path: Path) -> None:
    frame = bars()
    frame.reset_index().to_parquet(tmp_path / "bars.parquet", index=False)
    read = load_market(str(tmp_path / "bars.parquet"), cache_dir=tmp_path / "cache")
    made = load_frame(frame)
    assert list(made.symbols) == list(read.symbols)
    np.testing.assert_array_equal(made.dates, read.dates)
    for name, values in read.fields.items():
        np.testing.assert_array_equal(made.fields[name], values)


def test_sectors_are_groups() -> None:
    frame = bars().reset_index()
    found = load_frame(frame, sectors={"S00": "Energy", "S01": "Health"})
    assert found.group_names["sector"] == ("Energy", "Health")
    assert list(found.groups["sector"][0, :3]) == [0, 1, -1]


def test_simulate_takes_a_frame() -> None:
    frame = bars().reset_index()
    settings = SimulationSettings(neutralization="MARKET")
    expected = simulate("-ts_delta(close, 5)", load_frame(frame), settings)
    found = simulate("-ts_delta(close, 5)", frame, settings)
    np.testing.assert_array_equal(found.days.pnl, expected.days.pnl)
    assert "sharpe" in repr(found)


def test_evaluate_takes_wide_frames() -> None:
    close = bars()["close"].unstack("symbol")
    expected = close.diff(5).rank(axis=1, method="average").sub(1).div(len(close.columns) - 1)
    np.testing.assert_allclose(
        evaluate("rank(ts_delta(close, 5))", {"close": close}), expected, rtol=1e-12
    )


def test_a_missing_column_is_named() -> None:
    with pytest.raises(MarketError, match="DataFrame: no column close"):
        load_frame(bars().reset_index().rename(columns={"close": "price_now"}))


def closes() -> pd.DataFrame:
    """40 days of three names, wide."""
    draw = np.random.default_rng(4)
    close = 50 * np.exp(np.cumsum(0.02 * draw.standard_normal((40, 3)), axis=0))
    return pd.DataFrame(close, index=pd.bdate_range("2021-01-04", periods=40), columns=list("ABC"))


def long_closes() -> pd.DataFrame:
    return closes().stack().rename("close").rename_axis(["date", "symbol"]).reset_index()


def levels() -> pd.DataFrame:
    wide = {"Close": closes(), "Volume": closes() * 0 + 100}
    return pd.concat(wide, axis=1, names=["Price", "Ticker"]).rename_axis("Date")


def by_symbol() -> dict[str, pd.DataFrame]:
    return {name: column.to_frame("Close") for name, column in closes().items()}


class Converted:
    """What offers only `to_pandas`, as older libraries do."""

    def to_pandas(self) -> pd.DataFrame:
        return long_closes()


SHAPES: dict[str, Callable[[], object]] = {
    "long": long_closes,
    "long, both in the index": lambda: long_closes().set_index(["symbol", "date"]),
    "long, index without names": lambda: (
        long_closes().set_index(["date", "symbol"]).rename_axis([None, None])
    ),
    "long, categories": lambda: long_closes().astype({"symbol": "category"}),
    "long, texts": lambda: long_closes().astype(str),
    "long, nullable": lambda: long_closes().convert_dtypes(),
    "long, arrow types": lambda: long_closes().convert_dtypes(dtype_backend="pyarrow"),
    "series": lambda: long_closes().set_index(["date", "symbol"])["close"],
    "wide": closes,
    "wide, dates as texts": lambda: closes().pipe(
        lambda t: t.set_axis(t.index.strftime("%Y-%m-%d"))
    ),
    "wide, dates as objects": lambda: closes().pipe(lambda t: t.set_axis(t.index.date)),
    "wide, periods": lambda: closes().to_period("D"),
    "wide, a zone": lambda: closes().tz_localize("Asia/Tokyo"),
    "wide, the zone in UTC": lambda: closes().tz_localize("Asia/Tokyo").tz_convert("UTC"),
    "wide, date in a column": lambda: closes().rename_axis("Date").reset_index(),
    "wide, across": lambda: closes().T,
    "two levels": levels,
    "two levels the other way": lambda: levels().swaplevel(axis=1),
    "two levels, sorted": lambda: levels().swaplevel(axis=1).sort_index(axis=1),
    "two levels, date in a column": lambda: levels().reset_index(),
    "by symbol": by_symbol,
    "by symbol, series": lambda: dict(closes().items()),
    "by symbol, stacked": lambda: pd.concat(by_symbol()),
    "by column": lambda: {"close": closes(), "volume": closes() * 0 + 100},
    "arrow": lambda: pa.Table.from_pandas(long_closes()),
    "arrow batch": lambda: pa.RecordBatch.from_pandas(long_closes()),
    "arrow reader": lambda: pa.Table.from_pandas(long_closes()).to_reader(),
    "arrow, wide": lambda: pa.Table.from_pandas(closes()),
    "arrow by column": lambda: {"close": pa.Table.from_pandas(closes())},
    "to_pandas": Converted,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_bars_in_every_shape(shape: str) -> None:
    panel = load_frame(SHAPES[shape]())
    assert panel.symbols.tolist() == ["A", "B", "C"]
    np.testing.assert_array_equal(panel.dates, closes().index.to_numpy().astype("datetime64[D]"))
    np.testing.assert_allclose(panel.fields["close"], closes().to_numpy(), rtol=1e-12)


def test_polars_frames() -> None:
    polars = pytest.importorskip("polars")
    shapes = (long_closes(), closes().rename_axis("date").reset_index())
    for frame in shapes:
        panel = load_frame(polars.from_pandas(frame))
        np.testing.assert_allclose(panel.fields["close"], closes().to_numpy(), rtol=1e-12)
    with pytest.raises(MarketError, match=r"LazyFrame .* collect\(\)"):
        load_frame(polars.from_pandas(long_closes()).lazy())
    wide = polars.from_pandas(closes().rename_axis("date").reset_index())
    np.testing.assert_array_equal(
        evaluate("rank(close)", {"close": wide}), evaluate("rank(close)", {"close": closes()})
    )


def test_one_series_needs_a_name() -> None:
    frame = closes()[["A"]].rename(columns={"A": "Close"})
    with pytest.raises(MarketError, match="symbol='AAPL'"):
        load_frame(frame)
    assert load_frame(frame, symbol="A").symbols.tolist() == ["A"]


@pytest.mark.parametrize(
    ("thing", "part"),
    [
        (closes().to_numpy(), "a ndarray is no table"),
        ([1, 2], "a list is no table"),
        (None, "a NoneType is no table"),
        ("bars.csv", "a str is no table"),
        ({}, "the mapping is empty"),
        (pd.DataFrame(), "no rows"),
        (closes().reset_index(drop=True), "no column date"),
        (pd.concat([closes(), closes()], axis=1), "two columns for A close"),
        (pd.concat({"x": levels()}, axis=1), "3 levels of columns"),
        (long_closes().assign(close="dear"), "row 1: column close is not numeric: 'dear'"),
        (long_closes().assign(date=lambda t: t["date"].where(t.index != 4)), "row 5"),
        (long_closes().assign(symbol=None), "has no symbol"),
    ],
)
def test_what_is_no_table_of_bars(thing: object, part: str) -> None:
    with pytest.raises(MarketError) as error:
        load_frame(thing)
    assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_evaluate_brings_tables_into_one_order() -> None:
    close = closes()
    opened = (close * 0.99).iloc[::-1][["C", "A", "B"]]
    found = evaluate("close - open", {"close": close, "open": opened})
    np.testing.assert_allclose(found, close * 0.01, rtol=1e-9)
    arrow = {"close": pa.Table.from_pandas(close.rename_axis("date").reset_index())}
    np.testing.assert_array_equal(evaluate("close", arrow), close)


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (closes(), "load_frame"),
        ([1], "a list is no mapping"),
        ({"close": closes(), "open": closes().iloc[1:]}, "open and close are of different days"),
        ({"close": closes(), "open": closes()[["A", "B"]]}, "different instruments"),
        ({"close": closes().astype(object).assign(A="x")}, "close holds what is no number"),
    ],
)
def test_evaluate_refuses_what_does_not_fit(data: object, part: str) -> None:
    with pytest.raises(MarketError, match=part):
        evaluate("close", data)
