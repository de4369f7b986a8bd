"""Downloads in batches that survive interruption: retried, resumed, kept whole.

A download is a folder. Each batch is written to it when it is whole; when the last one is there,
all become one long-format file, bars.parquet.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from alphafoundry.errors import MarketError

if TYPE_CHECKING:
    import pandas as pd

BATCH_SIZE = 50
ATTEMPTS = 5
FIRST_WAIT_SECONDS = 2.0
REQUIRED_SHARE = 0.5

Fetch = Callable[[Sequence[str], date, date], "pd.DataFrame"]
"""(symbols, first day, day after the last) to a long table: date, symbol, open, high, low,
close, adj_close, volume. Symbols without bars are simply not in it."""


class DownloadError(MarketError):
    """A batch did not come after all attempts; the batches before it are kept."""

    transient = True


@dataclass(frozen=True)
class Downloader:
    """How to fetch bars, batch by batch.

    Attributes
    ----------
    fetch : the one call that uses the network; whatever it raises counts as no answer
    progress : called with one line per batch and per wait
    wait : sleeps for the given seconds; they double from FIRST_WAIT_SECONDS on
    batch_size : names that are asked for at a time; None is BATCH_SIZE
    """

    fetch: Fetch
    progress: Callable[[str], None]
    wait: Callable[[float], None] = time.sleep
    batch_size: int | None = None

    def fill(self, folder: Path, symbols: Sequence[str], first: date, last: date) -> None:
        """Fetch what `folder` lacks of the bars of `symbols` from `first` to `last`.

        Raises DownloadError where less than half of a batch comes after all attempts.
        """
        import pandas as pd

        folder.mkdir(parents=True, exist_ok=True)
        size = self.batch_size or BATCH_SIZE
        batches = [symbols[start : start + size] for start in range(0, len(symbols), size)]
        paths = [folder / f"batch-{_digest(batch)}.parquet" for batch in batches]
        for number, (path, batch) in enumerate(zip(paths, batches, strict=True), start=1):
            if path.exists():
                continue
            self.progress(f"downloading batch {number} of {len(batches)} ({len(batch)} names)")
            try:
                table = self._fetch_batch(batch, first, last)
            except DownloadError as failure:
                raise DownloadError(
                    f"{number - 1} of {len(batches)} batches are downloaded, then {failure}; run "
                    "again to go on from there, or choose another market (sample, calibration or "
                    "a file)"
                ) from None
            write_table(table, path)
        bars = pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)
        write_table(bars, bars_file(folder))
        for path in paths:
            path.unlink(missing_ok=True)

    def _fetch_batch(self, batch: Sequence[str], first: date, last: date) -> pd.DataFrame:
        """Return the bars of a batch, asking again for the names that did not come."""
        import pandas as pd

        parts: list[pd.DataFrame] = []
        awaited = list(batch)
        reason = "no bars came"
        for attempt in range(ATTEMPTS):
            if attempt:
                seconds = FIRST_WAIT_SECONDS * 2.0 ** (attempt - 1)
                self.progress(f"{len(awaited)} names did not come, waiting {seconds:.0f} s")
                self.wait(seconds)
            try:
                table = self.fetch(awaited, first, last + timedelta(days=1))
            except MarketError:
                raise
            except Exception as error:  # whatever a client and its HTTP library may raise
                reason = _first_line(f"no answer came ({type(error).__name__}: {error})")
                continue
            if len(table):
                parts.append(table)
                came = set(table["symbol"])
                awaited = [name for name in awaited if name not in came]
            if not awaited:
                break
        if len(batch) - len(awaited) < REQUIRED_SHARE * len(batch):
            raise DownloadError(reason)
        whole: pd.DataFrame = pd.concat(parts, ignore_index=True)
        return whole


def bars_file(folder: Path) -> Path:
    """Return the long-format file of a finished download."""
    return folder / "bars.parquet"


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as a parquet file that is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=path.parent) as draft:
        part = Path(draft) / path.name
        table.to_parquet(part, index=False)
        part.replace(path)


def _digest(batch: Sequence[str]) -> str:
    return hashlib.blake2b("\n".join(batch).encode(), digest_size=6).hexdigest()


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0][:200]
