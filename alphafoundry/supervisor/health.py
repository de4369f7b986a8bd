"""Health of a process from 0 to 1: a product of factors, each of which can be shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

SOFT = 0.8
"""Share of a limit up to which memory and processor count as well."""

HARD = 1.1
LEAST_TREND = 0.2
BEATS = 3.0
"""Periods without a sign of life after which the factor is 0."""

MENDABLE = ("ready", "beat", "probes", "memory")
"""Factors that a restart can mend; the others are shown and decide nothing."""


@dataclass(frozen=True)
class Signs:
    """What is known of a process; None is left out.

    Attributes
    ----------
    ready : whether it is, None while that cannot be known yet
    crashes : unasked restarts within the window
    beat : seconds since the last sign of life over the time in which one is due
    memory, cpu : share of the limit, mean of a minute
    errors : lines that matched within ten minutes, of this life
    probes : passed and made, of the last ten
    hours_to_limit : until memory that rises meets its limit
    leak_horizon : hours below which that counts
    """

    ready: bool | None = None
    crashes: int = 0
    max_restarts: int = 50
    beat: float | None = None
    memory: float | None = None
    cpu: float | None = None
    errors: int = 0
    probes: tuple[int, int] | None = None
    hours_to_limit: float | None = None
    leak_horizon: float = 6.0


@dataclass(frozen=True)
class Health:
    """A score with its factors; None while it cannot be known.

    Attributes
    ----------
    score : product of all factors
    mendable : product of those that a restart can mend; this one is compared with the threshold
    """

    score: float | None
    mendable: float | None
    factors: Mapping[str, float]

    @property
    def worst(self) -> str:
        """The factor that takes most, "" where none takes anything."""
        name, value = min(self.factors.items(), key=lambda one: one[1], default=("", 1.0))
        return name if value < 1 else ""


def health(signs: Signs) -> Health:
    """Return the health that the signs give.

    ready x (1 - crashes / (max_restarts + 1)) x beat x memory x cpu x errors x probes x trend,
    each in [0, 1]; beat falls from 1 at one period to 0 at three, memory and cpu from 1 at 80 % of
    the limit to 0 at 110 %, errors is 1 / (1 + n / 10), trend at least 0.2.
    """
    if signs.ready is None:
        return Health(None, None, {})
    factors = {
        "ready": 1.0 if signs.ready else 0.0,
        "crashes": _within(1 - signs.crashes / (signs.max_restarts + 1)),
        "errors": 1 / (1 + signs.errors / 10),
    }
    if signs.beat is not None:
        factors["beat"] = _falling(signs.beat, 1.0, BEATS)
    if signs.memory is not None:
        factors["memory"] = _falling(signs.memory, SOFT, HARD)
    if signs.cpu is not None:
        factors["cpu"] = _falling(signs.cpu, SOFT, HARD)
    if signs.probes is not None and signs.probes[1]:
        factors["probes"] = signs.probes[0] / signs.probes[1]
    if signs.hours_to_limit is not None:
        factors["trend"] = max(LEAST_TREND, _within(signs.hours_to_limit / signs.leak_horizon))
    mendable = prod(factors[name] for name in MENDABLE if name in factors)
    return Health(prod(factors.values()), mendable, factors)


def _within(value: float) -> float:
    return min(1.0, max(0.0, value))


def _falling(value: float, first: float, last: float) -> float:
    """Return 1 up to `first`, 0 from `last`, and a straight line between."""
    return _within((last - value) / (last - first))


def told(found: Health) -> str:
    """Return the score with its factors as a sentence, for `--explain`."""
    if found.score is None:
        return "unknown until it is ready"
    parts = " x ".join(f"{name} {value:.2f}" for name, value in found.factors.items())
    return f"{found.score:.2f} = {parts}; {found.mendable:.2f} of it a restart could mend"
