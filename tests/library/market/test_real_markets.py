"""Real bars with real faults."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alphafoundry.market import Panel, load_market
from alphafoundry.market.volume_units import unit_steps


def column(panel: Panel, symbol: str) -> int:
    return panel.symbols.tolist().index(symbol)


def row(panel: Panel, day: str) -> int:
    return int(np.searchsorted(panel.dates, np.datetime64(day)))


def test_the_garbage_series_is_caught(members_panel: Panel) -> None:
    found = {issue.symbol: issue for issue in members_panel.issues if issue.kind == "garbage"}
    assert set(found) == {"SCG", "XL"}
    assert "117 bars, 2019-09-03 to 2020-02-19" in found["XL"].detail
    for values in members_panel.fields.values():
        assert np.isnan(values[:, column(members_panel, "SCG")]).all()


def test_the_crash_of_march_2020_stays(members_panel: Panel, market_data: Path) -> None:
    raw = pd.read_parquet(market_data / "us_equities_2016_2021.parquet")
    raw = raw[(raw["date"] >= "2020-02-15") & (raw["date"] <= "2020-04-30")]
    raw = raw[~raw["symbol"].isin(["SCG", "COL", "XL"])]
    wide = raw.pivot(index="date", columns="symbol", values="adj_close")
    columns = [column(members_panel, symbol) for symbol in wide.columns]
    first = row(members_panel, str(wide.index[0].date()))
    ours = members_panel.fields["close"][first : first + len(wide)][:, columns]
    np.testing.assert_allclose(ours, wide.to_numpy(), rtol=1e-6)
    apa = members_panel.fields["returns"][row(members_panel, "2020-03-09")]
    assert apa[column(members_panel, "APA")] == pytest.approx(-0.5386, abs=1e-3)


def test_adjusted_bars_stay_bars(members_panel: Panel) -> None:
    fields = members_panel.fields
    known = ~np.isnan(fields["close"])
    slack = 1 + 2e-3
    assert (fields["low"][known] <= fields["close"][known] * slack).all()
    assert (fields["close"][known] <= fields["high"][known] * slack).all()
    assert np.nanmax(np.abs(fields["returns"])) < 1.0


def test_sectors_of_the_members(members_panel: Panel) -> None:
    assert len(members_panel.group_names["sector"]) == 11
    codes = members_panel.groups["subindustry"][0]
    assert np.count_nonzero(codes == -1) == 75
    apple = column(members_panel, "AAPL")
    sector = members_panel.group_names["sector"][members_panel.groups["sector"][500, apple]]
    assert sector == "Information Technology"


def test_little_is_masked(members_panel: Panel, market_data: Path) -> None:
    raw = pd.read_parquet(market_data / "us_equities_2016_2021.parquet", columns=["symbol"])
    kept = np.count_nonzero(~np.isnan(members_panel.fields["close"]))
    scg = int((raw["symbol"] == "SCG").sum())
    untraded = 117
    assert len(raw) - scg - untraded - kept < 120


@pytest.mark.long
def test_three_thousand_names_and_the_same_from_the_cache(
    market_data: Path, tmp_path: Path
) -> None:
    path = market_data / "us_top3000_2012_2017.parquet"
    panel = load_market(str(path), cache_dir=tmp_path)
    assert panel.shape == (1260, 3000)
    absurd = {issue.symbol for issue in panel.issues if issue.kind in ("absurd-price", "spike")}
    assert absurd >= {"SLG", "GVA", "PXD", "TWO", "STAG", "AVB", "SUI", "MS_A"}
    honest = panel.fields["returns"][row(panel, "2016-12-27"), column(panel, "BAS")]
    assert honest == pytest.approx(-0.8597, abs=1e-3)
    code = (
        "import sys;"
        "from pathlib import Path; from alphafoundry.market import load_market;"
        f"p = load_market({str(path)!r}, cache_dir=Path({str(tmp_path)!r}));"
        "print(p.fingerprint, 'pandas' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    fingerprint, pandas_imported = run.stdout.split()
    assert fingerprint == panel.fingerprint
    assert pandas_imported == "False"


def test_no_real_volume_is_taken_for_another_unit_and_no_day_for_a_copy(
    members_panel: Panel,
) -> None:
    kinds = {issue.kind for issue in members_panel.issues}
    assert not kinds & {"volume-unit", "repeated-bar"}


def test_the_volume_of_real_names_in_lots_is_told_with_its_day(members_panel: Panel) -> None:
    volume = members_panel.fields["volume"].copy()
    close = members_panel.fields["close"]
    whole = np.flatnonzero(~np.isnan(close).any(axis=0))[::40]
    days = 300 + 50 * np.arange(len(whole))
    for name, day in zip(whole, days, strict=True):
        volume[day:, name] /= 100.0
    found = {(step.column, step.row) for step in unit_steps(volume, close)}
    put = set(zip(whole.tolist(), days.tolist(), strict=True))
    assert found <= put and len(found) >= 0.7 * len(put)
