"""How likely an agent's next tick is to fail or be missed, learned from the desk's own ticks.

A Beta rate says how often the agent fails after a tick that ended as its last one did; a logistic
regression moves it by what was seen last: failures in a row, how much of its time-out the last run
took, how late the last tick began, and how many of the other agents have just failed. With few
ticks it is the Beta rate. Nothing is decided by it: the status tells it, and system_health gives it
as a reason.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from alphafoundry.agents.hours import seconds
from alphafoundry.agents.schedule_file import OrchestratorSettings
from alphafoundry.store import Store
from alphafoundry.store.agent_tables import AgentDeskRow, AgentTickRow

Array = NDArray[np.float64]

WINDOW = 10_000
"""Ticks that are learned from: those that ran, failed or were missed, the newest."""

LIKELY = 0.5
"""A chance from which on it is told as a reason."""

LEAST_TICKS = 100
LEAST_FAILURES = 5
"""With fewer ticks or failures nothing is foretold."""

EVERY = 250
"""Ticks after which `foretold` learns anew."""

_FADE = 0.5 ** (1.0 / 100.0)
"""A tick of an agent counts half in its rate after a hundred ticks."""

PRIOR = 4.0
"""Ticks at the desk's own rate with which an agent's rate begins."""

JUST = 2 * 3600
"""Seconds in which the failure of another agent has just been."""

_MOST_IN_A_ROW = 4
_PENALTY = 2.0
_FEATURES = 6
_TRUST = np.array([0.0, 1.0, *[0.0] * (_FEATURES - 2)])
"""Weights before anything is seen: the rate alone, as it is."""

DECISIVE = ("ran", "failed", "missed")


@dataclass(frozen=True, slots=True)
class EndedTick:
    """A tick that ran, failed or was missed; seconds since 1970 of the desk's clock."""

    agent: str
    due_at: int
    claimed_at: int
    ended_at: int
    failed: bool


@dataclass(slots=True)
class _Rate:
    """How many ticks ended well and badly."""

    good: float = 0.0
    bad: float = 0.0

    def take(self, *, failed: bool, fade: float = 1.0) -> None:
        self.good = self.good * fade + (not failed)
        self.bad = self.bad * fade + failed


@dataclass(slots=True)
class _Seen:
    """What one agent's ended ticks say."""

    rates: dict[bool, _Rate] = field(default_factory=lambda: {False: _Rate(), True: _Rate()})
    in_a_row: int = 0
    duration: float = 0.0
    lateness: float = 0.0
    last_bad: int | None = None

    def take(self, tick: EndedTick, timeout: int) -> None:
        self.rates[self.in_a_row > 0].take(failed=tick.failed, fade=_FADE)
        # A tick that was missed took no time; what is known of the last run stays.
        if tick.ended_at > tick.claimed_at:
            self.duration = min((tick.ended_at - tick.claimed_at) / timeout, 1.0)
        self.lateness = min((tick.claimed_at - tick.due_at) / timeout, 1.0)
        if tick.failed:
            self.in_a_row += 1
            self.last_bad = tick.ended_at
        else:
            self.in_a_row, self.last_bad = 0, None


@dataclass
class History:
    """The ended ticks of a desk as features of the next ones.

    Attributes
    ----------
    timeouts : agent to its time-out in seconds; 60 where it is not there
    """

    timeouts: Mapping[str, int]
    _agents: dict[str, _Seen] = field(default_factory=dict)
    _every: dict[bool, _Rate] = field(default_factory=lambda: {False: _Rate(), True: _Rate()})

    def take(self, tick: EndedTick) -> None:
        """Learn of a tick that has ended."""
        seen = self._agents.setdefault(tick.agent, _Seen())
        self._every[seen.in_a_row > 0].take(failed=tick.failed)
        seen.take(tick, self.timeouts.get(tick.agent, 60))

    def features(self, agent: str, moment: int) -> list[float]:
        """Return what is known of an agent's next tick at a moment.

        1, the log-odds of its rate after a tick that ended as its last one, failures in a row,
        share of its time-out that the last run took, the same for its lateness, and the share of
        the other agents whose newest tick failed within two hours.
        """
        seen = self._agents.get(agent, _Seen())
        alike, own = self._every[seen.in_a_row > 0], seen.rates[seen.in_a_row > 0]
        every = (alike.bad + 0.5) / (alike.bad + alike.good + 1.0)
        rate = (own.bad + PRIOR * every) / (own.bad + own.good + PRIOR)
        others = [one for name, one in self._agents.items() if name != agent]
        bad = sum(one.last_bad is not None and moment - one.last_bad <= JUST for one in others)
        return [
            1.0,
            math.log(rate / (1.0 - rate)),
            float(min(seen.in_a_row, _MOST_IN_A_ROW)),
            seen.duration,
            seen.lateness,
            bad / len(others) if others else 0.0,
        ]


