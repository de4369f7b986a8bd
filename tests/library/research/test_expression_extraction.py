"""What is kept of a chatty language model's answer."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphafoundry.errors import ExpressionError
from alphafoundry.expressions import DEFAULT_FIELDS, Expression, FieldInfo, check, parse
from alphafoundry.research.expression_extraction import read_answer

FIELDS = {**DEFAULT_FIELDS, "equity": FieldInfo("equity", "MATRIX")}


def judge(text: str) -> Expression:
    expression = parse(text)
    check(expression, FIELDS)
    if not expression.operators or not expression.fields:
        raise ExpressionError("an alpha needs a field and an operator", expression=text)
    return expression


def kept(answer: str) -> list[str]:
    return [expression.text for expression in read_answer(answer, judge).kept]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("rank(divide(equity, cap))", "rank(divide(equity, cap))"),
        ("  rank(close)  ", "rank(close)"),
        ("1. rank(close)", "rank(close)"),
        ("12) -rank(close)", "-rank(close)"),
        ("(3) rank(close)", "rank(close)"),
        ("- rank(close)", "rank(close)"),
        ("* `rank(close)`", "rank(close)"),
        ("• rank(close)", "rank(close)"),
        ("> rank(close)", "rank(close)"),
        ("-rank(close)", "-rank(close)"),
        ("-1 * rank(close)", "-1 * rank(close)"),
        ("`rank(close)`", "rank(close)"),
        ("**rank(close)**", "rank(close)"),
        ('"rank(close)",', "rank(close)"),
        ("rank(close);", "rank(close)"),
        ("rank(close).", "rank(close)"),
        ("alpha = rank(close)", "rank(close)"),
        ("alpha_1 = rank(close);", "rank(close)"),
        ("Alpha 2: rank(close)", "rank(close)"),
        ("1. **Alpha 1**: `rank(close)` - captures momentum", "rank(close)"),
        ("rank(close)  # this is the price level", "rank(close)"),
        ("rank(close) // this is the price level", "rank(close)"),
        ("rank(close) - captures the price level", "rank(close)"),
        ("rank(close) (this measures the price level)", "rank(close)"),
        ("rank(close): it captures the level", "rank(close)"),
        ("The expression rank(close) provides the level.", "rank(close)"),
        ("winsorize(returns, std=4)", "winsorize(returns, std=4)"),
        ("rank(close) − rank(volume)", "rank(close) - rank(volume)"),
        ("rank(close) × rank(volume)", "rank(close) * rank(volume)"),
        ("a = ts_mean(close, 5); rank(close / a)", "a = ts_mean(close, 5); rank(close / a)"),
        (
            'group_neutralize(returns, bucket(rank(cap), range="0, 1, 0.1"))',
            'group_neutralize(returns, bucket(rank(cap), range="0, 1, 0.1"))',
        ),
        ("rank(\n    ts_delta(close, 5)\n)", "rank( ts_delta(close, 5) )"),
        ("close > ts_mean(close, 20) ? returns : -returns",) * 2,
    ],
)
def test_a_valid_expression_survives_what_is_around_it(line: str, expected: str) -> None:
    assert kept(line) == [expected]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Here are 5 unique alphas that capture the market:", "no expression"),
        ("rank(eqity)", "did you mean 'equity'"),
        ("frobnicate(close)", "unknown operator"),
        ("rank(frob(close)) + zscore(volume)", "frob"),
        ("zscore(volume) + rank(frob(close))", "frob"),
        ("rank(close) * unheard_of", "unheard_of"),
        ("unheard_of * rank(close)", "unheard_of"),
        ("rank(close, volume", ""),
        ("rank(ts_mean(close))", ""),
        ("close", "no expression"),
        ("rank(sector)", "Grouping data"),
        ("frob(close) + zscore(volume)", "frob"),
    ],
)
def test_a_refused_line_says_why_and_no_part_of_it_is_taken(line: str, reason: str) -> None:
    reading = read_answer(line, judge)
    assert reading.kept == ()
    (refusal,) = reading.refused
    assert refusal.text == line
    assert refusal.reason and reason in refusal.reason


def test_the_reasoning_of_a_thinking_model_is_not_an_answer() -> None:
    answer = "<think>\nMaybe rank(volume)?\nNo.\n</think>\n\nrank(close)\n"
    assert kept(answer) == ["rank(close)"]
    assert kept("Maybe rank(volume)?\n</think>\nrank(close)") == ["rank(close)"]


def test_reasoning_that_never_ends_is_reported() -> None:
    reading = read_answer("<think>\nWhat about rank(volume)", judge)
    assert reading.kept == ()
    assert "raise num_predict" in reading.refused[0].reason


CHATTY = """<think>
Okay, the user wants 5 alphas. rank(close) is too simple.
</think>
Sure! Here are 5 unique alpha factor expressions:

```python
1. rank(divide(equity, cap))
2. **Reversal**: `-ts_delta(close, 5)`
3. alpha_3 = group_neutralize(
       ts_mean(returns, 10),
       sector)
4. ts_zscore(volumes, 20)
```
- `ts_corr(close, volume, 10)`: it captures the price/volume relation
- Both `rank(open)` and `rank(low)` are alternatives.

These expressions provide diversity. Let me know if you need more!
"""


def test_a_long_chatty_answer() -> None:
    reading = read_answer(CHATTY, judge)
    assert [expression.canonical for expression in reading.kept] == [
        "rank(divide(equity, cap))",
        "reverse(ts_delta(close, 5))",
        "group_neutralize(ts_mean(returns, 10), sector)",
        "ts_corr(close, volume, 10)",
        "rank(open)",
        "rank(low)",
    ]
    reasons = {refusal.text: refusal.reason for refusal in reading.refused}
    assert "did you mean 'volume'" in reasons["4. ts_zscore(volumes, 20)"]
    assert len(reasons) == 3


def test_json_lists_are_read() -> None:
    assert kept('```json\n["rank(close)", "rank(open)"]\n```') == ["rank(close)", "rank(open)"]
    assert kept('{"alphas": [{"expression": "rank(close)"}]}') == ["rank(close)"]


@given(st.text(max_size=300))
def test_no_answer_whatever_breaks_the_reader(answer: str) -> None:
    reading = read_answer(answer, judge)
    for expression in reading.kept:
        check(expression, FIELDS)


@pytest.mark.parametrize("filler", ["(", "rank(", "a b ", "-", "`", "x(y) ", "1.5 * "])
def test_long_nonsense_is_read_quickly(filler: str) -> None:
    assert read_answer(filler * 20_000, judge).kept == ()


@pytest.mark.parametrize(
    "answer",
    [
        "- " * 400 + "rank(eqity)" + " -" * 400,
        "-" * 900 + "rank(eqity)" + "-" * 900,
        "(a) " * 450 + "rank(eqity)",
        "a" * 100_000,
        "<think>" * 20_000,
        "x1" * 50_000,
    ],
)
def test_the_work_grows_with_the_length_of_an_answer_not_with_its_square(answer: str) -> None:
    def none(text: str) -> Expression:
        raise ExpressionError("it is none", expression=text)

    begun = time.thread_time()
    assert read_answer(answer, none).kept == ()
    assert time.thread_time() - begun < 2
