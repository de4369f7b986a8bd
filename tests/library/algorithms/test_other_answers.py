"""Answers to another contract, by authors who saw neither the code here nor its pages.

Their `execute_trade` gets the bars as an argument and answers lines such as `BUY|AAPL|10`. Taking
a program out and checking it is the same, and so is what may be imported; what calls the program
and reads its lines stands here. The figures of the first run are in docs/algorithms.md.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from alphafoundry.algorithms.contract import AlgorithmFailed, NoCode, RefusedCode, Validated
from alphafoundry.algorithms.extraction import extract_code
from alphafoundry.algorithms.sandbox import Sandbox
from alphafoundry.algorithms.validation import validate
from tests.library.algorithms.bars import walking_bars
from tests.some_cases import one_in

SETS = [json.loads(path.read_text()) for path in sorted(Path(__file__).parent.glob("other_*.json"))]
USABLE, BROKEN = (
    {
        f"{number} {name}": answer
        for number, each in enumerate(SETS, 1)
        for name, answer in each[kind].items()
    }
    for kind in ("usable", "broken")
)
BARS = walking_bars(days=380)
CALL = """

def execute_trade(ticker, cash_balance, shares_held):
    frame = pd.DataFrame(
        {"open": history.open, "high": history.high, "low": history.low, "close": history.close,
         "volume": history.volume},
        index=pd.date_range("2020-01-01", periods=len(history.close)),
    )
    for bars in (None, frame.head(1), frame):
        line = asked(ticker, cash_balance, shares_held, %sbars)
        side, name, quantity = line.split("|")
        if side not in ("BUY", "SELL", "HOLD") or name != ticker or not quantity.isdigit():
            raise ValueError("no order: " + line)
    return (side, int(quantity))
"""


def as_asked(program: Validated) -> str:
    """The program called as its contract says."""
    short, whole = ("ticker, cash_balance, shares_held" + more for more in ("", ", bars=None"))
    # What gives a method or another name the shape of this contract leaves the bars out.
    source = re.sub(
        rf"def execute_trade\({short}\):\n    return (\S+)\({short}\)",
        rf"def execute_trade({whole}):\n    return \1({short}, bars)",
        program.source,
    )
    source = re.sub(r"\bexecute_trade\b", "asked", source)
    found = [n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef)]
    arguments = next(each.args for each in found if each.name == "asked")
    named = "historical_data" in [a.arg for a in (*arguments.args, *arguments.kwonlyargs)]
    return source + CALL % ("historical_data=" if named else "")


def test_each_is_of_one_kind() -> None:
    assert len(USABLE) == 121
    assert len(BROKEN) == 79


@pytest.mark.parametrize("name", one_in(4, USABLE))
def test_a_program_is_taken_and_answers_its_lines(name: str) -> None:
    source = as_asked(validate(extract_code(USABLE[name])))
    history = SimpleNamespace()
    given: dict[str, Any] = {"history": history, "np": np, "pd": pd, "__name__": __name__}
    exec(source, given)
    for days in (60, 200, 379):
        for name in ("open", "high", "low", "close", "volume"):
            setattr(history, name, getattr(BARS, name)[:days])
        for cash, shares in ((10_000.0, 0), (0.0, 10)):
            side, quantity = given["execute_trade"]("AAA", cash, shares)
            assert side in ("BUY", "SELL", "HOLD")
            assert quantity >= 0


@pytest.mark.parametrize("name", one_in(4, BROKEN))
def test_what_cannot_be_run_is_refused(name: str) -> None:
    try:
        program = validate(extract_code(BROKEN[name]))
    except (NoCode, RefusedCode):
        return
    with pytest.raises(AlgorithmFailed) as refused:
        Sandbox().smoke(Validated(as_asked(program), "simple"), BARS, tolerated=0)
    assert refused.value.kind != "start"
