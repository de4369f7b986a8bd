"""Adding what a source has learnt to a market folder: new days, gaps, revisions.

Nothing is repaired silently. A bar that changed a little is a revision: the new value is used, the
old one kept with the time at which the change was known. A series of which every known bar came on
another scale was readjusted for a split or dividend: it is rescaled, and that is kept as well. A
bar whose price disagrees by more than half a percent, or that is on a day without trading, is put
in quarantine: told, and not used until a person accepts it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import MarketError
from alphafoundry.file_lock import file_lock
from alphafoundry.market.bars import PRICE_COLUMNS, Bars
from alphafoundry.market.market_folder import (
    EVENT_COLUMNS,
    Block,
    FolderState,
    FolderVersion,
    fingerprint_of,
    forget_old_files,
    is_market_folder,
    new_state,
    read_block,
    read_events,
    read_state,
    read_version,
    write_block,
    write_events,
    write_state,
    write_version,
)
from alphafoundry.market.sessions import last_closed_session, session_days
from alphafoundry.market.side_files import SIDE_FILES

if TYPE_CHECKING:
    import pandas as pd

OVERLAP_SESSIONS = 10
SAME = 1e-6
"""Relative difference below which two values are the same; Yahoo's last digits come and go."""
DISAGREEMENT = 0.005
SCALE_SPREAD = 0.002
SCALE_BARS = 3
MOST_STRAY_DAYS = 0.1
MOST_ASKED = 3
"""How often a gap is asked for before the source is taken at its word that nothing was there."""
LOCK_SECONDS = 3600.0
_LOADED_YEARS = 3
_OWN = ("bars", "versions", "revisions", "quarantine", *SIDE_FILES)

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Request:
    """What an update asks a source for.

    Attributes
    ----------
    first : first day wanted of the names that are known; None is the whole history
    last : last day wanted
    known : name that the folder has to its last day
    gaps : name to first and last day that it lacks
    consumed : file of the source to the digest at which it was read before
    """

    first: date | None
    last: date
    known: Mapping[str, date] = field(default_factory=dict)
    gaps: Mapping[str, tuple[date, date]] = field(default_factory=dict)
    consumed: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Incoming:
    """A part of what a source answered; `consumed` are the files that it was read from."""

    bars: Bars
    consumed: Mapping[str, str] = field(default_factory=dict)


class Source(Protocol):
    """Where bars come from."""

    @property
    def name(self) -> str:
        """What the folder remembers it by: "yfinance" or a path."""
        ...

    @property
    def answers_gaps(self) -> bool:
        """Whether it can be asked for single names and days."""
        ...

    def bars(self, request: Request) -> Iterator[Incoming]:
        """Yield bars in parts. Raises MarketError where it cannot be read or does not answer."""
        ...


@dataclass(frozen=True)
class UpdateReport:
    """What an update did.

    Attributes
    ----------
    before : the version that was in force, None for a new market
    after : the version in force now; the same object where nothing changed
    new_days : days that were added at the end
    missing_sessions : days of trading between the first and the last of which there is no bar
    gaps_left : names with gaps that the source did not fill
    held : what is in quarantine, one line per name
    """

    folder: Path
    market_id: str
    before: FolderVersion | None
    after: FolderVersion
    new_days: tuple[date, ...]
    missing_sessions: tuple[date, ...]
    gaps_left: int
    held: tuple[str, ...]

    @property
    def changed(self) -> bool:
        """Whether a new version was made."""
        return self.before is not self.after

    def lines(self) -> list[str]:
        """Return the report for a terminal."""
        now = self.after
        if not self.changed:
            lines = [f"{self.folder}: nothing new; version {now.number} ends on {now.last}"]
        else:
            was = f"version {self.before.number} to " if self.before else ""
            lines = [
                f"{self.folder}: {was}version {now.number}, {now.first} to {now.last}, "
                f"{now.bars} bars (market {self.market_id})",
                f"{now.appended} bars appended on {len(self.new_days)} new days, {now.filled} "
                f"filled in, {now.revised} values revised, {now.readjusted} series readjusted",
            ]
        if self.held:
            lines.append(
                f"{now.quarantined} values in quarantine, not used; look at them and run again "
                "with --accept, or leave them:"
            )
            lines += [f"  {line}" for line in self.held]
        if self.missing_sessions:
            shown = ", ".join(map(str, self.missing_sessions[:5]))
            more = len(self.missing_sessions) - 5
            lines.append(
                f"no bar at all on {len(self.missing_sessions)} trading days: {shown}"
                + (f" and {more} more" if more > 0 else "")
            )
        if self.gaps_left:
            lines.append(f"{self.gaps_left} names have gaps that the source does not fill")
        return lines


