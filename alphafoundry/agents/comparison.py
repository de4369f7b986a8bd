"""Two desks side by side: one as it was, and the same without an agent, a limit or a cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from alphafoundry.finance.statistics import under_water
from alphafoundry.runs import Figure, Passage, Table

Plain = Mapping[str, Any]


@dataclass(frozen=True)
class DeskComparison:
    """A desk and its counterfactual, from their reports as plain values (`DeskReport.to_json`).

    Attributes
    ----------
    before, after : reports of the desk as it was, and without what was left out
    without : names of what was left out
    """

    before: Plain
    after: Plain
    without: Sequence[str]
    kind: str = "desk comparison"
    version: int = 1
    key: str = "desk-comparison"

    @property
    def title(self) -> str:
        """Name of the comparison."""
        return f"Desk {self.before['desk']} without {self._names()}"

    @property
    def headline(self) -> str:
        """The market, and how many sessions."""
        return f"{self.before['market']}; {len(self.before['sessions'])} sessions"

    @property
    def notes(self) -> Sequence[str]:
        """What it says, and what not."""
        return (
            f"Both have the same market, seed and strategies. {self.before['desk']} stands as it "
            f"was stored; python -m flows.desk replay {self.before['desk']} tells whether this "
            "version still makes it so",
            f"python -m flows.desk report {self.after['desk']} writes the other's tear sheet",
        )

    @property
    def comparable(self) -> bool:
        """Whether both have closed the same sessions, so that their totals can be set apart."""
        return list(_earned(self.before)) == list(_earned(self.after))

    @property
    def differences(self) -> Sequence[float]:
        """Dollars that each session earned more without it, of those that both have closed."""
        return [other - one for _, one, other in self._earned()]

    @property
    def error(self) -> float | None:
        """Standard error of the sum of `differences`, sessions taken as independent; dollars.

        None with fewer than two sessions, and where one desk has closed fewer than the other.
        """
        found = self.differences
        if len(found) < 2 or not self.comparable:
            return None
        return float(np.std(found, ddof=1)) * math.sqrt(len(found))

    def summary(self) -> Sequence[tuple[str, str]]:
        """Return (subject, sentence) pairs."""
        closed, of = len(self.after["sessions"]), len(self.before["sessions"])
        if not self.comparable:
            return [
                (
                    "sessions",
                    f"without {self._names()} only {closed} of {of} sessions were closed: the desk "
                    "cannot do without, and no totals are set apart",
                )
            ]
        parted = self._parted()
        if parted is None:
            return [("same", f"no session differs by a cent without {self._names()}")]
        apart = sum(self.differences)
        error = "" if self.error is None else f", give or take {self.error:,.2f} (standard error)"
        return [
            (
                "difference",
                f"without {self._names()} the desk earned {abs(apart):,.2f} dollars "
                f"{'more' if apart > 0 else 'less'}{error}",
            ),
            ("parted", f"the first session that differs is {parted}"),
        ]

    def tables(self) -> Sequence[Table]:
        """Return the figures side by side, and the sessions that differ most."""
        names = (str(self.before["desk"]), str(self.after["desk"]))
        return (
            Table(
                "Side by side",
                [
                    {"figure": figure, names[0]: one, names[1]: other, "difference": apart}
                    for figure, one, other, apart in self._told()
                ],
            ),
            Table("Sessions that differ most", self._sessions()),
        )

    def figures(self) -> Sequence[Figure]:
        """Return no pictures."""
        return ()

    def passages(self) -> Sequence[Passage]:
        """Return nothing."""
        return ()

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "kind": self.kind,
            "version": self.version,
            "desk": self.before["desk"],
            "counterfactual": self.after["desk"],
            "without": list(self.without),
            "market": self.before["market"],
            "synthetic": self.before["synthetic"],
            "difference": self.after["earned"] - self.before["earned"] if self.comparable else None,
            "error": self.error,
            "parted": self._parted(),
            "figures": [
                {"figure": name, "before": one, "after": other, "unit": unit}
                for name, one, other, unit in self._figures()
            ],
            "sessions": [
                {"day": day, "before": one, "after": other} for day, one, other in self._earned()
            ],
        }

    def _names(self) -> str:
        return " and ".join(self.without)

    def _parted(self) -> str | None:
        """Return the first day that differs by a cent, None where none does."""
        return next((day for day, one, other in self._earned() if abs(other - one) >= 0.01), None)

    def _earned(self) -> list[tuple[str, float, float]]:
        """Return (day, dollars before, dollars after) of each session that both have closed."""
        one, other = _earned(self.before), _earned(self.after)
        return [(day, one[day], amount) for day, amount in other.items() if day in one]

    def _figures(self) -> list[tuple[str, float, float, str]]:
        """Return (figure, before, after, unit)."""
        one, other = _measures(self.before), _measures(self.after)
        return [
            (name, one.get(name, (0.0, unit))[0], other.get(name, (0.0, unit))[0], unit)
            for name, (_, unit) in {**one, **other}.items()
        ]

    def _told(self) -> list[tuple[str, str, str, str]]:
        return [
            (
                name,
                _shown(one, unit),
                _shown(other, unit),
                _shown(other - one, unit, sign="+") if self.comparable else "",
            )
            for name, one, other, unit in self._figures()
        ]

    def _sessions(self) -> list[dict[str, str]]:
        rows = sorted(self._earned(), key=lambda row: -abs(row[2] - row[1]))
        return [
            {
                "session": day,
                "earned": f"{one:+,.2f}",
                "earned without it": f"{other:+,.2f}",
                "difference": f"{other - one:+,.2f}",
            }
            for day, one, other in rows[:10]
            if abs(other - one) >= 0.01
        ]


def _earned(report: Plain) -> dict[str, float]:
    """Return day to the change of equity since the session before; dollars.

    They add to what the desk earned.
    """
    equity = [one["equity"] for one in report["sessions"]]
    began = report["equity"] - report["earned"]
    changes = np.diff([began, *equity]).tolist()
    return {one["day"]: change for one, change in zip(report["sessions"], changes, strict=True)}


def _measures(report: Plain) -> dict[str, tuple[float, str]]:
    """Return figure to its value and unit, of one report."""
    equity = np.array([one["equity"] for one in report["sessions"]])
    began = report["equity"] - report["earned"]
    found = {
        "equity": (report["equity"], "$"),
        "earned": (report["earned"], "$"),
        "return": (report["earned"] / began, "%"),
    }
    if len(equity) > 1:
        path = np.concatenate(([began], equity))
        returns = path[1:] / path[:-1] - 1.0
        found["deepest drawdown"] = (float(under_water(returns).min()), "%")
        found["deviation of a session"] = (float(np.std(returns)), "%")
    if report["planted"] is not None:
        found["of planted effects, before costs"] = (report["planted"], "$")
    found["costs"] = (sum(report["costs"].values()), "$")
    found |= {f"  {kind}": (amount, "$") for kind, amount in report["costs"].items()}
    found["orders"] = (sum(report["orders"].values()), "")
    found["fills"] = (report["fills"], "")
    for outcome in ("ran", "failed"):
        total = sum(count.get(outcome, 0) for count in report["ticks"].values())
        found[f"ticks {outcome}"] = (total, "")
    return found


def _shown(value: float, unit: str, *, sign: str = "") -> str:
    if unit == "%":
        return f"{value:{sign}.3%}"
    return f"{value:{sign},.2f}" if unit == "$" else f"{value:{sign},.0f}"