def examples(ticks: Iterable[EndedTick], history: History) -> Iterator[tuple[list[float], bool]]:
    """Yield (features, whether it failed) of each tick, from what had ended when it was due.

    `history` is left with all of them taken.
    """
    by_due = sorted(ticks, key=lambda tick: (tick.due_at, tick.agent))
    ended = deque(sorted(by_due, key=lambda tick: (tick.ended_at, tick.agent, tick.due_at)))
    for tick in by_due:
        while ended[0].ended_at <= tick.due_at and ended[0] is not tick:
            history.take(ended.popleft())
        yield history.features(tick.agent, tick.due_at), tick.failed
    for tick in ended:
        history.take(tick)


def fit(features: Array, failed: Array) -> Array:
    """Return the weights of a logistic regression with a normal prior about the plain rate.

    The mode of the posterior by Newton's steps (iteratively reweighted least squares; T. Hastie,
    R. Tibshirani and J. Friedman, "The Elements of Statistical Learning", section 4.4.1).

    Parameters
    ----------
    features : shape (n_ticks, 6), as `History.features`
    failed : 1 or 0, shape (n_ticks,)
    """
    weights = _TRUST.copy()
    for _ in range(25):
        chance = _chances(features, weights)
        slope = features.T @ (failed - chance) - _PENALTY * (weights - _TRUST)
        curvature = (features * (chance * (1.0 - chance))[:, None]).T @ features
        step = np.linalg.solve(curvature + _PENALTY * np.eye(_FEATURES), slope)
        # Far from the mode a whole step may pass it by.
        step *= min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))
        weights = weights + step
        if np.abs(step).max() < 1e-8:
            break
    return weights


def _chances(features: Array, weights: Array) -> Array:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(features @ weights, -30.0, 30.0))))


def foretold(ticks: Sequence[EndedTick], timeouts: Mapping[str, int]) -> tuple[Array, Array]:
    """Return the chance of each tick to fail as it was foretold before it, and what came (1 or 0).

    In the order of the due times, learned anew every 250 ticks from the last 10,000 before; NaN
    while there were too few ticks or failures. For measuring: the mean of (chance - came)^2 is the
    Brier score.
    """
    found = list(examples(ticks, History(timeouts)))
    features = np.array([one for one, _ in found]).reshape(-1, _FEATURES)
    came = np.array([float(failed) for _, failed in found])
    chances = np.full(len(found), np.nan)
    for start in range(0, len(found), EVERY):
        first, end = max(start - WINDOW, 0), min(start + EVERY, len(found))
        if start >= LEAST_TICKS and came[first:start].sum() >= LEAST_FAILURES:
            weights = fit(features[first:start], came[first:start])
            chances[start:end] = _chances(features[start:end], weights)
    return chances, came


def failure_chances(store: Store, desk: AgentDeskRow, now: int) -> dict[str, float]:
    """Return agent to the chance that its next tick fails or is missed; empty with too few ticks.

    now : the desk's time
    """
    ticks = _newest(store, desk.name)
    if len(ticks) < LEAST_TICKS or sum(one.failed for one in ticks) < LEAST_FAILURES:
        return {}
    history = History(_timeouts(desk.schedule))
    found = list(examples(ticks, history))
    weights = fit(
        np.array([one for one, _ in found]), np.array([float(failed) for _, failed in found])
    )
    names = sorted({one.agent for one in ticks})
    given = np.array([history.features(name, now) for name in names]).reshape(-1, _FEATURES)
    return dict(zip(names, _chances(given, weights).tolist(), strict=True))


def told(chances: Mapping[str, float]) -> str:
    """Return which agents are likely to fail next, "" where none is."""
    likely = sorted((-chance, name) for name, chance in chances.items() if chance >= LIKELY)
    names = ", ".join(f"{name} ({-chance:.0%})" for chance, name in likely)
    return f"likely to fail next: {names}" if names else ""


def _timeouts(schedule: Mapping[str, Any]) -> dict[str, int]:
    """Return agent to its time-out in seconds, from a stored schedule."""
    usual = OrchestratorSettings.model_fields["default_timeout_minutes"].default
    usual = schedule.get("orchestrator", {}).get("default_timeout_minutes", usual)
    return {
        name: max(1, round(60 * (task.get("timeout_minutes") or usual)))
        for name, task in schedule.get("tasks", {}).items()
    }


def _newest(store: Store, desk: str) -> list[EndedTick]:
    query = (
        select(
            AgentTickRow.agent,
            AgentTickRow.due_at,
            AgentTickRow.claimed_at,
            AgentTickRow.ended_at,
            AgentTickRow.outcome,
        )
        .where(AgentTickRow.desk == desk, AgentTickRow.outcome.in_(DECISIVE))
        .order_by(AgentTickRow.position.desc())
        .limit(WINDOW)
    )
    with store.session() as session:
        return [
            EndedTick(agent, seconds(due), seconds(claimed), seconds(ended), outcome != "ran")
            for agent, due, claimed, ended, outcome in session.execute(query)
            if ended is not None
        ]
