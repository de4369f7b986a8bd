"""Desks: one account each, a state, and the limits of its orders."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple, cast

from sqlalchemy import Table, Update, bindparam, func, select, update
from sqlalchemy.orm import Session as Transaction

from alphafoundry.errors import TradingError
from alphafoundry.store import Store
from alphafoundry.store.database import execute_many, read_rows
from alphafoundry.store.desk_tables import DeskRow, DeskState, ForeignRule, LimitVersionRow
from alphafoundry.trading.ledger import post, transfer_lines

PAPER_BROKER = "paper"
"""Name of the broker of this project in `DeskRow.broker`."""


class Desk(NamedTuple):
    """A desk as a transaction sees it; the fields are those of a `DeskRow`."""

    id: int
    name: str
    epoch: str
    exchange: str
    broker: str
    account_number: str
    synthetic: bool
    state: DeskState
    state_reason: str | None
    foreign_rule: ForeignRule
    next_sequence: int
    fills_until: datetime | None
    reconciled_at: datetime | None
    created_at: datetime


_ROWS = cast(Table, DeskRow.__table__)
_DESK = select(*(_ROWS.c[name] for name in Desk._fields)).where(_ROWS.c.id == bindparam("desk"))
_LIMITS = (
    select(LimitVersionRow.limits)
    .where(LimitVersionRow.desk_id == bindparam("desk"))
    .order_by(LimitVersionRow.version.desc())
    .limit(1)
)


@dataclass(frozen=True)
class OrderLimits:
    """Hard limits, checked in the transaction that sends an order; None sets none.

    Attributes
    ----------
    max_order_value : dollars of one order
    max_order_shares : shares of one order
    max_gross : sum of absolute positions, open orders counted in full, over equity
    max_name : absolute position in one name, its open orders counted in full, over equity

    Orders that only bring a position nearer to zero pass the last two.
    """

    max_order_value: float | None = None
    max_order_shares: float | None = None
    max_gross: float | None = None
    max_name: float | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is not None and not 0 < value < float("inf"):
                raise TradingError(f"{name}: {value} is no limit; give a number above 0 or None")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> OrderLimits:
        """Return limits as they were stored. Raises TradingError for an unknown name."""
        unknown = set(values) - {one.name for one in fields(cls)}
        if unknown:
            raise TradingError(f"limits: unknown name {min(unknown)!r}")
        return cls(**values)


def ledger_of(store: Store, name: str) -> DeskRow | None:
    """Return the row of the ledger of that name, None where there is none."""
    with store.session() as transaction:
        return transaction.scalar(select(DeskRow).where(DeskRow.name == name))


def create_desk(
    store: Store,
    *,
    name: str,
    broker: str,
    account_number: str,
    cash: int,
    synthetic: bool,
    now: datetime,
    exchange: str = "XNYS",
    foreign_rule: ForeignRule = "halt",
    limits: OrderLimits | None = None,
    epoch: str | None = None,
) -> DeskRow:
    """Return a desk, made with its opening cash where it does not exist yet.

    Parameters
    ----------
    broker, account_number : whose account it is; `PAPER_BROKER` or the address of another
    cash : what the account holds now, 1/10,000 dollar
    synthetic : the desk trades generated prices
    foreign_rule : "adopt" books orders and positions of others, "halt" stops the desk
    limits : of its orders from the beginning
    epoch : 16 hex digits; a simulation gives its own, so that it can be repeated to the byte. None
        draws one, as every desk must whose broker may remember an earlier one

    Raises TradingError where another desk has the account, or where generated prices would meet a
    real one.
    """
    if synthetic and broker != PAPER_BROKER:
        raise TradingError(
            f"desk {name!r}: generated prices never trade at {broker}; use the paper broker"
        )
    with store.write() as transaction:
        found = transaction.scalar(select(DeskRow).where(DeskRow.name == name))
        if found is not None:
            if (found.broker, found.account_number) != (broker, account_number):
                raise TradingError(
                    f"desk {name!r} has account {found.account_number} at {found.broker}; "
                    "choose another name for another account"
                )
            return found
        taken = transaction.scalar(
            select(DeskRow.name).where(
                DeskRow.broker == broker, DeskRow.account_number == account_number
            )
        )
        if taken is not None:
            raise TradingError(
                f"account {account_number} at {broker} is that of desk {taken!r}; one desk each"
            )
        desk = DeskRow(
            name=name,
            epoch=epoch or secrets.token_hex(8),
            exchange=exchange,
            broker=broker,
            account_number=account_number,
            synthetic=synthetic,
            state="active",
            foreign_rule=foreign_rule,
            next_sequence=1,
            created_at=now,
        )
        transaction.add(desk)
        transaction.flush()
        post(
            transaction,
            desk.id,
            kind="transfer",
            reference="transfer:opening",
            at=now,
            lines=transfer_lines(cash),
        )
        _add_limits(transaction, desk.id, limits or OrderLimits(), actor="desk", now=now)
        return desk


def read_desk(store: Store, desk_id: int) -> Desk:
    """Return a desk. Raises TradingError where there is none."""
    with store.session() as transaction:
        return desk_in(transaction, desk_id)


def desk_in(transaction: Transaction, desk_id: int) -> Desk:
    """Return a desk as the transaction sees it. Raises TradingError where there is none."""
    found = read_rows(transaction, _DESK, {"desk": desk_id})
    if not found:
        raise TradingError(f"there is no desk {desk_id}; create it first")
    return Desk(*found[0])


def change_desk(transaction: Transaction, desk_id: int, **values: Any) -> None:
    """Change fields of a desk."""
    execute_many(transaction, _change_of(tuple(values)), [{"desk": desk_id, **values}])


@lru_cache(maxsize=16)
def _change_of(names: tuple[str, ...]) -> Update:
    values: dict[str, Any] = {name: bindparam(name) for name in names}
    return update(_ROWS).where(_ROWS.c.id == bindparam("desk")).values(values)


def set_state(store: Store, desk_id: int, state: DeskState, *, reason: str) -> DeskState:
    """Make a desk active, reducing or halted; return what it was."""
    with store.write() as transaction:
        desk = desk_in(transaction, desk_id)
        before = desk.state
        change_desk(transaction, desk_id, state=state, state_reason=reason)
        return before


def set_limits(
    store: Store, desk_id: int, limits: OrderLimits, *, actor: str, now: datetime
) -> int:
    """Store limits that hold from now on; return their version."""
    with store.write() as transaction:
        desk_in(transaction, desk_id)
        return _add_limits(transaction, desk_id, limits, actor=actor, now=now)


def limits_in(transaction: Transaction, desk_id: int) -> OrderLimits:
    """Return the limits that hold."""
    found = read_rows(transaction, _LIMITS, {"desk": desk_id})
    return OrderLimits.from_json(found[0][0]) if found else OrderLimits()


def _add_limits(
    transaction: Transaction, desk_id: int, limits: OrderLimits, *, actor: str, now: datetime
) -> int:
    newest = transaction.scalar(
        select(func.max(LimitVersionRow.version)).where(LimitVersionRow.desk_id == desk_id)
    )
    version = (newest or 0) + 1
    transaction.add(
        LimitVersionRow(
            desk_id=desk_id, version=version, limits=asdict(limits), actor=actor, created_at=now
        )
    )
    return version
