"""Several searches that share one budget of simulations."""

from __future__ import annotations

import math
from collections.abc import Sequence

from alphafoundry.research.mining import AlphaKey, Miner, Partner
from alphafoundry.research.proposals import Proposal

ROUNDS = 6
"""Rounds that a budget is spent in; each learns from those before it."""

SHARE_OF_NEXT = 0.75
"""What the next most promising search gets, compared with the one before it."""

PASSING = 0.5
"""Weight of a search whose best alpha can be submitted already."""


class Campaign:
    """Miners that take turns until the budget is spent.

    Each round spends an equal part of the budget. It is shared among the miners by rank: those
    whose best alpha cannot be submitted yet come before the others and the higher score before
    the lower, and each next one gets three quarters of the one before it. What a miner has no
    idea for goes to the others. Each may combine its alphas with the leaders of the others and
    with `partners`.

    Parameters
    ----------
    miners : one for each alpha to improve
    budget : simulations in the whole campaign
    partners : further alphas to combine with

    Attributes
    ----------
    left : simulations that may still be proposed
    """

    def __init__(
        self, miners: Sequence[Miner], budget: int, partners: Sequence[Partner] = ()
    ) -> None:
        self._miners = list(miners)
        self._partners = list(partners)
        self._each = max(1, math.ceil(budget / ROUNDS))
        self._taken: set[AlphaKey] = set()
        self.left = budget

    def __repr__(self) -> str:
        return f"Campaign({len(self._miners)} miners, {self.left} simulations left)"

    def ask(self) -> list[tuple[Miner, list[Proposal]]]:
        """Return the proposals of the next round by miner; empty when the campaign is over."""
        wanted = min(self._each, self.left)
        found: dict[int, list[Proposal]] = {}
        ranked = sorted(range(len(self._miners)), key=self._rank)
        given = self._shares(wanted, ranked)
        for number in [*ranked, *ranked]:
            missing = wanted - sum(map(len, found.values()))
            count = min(given.pop(number, missing), missing)
            for one in self._miners[number].ask(count, self._partners_of(number)):
                key = (one.canonical, one.settings)
                if key not in self._taken:
                    self._taken.add(key)
                    found.setdefault(number, []).append(one)
        self.left -= sum(map(len, found.values()))
        return [(self._miners[number], proposals) for number, proposals in found.items()]

    def _rank(self, number: int) -> tuple[bool, float, int]:
        leader = self._miners[number].leader
        score = leader.diagnosis.score
        return leader.diagnosis.passes, -math.inf if score is None else -abs(score), number

    def _shares(self, count: int, ranked: Sequence[int]) -> dict[int, int]:
        """Return miner to proposals, adding up to `count`, largest remainders first."""
        weights = [
            SHARE_OF_NEXT**place * (PASSING if self._rank(number)[0] else 1.0)
            for place, number in enumerate(ranked)
        ]
        exact = [count * weight / sum(weights) for weight in weights]
        whole = [int(share) for share in exact]
        by_remainder = sorted(range(len(exact)), key=lambda i: (whole[i] - exact[i], i))
        for i in by_remainder[: count - sum(whole)]:
            whole[i] += 1
        return dict(zip(ranked, whole, strict=True))

    def _partners_of(self, number: int) -> list[Partner]:
        others = [one.leader for i, one in enumerate(self._miners) if i != number]
        return [*others, *self._partners]
