"""From weights to whole shares: rounding, what is too small, what crosses zero."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alphafoundry.trading.portfolio.programme import Limits

Array = NDArray[np.float64]
Whole = NDArray[np.int64]

MICRO = 1_000_000
"""Parts of an order are whole millionths of a share, so that they add up exactly."""

STEPS = ("rounding", "flip", "participation", "minimum trade", "net repair")


@dataclass(frozen=True, eq=False)
class Shares:
    """Whole shares to hold after the session, and what each step changed.

    Attributes
    ----------
    target : shape (n_instruments,)
    deferred : shares of the other sign that wait for the next session, since a position that
        crosses zero is closed today
    steps : name in `STEPS` to the change that it made, millionths of a share
    exact : what the weights ask for, millionths of a share
    notes : what a person should know
    """

    target: Whole
    deferred: Whole
    steps: dict[str, Whole]
    exact: Whole
    notes: tuple[str, ...]


def whole_shares(
    weights: Array,
    held_weights: Array,
    held: Whole,
    *,
    equity: float,
    price: Array,
    dollar_volume: Array,
    limits: Limits,
) -> Shares:
    """Return the whole shares that come nearest to `weights` without passing them.

    In this order: targets are rounded towards zero; a position that crosses zero is closed and
    opened next session; trades are cut to the participation limit; orders below the minimum are
    dropped, unless they close a position or dropping them leaves a name or the gross exposure
    above its limit; and where rounding and flips leave the net exposure beyond its limit (and
    beyond what the weights have), this session's orders on the heavier side are cut.

    Parameters
    ----------
    weights, held_weights : wanted and present, fractions of equity; where they are the same
        number nothing is traded
    held : shares, after today's splits
    equity : dollars
    price : dollars a share, last close less today's dividend, over today's split; NaN cannot be
        traded
    dollar_volume : of a mean day; 0 cannot be traded
    """
    priced = np.isfinite(price) & (price > 0.0)
    tradable = priced & (dollar_volume > 0.0)
    mark = np.where(priced, price, 0.0)
    value = np.where(tradable, price, 1.0)
    wanted = np.where(tradable & (weights != held_weights), weights * equity / value, held)
    exact = np.rint(wanted * MICRO).astype(np.int64)
    # The tolerance is that of the solver: 99.9999999 shares are 100.
    target = np.trunc(wanted + np.sign(wanted) * 1e-6).astype(np.int64)
    steps = {"rounding": target * MICRO - exact}
    deferred = np.where(target * held < 0, target, 0)
    target, steps["flip"] = _take(target, np.where(deferred != 0, 0, target))
    most = np.floor(limits.participation * np.where(tradable, dollar_volume, 0.0) / value)
    room = most.astype(np.int64)
    target, steps["participation"] = _take(target, np.clip(target, held - room, held + room))
    kept = _without_small(target, held, mark, equity, limits)
    target, steps["minimum trade"] = _take(target, kept)
    bound = max(limits.net, abs(float(weights.sum()))) * equity
    repaired, note = _repaired(target, held, mark, bound)
    target, steps["net repair"] = _take(target, repaired)
    return Shares(target, deferred, steps, exact, note)


def _take(before: Whole, after: Whole) -> tuple[Whole, Whole]:
    return after, (after - before) * MICRO


def _without_small(
    target: Whole, held: Whole, price: Array, equity: float, limits: Limits
) -> Whole:
    change = target - held
    small = (np.abs(change) * price < limits.minimum_trade) & (target != 0)
    kept = np.where(small, held, target)
    reducing = np.abs(target) < np.abs(held)
    above = np.abs(kept) * price > limits.name * equity
    kept = np.where(small & reducing & above, target, kept)
    if float(np.abs(kept) @ price) > limits.gross * equity:
        kept = np.where(small & reducing, target, kept)
    return kept


def _repaired(
    target: Whole, held: Whole, price: Array, bound: float
) -> tuple[Whole, tuple[str, ...]]:
    """Return targets whose net exposure is within `bound` dollars, by cutting orders."""
    net = float(target @ price)
    excess = abs(net) - bound
    if excess <= 0.0:
        return target, ()
    side = 1 if net > 0.0 else -1
    found = target.copy()
    change = (target - held) * side
    # Orders that reduce the other side may be needed for its own limits.
    candidates = np.flatnonzero((change > 0) & (target * side > 0))
    # The dearest first, so that few orders are cut.
    for i in candidates[np.argsort(-price[candidates], kind="stable")]:
        if excess <= 0.0:
            break
        cut = min(int(change[i]), int(np.floor(excess / price[i])))
        found[i] -= side * cut
        excess -= cut * float(price[i])
    for i in candidates[np.argsort(price[candidates], kind="stable")]:
        if excess <= 0.0:
            break
        if (found[i] - held[i]) * side > 0:
            found[i] -= side
            excess -= float(price[i])
    if excess <= 0.0:
        return found, ()
    return found, (
        f"net exposure stays ${excess:,.0f} beyond its limit until the next session: what closes "
        "today on one side opens on the other then",
    )
