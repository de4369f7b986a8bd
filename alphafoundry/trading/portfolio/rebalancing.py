"""One session's rebalancing: live alphas to intended orders, each with its reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import PortfolioError
from alphafoundry.market.panel import Panel
from alphafoundry.trading.portfolio.programme import (
    Answer,
    Limits,
    Programme,
    Question,
    TradingCosts,
)
from alphafoundry.trading.portfolio.risk_model import DAYS, RiskModel, fit_risk_model
from alphafoundry.trading.portfolio.shares import MICRO, STEPS, Shares, whole_shares
from alphafoundry.trading.portfolio.signals import (
    VOLATILITY_DAYS,
    Combination,
    RuleWeights,
    SignalHistory,
    combine,
    forecast_parts,
    signal_history,
    trailing_deviation,
)
from alphafoundry.trading.portfolio.strategies import LiveStrategy

Array = NDArray[np.float64]
_VOLUME_DAYS = 20


@dataclass(frozen=True)
class CorporateAction:
    """What a name does before the open of the session.

    Attributes
    ----------
    split : new shares for each old one
    dividend : dollars for each new share, for whom holds it over the last night
    """

    split: float = 1.0
    dividend: float = 0.0


LATER = "later orders"
"""Reason of an order that was split for what those after it trade."""


@dataclass(frozen=True)
class IntendedOrder:
    """An order that should be sent, and why.

    Attributes
    ----------
    symbol, side : what, and "buy" or "sell"
    quantity : whole shares, above 0
    held, target : whole shares before and after, below 0 is short
    price : reference price in dollars that the shares were counted at
    deferred : shares of the other sign that the next session opens (drift "flip")
    forecast : expected residual return of the name a day, as a fraction
    parts : reason to signed millionths of a share. Their sum is quantity x 1,000,000, negative
        for a sale. Reasons are "strategy ID" (what it alone would hold, without limits and
        costs), "optimiser" (limits, costs and netting), the steps to whole shares, and "held"
        (less what is there already)
    """

    symbol: str
    side: Literal["buy", "sell"]
    quantity: int
    held: int
    target: int
    price: float
    deferred: int
    forecast: float
    parts: Mapping[str, int]

    @property
    def reduces(self) -> bool:
        """Whether it only brings the position nearer to zero."""
        return abs(self.target) < abs(self.held) and self.target * self.held >= 0

    def part(self, held: int, quantity: int) -> IntendedOrder:
        """Return the part of it that trades `quantity` shares where `held` are there by then.

        What the parts after it are for stands in it as "later orders", so that each adds up.
        """
        target = held + (quantity if self.side == "buy" else -quantity)
        later = (target - self.target) * MICRO
        parts = {**self.parts, "held": -held * MICRO}
        return replace(
            self,
            quantity=quantity,
            held=held,
            target=target,
            parts={**parts, LATER: later} if later else parts,
        )

    def why(self) -> list[str]:
        """Return the parts as lines, in shares, ending with their sum."""
        lines = [f"{reason}: {amount / MICRO:+,.6f}" for reason, amount in self.parts.items()]
        return [*lines, f"order: {sum(self.parts.values()) // MICRO:+,d} shares"]


@dataclass(frozen=True, eq=False)
class Rebalancing:
    """What a session should trade.

    Attributes
    ----------
    session : on whose close the orders should trade
    data_until : last day whose bars were used, before the session
    data_version : fingerprint of the market up to that day
    strategies : that were weighed, in the order of `combination`
    orders : in the order of the panel's symbols
    targets : symbol to whole shares after the session, of every name held or wanted
    answer : of the programme: outcome, limits that were relaxed, shadow prices, cost and risk
    combination : how the signals were weighed
    forecast : expected residual return a day, shape (n_instruments,)
    notes : one sentence for each thing that a person should know
    """

    session: date
    data_until: date
    data_version: str
    strategies: tuple[LiveStrategy, ...]
    orders: tuple[IntendedOrder, ...]
    targets: Mapping[str, int]
    answer: Answer
    combination: Combination
    forecast: Array = field(repr=False)
    notes: tuple[str, ...] = ()

    def why(self, symbol: str) -> list[str]:
        """Return why there is an order in a name: its parts, forecast, limits, alphas and bars.

        Raises PortfolioError where there is none.
        """
        order = next((one for one in self.orders if one.symbol == symbol), None)
        if order is None:
            raise PortfolioError(f"{symbol}: no order on {self.session}; see `orders`")
        prices = ", ".join(f"{name} {price:.2f}" for name, price in self.answer.prices.items())
        weighed = zip(self.strategies, self.combination.coefficients, strict=True)
        return [
            f"{order.side} {order.quantity:,d} {symbol} on the close of {self.session}, counted "
            f"at ${order.price:,.4f}",
            *order.why(),
            f"forecast: {1e4 * order.forecast:+.2f} bp a day over {self.combination.horizon:.0f} "
            f"days",
            f"limits that bind, in bp a day for one more of each: {prices or 'none'}",
            *(
                f"strategy {one.alpha_id}: coefficient {coefficient:.4f}, {one.verdict}"
                f"{', seeded' if one.seeded else ''}, data until {one.data_until}: "
                f"{one.expression}"
                for one, coefficient in weighed
            ),
            f"bars until {self.data_until}, data version {self.data_version}",
            *self.notes,
        ]


@dataclass(frozen=True, eq=False)
class Outlook:
    """What a session's rebalancing needs and no book changes."""

    model: RiskModel
    combination: Combination


