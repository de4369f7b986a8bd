"""`python -m alphafoundry data update FOLDER`: bring a market folder up to date."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alphafoundry.errors import MarketError
from alphafoundry.market.market_folder import is_market_folder, read_state
from alphafoundry.market.sessions import NEW_YORK
from alphafoundry.market.update_sources import YAHOO, vendor_source
from alphafoundry.market.vendors import VENDORS

if TYPE_CHECKING:
    from alphafoundry.market.update import Source

_EPILOG = """\
The first update makes the folder and needs --source; later ones know it. Use the folder as a market
with --market FOLDER. Only one process updates at a time; a killed update leaves the version before
as it was."""


def add_update_command(commands: Any) -> None:
    """Add `update` to the subcommands of `data`."""
    one = commands.add_parser(
        "update",
        help="append new days to a market folder, keep revisions, quarantine disagreement",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    one.add_argument("folder", type=Path, help="the market folder; made where it is absent")
    one.add_argument(
        "--source",
        help="a file or folder of bars, yfinance, alpha_vantage, massive or alpaca (default: the "
        "one it was made with)",
    )
    one.add_argument(
        "--symbols",
        help="with a vendor: A,B,C; with yfinance instead of the members of the S&P 500",
    )
    one.add_argument(
        "--exchange",
        help=f"whose trading days count, such as XNYS, XLON or 24/7 (default: {NEW_YORK}; "
        "an existing folder keeps its own)",
    )
    one.add_argument(
        "--accept", action="store_true", help="take over the values that are in quarantine"
    )


def update_command(options: argparse.Namespace, say: Callable[[str], None]) -> list[str]:
    """Carry out the command; return its lines. Raises MarketError."""
    from alphafoundry.market.update import update_market

    folder: Path = options.folder
    state = read_state(folder) if is_market_folder(folder) else None
    if state is None and options.source is None:
        raise MarketError(f"{folder}: is no market folder yet; say with --source where bars are")
    if state is not None and options.exchange not in (None, state.exchange):
        raise MarketError(
            f"{folder}: its days are those of {state.exchange}; leave out --exchange or make "
            "another folder"
        )
    name = options.source or (state.source if state else "")
    source = source_named(name, folder, symbols=options.symbols, progress=say)
    if state is not None and source.name != state.source:
        raise MarketError(
            f"{folder}: is updated from {state.source}; another source is another market, so name "
            "another folder"
        )
    exchange = options.exchange or (state.exchange if state else NEW_YORK)
    return update_market(folder, source, exchange=exchange, accept=options.accept).lines()


def source_named(
    name: str, folder: Path, *, symbols: str | None = None, progress: Callable[[str], None]
) -> Source:
    """Return where a market folder takes its bars from.

    Parameters
    ----------
    name : as a folder remembers it: a path, or a vendor with :A,B,C behind it
    symbols : A,B,C in place of those of the name

    Raises MarketError for symbols of a file, a vendor without names, and missing keys.
    """
    kind, _, remembered = name.partition(":")
    if kind == YAHOO:
        from alphafoundry.market.yfinance import yahoo_source

        wanted = _names(symbols or remembered)
        return yahoo_source(folder, names=wanted or None, progress=progress)
    if kind in VENDORS:
        return vendor_source(
            folder,
            kind,
            names=_names(symbols or remembered),
            environment=os.environ,
            progress=progress,
        )
    if symbols:
        raise MarketError("--symbols goes with a vendor; a file brings its own symbols")
    from alphafoundry.market.loading import split_source
    from alphafoundry.market.update_sources import FileSource

    path, behind = split_source(name)
    return FileSource(path, progress, behind)


def _names(listed: str) -> list[str]:
    return sorted({part.strip() for part in listed.split(",") if part.strip()})
