"""The Yahoo source: batches, retries, resumption and stale data, without any network."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alphafoundry.errors import MarketError
from alphafoundry.market import Panel, downloads, load_market
from alphafoundry.market import yfinance as source
from alphafoundry.market.downloads import DownloadError
from alphafoundry.market.universe import universe_mask
from alphafoundry.market.yfinance import (
    Member,
    fetch_bars,
    index_history,
    index_members,
    load_yfinance,
)

MEMBERS = [
    Member(f"N{number:02d}", "Energy" if number % 2 else "Banks", "Drilling" if number % 2 else "")
    for number in range(8)
]
TODAY = date(2024, 6, 5)


class Yahoo:
    """A Yahoo that counts its calls and fails as it is told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.unknown: set[str] = set()
        self.failures: list[Exception | None] = []
        self.dead = False
        self.since: list[date] = []

    def __call__(self, symbols: Sequence[str], first: date, after: date) -> pd.DataFrame:
        self.asked.append(tuple(symbols))
        self.since.append(first)
        if self.dead:
            raise ConnectionError("no route\nto host")
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        days = pd.bdate_range(after - timedelta(days=60), after - timedelta(days=1))
        close = 10.0 + np.arange(len(days)) * 0.01
        return pd.concat(
            [
                pd.DataFrame(
                    {
                        "date": days,
                        "symbol": symbol,
                        "open": close,
                        "high": close + 0.1,
                        "low": close - 0.1,
                        "close": close,
                        "adj_close": close / 2,
                        "volume": 1000.0,
                    }
                )
                for symbol in symbols
                if symbol not in self.unknown
            ]
            or [pd.DataFrame(columns=["date", "symbol", "close"])],
            ignore_index=True,
        )


@pytest.fixture
def yahoo() -> Yahoo:
    return Yahoo()


@pytest.fixture
def load(
    tmp_path: Path, yahoo: Yahoo, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Panel, list[float], list[str]]]:
    monkeypatch.setattr(downloads, "BATCH_SIZE", 3)

    def run(today: date = TODAY) -> tuple[Panel, list[float], list[str]]:
        waits: list[float] = []
        lines: list[str] = []
        panel = load_yfinance(
            cache_dir=tmp_path,
            progress=lines.append,
            today=today,
            members=MEMBERS,
            fetch=yahoo,
            wait=waits.append,
        )
        return panel, waits, lines

    return run


def test_batches_become_one_panel_with_groups(load: Callable, yahoo: Yahoo) -> None:
    panel, waits, lines = load()
    assert [len(batch) for batch in yahoo.asked] == [3, 3, 2]
    assert waits == []
    assert panel.symbols.tolist() == [member.symbol for member in MEMBERS]
    assert panel.dates[-1] == np.datetime64("2024-06-04")
    assert panel.fields["close"][0, 0] == pytest.approx(5.0)
    assert panel.group_names["sector"] == ("Banks", "Energy")
    assert panel.groups["subindustry"][0, :2].tolist() == [-1, 0]
    assert not panel.label.startswith("STALE")
    assert any("batch 2 of 3" in line for line in lines)


def test_a_finished_download_is_not_repeated(load: Callable, yahoo: Yahoo) -> None:
    first, _, _ = load()
    calls = len(yahoo.asked)
    second, _, lines = load()
    assert len(yahoo.asked) == calls
    assert lines == []
    assert second.fingerprint == first.fingerprint


def test_failures_are_retried_with_growing_waits(load: Callable, yahoo: Yahoo) -> None:
    yahoo.failures = [TimeoutError("slow"), ValueError("odd"), None]
    panel, waits, _ = load()
    assert waits == [2.0, 4.0]
    assert panel.shape[1] == 8


def test_only_the_names_that_did_not_come_are_asked_again(load: Callable, yahoo: Yahoo) -> None:
    yahoo.unknown = {"N01"}
    panel, waits, _ = load()
    assert yahoo.asked[:2] == [("N00", "N01", "N02"), ("N01",)]
    assert waits == [2.0, 4.0, 8.0, 16.0]
    assert "N01" not in panel.symbols
    assert [issue.symbol for issue in panel.issues if issue.kind == "not-downloaded"] == ["N01"]


