"""Whatever the text, the answer is an expression or an ExpressionError with a place."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphafoundry.errors import ExpressionError
from alphafoundry.expressions import (
    DEFAULT_FIELDS,
    OPERATORS,
    Evaluator,
    VectorField,
    check,
    parse,
)
from alphafoundry.expressions.registry import KeywordKind, Kind
from alphafoundry.expressions.warm_up import example
from tests.property_tests import examples
from tests.some_cases import one_in

PIECES = [
    *"()+-*/^<>=!&|?:;,.\"'@#$[]{}\\ \n\t\0",
    *["close", "volume", "sector", "x", "nan", "true", "5", "0.5", "1e9", "std=4", "ts_mean("],
    *["rank(", "group_rank(", "/*", "*/", "==", "!=", "&&", "||", "\u00e9", "\U0001f600", "\u0661"],
]
SEEDS = [
    "rank(ts_mean(close, 20)) - ts_delay(vwap, 3) / 2",
    "a = ts_delta(close, 5); b = -a; group_neutralize(rank(b), sector) /* reversal */",
    "trade_when(volume > adv20 && close != open, "
    'group_rank(returns, bucket(rank(cap), range="0, 1, 0.1")), -1)',
    "winsorize(ts_regression(close, open, 20, lag=1, rettype=2), std=3) ? 1 : -high ^ 0.5",
]


def answer(text: str) -> None:
    try:
        expression = parse(text)
        assert parse(expression.canonical).canonical == expression.canonical
        assert expression.operator_count >= 0
        assert expression.lookback >= 0
        check(expression, DEFAULT_FIELDS)
    except ExpressionError as error:
        lines = text.split("\n")
        assert 1 <= error.line <= len(lines)
        assert 1 <= error.column <= len(lines[error.line - 1]) + 1
        assert error.end_column > error.column
        assert error.message


@settings(max_examples=examples(300), deadline=None)
@given(st.text(max_size=60))
def test_any_text(text):
    answer(text)


@settings(max_examples=examples(500), deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=25).map("".join))
def test_any_pieces_of_the_language(text):
    answer(text)


@pytest.mark.parametrize("seed", SEEDS)
def test_damaged_expressions(seed):
    chance = random.Random(1)
    for _ in range(300):
        text = list(seed)
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(text))
            text[place : place + chance.randint(0, 3)] = chance.choice(PIECES)
        answer("".join(text))


DEEP = [
    "(" * 40_000 + "close" + ")" * 40_000,
    "(" * 90_000,
    "rank(" * 15_000 + "close" + ")" * 15_000,
    "-" * 90_000 + "close",
    "!" * 90_000 + "close",
    "close" + "+close" * 15_000,
    "close" + "^close" * 15_000,
    "close?close:" * 8_000 + "close",
    "max(" + "close," * 15_000 + "close)",
    "a0=close;" + "".join(f"a{i}=a{i - 1}+a{i - 1};" for i in range(1, 400)) + "a399",
    "a0=close;" + "".join(f"a{i}=-a{i - 1};" for i in range(1, 5000)) + "a4999",
    "/*" + "*" * 90_000,
    "/*" + "a*" * 40_000,
    '"' * 90_001,
    "x" * 1_000_000,
    "close + " * 125_000,
    " " * 1_000_000,
    "\0" * 1_000_000,
    "\n" * 1_000_000 + "@",
    "1" * 90_000,
    "ts_mean(close, " + "9" * 300 + ")",
    ";" * 90_000,
]


@pytest.mark.parametrize("text", one_in(3, DEEP), ids=range(len(DEEP)))
def test_deep_long_and_explosive_texts_are_answered(text):
    answer(text)


def test_the_deepest_allowed_expression_works_from_a_deep_stack():
    text = "rank(" * 199 + "x" + ")" * 199

    def below(levels: int) -> float:
        if levels:
            return below(levels - 1)
        return Evaluator({"x": np.array([[1.0, 2.0]])}).evaluate(text)[0, 1]

    assert below(600) == 1.0
    with pytest.raises(ExpressionError, match="nested more than 200 levels"):
        parse(f"rank({text})")


@pytest.mark.parametrize("name", OPERATORS)
def test_every_operator_has_a_stable_canonical_form(name):
    canonical = parse(example(OPERATORS[name])).canonical
    assert parse(canonical).canonical == canonical
    assert parse(canonical).operators >= {name}


def some_expression(chance: random.Random, kind: Kind, depth: int) -> str:
    """Operators nested at random, with constants and keywords that are odd but mostly allowed."""
    if kind is Kind.LOOKBACK:
        return chance.choice(["0", "1", "2", "5", "12", "13", "1000"])
    if kind is Kind.NUMBER:
        return chance.choice(["1", "3", "100"])
    if depth == 0 or chance.random() < 0.2:
        leaves = {Kind.GROUP: ["g"], Kind.VECTOR: ["v"]}
        return chance.choice(leaves.get(kind, ["x", "y", "0", "1", "nan", "-2.5", "1e300", "x/0"]))
    regular = (OPERATORS[name] for name in sorted(OPERATORS.names("REGULAR")))
    operator = chance.choice([found for found in regular if found.output is kind])
    parts = [
        some_expression(chance, item.kind, depth - 1)
        for item in operator.inputs
        for _ in range(chance.randint(1, 3) if item.many else 1)
    ]
    for keyword in operator.keywords:
        if chance.random() < 0.7:
            values = {
                KeywordKind.NUMBER: ["0", "1", "2", "0.5", "-1", "1e6", "1e-9"],
                KeywordKind.BOOLEAN: ["true", "false"],
                KeywordKind.TEXT: [f'"{choice}"' for choice in keyword.choices],
                KeywordKind.NUMBERS: ['"0, 1, 0.25"', '"1"', '"nan"', '"0 nan"', '""'],
            }
            parts.append(f"{keyword.name}={chance.choice(values[keyword.kind])}")
    return f"{operator.name}({', '.join(parts)})"


@pytest.mark.parametrize("nan_handling", [False, True])
def test_what_is_accepted_runs(nan_handling):
    chance = random.Random(int(nan_handling))
    draw = np.random.default_rng(0)
    shape = (12, 5)
    fields = {name: draw.normal(size=shape) for name in ("x", "y", "close", "returns")}
    fields["x"][3, 2], fields["x"][4, 1] = np.nan, np.inf
    counts = draw.integers(0, 3, size=60)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    evaluator = Evaluator(
        fields,
        {"g": draw.integers(-1, 3, size=shape).astype(np.int32)},
        vectors={"v": VectorField(draw.normal(size=int(offsets[-1])), offsets, shape)},
        mask=draw.random(shape) < 0.8 if nan_handling else None,
        nan_handling=nan_handling,
    )
    accepted = 0
    for _ in range(1500):
        text = some_expression(chance, Kind.MATRIX, chance.randint(1, 3))
        try:
            expression = parse(text)
            check(expression, evaluator.infos)
        except ExpressionError:
            continue
        assert evaluator.evaluate(expression).shape == shape, text
        accepted += 1
    assert accepted > 700
