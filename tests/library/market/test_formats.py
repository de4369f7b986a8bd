"""Files of every kind that people have: the same bars written in each are read back equal."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alphafoundry.errors import MarketError
from alphafoundry.market import ReadOptions, load_market
from alphafoundry.market.bars import Bars
from alphafoundry.market.files import read_bars
from tests.property_tests import examples
from tests.some_cases import one_in

COLUMNS = ("open", "high", "low", "close", "volume")
CASES = Path(__file__).resolve().parents[4] / "shared" / "cases" / "market"


def read(path: Path, **options: object) -> Bars:
    return read_bars(path, progress=lambda _: None, options=ReadOptions(**options))  # type: ignore[arg-type]


def wide_bars(
    names: tuple[str, ...] = ("AAA", "BBB", "CCC"), days: int = 30
) -> dict[str, pd.DataFrame]:
    """Return column to wide DataFrame of random bars, with two decimals as files have them."""
    draw = np.random.default_rng(3)
    index = pd.bdate_range("2021-01-04", periods=days, name="Date")
    close = 50 * np.exp(np.cumsum(0.02 * draw.standard_normal((days, len(names))), axis=0))
    opening = close * np.exp(0.005 * draw.standard_normal(close.shape))
    found = {
        "open": opening,
        "high": np.maximum(opening, close) * 1.01,
        "low": np.minimum(opening, close) * 0.99,
        "close": close,
        "volume": draw.integers(1_000, 9_000_000, close.shape),
    }
    return {
        name: pd.DataFrame(np.round(array, 2), index=index, columns=pd.Index(names, name="Ticker"))
        for name, array in found.items()
    }


def long_table(wide: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Return date, symbol and the columns of bars, one row per day and symbol."""
    stacked = {name: frame.stack() for name, frame in wide.items()}
    return pd.DataFrame(stacked).rename_axis(["date", "symbol"]).reset_index()


def header_rows(wide: dict[str, pd.DataFrame], *, ticker_first: bool = False) -> pd.DataFrame:
    """Return the table of a download of several tickers, with two levels of columns."""
    named = {name.title(): frame for name, frame in wide.items()}
    table = pd.concat(named, axis=1, names=["Price", "Ticker"])
    return table.swaplevel(axis=1).sort_index(axis=1) if ticker_first else table


def assert_equal(bars: Bars, wide: dict[str, pd.DataFrame]) -> None:
    first = next(iter(wide.values()))
    assert bars.symbols.tolist() == sorted(first.columns)
    np.testing.assert_array_equal(bars.dates, first.index.to_numpy().astype("datetime64[D]"))
    for name, frame in wide.items():
        np.testing.assert_allclose(bars.values[name], frame[sorted(frame.columns)], rtol=1e-12)


def notes_of(bars: Bars, kind: str) -> str:
    return " | ".join(note.detail for note in bars.notes if note.kind == kind)


def write_long(table: pd.DataFrame, path: Path, **options: object) -> None:
    table.to_csv(path, index=False, **options)  # type: ignore[call-overload]


def packed(table: pd.DataFrame, path: Path, pack: Callable[[bytes], bytes]) -> None:
    path.write_bytes(pack(table.to_csv(index=False).encode()))


