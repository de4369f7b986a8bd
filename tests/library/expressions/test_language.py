"""Reading FASTEXPR: what means the same, what is counted, where it is wrong."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphafoundry.errors import ExpressionError
from alphafoundry.expressions import OPERATORS, parse
from alphafoundry.expressions.parsing import MAX_REMEMBERED
from alphafoundry.expressions.tree import Call

SAME = [
    ("close + volume", "add(close, volume)"),
    ("close+volume", "volume /* traded */ + close"),
    ("a - b", "subtract(a, b)"),
    ("-close", "reverse(close)"),
    ("-5", "reverse(5)"),
    ("-(5.0)", "reverse(5)"),
    ("!a", "not(a)"),
    ("a && b", "and(b, a)"),
    ("a || b", "or(a, b)"),
    ("a ? b : c", "if_else(a, b, c)"),
    ("a <= b", "less_equal(a, b)"),
    ("a != b", "not_equal(b, a)"),
    ("a ^ 2", "power(a, 2.0)"),
    ("tsmean(close, 5)", "ts_mean(close, 5.00)"),
    ("ts_stddev(x, 5)", "ts_std_dev(x, 5)"),
    ("stddev(x, 5)", "ts_std_dev(x, 5)"),
    ("delay(x, 5)", "ts_delay(x, 5)"),
    ("delta(x, 5)", "ts_delta(x, 5)"),
    ("ts_argmax(x, 5)", "ts_arg_max(x, 5)"),
    ("group_neutralise(x, sector)", "group_neutralize(x, sector)"),
    ("IndNeutralize(x, sector)", "group_neutralize(x, sector)"),
    ("winsorize(x, std=4)", "winsorize(x)"),
    ("quantile(x, driver=gaussian, sigma=1.0)", "quantile(x)"),
    ("ts_backfill(x, lookback=60)", "ts_backfill(x, 60)"),
    ("ts_backfill(x, 60, ignore='NAN')", "ts_backfill(x, 60)"),
    ("kth_element(x, 5, k=2, ignore='0  NaN')", "kth_element(x, 5, 2, ignore='0,nan')"),
    ("ts_mean(x, d=5)", "ts_mean(x, 5)"),
    ("add(x, y, filter=false)", "x + y"),
    ("add(x, y, filter=1)", "add(y, x, filter=true)"),
    ("a = ts_delta(close, 5); b = -a; rank(b)", "rank(-ts_delta(close, 5))"),
    ("ts_corr(volume, close, 10)", "ts_corr(close, volume, 10)"),
    ('bucket(x, range="0, 1, 0.10")', "bucket(x, range='0,1,.1')"),
    ("1e3 * x", "x * 1000"),
    (";;rank(x);", "rank(x)"),
    ("ts_rank_gmean_amean_diff(b, a, d=5)", "ts_rank_gmean_amean_diff(a, b, 5.0)"),
    ("filter(x, h='1 0.50', t='')", 'filter(x, h="1, .5")'),
    ("vec_avg(vec_filter(v, value=nan))", "vec_avg(vec_filter(v))"),
]


@pytest.mark.parametrize(("left", "right"), SAME)
def test_spellings_with_one_meaning_have_one_canonical_text(left, right):
    assert parse(left).canonical == parse(right).canonical
    assert parse(left) == parse(right)
    assert hash(parse(left)) == hash(parse(right))


DIFFERENT = [
    ("a - b", "b - a"),
    ("ts_mean(x, 5)", "ts_mean(x, 6)"),
    ("winsorize(x, std=3)", "winsorize(x)"),
    ("ts_regression(y, x, 5)", "ts_regression(x, y, 5)"),
    ("scale(x, longscale=1)", "scale(x)"),
    ("'5'", "5"),
    ("ts_rank_gmean_amean_diff(a, 5, 3)", "ts_rank_gmean_amean_diff(a, 3, 5)"),
    ("group_multi_regression(y, a, b, g)", "group_multi_regression(a, y, b, g)"),
]


@pytest.mark.parametrize(("left", "right"), DIFFERENT)
def test_different_meanings_have_different_canonical_texts(left, right):
    assert parse(left).canonical != parse(right).canonical


GROUPING = [
    ("a + b * c", "add(a, multiply(b, c))"),
    ("a - b - c", "subtract(subtract(a, b), c)"),
    ("a / b * c", "multiply(divide(a, b), c)"),
    ("-a ^ 2", "reverse(power(a, 2))"),
    ("2 ^ -1", "power(2, -1)"),
    ("a ^ b ^ c", "power(a, power(b, c))"),
    ("-a * b", "multiply(reverse(a), b)"),
    ("!a && b", "and(not(a), b)"),
    ("a < b + c", "less(a, add(b, c))"),
    ("a < b == c > d", "equal(less(a, b), greater(c, d))"),
    ("a || b && c", "or(a, and(b, c))"),
    ("a ? b : c ? d : e", "if_else(a, b, if_else(c, d, e))"),
    ("a || b ? c + d : e", "if_else(or(a, b), add(c, d), e)"),
    ("--a", "reverse(reverse(a))"),
    ("+a", "a"),
]


@pytest.mark.parametrize(("infix", "function"), GROUPING)
def test_precedence(infix, function):
    assert parse(infix).canonical == parse(function).canonical


LEVELS = [
    {"||": "or"},
    {"&&": "and"},
    {"==": "equal", "!=": "not_equal"},
    {"<": "less", "<=": "less_equal", ">": "greater", ">=": "greater_equal"},
    {"+": "add", "-": "subtract"},
    {"*": "multiply", "/": "divide"},
]


def in_functions(words):
    """Write `a + b * c` with functions: split at the last of the loosest operators."""
    for level in LEVELS:
        for place in range(len(words) - 2, 0, -2):
            if words[place] in level:
                left, right = in_functions(words[:place]), in_functions(words[place + 1 :])
                return f"{level[words[place]]}({left}, {right})"
    (word,) = words
    return word


@given(
    st.lists(
        st.sampled_from([operator for level in LEVELS for operator in level]),
        min_size=1,
        max_size=12,
    ),
    st.sampled_from(["", " "]),
)
def test_chains_of_operators_group_by_their_levels(operators, space):
    words = ["x0"]
    for number, operator in enumerate(operators, 1):
        words += [operator, f"x{number}"]
    assert parse(space.join(words)).root == parse(in_functions(words)).root


def test_a_text_is_read_once():
    text = "ts_mean(close, 21) - ts_mean(close, 5)"
    assert parse(text) is parse(text)
    for _ in range(2):
        with pytest.raises(ExpressionError) as refused:
            parse("rank(close")
        assert (refused.value.line, refused.value.column) == (1, 11)


def test_memory_for_texts_that_were_read_is_bounded():
    long = f"rank({' ' * MAX_REMEMBERED}close)"
    assert parse(long) is not parse(long)
    assert parse(long) == parse("rank(close)")


def test_canonical_text_reads_back_as_itself():
    for left, right in SAME + DIFFERENT + GROUPING:
        for text in (left, right):
            canonical = parse(text).canonical
            assert parse(canonical).canonical == canonical


def test_facts_of_an_expression():
    expression = parse("ts_rank(ts_mean(close, 20), 20) + group_rank(volume, sector)")
    assert expression.operator_count == 4
    assert expression.fields == {"close", "volume", "sector"}
    assert expression.operators == {"add", "ts_rank", "ts_mean", "group_rank"}
    assert expression.lookback == 40


def test_operator_count_counts_repeats_and_rank_close_is_one():
    assert parse("rank(close)").operator_count == 1
    assert parse("a = rank(close); a * a").operator_count == 3
    assert parse("-1 * close").operator_count == 1


def test_lookback_counts_the_lag_of_a_regression():
    assert parse("ts_regression(a, ts_delay(b, 3), 10, lag=2)").lookback == 15


def test_lookback_counts_the_weights_of_a_filter_and_yesterdays_weight():
    assert parse('filter(ts_mean(x, 5), h="1, 2, 3", t="1, 1")').lookback == 7
    assert parse("inst_pnl(ts_mean(x, 5))").lookback == 6
    assert parse("ts_rank_gmean_amean_diff(ts_mean(x, 5), y, 20)").lookback == 25


def test_fields_include_those_that_an_operator_reads_by_itself():
    assert parse("inst_pnl(rank(x))").fields == {"x", "returns"}
    assert parse("convert(x)").fields == {"x", "close"}


@pytest.mark.parametrize(
    ("text", "unused"),
    [
        ("a = close; b = open; rank(b)", ("a",)),
        ("a = close; b = a; c = b; rank(open)", ("a", "b", "c")),
        ("a = 1; b = a; c = b + 2; c", ()),
        ("rank(close)", ()),
    ],
)
def test_assigned_names_that_the_alpha_does_without(text, unused):
    assert parse(text).unused == unused
    assert pickle.loads(pickle.dumps(parse(text))).unused == unused


def test_nodes_know_their_tokens():
    root = parse("rank(\n  volume /\n close)").root
    assert isinstance(root, Call)
    assert (root.position.line, root.position.column, root.position.end_column) == (1, 1, 5)
    divide = root.arguments[0]
    assert (divide.position.line, divide.position.column) == (2, 10)


WRONG = [
    ("", 1, 1, "Expression cannot be empty"),
    ("   ", 1, 4, "Expression cannot be empty"),
    ("alpha = -ts_delta(close,5);", 1, 28, "Expression cannot be empty"),
    ("rank(close", 1, 11, "Unexpected end of input"),
    ("close +", 1, 8, "Unexpected end of input"),
    ("rank(close))", 1, 12, 'Unexpected ")"'),
    ("close volume", 1, 7, 'Unexpected "volume"'),
    ("close\n  @ 2", 2, 3, "Unexpected character '@'"),
    ("a = 1; a = 2; a", 1, 8, 'Re-assignment of variable "a" is not permitted'),
    ("nan = 1; close", 1, 1, '"nan" cannot be assigned'),
    ("rank(close) /* open", 1, 13, "Comment is not closed"),
    ("f(x, a='b", 1, 8, "String is not closed"),
    ("f(a=1, x)", 1, 8, "Inputs given by place stand before those given by name"),
    ("f(x, a=1, a=2)", 1, 11, 'Attribute "a" is given twice'),
    ("1e999", 1, 1, "Number 1e999 is too large"),
    ("close\0", 1, 6, "Unexpected character '\\x00'"),
    ("clo\N{LATIN SMALL LETTER E WITH ACUTE}", 1, 4, "Unexpected character '\\xe9'"),
]


@pytest.mark.parametrize(("text", "line", "column", "message"), WRONG)
def test_a_wrong_text_is_answered_with_the_place(text, line, column, message):
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert caught.value.message == message
    assert (caught.value.line, caught.value.column) == (line, column)


def test_expressions_pickle():
    expression = parse("a = ts_mean(close, 5); rank(a)")
    assert pickle.loads(pickle.dumps(expression)) == expression


def test_reading_and_checking_do_not_load_the_compiler():
    program = (
        "import sys; from alphafoundry.expressions import parse, check, DEFAULT_FIELDS;"
        "check(parse('rank(ts_mean(close, 5))'), DEFAULT_FIELDS);"
        "assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_registry_has_all_66_base_operators():
    base = """abs, add, and, bucket, days_from_last_change, densify, divide, equal, greater,
    greater_equal, group_backfill, group_mean, group_neutralize, group_rank, group_scale,
    group_zscore, hump, if_else, inverse, is_nan, kth_element, last_diff_value, less, less_equal,
    log, max, min, multiply, normalize, not, not_equal, or, power, quantile, rank, reverse, scale,
    sign, signed_power, sqrt, subtract, trade_when, ts_arg_max, ts_arg_min, ts_av_diff,
    ts_backfill, ts_corr, ts_count_nans, ts_covariance, ts_decay_linear, ts_delay, ts_delta,
    ts_mean, ts_product, ts_quantile, ts_rank, ts_regression, ts_scale, ts_std_dev, ts_step,
    ts_sum, ts_zscore, vec_avg, vec_sum, winsorize, zscore"""
    expected = {name.strip() for name in base.split(",")}
    assert {name for name, operator in OPERATORS.items() if operator.tier == "base"} == expected
    assert len(expected) == 66


def test_signatures_show_inputs_and_defaults():
    assert OPERATORS["winsorize"].signature == "winsorize(x, std=4)"
    assert OPERATORS["add"].signature == "add(x, y, ..., filter=false)"
    assert OPERATORS["kth_element"].signature == 'kth_element(x, d, k, ignore="NaN")'
