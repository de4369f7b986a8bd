"""Code is found in whatever a model answers, and is found whole."""

from __future__ import annotations

import ast
import textwrap
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphafoundry.algorithms.answer_readings import readings
from alphafoundry.algorithms.contract import NoCode
from alphafoundry.algorithms.extraction import extract_code
from alphafoundry.algorithms.validation import validate
from tests.property_tests import examples

CODE = '''import math
import numpy as np
from collections import deque

WINDOW = 20
_last = {"price": None}


def average(values):
    """The mean."""
    return float(np.mean(values))


def execute_trade(ticker, cash_balance, shares_held):
    close = history.close

    if len(close) < WINDOW:
        return "HOLD"
    return "BUY" if close[-1] > average(close[-WINDOW:]) else "SELL"


LIMIT = math.inf
'''
BEFORE = "Sure! Here is a trend follower. It uses history = the closes, and it's simple:\n\n"
AFTER = (
    "\n\nThis buys above the mean. Note: past results don't promise anything.\n- Fast\n- Simple\n"
)

SAME = {
    "bare": CODE,
    "fenced": f"```python\n{CODE}```",
    "fenced without a language": f"```\n{CODE}```",
    "fenced as py, chatty": f"{BEFORE}```py\n{CODE}```{AFTER}",
    "capital language": f"```Python\n{CODE}```",
    "tildes": f"~~~python\n{CODE}~~~",
    "four ticks": f"````python\n{CODE}````",
    "cut off before the fence closes": f"{BEFORE}```python\n{CODE}",
    "opened behind prose": f"Here is the code: ```python\n{CODE}```",
    "opened behind prose without a language": f"The whole program: ```\n{CODE}```{AFTER}",
    "prose behind the closing fence": f"```python\n{CODE}``` It buys above the mean.\n",
    "prose at the closing fence": f"```python\n{CODE}```. That's all!\n",
    "fences deep in a list": "- a\n  - b\n" + textwrap.indent(f"```python\n{CODE}```", "      "),
    "closed behind the last line": f"{BEFORE}```python\n{CODE.rstrip()}```{AFTER}",
    "a stub behind it": f"```python\n{CODE}```\nCalled so:\n```python\n"
    'def execute_trade(ticker, cash_balance, shares_held):\n    # ...\n    return "HOLD"\n```\n',
    "a variant that cannot run behind it": f"```python\n{CODE}```\nWith TA-Lib:\n"
    f"```python\nimport talib\n{CODE}```\n",
    "windows line ends": f"{BEFORE}```python\n{CODE}```".replace("\n", "\r\n"),
    "a byte order mark": "\ufeff" + CODE,
    "thinking before": f"<think>\ndef execute_trade(a, b, c):\n    return 1\n</think>\n{CODE}",
    "indented in a list": "1. The code:\n" + textwrap.indent(f"```python\n{CODE}```", "   "),
    "unfenced with prose on both sides": f"{BEFORE}{CODE}{AFTER}",
    "unfenced with prose before": f"Here is my algorithm.\n\n{CODE}",
    "unfenced with prose behind": f"{CODE}\nI hope this helps! Let me know.\n",
    "a shell block first": f"```bash\npip install numpy\n```\n```python\n{CODE}```",
    "an output block behind": f"```python\n{CODE}```\nOutput:\n```text\nBUY\n```",
    "a json block behind": f'```python\n{CODE}```\n```json\n{{"a": 1}}\n```',
    "a signature shown first": (
        "The contract:\n```python\ndef execute_trade(ticker, cash_balance, shares_held):\n"
        f"    return 'HOLD'\n```\nMine:\n```python\n{CODE}```"
    ),
    "an example of use behind": f"```python\n{CODE}```\n```python\nexecute_trade('A', 1.0, 0)\n```",
    "a main part": f'{CODE}\n\nif __name__ == "__main__":\n    print(execute_trade("A", 1.0, 0))\n',
}


@pytest.mark.parametrize("name", SAME)
def test_the_whole_code_is_kept(name: str) -> None:
    found = extract_code(SAME[name])
    assert ast.dump(ast.parse(found)) == ast.dump(ast.parse(CODE))
    validate(found)


def test_comments_and_blank_lines_stay() -> None:
    code = CODE.replace("WINDOW = 20", "WINDOW = 20  # days\n# a note")
    assert extract_code(f"```python\n{code}```") == code


