"""Members and groups by day: who belonged to a market, and to which sector, on the day."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alphafoundry.errors import MarketError
from alphafoundry.market import Panel, load_frame, load_market
from alphafoundry.market.cautions import cautions
from alphafoundry.market.delistings import read_delistings
from alphafoundry.market.members import Membership, members_content, read_members
from alphafoundry.market.universe import UNIVERSE_SIZES, universe_mask
from alphafoundry.simulation import SimulationSettings, simulate

DAYS = pd.bdate_range("2023-01-02", periods=60)
NAMES = ("AAA", "BBB", "CCC")


def table() -> pd.DataFrame:
    draw = np.random.default_rng(4)
    close = 40.0 * np.exp(np.cumsum(0.01 * draw.standard_normal((60, 3)), axis=0))
    return pd.DataFrame(
        {
            "date": np.repeat(DAYS, 3),
            "symbol": np.tile(NAMES, 60),
            "close": close.ravel(),
            "volume": draw.integers(1e4, 1e5, 180).astype(float),
        }
    )


def expected_members() -> np.ndarray:
    inside = np.ones((60, 3), dtype=bool)
    inside[:20, 1] = False
    inside[40:, 2] = False
    return inside


def load(path: Path) -> Panel:
    return load_market(str(path), cache_dir=path.parent / "cache")


@pytest.mark.parametrize(
    ("label", "inside", "outside"),
    [
        ("universe", 1, 0),
        ("Universe", "sp500", ""),
        ("in_index", True, False),
        ("member", "yes", "no"),
        ("is_member", 1.0, 0.0),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_universe_column_says_who_belongs(
    tmp_path: Path, label: str, inside: object, outside: object, suffix: str
) -> None:
    frame = table()
    flags = expected_members().ravel()
    frame[label] = pd.Series([inside if flag else outside for flag in flags])
    path = tmp_path / f"bars.{suffix}"
    if suffix == "csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, index=False)
    for panel in (load(path), load(path)):
        assert panel.members is not None
        assert np.array_equal(panel.members, expected_members())
        for name in UNIVERSE_SIZES:
            assert not (universe_mask(panel, name)[0] & ~panel.members).any()
        assert "universe" not in panel.fields


def test_a_member_file_beside_the_bars(tmp_path: Path) -> None:
    table().to_parquet(tmp_path / "bars_2023.parquet", index=False)
    stays = [
        Membership("AAA", date(2020, 1, 1)),
        Membership("BBB", DAYS[20].date()),
        Membership("CCC", date(2020, 1, 1), DAYS[39].date()),
        Membership("GONE", date(2020, 1, 1)),
    ]
    file = tmp_path / "bars_members.csv"
    file.write_bytes(members_content(stays))
    assert read_members(file) == stays
    panel = load(tmp_path / "bars_2023.parquet")
    assert np.array_equal(panel.members, expected_members())
    file.write_bytes(members_content(stays[:1]))
    changed = load(tmp_path / "bars_2023.parquet")
    assert changed.members is not None
    assert changed.members.sum() == 60
    assert changed.fingerprint != panel.fingerprint


def test_without_any_word_every_name_belongs(tmp_path: Path) -> None:
    table().to_parquet(tmp_path / "bars.parquet", index=False)
    panel = load(tmp_path / "bars.parquet")
    assert panel.members is None
    assert universe_mask(panel, "TOP3000")[0][1:].all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,first\nAAA,2020-01-01\n", "a members file has symbol, first, last"),
        ("symbol,first,last\nAAA,01/02/2020,\n", "line 2: '01/02/2020' is not a day"),
        (
            "symbol,first,last\nAAA,2020-01-02,2019-01-02\n",
            "line 2: last 2019-01-02 is before first 2020-01-02",
        ),
        ("", "the columns are none"),
    ],
)
def test_a_malformed_member_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "members.csv"
    file.write_text(text)
    with pytest.raises(MarketError, match=message):
        read_members(file)


def test_sectors_with_a_day_are_those_of_the_day(tmp_path: Path) -> None:
    table().to_parquet(tmp_path / "bars.parquet", index=False)
    (tmp_path / "bars_sectors.csv").write_text(
        "symbol,since,sector\n"
        "AAA,,Energy\n"
        f"BBB,{DAYS[10].date()},Banks\n"
        f"BBB,{DAYS[30].date()},Energy\n"
        "CCC,2020-01-01,Banks\n"
        f"CCC,{DAYS[50].date()},\n"
    )
    panel = load(tmp_path / "bars.parquet")
    names = np.array([*panel.group_names["sector"], "unknown"])
    sectors = names[panel.groups["sector"]]
    assert (sectors[:, 0] == "Energy").all()
    assert sectors[[9, 10, 29, 30, 59], 1].tolist() == [
        "unknown",
        "Banks",
        "Banks",
        "Energy",
        "Energy",
    ]
    assert sectors[[0, 49, 50], 2].tolist() == ["Banks", "Banks", "unknown"]
    assert panel.descriptions["sector"].endswith("as it was on the day")
    early = panel.until(DAYS[20])
    assert np.array_equal(early.groups["sector"], panel.groups["sector"][:21])


def test_a_sectors_file_with_a_malformed_day_is_named(tmp_path: Path) -> None:
    table().to_parquet(tmp_path / "bars.parquet", index=False)
    (tmp_path / "bars_sectors.csv").write_text("symbol,since,sector\nAAA,soon,Energy\n")
    with pytest.raises(MarketError, match="line 2: 'soon' is not a day"):
        load(tmp_path / "bars.parquet")


def test_a_frame_may_say_it_too() -> None:
    frame = table()
    frame["universe"] = expected_members().ravel()
    assert np.array_equal(load_frame(frame).members, expected_members())


def test_a_delisting_pays_what_the_source_says(tmp_path: Path) -> None:
    frame = table()
    gone = frame[(frame["symbol"] != "CCC") | (frame["date"] < DAYS[30])]
    gone.to_parquet(tmp_path / "bars.parquet", index=False)
    (tmp_path / "bars_delistings.csv").write_text(
        f"symbol,day,return\nCCC,{DAYS[32].date()},-0.3\nBBB,{DAYS[40].date()},-0.5\n"
        f"AAA,{DAYS[50].date()},\nOTHER,2020-01-01,-1\n"
    )
    panel = load(tmp_path / "bars.parquet")
    close = panel.fields["close"]
    assert close[32, 2] == pytest.approx(0.7 * close[29, 2])
    assert panel.fields["returns"][32, 2] == pytest.approx(-0.3)
    assert np.isnan(close[[30, 31, 33, 59], 2]).all()
    told = {issue.symbol: issue.detail for issue in panel.issues if issue.kind == "delisting"}
    assert told["CCC"] == f"delisted on {DAYS[32].date()}: a holder got -30.0% over the last close"
    assert "has a close then" in told["BBB"]
    early = panel.until(DAYS[31])
    assert np.isnan(early.fields["close"][30:, 2]).all()


def test_a_book_that_holds_a_delisted_name_loses_what_the_source_says(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    days = pd.bdate_range("2020-01-01", periods=600)
    close = 40.0 * np.exp(np.cumsum(0.01 * draw.standard_normal((600, 4)), axis=0))
    close[550:, 3] = np.nan
    wide = pd.DataFrame(close, index=days, columns=["A", "B", "C", "D"])
    frame = wide.rename_axis("date").reset_index().melt("date", var_name="symbol")
    frame = frame.rename(columns={"value": "close"}).dropna()
    frame.to_parquet(tmp_path / "bars.parquet", index=False)
    settings = SimulationSettings(neutralization="NONE", truncation=0.0)
    before = simulate("1", load(tmp_path / "bars.parquet"), settings)
    (tmp_path / "bars_delistings.csv").write_text(f"symbol,day,return\nD,{days[550].date()},-1\n")
    after = simulate("1", load(tmp_path / "bars.parquet"), settings)
    change = after.daily_pnl - before.daily_pnl
    row = int(np.flatnonzero(before.dates == days[550].to_datetime64())[0])
    assert change[:row] == pytest.approx(0.0)
    assert change[row] == pytest.approx(-0.25 * 20e6, rel=1e-3)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,end\nAAA,2020-01-01\n", "a file of delistings has symbol, day, return"),
        ("symbol,day,return\nAAA,2020-01-01,-30%\n", "line 2: write the day as 2020-01-31"),
        ("symbol,day,return\nAAA,2020-01-01,-1.5\n", "line 2: a return is a fraction"),
    ],
)
def test_a_malformed_file_of_delistings_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "delistings.csv").write_text(text)
    with pytest.raises(MarketError, match=message):
        read_delistings(tmp_path / "delistings.csv")


def test_cautions_say_what_flatters_results(tmp_path: Path) -> None:
    frame = table()
    (tmp_path / "bars_sectors.csv").write_text("symbol,sector\nAAA,Energy\nBBB,Banks\n")
    frame.to_parquet(tmp_path / "bars.parquet", index=False)
    survivors, groups = cautions(load(tmp_path / "bars.parquet"))
    assert survivors.startswith("Survivors only: 3 of 3 names still trade at the end")
    assert groups.startswith("sector: the groups of one day are used on all days")
    dead = frame[(frame["symbol"] != "CCC") | (frame["date"] < DAYS[30])]
    dead.to_parquet(tmp_path / "bars.parquet", index=False)
    unknown, _ = cautions(load(tmp_path / "bars.parquet"))
    assert "2 of 3 still trade at the end" in unknown
    (tmp_path / "bars_members.csv").write_text("symbol,first,last\nAAA,2020-01-01,\n")
    (tmp_path / "bars_sectors.csv").write_text("symbol,since,sub_industry\nAAA,,Oil\n")
    assert cautions(load(tmp_path / "bars.parquet")) == ()


def test_a_synthetic_market_needs_no_caution(calibration: Panel) -> None:
    assert cautions(calibration) == ()
