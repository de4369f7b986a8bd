"""What the ticks of an agent say about it: health, failures in a row, and the way back.

An agent's state is folded from its ticks, one by one; the store keeps it beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["ran", "failed", "idle", "blocked", "missed"]

HALF_LIFE = 20
"""Intervals after which a tick counts half."""

NEW = 0.05
"""With less weight than this, an agent's ticks are forgotten and it counts as new."""

COOL_DOWN = 5
"""Intervals that an agent rests after its threshold, the first time."""

LONGEST_COOL_DOWN = 86_400
TAKEN_WEIGHT = 0.1
"""Of the newest run in how long an agent's runs take."""

LATE_WEIGHT = 0.2
"""Of the newest tick in how late an agent's ticks begin."""

MOST_LATE = 2.0
LATE_BELIEVED = 10
"""Intervals for which lateness is believed: of an agent that begins no more it says nothing."""

NOT_LATE = 0.005
"""Intervals; what is later or less late counts as this much, or as nothing."""

RECENT = 20
LEAST_RECENT = 5


@dataclass(slots=True)
class AgentState:
    """What is known of one agent.

    Attributes
    ----------
    interval : seconds between its ticks, as health ages by it
    since : moment of its last tick, to which the weights are aged
    successes, failures : weights of its ran ticks; each halves in 20 intervals
    last_success, last_ok : moments of its last success, and of its last success or idle tick
    missed_since_ok : ticks since then that it should have run and did not, or failed
    ticks : eligible ticks so far
    failures_in_row : reset by a success
    tripped_at : when it reached its error threshold, None while it may run
    cool_down : seconds of rest at present; doubles with each failed probe, up to a day
    recent : its last 20 ran ticks, a letter each, the newest last: success, long success, failure
    fills_seen : fills of the desk at its last success
    score : of its last run where it gives one
    inputs_version : what its last run worked on
    paused : reason why a person or the desk paused it, None where nobody did
    late : how late its ticks begin, as a share of its interval; the last ones count most
    late_at : when its newest tick began while it was so late
    took : seconds of the desk's clock that its runs take; the last ones count most, None before one
    stretch : only every so manieth of its ticks runs, 1 is each; meta_control stretches under load
    """

    interval: float
    since: int = 0
    successes: float = 0.0
    failures: float = 0.0
    last_success: int | None = None
    last_ok: int | None = None
    missed_since_ok: int = 0
    ticks: int = 0
    failures_in_row: int = 0
    tripped_at: int | None = None
    cool_down: float = 0.0
    recent: str = ""
    fills_seen: int = 0
    score: float | None = None
    inputs_version: str | None = None
    paused: str | None = None
    late: float = 0.0
    late_at: int = 0
    stretch: int = 1
    took: float | None = None

    def health(self, now: int) -> float:
        """Return success / (success + failure), the older the less; 1 for a new agent."""
        if not self.failures:
            return 1.0
        aged = 0.5 ** ((now - self.since) / (HALF_LIFE * self.interval))
        total = self.successes + self.failures
        return self.successes / total if total * aged >= NEW else 1.0

    @property
    def is_new(self) -> bool:
        """Whether it never ran."""
        return not self.recent

    @property
    def success_rate(self) -> float | None:
        """Share of successes in its last 20 ran ticks, one that took too long as half of one.

        None with fewer than five.
        """
        if len(self.recent) < LEAST_RECENT:
            return None
        good = self.recent.count("s") + 0.5 * self.recent.count("l")
        return good / len(self.recent)

    def probe_at(self) -> float | None:
        """Return when a tripped agent may try once, None where it is not tripped."""
        return None if self.tripped_at is None else self.tripped_at + self.cool_down

    @property
    def is_steady(self) -> bool:
        """Whether one more success or idle tick changes nothing that a gate looks at."""
        return not self.failures and not self.missed_since_ok and self.last_ok is not None

    def lateness(self, now: int) -> float:
        """Return how late its ticks begin; 0 where none has begun for ten intervals."""
        return self.late if now - self.late_at <= LATE_BELIEVED * self.interval else 0.0

    def begins(self, now: int, seconds_late: int) -> None:
        """Take in how late a tick begins."""
        if seconds_late > 0 or self.late:
            self.late_at = now
            share = min(seconds_late / self.interval, MOST_LATE)
            late = round(self.late + LATE_WEIGHT * (share - self.late), 3)
            self.late = late if late > NOT_LATE else 0.0

    def fold(
        self,
        outcome: Outcome,
        moment: int,
        *,
        error_threshold: int | None = None,
        eligible: bool = True,
        too_long: bool = False,
        took: float | None = None,
    ) -> bool:
        """Take one ended tick into the state; return whether it tripped the agent.

        Parameters
        ----------
        outcome : how it ended
        moment : when, in seconds since 1970
        error_threshold : failures in a row at which the agent rests; None has no threshold
        eligible : False where its own market condition did not hold, which is nobody's fault
        too_long : whether it ran longer than it should, which counts as half a success
        took : seconds that it ran, where that is known
        """
        if not eligible:
            return False
        self.ticks += 1
        if outcome == "idle":
            self.last_ok, self.missed_since_ok = moment, 0
            return False
        if outcome != "ran":
            self.missed_since_ok += 1
        if outcome not in ("ran", "failed"):
            return False
        self._age(moment)
        if took is not None:
            before = took if self.took is None else self.took
            self.took = round(before + TAKEN_WEIGHT * (took - before), 3)
        if outcome == "ran":
            self.successes += 1.0
            self.last_success = self.last_ok = moment
            self.missed_since_ok = self.failures_in_row = 0
            self.tripped_at, self.cool_down = None, 0.0
            self.recent = (self.recent + ("l" if too_long else "s"))[-RECENT:]
            return False
        self.failures += 1.0
        self.failures_in_row += 1
        self.recent = (self.recent + "f")[-RECENT:]
        if error_threshold is None or self.failures_in_row < error_threshold:
            return False
        first = self.cool_down == 0.0
        wanted = COOL_DOWN * self.interval if first else 2.0 * self.cool_down
        self.cool_down = min(wanted, max(LONGEST_COOL_DOWN, self.interval))
        self.tripped_at = moment
        return first

    def _age(self, moment: int) -> None:
        if moment > self.since:
            aged = 0.5 ** ((moment - self.since) / (HALF_LIFE * self.interval))
            self.successes *= aged
            self.failures *= aged
            self.since = moment
