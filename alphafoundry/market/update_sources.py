"""Where an update of a market folder takes its bars from: files, Yahoo, or a vendor."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from alphafoundry.errors import MarketError
from alphafoundry.market.containers import files_of
from alphafoundry.market.downloads import BATCH_SIZE, Downloader, Fetch, bars_file, write_table
from alphafoundry.market.files import read_bars
from alphafoundry.market.layouts import options_of
from alphafoundry.market.market_folder import is_market_folder, read_state, read_version
from alphafoundry.market.side_files import SIDE_FILES
from alphafoundry.market.update import Incoming, Request
from alphafoundry.market.vendors import vendor_of

YAHOO = "yfinance"
HISTORY_YEARS = 5
Progress = Callable[[str], None]


@dataclass(frozen=True)
class FileSource:
    """A file, or a folder whose files grow in number or content; each is read when it changed.

    Attributes
    ----------
    options : what the files do not tell of themselves, as behind the question mark of a market
    """

    path: Path
    progress: Progress
    options: str = ""
    answers_gaps: bool = False

    @property
    def name(self) -> str:
        """The resolved path, with the options behind a question mark."""
        return f"{self.path.resolve()}{'?' if self.options else ''}{self.options}"

    def bars(self, request: Request) -> Iterator[Incoming]:
        """Yield the bars of each file that is new or changed, up to the day asked for."""
        told = options_of(self.options, source=self.name)
        for path in self._files():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "blake2b").hexdigest()[:32]
            key = str(path.relative_to(self.path)) if path != self.path else path.name
            if request.consumed.get(key) == digest:
                continue
            bars = read_bars(path, progress=self.progress, options=told)
            early = bars.dates <= np.datetime64(request.last, "D")
            consumed = {key: digest}
            if not early.all():
                # A day that has not closed yet is read again when it has.
                consumed = {}
                values = {name: array[early] for name, array in bars.values.items()}
                bars = replace(bars, dates=bars.dates[early], values=values)
            yield Incoming(bars, consumed)

    def _files(self) -> list[Path]:
        if self.path.is_file():
            return [self.path]
        if not self.path.is_dir():
            raise MarketError(f"{self.path}: there is no such file or folder of bars")
        found, _ = files_of(self.path)
        found = [path for path in found if not path.name.endswith(SIDE_FILES)]
        if not found:
            raise MarketError(f"{self.path}: holds no file of bars")
        return found


@dataclass(frozen=True)
class NamesSource:
    """The bars of some names; a download that is interrupted goes on where it stopped.

    Attributes
    ----------
    names : which names
    former : names that are asked for once, when the folder is made, and without insisting
    chosen : whether a person chose the names; otherwise they are the members of an index
    vendor : who is asked, as `--source` has it
    batch_size : names that are asked for at a time; None is the usual number
    history : first day of a name that is new
    scratch : folder for unfinished downloads
    fetch : the one call that uses the network
    wait : sleeps for the given seconds between attempts
    """

    names: Sequence[str]
    history: date
    scratch: Path
    fetch: Fetch
    progress: Progress
    wait: Callable[[float], None] = time.sleep
    former: Sequence[str] = ()
    chosen: bool = False
    answers_gaps: bool = True
    vendor: str = YAHOO
    batch_size: int | None = None

    @property
    def name(self) -> str:
        """Return the vendor, with :A,B,C behind it where a person chose the names."""
        return f"{self.vendor}:{','.join(self.names)}" if self.chosen else self.vendor

    def bars(self, request: Request) -> Iterator[Incoming]:
        """Yield the days asked for, and the whole history of names that are new."""
        new = [name for name in self.names if name not in request.known]
        # A name without a bar for so long is gone; asking for it would be waited for.
        old = [
            name
            for name, day in request.known.items()
            if request.first is not None and day >= request.first
        ]
        if new:
            yield self._download(new, self.history, request.last)
        if old and request.first is not None and request.first <= request.last:
            yield self._download(old, request.first, request.last)
        if request.gaps:
            self.progress(f"{self.vendor}: asking again for the gaps of {len(request.gaps)} names")
            first = min(days[0] for days in request.gaps.values())
            yield from self._once(
                sorted(request.gaps), first, max(days[1] for days in request.gaps.values())
            )
        if self.former and request.first is None:
            self.progress(f"{self.vendor}: asking for {len(self.former)} former members")
            yield from self._once(self.former, self.history, request.last)

    def _once(self, names: Sequence[str], first: date, last: date) -> Iterator[Incoming]:
        """Ask once: that nothing comes is the likely answer."""
        after = last + timedelta(days=1)
        size = self.batch_size or BATCH_SIZE
        for start in range(0, len(names), size):
            try:
                table = self.fetch(names[start : start + size], first, after)
            except Exception as problem:  # as in `Downloader`: whatever a client may raise
                told = str(problem).strip().partition("\n")[0] or type(problem).__name__
                self.progress(f"{self.vendor}: {told}; these are left out for now")
                return
            if len(table):
                path = self.scratch / "once.parquet"
                write_table(table, path)
                bars = read_bars(path, progress=lambda _: None)
                path.unlink()
                yield Incoming(bars)

    def _download(self, names: Sequence[str], first: date, last: date) -> Incoming:
        key = hashlib.blake2b("\n".join(names).encode(), digest_size=6).hexdigest()
        folder = self.scratch / f"{first}_{last}-{key}"
        downloader = Downloader(
            self.fetch,
            lambda line: self.progress(f"{self.vendor}: {line}"),
            self.wait,
            self.batch_size,
        )
        downloader.fill(folder, list(names), first, last)
        bars = read_bars(bars_file(folder), progress=lambda _: None)
        shutil.rmtree(folder, ignore_errors=True)
        return Incoming(bars)


def vendor_source(
    folder: Path,
    vendor: str,
    *,
    names: Sequence[str],
    environment: Mapping[str, str],
    progress: Progress,
    today: date | None = None,
    wait: Callable[[float], None] = time.sleep,
) -> NamesSource:
    """Return the source of a vendor's daily bars of some names.

    Parameters
    ----------
    vendor : one of `vendors.VENDORS`
    environment : holds its keys
    today : the history begins five years before it, or where the folder begins

    Raises MarketError without names or keys.
    """
    if not names:
        raise MarketError(f"{vendor}: say with --symbols A,B,C which names; it lists none itself")
    day = today or date.today()
    asked = vendor_of(vendor, environment)
    history = date(day.year - HISTORY_YEARS, day.month, min(day.day, 28))
    if is_market_folder(folder):
        history = read_version(folder, read_state(folder).version).first
    return NamesSource(
        names=tuple(names),
        history=history,
        scratch=folder / ".downloads",
        fetch=asked.fetch,
        progress=progress,
        wait=wait,
        chosen=True,
        vendor=vendor,
        batch_size=asked.batch_size,
    )
