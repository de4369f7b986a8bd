"""What was known when: nothing that happens later changes what a panel shows of a day."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alphafoundry.errors import MarketError
from alphafoundry.market import Panel, load_frame, load_market
from alphafoundry.market.assembly import build_panel
from alphafoundry.market.bars import Bars
from alphafoundry.market.sessions import ALWAYS_OPEN
from alphafoundry.market.universe import UNIVERSE_SIZES, universe_mask
from alphafoundry.market.update import update_market
from alphafoundry.market.update_sources import FileSource
from tests.property_tests import examples
from tests.some_cases import one_in

DAYS = 150
NAMES = 5
FAULTS = (
    "none",
    "spike",
    "long spike",
    "zero",
    "absurd",
    "stale",
    "quiet",
    "broken",
    "untraded",
    "wild",
    "split",
    "reverse split",
    "wipe-out",
    "jump",
    "pence",
    "pounds",
    "gap",
    "thin day",
    "lost volume",
)

Fault = tuple[str, int, int]
fault = st.tuples(st.sampled_from(FAULTS), st.integers(1, DAYS - 2), st.integers(0, NAMES - 1))


def market(seed: int, faults: list[Fault], *, adjusted: bool) -> Bars:
    """Return random bars with the faults (kind, row, column) put in."""
    draw = np.random.default_rng(seed)
    shape = (DAYS, NAMES)
    close = 50.0 * np.exp(np.cumsum(0.02 * draw.standard_normal(shape), axis=0))
    opening = close * np.exp(0.005 * draw.standard_normal(shape))
    values = {
        "open": opening,
        "high": np.maximum(opening, close) * 1.01,
        "low": np.minimum(opening, close) * 0.99,
        "close": close,
        "volume": np.rint(draw.uniform(1e5, 1e6, shape)),
    }
    prices = ("open", "high", "low", "close")
    for kind, row, column in faults:
        scales: list[tuple[slice, float]] = {
            "spike": [(slice(row, row + 2), 4.0)],
            "long spike": [(slice(row, row + 9), 0.01)],
            "zero": [(slice(row, row + 1), 0.0)],
            "wild": [(slice(day, day + 3), 3.0) for day in range(row, DAYS, 7)],
            "split": [(slice(row, None), 0.25)],
            "reverse split": [(slice(row, None), 8.0)],
            "wipe-out": [(slice(row, None), 0.004)],
            "jump": [(slice(row, None), 90.0)],
            "pence": [(slice(row, row + 70), 100.0)],
        }.get(kind, [])
        for days, factor in scales:
            for name in prices:
                values[name][days, column] *= factor
        if kind in ("split", "reverse split"):
            values["volume"][row:, column] *= 4.0 if kind == "split" else 0.125
        elif kind == "pounds":
            for name in prices:
                values[name][row:] *= 0.01
        elif kind == "absurd":
            values["high"][row, column] = values["low"][row, column] * 0.5
        elif kind == "broken":
            values["high"][row::3, column] = values["low"][row::3, column] * 0.5
        elif kind in ("stale", "quiet", "untraded"):
            last = {"stale": row + 27, "quiet": row + 8, "untraded": DAYS}[kind]
            for name in prices:
                values[name][row:last, column] = values["close"][row, column]
            if kind != "stale":
                values["volume"][row:last, column] = 0.0
        elif kind == "gap":
            for array in values.values():
                array[row : row + 8, column] = np.nan
        elif kind == "thin day":
            for array in values.values():
                array[row] = np.nan
        elif kind == "lost volume":
            values["volume"][row, column] = 0.0
    if adjusted:
        values["adj_close"] = values["close"] * 0.5
    return Bars(
        dates=np.datetime64("2020-01-01") + np.arange(DAYS),
        symbols=np.array([f"S{number}" for number in range(NAMES)]),
        values=values,
    )


def panel_of(bars: Bars) -> Panel:
    # A copy, since a panel uses up the arrays that it is built from.
    own = cut(bars, len(bars.dates))
    return build_panel(own, source="test", name="test", groupings={}, progress=lambda _: None)


def cut(bars: Bars, rows: int) -> Bars:
    return replace(
        bars,
        dates=bars.dates[:rows],
        values={name: array[:rows].copy() for name, array in bars.values.items()},
    )


def with_other_future(bars: Bars, rows: int, other: Bars) -> Bars:
    values = {name: array.copy() for name, array in bars.values.items()}
    for name, array in values.items():
        array[rows:] = other.values[name][rows:]
    return replace(bars, values=values)


def labels(panel: Panel, group: str) -> np.ndarray:
    """Return the names of the groups: codes count groups that come later too."""
    return np.array([*panel.group_names[group], "unknown"])[panel.groups[group]]


def assert_same_past(panel: Panel, other: Panel) -> None:
    assert np.array_equal(panel.dates, other.dates)
    assert sorted(panel.fields) == sorted(other.fields)
    for name in panel.fields:
        np.testing.assert_allclose(
            panel.fields[name], other.fields[name], rtol=1e-12, atol=0, err_msg=name
        )
    for name in panel.groups:
        assert np.array_equal(labels(panel, name), labels(other, name))
    if panel.members is not None:
        assert np.array_equal(panel.members, other.members)
    for name in UNIVERSE_SIZES:
        assert np.array_equal(universe_mask(panel, name)[0], universe_mask(other, name)[0]), name


@settings(max_examples=examples(120), deadline=None)
@given(
    seed=st.integers(0, 1000),
    faults=st.lists(fault, max_size=6),
    later=st.lists(fault, max_size=6),
    rows=st.integers(2, DAYS - 1),
    adjusted=st.booleans(),
)
def test_no_future_changes_the_past(
    seed: int, faults: list[Fault], later: list[Fault], rows: int, adjusted: bool
) -> None:
    bars = market(seed, faults, adjusted=adjusted)
    other = with_other_future(bars, rows, market(seed + 1, later, adjusted=adjusted))
    panel, changed = panel_of(bars), panel_of(other)
    day = bars.dates[rows - 1]
    assert_same_past(panel.until(day), changed.until(day))


@settings(max_examples=examples(120), deadline=None)
@given(
    seed=st.integers(0, 1000),
    faults=st.lists(fault, max_size=6),
    rows=st.integers(2, DAYS - 1),
    adjusted=st.booleans(),
)
@example(seed=0, faults=[("long spike", 21, 0)], rows=27, adjusted=False)
@example(seed=1, faults=[("pence", 10, 1), ("jump", 92, 1)], rows=90, adjusted=True)
@example(seed=1, faults=[("jump", 29, 2), ("long spike", 116, 2)], rows=119, adjusted=True)
def test_a_day_is_shown_as_one_who_loaded_the_bars_that_evening_saw_it(
    seed: int, faults: list[Fault], rows: int, adjusted: bool
) -> None:
    bars = market(seed, faults, adjusted=adjusted)
    assert_same_past(panel_of(bars).until(bars.dates[rows - 1]), panel_of(cut(bars, rows)))


@settings(max_examples=examples(80), deadline=None)
@given(
    seed=st.integers(0, 1000),
    faults=st.lists(fault, min_size=1, max_size=6),
    days=st.tuples(st.integers(2, DAYS - 1), st.integers(2, DAYS - 1)),
)
def test_looking_back_twice_is_looking_back_once(
    seed: int, faults: list[Fault], days: tuple[int, int]
) -> None:
    panel = panel_of(market(seed, faults, adjusted=False))
    early, late = sorted(panel.dates[min(day, len(panel.dates) - 1)] for day in days)
    assert_same_past(panel.until(late).until(early), panel.until(early))


def test_a_spike_is_seen_until_it_is_known_to_be_one() -> None:
    bars = market(1, [("spike", 60, 2)], adjusted=False)
    panel = panel_of(bars)
    assert np.isnan(panel.fields["close"][60:62, 2]).all()
    seen = panel.until(bars.dates[61]).fields
    assert seen["close"][60:62, 2] == pytest.approx(bars.values["close"][60:62, 2])
    assert seen["returns"][60, 2] > 2.0
    assert np.isnan(panel.until(bars.dates[62]).fields["close"][60, 2])


def test_fields_without_a_later_revision_are_views() -> None:
    panel = panel_of(market(1, [], adjusted=False))
    early = panel.until(panel.dates[80])
    assert early.shape == (81, NAMES)
    for name, array in early.fields.items():
        assert np.shares_memory(array, panel.fields[name])
        assert not array.flags.writeable
    assert np.shares_memory(early.groups["market"], panel.groups["market"])


def test_identity_of_a_panel_as_of_a_day() -> None:
    panel = panel_of(market(1, [], adjusted=False))
    early = panel.until("2020-03-01")
    assert early.fingerprint == panel.until("2020-03-01").fingerprint != panel.fingerprint
    assert early.fingerprint != panel.until("2020-03-02").fingerprint
    assert str(early.version.last) == "2020-03-01"
    assert early.label.endswith(", as of 2020-03-01")
    assert panel.until("2030-01-01") is panel
    with pytest.raises(MarketError, match="there is no bar up to 2019-12-31"):
        panel.until("2019-12-31")
    with pytest.raises(MarketError, match="'yesterday' is not a day; write it as 2020-01-31"):
        panel.until("yesterday")


def long_table(bars: Bars, draw: np.random.Generator) -> pd.DataFrame:
    """Return bars in long format, with a column that says who belongs."""
    rows, columns = np.nonzero(~np.isnan(bars.values["close"]))
    return pd.DataFrame(
        {
            "date": bars.dates[rows],
            "symbol": bars.symbols[columns],
            "universe": draw.integers(0, 2, len(rows)),
            **{name: array[rows, columns] for name, array in bars.values.items()},
        }
    )


def from_parquet(folder: Path, table: pd.DataFrame) -> Panel:
    table.to_parquet(folder / "bars.parquet", index=False)
    return load_market(str(folder / "bars.parquet"), cache_dir=folder / "cache")


def from_files(folder: Path, table: pd.DataFrame) -> Panel:
    (folder / "bars").mkdir()
    for symbol, mine in table.groupby("symbol"):
        mine.to_csv(folder / "bars" / f"{symbol}.csv", index=False)
    return load_market(str(folder / "bars"), cache_dir=folder / "cache")


def from_frame(_: Path, table: pd.DataFrame) -> Panel:
    return load_frame(table)


def from_market_folder(folder: Path, table: pd.DataFrame) -> Panel:
    table.to_parquet(folder / "bars.parquet", index=False)
    source = FileSource(folder / "bars.parquet", lambda _: None)
    update_market(folder / "market", source, exchange=ALWAYS_OPEN)
    return load_market(str(folder / "market"), cache_dir=folder / "cache")


@pytest.mark.parametrize(
    "load", one_in(2, [from_parquet, from_files, from_frame, from_market_folder])
)
@settings(max_examples=examples(40), deadline=None)
@given(
    seed=st.integers(0, 1000),
    faults=st.lists(fault, max_size=5),
    later=st.lists(fault, max_size=5),
    rows=st.integers(30, DAYS - 1),
)
def test_no_future_of_a_source_changes_the_past(
    load: Callable[[Path, pd.DataFrame], Panel],
    seed: int,
    faults: list[Fault],
    later: list[Fault],
    rows: int,
) -> None:
    """Bars, members and sectors by day: all of the future replaced at will."""
    bars = market(seed, faults, adjusted=False)
    other = with_other_future(bars, rows, market(seed + 1, later, adjusted=False))
    draw = np.random.default_rng(seed)
    whole, changed = long_table(bars, draw), long_table(other, draw)
    day = bars.dates[rows - 1]
    past = changed["date"] <= day
    kept = whole.loc[whole["date"] <= day, "universe"].to_numpy()
    changed.loc[past, "universe"] = kept
    seen = []
    for table, sector in ((whole, "Energy"), (changed, "Banks")):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            text = f"symbol,since,sector\nS0,,Energy\nS1,,Banks\nS0,{day + 1},{sector}\n"
            (folder / "bars_sectors.csv").write_text(text)
            (folder / "market").mkdir()
            (folder / "market" / "sectors.csv").write_text(text)
            panel = load(folder, table).until(day)
            assert panel.members is not None
            seen.append(panel)
            for name in panel.fields:
                assert panel.fields[name].shape == panel.shape
            assert_same_past(seen[0], panel)