def zipped(table: pd.DataFrame, path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__MACOSX/._bars.csv", b"\x00\x05\x16")
        archive.writestr("bars.csv", table.to_csv(index=False))


WRITERS: dict[str, Callable[[pd.DataFrame, Path], object]] = {
    "bars.csv": write_long,
    "bars.txt": lambda table, path: write_long(table, path, sep="|"),
    "bars.tsv": lambda table, path: write_long(table, path, sep="\t"),
    "semicolons.csv": lambda table, path: write_long(table, path, sep=";"),
    "comma.csv": lambda table, path: write_long(table, path, sep=";", decimal=","),
    "bom.csv": lambda table, path: write_long(table, path, encoding="utf-8-sig"),
    "utf16.csv": lambda table, path: write_long(table, path, encoding="utf-16"),
    "utf16le.csv": lambda table, path: write_long(table, path, encoding="utf-16-le"),
    "windows.csv": lambda table, path: write_long(
        table.assign(note="Kursnotiz für später"), path, encoding="cp1252"
    ),
    "german.csv": lambda table, path: write_long(table, path, date_format="%d.%m.%Y"),
    "american.csv": lambda table, path: write_long(table, path, date_format="%m/%d/%Y"),
    "british.csv": lambda table, path: write_long(table, path, date_format="%d/%m/%y"),
    "named.csv": lambda table, path: write_long(table, path, date_format="%b %d, %Y"),
    "oracle.csv": lambda table, path: write_long(table, path, date_format="%d-%b-%y"),
    "compact.csv": lambda table, path: write_long(table, path, date_format="%Y%m%d"),
    "offset.csv": lambda table, path: write_long(
        table.assign(date=table["date"].dt.tz_localize("America/New_York")), path
    ),
    "seconds.csv": lambda table, path: write_long(
        table.assign(date=table["date"].astype("datetime64[s]").astype("int64")), path
    ),
    "nanoseconds.csv": lambda table, path: write_long(
        table.assign(date=table["date"].astype("datetime64[ns]").astype("int64")), path
    ),
    "windows-lines.csv": lambda table, path: write_long(table, path, lineterminator="\r\n"),
    "quoted.csv": lambda table, path: write_long(table, path, quoting=1),
    "with-index.csv": lambda table, path: table.to_csv(path),
    "declared.csv": lambda table, path: path.write_text(
        "sep=;\n" + table.to_csv(index=False, sep=";")
    ),
    "preamble.csv": lambda table, path: path.write_text(
        "https://www.example.com\n" + table.to_csv(index=False)
    ),
    "no-header.csv": lambda table, path: write_long(table, path, header=False),
    "shuffled.csv": lambda table, path: write_long(table.sample(frac=1, random_state=2), path),
    "bars.csv.gz": lambda table, path: packed(table, path, gzip.compress),
    "bars.csv.bz2": lambda table, path: packed(table, path, bz2.compress),
    "bars.csv.xz": lambda table, path: packed(table, path, lzma.compress),
    "bars.zip": zipped,
    "bars.parquet": lambda table, path: table.to_parquet(path),
    "indexed.parquet": lambda table, path: table.set_index(["date", "symbol"]).to_parquet(path),
    "bars.feather": lambda table, path: table.to_feather(path),
    "bars.arrow": lambda table, path: table.to_feather(path, compression="uncompressed"),
    "bars.xlsx": lambda table, path: table.to_excel(path, index=False),
    "texts.xlsx": lambda table, path: table.astype(str).to_excel(path),
    "bars.json": lambda table, path: table.to_json(path, orient="records", date_format="iso"),
    "columns.json": lambda table, path: table.to_json(path, date_format="iso"),
    "split.json": lambda table, path: table.to_json(path, orient="split", date_format="iso"),
    "lines.jsonl": lambda table, path: table.to_json(
        path, orient="records", lines=True, date_format="iso"
    ),
    "folder": lambda table, path: table.to_parquet(path, partition_cols=["symbol"]),
    "years": lambda table, path: table.assign(year=2021).to_parquet(
        path, partition_cols=["year", "symbol"]
    ),
    "csv-named.parquet": lambda table, path: write_long(table, path.with_suffix(".csv")),
    "misnamed.csv": lambda table, path: table.to_parquet(path),
}


@pytest.mark.parametrize("name", one_in(3, WRITERS))
def test_the_same_bars_in_every_container(tmp_path: Path, name: str) -> None:
    wide = wide_bars(("000001", "NA", "TRUE"))
    path = tmp_path / name
    WRITERS[name](long_table(wide), path)
    path = path if path.exists() else path.with_suffix(".csv")
    assert_equal(read(path), wide)


LAYOUTS: dict[str, Callable[[dict[str, pd.DataFrame], Path], object]] = {
    "three.csv": lambda wide, path: header_rows(wide).to_csv(path),
    "by-ticker.csv": lambda wide, path: header_rows(wide, ticker_first=True).to_csv(path),
    "unnamed.csv": lambda wide, path: (
        header_rows(wide).rename_axis(columns=[None, None]).to_csv(path)
    ),
    "two.csv": lambda wide, path: header_rows(wide).reset_index().to_csv(path, index=False),
    "levels.parquet": lambda wide, path: header_rows(wide).to_parquet(path),
    "merged.xlsx": lambda wide, path: header_rows(wide).to_excel(path),
    "tuples.csv": lambda wide, path: (
        header_rows(wide)
        .pipe(lambda table: table.set_axis([str(label) for label in table], axis=1))
        .to_csv(path)
    ),
    "underscores.csv": lambda wide, path: (
        header_rows(wide)
        .pipe(lambda table: table.set_axis([f"{b}_{a}" for a, b in table], axis=1))
        .to_csv(path)
    ),
    "dots.csv": lambda wide, path: (
        header_rows(wide)
        .pipe(lambda table: table.set_axis([f"{b}.{a}" for a, b in table], axis=1))
        .to_csv(path)
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_bars_of_several_tickers_side_by_side(tmp_path: Path, name: str) -> None:
    wide = wide_bars(("BRK-B", "C", "LOW") if "dots" not in name else ("C", "LOW", "V"))
    LAYOUTS[name](wide, tmp_path / name)
    assert_equal(read(tmp_path / name), wide)


def test_a_download_of_one_ticker(tmp_path: Path) -> None:
    wide = wide_bars(("AAPL",))
    header_rows(wide).to_csv(tmp_path / "download.csv")
    assert_equal(read(tmp_path / "download.csv"), wide)


@pytest.mark.parametrize("name", ["wide.csv", "wide.parquet", "wide.xlsx", "across.csv"])
def test_wide_closes(tmp_path: Path, name: str) -> None:
    close = wide_bars(("AAPL", "C", "LOW", "OPEN", "T"))["close"]
    close.iloc[3, 1] = np.nan
    if name == "across.csv":
        close.T.to_csv(tmp_path / name)
    else:
        getattr(close, {"csv": "to_csv", "xlsx": "to_excel"}.get(name[5:], "to_parquet"))(
            tmp_path / name
        )
    bars = read(tmp_path / name)
    assert_equal(bars, {"close": close})
    assert list(bars.values) == ["close"]
    assert "wide" in notes_of(bars, "layout")


def one_series(days: int = 30) -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    wide = wide_bars(("AAPL",), days)
    return pd.DataFrame({name: frame["AAPL"] for name, frame in wide.items()}), wide


def test_stooq(tmp_path: Path) -> None:
    table, wide = one_series()
    rows = [
        f"AAPL,D,{day:%Y%m%d},000000,{row.open},{row.high},{row.low},{row.close},{row.volume:.0f},0"
        for day, row in table.iterrows()
    ]
    path = tmp_path / "aapl.us.txt"
    head = "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>"
    path.write_text("\n".join([head, *rows]))
    bars = read(path)
    assert_equal(bars, wide)
    assert "<OPENINT>" in notes_of(bars, "columns-ignored")
    path.write_text("\n".join([head, *(row.replace(",D,", ",60,") for row in rows)]))
    with pytest.raises(MarketError, match="intraday"):
        read(path)


def test_investing_com(tmp_path: Path) -> None:
    table, wide = one_series()
    lines = ['"Date","Price","Open","High","Low","Vol.","Change %"']
    for day, row in table[::-1].iterrows():
        prices = [f'"{value * 100:,.2f}"' for value in row[["close", "open", "high", "low"]]]
        lines.append(
            ",".join([f'"{day:%m/%d/%Y}"', *prices, f'"{row.volume / 1e6:.6f}M"', '"-1%"'])
        )
    path = tmp_path / "AAPL Historical Data.csv"
    path.write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    expected = {name: frame * (1 if name == "volume" else 100) for name, frame in wide.items()}
    bars = read(path)
    assert_equal(bars, expected)
    assert "AAPL" in notes_of(bars, "symbol")


def test_decimal_comma_in_all_columns(tmp_path: Path) -> None:
    table, wide = one_series()

    def german(value: float, digits: int) -> str:
        return f"{value:,.{digits}f}".translate(str.maketrans(",.", ".,"))

    lines = ["Datum;Erster;Hoch;Tief;Schlusskurs;Stuecke;Volumen"]
    for day, row in table.iterrows():
        prices = [german(value * 100, 2) for value in row[["open", "high", "low", "close"]]]
        lines.append(";".join([f"{day:%d.%m.%Y}", *prices, german(row.volume, 0), "1.234,00"]))
    (tmp_path / "AAPL.csv").write_text("\n".join(lines))
    bars = read(tmp_path / "AAPL.csv")
    expected = {name: frame * (1 if name == "volume" else 100) for name, frame in wide.items()}
    assert_equal(bars, expected)
    assert "decimal comma" in notes_of(bars, "decimal")


def test_commas_that_may_be_either_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "X.csv"
    path.write_text("Date;Close\n2021-01-04;1,234\n2021-01-05;1,235\n")
    with pytest.raises(MarketError, match="give the option decimal"):
        read(path)
    assert read(path, decimal=",").values["close"][:, 0].tolist() == [1.234, 1.235]
    assert read(path, decimal=".").values["close"][:, 0].tolist() == [1234, 1235]


def test_nasdaq_com_with_currency_signs(tmp_path: Path) -> None:
    path = tmp_path / "AAPL.csv"
    path.write_text(
        "Date,Close/Last,Volume,Open,High,Low\n01/13/2021,$130.89,88636830,$128.76,$131.45,$128.49\n"
        "01/12/2021,$128.8,91951150,$128.5,$129.69,$126.86\n"
    )
    bars = read(path)
    assert bars.values["close"][:, 0].tolist() == [128.8, 130.89]
    assert str(bars.dates[0]) == "2021-01-12"


def vantage(table: pd.DataFrame) -> dict[str, dict[str, str]]:
    return {
        str(day.date()): {
            "1. open": f"{row.open}",
            "2. high": f"{row.high}",
            "3. low": f"{row.low}",
            "4. close": f"{row.close}",
            "5. adjusted close": f"{row.close / 2}",
            "6. volume": f"{row.volume:.0f}",
            "7. dividend amount": "0.0000",
            "8. split coefficient": "1.0",
        }
        for day, row in table[::-1].iterrows()
    }


def test_alpha_vantage(tmp_path: Path) -> None:
    table, wide = one_series()
    path = tmp_path / "query.json"
    meta = {"1. Information": "Daily Prices", "2. Symbol": "AAPL", "5. Time Zone": "US/Eastern"}
    path.write_text(json.dumps({"Meta Data": meta, "Time Series (Daily)": vantage(table)}))
    whole = {**wide, "adj_close": wide["close"] / 2, "dividend": wide["close"] * 0}
    assert_equal(read(path), {**whole, "split_factor": wide["close"] * 0 + 1})
    csv = pd.DataFrame(vantage(table)).T.rename(columns=lambda name: name[3:].replace(" ", "_"))
    csv.to_csv(tmp_path / "daily_adjusted_AAPL.csv", index_label="timestamp")
    assert_equal(read(tmp_path / "daily_adjusted_AAPL.csv"), whole)


@pytest.mark.parametrize("name", ["AAPL.csv", "AAPL.json"])
def test_an_answer_without_bars_is_quoted(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text('{"Information": "Our standard API rate limit is 25 requests per day."}')
    with pytest.raises(MarketError, match="25 requests per day"):
        read(path)


def midnight(day: pd.Timestamp, zone: str = "America/New_York") -> pd.Timestamp:
    return day.tz_localize(zone).tz_convert("UTC")


def test_massive_flat_files(tmp_path: Path) -> None:
    wide = wide_bars(("A", "NA", "TRUE"), days=200)
    table = long_table(wide).rename(columns={"symbol": "ticker"})
    table["window_start"] = [midnight(day).value for day in table.pop("date")]
    table["transactions"] = 7
    folder = tmp_path / "day_aggs_v1" / "2021"
    folder.mkdir(parents=True)
    for start, part in table.groupby("window_start"):
        name = f"{pd.Timestamp(start):%Y-%m-%d}.csv.gz"
        (folder / name).write_bytes(gzip.compress(part.to_csv(index=False).encode()))
    assert_equal(read(tmp_path / "day_aggs_v1"), wide)


def test_tiingo(tmp_path: Path) -> None:
    table, wide = one_series()
    records = [
        {
            "date": f"{day:%Y-%m-%d}T00:00:00.000Z",
            **row.to_dict(),
            **{f"adj{name.title()}": row[name] / 2 for name in ("open", "high", "low", "close")},
            "adjVolume": row.volume * 2,
            "divCash": 0.0,
            "splitFactor": 1.0,
        }
        for day, row in table.iterrows()
    ]
    (tmp_path / "AAPL.json").write_text(json.dumps(records))
    bars = read(tmp_path / "AAPL.json")
    halved = {f"adj_{name}": wide[name] / 2 for name in ("open", "high", "low", "close")}
    assert_equal(bars, {**wide, **halved, "adj_volume": wide["volume"] * 2})
    assert "both kept" in notes_of(bars, "adjustment")
    assert "both kept" in notes_of(bars, "volume")


def test_alpaca_and_polygon(tmp_path: Path) -> None:
    wide = wide_bars(("C", "T"))
    letters = {"open": "o", "high": "h", "low": "l", "close": "c", "volume": "v"}
    table = long_table(wide).rename(columns=letters)

    def records(symbol: str) -> list[dict[str, object]]:
        part = table[table["symbol"] == symbol].drop(columns=["symbol", "date"])
        return part.assign(n=3, vw=1.0).to_dict("records")

    days = table["date"].unique()
    alpaca = {
        symbol: [
            {"t": f"{midnight(day):%Y-%m-%dT%H:%M:%SZ}", **record}
            for day, record in zip(days, records(symbol), strict=True)
        ]
        for symbol in ("C", "T")
    }
    path = tmp_path / "bars.json"
    path.write_text(json.dumps({"bars": alpaca, "next_page_token": None}))
    assert_equal(read(path), wide)
    grouped = [
        {"T": symbol, "t": midnight(day).value // 10**6 + 16 * 3_600_000, **record}
        for symbol in ("C", "T")
        for day, record in zip(days, records(symbol), strict=True)
    ]
    path.write_text(json.dumps({"queryCount": 2, "status": "OK", "results": grouped}))
    assert_equal(read(path), wide)
    path.write_text(
        json.dumps({"ticker": "C", "results": [r for r in grouped if r.pop("T") == "C"]})
    )
    assert_equal(read(path), {name: frame[["C"]] for name, frame in wide.items()})


@pytest.mark.parametrize("per_second", [1_000, 1_000_000])
def test_candles_without_header(tmp_path: Path, per_second: int) -> None:
    wide = wide_bars(("BTCUSDT",), 40)
    days = pd.date_range("2021-01-01", periods=40, name="Date")
    wide = {name: frame.set_axis(days) for name, frame in wide.items()}

    def lines(part: slice) -> str:
        rows = []
        for day in days[part]:
            start = int(day.timestamp()) * per_second
            bar = [str(frame.loc[day, "BTCUSDT"]) for frame in wide.values()]
            rows.append(",".join([str(start), *bar, str(start + 86_399), "1.5,10,0.5,0.7,0"]))
        return "\n".join(rows)

    for name, part in (("2021-01", slice(0, 31)), ("2021-02", slice(31, None))):
        with zipfile.ZipFile(tmp_path / f"BTCUSDT-1d-{name}.zip", "w") as archive:
            archive.writestr(f"BTCUSDT-1d-{name}.csv", lines(part))
    bars = read(tmp_path)
    assert_equal(bars, wide)
    assert "no header row" in notes_of(bars, "layout")


def test_a_folder_of_one_file_for_each_symbol(tmp_path: Path) -> None:
    wide = wide_bars(("AAPL", "NA", "000001"))
    table = long_table(wide)
    for symbol, part in table.groupby("symbol"):
        part.drop(columns="symbol").to_csv(tmp_path / f"{symbol}.csv", index=False)
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "symbols.csv").write_text("Symbol,Name\nAAPL,Apple Inc.\n")
    (tmp_path / "README.md").write_text("# Prices\n")
    bars = read(tmp_path)
    assert_equal(bars, wide)
    ignored = notes_of(bars, "files-ignored")
    for name in ("empty.csv", "symbols.csv", "README.md"):
        assert name in ignored
    (tmp_path / "MSFT.csv").write_text("date,close\n2021-01-04,ten\n")
    with pytest.raises(MarketError, match=r"MSFT\.csv: line 2: column close"):
        read(tmp_path)


def test_a_folder_of_one_file_for_each_day(tmp_path: Path) -> None:
    wide = wide_bars()
    for day, part in long_table(wide).groupby("date"):
        part.drop(columns="date").to_csv(tmp_path / f"{day:%Y-%m-%d}.csv", index=False)
    assert_equal(read(tmp_path), wide)


def test_a_changed_file_of_a_folder_is_read_again(tmp_path: Path) -> None:
    folder = tmp_path / "prices"
    folder.mkdir()
    wide = wide_bars()
    for symbol, part in long_table(wide).groupby("symbol"):
        part.drop(columns="symbol").to_csv(folder / f"{symbol}.csv", index=False)
    first = load_market(str(folder), cache_dir=tmp_path / "cache")
    assert first.shape == (30, 3)
    with (folder / "AAA.csv").open("a") as file:
        file.write("2021-02-15,1,1,1,1,1\n")
    os.utime(folder / "AAA.csv", ns=(1, 1))
    assert load_market(str(folder), cache_dir=tmp_path / "cache").shape == (31, 3)


def test_a_workbook_with_a_sheet_for_each_symbol(tmp_path: Path) -> None:
    wide = wide_bars(("AAPL", "MSFT"))
    path = tmp_path / "prices.xlsx"
    with pd.ExcelWriter(path) as book:
        pd.DataFrame({"About": ["prices"]}).to_excel(book, sheet_name="About", index=False)
        for symbol, part in long_table(wide).groupby("symbol"):
            part.drop(columns="symbol").to_excel(book, sheet_name=str(symbol), index=False)
    assert_equal(read(path), wide)
    one = read(path, sheet="MSFT")
    assert one.symbols.tolist() == ["MSFT"]
    with pytest.raises(MarketError, match="it has About, AAPL, MSFT"):
        read(path, sheet="GOOG")


@pytest.mark.parametrize("stem", ["prices", "data", "HistoricalData_1", "stock-prices", "download"])
def test_a_series_without_a_symbol_asks_for_it(tmp_path: Path, stem: str) -> None:
    table, wide = one_series()
    path = tmp_path / f"{stem}.csv"
    table.to_csv(path)
    with pytest.raises(MarketError, match="option symbol"):
        read(path)
    assert_equal(read(path, symbol="AAPL"), wide)
    panel = load_market(f"{path}?symbol=AAPL", cache_dir=tmp_path / "cache")
    assert panel.symbols.tolist() == ["AAPL"]


def test_options_behind_the_question_mark(tmp_path: Path) -> None:
    path = tmp_path / "X.csv"
    path.write_text("Date;Close;Settled\n01/02/2021;1,5;9\n02/02/2021;1,25;9\n")
    cache = tmp_path / "cache"
    with pytest.raises(MarketError, match=r"date_format: %d/%m/%Y or %m/%d/%Y"):
        load_market(str(path), cache_dir=cache)
    british = load_market(f"{path}?date_format=%d/%m/%Y", cache_dir=cache)
    american = load_market(f"{path}?date_format=%m/%d/%Y", cache_dir=cache)
    assert [str(day) for day in british.dates] == ["2021-02-01", "2021-02-02"]
    assert [str(day) for day in american.dates] == ["2021-01-02", "2021-02-02"]
    other = load_market(f"{path}?close_column=Settled&date_format=%d/%m/%Y", cache_dir=cache)
    assert other.fields["close"][:, 0].tolist() == [9, 9]
    for wrong in ("colour=red", "decimal=x", "close_column=Nothing", "date_format=%Y"):
        with pytest.raises(MarketError, match=wrong.partition("=")[2]):
            load_market(f"{path}?{wrong}", cache_dir=cache)


@pytest.mark.parametrize(
    "column", ["closeadj", "Adj Close", "Adj. Close", "adjusted_close", "adjClose", "close_adj"]
)
def test_names_of_the_adjusted_close(tmp_path: Path, column: str) -> None:
    table = long_table({"close": wide_bars()["close"]})
    table[column] = table["close"] / 4
    table.to_csv(tmp_path / "bars.csv", index=False)
    bars = read(tmp_path / "bars.csv")
    np.testing.assert_allclose(bars.values["adj_close"], bars.values["close"] / 4)


@pytest.mark.parametrize("column", ["Name", "Ticker", "CODE", "ts_code", "tic", "Instrument"])
def test_names_of_the_symbol(tmp_path: Path, column: str) -> None:
    wide = wide_bars()
    long_table(wide).rename(columns={"symbol": column}).to_csv(tmp_path / "b.csv", index=False)
    assert_equal(read(tmp_path / "b.csv"), wide)


def test_adjusted_prices_and_volume_alone(tmp_path: Path) -> None:
    wide = wide_bars()
    names = {name: f"adj_{name}" for name in COLUMNS}
    long_table(wide).rename(columns=names).to_csv(tmp_path / "b.csv", index=False)
    bars = read(tmp_path / "b.csv")
    assert_equal(bars, wide)
    assert "adjusted prices only" in notes_of(bars, "adjustment")
    assert "adjusted volume only" in notes_of(bars, "volume")


def test_adjusted_close_that_is_missing_on_some_days(tmp_path: Path) -> None:
    close = wide_bars(("A", "B", "C"))["close"]
    adjusted = close / 2
    close.iloc[10:, 1] /= 3.0
    adjusted.iloc[4:6, 0] = np.nan
    adjusted.iloc[8:12, 1] = np.nan
    adjusted.iloc[:3, 2] = np.nan
    table = long_table({"close": close})
    table["adj_close"] = adjusted.stack(future_stack=True).to_numpy()
    table.to_csv(tmp_path / "b.csv", index=False)
    bars = read(tmp_path / "b.csv")
    np.testing.assert_allclose(bars.values["adj_close"][:, 0], close["A"] / 2)
    # The split of B lies in its gap: what the days before say of the factor ends there.
    assert np.flatnonzero(np.isnan(bars.values["close"][:, 1])).tolist() == [10, 11]
    assert np.flatnonzero(np.isnan(bars.values["close"][:, 2])).tolist() == [0, 1, 2]
    assert "4 are filled" in notes_of(bars, "adjustment")
    assert "5 have no factor" in notes_of(bars, "adjustment")


@pytest.mark.parametrize("later", [0.5, 1.0, 3.0])
def test_an_adjusted_close_that_comes_later_fills_no_day_before_it(
    tmp_path: Path, later: float
) -> None:
    close = wide_bars(("A", "B"))["close"]
    adjusted = close / 2
    adjusted.iloc[4:9, 0] = np.nan
    adjusted.iloc[9:, 0] = close.iloc[9:, 0] * later
    table = long_table({"close": close})
    table["adj_close"] = adjusted.stack(future_stack=True).to_numpy()
    table.to_csv(tmp_path / "b.csv", index=False)
    seen = read(tmp_path / "b.csv").values["adj_close"][:9, 0]
    np.testing.assert_allclose(seen, close["A"].iloc[:9] / 2)


@pytest.mark.parametrize("other", [np.nan, 1.0 + 1e-8])
def test_a_day_twice_with_empty_cells_or_rounded_otherwise_is_no_contradiction(
    tmp_path: Path, other: float
) -> None:
    table = long_table(wide_bars())
    again = table[table["date"] == table["date"].iloc[-1]].copy()
    again["close"] *= other
    pd.concat([again, table]).to_csv(tmp_path / "b.csv", index=False)
    bars = read(tmp_path / "b.csv")
    np.testing.assert_allclose(bars.values["close"], wide_bars()["close"], rtol=1e-6)
    assert all(issue.masked == 0 for issue in bars.issues)


@pytest.mark.parametrize("mark", ["-", "/"])
def test_years_of_two_digits_in_front_are_asked_for(tmp_path: Path, mark: str) -> None:
    table = long_table(wide_bars())
    days = pd.to_datetime(table["date"])
    table["date"] = days.dt.strftime(f"%y{mark}%m{mark}%d")
    table.to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(MarketError, match=r"begin with the year.*date_format"):
        read(tmp_path / "b.csv")
    found = read(tmp_path / "b.csv", date_format=f"%y{mark}%m{mark}%d").dates
    np.testing.assert_array_equal(found, np.unique(days.to_numpy().astype("datetime64[D]")))


def test_zero_volume_throughout_is_a_market_without_volume(tmp_path: Path) -> None:
    wide = wide_bars(("EURUSD", "USDJPY"))
    wide["volume"] *= 0
    long_table(wide).to_csv(tmp_path / "fx.csv", index=False)
    bars = read(tmp_path / "fx.csv")
    assert "volume" not in bars.values
    assert "without volume" in notes_of(bars, "volume")
    panel = load_market(str(tmp_path / "fx.csv"), cache_dir=tmp_path / "cache")
    assert np.isfinite(panel.fields["close"]).all()


def test_a_column_without_values_is_left_out_and_told(tmp_path: Path) -> None:
    table = long_table(wide_bars()).assign(volume=np.nan, vwap=np.nan, note="x")
    table.to_csv(tmp_path / "b.csv", index=False)
    bars = read(tmp_path / "b.csv")
    assert set(bars.values) == {"open", "high", "low", "close"}
    assert "vwap, volume" in notes_of(bars, "columns-ignored")
    assert "note" in notes_of(bars, "columns-ignored")


def test_names_and_rows_without_anything_are_left_out(tmp_path: Path) -> None:
    close = wide_bars()["close"]
    close.assign(DEAD=np.nan).to_csv(tmp_path / "wide.csv")
    bars = read(tmp_path / "wide.csv")
    assert_equal(bars, {"close": close})
    assert "DEAD" in notes_of(bars, "rows")
    with (tmp_path / "long.csv").open("w") as file:
        long_table({"close": close}).to_csv(file, index=False)
        file.write(",,\n,,\n")
    assert_equal(read(tmp_path / "long.csv"), {"close": close})


def test_prices_beyond_all_reason_are_masked(tmp_path: Path) -> None:
    table = long_table(wide_bars())
    table.loc[3, "close"] = 1e300
    table.to_csv(tmp_path / "b.csv", index=False)
    bars = read(tmp_path / "b.csv")
    assert [(issue.symbol, issue.kind) for issue in bars.issues] == [("AAA", "huge-price")]
    assert np.isnan(bars.values["close"][1, 0])


@pytest.mark.parametrize("hours", [(10, 11), (0, 12), (9, 10, 11, 12)])
@pytest.mark.parametrize("layout", ["stamp", "two columns", "epoch"])
def test_intraday_bars_are_refused_with_that_word(
    tmp_path: Path, hours: tuple[int, ...], layout: str
) -> None:
    close = wide_bars()["close"]
    parts = [long_table({"close": close}).assign(hour=hour) for hour in hours]
    table = pd.concat(parts)
    stamp = table["date"] + pd.to_timedelta(table.pop("hour"), unit="h")
    if layout == "two columns":
        table = table.assign(Date=stamp.dt.date, Time=stamp.dt.strftime("%H:%M:%S"))
        table = table.drop(columns="date")
    else:
        table["date"] = stamp if layout == "stamp" else stamp.astype("datetime64[s]").astype(int)
    table.to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(MarketError, match="intraday bars: AAA has"):
        read(tmp_path / "b.csv")


def test_prices_of_one_name_in_two_currencies_are_refused(tmp_path: Path) -> None:
    table = long_table(wide_bars())
    table["currency"] = np.where(table["symbol"] == "AAA", "EUR", "USD")
    table.to_csv(tmp_path / "b.csv", index=False)
    assert "EUR, USD" in notes_of(read(tmp_path / "b.csv"), "currency")
    table.loc[0, "currency"] = "USD"
    table.to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(MarketError, match="AAA has prices in EUR, USD"):
        read(tmp_path / "b.csv")


REFUSED = {
    "page.csv": (b"<!DOCTYPE html><html><body>Sign in</body></html>", "web page"),
    "bars.xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "save it as .xlsx"),
    "bars.pkl": (b"\x80\x04\x95rest", "a pickle, which is never read"),
    "bars.h5": (b"\x89HDF\r\n\x1a\n", "HDF5"),
    "bars.db": (b"SQLite format 3\x00", "SQLite"),
    "bars.pdf": (b"%PDF-1.7", "PDF"),
    "cut.csv.gz": (gzip.compress(b"date,symbol,close\n" * 99)[:30], "gzip data are damaged"),
    "cut.zip": (b"PK\x03\x04rest", "not a readable .zip"),
    "cut.json": (b'{"bars": [', "not readable as JSON"),
    "cut.feather": (b"ARROW1\x00\x00rest", "not a readable feather"),
    "word.csv": (b"hello\n", "no table with a header"),
    "prose.txt": (b"These are the prices.\nThey went up.\n", "no table with a header"),
    "noise.csv": (bytes(range(128, 256)) + bytes(range(32)) * 8, "neither a text"),
    "no-price.csv": (b"date,symbol,colour\n2021-01-04,A,red\n", "no column close"),
    "two-prices.csv": (b"date,close\n2021-01-04,1\n2021-01-04,2\n", "no column symbol"),
    "month.csv": (b"date,symbol,close\n2021-13-04,A,1\n", "'2021-13-04' is not a date"),
    "serial.csv": (b"date,symbol,close\n42065,A,1\n42066,A,2\n", "of a day (2015-03-02, where"),
    "six.csv": (b"date,symbol,close\n150302,A,1\n", "'150302' is not a date; write dates as 2024"),
    "mixed.csv": (
        b"date,symbol,close\n13/01/2021,A,1\n01/14/2021,A,1\n",
        "'13/01/2021' begins with the day and '01/14/2021' with the month",
    ),
    "mangled.csv": (
        b"date,symbol,close\n2021-01-12,A,1\n2021-01-13,A,1\n01/02/2021,A,1\n",
        "line 4: '01/02/2021' is written otherwise",
    ),
    "cell.csv": (b"date,symbol,close\n\n2021-01-04,A,1\n2021-01-05,A,1x\n", "line 4: column close"),
    "long-row.csv": (b"date,symbol,close\n2021-01-04,A,1\n2021-01-05,A,1,2\n", "line 3 has 4"),
    "void.csv": (b"date,symbol,close\n2021-01-04,A,\n", "no close has a value"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_read_says_why_and_what_to_do(tmp_path: Path, name: str) -> None:
    content, part = REFUSED[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MarketError) as error:
        load_market(str(tmp_path / name), cache_dir=tmp_path / "cache")
    assert part in str(error.value)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


def test_an_archive_with_a_password_is_named(tmp_path: Path) -> None:
    path = tmp_path / "prices.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("A.csv", "date,close\n2021-01-04,1\n")
    content = bytearray(path.read_bytes())
    for start in (content.find(b"PK\x03\x04") + 6, content.find(b"PK\x01\x02") + 8):
        content[start] |= 1
    path.write_bytes(bytes(content))
    with pytest.raises(MarketError, match="cannot be unpacked"):
        read(path)


def test_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(MarketError, match="or other table in this folder"):
        read(tmp_path)


MARKETS = st.lists(
    st.tuples(
        st.integers(0, 3000),
        st.sampled_from(["A", "C", "NA", "000001", "TRUE", "BRK.B", "é", "LOW", "1E5"]),
        st.floats(0.01, 99_999, allow_nan=False).map(lambda price: round(price, 4)),
    ),
    min_size=15,
    max_size=60,
    unique_by=lambda row: row[:2],
)
ROUND_TRIPS = (
    *("bars.csv", "bars.tsv", "comma.csv", "utf16.csv", "bars.zip", "bars.xlsx", "bars.feather"),
    *("bars.json", "folder", "named.csv", "german.csv"),
)


@settings(max_examples=examples(120), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=MARKETS, name=st.sampled_from(ROUND_TRIPS))
def test_whatever_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, str, float]], name: str
) -> None:
    table = pd.DataFrame(rows, columns=["date", "symbol", "close"])
    table["date"] = pd.Timestamp("2010-01-01") + pd.to_timedelta(table["date"], unit="D")
    path = tmp_path_factory.mktemp("round") / name
    WRITERS[name](table, path)
    bars = read(path)
    expected = table.pivot(index="date", columns="symbol", values="close")
    assert bars.symbols.tolist() == expected.columns.tolist()
    np.testing.assert_array_equal(bars.dates, expected.index.to_numpy().astype("datetime64[D]"))
    np.testing.assert_array_equal(bars.values["close"], expected.to_numpy())


MAGIC = (
    *(b"", b"PK\x03\x04", b"PAR1", b"ARROW1", b"FEA1", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00"),
    *(b"\x28\xb5\x2f\xfd", b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf", b"{", b"[", b"<"),
)


@settings(max_examples=examples(150), deadline=None)
@given(
    content=st.one_of(
        st.builds(
            bytes.__add__,
            st.sampled_from(MAGIC),
            st.binary(max_size=200),
        ),
        st.text(alphabet='date,symbolclose;\n\t"0123456789-/. AB{}[]:', max_size=200).map(
            str.encode
        ),
    ),
    name=st.sampled_from(["X.csv", "X.json", "X.parquet", "X.xlsx", "X.feather", "X.zip", "X.gz"]),
)
def test_no_content_ends_in_anything_but_one_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str
) -> None:
    path = tmp_path_factory.mktemp("noise") / name
    path.write_bytes(content)
    try:
        read(path)
    except MarketError as error:
        assert "\n" not in str(error)


DAMAGED = ("bars.parquet", "bars.feather", "bars.arrow", "bars.xlsx", "bars.zip", "bars.csv.gz")


@settings(max_examples=examples(100), deadline=None)
@given(
    name=st.sampled_from(DAMAGED),
    cut=st.integers(0, 10**6),
    changes=st.dictionaries(st.integers(0, 10**6), st.integers(0, 255), max_size=8),
)
def test_no_damage_ends_in_anything_but_one_line(
    tmp_path_factory: pytest.TempPathFactory, name: str, cut: int, changes: dict[int, int]
) -> None:
    path = tmp_path_factory.mktemp("damage") / name
    WRITERS[name](long_table(wide_bars()), path)
    content = bytearray(path.read_bytes())
    for place, value in changes.items():
        content[place % len(content)] = value
    path.write_bytes(bytes(content if changes else content[: cut % len(content)]))
    try:
        read(path)
    except MarketError as error:
        assert "\n" not in str(error)


def case(name: str) -> Path:
    if not (CASES / name).exists():
        pytest.skip("the folder of given cases is not there")
    return CASES / name


def test_the_given_download_with_three_header_rows() -> None:
    bars = read(case("06_download_three_headers.csv"))
    assert bars.values["close"].shape == (560, 8)
    assert "volume" in bars.values


def test_the_given_exchange_codes() -> None:
    assert read(case("05_codes.csv")).symbols[0] == "000001"


def test_a_decimal_comma_in_one_quoted_cell_is_read_and_told(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    rows = [f"2020-01-{day:02},A,50.{day:02},1000" for day in range(1, 25)]
    rows[5] = '2020-01-06,A,"50,42",1000'
    path.write_text("date,symbol,close,volume\n" + "\n".join(rows) + "\n")
    bars = read(path)
    assert bars.values["close"][5, 0] == 50.42
    assert "'50,42' is read as 50.42" in notes_of(bars, "decimal")
