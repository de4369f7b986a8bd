"""Answers that were written without a look at what reads them are taken, or refused, as people do.

The figures of the first run over each set are in docs/algorithms.md.
"""

from __future__ import annotations

import html
import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

from alphafoundry.algorithms.contract import AlgorithmFailed, NoCode, RefusedCode, Validated
from alphafoundry.algorithms.extraction import extract_code
from alphafoundry.algorithms.sandbox import Sandbox
from alphafoundry.algorithms.sandbox_child import read_decision
from alphafoundry.algorithms.validation import validate
from tests.library.algorithms import odd_answers, odd_answers_held
from tests.library.algorithms.bars import walking_bars
from tests.library.algorithms.odd_answers import BODY, FULL, IMPORTS, SIMPLE, fenced
from tests.some_cases import one_in

from .test_answers import CLOSE, decisions

USABLE = {**odd_answers.USABLE, **odd_answers_held.USABLE}
BROKEN = {**odd_answers.BROKEN, **odd_answers_held.BROKEN}


def by_hand(form: str) -> list[tuple[int, int]]:
    """What the rule of the answers decides on each day, with cash and with shares."""
    found = []
    for day in range(5, len(CLOSE)):
        seen = CLOSE[:day]
        mean = sum(seen[-20:]) / 20
        for cash, shares in ((10_000.0, 0), (0.0, 10)):
            answer: Any = "HOLD"
            if day >= 20 and shares == 0 and seen[-1] > mean:
                answer = ("BUY", int(0.5 * cash / seen[-1])) if form == "full" else "BUY"
            elif day >= 20 and shares and seen[-1] < mean:
                answer = ("SELL", shares) if form == "full" else "SELL"
            found.append(read_decision(answer, full=form == "full"))
    return found


RIGHT = {form: by_hand(form) for form in ("simple", "full")}


def taken(answer: str) -> Validated:
    """The program of an answer, which decides as the rule does."""
    program = validate(extract_code(answer))
    assert decisions(program) == RIGHT[program.signature]
    return program


def test_the_names_are_each_of_one_answer() -> None:
    assert len(USABLE) == 154
    assert len(BROKEN) == 148


@pytest.mark.parametrize("name", one_in(4, USABLE))
def test_a_program_in_an_odd_form_is_taken_and_decides_the_same(name: str) -> None:
    taken(USABLE[name])


@pytest.mark.parametrize("name", one_in(4, BROKEN))
def test_what_cannot_be_run_is_refused_before_the_race(name: str) -> None:
    try:
        program = validate(extract_code(BROKEN[name]))
    except (NoCode, RefusedCode):
        return
    with pytest.raises(AlgorithmFailed) as refused:
        Sandbox().smoke(program, walking_bars(days=380))
    assert refused.value.kind != "start"


@pytest.mark.parametrize(
    "stand_in",
    [
        "history = None",
        "history: object = None",
        "class Bars:\n    close = np.ones(300)\n\n\nhistory = Bars()",
    ],
)
def test_no_program_runs_on_prices_of_its_own(stand_in: str) -> None:
    taken(f"{IMPORTS}\n{stand_in}\n\n\n{BODY}")


def test_a_history_that_the_program_keeps_itself_stays() -> None:
    kept = f"{IMPORTS}\nhistory = []\n\n\n" + FULL.split("\n\n\n")[1].replace(
        "close = history.close", "history.append(price)\n    close = history"
    )
    assert "history = []" in extract_code(kept)
    Sandbox().smoke(validate(extract_code(kept)), walking_bars(days=380))


@pytest.mark.parametrize("word", ["Done", "End\n", "Notes: none", "Enjoy"])
def test_a_word_alone_on_its_line_is_prose(word: str) -> None:
    taken(f"{SIMPLE}\n{word}")


@pytest.mark.parametrize("text", ["BUY 5", "buy: 5", "BUY, 5", "Buy 5 shares"])
def test_an_order_in_a_text(text: str) -> None:
    assert read_decision(text, full=True) == read_decision(("BUY", 5), full=True)
    held = text.lower().replace("buy", "hold")
    assert read_decision(held, full=True) == read_decision("HOLD", full=True)


WRAPPINGS: dict[str, Callable[[str], str]] = {
    "fence": fenced,
    "prose": lambda text: f"Here it is:\n\n{text}\n\nIt trades on the mean.\n",
    "thoughts": lambda text: f"<think>\nLet me see: {odd_answers.DRAFT}</think>\n{text}",
    "windows": lambda text: text.replace("\n", "\r\n"),
    "answer tag": lambda text: f"<answer>\n{text}\n</answer>",
    "end of text": lambda text: f"{text}<|endoftext|>",
    "json": lambda text: json.dumps({"code": text}),
    "html": lambda text: f"<pre>{html.escape(text)}</pre>",
    "quotation": lambda text: odd_answers.each_line(text, "> "),
    "colours": lambda text: f"\x1b[1m{text}\x1b[0m",
    "markdown": lambda text: text.replace("_", "\\_"),
    "yaml": lambda text: "code: |\n" + odd_answers.each_line(text, "  "),
}


@pytest.mark.parametrize(("inner", "outer"), one_in(4, itertools.permutations(WRAPPINGS, 2)))
def test_two_wrappings_at_once(inner: str, outer: str) -> None:
    taken(WRAPPINGS[outer](WRAPPINGS[inner](SIMPLE)))
