"""The bars of a workflow, from its section `data`."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from alphafoundry.backtest import Bars
from alphafoundry.coordinator.document import DataSection, SourceSection
from alphafoundry.errors import ConfigurationError, MarketError
from alphafoundry.market import load_market, market_of
from alphafoundry.store import DataOrigin
from alphafoundry.whole_file import replace_file

LEAST_DAYS = 30


def load_bars_of(data: DataSection, *, market: str, cache_dir: Path) -> Bars:
    """Return the bars that the section asks for.

    Parameters
    ----------
    market : taken where the section names none
    cache_dir : of `load_market`

    Raises MarketError, BacktestError or ConfigurationError.
    """
    source = data.market or market
    if data.source is not None:
        source = _read_csv(data.source, cache_dir)
    panel = load_market(source, cache_dir=cache_dir)
    bars = Bars.from_panel(
        panel,
        symbols=data.symbols,
        start=None if data.start_date is None else data.start_date.isoformat(),
        end=None if data.end_date is None else data.end_date.isoformat(),
        max_bars=data.max_bars,
    )
    if bars.shape[0] < LEAST_DAYS:
        raise ConfigurationError(
            f"data: {bars.shape[0]} days are left; a workflow needs at least {LEAST_DAYS}"
        )
    if bars.shape != panel.shape:
        days, instruments = bars.shape
        used = f"{instruments} names used"
        if days != panel.shape[0]:
            used += f", {days} days from {bars.days[0]} to {bars.days[-1]}"
        return replace(bars, label=f"{bars.label}; {used}")
    return bars


def origin_of(data: DataSection, bars: Bars, *, market: str) -> DataOrigin:
    """Return the market and data version of a workflow's bars, for the rows of its run.

    Parameters
    ----------
    market : taken where the section names none
    """
    source = data.market or market
    if data.source is not None:
        source = str(data.source.path)
    found = market_of(source)
    return DataOrigin(
        market_id=found.id,
        source=found.source,
        universe=found.universe,
        adjustment=found.adjustment,
        fingerprint=bars.fingerprint[:16],
        first=bars.days[0].astype("datetime64[D]").item(),
        last=bars.days[-1].astype("datetime64[D]").item(),
        label=bars.label,
    )


def first_test_row(bars: Bars, data: DataSection) -> int:
    """Return the first row out of sample; the number of rows where none is kept."""
    days = bars.shape[0]
    return days - int(days * data.test_fraction)


def _read_csv(source: SourceSection, cache_dir: Path) -> str:
    """Return the path of the file in the form that `load_market` reads; rewritten if it differs."""
    assert source.path is not None
    path = Path(source.path)
    if not path.is_file():
        raise MarketError(f"data.source.path: there is no file {path}")
    plain = source.symbol_column == "symbol" and source.timestamp_column == "date"
    if plain and not source.price_columns and source.date_format is None:
        return str(path)
    import pandas as pd

    try:
        table = pd.read_csv(path)
    except ValueError as problem:
        said = " ".join(str(problem).split())
        raise MarketError(f"data.source.path: {path} is not a CSV file: {said}") from None
    columns = {
        "symbol": source.symbol_column,
        "date": source.timestamp_column,
        **source.price_columns,
    }
    missing = [name for name in columns.values() if name not in table.columns]
    if missing:
        raise MarketError(
            f"{path}: there is no column {missing[0]!r}; "
            f"it has {', '.join(map(str, table.columns))}"
        )
    # A column that bears the wanted name already, as close beside adj_close, is replaced.
    table = table.assign(**{name: table[column] for name, column in columns.items()})
    table = table.drop(columns=[name for name in set(columns.values()) if name not in columns])
    try:
        table["date"] = pd.to_datetime(table["date"], format=source.date_format).dt.strftime(
            "%Y-%m-%d"
        )
    except (ValueError, TypeError) as problem:
        raise MarketError(f"{path}: {source.timestamp_column}: {problem}") from None
    content = table.to_csv(index=False).encode()
    name = hashlib.sha256(content).hexdigest()[:16]
    written = cache_dir / "renamed" / f"{path.stem}-{name}.csv"
    replace_file(written, content)
    return str(written)