def update_market(
    folder: Path,
    source: Source,
    *,
    exchange: str,
    now: datetime | None = None,
    accept: bool = False,
) -> UpdateReport:
    """Bring a market folder up to date; make it where it is absent.

    Parameters
    ----------
    exchange : whose sessions count, such as XNYS; of an existing folder its own stands
    now : an aware datetime, None asks the clock: bars up to the last session that has closed
        are taken
    accept : take over what is in quarantine, and what disagrees in this update

    Only one process updates a folder at a time; another waits, then finds nothing new. Raises
    MarketError where the source or the folder cannot be read; the old version then stays in force.
    """
    moment = now or datetime.now(UTC)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise MarketError(f"{folder}: cannot be made ({problem.strerror})") from None
    with file_lock(folder / ".lock", wait=LOCK_SECONDS, mode=0o666) as held:
        if held is None:
            raise MarketError(
                f"{folder}: another process has been updating it for {LOCK_SECONDS / 60:.0f} "
                "minutes; see what hangs and try again"
            )
        if is_market_folder(folder):
            state = read_state(folder)
        else:
            strangers = sorted(
                path.name
                for path in folder.iterdir()
                if path.name[0] != "." and path.name not in _OWN
            )
            if strangers:
                raise MarketError(
                    f"{folder}: holds {strangers[0]} and is no market folder; name a new folder, "
                    "and give this one with --source"
                )
            state = new_state(source.name, exchange)
        try:
            return _update(folder, state, source, moment, accept)
        except OSError as problem:
            raise MarketError(
                f"{folder}: not updated ({problem.strerror or problem}); the version before stands"
            ) from None


def _update(
    folder: Path, state: FolderState, source: Source, now: datetime, accept: bool
) -> UpdateReport:
    before = read_version(folder, state.version) if state.version else None
    last = last_closed_session(state.exchange, now)
    draft = _Draft(folder, state, before, now, accept)
    request = Request(None, last)
    if before is not None:
        days = session_days(
            state.exchange, before.last - timedelta(days=3 * OVERLAP_SESSIONS), before.last
        )
        gaps = draft.gaps(before.asked) if source.answers_gaps else {}
        request = Request(
            days[-OVERLAP_SESSIONS:][0].item(),
            last,
            draft.last_days(),
            gaps,
            before.consumed,
        )
    if accept:
        draft.accept_held()
    for incoming in _in_batches(source.bars(request)):
        draft.take(incoming.bars)
        draft.consumed.update(incoming.consumed)
    asked = dict(before.asked) if before else {}
    left = draft.gaps({}) if source.answers_gaps and before is not None else {}
    for symbol in request.gaps:
        asked[symbol] = asked.get(symbol, 0) + 1 if symbol in left else 0
    after = draft.commit({symbol: count for symbol, count in asked.items() if count})
    missing = draft.missing_sessions(after)
    return UpdateReport(
        folder,
        state.id,
        before,
        after,
        tuple(draft.new_days),
        missing,
        len(left),
        tuple(_held_lines(read_events(folder, "quarantine", [after.number]))),
    )


