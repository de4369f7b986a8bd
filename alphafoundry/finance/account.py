"""An account in one ticker: cash, whole shares, and the order that waits for a fill."""

from __future__ import annotations

import math

from alphafoundry.finance.costs import Costs
from alphafoundry.finance.orders import Order


class Account:
    """Long only, no borrowing; one order at most waits for its fill.

    Attributes
    ----------
    cash : dollars, never below 0
    shares : whole shares, never below 0
    trades : fills of at least one share
    traded : dollars traded, without costs
    """

    __slots__ = ("_costs", "_order", "cash", "shares", "traded", "trades")

    def __init__(self, cash: float, costs: Costs) -> None:
        """Start with dollars; costs are paid when buying and when selling."""
        self.cash = cash
        self.shares = 0
        self.trades = 0
        self.traded = 0.0
        self._costs = costs
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
            spent = quantity * price * (1.0 + self._costs.rate)
            self.cash = max(0.0, self.cash - spent - quantity * self._costs.commission_per_share)
            self.shares += quantity
        else:
            quantity = self.shares
            if order.quantity is not None:
                quantity = min(quantity, order.quantity)
            gained = quantity * price * (1.0 - self._costs.rate)
            paid = quantity * self._costs.commission_per_share
            self.cash = max(0.0, self.cash + gained - paid)
            self.shares -= quantity
        self.trades += quantity > 0
        self.traded += quantity * price

    def value(self, price: float) -> float:
        """Return cash and shares at `price`, dollars."""
        return self.cash + self.shares * price

    def _affordable(self, price: float) -> int:
        each = price * (1.0 + self._costs.rate) + self._costs.commission_per_share
        quantity = math.floor(self.cash / each)
        return quantity - (quantity * each > self.cash)
