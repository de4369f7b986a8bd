"""Daily PnL as compact bytes: no pickle, the same on every machine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from alphafoundry.errors import StoreError
from alphafoundry.store.database import Store, in_chunks, put_rows
from alphafoundry.store.tables import PnlRow

_DAYS = np.dtype("<i4")
_AMOUNTS = np.dtype("<f4")
_WIDE_AMOUNTS = np.dtype("<f8")


_SOME = select(PnlRow.alpha_id, PnlRow.days, PnlRow.amounts).where(
    PnlRow.service == bindparam("of"), PnlRow.alpha_id.in_(bindparam("ids", expanding=True))
)


@dataclass(frozen=True, eq=False)
class DailyPnl:
    """The daily PnL of one alpha.

    Attributes
    ----------
    dates : datetime64[D] array of shape (n_days,)
    values : float64 array of shape (n_days,), dollars; NaN is kept. The store keeps seven digits
    """

    dates: NDArray[np.datetime64]
    values: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.dates.ndim != 1 or self.dates.shape != self.values.shape:
            raise ValueError(
                f"daily PnL needs as many dates as values, got shapes {self.dates.shape} and "
                f"{self.values.shape}"
            )

    def __repr__(self) -> str:
        span = f", {self.dates[0]} to {self.dates[-1]}" if self.dates.size else ""
        return f"DailyPnl({self.dates.size} days{span})"

    def to_bytes(self) -> tuple[bytes, bytes]:
        """Return (int32 days since 1970, float32 dollars), both little-endian.

        Raises ValueError for a missing date (NaT) or one beyond int32.
        """
        days = self.dates.astype("datetime64[D]").astype(np.int64)
        bounds = np.iinfo(_DAYS)
        if days.size and (days.min() < bounds.min or days.max() > bounds.max):
            raise ValueError("a date of the daily PnL is missing or out of range")
        return days.astype(_DAYS).tobytes(), self.values.astype(_AMOUNTS).tobytes()

    @classmethod
    def from_bytes(cls, days: bytes, amounts: bytes) -> DailyPnl:
        """Return what `to_bytes` was given, or float64 dollars as they were kept before.

        Raises ValueError where the lengths do not fit.
        """
        wide = len(amounts) == len(days) // _DAYS.itemsize * _WIDE_AMOUNTS.itemsize
        return cls(
            np.frombuffer(days, dtype=_DAYS).astype(np.int64).astype("datetime64[D]"),
            np.frombuffer(amounts, _WIDE_AMOUNTS if wide else _AMOUNTS).astype(np.float64),
        )


def put_daily_pnl(session: Session, service: str, alpha_id: str, pnl: DailyPnl) -> None:
    """Write the daily PnL of an alpha, replacing what was there."""
    days, amounts = pnl.to_bytes()
    row = {"service": service, "alpha_id": alpha_id, "days": days, "amounts": amounts}
    put_rows(session, PnlRow, [row], "service", "alpha_id", changes=("days", "amounts"))


def save_daily_pnl(store: Store, service: str, alpha_id: str, pnl: DailyPnl) -> None:
    """Write the daily PnL of an alpha that the store holds, replacing what was there."""
    with store.write() as session:
        put_daily_pnl(session, service, alpha_id, pnl)


def read_daily_pnl(store: Store, service: str, alpha_ids: Iterable[str]) -> dict[str, DailyPnl]:
    """Return alpha id to daily PnL; an alpha without one is left out.

    Raises
    ------
    StoreError : the bytes of a row do not fit together
    """
    found: dict[str, DailyPnl] = {}
    with store.session() as session:
        for some in in_chunks(alpha_ids):
            for row in session.execute(_SOME, {"of": service, "ids": some}):
                found[row.alpha_id] = kept_pnl(store, row)
    return found


def kept_pnl(store: Store, row: Any) -> DailyPnl:
    """Return the daily PnL of a row with `alpha_id`, `days` and `amounts`.

    Raises
    ------
    StoreError : its bytes do not fit together
    """
    try:
        return DailyPnl.from_bytes(row.days, row.amounts)
    except ValueError as error:
        raise StoreError(
            f"{store.label}: the daily PnL of {row.alpha_id} is damaged: {error}"
        ) from None
