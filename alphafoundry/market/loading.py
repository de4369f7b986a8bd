"""One entrance to every market: named sources and files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from alphafoundry.errors import MarketError
from alphafoundry.market.assembly import Progress
from alphafoundry.market.cache import cached_panel, state_of
from alphafoundry.market.identity import Market
from alphafoundry.market.layouts import ReadOptions, options_of
from alphafoundry.market.market_folder import is_market_folder, read_market_folder, read_state
from alphafoundry.market.panel import Panel


@dataclass(frozen=True)
class _Source:
    """A market that is known by name.

    Attributes
    ----------
    about : one line for people; begins with SYNTHETIC where prices are generated
    load : takes the cache folder, seed, sectors file and progress, and returns the panel
    identity : takes the seed and the part of the name that tells other groups
    """

    about: str
    load: Callable[[Path, int, Path | None, Progress], Panel]
    identity: Callable[[int, str], Market]


def known_sources() -> Mapping[str, str]:
    """Return the names that `load_market` knows, each with one line on what it is.

    Besides these it takes the path of a file or folder, see docs/data.md.
    """
    return {name: source.about for name, source in _SOURCES.items()}


def load_market(
    source: str = "calibration",
    *,
    cache_dir: Path,
    seed: int = 0,
    sectors: Path | None = None,
    progress: Progress | None = None,
    options: ReadOptions | None = None,
) -> Panel:
    """Return the panel of a market, from the cache where its source has not changed.

    Parameters
    ----------
    source : "calibration", "sample", "yfinance", or the path of a file, an archive or a folder
        with date, symbol, close and, where known, open, high, low, adj_close, volume, vwap, cap;
        docs/data.md lists the formats. What the file does not tell of itself may follow behind a
        question mark: prices.csv?date_format=%d/%m/%Y&decimal=,
    cache_dir : folder for cached panels and downloads; made where absent
    seed : of the calibration market; no other source uses it
    sectors : CSV with symbol and any of sector, industry, sub_industry. None takes the sibling
        PREFIX_sectors.csv of a file, if there is one
    progress : called with one line at each step that takes time
    options : what the file does not tell of itself, in place of a part behind a question mark

    The arrays of the panel are read-only. Raises MarketError where the source is unknown,
    missing, unreadable, or needs a package that is not installed.
    """
    say = progress or _silent
    cache_dir = Path(cache_dir)
    if sectors is not None:
        sectors = Path(sectors)
        if not sectors.is_file():
            raise MarketError(f"{sectors}: there is no such sectors file")
    name = str(source)
    if name in _SOURCES:
        panel = _SOURCES[name].load(cache_dir, seed, sectors, say)
    else:
        panel = _load_path(name, cache_dir, sectors, say, options)
    market = market_of(name, seed=seed, sectors=sectors, options=options)
    return replace(panel, source=name, market=market)


def market_of(
    source: str,
    *,
    seed: int = 0,
    sectors: Path | None = None,
    options: ReadOptions | None = None,
) -> Market:
    """Return the lasting identity of a market, without reading its bars.

    A file is known by its resolved path and the options that it is read with, a market folder by
    the id in it, wherever it is moved. Other groups than the source's own, by `sectors`, make
    another market.
    """
    groups = "" if sectors is None else f", grouped by {Path(sectors).resolve()}"
    if source in _SOURCES:
        return _SOURCES[source].identity(seed, groups)
    path, behind = split_source(source)
    if is_market_folder(path):
        return Market(f"market folder {read_state(path).id}{groups}")
    told = options or options_of(behind, source=source)
    return Market(f"{path.resolve()}{_read_as(told)}{groups}")


def _load_calibration(
    cache_dir: Path, seed: int, sectors: Path | None, progress: Progress
) -> Panel:
    from alphafoundry.market.calibration import generate_market

    if sectors is not None:
        raise MarketError(f"{sectors}: the calibration market has its own sectors; leave these out")
    if seed < 0:
        raise MarketError(f"seed {seed}: the seed of the calibration market is 0 or above")
    return cached_panel(
        cache_dir / "panels",
        name=f"calibration-{seed}",
        state={"seed": seed},
        build=lambda: generate_market(seed, progress=progress),
        progress=progress,
    )


def _load_sample(cache_dir: Path, _seed: int, sectors: Path | None, progress: Progress) -> Panel:
    from alphafoundry.market.sample import load_sample, sample_version

    return cached_panel(
        cache_dir / "panels",
        name="sample" if sectors is None else f"sample with {sectors.resolve()}",
        state={"skfolio": sample_version(), "sectors": state_of(sectors)},
        build=lambda: load_sample(sectors=sectors, progress=progress),
        progress=progress,
    )


def _load_yfinance(cache_dir: Path, _seed: int, sectors: Path | None, progress: Progress) -> Panel:
    from alphafoundry.market.yfinance import load_yfinance

    return load_yfinance(cache_dir=cache_dir / "yfinance", sectors=sectors, progress=progress)


_SOURCES: Mapping[str, _Source] = {
    "calibration": _Source(
        "SYNTHETIC: 500 names over 5 years, generated, with planted effects",
        _load_calibration,
        lambda seed, _: Market(
            f"calibration, seed {seed}", "500 generated names", "prices are generated"
        ),
    ),
    "sample": _Source(
        "20 large US stocks from skfolio, 1990 to 2022: close and returns only",
        _load_sample,
        lambda _, groups: Market(f"skfolio sample{groups}", "20 large US stocks"),
    ),
    "yfinance": _Source(
        "the S&P 500 over the last 5 years, each name while a member, from Yahoo",
        _load_yfinance,
        lambda _, groups: Market(f"yfinance{groups}", "S&P 500 members by day", "by adj_close"),
    ),
}


def _load_path(
    source: str,
    cache_dir: Path,
    sectors: Path | None,
    progress: Progress,
    options: ReadOptions | None,
) -> Panel:
    path, behind = split_source(source)
    if not source.strip("./") or not path.exists():
        raise MarketError(
            f"market {source!r}: neither an existing file or folder nor one of "
            f"{', '.join(_SOURCES)}; give one of these names or the path of a .parquet, .csv or "
            "other table (docs/data.md lists what is read)"
        )
    if is_market_folder(path):
        return _load_folder(path, cache_dir, sectors, progress)
    from alphafoundry.market.side_files import SideFiles

    told = options or options_of(behind, source=source)
    beside = SideFiles.of(path, sectors)
    where = f"{path.resolve()}{_read_as(told)}"

    def build() -> Panel:
        from alphafoundry.market.files import load_file

        return load_file(path, source=source, sectors=sectors, progress=progress, options=told)

    return cached_panel(
        cache_dir / "panels",
        name=where if sectors is None else f"{where} with {sectors.resolve()}",
        state={
            "file": _state_of_all(path),
            "beside": beside.states(),
        },
        build=build,
        progress=progress,
    )


def _load_folder(path: Path, cache_dir: Path, sectors: Path | None, progress: Progress) -> Panel:
    from alphafoundry.market.side_files import SideFiles

    state = read_state(path)
    beside = SideFiles.of(path, sectors)

    def build() -> Panel:
        progress(f"{path.name}: reading version {state.version}")
        bars = read_market_folder(path)
        return beside.panel(bars, source=str(path), name=path.name, progress=progress)

    return cached_panel(
        cache_dir / "panels",
        name=state.id if sectors is None else f"{state.id} with {sectors.resolve()}",
        state={"version": state.version, "beside": beside.states()},
        build=build,
        progress=progress,
    )


def _read_as(told: ReadOptions) -> str:
    return "" if told == ReadOptions() else f" as {told}"


def split_source(source: str) -> tuple[Path, str]:
    """Return (path, options behind the question mark); a file with such a name comes first."""
    whole = Path(source).expanduser()
    if whole.exists() or "?" not in source:
        return whole, ""
    before, _, behind = source.rpartition("?")
    return Path(before).expanduser(), behind


def _state_of_all(path: Path) -> object:
    """Return what tells one state of a file from another, or of all files of a folder."""
    if not path.is_dir():
        return state_of(path)
    from alphafoundry.market.containers import files_of

    return [[str(file.relative_to(path)), state_of(file)] for file in files_of(path)[0]]


def _silent(_: str) -> None:
    return None
