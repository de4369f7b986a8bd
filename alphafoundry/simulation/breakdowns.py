"""The book of a simulation by sector, industry and size of the companies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from alphafoundry.market import Panel
from alphafoundry.simulation.pnl import BOOK

LEVELS = ("sector", "industry")
SIZES = ("smallest fifth", "second fifth", "third fifth", "fourth fifth", "largest fifth")
"""Fifths of the names whose capitalization is known, of each day."""

UNKNOWN = "Unknown"


@dataclass(frozen=True, eq=False)
class Breakdown:
    """The parts of a book.

    Attributes
    ----------
    names : of the parts; the last is "Unknown" where some names belong to none
    pnl : dollars of each day, shape (n_days, n_parts)
    held : names held on a mean day, shape (n_parts,)
    size : dollars of a position on a mean day, long or short, shape (n_parts,); NaN where none is
        held
    """

    names: tuple[str, ...]
    pnl: NDArray[np.float64]
    held: NDArray[np.float64]
    size: NDArray[np.float64]


def breakdowns_of(
    weights: NDArray[np.float64], panel: Panel, *, start: int, behind: int
) -> dict[str, Breakdown]:
    """Return sector, industry and capitalization, as far as the market knows them, to the parts.

    Parameters
    ----------
    weights : shares of the book, shape (n_days, n_instruments)
    start : first day with a position; behind : days from a weight to the return that it earns
    """
    found = {}
    for level in LEVELS:
        if level in panel.groups:
            labels = panel.groups[level]
            named = panel.group_names.get(level, ())
            count = int(labels.max(initial=-1)) + 1
            known = [*named, *(str(label) for label in range(len(named), count))]
            found[level] = _broken_down(weights, panel, labels, known, start, behind)
    if "cap" in panel.fields:
        labels = _fifths(panel.fields["cap"])
        found["capitalization"] = _broken_down(weights, panel, labels, SIZES, start, behind)
    return found


def _fifths(cap: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return 0 (smallest) to 4 of each day, -1 where the capitalization is not known."""
    known = np.isfinite(cap)
    places = np.argsort(np.argsort(np.where(known, cap, np.inf), axis=1, kind="stable"), axis=1)
    counts = np.maximum(known.sum(axis=1, keepdims=True), 1)
    return np.where(known, places * len(SIZES) // counts, -1).astype(np.int32)


def _broken_down(
    weights: NDArray[np.float64],
    panel: Panel,
    labels: NDArray[np.int32],
    names: Sequence[str],
    start: int,
    behind: int,
) -> Breakdown:
    from alphafoundry.simulation import kernels

    count = len(names)
    profit = kernels.profit_by_group(weights, panel.fields["returns"], labels, count, behind)
    # The unknown have the last place, as in what the kernel fills.
    rows = slice(start - behind, len(weights) - behind)
    part = np.where(labels[rows] < 0, count, labels[rows]).ravel()
    amount = np.abs(np.nan_to_num(weights[rows])).ravel()
    held = np.bincount(part, amount > 0.0, count + 1)
    total = BOOK * np.bincount(part, amount, count + 1)
    shown = count + 1 if (labels < 0).any() else count
    with np.errstate(invalid="ignore", divide="ignore"):
        size = total / held
    return Breakdown(
        names=(*names, UNKNOWN)[:shown],
        pnl=BOOK * profit[start:, :shown],
        held=held[:shown] / (len(weights) - start),
        size=size[:shown],
    )