def test_an_interrupted_download_goes_on_where_it_stopped(load: Callable, yahoo: Yahoo) -> None:
    yahoo.failures = [None, KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        load()
    yahoo.asked.clear()
    panel, _, _ = load()
    assert yahoo.asked == [("N03", "N04", "N05"), ("N06", "N07")]
    assert panel.shape[1] == 8


def test_without_network_and_without_download_the_error_says_how_far_it_came(
    load: Callable, yahoo: Yahoo
) -> None:
    yahoo.failures = [None, *[ConnectionError("reset")] * 5]
    with pytest.raises(DownloadError) as error:
        load()
    text = str(error.value)
    assert text.startswith("yfinance: 1 of 3 batches are downloaded")
    assert "reset" in text
    assert "run again" in text
    assert "\n" not in text
    assert error.value.transient


def test_without_network_the_last_download_is_used_and_called_stale(
    load: Callable, yahoo: Yahoo
) -> None:
    fresh, _, _ = load()
    yahoo.dead = True
    stale, _, lines = load(TODAY + timedelta(days=2))
    assert stale.label.startswith("STALE, downloaded up to 2024-06-04")
    assert fresh.label in stale.label
    assert stale.fingerprint == fresh.fingerprint
    assert any("no route" in line for line in lines)
    yahoo.dead = False
    again, _, _ = load(TODAY + timedelta(days=2))
    assert not again.label.startswith("STALE")
    assert again.dates[-1] == np.datetime64("2024-06-06")


def test_the_named_source_uses_the_members_that_pitindex_knows(
    tmp_path: Path, yahoo: Yahoo, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pitindex")
    monkeypatch.setattr(source, "fetch_bars", yahoo)
    panel = load_market("yfinance", cache_dir=tmp_path)
    assert panel.shape[1] > 560
    assert panel.members is not None
    assert 480 < panel.members[0].sum() < 520
    assert 480 < panel.members[-1].sum() < 520
    inside, _ = universe_mask(panel, "TOP3000")
    assert not (inside & ~panel.members).any()
    assert len(panel.group_names["sector"]) == 11
    assert panel.source == "yfinance"


def test_members_are_those_of_the_day() -> None:
    pytest.importorskip("pitindex")
    names = {member.symbol for member in index_members(date(2024, 6, 3))}
    assert "AAPL" in names
    assert "DELL" not in names


def test_stays_of_members_follow_the_index() -> None:
    pytest.importorskip("pitindex")
    first, last = date(2021, 1, 4), date(2024, 6, 3)
    members, stays = index_history(first, last)
    for day in (first, date(2022, 3, 1), date(2023, 12, 18), last):
        there = {
            stay.symbol
            for stay in stays
            if stay.first <= day and (stay.last is None or day <= stay.last)
        }
        assert there == {member.symbol for member in index_members(day)}, day
    assert {member.symbol for member in members} == {
        stay.symbol for stay in stays if stay.last is None
    }


def test_a_new_day_asks_for_ten_days_and_not_for_five_years(load: Callable, yahoo: Yahoo) -> None:
    first, _, _ = load()
    yahoo.asked.clear()
    yahoo.since.clear()
    second, _, _ = load(TODAY + timedelta(days=1))
    assert [len(batch) for batch in yahoo.asked] == [3, 3, 2]
    assert set(yahoo.since) == {date(2024, 5, 21)}
    assert np.array_equal(second.dates[:-1], first.dates)
    assert second.dates[-1] == np.datetime64("2024-06-05")


def test_yahoo_tables_become_long(monkeypatch: pytest.MonkeyPatch) -> None:
    yfinance = pytest.importorskip("yfinance")
    asked: dict[str, object] = {}

    def download(tickers: list[str], **options: object) -> pd.DataFrame:
        asked.update(options, tickers=tickers)
        columns = pd.MultiIndex.from_product(
            [["AAPL", "BRK-B", "GONE"], ["Open", "High", "Low", "Close", "Adj Close", "Volume"]]
        )
        days = pd.DatetimeIndex(["2024-06-03", "2024-06-04"], name="Date")
        table = pd.DataFrame(np.arange(36.0).reshape(2, 18) + 1, index=days, columns=columns)
        table["GONE"] = np.nan
        return table

    monkeypatch.setattr(yfinance, "download", download)
    monkeypatch.setattr(source, "require_answer", lambda: None)
    table = fetch_bars(["AAPL", "BRK.B", "GONE", "NEVER"], date(2024, 6, 3), date(2024, 6, 5))
    assert asked["tickers"] == ["AAPL", "BRK-B", "GONE", "NEVER"]
    assert (asked["start"], asked["end"]) == ("2024-06-03", "2024-06-05")
    assert asked["auto_adjust"] is False
    assert table["symbol"].tolist() == ["AAPL", "AAPL", "BRK.B", "BRK.B"]
    assert table.loc[2, ["open", "close", "adj_close", "volume"]].tolist() == [7, 10, 11, 12]
    monkeypatch.setattr(yfinance, "download", lambda *_, **__: None)
    assert fetch_bars(["AAPL"], date(2024, 6, 3), date(2024, 6, 5)).empty


@pytest.mark.parametrize("listening", [False, True])
def test_a_yahoo_that_does_not_answer_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, listening: bool
) -> None:
    """Nobody at the address, or one who takes the connection and says nothing."""
    pytest.importorskip("yfinance")
    pytest.importorskip("pitindex")
    monkeypatch.setattr(source, "ANSWER_SECONDS", 0.2)
    waits: list[float] = []
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if listening:
            silent.listen()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr(source, "YAHOO", address)
        with pytest.raises(DownloadError, match="check the network") as error:
            load_yfinance(cache_dir=tmp_path, progress=lambda _: None, wait=waits.append)
    assert waits == []
    text = str(error.value)
    assert text.startswith(f"yfinance: 0 of 11 batches are downloaded, then {address}")
    assert "sample" in text and "\n" not in text


@pytest.mark.parametrize("package", ["yfinance", "pitindex"])
def test_without_the_packages_the_command_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MarketError, match=r"make install EXTRAS=yfinance"):
        load_market("yfinance", cache_dir=tmp_path)
