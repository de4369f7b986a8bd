"""Faults that a broker may show, switched on by share or by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from alphafoundry.errors import TradingError
from alphafoundry.seeds import generator


@dataclass(frozen=True)
class Faults:
    """What goes wrong, drawn from the seed by client id and attempt.

    A draw depends on nothing else, so a killed and repeated client meets the same faults.

    Attributes
    ----------
    answer_lost : share of orders that arrive and whose answer is lost
    gateway_timeout : share of orders answered 504, half of which arrived
    too_many : share of orders answered 429, which did not arrive
    tries : requests of one order that may go wrong; later ones pass
    duplicate_fills : every activity is listed twice
    reordered_fills : pages of activities are not in order of time
    fill_after_cancel : a cancelled order is filled as if it had not been cancelled
    unknown_positions : session to symbol and shares that appear before its open
    """

    answer_lost: float = 0.0
    gateway_timeout: float = 0.0
    too_many: float = 0.0
    tries: int = 2
    duplicate_fills: bool = False
    reordered_fills: bool = False
    fill_after_cancel: bool = False
    unknown_positions: Mapping[date, tuple[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shares = (self.answer_lost, self.gateway_timeout, self.too_many)
        if min(shares) < 0 or sum(shares) > 1:
            raise TradingError("faults: shares are 0 or above and together at most 1")

    def of_order(self, seed: int, client_order_id: str, attempt: int) -> tuple[str, bool]:
        """Return the fault of a request ("" for none), and whether the order arrives."""
        if attempt >= self.tries or not (self.answer_lost + self.gateway_timeout + self.too_many):
            return "", True
        stream = generator(seed, "fault", client_order_id, attempt)
        drawn, arrives = stream.random(2).tolist()
        for name, share in (
            ("answer_lost", self.answer_lost),
            ("gateway_timeout", self.gateway_timeout),
            ("too_many", self.too_many),
        ):
            if drawn < share:
                return name, {"answer_lost": True, "too_many": False}.get(name, arrives < 0.5)
            drawn -= share
        return "", True
