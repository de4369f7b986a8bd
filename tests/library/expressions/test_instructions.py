"""Chains of cell-by-cell operators run as programs: the same answers as operator by operator."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from alphafoundry.expressions import OPERATORS, Evaluator, parse
from alphafoundry.expressions.instructions import INPUTS, REGISTERS, STRETCH, CellStep, written
from tests.some_cases import one_in

SHAPE = (161, 173)
SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 1e-300, 1e300]
WITH_INSTRUCTION = [name for name, operator in OPERATORS.items() if operator.instruction]


def fields(count: int = 3) -> dict[str, np.ndarray]:
    random = np.random.default_rng(5)
    made = {}
    for place in range(count):
        values = random.normal(size=SHAPE)
        special = random.random(SHAPE) < 0.4
        values[special] = random.choice(SPECIAL, size=int(special.sum()))
        made[f"f{place}"] = values
    return made


def test_the_panel_is_longer_than_a_stretch():
    assert SHAPE[0] * SHAPE[1] > 3 * STRETCH
    assert (SHAPE[0] * SHAPE[1]) % STRETCH


@pytest.mark.parametrize("name", one_in(3, WITH_INSTRUCTION))
def test_an_instruction_does_what_the_operator_does(name):
    operator = OPERATORS[name]
    given = fields()
    arrays = list(given.values())[: len(operator.inputs)]
    text = f"{name}({', '.join(list(given)[: len(operator.inputs)])})"
    if operator.instruction.only is not None:
        arrays[1] = operator.instruction.only
        text = f"{name}(f0, {operator.instruction.only:g})"
    options = {keyword.name: keyword.default for keyword in operator.keywords}
    with np.errstate(all="ignore"):
        expected = operator.kernel(*arrays, **options)
    np.testing.assert_array_equal(Evaluator(given).evaluate(text), expected)


@pytest.mark.parametrize("name", ["add", "multiply", "max", "min"])
def test_many_inputs_are_taken_two_at_a_time(name):
    given = fields(5)
    with np.errstate(all="ignore"):
        options = {keyword.name: keyword.default for keyword in OPERATORS[name].keywords}
        expected = OPERATORS[name].kernel(*given.values(), **options)
    found = Evaluator(given).evaluate(f"{name}({', '.join(given)})")
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("fields_used", [INPUTS, INPUTS + 3])
def test_more_fields_than_a_program_reads(fields_used):
    given = fields(fields_used)
    text = " + ".join(f"abs({name}) * {place + 2}" for place, name in enumerate(given))
    with np.errstate(all="ignore"):
        expected = sum(np.abs(values) * (place + 2) for place, values in enumerate(given.values()))
    np.testing.assert_allclose(Evaluator(given).evaluate(text), expected, rtol=1e-12)


def test_more_constants_than_a_program_holds():
    given = fields(1)
    text = "f0"
    expected = given["f0"]
    for number in range(2, REGISTERS + 10):
        text = f"({text} * 1.0{number} - 0.{number})"
        expected = expected * float(f"1.0{number}") - float(f"0.{number}")
    np.testing.assert_allclose(Evaluator(given).evaluate(text), expected, rtol=1e-12)


def test_a_long_chain_reuses_the_registers():
    values = {"a": fields(1)["f0"]}
    negate = OPERATORS["reverse"].instruction
    names = ["a", *(f"s{place}" for place in range(3 * REGISTERS))]
    steps = [CellStep(name, negate, (before,)) for before, name in itertools.pairwise(names)]
    assert written(steps, values) is not None


def test_a_constant_is_not_overwritten_before_its_first_use():
    """The chain uses every register before the constant is read."""
    given = fields(2)
    text, expected = "f0", given["f0"]
    with np.errstate(all="ignore"):
        for _ in range(REGISTERS):
            text = f"max(({text} - f1), f1)"
            difference = expected - given["f1"]
            larger = np.where(difference >= given["f1"], difference, given["f1"])
            expected = np.where(np.isnan(difference), np.nan, larger)
        expected = expected * 7.0
    np.testing.assert_array_equal(Evaluator(given).evaluate(f"({text}) * 7"), expected)


def test_a_keyword_or_an_open_exponent_is_not_forgotten():
    given = fields(2)
    filled = np.nan_to_num(given["f0"], nan=0.0, posinf=np.inf, neginf=-np.inf)
    other = np.nan_to_num(given["f1"], nan=0.0, posinf=np.inf, neginf=-np.inf)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(
            Evaluator(given).evaluate("add(f0, f1, filter=true)"), filled + other
        )
        cubes = np.abs(given["f0"]) ** 3 * np.sign(given["f0"])
    np.testing.assert_allclose(Evaluator(given).evaluate("signed_power(f0, 3)"), cubes, rtol=1e-12)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_do_not_change_a_chain(threads):
    given = fields()
    text = parse("f0 < f1 ? f1 * f2 : -f0 / (f2 + 1.5)")
    alone = Evaluator(given, threads=1).evaluate(text)
    np.testing.assert_array_equal(Evaluator(given, threads=threads).evaluate(text), alone)
