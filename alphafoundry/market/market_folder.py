"""A market that grows: a folder of parquet files with one file that says which of them count.

    market.json             id, source, exchange, and the name of the version in force
    versions/000002.json    days, files, fingerprint and counts of that version
    bars/2024-<digest>.parquet      bars of a year in long format, one row per day and symbol
    revisions/000002.parquet        values that this version changed: what they were before
    quarantine/000002.parquet       values that were not taken over, because they disagree

Files are never changed once written: an update writes new ones and then replaces market.json,
which is the one moment at which the new version counts. A process that is killed before leaves the
old version whole. Every bar says when it came (`known_at`), every revision when it was known, so
that the folder can be read as of a moment too.
"""

from __future__ import annotations

import hashlib
import io
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import MarketError
from alphafoundry.market.bars import VALUE_COLUMNS, Bars
from alphafoundry.market.panel import SeriesIssue
from alphafoundry.whole_file import replace_file

if TYPE_CHECKING:
    import pandas as pd

MANIFEST = "market.json"
FORMAT = 1
KEPT_VERSIONS = 5
"""Versions whose bars stay on the disk; revisions and quarantine stay for ever."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FolderState:
    """What market.json says.

    Attributes
    ----------
    id : of the market, the same wherever the folder is moved
    source : what updates it: "yfinance" or a path
    exchange : whose sessions its days are, such as XNYS
    version : number of the version in force, 0 where there is none yet
    """

    id: str
    source: str
    exchange: str
    version: int = 0


@dataclass(frozen=True)
class FolderVersion:
    """One content of the folder.

    Attributes
    ----------
    files : year to the name of its file of bars
    known_at : when it was made
    first, last : days
    bars, appended, filled, revised, readjusted, quarantined : bars in all, on new days, in gaps
        of before, changed values, series on a new scale, values that were not taken over
    consumed : file of the source to its digest, so that it is read again only when it changes
    asked : symbol to how often its gaps were asked for in vain
    """

    number: int
    known_at: datetime
    first: date
    last: date
    fingerprint: str
    files: Mapping[int, str]
    bars: int
    appended: int = 0
    filled: int = 0
    revised: int = 0
    readjusted: int = 0
    quarantined: int = 0
    consumed: Mapping[str, str] = field(default_factory=dict)
    asked: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Block:
    """The bars of one year, aligned.

    Attributes
    ----------
    dates : datetime64[D] array of shape (n_days,), ascending
    symbols : str array of shape (n_instruments,), sorted
    values : column to float64 array of shape (n_days, n_instruments), NaN is missing
    known_at : int64 array of that shape, when the bar came, microseconds since 1970; 0 where
        there is none
    """

    dates: NDArray[np.datetime64]
    symbols: NDArray[np.str_]
    values: Mapping[str, Array]
    known_at: NDArray[np.int64]

    @property
    def present(self) -> NDArray[np.bool_]:
        """Where there is a bar."""
        return self.known_at > 0


def is_market_folder(path: Path) -> bool:
    """Return whether `path` is a folder that `data update` keeps."""
    return (path / MANIFEST).is_file()


def has_version(folder: Path) -> bool:
    """Return whether a folder is a market folder with bars."""
    return is_market_folder(folder) and read_state(folder).version > 0


def read_state(folder: Path) -> FolderState:
    """Return what market.json says. Raises MarketError where it cannot be read."""
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            raise MarketError(
                f"{folder / MANIFEST}: written by another version; update Alpha Foundry"
            )
        return FolderState(**content)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as problem:
        raise MarketError(f"{folder / MANIFEST}: not readable ({problem})") from None


def new_state(source: str, exchange: str) -> FolderState:
    """Return the state of a new market with an id of its own."""
    return FolderState(secrets.token_hex(8), source, exchange)


def write_state(folder: Path, state: FolderState) -> None:
    """Put a version in force: before this nothing of it is seen, after it all of it."""
    content = json.dumps({"format": FORMAT, **asdict(state)}, indent=2)
    replace_file(folder / MANIFEST, content.encode())


def read_version(folder: Path, number: int) -> FolderVersion:
    """Return a version. Raises MarketError where it cannot be read."""
    path = _version_file(folder, number)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return FolderVersion(
            **{
                **content,
                "known_at": datetime.fromisoformat(content["known_at"]),
                "first": date.fromisoformat(content["first"]),
                "last": date.fromisoformat(content["last"]),
                "files": {int(year): name for year, name in content["files"].items()},
            }
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as problem:
        raise MarketError(f"{path}: not readable ({problem})") from None


def write_version(folder: Path, version: FolderVersion) -> None:
    """Write the description of a version; it counts when `write_state` names it."""
    content = {
        **asdict(version),
        "known_at": version.known_at.isoformat(),
        "first": version.first.isoformat(),
        "last": version.last.isoformat(),
    }
    replace_file(_version_file(folder, version.number), json.dumps(content).encode())


def fingerprint_of(files: Mapping[int, str]) -> str:
    """Return 16 hex digits that identify the content of the files of bars."""
    names = "\n".join(files[year] for year in sorted(files))
    return hashlib.blake2b(names.encode(), digest_size=8).hexdigest()


def write_block(folder: Path, year: int, block: Block) -> str:
    """Write the bars of a year; return the file's name, which is made from its content."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows, columns = np.nonzero(block.present)
    known = block.known_at[rows, columns]
    table = pa.table(
        {
            "date": pa.array(block.dates[rows].astype("datetime64[D]")),
            "symbol": pa.DictionaryArray.from_arrays(
                pa.array(columns.astype(np.int32)), pa.array(block.symbols.tolist())
            ),
            **{name: array[rows, columns] for name, array in block.values.items()},
            "known_at": pa.array(known, pa.timestamp("us", tz="UTC")),
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    content = sink.getvalue()
    name = f"{year}-{hashlib.blake2b(content, digest_size=8).hexdigest()}.parquet"
    path = folder / "bars" / name
    if not path.is_file():
        replace_file(path, content)
    return name


def read_block(folder: Path, name: str) -> Block:
    """Return the bars of a file of bars. Raises MarketError where it is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / "bars" / name
    try:
        content = path.read_bytes()
        digest = hashlib.blake2b(content, digest_size=8).hexdigest()
        if digest != name.rpartition("-")[2].removesuffix(".parquet"):
            raise MarketError(f"{path}: damaged, its content is not what was written")
        table = pq.read_table(io.BytesIO(content), read_dictionary=["symbol"])
    except (OSError, pa.ArrowException) as problem:
        reason = str(problem).splitlines()[0]
        raise MarketError(f"{path}: not readable ({reason})") from None
    encoded = table.column("symbol").combine_chunks()
    symbols, place = np.unique(
        np.array(encoded.dictionary.to_pylist(), dtype=np.str_), return_inverse=True
    )
    columns = place[encoded.indices.to_numpy()]
    days = table.column("date").cast(pa.date32()).cast(pa.int32()).to_numpy()
    dates, rows = np.unique(days, return_inverse=True)
    shape = (len(dates), len(symbols))
    known = np.zeros(shape, dtype=np.int64)
    known[rows, columns] = table.column("known_at").cast(pa.int64()).to_numpy()
    values = {}
    for name_of in table.column_names:
        if name_of in VALUE_COLUMNS:
            values[name_of] = np.full(shape, np.nan)
            values[name_of][rows, columns] = table.column(name_of).to_numpy()
    return Block(dates.astype("datetime64[D]"), symbols, values, known)


def write_events(folder: Path, kind: str, number: int, events: pd.DataFrame) -> None:
    """Write the revisions or the quarantine of a version."""
    sink = io.BytesIO()
    events.to_parquet(sink, index=False)
    replace_file(folder / kind / f"{number:06d}.parquet", sink.getvalue())


def read_events(folder: Path, kind: str, numbers: Sequence[int]) -> pd.DataFrame:
    """Return the revisions or the quarantine of versions, in their order.

    Columns: date, symbol, column, kind, before, after, known_at. `kind` of a revision is
    "revised", or "readjusted" for a series that came on another scale, whose `after` is the
    factor; that of a value in quarantine is why it was not taken over.
    """
    import pandas as pd
    import pyarrow as pa

    parts = []
    for path in (folder / kind / f"{number:06d}.parquet" for number in numbers):
        if path.is_file():
            try:
                parts.append(pd.read_parquet(path))
            except (OSError, ValueError, pa.ArrowException) as problem:
                reason = str(problem).splitlines()[0]
                raise MarketError(f"{path}: not readable ({reason})") from None
    if not parts:
        return pd.DataFrame(columns=list(EVENT_COLUMNS))
    return pd.concat(parts, ignore_index=True)


EVENT_COLUMNS = ("date", "symbol", "column", "kind", "before", "after", "known_at")


def read_market_folder(folder: Path, *, known_at: datetime | None = None) -> Bars:
    """Return the bars of the version in force.

    Parameters
    ----------
    known_at : an aware datetime: leave out what came later, and take back what was revised later

    Raises MarketError where the folder holds no version, or files of it are gone or damaged.
    """
    state = read_state(folder)
    if state.version == 0:
        raise MarketError(
            f"{folder}: no bars yet; run `python -m alphafoundry data update {folder}`"
        )
    version = read_version(folder, state.version)
    blocks = [read_block(folder, version.files[year]) for year in sorted(version.files)]
    if known_at is not None:
        blocks = [as_known(block, known_at) for block in blocks]
        numbers = range(1, state.version + 1)
        for event in _later(read_events(folder, "revisions", numbers), known_at):
            blocks = [_taken_back(block, event) for block in blocks]
        blocks = [block for block in blocks if block.present.any()]
        if not blocks:
            raise MarketError(f"{folder}: no bar was known at {known_at.isoformat()}")
    held = read_events(folder, "quarantine", [state.version])
    return replace(joined(blocks), issues=_issues(held))


def as_known(block: Block, moment: datetime) -> Block:
    """Return the block without the bars that came after `moment`."""
    absent = block.known_at > int(moment.astimezone(UTC).timestamp() * 1e6)
    if not absent.any():
        return block
    known = np.where(absent, 0, block.known_at)
    days, names = known.any(axis=1), known.any(axis=0)
    values = {
        name: np.where(absent, np.nan, array)[days][:, names]
        for name, array in block.values.items()
    }
    return Block(block.dates[days], block.symbols[names], values, known[days][:, names])


def _later(events: pd.DataFrame, moment: datetime) -> Iterator[Any]:
    """Yield the revisions after `moment`, the latest first."""
    import pandas as pd

    after = events[pd.to_datetime(events["known_at"], utc=True) > pd.Timestamp(moment)]
    return after.iloc[::-1].itertuples()


def _taken_back(block: Block, event: Any) -> Block:
    (column,) = np.nonzero(block.symbols == event.symbol)
    if not len(column) or event.column not in block.values:
        return block
    values = dict(block.values)
    if event.kind == "readjusted":
        # Bars up to the day of the event were on the old scale.
        rows = np.flatnonzero(block.dates <= np.datetime64(event.date, "D"))
        values[event.column] = values[event.column].copy()
        values[event.column][rows, column[0]] /= event.after
        return replace(block, values=values)
    (row,) = np.nonzero(block.dates == np.datetime64(event.date, "D"))
    if not len(row):
        return block
    values[event.column] = values[event.column].copy()
    values[event.column][row[0], column[0]] = event.before
    return replace(block, values=values)


def joined(blocks: Sequence[Block]) -> Bars:
    """Return the blocks of several years as bars on one calendar."""
    symbols = np.unique(np.concatenate([block.symbols for block in blocks]))
    dates = np.concatenate([block.dates for block in blocks])
    names = [name for name in VALUE_COLUMNS if any(name in block.values for block in blocks)]
    values = {}
    for name in names:
        whole = np.full((len(dates), len(symbols)), np.nan)
        start = 0
        for block in blocks:
            rows = slice(start, start + len(block.dates))
            if name in block.values:
                whole[rows, np.searchsorted(symbols, block.symbols)] = block.values[name]
            start += len(block.dates)
        values[name] = whole
    return Bars(dates=dates, symbols=symbols, values=values)


def _issues(held: pd.DataFrame) -> tuple[SeriesIssue, ...]:
    return tuple(
        SeriesIssue(
            str(symbol),
            "quarantine",
            f"{len(some)} values of the source disagree with what is kept and were not taken "
            f"over, the first {some['column'].iloc[0]} on {some['date'].iloc[0]}: kept "
            f"{some['before'].iloc[0]:.6g}, came {some['after'].iloc[0]:.6g} "
            f"({some['kind'].iloc[0]})",
        )
        for symbol, some in held.groupby("symbol", sort=True)
    )


def forget_old_files(folder: Path, number: int) -> None:
    """Remove files of bars that none of the last versions needs."""
    needed: set[str] = set()
    for kept in range(max(1, number - KEPT_VERSIONS + 1), number + 1):
        needed.update(read_version(folder, kept).files.values())
    for path in (folder / "bars").iterdir():
        if path.name not in needed:
            path.unlink(missing_ok=True)


def _version_file(folder: Path, number: int) -> Path:
    return folder / "versions" / f"{number:06d}.json"