class _Draft:
    """The next version while it is made: blocks that were touched, and what happened to them."""

    def __init__(
        self,
        folder: Path,
        state: FolderState,
        before: FolderVersion | None,
        now: datetime,
        accept: bool,
    ) -> None:
        self._folder, self._state, self._before, self._accept = folder, state, before, accept
        self._now = now.astimezone(UTC)
        self._files = dict(before.files) if before else {}
        self._loaded: dict[int, Block] = {}
        self._dirty: set[int] = set()
        self._revisions: list[pd.DataFrame] = []
        self.consumed = dict(before.consumed) if before else {}
        self.new_days: set[date] = set()
        self.appended = self.filled = self.revised = self.readjusted = 0
        self._held = (
            read_events(folder, "quarantine", [before.number])
            if before
            else read_events(folder, "quarantine", [])
        )
        self._held_before = self._held

    def take(self, bars: Bars) -> None:
        """Merge bars of the source."""
        bars = self._without_stray_days(bars)
        if not len(bars.dates):
            return
        order = np.argsort(bars.symbols, kind="stable")
        symbols = bars.symbols[order]
        years = bars.dates.astype("datetime64[Y]").astype(int) + 1970
        scales = self._scales(bars, symbols, order, years)
        if scales:
            self._rescale(scales)
        for year in np.unique(years).tolist():
            rows = np.flatnonzero(years == year)
            values = {
                name: array[rows[0] : rows[-1] + 1][:, order] for name, array in bars.values.items()
            }
            some = np.logical_or.reduce([~np.isnan(array) for array in values.values()])
            part = Block(bars.dates[rows], symbols, values, some.astype(np.int64))
            self._merge(year, part)

    def accept_held(self) -> None:
        """Take over the values in quarantine."""
        taken = self._held[self._held["kind"] != STRAY]
        for day, symbol, name, value in zip(
            taken["date"].astype(str),
            taken["symbol"].astype(str),
            taken["column"].astype(str),
            taken["after"].astype(float),
            strict=True,
        ):
            block = self._block(int(day[:4]))
            if block is None or name not in block.values:
                continue
            row = np.flatnonzero(block.dates == np.datetime64(day, "D"))
            column = np.flatnonzero(block.symbols == symbol)
            if len(row) and len(column):
                values = {of: array.copy() for of, array in block.values.items()}
                values[name][row[0], column[0]] = value
                self._keep(int(day[:4]), replace(block, values=values))
        self._note(taken.assign(kind="revised", known_at=self._now))
        self._held = self._held[:0]

    def last_days(self) -> dict[str, date]:
        """Return every name of the folder with the day of its last bar."""
        found: dict[str, date] = {}
        for year in sorted(self._files):
            block = self._block(year)
            assert block is not None
            rows = len(block.dates) - 1 - block.present[::-1].argmax(axis=0)
            days = block.dates[rows].tolist()
            found.update(zip(block.symbols.tolist(), days, strict=True))
        return found

    def gaps(self, asked: Mapping[str, int]) -> dict[str, tuple[date, date]]:
        """Return name to the first and last session that it lacks between its own bars.

        asked : how often each name was asked for in vain; those at the limit are left out
        """
        lacking: dict[str, list[np.datetime64]] = {}
        spans: dict[str, tuple[np.datetime64, np.datetime64]] = {}
        blocks = [self._block(year) for year in sorted(self._files)]
        for block in blocks:
            assert block is not None
            for column, symbol in enumerate(block.symbols.tolist()):
                days = block.dates[block.present[:, column]]
                if len(days):
                    first = spans.get(symbol, (days[0], days[0]))[0]
                    spans[symbol] = (first, days[-1])
        if not spans:
            return {}
        start, end = min(span[0] for span in spans.values()), max(s[1] for s in spans.values())
        sessions = session_days(self._state.exchange, _date(start), _date(end))
        for block in blocks:
            assert block is not None
            year = block.dates[0].astype("datetime64[Y]")
            wanted = sessions[sessions.astype("datetime64[Y]") == year]
            where = np.searchsorted(block.dates, wanted)
            there = np.zeros((len(wanted), len(block.symbols)), dtype=bool)
            known = (where < len(block.dates)) & np.isin(wanted, block.dates)
            there[known] = block.present[where[known]]
            for column, symbol in enumerate(block.symbols.tolist()):
                first, last = spans[symbol]
                absent = wanted[~there[:, column] & (wanted > first) & (wanted < last)]
                if len(absent):
                    lacking.setdefault(symbol, []).extend((absent[0], absent[-1]))
        return {
            symbol: (_date(min(days)), _date(max(days)))
            for symbol, days in sorted(lacking.items())
            if asked.get(symbol, 0) < MOST_ASKED
        }

    def missing_sessions(self, version: FolderVersion) -> tuple[date, ...]:
        """Return the trading days of a version on which no name has a bar."""
        import pyarrow.parquet as pq

        found = [
            np.unique(pq.read_table(self._folder / "bars" / name, columns=["date"])["date"])
            for name in version.files.values()
        ]
        there = np.concatenate(found).astype("datetime64[D]")
        sessions = session_days(self._state.exchange, version.first, version.last)
        return tuple(day.item() for day in np.setdiff1d(sessions, there))

    def commit(self, asked: Mapping[str, int]) -> FolderVersion:
        """Write what is left to write, then put the new version in force."""
        for year in sorted(self._dirty):
            self._write(year)
        before = self._before
        same = before is not None and (
            dict(before.files) == self._files
            and _keys(self._held) == _keys(self._held_before)
            and dict(before.consumed) == self.consumed
            and dict(before.asked) == dict(asked)
        )
        if before is not None and same:
            return before
        if not self._files:
            raise MarketError(f"{self._folder}: the source has no bars to begin with")
        import pandas as pd
        import pyarrow.parquet as pq

        bars, days = 0, []
        for name in self._files.values():
            table = pq.read_table(self._folder / "bars" / name, columns=["date"])["date"]
            bars += len(table)
            ends = np.asarray(table.to_numpy(), dtype="datetime64[D]")
            days += [ends.min(), ends.max()]
        number = (before.number if before else 0) + 1
        version = FolderVersion(
            number=number,
            known_at=self._now,
            first=min(days).item(),
            last=max(days).item(),
            fingerprint=fingerprint_of(self._files),
            files=self._files,
            bars=bars,
            appended=self.appended,
            filled=self.filled,
            revised=self.revised,
            readjusted=self.readjusted,
            quarantined=len(self._held),
            consumed=self.consumed,
            asked=dict(asked),
        )
        if self._revisions:
            write_events(
                self._folder, "revisions", number, pd.concat(self._revisions, ignore_index=True)
            )
        if len(self._held):
            write_events(self._folder, "quarantine", number, self._held)
        write_version(self._folder, version)
        write_state(self._folder, replace(self._state, version=number))
        forget_old_files(self._folder, number)
        return version

    def _block(self, year: int) -> Block | None:
        if year not in self._loaded:
            if year not in self._files:
                return None
            block = read_block(self._folder, self._files[year])
            self._make_room()
            self._loaded[year] = block
        return self._loaded[year]

    def _keep(self, year: int, block: Block) -> None:
        if year not in self._loaded:
            self._make_room()
        self._loaded[year] = block
        self._dirty.add(year)

    def _make_room(self) -> None:
        while len(self._loaded) >= _LOADED_YEARS:
            year = next(iter(self._loaded))
            if year in self._dirty:
                self._write(year)
            del self._loaded[year]

    def _write(self, year: int) -> None:
        self._files[year] = write_block(self._folder, year, self._loaded[year])
        self._dirty.discard(year)

    def _without_stray_days(self, bars: Bars) -> Bars:
        """Put days without trading in quarantine."""
        if not len(bars.dates):
            return bars
        first, last = bars.dates[[0, -1]].tolist()
        stray = ~np.isin(bars.dates, session_days(self._state.exchange, first, last))
        if not stray.any():
            return bars
        if stray.mean() > MOST_STRAY_DAYS:
            raise MarketError(
                f"{stray.sum()} of {len(stray)} days of the source, the first "
                f"{bars.dates[stray][0]}, are no trading days of {self._state.exchange}; name the "
                "exchange of these bars with --exchange (24/7 for a market that never closes)"
            )
        close = bars.values["close"]
        rows, columns = np.nonzero(~np.isnan(close) & stray[:, None])
        nothing = np.full(len(rows), np.nan)
        self._hold(
            self._events(
                bars.dates[rows], bars.symbols[columns], "close", nothing, close[rows, columns]
            ).assign(kind=STRAY)
        )
        values = {name: array[~stray] for name, array in bars.values.items()}
        return replace(bars, dates=bars.dates[~stray], values=values)

    def _scales(
        self,
        bars: Bars,
        symbols: NDArray[np.str_],
        order: NDArray[np.intp],
        years: NDArray[np.int64],
    ) -> dict[tuple[str, str], float]:
        """Return (name, column) to the factor by which every known bar of it came changed."""
        found: dict[tuple[str, str], float] = {}
        for column in ("close", "adj_close"):
            if column not in bars.values:
                continue
            low = np.full(len(symbols), np.inf)
            high, count = -low, np.zeros(len(symbols), dtype=int)
            for year in np.unique(years).tolist():
                block = self._block(year)
                if block is None or column not in block.values:
                    continue
                new = bars.values[column][years == year][:, order]
                old = _on(block, block.values[column], bars.dates[years == year], symbols, np.nan)
                with np.errstate(invalid="ignore", divide="ignore"):
                    ratio = np.where((old > 0.0) & (new > 0.0), new / old, np.nan)
                seen = ~np.isnan(ratio)
                low = np.fmin(low, np.where(seen, ratio, np.inf).min(axis=0))
                high = np.fmax(high, np.where(seen, ratio, -np.inf).max(axis=0))
                count += seen.sum(axis=0)
            low[count == 0], high[count == 0] = np.nan, np.nan
            steady = (count >= SCALE_BARS) & (high - low < SCALE_SPREAD * np.abs(low))
            moved = steady & (np.abs(0.5 * (low + high) - 1.0) > 10.0 * SAME)
            # A factor within the spread could be rounding of some bars; then none is the same.
            moved &= (low > 1.0 + SAME) | (high < 1.0 - SAME)
            for place in np.flatnonzero(moved):
                found[str(symbols[place]), column] = float(0.5 * (low[place] + high[place]))
        return found

    def _rescale(self, scales: Mapping[tuple[str, str], float]) -> None:
        """Bring the bars that are known onto the scale of the new ones."""
        factors: dict[tuple[str, str], float] = {}
        for (symbol, column), factor in scales.items():
            if column == "adj_close":
                factors[symbol, column] = factor
                continue
            for name in PRICE_COLUMNS:
                if name != "adj_close":
                    factors[symbol, name] = factor
            if abs(factor - 1.0) > SPLIT_LEAST:
                factors[symbol, "volume"] = 1.0 / factor
        last = max(self._files)
        until = self._block(last)
        assert until is not None
        day = until.dates[-1]
        for year in sorted(self._files):
            block = self._block(year)
            assert block is not None
            values = dict(block.values)
            for (symbol, name), factor in factors.items():
                place = int(np.searchsorted(block.symbols, symbol))
                if name in values and place < len(block.symbols) and block.symbols[place] == symbol:
                    if values[name] is block.values[name]:
                        values[name] = values[name].copy()
                    values[name][:, place] *= factor
            self._keep(year, replace(block, values=values))
        names = list(factors)
        self._note(
            self._events(
                np.full(len(names), day),
                np.array([symbol for symbol, _ in names]),
                [name for _, name in names],
                np.ones(len(names)),
                np.array([factors[name] for name in names]),
            ).assign(kind="readjusted"),
            count=False,
        )
        self.readjusted += len({symbol for symbol, _ in scales})

    def _merge(self, year: int, part: Block) -> None:
        old = self._block(year)
        stamp = int(self._now.timestamp() * 1e6)
        last = None if self._before is None else np.datetime64(self._before.last, "D")
        if old is None:
            old = Block(
                part.dates[:0],
                part.symbols[:0],
                {name: np.zeros((0, 0)) for name in part.values},
                np.zeros((0, 0), dtype=np.int64),
            )
        dates = np.union1d(old.dates, part.dates)
        symbols = np.union1d(old.symbols, part.symbols)
        known = _on(old, old.known_at, dates, symbols, 0)
        there, came = known > 0, _on(part, part.known_at, dates, symbols, 0) > 0
        fresh, both = came & ~there, came & there
        names = list(dict.fromkeys([*old.values, *part.values]))
        olds = {
            name: _on(old, old.values[name], dates, symbols, np.nan)
            if name in old.values
            else np.full(known.shape, np.nan)
            for name in names
        }
        news = {name: _on(part, part.values[name], dates, symbols, np.nan) for name in part.values}
        differs = {
            name: both & ~np.isnan(new) & ~_same(olds[name], new) for name, new in news.items()
        }
        apart = np.zeros(known.shape, dtype=bool)
        for name in PRICE_COLUMNS:
            if name in news:
                with np.errstate(invalid="ignore", divide="ignore"):
                    apart |= differs[name] & (np.abs(news[name] / olds[name] - 1.0) > DISAGREEMENT)
        if self._accept:
            apart[:] = False
        self._settle(dates, symbols, both & ~apart)
        for name, new in news.items():
            held = differs[name] & apart
            if held.any():
                self._hold(self._cells(held, dates, symbols, name, olds[name], new))
            revised = differs[name] & ~apart
            if revised.any():
                self._note(
                    self._cells(revised, dates, symbols, name, olds[name], new).assign(
                        kind="revised"
                    )
                )
            change = revised | fresh
            if change.any():
                olds[name][change] = new[change]
        if fresh.any():
            self._count_new(dates, fresh, last)
            known[fresh] = stamp
        if fresh.any() or any((mask & ~apart).any() for mask in differs.values()):
            self._keep(year, Block(dates, symbols, olds, known))

    def _count_new(
        self, dates: NDArray[np.datetime64], fresh: Mask, last: np.datetime64 | None
    ) -> None:
        after = np.ones(len(dates), dtype=bool) if last is None else dates > last
        self.appended += int(fresh[after].sum())
        self.filled += int(fresh[~after].sum())
        self.new_days.update(dates[after & fresh.any(axis=1)].tolist())

    def _cells(
        self,
        mask: Mask,
        dates: NDArray[np.datetime64],
        symbols: NDArray[np.str_],
        column: str,
        old: NDArray[np.float64],
        new: NDArray[np.float64],
    ) -> pd.DataFrame:
        rows, columns = np.nonzero(mask)
        return self._events(
            dates[rows], symbols[columns], column, old[rows, columns], new[rows, columns]
        )

    def _events(
        self,
        dates: NDArray[np.datetime64],
        symbols: NDArray[np.str_],
        column: str | list[str],
        before: NDArray[np.float64],
        after: NDArray[np.float64],
    ) -> pd.DataFrame:
        import pandas as pd

        return pd.DataFrame(
            {
                "date": dates.astype(str),
                "symbol": symbols.astype(str),
                "column": column,
                "kind": APART,
                "before": before,
                "after": after,
                "known_at": pd.Timestamp(self._now),
            },
            columns=list(EVENT_COLUMNS),
        )

    def _note(self, events: pd.DataFrame, *, count: bool = True) -> None:
        if len(events):
            self._revisions.append(events)
            self.revised += len(events) if count else 0

    def _hold(self, events: pd.DataFrame) -> None:
        """Put values in quarantine, in place of older ones of the same cells."""
        import pandas as pd

        if not len(self._held):
            self._held = events
            return
        keys = ["date", "symbol", "column"]
        both = pd.concat([self._held, events], ignore_index=True)
        again = both.duplicated([*keys, "after"], keep="first")
        self._held = both[~again].drop_duplicates(keys, keep="last").reset_index(drop=True)

    def _settle(
        self, dates: NDArray[np.datetime64], symbols: NDArray[np.str_], agreed: Mask
    ) -> None:
        """Let go what is in quarantine of bars on which the source agrees by now."""
        if not len(self._held):
            return
        rows = np.searchsorted(dates, self._held["date"].to_numpy().astype("datetime64[D]"))
        columns = np.searchsorted(symbols, self._held["symbol"].to_numpy().astype(str))
        inside = (rows < len(dates)) & (columns < len(symbols))
        rows, columns = np.where(inside, rows, 0), np.where(inside, columns, 0)
        same = inside & (dates[rows].astype(str) == self._held["date"].to_numpy().astype(str))
        same &= symbols[columns] == self._held["symbol"].to_numpy().astype(str)
        self._held = self._held[~(same & agreed[rows, columns])].reset_index(drop=True)


