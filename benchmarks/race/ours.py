"""The search of the library as a rival: what it spends its budget on."""

from __future__ import annotations

import math

import numpy as np

from alphafoundry.expressions import parse
from alphafoundry.research.combining import Combiner, Trial
from alphafoundry.research.ideas import IdeaGenerator
from alphafoundry.research.search import ROUNDS
from alphafoundry.settings import FoundrySettings
from benchmarks.race.bench import NAMES, SETTINGS, Bench


def ours(bench: Bench, seed: int) -> None:
    """The search of the library, with known formulas and templates among its ideas."""
    ideas = FoundrySettings().ideas
    _search(bench, seed, formulas=ideas.formulas, templates=ideas.templates)


def ours_unseeded(bench: Bench, seed: int) -> None:
    """The same without known formulas and templates."""
    _search(bench, seed, formulas=0.0, templates=0.0)


def _search(bench: Bench, seed: int, *, formulas: float, templates: float) -> None:
    """Spend the budget as `alphafoundry.research.whole_search` does, without a database."""
    mining = FoundrySettings().mining
    generator = IdeaGenerator(
        bench.fields,
        NAMES,
        seed=seed,
        settings=SETTINGS,
        formulas=formulas,
        templates=templates,
    )
    for_mining = round(bench.budget * mining.share)
    bench.try_ideas(generator, bench.budget - for_mining)
    combiner = Combiner(
        bench.fields,
        NAMES,
        settings=SETTINGS,
        seed=seed,
        parts=mining.parts,
        most_parts=mining.most_parts,
        variations=mining.variations,
    )
    each = math.ceil(bench.left / ROUNDS)
    for number in range(2 * ROUNDS):
        found = bench.found
        trials = [
            Trial(
                f"{place:06d}",
                one.expression,
                one.settings,
                one.sharpe,
                one.days,
                built=(one.expression.canonical, one.settings) in bench.built,
            )
            for place, one in enumerate(found)
        ]
        steps = combiner.ask(
            min(each, bench.left),
            trials,
            np.nan_to_num(np.corrcoef([one.pnl for one in found])),
            number=number,
            known={canonical for canonical, _ in bench.tried},
            periods=bench.market.periods,
        )
        for step in steps:
            bench.try_one(parse(step.proposal.expression), step.proposal.settings, built=True)
    bench.try_ideas(generator, bench.left)
