"""The convex programme: which weights are worth their risk and their cost within the limits."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import PortfolioError
from alphafoundry.finance.costs import check_range
from alphafoundry.trading.portfolio.risk_model import RiskModel

Array = NDArray[np.float64]
Outcome = Literal["optimal", "relaxed", "hold", "reduce-only"]

IMPACT = (0.20615, 0.92195)
"""The programme has p v + q v^2 for v^1.5, v a trade over the largest that the limits leave. From
a twentieth of that to all of it this is within 13 % of the square-root law, the least that two
terms can do; smaller trades are taken to be dearer than they are. As a quadratic it needs no
variables of its own, and the programme solves in half the time of one with tangents."""

_BASIS = 1e4
"""The objective is in basis points of equity a day: the solver's tolerances then mean something."""
_INSIDE = 1.0 - 1e-6
"""Limits are drawn in by what the solver may leave."""
_RELAXED = ("turnover", "sector", "net")


@dataclass(frozen=True)
class Limits:
    """What a book must keep, as fractions of equity unless said otherwise; none may be negative.

    Attributes
    ----------
    gross : long and short together
    net : long less short, in absolute value
    name : one name
    sector : net of one sector, in absolute value; names without a sector are one
    turnover : bought and sold in one session
    participation : a name's trade over its mean daily volume of the last 20 days
    days_to_sell : sessions in which a position can be sold at that participation
    minimum_trade : dollars below which an order is not worth sending; one that closes a position
        or brings the book within a limit is sent whatever its size
    """

    gross: float = 1.0
    net: float = 0.05
    name: float = 0.02
    sector: float = 0.05
    turnover: float = 0.30
    participation: float = 0.05
    days_to_sell: float = 5.0
    minimum_trade: float = 100.0

    def __post_init__(self) -> None:
        for one in fields(self):
            check_range(one.name, getattr(self, one.name), 0.0, math.inf)


@dataclass(frozen=True)
class TradingCosts:
    """What the programme expects a trade and a short position to cost.

    Attributes
    ----------
    spread_bps : whole bid-ask spread in basis points; a trade pays half
    commission_bps : of the traded value
    impact : cost of a trade over its value is impact x daily volatility x sqrt(trade / volume)
        (the square-root law, J. Gatheral and A. Schied 2013)
    borrow : a year, as a fraction of the short position's value, on 252 days
    """

    spread_bps: float = 5.0
    commission_bps: float = 0.0
    impact: float = 0.5
    borrow: float = 0.005

    def __post_init__(self) -> None:
        for one in fields(self):
            check_range(one.name, getattr(self, one.name), 0.0, math.inf)

    @property
    def rate(self) -> float:
        """Half spread and commission, as a fraction of the traded value."""
        return (self.spread_bps / 2.0 + self.commission_bps) / 1e4


@dataclass(frozen=True, eq=False)
class Question:
    """What the programme is asked; arrays have shape (n_instruments,).

    Attributes
    ----------
    forecast : expected residual return a day, as a fraction
    horizon : days over which a trade's cost is spread
    held : present weights, fractions of equity
    volume : dollars traded on a mean day over equity; 0 where nothing can be traded
    volatility : of a day's return, as a fraction
    allowed : True where a position may be opened or kept; others are closed
    shortable : True where a short position may be opened or grown
    most : largest |weight| of each name by the limits of risk; None is the name limit alone
    reduce_only : no position may be opened, grown or turned
    """

    forecast: Array
    horizon: float
    held: Array
    volume: Array
    volatility: Array
    allowed: NDArray[np.bool_]
    shortable: NDArray[np.bool_]
    most: Array | None = None
    reduce_only: bool = False


@dataclass(frozen=True, eq=False)
class Answer:
    """The weights found, and what had to give.

    Attributes
    ----------
    weights : fractions of equity, shape (n_instruments,)
    outcome : "optimal"; "relaxed" where a limit had to be; "hold" where the solver failed; and
        "reduce-only" where it failed and what is held breaks a hard limit
    relaxed : which limits were, in the order turnover, sector, net
    notes : one sentence for each thing that a person should know
    prices : limit to its shadow price: basis points of equity a day that one more unit of the
        limit would be worth; only those above 0. "name" is the sum over names of whatever bounds
        their positions: name, days to sell, what cannot be shorted, what risk allows
    cost : expected cost of the trades, as a fraction of equity
    risk : expected deviation of a day's return of the book, as a fraction of equity
    """

    weights: Array
    outcome: Outcome
    relaxed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    prices: dict[str, float] = field(default_factory=dict)
    cost: float = 0.0
    risk: float = 0.0