class Rebalancer:
    """Rebalances a book of one market session after session.

    It looks at bars before the session only. The risk model is that of the session's week: of the
    252 days before its Monday. Two instances given the same give the same, whatever was asked
    before.

    Parameters
    ----------
    panel : the market; of later days it uses nothing. A session before which a bar was printed
        that was revised later sees the market as it was, which takes as long as a new instance
    strategies : live ones, of delay 1
    limits, costs, aversion : of the programme
    memory_days : days of information coefficients looked back at
    prior : deviation of a signal's coefficient before anything is seen
    workers : threads that evaluate the alphas, and that `prepare` uses; no result depends on it
    rules : makes the weights of strategies that are no alphas
    known : signals of some of them on the same panel, which are not worked out again

    Raises what `signal_history` raises. Belongs to one thread at a time.
    """

    def __init__(
        self,
        panel: Panel,
        strategies: Sequence[LiveStrategy],
        *,
        limits: Limits | None = None,
        costs: TradingCosts | None = None,
        aversion: float = 100.0,
        memory_days: int = 504,
        prior: float = 0.01,
        workers: int = 1,
        rules: RuleWeights | None = None,
        known: SignalHistory | None = None,
    ) -> None:
        self.panel = panel
        self.limits = limits or Limits()
        self.costs = costs or TradingCosts()
        self.history: SignalHistory = signal_history(
            panel, strategies, workers=workers, rules=rules, known=known
        )
        self._workers = workers
        self._rules = rules
        self._ahead: dict[date, Future[dict[date, Outlook]]] = {}
        self._aversion = aversion
        self._memory_days = memory_days
        self._prior = prior
        # A close that the market's checks have masked is not traded at, whatever was printed.
        close = panel.fields["close"]
        self._close = np.where(np.isfinite(close), panel.raw.get("close", close), np.nan)
        self._volatility = trailing_deviation(panel.fields["returns"], VOLATILITY_DAYS, least=20)
        self._models: dict[date, RiskModel] = {}
        self._programme: Programme | None = None
        self._places = {str(symbol): i for i, symbol in enumerate(panel.symbols)}

    def rebalance(
        self,
        session: date,
        holdings: Mapping[str, int],
        equity: float,
        *,
        actions: Mapping[str, CorporateAction] | None = None,
        not_shortable: Sequence[str] = (),
        most_shares: Mapping[str, int] | None = None,
        reduce_only: bool = False,
    ) -> Rebalancing:
        """Return the orders for the close of `session`.

        Parameters
        ----------
        holdings : symbol to whole shares, after the splits of the session
        equity : of the book, dollars, above 0
        actions : splits and dividends of the session itself; its prices are not looked at
        not_shortable : names that cannot be borrowed
        most_shares : symbol to the most shares, long or short, that risk allows
        reduce_only : positions may only shrink, as in the desk state REDUCING

        Raises PortfolioError where a name is unknown, strategies know data of the session, equity
        is not above 0, or there are too few days for a risk model.
        """
        row = self._last_row(session)
        if not equity > 0.0:
            raise PortfolioError(f"equity: {equity} must be above 0; the desk has nothing to trade")
        if len(self.panel.revisions.pending(row)):
            return self._as_seen(row).rebalance(
                session,
                holdings,
                equity,
                actions=actions,
                not_shortable=not_shortable,
                most_shares=most_shares,
                reduce_only=reduce_only,
            )
        held = self._shares(holdings)
        price = self._price(row, actions or {})
        volume = self._dollar_volume(row)
        outlook = self._outlook(session, row)
        model, combination = outlook.model, outlook.combination
        parts = forecast_parts(combination, self.history.scores[:, row], np.sqrt(model.specific))
        held_weights = np.where(np.isfinite(price), held * np.nan_to_num(price) / equity, 0.0)
        question = Question(
            forecast=parts.sum(axis=0),
            horizon=combination.horizon,
            held=held_weights,
            volume=volume / equity,
            volatility=np.nan_to_num(self._volatility[row]),
            allowed=self._allowed(row, volume),
            shortable=self._named(not_shortable, absent=True),
            most=self._most(most_shares, price, equity),
            reduce_only=reduce_only,
        )
        answer = self.programme(session).solve(question, model)
        shares = whole_shares(
            answer.weights,
            held_weights,
            held,
            equity=equity,
            price=price,
            dollar_volume=volume,
            limits=self.limits,
        )
        ideal = self._ideal(parts, model)
        orders = self._orders(shares, held, price, ideal * equity, question.forecast)
        wanted = np.flatnonzero((shares.target != 0) | (held != 0))
        return Rebalancing(
            session=session,
            data_until=self.panel.dates[row].astype(date),
            data_version=self.panel.until(self.panel.dates[row]).fingerprint,
            strategies=self.history.strategies,
            orders=orders,
            targets={str(self.panel.symbols[i]): int(shares.target[i]) for i in wanted},
            answer=answer,
            combination=combination,
            forecast=question.forecast,
            notes=(*answer.notes, *shares.notes),
        )

    def risk_model(self, session: date) -> RiskModel:
        """Return the risk model of the session's week: of 252 days before its Monday."""
        monday = _monday(session)
        if monday not in self._models:
            # One week's model is asked for again and again, older ones are not.
            self._models.clear()
            self._models[monday] = self._fit(monday)
        return self._models[monday]

    def prepare(self, sessions: Sequence[date]) -> None:
        """Let other threads work out ahead what these sessions need and no book changes.

        With one worker nothing is done ahead.
        """
        if self._workers == 1:
            return
        weeks: dict[date, list[date]] = {}
        for session in sessions:
            weeks.setdefault(_monday(session), []).append(session)
        threads = ThreadPoolExecutor(self._workers - 1, thread_name_prefix="outlook")
        for days in weeks.values():
            week = threads.submit(self._week, days)
            self._ahead.update(dict.fromkeys(days, week))
        threads.shutdown(wait=False)

    def _outlook(self, session: date, row: int) -> Outlook:
        ahead = self._ahead.pop(session, None)
        if ahead is None:
            return Outlook(self.risk_model(session), self._combine(row))
        found = ahead.result()[session]
        self._models = {_monday(session): found.model}
        return found

    def _week(self, sessions: Sequence[date]) -> dict[date, Outlook]:
        model = self._fit(_monday(sessions[0]))
        return {day: Outlook(model, self._combine(self._last_row(day))) for day in sessions}

    def _fit(self, monday: date) -> RiskModel:
        last = int(np.searchsorted(self.panel.dates, np.datetime64(monday, "D"))) - 1
        returns = self.panel.fields["returns"][max(last + 1 - DAYS, 0) : last + 1]
        groups = self.panel.groups.get("industry", self.panel.groups["market"])
        return fit_risk_model(returns, groups[max(last, 0)])

    def _combine(self, row: int) -> Combination:
        return combine(
            self.history, self.panel.dates, row, days=self._memory_days, prior=self._prior
        )

    def programme(self, session: date) -> Programme:
        """Return the programme of a session; the same one while sectors and factors stay."""
        row = self._last_row(session)
        factors = self.risk_model(session).exposures.shape[1]
        sectors = self.panel.groups.get("sector", self.panel.groups["market"])[row]
        known = self._programme
        if known is None or known.factors != factors or not np.array_equal(known.sectors, sectors):
            self._programme = known = Programme(
                factors,
                sectors,
                limits=self.limits,
                costs=self.costs,
                aversion=self._aversion,
            )
        return known

    def _as_seen(self, row: int) -> Rebalancer:
        """Return the same of the market as it was seen on a row, before bars of it were revised."""
        return Rebalancer(
            self.panel.until(self.panel.dates[row]),
            self.history.strategies,
            limits=self.limits,
            costs=self.costs,
            aversion=self._aversion,
            memory_days=self._memory_days,
            prior=self._prior,
            rules=self._rules,
        )

    def _last_row(self, session: date) -> int:
        row = int(np.searchsorted(self.panel.dates, np.datetime64(session, "D"))) - 1
        if row < 0:
            raise PortfolioError(
                f"{session}: {self.panel.label} has no bar before it; begin a day later"
            )
        for one in self.history.strategies:
            if one.data_until >= session:
                raise PortfolioError(
                    f"{one.alpha_id}: its data reach to {one.data_until}, so it cannot trade on "
                    f"{session}; leave it out"
                )
        return row

    def _shares(self, named: Mapping[str, int]) -> NDArray[np.int64]:
        held = np.zeros(len(self._places), dtype=np.int64)
        for symbol, shares in named.items():
            held[self._place(symbol)] = shares
        return held

    def _place(self, symbol: str) -> int:
        if symbol not in self._places:
            raise PortfolioError(
                f"{symbol!r}: not on {self.panel.label}; adopt or close the position first"
            )
        return self._places[symbol]

    def _named(self, symbols: Sequence[str], *, absent: bool) -> NDArray[np.bool_]:
        found = np.full(len(self._places), absent)
        found[[self._place(symbol) for symbol in symbols]] = not absent
        return found

    def _price(self, row: int, actions: Mapping[str, CorporateAction]) -> Array:
        """Return the last known closes after the session's splits and dividends."""
        recent = self._close[max(row + 1 - DAYS, 0) : row + 1]
        known = np.isfinite(recent)
        latest = len(recent) - 1 - np.argmax(known[::-1], axis=0)
        price = np.where(known.any(axis=0), recent[latest, np.arange(recent.shape[1])], np.nan)
        for symbol, action in actions.items():
            i = self._place(symbol)
            price[i] = price[i] / action.split - action.dividend
        return price

    def _dollar_volume(self, row: int) -> Array:
        """Return the mean of close x volume of the last 20 days; 0 where yesterday has no bar."""
        recent = slice(max(row + 1 - _VOLUME_DAYS, 0), row + 1)
        if "volume" not in self.panel.fields:
            raise PortfolioError(
                f"{self.panel.label}: without volume nothing says how much can be traded; give "
                "bars with volume"
            )
        dollars = self._close[recent] * self.panel.fields["volume"][recent]
        mean = np.nan_to_num(dollars).mean(axis=0)
        return np.where(np.isfinite(self._close[row]), mean, 0.0)

    def _allowed(self, row: int, volume: Array) -> NDArray[np.bool_]:
        inside = (self.history.scores[:, row] != 0.0).any(axis=0)
        volatile = np.isfinite(self._volatility[row])
        found: NDArray[np.bool_] = inside & volatile & (volume > 0.0)
        return found

    def _most(self, most: Mapping[str, int] | None, price: Array, equity: float) -> Array | None:
        if not most:
            return None
        found = np.full(len(price), self.limits.name)
        for symbol, shares in most.items():
            i = self._place(symbol)
            if np.isfinite(price[i]):
                found[i] = min(found[i], shares * price[i] / equity)
        return found

    def _ideal(self, parts: Array, model: RiskModel) -> Array:
        """Return the weights that each strategy alone would ask for, without limits and costs.

        They are (aversion x covariance)^-1 forecast, which is linear in the strategies; where
        their sum is more than the gross limit, all shrink alike to it.
        """
        ideal = model.solve(parts) / self._aversion
        gross = float(np.abs(ideal.sum(axis=0)).sum())
        return ideal * min(1.0, self.limits.gross / gross) if gross > 0.0 else ideal

    def _orders(
        self,
        shares: Shares,
        held: NDArray[np.int64],
        price: Array,
        ideal: Array,
        forecast: Array,
    ) -> tuple[IntendedOrder, ...]:
        orders = []
        for i in np.flatnonzero(shares.target != held):
            parts = {
                f"strategy {one.alpha_id}": round(float(ideal[k, i]) / float(price[i]) * MICRO)
                for k, one in enumerate(self.history.strategies)
            }
            parts["optimiser"] = int(shares.exact[i]) - sum(parts.values())
            parts |= {step: int(shares.steps[step][i]) for step in STEPS}
            parts["held"] = -int(held[i]) * MICRO
            change = int(shares.target[i] - held[i])
            orders.append(
                IntendedOrder(
                    symbol=str(self.panel.symbols[i]),
                    side="buy" if change > 0 else "sell",
                    quantity=abs(change),
                    held=int(held[i]),
                    target=int(shares.target[i]),
                    price=float(price[i]),
                    deferred=int(shares.deferred[i]),
                    forecast=float(forecast[i]),
                    parts={
                        reason: amount
                        for reason, amount in parts.items()
                        if amount or reason == "optimiser"
                    },
                )
            )
        return tuple(orders)


def _monday(session: date) -> date:
    return session - timedelta(days=session.weekday())
