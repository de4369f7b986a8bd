"""What a person would take from a model's answer is taken, and decides as the program does."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from alphafoundry.algorithms.contract import ARGUMENTS, NoCode, RefusedCode, Validated
from alphafoundry.algorithms.extraction import extract_code
from alphafoundry.algorithms.sandbox_child import BadOrder, read_decision
from alphafoundry.algorithms.validation import argument_order, validate
from tests.some_cases import one_in

from .answers import FULL, REFUSED, SIMPLE, TAKEN

CLOSE = 100 * np.exp(np.cumsum(np.random.default_rng(3).normal(0, 0.015, 60)))


def decisions(program: Validated) -> list[tuple[int, int]]:
    """Return what the program answers on each day, with cash and with shares."""
    history = SimpleNamespace(close=CLOSE[:5])
    namespace: dict[str, Any] = {"history": history, "np": np, "pd": pd, "__name__": __name__}
    exec(program.source, namespace)
    full = program.signature == "full"
    found = []
    for day in range(5, len(CLOSE)):
        history.close = CLOSE[:day]
        for cash, shares in ((10_000.0, 0), (0.0, 10)):
            values = ("T", float(CLOSE[day - 1]), day, cash, shares)
            by_name = dict(zip(ARGUMENTS["full"], values, strict=True))
            given = [by_name[name] for name in ARGUMENTS[program.signature]]
            answer = namespace["execute_trade"](*[given[i] for i in argument_order(program)])
            found.append(read_decision(answer, full=full))
    return found


EXPECTED = {
    form: decisions(Validated(code, form)) for form, code in (("simple", SIMPLE), ("full", FULL))
}


@pytest.mark.parametrize("name", one_in(4, TAKEN))
def test_the_program_is_taken_and_decides_the_same(name: str) -> None:
    program = validate(extract_code(TAKEN[name]))
    assert decisions(program) == EXPECTED[program.signature]


@pytest.mark.parametrize("name", one_in(4, REFUSED))
def test_what_cannot_be_run_is_refused(name: str) -> None:
    with pytest.raises((NoCode, RefusedCode)):
        validate(extract_code(REFUSED[name]))


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("key", ["size", "amount", "units", "percent"])
def test_an_amount_of_unknown_meaning_is_no_quantity(key: str, full: bool) -> None:
    with pytest.raises(BadOrder, match=f"answered {key!r}, which says no number of shares"):
        read_decision({"action": "BUY", key: 10}, full=full)
    assert read_decision({"action": "HOLD", key: 0}, full=full) == read_decision("HOLD", full=full)
    told = {"action": "BUY", "quantity": 3, key: 0.5}
    assert read_decision(told, full=True) == read_decision(("BUY", 3), full=True)
