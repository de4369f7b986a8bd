"""Market folders: days are appended, revisions kept, disagreement told, and kills survived."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from alphafoundry.command_line import main
from alphafoundry.errors import MarketError
from alphafoundry.market import load_market, yfinance
from alphafoundry.market.market_folder import (
    read_events,
    read_market_folder,
    read_state,
    read_version,
)
from alphafoundry.market.sessions import NEW_YORK, session_days
from alphafoundry.market.update import UpdateReport, update_market
from alphafoundry.market.update_sources import FileSource, NamesSource
from tests.piped_commands import PipedCommand, program, status_of

DAYS = session_days(NEW_YORK, date(2023, 11, 1), date(2024, 3, 28))
NAMES = ("AAA", "BBB", "CCC", "DDD")
COLUMNS = ("open", "high", "low", "close", "adj_close", "volume")


def evening(day: np.datetime64) -> datetime:
    """Return a time after the close of the day."""
    return datetime.combine(day.item(), datetime.min.time(), UTC).replace(hour=23)


def bars_table(days: int = len(DAYS), *, seed: int = 3) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    shape = (len(DAYS), len(NAMES))
    close = 50.0 * np.exp(np.cumsum(0.01 * draw.standard_normal(shape), axis=0))
    frame = pd.DataFrame(
        {
            "date": np.repeat(DAYS, len(NAMES)),
            "symbol": np.tile(NAMES, len(DAYS)),
            "open": (close * 0.999).ravel(),
            "high": (close * 1.01).ravel(),
            "low": (close * 0.99).ravel(),
            "close": close.ravel(),
            "adj_close": (0.5 * close).ravel(),
            "volume": draw.integers(10_000, 99_999, shape).ravel().astype(float),
        }
    )
    return frame[frame["date"] <= DAYS[days - 1]].reset_index(drop=True)


def cell(table: pd.DataFrame, day: int, name: str) -> pd.Series:
    return (table["date"] == DAYS[day]) & (table["symbol"] == name)


@dataclass
class Growing:
    """A market folder beside the file that it is updated from."""

    root: Path
    folder: Path = field(init=False)
    file: Path = field(init=False)

    def __post_init__(self) -> None:
        self.folder, self.file = self.root / "market", self.root / "bars.parquet"

    def update(self, table: pd.DataFrame, day: int, **options: bool) -> UpdateReport:
        """Write what the source has and update on the evening of DAYS[day - 1]."""
        table.to_parquet(self.file, index=False)
        source = FileSource(self.file, lambda _: None)
        return update_market(
            self.folder, source, exchange=NEW_YORK, now=evening(DAYS[day - 1]), **options
        )

    def value(self, day: int, name: str, column: str = "close") -> float:
        bars = read_market_folder(self.folder)
        row = np.flatnonzero(bars.dates == DAYS[day])[0]
        return float(bars.values[column][row, bars.symbols.tolist().index(name)])


@pytest.fixture
def growing(tmp_path: Path) -> Growing:
    return Growing(tmp_path)


def test_a_new_folder_holds_what_the_file_does(growing: Growing) -> None:
    table = bars_table(80)
    report = growing.update(table, 80)
    assert report.before is None
    assert report.after.appended == len(table) == report.after.bars
    bars = read_market_folder(growing.folder)
    for column in COLUMNS:
        wide = table.pivot(index="date", columns="symbol", values=column)
        assert np.array_equal(bars.values[column], wide.to_numpy())
    assert bars.dates[-1] == DAYS[79]


def test_a_day_is_appended_and_the_market_stays(growing: Growing) -> None:
    growing.update(bars_table(80), 80)
    before = load_market(str(growing.folder), cache_dir=growing.root / "cache")
    report = growing.update(bars_table(81), 81)
    assert report.new_days == (DAYS[80].item(),)
    assert (report.after.appended, report.after.revised, report.after.filled) == (4, 0, 0)
    after = load_market(str(growing.folder), cache_dir=growing.root / "cache")
    assert after.market_id == before.market_id
    assert after.fingerprint != before.fingerprint
    assert after.dates[-1] == DAYS[80]
    moved = growing.folder.rename(growing.root / "elsewhere")
    assert load_market(str(moved), cache_dir=growing.root / "cache").market_id == before.market_id


def test_the_same_bars_make_no_version(growing: Growing) -> None:
    growing.update(bars_table(80), 80)
    again = growing.update(bars_table(80), 81)
    assert not again.changed
    assert again.after.number == 1
    assert "nothing new" in again.lines()[0]


def test_a_day_that_has_not_closed_is_left_for_later(growing: Growing) -> None:
    report = growing.update(bars_table(81), 80)
    assert report.after.last == DAYS[79].item()
    report = growing.update(bars_table(81), 81)
    assert report.after.last == DAYS[80].item()


def test_a_small_change_is_a_revision_and_both_values_are_kept(growing: Growing) -> None:
    table = bars_table(80)
    growing.update(table, 80)
    old = growing.value(75, "BBB")
    changed = bars_table(81)
    changed.loc[cell(changed, 75, "BBB"), "close"] *= 1.001
    changed.loc[cell(changed, 60, "CCC"), "volume"] += 5_000.0
    report = growing.update(changed, 81)
    assert (report.after.revised, report.after.quarantined) == (2, 0)
    assert growing.value(75, "BBB") == pytest.approx(1.001 * old, rel=1e-12)
    events = read_events(growing.folder, "revisions", [2]).set_index(["symbol", "column"])
    revision = events.loc[("BBB", "close")]
    assert (revision["date"], revision["before"]) == (str(DAYS[75]), old)
    assert revision["known_at"] == pd.Timestamp(evening(DAYS[80]))
    known = read_market_folder(growing.folder, known_at=evening(DAYS[79]))
    whole = bars_table(80).pivot(index="date", columns="symbol", values="close")
    assert np.array_equal(known.values["close"], whole.to_numpy())
    assert np.array_equal(
        known.values["volume"],
        table.pivot(index="date", columns="symbol", values="volume").to_numpy(),
    )


def test_a_disagreement_is_told_and_not_taken_over_until_accepted(growing: Growing) -> None:
    growing.update(bars_table(80), 80)
    old = growing.value(75, "BBB")
    changed = bars_table(81)
    changed.loc[cell(changed, 75, "BBB"), "close"] *= 1.12
    report = growing.update(changed, 81)
    assert report.after.quarantined == 1
    assert growing.value(75, "BBB") == old
    (line,) = report.held
    assert line.startswith(f"BBB: 1 values, the first close on {DAYS[75]}: kept {old:.6g}")
    panel = load_market(str(growing.folder), cache_dir=growing.root / "cache")
    assert [issue.symbol for issue in panel.issues if issue.kind == "quarantine"] == ["BBB"]
    later = growing.update(changed, 82)
    assert later.after.quarantined == 1
    accepted = growing.update(changed, 82, accept=True)
    assert (accepted.after.quarantined, accepted.after.revised) == (0, 1)
    assert growing.value(75, "BBB") == pytest.approx(1.12 * old, rel=1e-12)


def test_a_disagreement_that_the_source_mends_is_let_go(growing: Growing) -> None:
    growing.update(bars_table(80), 80)
    wrong = bars_table(81)
    wrong.loc[cell(wrong, 75, "BBB"), "close"] *= 1.12
    assert growing.update(wrong, 81).after.quarantined == 1
    assert growing.update(bars_table(82), 82).after.quarantined == 0


@pytest.mark.parametrize("factor", [0.25, 8.0, 0.998])
def test_a_series_on_another_scale_is_readjusted(growing: Growing, factor: float) -> None:
    """A source that adjusts rescales the past when a split or dividend comes."""
    growing.update(bars_table(80), 80)
    changed = bars_table(81)
    mine = changed["symbol"] == "CCC"
    columns = ["adj_close"] if factor == 0.998 else ["open", "high", "low", "close", "adj_close"]
    changed.loc[mine, columns] *= factor
    if factor != 0.998:
        changed.loc[mine, "volume"] /= factor
    # Only the overlap comes, as from a source that is asked for it.
    report = growing.update(changed[changed["date"] >= DAYS[70]], 81)
    assert (report.after.readjusted, report.after.quarantined, report.after.revised) == (1, 0, 0)
    bars = read_market_folder(growing.folder)
    for column in COLUMNS:
        wide = changed.pivot(index="date", columns="symbol", values=column)
        np.testing.assert_allclose(bars.values[column], wide.to_numpy(), rtol=1e-9)
    known = read_market_folder(growing.folder, known_at=evening(DAYS[79]))
    for column in COLUMNS:
        wide = bars_table(80).pivot(index="date", columns="symbol", values=column)
        np.testing.assert_allclose(known.values[column], wide.to_numpy(), rtol=1e-9)


def test_a_gap_is_filled_and_counted_apart_from_new_days(growing: Growing) -> None:
    table = bars_table(80)
    growing.update(table[~cell(table, 40, "AAA") & (table["date"] != DAYS[50])], 80)
    report = growing.update(bars_table(81), 81)
    assert (report.after.filled, report.after.appended) == (5, 4)
    assert report.missing_sessions == ()


def test_a_missing_session_is_named(growing: Growing) -> None:
    table = bars_table(80)
    report = growing.update(table[table["date"] != DAYS[50]], 80)
    assert report.missing_sessions == (DAYS[50].item(),)
    assert any(str(DAYS[50]) in line for line in report.lines())


def test_a_bar_on_a_holiday_is_quarantined(growing: Growing) -> None:
    table = bars_table(80)
    stray = table[table["date"] == DAYS[10]].assign(date=np.datetime64("2023-11-23"))
    report = growing.update(pd.concat([table, stray]), 80)
    assert report.after.quarantined == 4
    assert "no trading day" in report.held[0]
    assert np.datetime64("2023-11-23") not in read_market_folder(growing.folder).dates


def test_bars_of_another_exchange_are_refused(growing: Growing) -> None:
    table = bars_table(80)
    table["date"] += pd.Timedelta(days=2)
    with pytest.raises(MarketError, match="are no trading days of XNYS; name the exchange"):
        growing.update(table, 80)
    assert not (growing.folder / "market.json").exists()


def test_a_new_name_brings_its_history(growing: Growing) -> None:
    table = bars_table(81)
    growing.update(table[(table["symbol"] != "DDD") & (table["date"] <= DAYS[79])], 80)
    report = growing.update(table, 81)
    assert report.after.bars == len(table)
    wide = table.pivot(index="date", columns="symbol", values="close")
    assert np.array_equal(read_market_folder(growing.folder).values["close"], wide.to_numpy())


def test_a_folder_of_files_reads_only_what_changed(tmp_path: Path) -> None:
    table = bars_table(82)
    drops = tmp_path / "drops"
    drops.mkdir()
    lines: list[str] = []
    source = FileSource(drops, lines.append)

    def drop(day: int) -> None:
        one = table[table["date"] == DAYS[day]]
        one.to_parquet(drops / f"{DAYS[day]}.parquet", index=False)

    for day in range(80):
        drop(day)
    market = tmp_path / "market"
    update_market(market, source, exchange=NEW_YORK, now=evening(DAYS[79]))
    assert len(lines) == 80
    drop(80)
    report = update_market(market, source, exchange=NEW_YORK, now=evening(DAYS[80]))
    assert len(lines) == 81
    assert report.after.bars == 81 * 4
    wide = table[table["date"] <= DAYS[80]].pivot(index="date", columns="symbol", values="close")
    assert np.array_equal(read_market_folder(market).values["close"], wide.to_numpy())


class Yahoo:
    """A Yahoo of four names that counts what it is asked."""

    def __init__(self) -> None:
        self.table = bars_table()
        self.asked: list[tuple[tuple[str, ...], date, date]] = []

    def __call__(self, names: tuple[str, ...], first: date, after: date) -> pd.DataFrame:
        self.asked.append((tuple(names), first, after))
        days = self.table["date"]
        mine = self.table["symbol"].isin(names)
        return self.table[mine & (days >= np.datetime64(first)) & (days < np.datetime64(after))]


@pytest.fixture
def yahoo(tmp_path: Path) -> tuple[Yahoo, Callable[[int], UpdateReport]]:
    service = Yahoo()

    def run(day: int) -> UpdateReport:
        source = NamesSource(
            NAMES, date(2023, 11, 1), tmp_path / "scratch", service, lambda _: None, lambda _: None
        )
        return update_market(
            tmp_path / "market", source, exchange=NEW_YORK, now=evening(DAYS[day - 1])
        )

    return service, run


def test_yahoo_is_asked_for_ten_days_and_the_new_one(
    yahoo: tuple[Yahoo, Callable[[int], UpdateReport]],
) -> None:
    service, run = yahoo
    run(80)
    service.asked.clear()
    report = run(81)
    assert service.asked == [(NAMES, DAYS[70].item(), DAYS[81].item())]
    assert (report.after.appended, report.after.revised) == (4, 0)


def test_yahoo_is_asked_again_for_gaps_but_not_for_ever(
    yahoo: tuple[Yahoo, Callable[[int], UpdateReport]], tmp_path: Path
) -> None:
    service, run = yahoo
    whole = service.table
    lost = cell(whole, 40, "AAA") | cell(whole, 41, "AAA") | cell(whole, 20, "BBB")
    service.table = whole[~lost]
    run(80)
    service.table = whole[~cell(whole, 20, "BBB")]
    report = run(81)
    assert service.asked[-1][0] == ("AAA", "BBB")
    assert report.after.filled == 2
    assert report.gaps_left == 1
    for day in (82, 83, 84, 85):
        run(day)
    assert [asked[0] for asked in service.asked].count(("BBB",)) == 2
    assert read_version(tmp_path / "market", read_state(tmp_path / "market").version).asked == {
        "BBB": 3
    }


def test_gaps_that_nobody_answers_for_are_left_and_the_new_day_stays(
    tmp_path: Path,
) -> None:
    service, lines = Yahoo(), []
    whole = service.table
    service.table = whole[~cell(whole, 20, "BBB")]

    def fetch(names: tuple[str, ...], first: date, after: date) -> pd.DataFrame:
        if tuple(names) == ("BBB",):
            raise TimeoutError
        return service(names, first, after)

    for day in (80, 81):
        source = NamesSource(
            NAMES, date(2023, 11, 1), tmp_path / "scratch", fetch, lines.append, lambda _: None
        )
        report = update_market(
            tmp_path / "market", source, exchange=NEW_YORK, now=evening(DAYS[day - 1])
        )
    assert lines[-1] == "yfinance: TimeoutError; these are left out for now"
    assert (report.after.appended, report.gaps_left) == (4, 1)


def test_names_that_a_person_chose_are_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command, with a Yahoo that has bars up to the last session."""
    asked: list[tuple[str, ...]] = []

    def fetch(names: list[str], first: date, after: date) -> pd.DataFrame:
        asked.append(tuple(names))
        days = session_days(NEW_YORK, first, after - timedelta(days=1))
        return pd.concat(
            [
                pd.DataFrame({"date": days, "symbol": name, "close": 10.0, "volume": 5.0})
                for name in names
            ]
        )

    monkeypatch.setattr(yfinance, "fetch_bars", fetch)
    folder = str(tmp_path / "market")
    arguments = ["data", "update", folder, "--source", "yfinance", "--symbols", "BBB, AAA"]
    assert main(arguments) == 0
    assert asked == [("AAA", "BBB")]
    said = capsys.readouterr().out
    assert said.startswith(f"{folder}: version 1, ")
    assert main(["data", "update", folder]) == 0
    assert asked[1:] == [("AAA", "BBB")]
    assert "nothing new; version 1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["NEW"], "is no market folder yet; say with --source where bars are"),
        (["NEW", "--source", "nowhere.csv"], "nowhere.csv: there is no such file or folder"),
        (["NEW", "--source", "FILE", "--symbols", "A"], "--symbols goes with a vendor"),
        (["NEW", "--source", "FILE", "--exchange", "NYSEX"], "exchange 'NYSEX': unknown"),
        (["OLD", "--source", "yfinance", "--symbols", "A"], "another source is another market"),
        (["OLD", "--exchange", "XLON"], "its days are those of XNYS"),
        (["FILE", "--source", "FILE"], "cannot be made"),
    ],
)
def test_mistakes_of_the_command_are_told_in_one_line(
    growing: Growing, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    growing.update(bars_table(30), 30)
    places = {"NEW": growing.root / "new", "OLD": growing.folder, "FILE": growing.file}
    assert main(["data", "update", *(str(places.get(one, one)) for one in arguments)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.splitlines()[-1].startswith("error: ")
    assert not (growing.root / "new" / "market.json").exists()


CHILD = """
import sys
from datetime import datetime
from pathlib import Path
from alphafoundry.market.update import update_market
from alphafoundry.market.update_sources import FileSource
print("ready", flush=True)
sys.stdin.readline()
report = update_market(
    Path(sys.argv[1]), FileSource(Path(sys.argv[2]), lambda _: None), exchange="XNYS",
    now=datetime.fromisoformat(sys.argv[3]),
)
print(report.after.number, report.after.appended, report.changed, flush=True)
"""


def child(growing: Growing, day: int) -> PipedCommand:
    now = evening(DAYS[day - 1]).isoformat()
    return program(CHILD, str(growing.folder), str(growing.file), now)


def start(process: PipedCommand) -> None:
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("go\n")
    process.stdin.flush()


@pytest.mark.long
def test_two_processes_append_a_day_once(growing: Growing) -> None:
    growing.update(bars_table(80), 80)
    bars_table(81).to_parquet(growing.file, index=False)
    both = [child(growing, 81) for _ in range(2)]
    for process in both:
        start(process)
    said = sorted(process.communicate().split() for process in both)
    assert said == [["2", "4", "False"], ["2", "4", "True"]]
    wide = bars_table(81).pivot(index="date", columns="symbol", values="close")
    assert np.array_equal(read_market_folder(growing.folder).values["close"], wide.to_numpy())


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def wait_for_change(folder: Path, before: set[str], process: PipedCommand) -> None:
    while files_of(folder) <= before and process.poll() is None:
        time.sleep(0.0005)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Bars of which an update takes long enough to be killed in the middle."""
    table = bars_table()
    many = pd.concat([table.assign(symbol=table["symbol"] + str(n)) for n in range(150)])
    return many[many["date"] <= DAYS[79]], many[many["date"] <= DAYS[80]]


def kills(count: int) -> Iterator[float]:
    yield from np.linspace(0.0, 0.08, count).tolist()


@pytest.mark.parametrize("times", [3, pytest.param(12, marks=pytest.mark.long)])
def test_kill_in_the_middle_leaves_the_old_version_whole(
    times: int, growing: Growing, large: tuple[pd.DataFrame, pd.DataFrame]
) -> None:
    """SIGKILL at many moments after the first new file: the old version or the new one, whole."""
    old, new = large
    growing.update(old, 80)
    first = read_state(growing.folder)
    before = read_market_folder(growing.folder)
    new.to_parquet(growing.file, index=False)
    kept = growing.folder.with_name("kept")
    shutil.copytree(growing.folder, kept)
    cut_short = 0
    for pause in kills(times):
        there = files_of(growing.folder)
        process = child(growing, 81)
        start(process)
        wait_for_change(growing.folder, there, process)
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        state = read_state(growing.folder)
        assert state.id == first.id
        bars = read_market_folder(growing.folder)
        if state.version == first.version:
            cut_short += 1
            assert np.array_equal(bars.dates, before.dates)
            for name, array in before.values.items():
                assert np.array_equal(bars.values[name], array)
        else:
            # It was quicker than the signal: once more from the old version.
            assert len(bars.dates) == len(before.dates) + 1
            shutil.rmtree(growing.folder)
            shutil.copytree(kept, growing.folder)
    assert cut_short
    report = update_market(
        growing.folder,
        FileSource(growing.file, lambda _: None),
        exchange=NEW_YORK,
        now=evening(DAYS[80]),
    )
    assert report.after.last == DAYS[80].item()
    assert report.after.bars == len(new)
    kept = {path.name for path in (growing.folder / "bars").iterdir()}
    assert set(report.after.files.values()) <= kept
    assert (growing.folder / "versions" / "000001.json").is_file()


KILLED_AT = """
import os, signal, sys
from datetime import datetime
from pathlib import Path
from alphafoundry.market import market_folder
from alphafoundry.market.update import update_market
from alphafoundry.market.update_sources import FileSource
whole, left = market_folder.replace_file, [int(sys.argv[4])]
def counted(path, content):
    for written in (False, True):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if not written:
            whole(path, content)
market_folder.replace_file = counted
update_market(
    Path(sys.argv[1]), FileSource(Path(sys.argv[2]), lambda _: None), exchange="XNYS",
    now=datetime.fromisoformat(sys.argv[3]),
)
"""


def test_kill_at_every_write_leaves_one_version_whole(growing: Growing) -> None:
    """SIGKILL before and after each file that the update writes."""
    growing.update(bars_table(80), 80)
    changed = bars_table(81)
    changed.loc[cell(changed, 75, "BBB"), "close"] *= 1.001
    changed.loc[cell(changed, 20, "AAA"), "close"] *= 1.2
    changed.to_parquet(growing.file, index=False)
    before = read_market_folder(growing.folder).values["close"]
    after = before.copy()
    after[75, 1] *= 1.001
    moments = 0
    while True:
        now = evening(DAYS[80]).isoformat()
        code = status_of(KILLED_AT, str(growing.folder), str(growing.file), now, str(moments))
        bars = read_market_folder(growing.folder)
        if read_state(growing.folder).version == 1:
            assert code == -signal.SIGKILL
            assert np.array_equal(bars.values["close"], before)
        else:
            np.testing.assert_allclose(bars.values["close"][:80], after, rtol=1e-12)
            assert bars.dates[-1] == DAYS[80]
            break
        moments += 1
    assert moments >= 6


def test_a_damaged_file_is_named(growing: Growing) -> None:
    growing.update(bars_table(80), 80)
    (path,) = (growing.folder / "bars").glob("2024-*.parquet")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(MarketError, match="damaged, its content is not what was written"):
        read_market_folder(growing.folder)


def test_a_folder_of_something_else_is_not_taken(growing: Growing) -> None:
    growing.folder.mkdir()
    (growing.folder / "2024.parquet").write_bytes(b"")
    with pytest.raises(MarketError, match="is no market folder; name a new folder"):
        growing.update(bars_table(80), 80)
