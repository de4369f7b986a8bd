"""Stop-losses and what follows them: cooldown, guard and drawdown lock."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from alphafoundry.errors import PortfolioError
from alphafoundry.finance.costs import check_range
from alphafoundry.finance.statistics import under_water


@dataclass(frozen=True)
class StopRules:
    """When positions are cut; fractions and sessions.

    Attributes
    ----------
    stop_loss : a position is closed where the last close is this far against its mean price of
        entry; None for no stops
    cooldown : sessions for which a stopped name is not opened again
    guard_stops, guard_sessions : with so many stops within so many sessions nothing new is
        opened for `cooldown` sessions; 0 stops for no guard
    drawdown : fall of equity from its peak within `drawdown_sessions` that locks the desk, so
        that positions only shrink, for `lock` sessions; None for no lock
    """

    stop_loss: float | None = 0.15
    cooldown: int = 5
    guard_stops: int = 8
    guard_sessions: int = 5
    drawdown: float | None = 0.08
    drawdown_sessions: int = 60
    lock: int = 5

    def __post_init__(self) -> None:
        for name in ("stop_loss", "drawdown"):
            value = getattr(self, name)
            if value is not None:
                check_range(name, value, 0.0, 1.0, open_low=True)
        for name in ("cooldown", "guard_stops", "guard_sessions", "drawdown_sessions", "lock"):
            check_range(name, getattr(self, name), 0, math.inf)


@dataclass(frozen=True)
class Position:
    """Whole shares, below 0 is short, and their mean price of entry in dollars."""

    shares: int
    entry: float


@dataclass(frozen=True)
class Stop:
    """A position that was stopped: on the close of `day`, to be closed at the next open."""

    symbol: str
    day: date
    shares: int
    move: float

    def __str__(self) -> str:
        return f"{self.symbol}: stopped on {self.day} after {self.move:+.1%}, closes at the open"


@dataclass(frozen=True)
class StopDecision:
    """What the rules say on one evening.

    Attributes
    ----------
    stops : new ones: positions to close at the next open
    cooling : symbols that may not be opened
    reduce_only : whether nothing may be opened or grown, by the guard or the lock
    reasons : one sentence for the guard, one for the lock
    """

    stops: tuple[Stop, ...]
    cooling: frozenset[str]
    reduce_only: bool
    reasons: tuple[str, ...]

    @property
    def most_shares(self) -> dict[str, int]:
        """Symbol to the most shares that the rules leave, 0 for each; for the rebalancing."""
        return dict.fromkeys(sorted(self.cooling), 0)


def judge_stops(
    rules: StopRules,
    *,
    sessions: Sequence[date],
    positions: Mapping[str, Position],
    closes: Mapping[str, float],
    past_stops: Sequence[Stop],
    returns: Sequence[float],
) -> StopDecision:
    """Return what is stopped on the last of `sessions` and what earlier stops still forbid.

    On daily bars a stop acts on a close and trades at the next open: a move within the day is
    not seen, and a gap costs more than the stop. A name that was stopped that day and not yet
    sold is not stopped twice.

    Parameters
    ----------
    sessions : trading days up to now, ascending
    positions : symbol to what is held after the session
    closes : symbol to the session's close, in the unit of the entry (adjust the entry for splits
        and dividends); a name without one is not judged
    past_stops : earlier ones, in any order; the caller keeps them
    returns : net, of the desk's equity, one for each session from some day on, oldest first

    Raises PortfolioError where there is no session.
    """
    if not sessions:
        raise PortfolioError("stops: no session was given; give the trading days up to today")
    today = sessions[-1]
    # Whatever was before is beyond all rules, however long the desk has traded.
    reach = max(rules.cooldown, 1) + rules.guard_sessions
    ago = {day: number for number, day in enumerate(reversed(sessions[-reach:]))}
    recent = [one for one in past_stops if one.day in ago]
    stops = tuple(_stopped(rules, today, positions, closes, recent))
    recent += stops
    cooling = frozenset(one.symbol for one in recent if ago[one.day] < max(rules.cooldown, 1))
    reasons = []
    guarded = _guard(rules, [ago[one.day] for one in recent])
    if guarded is not None:
        reasons.append(guarded)
    locked = _lock(rules, returns)
    if locked is not None:
        reasons.append(locked)
    return StopDecision(stops, cooling, bool(reasons), tuple(reasons))


def _stopped(
    rules: StopRules,
    today: date,
    positions: Mapping[str, Position],
    closes: Mapping[str, float],
    past_stops: Sequence[Stop],
) -> list[Stop]:
    if rules.stop_loss is None:
        return []
    waiting = {one.symbol for one in past_stops if one.day == today}
    found = []
    for symbol, held in sorted(positions.items()):
        close = closes.get(symbol, math.nan)
        if not held.shares or symbol in waiting or not math.isfinite(close):
            continue
        move = math.copysign(1.0, held.shares) * (close / held.entry - 1.0)
        # 90 over 100 less 1 is a rounding above -0.1.
        if move <= -rules.stop_loss + 1e-9:
            found.append(Stop(symbol, today, -held.shares, move))
    return found


def _guard(rules: StopRules, ages: Sequence[int]) -> str | None:
    """Return the reason where some day of the last `cooldown` sessions saw too many stops."""
    if not rules.guard_stops:
        return None
    for ago in range(max(rules.cooldown, 1)):
        within = sum(ago <= age < ago + rules.guard_sessions for age in ages)
        if within >= rules.guard_stops:
            return (
                f"{within} stops within {rules.guard_sessions} sessions (limit "
                f"{rules.guard_stops}): nothing is opened for {rules.cooldown} sessions"
            )
    return None


def _lock(rules: StopRules, returns: Sequence[float]) -> str | None:
    """Return the reason where some day of the last `lock` sessions ended too far below its peak."""
    if rules.drawdown is None:
        return None
    known = np.asarray(returns, dtype=np.float64)
    for ago in range(max(rules.lock, 1)):
        until = len(known) - ago
        window = known[max(until - rules.drawdown_sessions, 0) : max(until, 0)]
        fall = -float(under_water(window)[-1]) if len(window) else 0.0
        if fall >= rules.drawdown:
            return (
                f"equity fell {fall:.1%} below its peak of {rules.drawdown_sessions} sessions "
                f"(limit {rules.drawdown:.1%}): positions only shrink for {rules.lock} sessions"
            )
    return None
