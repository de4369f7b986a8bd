"""A search among models: which are tried, which is chosen, and what the vault says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from alphafoundry.models.fitting import MOST_ROWS, FittedModel, Kind, fit
from alphafoundry.models.judging import VaultResult, beats, book_returns, open_vault
from alphafoundry.models.networks import NETWORKS
from alphafoundry.models.samples import HORIZON, Samples, rank_information, walk_forward
from alphafoundry.seeds import generator, seed_number

Array = NDArray[np.float64]
Mode = Literal["conservative", "exploratory", "aggressive"]

FOLDS, EMBARGO = 3, 5
_DAYS_AT_A_TIME = 128
_BUDGET: Mapping[str, int] = {"conservative": 1, "exploratory": 2, "aggressive": 4}
_RIDGE = (0.01, 0.1, 0.001, 1.0)
_TREES = ((8, 60), (4, 100), (16, 60), (8, 120))


@dataclass(frozen=True)
class Candidate:
    """A kind of model with its settings."""

    kind: Kind
    settings: Mapping[str, Any]

    def __str__(self) -> str:
        told = ", ".join(f"{name} {value:g}" for name, value in self.settings.items())
        return f"{self.kind} ({told})"


@dataclass(frozen=True, eq=False)
class Search:
    """What a search gave.

    Attributes
    ----------
    chosen, model : frozen, learned from the days before the vault
    information : candidate to its mean daily rank correlation in walk-forward
    vault : what the days that were kept apart said of the chosen one
    trials : of this search
    """

    chosen: Candidate
    model: FittedModel
    information: Mapping[str, float]
    vault: VaultResult
    trials: int


def candidates(kinds: Sequence[Kind], mode: Mode, *, most_iterations: int = 100) -> list[Candidate]:
    """Return what is tried: one, two or four settings of each kind, ridge always first.

    A network, which costs the most, has one setting.

    most_iterations : trees of a model, or steps of a network, at most
    """
    count = _BUDGET[mode]
    found = [Candidate("ridge", {"penalty": penalty}) for penalty in _RIDGE[:count]]
    for kind in kinds:
        if kind == "ridge":
            continue
        if kind in NETWORKS:
            found.append(Candidate(kind, {"units": 16, "steps": min(50, most_iterations)}))
            continue
        for number in range(count):
            leaves, trees = _TREES[number]
            given: dict[str, float] = {"leaves": leaves, "trees": min(trees, most_iterations)}
            if kind == "ensemble":
                given = {"penalty": _RIDGE[number], **given}
            found.append(Candidate(kind, given))
    return found


def predictions(model: FittedModel, samples: Samples, start: int, end: int) -> Array:
    """Return the forecasts of some days, shape (n_days, n_instruments); 0 has none."""
    said = (samples.features[start:end] != 0.0).any(axis=2)
    found = np.zeros(said.shape)
    # Windows of many days overlap, and all of them at a time would take as many times the memory.
    for first in range(0, end - start, _DAYS_AT_A_TIME):
        part = said[first : first + _DAYS_AT_A_TIME]
        days, names = np.nonzero(part)
        if len(days):
            looked_at = samples.looked_at(days + start + first, names, model.window)
            found[first : first + _DAYS_AT_A_TIME][part] = model.predict(looked_at)
    return found


def search(
    samples: Samples,
    tried: Sequence[Candidate],
    returns: Array,
    *,
    vault_share: float,
    opening: int,
    earlier_trials: int,
    cost: float,
    seed: int,
    most_rows: int = MOST_ROWS,
) -> Search:
    """Choose among candidates by walk-forward, freeze the best, and open the vault for it once.

    Parameters
    ----------
    samples : whose last `vault_share` of days is the vault
    tried : the first has to be ridge
    returns : of the same days and names, as fractions
    opening : number of the vault's opening, from 1
    earlier_trials : candidates of searches before this one
    cost : of a trade, as a fraction

    Raises EvidenceError with too few days or samples.
    """
    before = round(len(samples) * (1.0 - vault_share))
    learned_to = before - HORIZON - EMBARGO
    least = learned_to // 2
    daily: dict[str, Array] = {}
    for one in tried:
        parts = []
        for train, test in walk_forward(learned_to, folds=FOLDS, embargo=EMBARGO, least=least):
            model = fit(
                one.kind,
                samples,
                train.start,
                train.stop,
                settings=one.settings,
                seed=seed,
                most_rows=most_rows,
            )
            told = predictions(model, samples, test.start, test.stop)
            parts.append(rank_information(told, samples.target[test]))
        daily[str(one)] = np.concatenate(parts)
    chosen = _chosen(tried, daily, seed)
    model = fit(
        chosen.kind,
        samples,
        0,
        learned_to,
        settings=chosen.settings,
        seed=seed,
        most_rows=most_rows,
    )
    told = predictions(model, samples, before, len(samples))
    return Search(
        chosen,
        model,
        {name: _mean(values) for name, values in daily.items()},
        open_vault(
            rank_information(told, samples.target[before:]),
            book_returns(told, returns[before:], cost=cost),
            opening=opening,
            trials=earlier_trials + len(tried),
        ),
        len(tried),
    )


def _chosen(tried: Sequence[Candidate], daily: Mapping[str, Array], seed: int) -> Candidate:
    """Return the best ridge, or what beats it by more than its noise."""
    linear = [one for one in tried if one.kind == "ridge"]
    best = max(linear, key=lambda one: _mean(daily[str(one)]))
    others = sorted(
        (one for one in tried if one.kind != "ridge"), key=lambda one: -_mean(daily[str(one)])
    )
    for one in others:
        draw = generator(seed_number(seed, "choice"), str(one))
        # Every other candidate that is tried has its own chance of looking better by luck.
        level = 0.05 / len(others)
        if beats(daily[str(one)], daily[str(best)], generator=draw, level=level):
            return one
    return best


def _mean(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else -1.0
