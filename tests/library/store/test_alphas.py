"""Alphas and their daily PnL."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from alphafoundry.errors import StoreError
from alphafoundry.store import (
    AlphaRecord,
    DailyPnl,
    Store,
    best_alphas,
    database,
    hopeful_alphas,
    mark_mined,
    read_alphas,
    read_daily_pnl,
    record_alpha,
    save_daily_pnl,
)
from alphafoundry.store.tables import PnlRow
from tests.library.store.conftest import SERVICE

NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)


def alpha(alpha_id: str, fitness: float | None, *, hopeful: bool = True) -> AlphaRecord:
    return AlphaRecord(alpha_id, f"rank({alpha_id})", {}, fitness=fitness, hopeful=hopeful)


def ids(rows) -> list[str]:
    return [row.alpha_id for row in rows]


def test_hopeful_alphas_best_first_until_they_are_mined(store: Store) -> None:
    for record in [
        alpha("a1", 0.6),
        alpha("a2", 2.0),
        alpha("a3", None),
        alpha("a4", math.nan),
        alpha("a5", 3.0, hopeful=False),
        alpha("a6", 1.0),
    ]:
        record_alpha(store, SERVICE, record)
    record_alpha(store, "worldquant", alpha("b1", 9.0))
    assert ids(hopeful_alphas(store, SERVICE)) == ["a2", "a6", "a1", "a3", "a4"]
    assert ids(hopeful_alphas(store, SERVICE, limit=2)) == ["a2", "a6"]
    mark_mined(store, SERVICE, ["a2", "a3"], now=NOON)
    assert ids(hopeful_alphas(store, SERVICE)) == ["a6", "a1", "a4"]
    assert ids(hopeful_alphas(store, SERVICE, unmined=False))[0] == "a2"


def test_best_alphas_leave_out_what_is_not_known(store: Store) -> None:
    for number, fitness in enumerate([1.0, math.nan, math.inf, None, 2.0]):
        record_alpha(
            store, SERVICE, alpha(f"a{number}", fitness), now=NOON + timedelta(days=number)
        )
    assert ids(best_alphas(store, SERVICE)) == ["a4", "a0"]
    assert ids(best_alphas(store, SERVICE, limit=1)) == ["a4"]
    assert ids(best_alphas(store, SERVICE, since=NOON + timedelta(days=1))) == ["a4"]
    assert best_alphas(store, SERVICE, by="sharpe") == []


def test_an_alpha_recorded_again_keeps_when_it_was_mined(store: Store) -> None:
    record_alpha(store, SERVICE, alpha("a1", 1.0), now=NOON)
    mark_mined(store, SERVICE, ["a1"], now=NOON)
    record_alpha(store, SERVICE, alpha("a1", 1.5), now=NOON + timedelta(days=1))
    found = read_alphas(store, SERVICE, ["a1", "unknown"])
    assert (found["a1"].fitness, found["a1"].mined_at, found["a1"].created_at) == (
        1.5,
        NOON,
        NOON,
    )


def test_values_of_numpy_and_nan_in_checks(store: Store) -> None:
    checks = [{"name": "LOW_SHARPE", "value": np.float64(1.25), "limit": float("nan")}]
    record_alpha(
        store,
        SERVICE,
        AlphaRecord("a1", "close", {}, sharpe=np.float64(1.25), checks=checks, planted={"m": 0.5}),
    )
    found = read_alphas(store, SERVICE, ["a1"])["a1"]
    assert found.sharpe == 1.25
    assert found.checks == [{"name": "LOW_SHARPE", "value": 1.25, "limit": None}]
    assert found.planted == {"m": 0.5}


def test_daily_pnl_needs_its_alpha(store: Store) -> None:
    pnl = DailyPnl(np.array(["2024-01-02"], "datetime64[D]"), np.array([1.0]))
    with pytest.raises(StoreError):
        save_daily_pnl(store, SERVICE, "a1", pnl)


def test_daily_pnl_is_replaced_and_read_in_bulk(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_LONGEST_LIST", 50)
    for number in range(120):
        days = np.arange(number % 3).astype("datetime64[D]")
        record_alpha(
            store,
            SERVICE,
            alpha(f"a{number}", 1.0),
            daily_pnl=DailyPnl(days, np.full(days.size, float(number))),
        )
    save_daily_pnl(
        store, SERVICE, "a1", DailyPnl(np.array(["1969-12-31"], "datetime64[D]"), np.array([-2.5]))
    )
    found = read_daily_pnl(store, SERVICE, [f"a{number}" for number in range(130)])
    assert len(found) == 120
    assert found["a1"].values.tolist() == [-2.5]
    assert str(found["a1"].dates[0]) == "1969-12-31"
    assert found["a119"].values.tolist() == [119.0, 119.0]
    assert found["a0"].values.shape == (0,)


def test_damaged_daily_pnl_is_an_error(store: Store) -> None:
    record_alpha(store, SERVICE, alpha("a1", 1.0))
    with store.write() as session:
        session.add(PnlRow(service=SERVICE, alpha_id="a1", days=b"123", amounts=b"12345678"))
    with pytest.raises(StoreError, match="daily PnL of a1 is damaged"):
        read_daily_pnl(store, SERVICE, ["a1"])


@given(
    st.integers(0, 50).flatmap(
        lambda size: st.tuples(
            npst.arrays(np.int32, size), npst.arrays(np.float32, size, elements=st.floats(width=32))
        )
    )
)
def test_daily_pnl_survives_the_bytes(arrays) -> None:
    days, values = arrays
    dates = days.astype(np.int64).astype("datetime64[D]")
    back = DailyPnl.from_bytes(*DailyPnl(dates, values).to_bytes())
    np.testing.assert_array_equal(back.dates, dates)
    np.testing.assert_array_equal(back.values, values.astype(np.float64))
    # As it was kept before revision 0005.
    wide = DailyPnl.from_bytes(days.tobytes(), values.astype(np.float64).tobytes())
    np.testing.assert_array_equal(wide.values, back.values)
    assert (back.dates.dtype, back.values.dtype) == (np.dtype("datetime64[D]"), np.float64)


def test_bytes_are_little_endian() -> None:
    pnl = DailyPnl(np.array(["1970-01-02"], "datetime64[D]"), np.array([1.0], dtype=">f8"))
    assert pnl.to_bytes() == (b"\x01\x00\x00\x00", b"\x00\x00\x80\x3f")


def test_dates_and_values_of_different_length() -> None:
    with pytest.raises(ValueError, match="as many dates as values"):
        DailyPnl(np.array(["2024-01-02"], "datetime64[D]"), np.array([1.0, 2.0]))
