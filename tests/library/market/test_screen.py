"""The data screen, the price cases that go wrong elsewhere, and the command that prints it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alphafoundry.command_line import main
from alphafoundry.errors import MarketError
from alphafoundry.market import Panel, load_frame, load_market
from alphafoundry.simulation import SimulationSettings, simulate

BOOK = SimulationSettings(neutralization="NONE")


def walks(days: int = 560, names: int = 8, frequency: str = "B") -> pd.DataFrame:
    """Return closes and volumes of random walks in long format."""
    draw = np.random.default_rng(5)
    dates = pd.date_range("2018-01-05", periods=days, freq=frequency)
    close = 60.0 * np.exp(np.cumsum(0.01 * draw.standard_normal((days, names)), axis=0))
    volume = np.rint(1e6 * np.exp(0.4 * draw.standard_normal((days, names))))
    return pd.DataFrame(
        {
            "date": np.repeat(dates, names),
            "symbol": np.tile([f"N{n}" for n in range(names)], days),
            "close": close.ravel(),
            "volume": volume.ravel(),
        }
    )


def of(frame: pd.DataFrame, symbol: str, first: int = 0, last: int | None = None) -> pd.Index:
    return frame.index[frame["symbol"] == symbol][first:last]


def book(frame: pd.DataFrame) -> float:
    return simulate("1", load_frame(frame), BOOK).statistics.pnl


def test_a_split_is_told_and_costs_nothing() -> None:
    plain, split = walks(), walks()
    split.loc[of(split, "N3", 300), "close"] /= 4.0
    panel = load_frame(split)
    assert book(split) == pytest.approx(book(plain))
    text = "\n".join(panel.screen().lines())
    assert "N3: close" in text and "4 for 1" in text
    assert panel.raw["close"][300, 3] == split.loc[of(split, "N3", 300)[0], "close"]
    assert panel.screen().faults["unadjusted-split"] == (1, 0)


def test_a_wipe_out_counts() -> None:
    plain, failed = walks(), walks()
    failed.loc[of(failed, "N0", 300), "close"] *= 0.0038
    panel = load_frame(failed)
    assert np.nanmin(panel.fields["returns"]) < -0.99
    assert book(failed) < book(plain) - 0.9 * 20e6 / 8
    assert panel.screen().masked == 0


@pytest.mark.parametrize("fall", [0.4, 0.5, 1 / 3])
def test_a_halt_costs_what_it_cost_with_and_without_bars(fall: float) -> None:
    gap, carried = walks(), walks()
    for frame in (gap, carried):
        frame.loc[of(frame, "N0", 250), "close"] *= fall
    held = of(gap, "N0", 247, 250)
    carried.loc[held, "close"] = carried.loc[of(carried, "N0", 246)[0], "close"]
    assert book(gap.drop(held)) == pytest.approx(book(carried))
    assert book(carried) < book(walks()) - 0.9 * (1 - fall) * 20e6 / 8


def test_two_calendars_lose_no_monday() -> None:
    frame = walks(frequency="D")
    weekend = frame["date"].dt.day_of_week >= 5
    shares = frame["symbol"].isin(["N4", "N5", "N6", "N7"])
    frame = frame[~(weekend & shares)]
    panel = load_frame(frame)
    earned = np.nansum(np.log1p(panel.fields["returns"]), axis=0)
    for column, symbol in enumerate(panel.symbols):
        closes = frame.loc[frame["symbol"] == symbol, "close"].to_numpy()
        assert earned[column] == pytest.approx(np.log(closes[-1] / closes[0]))
    assert panel.screen().calendar == "every day of the week"


def test_weekly_bars_are_annualised_as_such_and_told() -> None:
    panel = load_frame(walks(frequency="W-FRI"))
    found = simulate(
        "rank(ts_zscore(close, 20))", panel, SimulationSettings(neutralization="MARKET")
    )
    pnl = found.daily_pnl
    assert found.statistics.sharpe == pytest.approx(np.sqrt(52) * pnl.mean() / pnl.std())
    assert "calendar   weekly, 52 bars a year" in panel.screen().lines()


def test_the_screen_says_who_is_missing_and_who_never_moves() -> None:
    frame = walks(days=900)
    frame.loc[of(frame, "N1"), "close"] = 5.0
    screen = load_frame(frame.drop(of(frame, "N2", 500))).screen()
    assert (screen.alive, screen.ended) == (6, 1)
    assert screen.constant == ()
    assert screen.faults["garbage"] == (1, 900)
    survivors = load_frame(walks(days=900)).screen()
    assert any("Survivors only" in text for text in survivors.cautions)
    assert not any("Survivors only" in text for text in screen.cautions)


def test_a_name_that_never_moves_is_named() -> None:
    frame = walks(days=12)
    frame.loc[of(frame, "N1"), "close"] = 5.0
    assert load_frame(frame).screen().constant == ("N1",)


def test_names_of_which_nothing_is_left_are_named() -> None:
    frame = walks(days=900)
    frame["adj_close"] = frame["close"]
    frame.loc[of(frame, "N1"), "adj_close"] = np.nan
    screen = load_frame(frame).screen()
    assert (screen.alive, screen.ended, screen.without_bars) == (7, 0, ("N1",))
    (names,) = (text for word, text in screen.rows() if word == "names")
    assert "7 of 8" in names and "N1" in names


def test_odd_days_are_told() -> None:
    plain = walks(days=900)
    assert not _about_days(plain)
    typo = plain.copy()
    typo.loc[typo["date"] == typo["date"].max(), "date"] = pd.Timestamp("2181-03-01")
    told = _about_days(typo)
    assert "future" in told and "2181-03-01" in told and "No name has a bar between" in told
    days = plain["date"].drop_duplicates()
    weekly_first = plain[(plain["date"] > days.iloc[400]) | plain["date"].isin(days.iloc[:400:5])]
    assert "another length" in _about_days(weekly_first)


def _about_days(frame: pd.DataFrame) -> str:
    about = ("in the future", "No name has", "on average")
    cautions = load_frame(frame).screen().cautions
    return " ".join(text for text in cautions if any(word in text for word in about))


def test_symbols_that_differ_in_case_alone_are_told() -> None:
    frame = walks(days=900)
    assert not _cautions_about(frame, "case")
    frame.loc[of(frame, "N2", 500), "symbol"] = " n2 "
    assert "N2 and n2" in _cautions_about(frame, "case")


def test_one_series_under_several_symbols_is_told() -> None:
    frame = walks(days=900)
    assert not _cautions_about(frame, "several symbols")
    for twin in ("N4", "N6"):
        frame.loc[of(frame, twin), "close"] = frame.loc[of(frame, "N1"), "close"].to_numpy()
    told = _cautions_about(frame, "several symbols")
    assert told.startswith("3 names have the closes of another on all days (N1, N4, N6):")


def _cautions_about(frame: pd.DataFrame, word: str) -> str:
    return " ".join(text for text in load_frame(frame).screen().cautions if word in text)


def test_a_result_says_what_was_changed_in_its_bars_or_left_out() -> None:
    settings = SimulationSettings(neutralization="MARKET")
    frame = walks(days=900)
    plain = simulate("rank(ts_zscore(close, 20))", frame, settings)
    assert plain.data == () and "data:" not in str(plain)
    frame.loc[of(frame, "N3", 300), "close"] /= 4.0
    frame.loc[of(frame, "N2", 400, 402), "close"] *= 30.0
    frame.loc[frame["date"] == frame["date"].max(), "date"] = pd.Timestamp("2181-03-01")
    text = str(simulate("rank(ts_zscore(close, 20))", frame, settings))
    assert "data: splits divided out of the prices of N3\n" in text
    assert "data: 2 bars left out as faulty, of N2\n" in text
    assert "data: 1 day lies in the future, the last is 2181-03-01" in text


@pytest.mark.parametrize("fault", ["infinite", "contradicting"])
def test_bars_that_the_reader_masks_are_counted(fault: str) -> None:
    frame = walks(days=900)
    if fault == "infinite":
        frame.loc[of(frame, "N2", 400, 403), "close"] = np.inf
    else:
        again = frame.loc[of(frame, "N2", 400, 403)].assign(close=lambda rows: 1.5 * rows["close"])
        frame = pd.concat([frame, again])
    panel = load_frame(frame)
    assert panel.screen().masked == 3
    text = str(simulate("rank(ts_zscore(close, 20))", panel, BOOK))
    assert "data: 3 bars left out as faulty, of N2\n" in text


def test_a_result_says_that_prices_are_in_several_currencies() -> None:
    frame = walks(days=900).assign(currency="USD")
    frame.loc[of(frame, "N2"), "currency"] = "JPY"
    text = str(simulate("rank(ts_zscore(close, 20))", frame, BOOK))
    assert "data: prices are in JPY, USD" in text


def test_a_result_says_that_an_adjusted_close_is_none() -> None:
    frame = walks(days=900)
    frame["adj_close"] = frame["close"]
    frame.loc[of(frame, "N2"), "adj_close"] = frame.loc[of(frame, "N1"), "close"].to_numpy()
    text = str(simulate("rank(ts_zscore(close, 20))", frame, BOOK))
    assert "data: adj_close does not fit the prices of N2, and is used\n" in text


def test_dividends_beside_a_close_alone_are_told() -> None:
    frame = walks(days=900).assign(dividend=0.0)
    assert not any("dividends beside" in line for line in load_frame(frame).screen().lines())
    frame.loc[of(frame, "N2", 400, 401), "dividend"] = 0.4
    assert any("dividends beside" in line for line in load_frame(frame).screen().lines())
    frame["adj_close"] = frame["close"]
    assert not any("dividends beside" in line for line in load_frame(frame).screen().lines())


def test_each_spike_that_was_left_out_is_told() -> None:
    frame = walks()
    frame.loc[of(frame, "N2", 300, 302), "close"] *= 30.0
    lines = load_frame(frame).screen().lines()
    assert any(line.startswith("left out") and "N2" in line for line in lines)


def test_where_nothing_is_left_the_reason_is_told() -> None:
    frame = walks()
    frame["close"] = 5.0
    with pytest.raises(MarketError, match=r"stays at 5|are broken"):
        load_frame(frame)


def test_a_pnl_of_rounding_has_no_sharpe_ratio() -> None:
    frame = walks()
    day = np.repeat(np.arange(560), 8)
    frame["close"] = 10.0 * (1 + np.tile(np.arange(8), 560)) * 1.001**day
    found = simulate(
        "rank(ts_delta(close, 5))", load_frame(frame), SimulationSettings(neutralization="MARKET")
    )
    assert abs(found.statistics.pnl) < 1e-3
    assert np.isnan(found.statistics.sharpe) and np.isnan(found.statistics.fitness)


def test_the_screen_is_json_and_a_table() -> None:
    split = walks()
    split.loc[of(split, "N3", 300), "close"] /= 4.0
    screen = load_frame(split).screen()
    assert json.loads(json.dumps(screen.to_json()))["faults"]["unadjusted-split"]["series"] == 1
    rows = screen.to_markdown().splitlines()
    assert all(row.count("|") == 3 for row in rows if row.startswith("|"))


def test_a_synthetic_market_has_no_cautions(calibration: Panel) -> None:
    screen = calibration.screen()
    assert screen.cautions == () and screen.market.startswith("SYNTHETIC")
    assert screen.ended > 0 and screen.missing > 0


def test_a_cached_panel_shows_the_same_screen(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    split = walks()
    split.loc[of(split, "N3", 300), "close"] /= 4.0
    split.assign(remark="x").to_csv(path, index=False)
    first, again = (load_market(str(path), cache_dir=tmp_path / "cache") for _ in range(2))
    assert first.screen() == again.screen()
    assert any("remark" in note.detail for note in again.screen().notes)
    assert np.array_equal(first.raw["close"], again.raw["close"])


def test_the_command_prints_the_screen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOUNDRY_HOME", str(tmp_path))
    path = tmp_path / "bars.csv"
    walks().to_csv(path, index=False)
    assert main(["data", "show", str(path)]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^data +bars.csv: 8 names", printed)
    assert "exchange days, 252 bars a year" in printed
    assert main(["data", "show", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["names"] == 8
    assert main(["data", "show", str(tmp_path / "none.csv")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


CASES = Path(__file__).resolve().parents[4] / "shared" / "cases" / "market"


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not beside this checkout")
@pytest.mark.parametrize(
    ("name", "pnl"),
    [
        ("03_halt_gap", 2_545_519),
        ("03_halt_carried", 2_545_519),
        ("04_bank_failure", 1_540_392),
        ("01_unadjusted_split", 4_203_611),
    ],
)
def test_the_books_of_the_cases(name: str, pnl: float, tmp_path: Path) -> None:
    panel = load_market(str(CASES / f"{name}.csv"), cache_dir=tmp_path)
    found = simulate("1", panel, BOOK).statistics
    assert found.pnl == pytest.approx(pnl, abs=1.0)


def test_weekly_bars_in_a_folder_of_daily_ones_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "bars"
    folder.mkdir()
    for name, days in (
        ("DAY", pd.bdate_range("2018-01-01", periods=700)),
        ("WEEK", pd.date_range("2018-01-05", periods=130, freq="W-FRI")),
    ):
        close = 50 + np.arange(len(days)) * 0.01
        pd.DataFrame({"date": days, "close": close}).to_csv(folder / f"{name}.csv", index=False)
    cautions = load_market(str(folder), cache_dir=tmp_path / "cache").screen().cautions
    (told,) = [line for line in cautions if "among daily ones" in line]
    assert told.startswith("Weekly bars among daily ones: WEEK;")


def test_a_unit_of_volume_that_changes_and_days_that_were_filled_in_are_told() -> None:
    frame = walks(days=900)
    frame["volume"] = frame["volume"].where(~frame.index.isin(of(frame, "N2", 400)), 1e-3)
    frame.loc[of(frame, "N2", 400), "volume"] *= walks(days=900).loc[of(frame, "N2", 400), "volume"]
    saturdays = frame[frame["date"].dt.day_of_week == 4].assign(
        date=lambda rows: rows["date"] + pd.Timedelta(days=1)
    )
    lines = load_frame(frame).screen().lines()
    assert any(line.startswith("volume     N2: volume is about 1/") for line in lines)
    text = str(simulate("rank(ts_zscore(close, 20))", frame, BOOK))
    assert "data: volume may change its unit, and is used as it is, of N2\n" in text
    filled = pd.concat([walks(days=900), saturdays.assign(volume=0.0)])
    lines = load_frame(filled).screen().lines()
    assert any(line.startswith("repeated   nearly every name repeats") for line in lines)
    text = str(simulate("rank(ts_zscore(close, 20))", filled, BOOK))
    assert "data: bars that repeat the one before, of all names, are used\n" in text