class Programme:
    """One parametrised problem, built once and solved for every session.

    Maximises forecast . w - (aversion / 2) w' V w - (spread + impact) / horizon - borrow, where V
    is the risk model's covariance and w the weights after the trade. The three-halves power of the
    impact is `IMPACT`'s quadratic.

    Parameters
    ----------
    factors : number of factors of the risk models that it will be given
    sectors : labels, shape (n_instruments,); below 0 are one sector of their own
    aversion : risk aversion per unit of equity and day

    Each instance belongs to one thread at a time.
    """

    def __init__(
        self,
        factors: int,
        sectors: NDArray[np.int32],
        *,
        limits: Limits | None = None,
        costs: TradingCosts | None = None,
        aversion: float = 100.0,
    ) -> None:
        check_range("aversion", aversion, 0.0, math.inf, open_low=True)
        self.limits = limits or Limits()
        self.costs = costs or TradingCosts()
        self.aversion = aversion
        self.factors = factors
        self.sectors = np.array(sectors)
        self._build()

    def solve(self, question: Question, model: RiskModel) -> Answer:
        """Return the weights for one session.

        Where no weights meet all limits, turnover is given up first, then sector, then net, and
        the answer says so. Gross, name, participation and shortable never are: a name whose
        position cannot come within its limit in one session is sold as fast as participation
        allows, and a gross exposure that cannot is brought as low as can be. Where the solver
        fails, what is held stays, or is only reduced where it breaks a limit of these.

        Raises PortfolioError where the arrays do not fit or hold NaN.
        """
        self._check(question, model)
        bounds = _bounds(question, self.limits)
        self._set(question, model, bounds)
        relaxed: list[str] = []
        for given_up in (None, *_RELAXED):
            if given_up is not None:
                relaxed.append(given_up)
                getattr(self, f"_{given_up}").value = bounds.unbounded
            status = self._solve_once()
            if status != "infeasible":
                break
        if status != "optimal":
            why = "the solver failed" if status == "failed" else "no weights keep the hard limits"
            return self._without_solver(question, model, bounds, why)
        notes = list(bounds.notes)
        if relaxed:
            notes.append(
                f"no weights met all limits: {', '.join(relaxed)} given up for this session"
            )
        weights = np.array(self._weights.value, dtype=np.float64)
        weights = np.clip(weights, bounds.low, bounds.high)
        still = np.abs(weights - question.held) < 1e-7
        weights = np.where(still, question.held, weights)
        return Answer(
            weights=weights,
            outcome="relaxed" if relaxed else "optimal",
            relaxed=tuple(relaxed),
            notes=tuple(notes),
            prices=self._prices(question, bounds),
            cost=expected_cost(question, weights, self.costs),
            risk=math.sqrt(model.variance(weights)),
        )

    def _build(self) -> None:
        cp = _cvxpy()
        n = len(self.sectors)
        labels = np.unique(self.sectors)
        member = (labels[:, None] == self.sectors).astype(np.float64)
        self._weights = cp.Variable(n)
        size = cp.Variable(n)
        traded = cp.Variable(n)
        shared = cp.Variable(self.factors)
        self._forecast = cp.Parameter(n)
        self._root = cp.Parameter((self.factors, n))
        self._specific = cp.Parameter(n, nonneg=True)
        self._rate = cp.Parameter(n, nonneg=True)
        self._borrow = cp.Parameter(nonneg=True)
        self._impact = cp.Parameter(n, nonneg=True)
        self._held = cp.Parameter(n)
        self._low = cp.Parameter(n)
        self._high = cp.Parameter(n)
        self._gross = cp.Parameter(nonneg=True)
        self._net = cp.Parameter(nonneg=True)
        self._sector = cp.Parameter(nonneg=True)
        self._turnover = cp.Parameter(nonneg=True)
        weights = self._weights
        self._limited = {
            "gross": [cp.sum(size) <= self._gross],
            "net": [cp.sum(weights) <= self._net, cp.sum(weights) >= -self._net],
            "sector": [member @ weights <= self._sector, member @ weights >= -self._sector],
            "turnover": [cp.sum(traded) <= self._turnover],
        }
        self._bound = [weights <= self._high, weights >= self._low]
        constraints = [
            shared == self._root @ weights,
            size >= weights,
            size >= -weights,
            traded >= weights - self._held,
            traded >= self._held - weights,
            *self._bound,
            *(one for some in self._limited.values() for one in some),
        ]
        gain = self._forecast @ weights
        risk = cp.sum_squares(shared) + cp.sum_squares(cp.multiply(self._specific, weights))
        # The short side is half of what the gross exposure has more than the net one.
        short = (cp.sum(size) - cp.sum(weights)) / 2.0
        impact = cp.sum_squares(cp.multiply(self._impact, traded))
        cost = self._rate @ traded + impact + self._borrow * short
        self._problem: Any = cp.Problem(cp.Minimize(risk + cost - gain), constraints)

    def _check(self, question: Question, model: RiskModel) -> None:
        n = len(self.sectors)
        if model.exposures.shape != (n, self.factors):
            raise PortfolioError(
                f"a risk model of {model.exposures.shape[0]} names and "
                f"{model.exposures.shape[1]} factors does not fit a programme of {n} and "
                f"{self.factors}; make a new Programme"
            )
        for name in ("forecast", "held", "volume", "volatility", "allowed", "shortable", "most"):
            values = getattr(question, name)
            if values is None:
                continue
            if values.shape != (n,) or not np.isfinite(values).all():
                raise PortfolioError(
                    f"{name}: shape {values.shape} with "
                    f"{int((~np.isfinite(values)).sum())} values that are no numbers; give {n} "
                    "finite ones"
                )

    def _set(self, question: Question, model: RiskModel, bounds: _Bounds) -> None:
        scale = math.sqrt(_BASIS * self.aversion / 2.0)
        self._forecast.value = question.forecast * _BASIS
        self._root.value = model.root * scale
        self._specific.value = np.sqrt(model.specific) * scale
        linear, quadratic = IMPACT
        size = _impact_scale(question, self.costs) * _BASIS / question.horizon
        largest = np.maximum(bounds.largest, 1e-12)
        spread = self.costs.rate * _BASIS / question.horizon
        self._rate.value = spread + linear * size * np.sqrt(largest)
        self._impact.value = np.sqrt(quadratic * size / np.sqrt(largest))
        self._borrow.value = self.costs.borrow * _BASIS / 252.0
        self._held.value = question.held
        self._low.value = bounds.low
        self._high.value = bounds.high
        self._gross.value = bounds.gross
        self._net.value = self.limits.net * _INSIDE
        self._sector.value = self.limits.sector * _INSIDE
        self._turnover.value = self.limits.turnover * _INSIDE

    def _solve_once(self) -> Literal["optimal", "infeasible", "failed"]:
        cp = _cvxpy()
        try:
            # A solver that is warm remembers what was asked before, in its last digits.
            self._problem.solve(solver=cp.CLARABEL, warm_start=False, max_threads=1)
        except cp.error.SolverError:
            return "failed"
        status = self._problem.status
        if status in ("infeasible", "infeasible_inaccurate"):
            return "infeasible"
        solved = status == "optimal" and self._weights.value is not None
        return "optimal" if solved else "failed"

    def _prices(self, question: Question, bounds: _Bounds) -> dict[str, float]:
        found = {
            name: sum(float(np.abs(one.dual_value).sum()) for one in constraints)
            for name, constraints in self._limited.items()
        }
        # A name that is held fast has no price that a wider limit could earn.
        free = bounds.high > bounds.low
        by_name = np.abs(self._bound[0].dual_value) + np.abs(self._bound[1].dual_value)
        slow = np.abs(self._weights.value - question.held) >= bounds.most_traded * (1.0 - 1e-6)
        found["participation"] = float(by_name[free & slow].sum())
        found["name"] = float(by_name[free & ~slow].sum())
        return {name: price for name, price in found.items() if price > 1e-4}

    def _without_solver(
        self, question: Question, model: RiskModel, bounds: _Bounds, why: str
    ) -> Answer:
        weights = _reduced(question, bounds)
        changed = bool((weights != question.held).any())
        notes = (
            *bounds.notes,
            f"{why}: {'what breaks a hard limit is reduced' if changed else 'all is held'}",
        )
        return Answer(
            weights=weights,
            outcome="reduce-only" if changed else "hold",
            notes=notes,
            cost=expected_cost(question, weights, self.costs),
            risk=math.sqrt(model.variance(weights)),
        )


