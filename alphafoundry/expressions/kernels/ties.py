"""Other rules for equal values than the mean of their ranks."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from alphafoundry.compilation import FloatPanel, GroupPanel, kernel

Row = NDArray[np.float64]


@kernel
def _resolved(size: int, member: int, rule: int) -> float:
    """Return how far a member of `size` equal cells lies from the mean of their ranks."""
    half = 0.5 * (size - 1)
    if rule == 1:
        return -half
    return half if rule == 2 else member - half


@kernel
def _resolve(ranks: Row, members: NDArray[np.int64], rule: int, out: Row) -> None:
    """Write the ranks of a group's members, which are in the order of their ranks."""
    count = members.shape[0]
    start = 0
    while start < count:
        end = start + 1
        while end < count and ranks[members[end]] == ranks[members[start]]:
            end += 1
        for i in range(start, end):
            rank = ranks[members[i]]
            if count > 1:
                place = rank * (count - 1) + _resolved(end - start, i - start, rule)
                rank = np.rint(place) / (count - 1)
            out[members[i]] = rank
        start = end


@kernel
def resolved_ties(
    ranks: FloatPanel,
    g: GroupPanel,
    labels: int,
    rule: int,
    out: FloatPanel,
    first: int,
    last: int,
) -> None:
    """Fill out with ranks 0..1 whose equal values were given another place.

    ranks : with ties that share the mean, inside groups g
    rule : 1 the lowest of their places, 2 the highest, 3 one after another in column order
    """
    names = ranks.shape[1]
    members = np.empty(names, np.int64)
    ends = np.empty(labels, np.int64)
    starts = np.empty(labels + 1, np.int64)
    for t in range(first, last):
        starts[:] = 0
        for j in range(names):
            out[t, j] = math.nan
            if g[t, j] >= 0 and not math.isnan(ranks[t, j]):
                starts[g[t, j] + 1] += 1
        for k in range(labels):
            starts[k + 1] += starts[k]
            ends[k] = starts[k]
        for place in np.argsort(ranks[t], kind="mergesort"):
            if g[t, place] >= 0 and not math.isnan(ranks[t, place]):
                members[ends[g[t, place]]] = place
                ends[g[t, place]] += 1
        for k in range(labels):
            _resolve(ranks[t], members[starts[k] : ends[k]], rule, out[t])


@kernel
def normal_shares(x: FloatPanel, out: FloatPanel, first: int, last: int) -> None:
    """Fill out with the standard normal distribution function of x."""
    for t in range(first, last):
        for j in range(x.shape[1]):
            out[t, j] = 0.5 * math.erfc(-x[t, j] / math.sqrt(2.0))
