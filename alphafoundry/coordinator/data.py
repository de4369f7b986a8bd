"""The bars of a workflow, from its section `data`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from alphafoundry.backtest import Bars
from alphafoundry.coordinator.document import DataSection, SourceSection
from alphafoundry.errors import ConfigurationError, MarketError
from alphafoundry.market import ReadOptions, load_market, market_of
from alphafoundry.store import DataOrigin

LEAST_DAYS = 30


def load_bars_of(data: DataSection, *, market: str, cache_dir: Path) -> Bars:
    """Return the bars that the section asks for.

    Parameters
    ----------
    market : taken where the section names none
    cache_dir : of `load_market`

    Raises MarketError, BacktestError or ConfigurationError.
    """
    source, options = data.market or market, None
    if data.source is not None:
        source, options = _path_and_options(data.source)
    panel = load_market(source, cache_dir=cache_dir, options=options)
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
    bars = replace(bars, screen=panel.screen())
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


def _path_and_options(source: SourceSection) -> tuple[str, ReadOptions]:
    """Return the file of a section and what the section tells of it."""
    assert source.path is not None
    path = Path(source.path).expanduser()
    if not path.exists():
        raise MarketError(f"data.source.path: there is no file {path}")
    told = {
        "symbol": source.symbol_column,
        "date": source.timestamp_column,
        **source.price_columns,
    }
    # The defaults of the section are the usual names, which the reader knows with many others.
    columns = {column: name for column, name in told.items() if column != name}
    return str(path), ReadOptions(date_format=source.date_format, columns=columns)
