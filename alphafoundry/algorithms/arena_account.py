"""An algorithm's account in one ticker: cash, whole shares, and the order that waits for a fill."""

from __future__ import annotations

import math

from alphafoundry.algorithms.contract import Order


class Account:
    """Long only, no borrowing; an order is filled at the next day's open with costs.

    Attributes
    ----------
    cash : dollars, never below 0
    shares : whole shares, never below 0
    trades : fills of at least one share
    traded : dollars traded, without costs
    """

    __slots__ = ("_cost", "_order", "cash", "shares", "traded", "trades")

    def __init__(self, cash: float, cost: float) -> None:
        """Start with dollars; cost is a fraction of the traded value, paid on both sides."""
        self.cash = cash
        self.shares = 0
        self.trades = 0
        self.traded = 0.0
        self._cost = cost
        self._order: Order | None = None

    def place(self, order: Order | None) -> None:
        """Let an order wait for the next fill, in the place of one that waits."""
        self._order = order

    def fill(self, price: float) -> None:
        """Fill the waiting order at `price`, cut to what the cash buys or to what is held."""
        order, self._order = self._order, None
        if order is None:
            return
        if order.side == "BUY":
            quantity = self._affordable(price)
            if order.quantity is not None:
                quantity = min(quantity, order.quantity)
            self.cash = max(0.0, self.cash - quantity * price * (1.0 + self._cost))
            self.shares += quantity
        else:
            quantity = self.shares
            if order.quantity is not None:
                quantity = min(quantity, order.quantity)
            self.cash += quantity * price * (1.0 - self._cost)
            self.shares -= quantity
        self.trades += quantity > 0
        self.traded += quantity * price

    def value(self, price: float) -> float:
        """Return cash and shares at `price`, dollars."""
        return self.cash + self.shares * price

    def _affordable(self, price: float) -> int:
        each = price * (1.0 + self._cost)
        quantity = math.floor(self.cash / each)
        return quantity - (quantity * each > self.cash)
