"""What a desk tells: its ticks and why, orders, costs, equity, limits, truth, and its ledger."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from alphafoundry.agents.account import Totals
from alphafoundry.agents.floor import Evening
from alphafoundry.runs import Figure, Passage, Table
from alphafoundry.store import Store
from alphafoundry.store.agents import read_control_decisions
from alphafoundry.trading.portfolio import LiveStrategy

OUTCOMES = ("ran", "idle", "blocked", "missed", "failed")
RESEARCH = ("strategy_research", "model_innovation", "model_validation", "strategy_backtesting")
"""Agents whose time is told apart: they look for what to trade, and trade nothing."""


ONLY_SAFE = "only lessened risk"
"""What is told of a tick that ran, but might only do what lessens risk."""


@dataclass
class TickCount:
    """How the ticks of a desk ended, and what stood in the way of those that did less than all.

    Attributes
    ----------
    by_agent : agent to outcome to how many
    reasons : agent to (outcome, reason) to how many, of ticks that did not run, or ran only to
        lessen risk
    """

    by_agent: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    reasons: defaultdict[str, Counter[tuple[str, str]]] = field(
        default_factory=lambda: defaultdict(Counter)
    )

    def add(
        self, agent: str, outcome: str, reason: str, count: int = 1, *, only_safe: bool = False
    ) -> None:
        """Count ticks that ended alike."""
        self.by_agent[agent][outcome] += count
        if only_safe:
            self.reasons[agent][ONLY_SAFE, reason] += count
        elif outcome != "ran":
            self.reasons[agent][outcome, reason] += count

    def total(self, outcome: str | None = None) -> int:
        """Return how many ticks ended so, or all."""
        return sum(
            count.total() if outcome is None else count[outcome] for count in self.by_agent.values()
        )


def decision_lines(store: Store, desk: str) -> list[tuple[str, str, str, str]]:
    """Return (when, who, what, why) of a desk's changes of state, the newest last."""
    return [
        (
            f"{one.at:%Y-%m-%d %H:%M}",
            one.actor,
            f"{one.subject} {one.before} -> {one.after}",
            one.reason,
        )
        for one in reversed(read_control_decisions(store, desk))
    ]