STRAY = "no trading day"
APART = "differs by more than 0.5 %"
SPLIT_LEAST = 0.01
"""A price scale that moves by more than this is a split, which moves volume the other way."""


def _date(day: np.datetime64) -> date:
    return date.fromisoformat(str(day.astype("datetime64[D]")))


def _on(
    block: Block,
    array: NDArray[Any],
    dates: NDArray[np.datetime64],
    symbols: NDArray[np.str_],
    absent: float,
) -> NDArray[Any]:
    """Return an array of a block on other days and names, `absent` where it has none."""
    if np.array_equal(block.dates, dates) and np.array_equal(block.symbols, symbols):
        return array.copy()
    result = np.full((len(dates), len(symbols)), absent, dtype=array.dtype)
    _, rows_from, rows_to = np.intersect1d(
        block.dates, dates, assume_unique=True, return_indices=True
    )
    _, from_, to = np.intersect1d(block.symbols, symbols, assume_unique=True, return_indices=True)
    if len(rows_from) and len(from_):
        result[np.ix_(rows_to, to)] = array[np.ix_(rows_from, from_)]
    return result


def _same(old: NDArray[np.float64], new: NDArray[np.float64]) -> Mask:
    with np.errstate(invalid="ignore"):
        near: Mask = np.abs(new - old) <= SAME * np.maximum(np.abs(old), np.abs(new))
    return near


