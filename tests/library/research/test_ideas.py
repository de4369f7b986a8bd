"""Where a search begins: known formulas, templates and the grammar, in the shares asked for."""

from __future__ import annotations

from collections import Counter

import pytest

from alphafoundry.expressions import DEFAULT_FIELDS, OPERATORS, check, parse
from alphafoundry.expressions.tree import Call, Field
from alphafoundry.research import IdeaGenerator, Outcome, Proposal
from alphafoundry.research.known_formulas import alpha101, usable_formulas
from alphafoundry.research.templates import drawn_templates, templates
from alphafoundry.simulation.settings import SimulationSettings

NEEDED = ("open", "high", "low", "close", "volume", "vwap", "returns", "sector", "industry")
FIELDS = {name: DEFAULT_FIELDS[name] for name in NEEDED}
NAMES = OPERATORS.names("REGULAR")
SETTINGS = SimulationSettings(decay=4)


async def proposed(count: int, *, seed: int = 1, **options: object) -> list[Proposal]:
    generator = IdeaGenerator(FIELDS, NAMES, seed=seed, settings=SETTINGS, **options)  # type: ignore[arg-type]
    return (await generator.propose(count)).kept


async def test_sources_have_their_shares() -> None:
    found = await proposed(300, formulas=0.05, templates=0.3)
    origins = Counter(one.origin for one in found)
    assert len(found) == len({one.canonical for one in found}) == 300
    assert origins["template"] == pytest.approx(90, abs=25)
    assert origins["formula"] == pytest.approx(15, abs=10)
    assert {one.settings for one in found} == {SETTINGS}
    alone = await proposed(40, formulas=0.0, templates=0.0)
    assert {one.origin for one in alone} == {"grammar"}


async def test_a_source_that_is_used_up_leaves_its_turn_to_the_grammar() -> None:
    usable = usable_formulas(FIELDS, NAMES)
    found = await proposed(4 * len(usable), formulas=1.0, templates=0.0)
    origins = Counter(one.origin for one in found)
    assert origins == {"formula": len(usable), "grammar": 3 * len(usable)}
    known = {expression.canonical for expression in usable.values()}
    assert {one.canonical for one in found if one.origin == "formula"} == known


async def test_what_was_simulated_before_is_not_proposed_again() -> None:
    first = await proposed(60, formulas=0.5, templates=0.5)
    history = [Outcome(one.expression, 0.1) for one in first]
    second = await proposed(60, formulas=0.5, templates=0.5, history=history)
    assert not {one.canonical for one in first} & {one.canonical for one in second}


async def test_ideas_follow_from_the_seed_and_not_from_how_many_are_asked_for_at_once() -> None:
    options = {"formulas": 0.4, "templates": 0.6}
    at_once = [one.canonical for one in await proposed(12, **options)]
    generator = IdeaGenerator(FIELDS, NAMES, seed=1, settings=SETTINGS, **options)  # type: ignore[arg-type]
    in_parts = [one.canonical for _ in range(4) for one in (await generator.propose(3)).kept]
    assert at_once == in_parts
    assert at_once != [one.canonical for one in await proposed(12, seed=2, **options)]


def test_usable_formulas_need_nothing_else_and_compare_no_levels() -> None:
    formulas = alpha101()
    assert len(formulas) == 100 and 56 not in formulas
    usable = usable_formulas(FIELDS, NAMES)
    assert usable.keys() < formulas.keys()
    for expression in usable.values():
        assert check(expression, FIELDS, operators=NAMES, levels=True) == ()
    without_volume = {name: info for name, info in FIELDS.items() if name != "volume"}
    fewer = usable_formulas(without_volume, NAMES)
    assert fewer.keys() == {number for number, one in usable.items() if "volume" not in one.fields}


@pytest.mark.long
def test_templates_have_their_form_and_come_kind_after_kind() -> None:
    kinds = templates(FIELDS, NAMES)
    kind_of = {parse(text).canonical: kind for kind, texts in kinds.items() for text in texts}
    drawn = drawn_templates(FIELDS, NAMES, seed=3)
    first = [next(drawn) for _ in range(40)]
    assert len({kind_of[one.canonical] for one in first}) == 40
    for one in first:
        root = one.root
        assert isinstance(root, Call) and root.operator.startswith("group_")
        assert isinstance(root.arguments[-1], Field)
        assert check(one, FIELDS, operators=NAMES, levels=True) == ()
