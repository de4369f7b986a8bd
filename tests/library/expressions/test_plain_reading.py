"""What is read without the grammar is what the grammar reads, places included."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphafoundry.errors import ExpressionError
from alphafoundry.expressions.parsing import _by_grammar
from alphafoundry.expressions.plain_reading import DEEPEST, MAX_PLAIN, plain_tree
from alphafoundry.research.known_formulas import alpha101
from tests.library.expressions.test_fuzz import PIECES, SEEDS
from tests.property_tests import examples

PLAIN = [
    "close",
    "TS_Mean( close ,20)",
    "tsmean(close, d=20)",
    "rank(-ts_delta(close, 5))",
    "-2 ^ -x ^ 2 * !a + +b",
    "- 3",
    "--3",
    "1 - 2 - 3 * 4 / 5 < 6 == 7 && a || b != c",
    "if_else(a >= 1, true, NaN)",
    "((close))",
    "winsorize(x, STD=4)",
    "bucket(rank(cap), range='0, 1, 0.1')",
    "unknown(x, y=close, z=rank())",
    "group_rank(returns, sector, nothing=vec_avg(x))",
    ".5 + 5. + 1e-3",
    "rettype(a, b)",
    'ts_regression(close, open, 20, lag=1, rettype="2")',
]
NOT_PLAIN = [
    "",
    "a = 1; a",
    "a ? b : c",
    "stats.pnl",
    "close /* note */",
    "close\n+ 1",
    "close,",
    "rank(close,)",
    "rank(,close)",
    "rank(close",
    "rank(close))",
    "a b",
    "2x",
    "1.5.2",
    "rank(d=1, close)",
    "winsorize(x, std=4, STD=5)",
    "1e999",
    "x @ y",
    "(" * (DEEPEST + 1) + "x" + ")" * (DEEPEST + 1),
    "x+" * MAX_PLAIN + "x",
]


@pytest.mark.parametrize("text", [*PLAIN, *SEEDS[:1]])
def test_a_plain_text_gives_the_tree_of_the_grammar(text):
    tree = plain_tree(text)
    assert tree is not None
    # Equal trees may differ in their places, which are what an error points at.
    assert repr(tree) == repr(_by_grammar(text).root)


def test_the_known_formulas_are_read_as_by_the_grammar():
    trees = {text: plain_tree(text) for text in alpha101().values()}
    read = {text: tree for text, tree in trees.items() if tree is not None}
    assert len(read) > 80
    for text, tree in read.items():
        assert repr(tree) == repr(_by_grammar(text).root)


@pytest.mark.parametrize("text", NOT_PLAIN)
def test_all_else_is_left_to_the_grammar(text):
    assert plain_tree(text) is None


@settings(max_examples=examples(400), deadline=None)
@given(st.lists(st.sampled_from([*PIECES, *PLAIN, " "]), max_size=12).map("".join))
def test_pieces_in_any_order_are_read_as_by_the_grammar_or_left_to_it(text):
    tree = plain_tree(text)
    if tree is not None:
        try:
            assert repr(tree) == repr(_by_grammar(text).root)
        except ExpressionError as problem:
            pytest.fail(f"{text!r} is read, and the grammar says {problem}")
