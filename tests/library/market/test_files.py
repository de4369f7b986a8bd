from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alphafoundry.errors import MarketError
from alphafoundry.market import Panel, load_market
from tests.property_tests import examples


def load(path: Path, tmp_path: Path, sectors: Path | None = None) -> Panel:
    return load_market(str(path), cache_dir=tmp_path / "cache", sectors=sectors)


def assert_one_line(error: pytest.ExceptionInfo[MarketError], *parts: str) -> None:
    text = str(error.value)
    assert "\n" not in text
    for part in parts:
        assert part in text


def check_against(table: pd.DataFrame, panel: Panel) -> None:
    for name in ("open", "high", "low", "close", "volume"):
        wide = table.pivot(index="date", columns="symbol", values=name)
        np.testing.assert_allclose(panel.fields[name], wide.to_numpy(), rtol=1e-12)
        assert panel.symbols.tolist() == wide.columns.tolist()
        assert np.array_equal(panel.dates, wide.index.to_numpy().astype("datetime64[D]"))


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".csv.gz"])
def test_a_long_table_becomes_a_panel(
    long_table: pd.DataFrame, tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"bars{suffix}"
    shuffled = long_table.sample(frac=1.0, random_state=1)
    if suffix == ".parquet":
        shuffled.to_parquet(path)
    else:
        shuffled.to_csv(path, index=False)
    panel = load(path, tmp_path)
    check_against(long_table, panel)
    assert panel.source == str(path)
    assert panel.label == f"bars{suffix}: 3 names, 2021-03-01 to 2021-04-09 (30 days)"
    assert not panel.synthetic
    assert set(panel.groups) == {"market"}
    for array in (*panel.fields.values(), *panel.groups.values()):
        assert array.flags.c_contiguous
        assert not array.flags.writeable


def test_synonyms_any_case_and_any_delimiter(long_table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    long_table.assign(date=long_table["date"].dt.strftime("%Y%m%d"), note="x").rename(
        columns={"date": "Trade Date", "symbol": "TICKER", "volume": "Vol", "close": "Close-Price"}
    ).to_csv(path, index=False, sep=";")
    check_against(long_table, load(path, tmp_path))


@pytest.mark.parametrize("symbol", ["NA", "NULL", "nan", "TRUE", "007"])
def test_a_symbol_is_a_text_whatever_it_looks_like(
    long_table: pd.DataFrame, tmp_path: Path, symbol: str
) -> None:
    path = tmp_path / "bars.csv"
    long_table.replace({"symbol": {"AAA": symbol}}).to_csv(path, index=False)
    assert symbol in load(path, tmp_path).symbols.tolist()


def test_dates_of_other_time_zones_keep_their_day(long_table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "bars.parquet"
    long_table.assign(date=long_table["date"].dt.tz_localize("Asia/Tokyo")).to_parquet(path)
    check_against(long_table, load(path, tmp_path))


def test_missing_cells_are_missing(long_table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    long_table.loc[4, "volume"] = np.nan
    long_table.drop(index=10).to_csv(path, index=False)
    panel = load(path, tmp_path)
    column = panel.symbols.tolist().index("BBB")
    assert np.isnan(panel.fields["volume"][4, column])
    assert panel.fields["close"][4, column] > 0
    assert np.isnan(panel.fields["close"][10, column])
    returns, close = panel.fields["returns"][:, column], panel.fields["close"][:, column]
    assert np.isnan(returns[10])
    assert returns[11] == pytest.approx(close[11] / close[9] - 1.0)


def test_repeated_days(long_table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    contradiction = long_table.iloc[[35]].assign(close=lambda row: row["close"] * 1.005)
    pd.concat([long_table, long_table.iloc[[3, 4]], contradiction]).to_csv(path, index=False)
    panel = load(path, tmp_path)
    found = {issue.symbol: issue for issue in panel.issues}
    assert {issue.kind for issue in panel.issues} == {"duplicate-day"}
    assert found["BBB"].masked == 0
    assert found["AAA"].masked == 1
    assert "2 days" in found["BBB"].detail
    assert np.isnan(panel.fields["close"][5, 0])
    assert np.count_nonzero(np.isnan(panel.fields["close"])) == 1


@settings(
    max_examples=examples(80),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.dictionaries(
        st.tuples(st.dates(date(1950, 1, 1), date(2100, 1, 1)), st.sampled_from("ABCDE")),
        st.floats(1.0, 2.0),
        min_size=1,
        max_size=40,
    )
)
def test_every_row_lands_in_its_cell(
    tmp_path_factory: pytest.TempPathFactory, rows: dict[tuple[object, str], float]
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    path = folder / "bars.csv"
    lines = [f"{day},{symbol},{close!r}" for (day, symbol), close in rows.items()]
    path.write_text("\n".join(["date,symbol,close", *lines]))
    panel = load(path, folder)
    cells = {
        (panel.dates[row].item(), str(panel.symbols[column])): panel.fields["close"][row, column]
        for row, column in zip(*np.nonzero(~np.isnan(panel.fields["close"])), strict=True)
    }
    assert cells == rows


@pytest.mark.parametrize("column", ["date", "symbol", "close"])
def test_a_missing_column_is_named(long_table: pd.DataFrame, tmp_path: Path, column: str) -> None:
    path = tmp_path / "bars.csv"
    long_table.drop(columns=column).to_csv(path, index=False)
    with pytest.raises(MarketError) as error:
        load(path, tmp_path)
    assert_one_line(error, str(path), f"no column {column}", "date, symbol, close")


@pytest.mark.parametrize("text", ["31/01/2020", "2020-02-30", "soon", "20201301", ""])
def test_a_bad_date_is_shown(long_table: pd.DataFrame, tmp_path: Path, text: str) -> None:
    path = tmp_path / "bars.csv"
    table = long_table.astype({"date": str})
    table.loc[3, "date"] = text
    table.to_csv(path, index=False)
    with pytest.raises(MarketError) as error:
        load(path, tmp_path)
    assert_one_line(error, str(path), repr(text), "2024-01-31")


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("empty.csv", b"", "empty"),
        ("header.csv", b"date,symbol,close\n", "no rows"),
        ("blank.csv", b"\n\n\n", "empty"),
        ("text.parquet", b"this is not a parquet file", "not a readable parquet"),
        ("empty.parquet", b"", "not a readable parquet"),
        ("cut.parquet", b"PAR1\x00\x00", "not a readable parquet"),
        ("ragged.csv", b"date,symbol,close\n2020-01-01,A\n", "line 2 has 2 columns where 3"),
        ("footer.csv", b"date,symbol,close\n2020-01-01,A,4\nend\n", "line 3 has 1 column where 3"),
        ("letters.csv", b"date,symbol,close\n2020-01-01,A,cheap\n", "line 2: column close"),
        ("binary.csv", bytes(range(256)), ".csv"),
        ("nobody.csv", b"date,symbol,close\n2020-01-01,,4\n", "no symbol"),
        ("two.csv", b"date,symbol,close\n2020-01-01,,4\n2020-01-02,,4\n", "neither has 1 more;"),
        ("worthless.csv", b"date,symbol,close\n2020-01-01,A,-4\n", "no usable close"),
        ("bars.xlsx", b"PK", "not a readable .xlsx"),
    ],
)
def test_malformed_files_give_one_line(
    tmp_path: Path, name: str, content: bytes, part: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(MarketError) as error:
        load(path, tmp_path)
    assert_one_line(error, name, part)


def test_text_in_a_parquet_column_of_numbers(long_table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "bars.parquet"
    table = long_table.astype({"close": str})
    table.loc[2, "close"] = "dear"
    table.to_parquet(path)
    with pytest.raises(MarketError) as error:
        load(path, tmp_path)
    assert_one_line(error, str(path), "column close", "dear")


def test_swapped_columns_do_not_eat_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    rows = [
        f"{1900 + n // 28 // 12}-{n // 28 % 12 + 1:02d}-{n % 28 + 1:02d},N{n},1"
        for n in range(9000)
    ]
    path.write_text("\n".join(["date,symbol,close", *rows]))
    with pytest.raises(MarketError) as error:
        load(path, tmp_path)
    assert_one_line(error, str(path), "too sparse")


@pytest.mark.parametrize("source", ["nowhere.parquet", "calibraton", "", "."])
def test_an_unknown_source_lists_the_choices(tmp_path: Path, source: str) -> None:
    with pytest.raises(MarketError) as error:
        load_market(source, cache_dir=tmp_path)
    assert_one_line(error, repr(source), "calibration, sample, yfinance", ".parquet")


def test_the_sibling_with_the_longest_prefix_gives_the_groups(
    long_table: pd.DataFrame, tmp_path: Path
) -> None:
    long_table.to_csv(tmp_path / "us_large_2021.csv", index=False)
    (tmp_path / "us_sectors.csv").write_text("symbol,sector\nAAA,Wrong\n")
    (tmp_path / "us_large_sectors.csv").write_text(
        "symbol,name,Sector,sub_industry\nAAA,A Inc.,Energy,Drilling\nBBB,B Inc.,Energy,\n"
        "ZZZ,Z,Gone,Gone\n"
    )
    (tmp_path / "eu_sectors.csv").write_text("symbol,sector\nAAA,Wrong\n")
    panel = load(tmp_path / "us_large_2021.csv", tmp_path)
    assert panel.symbols.tolist() == ["AAA", "BBB", "CCC"]
    assert panel.group_names["sector"] == ("Energy",)
    assert panel.groups["sector"][7].tolist() == [0, 0, -1]
    assert panel.group_names["subindustry"] == ("Drilling",)
    assert panel.groups["subindustry"][29].tolist() == [0, -1, -1]
    assert panel.groups["sector"].shape == panel.shape
    assert panel.groups["sector"].dtype == np.int32


def test_industry_stands_in_and_says_so(long_table: pd.DataFrame, tmp_path: Path) -> None:
    path, sectors = tmp_path / "bars.csv", tmp_path / "groups.csv"
    long_table.to_csv(path, index=False)
    sectors.write_text("ticker,sub-industry\nAAA,Drilling\nBBB,Banks\n")
    panel = load(path, tmp_path, sectors)
    assert set(panel.groups) == {"market", "industry", "subindustry"}
    assert np.array_equal(panel.groups["industry"], panel.groups["subindustry"])
    assert "Same groups as subindustry" in panel.descriptions["industry"]
    sectors.write_text("ticker,industry,sub-industry\nAAA,Oil,Drilling\nBBB,Banks,Banks\n")
    panel = load(path, tmp_path, sectors)
    assert panel.group_names["industry"] == ("Banks", "Oil")


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "none"),
        (b"name,sector\nA,B\n", "name, sector"),
        (b"symbol,place\nA,B\n", "place"),
        (b"\xff\xfe\x00", "cannot read"),
    ],
)
def test_a_malformed_sectors_file_is_named(
    long_table: pd.DataFrame, tmp_path: Path, content: bytes, part: str
) -> None:
    path, sectors = tmp_path / "bars.csv", tmp_path / "groups.csv"
    long_table.to_csv(path, index=False)
    sectors.write_bytes(content)
    with pytest.raises(MarketError) as error:
        load(path, tmp_path, sectors)
    assert_one_line(error, str(sectors), part)


def test_a_missing_sectors_file_is_named(long_table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    long_table.to_csv(path, index=False)
    with pytest.raises(MarketError, match=re.escape(str(tmp_path / "no.csv"))):
        load(path, tmp_path, tmp_path / "no.csv")
