"""BRAIN's engine texts, at the token that is wrong."""

from __future__ import annotations

import pytest

from alphafoundry.errors import ExpressionError
from alphafoundry.expressions import DEFAULT_FIELDS, FieldInfo, check

FIELDS = {**DEFAULT_FIELDS, "news": FieldInfo("news", "VECTOR")}

WRONG = [
    ("rank(volum)", 6, "Attempted to use unknown variable \"volum\"; did you mean 'volume'?"),
    ("zz9", 1, 'Attempted to use unknown variable "zz9"'),
    (
        "ts_meen(close, 5)",
        1,
        "Attempted to use inaccessible or unknown operator \"ts_meen\"; did you mean 'ts_mean'?",
    ),
    ("winsorize(close, 4)", 1, "Invalid number of inputs : 2, should be exactly 1 input(s)."),
    ("hump(close, 0.03)", 1, "Invalid number of inputs : 2, should be exactly 1 input(s)."),
    (
        "group_mean(close, sector)",
        1,
        "Invalid number of inputs : 2, should be exactly 3 input(s).",
    ),
    ("rank()", 1, "Invalid number of inputs : 0, should be exactly 1 input(s)."),
    ("add(close)", 1, "Invalid number of inputs : 1, should be at least 2 input(s)."),
    (
        "ts_mean(close, open, 5)",
        1,
        "Invalid number of inputs : 3, should be exactly 2 input(s).",
    ),
    ("ts_mean(close)", 1, 'Required attribute "lookback" must have a value'),
    (
        "ts_mean(close, volume)",
        16,
        'Got invalid value for attribute "lookback", must be constant or string',
    ),
    (
        "ts_delay(close, -1)",
        17,
        'Got invalid value for attribute "lookback", must be a whole number of at least 0',
    ),
    (
        "ts_mean(close, 2.5)",
        16,
        'Got invalid value for attribute "lookback", must be a whole number of at least 1',
    ),
    (
        "ts_regression(close, open, 5, lag=-1)",
        35,
        'Got invalid value for attribute "lag", must be at least 0',
    ),
    ("rank(sector)", 6, "Grouping data used outside of group operator"),
    ("sector", 1, "Grouping data used outside of group operator"),
    ("densify(sector)", 1, "Grouping data used outside of group operator"),
    ("group_rank(close, volume)", 19, "Got invalid input at index 1, must be a group"),
    ("vec_avg(close)", 9, "Got invalid input at index 0, must be an event data"),
    ("rank(news)", 6, "Operator rank does not support event inputs"),
    ('rank("close")', 6, "Got invalid input at index 0, must be an expression"),
    ("bucket(close)", 1, 'Required attribute "range" must have a value'),
    (
        'group_rank(close, bucket(close, range="0, 1, 1e-12"))',
        19,
        'Got invalid value for attribute "range", must be of at most 10000 steps',
    ),
    (
        "quantile(close, driver=normal)",
        24,
        'Got invalid value for attribute "driver", must be one of gaussian, uniform, cauchy',
    ),
    ("filter(close)", 1, 'Required attribute "h" must have a value'),
    (
        'filter(close, h="1, nan")',
        1,
        'Got invalid value for attribute "h", must be numbers separated by commas',
    ),
    ('replace(close, target="1")', 1, 'Required attribute "dest" must have a value'),
    (
        'replace(close, target="1 2", dest="3")',
        1,
        'Got invalid value for attribute "dest", must have 2 value(s) as target',
    ),
    ("vec_choose(news)", 1, 'Required attribute "nth" must have a value'),
    ("vec_filter(news)", 1, "Got invalid input at index 0, must be an expression"),
    ("rank(vec_filter(news))", 6, "Operator rank does not support event inputs"),
    (
        "ts_rank_gmean_amean_diff(close, open)",
        1,
        'Required attribute "lookback" must have a value',
    ),
    (
        "ts_rank_gmean_amean_diff(close, open, volume)",
        39,
        'Got invalid value for attribute "lookback", must be constant or string',
    ),
    (
        "ts_rank_gmean_amean_diff(close, 5)",
        1,
        'Required attribute "lookback" must have a value',
    ),
    (
        "group_multi_regression(close, open, volume)",
        37,
        "Got invalid input at index 2, must be a group",
    ),
    (
        "group_multi_regression(close, sector)",
        1,
        "Invalid number of inputs : 2, should be at least 3 input(s).",
    ),
    ("x = volum; close", 5, "Attempted to use unknown variable \"volum\"; did you mean 'volume'?"),
]