@dataclass(frozen=True)
class DeskReport:
    """The report of a desk's sessions.

    Attributes
    ----------
    desk, label : its name and its market's
    ticks : how they ended
    evenings : sessions, the oldest first
    totals : of the account, compared with the broker
    strategies : that traded
    mode, mode_reason : state at the end
    decisions : (when, who, what, why) of changes of state
    risk : newest figures of risk_management
    synthetic : whether prices were generated
    began_with : equity in dollars
    seconds, cpu : processor seconds of the sessions, all and by agent
    preparing, research : processor seconds before them: of signals, programme and risk models, and
        of the search for strategies
    digest : of every row
    left_out : (key, why) of what the schedule asks for and nothing here gives
    clock : "simulated", "replay" of a past session, or "wall"
    """

    desk: str
    label: str
    ticks: TickCount
    evenings: Sequence[Evening]
    totals: Totals
    strategies: Sequence[LiveStrategy]
    mode: str
    mode_reason: str
    decisions: Sequence[tuple[str, str, str, str]]
    risk: Mapping[str, Any]
    synthetic: bool
    began_with: float
    seconds: float
    cpu: Mapping[str, float]
    digest: str
    preparing: float = 0.0
    research: float = 0.0
    left_out: Sequence[tuple[str, str]] = ()
    clock: str = "simulated"
    kind: str = "desk"
    version: int = 1
    key: str = "desk"

    @property
    def title(self) -> str:
        """Name of the run."""
        return f"Desk {self.desk}"

    @property
    def headline(self) -> str:
        """The market, and how many sessions."""
        return f"{self.label}; {len(self.evenings)} sessions closed, {self.clock} clock"

    @property
    def notes(self) -> Sequence[str]:
        """What is left out, and how to ask for more."""
        return (
            *(f"Left out: {key}: {why}" for key, why in self.left_out),
            "python -m flows.desk why AGENT tells about an agent's last ticks, status the rest; "
            "report writes the tear sheet",
        )

    @property
    def earned(self) -> float:
        """Dollars, after costs."""
        return self.evenings[-1].equity - self.began_with if self.evenings else 0.0

    @property
    def planted(self) -> float:
        """Dollars that planted effects were expected to earn on what was held overnight."""
        return sum(one.planted for one in self.evenings)

    def summary(self) -> Sequence[tuple[str, str]]:
        """Return (subject, sentence) pairs."""
        told = [
            ("ticks", self._told_ticks()),
            ("orders", self._told_orders()),
            ("costs", self._told_costs()),
            ("equity", self._told_equity()),
            ("limits", self._told_limits()),
            ("VaR test", str(self.risk.get("exceptions", "no position was measured"))),
        ]
        if self.synthetic:
            told.append(("truth", self._told_truth()))
        told.append(("ledger", self._told_ledger()))
        if self.clock == "simulated":
            told += [("speed", self._told_speed()), ("digest", self.digest[:16])]
        return told

    def tables(self) -> Sequence[Table]:
        """Return ticks by agent, their reasons, sessions, strategies, and decisions."""
        return (
            Table("Ticks", self._tick_rows(), wide="most often in the way"),
            Table("Sessions", self._session_rows()),
            Table("Strategies", self._strategy_rows(), wide="expression"),
            Table(
                "Changes of state",
                [
                    {"when": when, "by": who, "what": what, "why": why}
                    for when, who, what, why in self.decisions
                ],
                wide="why",
            ),
        )

    def figures(self) -> Sequence[Figure]:
        """Return no pictures."""
        return ()

    def passages(self) -> Sequence[Passage]:
        """Return every reason for which ticks did not run, or only to lessen risk."""
        lines = [
            f"{agent}: {count} {outcome}: {reason}"
            for agent, reasons in sorted(self.ticks.reasons.items())
            for (outcome, reason), count in reasons.most_common(10)
        ]
        return (Passage("What stood in the way of ticks", lines),) if lines else ()

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "kind": self.kind,
            "version": self.version,
            "desk": self.desk,
            "market": self.label,
            "synthetic": self.synthetic,
            "ticks": {agent: dict(count) for agent, count in self.ticks.by_agent.items()},
            "orders": dict(self.totals.orders),
            "fills": self.totals.fills,
            "costs": dict(self.totals.costs),
            "equity": self.evenings[-1].equity if self.evenings else self.began_with,
            "earned": self.earned,
            "planted": self.planted if self.synthetic else None,
            "differences": list(self.totals.differences),
            "mode": self.mode,
            "risk": dict(self.risk),
            "sessions": [
                {
                    "day": one.day.isoformat(),
                    "equity": one.equity,
                    "earned": one.earned,
                    "hypothetical": one.hypothetical,
                    "planted": one.planted,
                }
                for one in self.evenings
            ],
            "strategies": [one.alpha_id for one in self.strategies],
            "digest": self.digest,
        }

    def _told_ticks(self) -> str:
        parts = [
            f"{self.ticks.total(name):,} {name}" for name in OUTCOMES if self.ticks.total(name)
        ]
        return f"{self.ticks.total():,}: {', '.join(parts)}"

    def _told_orders(self) -> str:
        parts = [f"{count:,} {status}" for status, count in self.totals.orders.items() if count]
        told = (
            f"{sum(self.totals.orders.values()):,} ({', '.join(parts) or 'none'}), "
            f"{self.totals.fills:,} fills, ${self.totals.traded:,.0f} traded"
        )
        held = {
            why: count
            for (outcome, why), count in self.ticks.reasons.get("execution", {}).items()
            if outcome == ONLY_SAFE
        }
        if not held:
            return told
        most = max(held, key=held.__getitem__)
        return (
            f"{told}; in {sum(held.values()):,} of its ticks execution sent none that opens or "
            f"enlarges a position: {most}"
        )

    def _told_costs(self) -> str:
        costs = self.totals.costs
        parts = [f"{kind} ${amount:,.2f}" for kind, amount in costs.items()]
        return f"${sum(costs.values()):,.2f} ({', '.join(parts) or 'none'})"

    def _told_equity(self) -> str:
        if not self.evenings:
            return f"${self.began_with:,.2f}; no session has closed"
        share = self.earned / self.began_with
        return (
            f"${self.evenings[-1].equity:,.2f}, {self.earned:+,.2f} dollars ({share:+.2%}) "
            f"after costs; {len(self.evenings)} sessions say nothing about skill"
            if len(self.evenings) < 60
            else f"${self.evenings[-1].equity:,.2f}, {self.earned:+,.2f} dollars ({share:+.2%}) "
            "after costs"
        )

    def _told_limits(self) -> str:
        why = f": {self.mode_reason}" if self.mode_reason else ""
        seen = ", ".join(
            f"{name} {self.risk[name]:.2%}" for name in ("gross", "net", "var") if name in self.risk
        )
        return f"desk {self.mode}{why}" + (f"; {seen} of equity" if seen else "")

    def _told_truth(self) -> str:
        held = sum(one.hypothetical for one in self.evenings)
        if not held:
            return "nothing was held overnight"
        return (
            f"planted effects were expected to earn {self.planted:+,.2f} of the {held:+,.2f} "
            f"dollars that overnight positions earned before costs ({self.planted / held:.0%}); "
            "the rest is luck"
        )

    def _told_ledger(self) -> str:
        if self.totals.differences:
            return f"NOT reconciled: {'; '.join(self.totals.differences)}"
        return f"reconciled to $0.00 ({self.totals.compared})"

    def _told_speed(self) -> str:
        ticks = max(self.ticks.total(), 1)
        cpu = sum(self.cpu.values())
        searched = sum(self.cpu.get(agent, 0.0) for agent in RESEARCH)
        return (
            f"{len(self.evenings) / max(self.seconds, 1e-9):.2f} sessions a second, "
            f"{self.seconds / ticks * 1e6:.0f} us a tick, of which "
            f"{(self.seconds - cpu) / ticks * 1e6:.0f} beside the agents' own {cpu:.1f} s, "
            f"{searched:.1f} s of it research and models; before them research "
            f"{self.research:.1f} s, signals and models {self.preparing:.1f} s; all of processor "
            "time"
        )

    def _tick_rows(self) -> list[dict[str, str]]:
        cpu = sum(self.cpu.values()) or 1.0
        rows = []
        for agent, count in sorted(self.ticks.by_agent.items()):
            reasons = self.ticks.reasons[agent].most_common(1)
            why = f"{reasons[0][1]:,} {reasons[0][0][0]}: {reasons[0][0][1]}" if reasons else ""
            rows.append(
                {
                    "agent": agent,
                    **{name: f"{count[name]:,}" for name in OUTCOMES},
                    "CPU": f"{self.cpu.get(agent, 0.0) / cpu:.0%}",
                    "most often in the way": why,
                }
            )
        return rows

    def _session_rows(self) -> list[dict[str, str]]:
        return [
            {
                "session": one.day.isoformat(),
                "equity": f"{one.equity:,.2f}",
                "earned": f"{one.earned:+,.2f}",
                "overnight book": f"{one.hypothetical:+,.2f}",
                **({"planted": f"{one.planted:+,.2f}"} if self.synthetic else {}),
            }
            for one in self.evenings[-20:]
        ]

    def _strategy_rows(self) -> list[dict[str, str]]:
        return [
            {
                "alpha": one.alpha_id,
                "verdict": f"{one.verdict}, seeded" if one.seeded else one.verdict,
                "data until": one.data_until.isoformat(),
                "expression": one.expression,
            }
            for one in self.strategies
        ]
