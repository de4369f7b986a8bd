"""Orders: what is to be bought or sold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Side = Literal["BUY", "SELL"]


@dataclass(frozen=True)
class Order:
    """Whole shares to trade; quantity None is all that the cash buys, or all that is held."""

    side: Side
    quantity: int | None