@pytest.mark.parametrize(("text", "column", "message"), WRONG)
def test_a_text_that_cannot_run_is_refused(text, column, message):
    with pytest.raises(ExpressionError) as caught:
        check(text, FIELDS)
    assert caught.value.message == message
    assert caught.value.column == column


RIGHT = [
    "vec_avg(news)",
    "group_neutralize(rank(close), densify(sector))",
    "group_mean(close, 1, group_cartesian_product(sector, market))",
    "max(close, 0)",
    "close > 5 ? 1 : -1",
    "trade_when(volume > adv20, rank(-returns), -1)",
    "close / open - 1",
    "(high - low) / close + returns",
    "close * volume / cap + 1",
    "ts_covariance(close, open, 5) / close / close + returns",
    "sqrt(close * close) + open",
    "(close ^ 2) / (vwap * open) + returns",
    "ts_regression(close, volume, 10, rettype=2) * volume + close",
    "add(close, open, filter=true)",
    "ts_rank_gmean_amean_diff(close, volume, open, 5)",
    "ts_rank_gmean_amean_diff(close, volume, lookback=5)",
    "group_multi_regression(close, open, volume, densify(sector))",
    "vec_avg(vec_filter(vec_filter(news), value=3))",
    "inst_pnl(rank(close))",
]


@pytest.mark.parametrize("text", RIGHT)
def test_a_text_that_can_run_passes_without_warnings(text):
    assert check(text, FIELDS) == ()


WARNED = [
    ("close + returns", "add", 1, "Unit[CSPrice:1]", "Unit[]"),
    ("returns + close", "add", 1, "Unit[]", "Unit[CSPrice:1]"),
    ("close - volume", "subtract", 1, "Unit[CSPrice:1]", "Unit[CSShare:1]"),
    ("close > volume", "greater", 1, "Unit[CSPrice:1]", "Unit[CSShare:1]"),
    ("rank(close) + ts_mean(close, 5)", "add", 1, "Unit[]", "Unit[CSPrice:1]"),
    ("max(1, close, volume)", "max", 2, "Unit[CSPrice:1]", "Unit[CSShare:1]"),
    ("close * close + close", "add", 1, "Unit[CSPrice:2]", "Unit[CSPrice:1]"),
    ("is_nan(close) ? close : volume", "if_else", 2, "Unit[CSPrice:1]", "Unit[CSShare:1]"),
    ("close / volume + close", "add", 1, "Unit[CSPrice:1,CSShare:-1]", "Unit[CSPrice:1]"),
]


@pytest.mark.parametrize(("text", "operator", "index", "expected", "found"), WARNED)
def test_units_that_do_not_fit_are_warned_of(text, operator, index, expected, found):
    assert check(text, FIELDS) == (
        f'Incompatible unit for input of "{operator}" at index {index}, '
        f'expected "{expected}", found "{found}"',
    )


def test_an_account_without_an_operator_is_refused_it():
    with pytest.raises(ExpressionError) as caught:
        check("ts_max(close, 5)", FIELDS, operators={"ts_mean", "rank"})
    assert caught.value.message.startswith(
        'Attempted to use inaccessible or unknown operator "ts_max"'
    )


def test_an_operator_that_reads_a_field_needs_it():
    with pytest.raises(ExpressionError) as caught:
        check("rank(inst_pnl(x))", {"x": FieldInfo("x", "MATRIX")})
    assert caught.value.message == 'Attempted to use unknown variable "returns"'
    assert caught.value.column == 6


TOO_LONG = "Cumulative lookback of expression exceeds available history"


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("rank(ts_mean(close, 101))", 6),
        ("1 + ts_rank(ts_mean(close, 60), 60)", 5),
        ("a = ts_mean(close, 60); rank(close) * ts_sum(a, 41)", 39),
        ("ts_mean(close, 60) - ts_regression(close, open, 60, lag=41)", 22),
        ('filter(ts_mean(close, 99), h="1, 1, 1")', 1),
    ],
)
def test_lookbacks_that_add_up_to_more_than_the_history_are_refused(text, column):
    assert check(text, FIELDS) == ()
    with pytest.raises(ExpressionError) as caught:
        check(text, FIELDS, history=100)
    assert caught.value.message == TOO_LONG
    assert caught.value.column == column


@pytest.mark.parametrize(
    "text", ["ts_rank(ts_mean(close, 60), 40)", "ts_mean(close, 60) + ts_mean(open, 60) * 101"]
)
def test_lookbacks_within_the_history_pass(text):
    assert check(text, FIELDS, history=100) == ()