def expected_cost(question: Question, weights: Array, costs: TradingCosts) -> float:
    """Return spread, commission and square-root impact of a trade, as a fraction of equity."""
    traded = np.abs(weights - question.held)
    return float(costs.rate * traded.sum() + _impact_scale(question, costs) @ traded**1.5)


def _cvxpy() -> Any:
    # Its import takes a second, which only a desk should cost; its functions are untyped.
    import cvxpy

    return cvxpy


@dataclass(frozen=True, eq=False)
class _Bounds:
    """Hard limits of one session as the weights can keep them."""

    low: Array
    high: Array
    most_traded: Array
    largest: Array
    gross: float
    unbounded: float
    notes: tuple[str, ...]


def _bounds(question: Question, limits: Limits) -> _Bounds:
    most_traded = limits.participation * question.volume
    most = np.minimum(limits.name, limits.days_to_sell * most_traded)
    if question.most is not None:
        most = np.minimum(most, question.most)
    most = np.where(question.allowed, most, 0.0) * _INSIDE
    held = question.held
    high = most.copy()
    # A short that was opened while the name could be borrowed may stay, but not grow.
    low = np.where(question.shortable, -most, np.maximum(np.minimum(held, 0.0), -most))
    if question.reduce_only:
        high = np.minimum(high, np.maximum(held, 0.0))
        low = np.maximum(low, np.minimum(held, 0.0))
    # What one session cannot bring within its limit is reduced as far as it can be.
    slow = (high < held - most_traded) | (low > held + most_traded)
    low = np.clip(low, held - most_traded, held + most_traded)
    high = np.clip(high, held - most_traded, held + most_traded)
    frozen = most_traded <= 0.0
    least_gross = float(np.maximum(np.maximum(low, -high), 0.0).sum())
    gross = max(limits.gross * _INSIDE, least_gross * (1.0 + 1e-9))
    notes = []
    above = int((slow & question.allowed & ~frozen).sum())
    if above:
        notes.append(
            f"positions above their limit that one session cannot reduce to it: {above}; they "
            "are reduced as far as participation allows"
        )
    stuck = int((frozen & (held != 0.0)).sum())
    if stuck:
        notes.append(f"positions that cannot be traded, without a bar or volume: {stuck}")
    if gross > limits.gross:
        notes.append(
            f"gross exposure cannot come below {gross:.3f} in one session, limit {limits.gross:g}"
        )
    unbounded = 2.0 * (float(np.abs(held).sum()) + gross) + 1.0
    largest = np.maximum(high - held, held - low)
    return _Bounds(low, high, most_traded, np.maximum(largest, 0.0), gross, unbounded, tuple(notes))


def _reduced(question: Question, bounds: _Bounds) -> Array:
    """Return what is held, reduced where it breaks a hard limit and as far as that needs."""
    held = question.held
    weights = np.clip(held, np.minimum(bounds.low, 0.0), np.maximum(bounds.high, 0.0))
    weights = np.where(np.sign(weights) * np.sign(held) < 0.0, 0.0, weights)
    weights = np.clip(weights, held - bounds.most_traded, held + bounds.most_traded)
    gross = float(np.abs(weights).sum())
    if gross > bounds.gross:
        aim = weights * (bounds.gross / gross)
        weights = np.clip(aim, held - bounds.most_traded, held + bounds.most_traded)
    return weights


def _impact_scale(question: Question, costs: TradingCosts) -> Array:
    """Return a of a name's impact cost a x trade^1.5, both in fractions of equity."""
    volume = np.where(question.volume > 0.0, question.volume, math.inf)
    return costs.impact * question.volatility / np.sqrt(volume)
