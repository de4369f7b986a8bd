"""Tables of reports on terminals of every width."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from alphafoundry.runs import Table
from flows.terminal import _print_table

EXPRESSION = "zscore(reverse(group_rank(ts_mean(ts_decay_linear(returns, 3), 3), industry)))"
ROWS = [
    {
        "alpha": f"EBYysA6{number}",
        "sharpe": "3.54 [2.7, 4.4]",
        "verdict": "not confirmed",
        "fitness": "2.17",
        "true sharpe": "3.29",
        "truth": "short_reversal",
        "expression": f"{EXPRESSION}\n= submitted",
    }
    for number in range(3)
]


def printed(width: int, rows: list[dict[str, str]] = ROWS) -> str:
    output = io.StringIO()
    console = Console(width=width, highlight=False, file=output)
    _print_table(console, Table("Alphas", rows, wide="expression"))
    return output.getvalue()


@pytest.mark.parametrize("width", [60, 80, 100])
def test_long_texts_stand_below_the_table_where_it_is_narrow(width: int) -> None:
    text = printed(width)
    joined = "".join(text.split())
    assert joined.count("".join(EXPRESSION.split())) == len(ROWS)
    assert all(f"EBYysA6{number}zscore" in joined for number in range(3))
    assert max(map(len, text.splitlines())) <= width


def test_long_texts_have_a_column_where_there_is_room() -> None:
    lines = printed(200).splitlines()
    assert sum("EBYysA6" in line and "zscore(reverse" in line for line in lines) == len(ROWS)
    assert "expression" in lines[2]


def test_texts_that_would_take_many_lines_of_their_column_stand_below_the_table() -> None:
    longer = f"add({EXPRESSION}, {', '.join([EXPRESSION] * 6)})"
    text = printed(180, [ROWS[0], ROWS[1] | {"expression": longer}])
    assert f"EBYysA61  {longer[:60]}" in text
    assert "│" not in text and max(map(len, text.splitlines())) <= 180
