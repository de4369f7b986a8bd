"""Daily bars from files of every kind that people have, and from tables in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alphafoundry.errors import MarketError
from alphafoundry.market.alignment import bars_of_tables
from alphafoundry.market.assembly import Progress, build_panel
from alphafoundry.market.bars import Bars
from alphafoundry.market.containers import open_tables
from alphafoundry.market.frames import tables_of
from alphafoundry.market.groups import groupings_by_level
from alphafoundry.market.issues import ReadingNote
from alphafoundry.market.layouts import ReadOptions
from alphafoundry.market.panel import Panel
from alphafoundry.market.side_files import SideFiles

_SHOWN = 5


def load_file(
    path: Path,
    *,
    source: str,
    sectors: Path | None,
    progress: Progress,
    options: ReadOptions | None = None,
) -> Panel:
    """Return the panel of a file or a folder.

    Parameters
    ----------
    path : what `read_bars` reads
    source : what the user asked for
    sectors : CSV of groups; None looks for a sibling PREFIX_sectors.csv
    options : what the file does not tell of itself

    Raises MarketError where a file is missing, unreadable or malformed.
    """
    bars = read_bars(path, progress=progress, options=options)
    return SideFiles.of(path, sectors).panel(bars, source=source, name=path.name, progress=progress)


def read_bars(path: Path, *, progress: Progress, options: ReadOptions | None = None) -> Bars:
    """Return the raw bars of a file, an archive or a folder, aligned on the union of its days.

    Parameters
    ----------
    path : parquet, feather, CSV and its kin, JSON or Excel, packed or not, long, wide or one
        series; or a folder or .zip of them. docs/data.md has the whole list
    options : what the file does not tell of itself

    A day and symbol that come twice are kept once where all values agree, and masked where they
    do not; both are reported. Raises MarketError as `load_file` does.
    """
    options = options or ReadOptions()
    progress(f"{path.name}: reading")
    import pyarrow as pa

    try:
        opened = open_tables(path, sheet=options.sheet)
        notes = _ignored(opened.ignored)
        return bars_of_tables(str(path), opened.tables, options, many=opened.many, notes=notes)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        # Columns are read when they are asked for, so damage may show late.
        said = " ".join(str(error).split())[:200]
        raise MarketError(
            f"{path}: cannot be read to its end ({said}); is it damaged or cut off?"
        ) from None


def _ignored(files: tuple[str, ...]) -> list[ReadingNote]:
    """Return a note on files that were left out by their names."""
    if not files:
        return []
    shown = ", ".join(files[:_SHOWN])
    more = f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
    return [ReadingNote("files-ignored", f"files not read: {shown}{more}", files)]


def load_frame(
    frame: Any,
    *,
    name: str = "DataFrame",
    sectors: Mapping[str, str] | None = None,
    symbol: str | None = None,
) -> Panel:
    """Return the panel of a table in memory.

    Parameters
    ----------
    frame : a pandas DataFrame, a polars DataFrame, an arrow table, or whatever else gives an
        arrow stream or `to_pandas`; long (one row per day and symbol, also in the index), wide
        (one column for each symbol, or two levels of columns either way round), or one series.
        Also a mapping of symbol to such a table, or of column (close, volume, ...) to a wide one
    name : starts the panel's label
    sectors : symbol to sector; None is unknown
    symbol : of a table of one series without a column for it

    Raises MarketError where columns are missing or cells are malformed.
    """
    tables = tables_of(frame, name=name)
    bars = bars_of_tables(name, tables, ReadOptions(symbol=symbol), many=False)
    groupings = {}
    if sectors:
        labels = [sectors.get(str(symbol), "") for symbol in bars.symbols]
        groupings = groupings_by_level({"sector": labels}, origin="the sectors given")
    return build_panel(bars, source=name, name=name, groupings=groupings, progress=lambda _: None)