def test_helpers_in_blocks_of_their_own_are_put_before() -> None:
    imports, rest = CODE.split("\n\nWINDOW", 1)
    answer = f"First:\n```python\n{imports}\n```\nthen\n```python\nWINDOW{rest}```"
    assert ast.dump(ast.parse(extract_code(answer))) == ast.dump(ast.parse(CODE))


def test_a_function_split_over_blocks_is_joined() -> None:
    head, tail = CODE.split("\n    if len", 1)
    answer = f"```python\n{head}\n```\ncontinued\n```python\n    if len{tail}```"
    assert ast.dump(ast.parse(extract_code(answer))) == ast.dump(ast.parse(CODE))


def test_a_function_in_thousands_of_pieces_is_joined_in_part() -> None:
    answer = f"```python\n{CODE}```\n" + "```\n    x = 1\n```\n" * 20_000
    assert extract_code(answer).startswith(CODE)


def test_the_corrected_version_wins() -> None:
    wrong = CODE.replace("WINDOW = 20", "WINDOW = 5")
    answer = f"```python\n{wrong}```\nWait, 5 is too short. Corrected:\n```python\n{CODE}```"
    assert "WINDOW = 20" in extract_code(answer)


def test_a_broken_correction_does_not_win() -> None:
    broken = CODE[: CODE.index("LIMIT")].replace("return float(", "return float((")
    assert extract_code(f"```python\n{CODE}```\nor\n```python\n{broken}```") == CODE


def test_code_with_a_fence_in_a_text_is_whole() -> None:
    code = CODE.replace('"""The mean."""', '"""The mean, ``` not a fence."""')
    assert extract_code(f"```python\n{code}```") == code


def test_what_does_not_parse_is_left_for_the_check_to_explain() -> None:
    broken = CODE.replace("def average(values):", "def average(values)")
    found = extract_code(f"```python\n{broken}```")
    assert found == broken


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "empty"),
        ("  \n\t", "empty"),
        ("<think>I would write def execute_trade", "thinking alone, with no answer behind it"),
        ("I cannot help with trading.", "no definition"),
        ("```python\ndef trade():\n    return 'BUY'\n```", "no definition"),
        ("Use execute_trade as in the document.", "no definition"),
        ("<html><body>502 Bad Gateway</body></html>", "no definition"),
    ],
)
def test_no_code_has_a_reason(answer: str, reason: str) -> None:
    with pytest.raises(NoCode, match=reason):
        extract_code(answer)


def test_a_huge_answer_is_looked_at_in_part() -> None:
    with pytest.raises(NoCode):
        extract_code("word " * 2_000_000)
    assert extract_code(CODE + "\n" + "blah blah, it's\n" * 100_000).startswith("import math")


PROSE = st.text(
    st.characters(exclude_characters="`~<\r", exclude_categories=["Cs", "Cc"]), max_size=80
)


@settings(max_examples=examples(120), deadline=None)
@given(PROSE, PROSE)
def test_prose_around_a_fence_changes_nothing(before: str, after: str) -> None:
    answer = f"{before}\n```python\n{CODE}```\n{after}"
    assert extract_code(answer) == CODE


@settings(max_examples=examples(100), deadline=None)
@given(st.text(max_size=300))
def test_any_answer_gives_code_or_a_reason(answer: str) -> None:
    for text in (answer, f"```python\n{answer}", f"def execute_trade{answer}"):
        try:
            assert "execute_trade" in extract_code(text)
        except NoCode as error:
            assert error.reason


@pytest.mark.parametrize(
    "answer",
    [" " * 60_000, "key: " + " " * 60_000, "\n" * 60_000, "<<A\n" * 15_000],
    ids=["blanks", "a key and blanks", "lines", "files of a shell"],
)
def test_the_work_grows_with_the_length_of_an_answer_not_with_its_square(answer: str) -> None:
    begun = time.thread_time()
    list(readings(f"x\n{answer}x"))
    assert time.thread_time() - begun < 2


def test_the_file_that_a_shell_writes_is_read_to_its_own_end() -> None:
    answer = f"cat > a <<'EOF'\n{CODE}\nEOF\ncat > b << END\nEOF\nEND\n"
    assert CODE + "\n" in list(readings(answer))