def _in_batches(parts: Iterator[Incoming]) -> Iterator[Incoming]:
    """Join small parts that have no cell in common, so that many files cost one merge."""
    waiting: list[Incoming] = []
    for part in parts:
        if waiting and (sum(map(_cells_of, waiting)) > BATCH_CELLS or _meet(waiting, part)):
            yield _joined(waiting)
            waiting = []
        waiting.append(part)
    if waiting:
        yield _joined(waiting)


BATCH_CELLS = 5_000_000


def _cells_of(part: Incoming) -> int:
    return int(part.bars.values["close"].size)


def _meet(waiting: Sequence[Incoming], part: Incoming) -> bool:
    days, names = set(part.bars.dates.tolist()), set(part.bars.symbols.tolist())
    return any(
        not days.isdisjoint(other.bars.dates.tolist())
        and not names.isdisjoint(other.bars.symbols.tolist())
        for other in waiting
    )


def _joined(parts: Sequence[Incoming]) -> Incoming:
    if len(parts) == 1:
        return parts[0]
    dates = np.unique(np.concatenate([part.bars.dates for part in parts]))
    symbols = np.unique(np.concatenate([part.bars.symbols for part in parts]))
    values: dict[str, NDArray[np.float64]] = {}
    for part in parts:
        where = np.ix_(
            np.searchsorted(dates, part.bars.dates), np.searchsorted(symbols, part.bars.symbols)
        )
        for name, array in part.bars.values.items():
            whole = values.setdefault(name, np.full((len(dates), len(symbols)), np.nan))
            whole[where] = array
    consumed = {name: digest for part in parts for name, digest in part.consumed.items()}
    return Incoming(Bars(dates=dates, symbols=symbols, values=values), consumed)


def _keys(held: pd.DataFrame) -> list[tuple[object, ...]]:
    keys = ["date", "symbol", "column", "after"]
    return sorted(held[keys].itertuples(index=False, name=None)) if len(held) else []


def _held_lines(held: pd.DataFrame) -> Iterator[str]:
    for symbol, some in held.groupby("symbol", sort=True):
        first = some.iloc[0]
        kept = "nothing" if np.isnan(first["before"]) else f"{first['before']:.6g}"
        yield (
            f"{symbol}: {len(some)} values, the first {first['column']} on {first['date']}: "
            f"kept {kept}, came {first['after']:.6g} ({first['kind']})"
        )
