"""The check of the source: what passes, and what is refused where."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphafoundry.algorithms.contract import RefusedCode
from alphafoundry.algorithms.validation import MOST_BYTES, validate
from tests.library.algorithms.hostile import ESCAPES, in_call
from tests.property_tests import examples

SIMPLE = "def execute_trade(ticker, cash_balance, shares_held):\n"
HOLD = "    return 'BUY' if cash_balance else 'SELL'\n"


def refusals(source: str) -> list[tuple[int, str]]:
    with pytest.raises(RefusedCode) as caught:
        validate(source)
    return [(each.line, each.reason) for each in caught.value.refusals]


def simple(*lines: str, before: str = "") -> str:
    return before + SIMPLE + "".join(f"    {line}\n" for line in lines) + HOLD


ACCEPTED = {
    "the least": SIMPLE + HOLD,
    "imports and helpers": (
        "from __future__ import annotations\n"
        "import math, statistics\nimport numpy as np\nimport pandas as pd\n"
        "from collections import deque, defaultdict\nfrom typing import Optional\n"
        "from numpy.lib.stride_tricks import sliding_window_view\n"
        "import numpy.linalg as la\n"
        "WINDOW = 20\n_cache = {}\n"
        "def mean(x: Optional[list] = None):\n    return statistics.fmean(x)\n" + SIMPLE + HOLD
    ),
    "a class with state": (
        "class State:\n"
        "    def __init__(self):\n        self._last = None\n"
        "    def __repr__(self):\n        return 'State'\n"
        "    def _next(self, x):\n        self._last = x\n        return self._last\n"
        "state = State()\n" + simple("state._next(1)", "print(state._last)")
    ),
    "a named tuple": (
        "from collections import namedtuple\nP = namedtuple('P', 'a b')\n"
        + simple("x = P(1, 2)._replace(a=3)")
    ),
    "formats that read nothing": simple("x = '{:.2f} {}'.format(1.0, 2)", "y = f'{x!r:>{9}}'"),
    "plain getattr": simple("x = getattr(history, 'close')", "y = hasattr(x, 'mean')"),
    "numpy work": simple("x = np.diff(history.close)", "y = np.linalg.norm(x)"),
    "pandas work": simple("x = pd.Series(history.close).ewm(span=3).mean().iloc[-1]"),
    "with and try": simple(
        "with np.errstate(all='ignore'):",
        "    x = 1",
        "try:",
        "    x = 2",
        "except (ValueError, ZeroDivisionError):",
        "    x = 3",
    ),
    "a doc text with a dunder": SIMPLE + '    """About __init__."""\n' + HOLD,
    "a name that hides a builtin": simple("input = 3", "x = input + 1"),
    "defaults": "def execute_trade(ticker, cash_balance=0.0, shares_held=0):\n" + HOLD,
    "one more with a default": (
        "def execute_trade(ticker, cash_balance, shares_held, window=5):\n" + HOLD
    ),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_ordinary_code_passes(name: str) -> None:
    checked = validate(ACCEPTED[name])
    assert checked.source == ACCEPTED[name]
    assert checked.signature == "simple"


def test_the_full_signature_is_told_from_the_simple_one() -> None:
    head = "def execute_trade(ticker, price, tick, cash_balance, shares_held):\n"
    assert validate(head + "    return ('BUY', 1)\n").signature == "full"


REFUSED = {
    "import os": ("import os\n" + SIMPLE + HOLD, 1, "import of 'os'"),
    "import in a function": (simple("import socket"), 2, "import of 'socket'"),
    "import of a part": ("import os.path as math\n" + SIMPLE + HOLD, 1, "import of 'os.path'"),
    "import from": ("from subprocess import run\n" + SIMPLE + HOLD, 1, "'subprocess'"),
    "relative import": ("from . import x\n" + SIMPLE + HOLD, 1, "relative"),
    "star": ("from numpy import *\n" + SIMPLE + HOLD, 1, "everything"),
    "sys through a module": (simple("statistics.sys"), 2, "'sys'"),
    "sys through an alias": (simple("s = statistics", "s.sys.modules"), 3, "'sys'"),
    "sys from a module": ("from statistics import sys\n" + SIMPLE + HOLD, 1, "statistics.sys"),
    "attrgetter": ("from operator import attrgetter\n" + SIMPLE + HOLD, 1, "operator"),
    "not in the short list": (
        "from functools import wraps\n" + SIMPLE + HOLD,
        1,
        "functools.wraps",
    ),
    "numpy.ctypeslib": ("import numpy.ctypeslib\n" + SIMPLE + HOLD, 1, "numpy.ctypeslib"),
    "numpy.load": (simple("np.load('x')"), 2, "'load'"),
    "numpy.fromfile": (simple("np.fromfile('x')"), 2, "'fromfile'"),
    "numpy.memmap": (simple("np.memmap('x')"), 2, "'memmap'"),
    "load by from": ("from numpy import load as mean\n" + SIMPLE + HOLD, 1, "numpy.load"),
    "tofile": (simple("history.close.tofile('x')"), 2, "'tofile'"),
    "array.ctypes": (simple("history.close.ctypes.data"), 2, "'ctypes'"),
    "read_csv": (simple("pd.read_csv('x')"), 2, "'read_csv'"),
    "read_pickle": (simple("pd.read_pickle('x')"), 2, "'read_pickle'"),
    "to_csv": (simple("pd.DataFrame().to_csv('x')"), 2, "'to_csv'"),
    "to_csv by name": (simple("pd.DataFrame().apply('to_csv')"), 2, "to_csv"),
    "DataFrame.eval": (simple("pd.DataFrame().eval('@x')"), 2, "'eval'"),
    "DataFrame.query": (simple("pd.DataFrame().query('@x')"), 2, "'query'"),
    "open": (simple("open('x')"), 2, "files"),
    "open in a list": (simple("f = [open]"), 2, "files"),
    "eval": (simple("eval('1')"), 2, "code cannot be made"),
    "exec": (simple("exec('1')"), 2, "code cannot be made"),
    "compile": (simple("compile('1', '', 'eval')"), 2, "code cannot be made"),
    "__import__": (simple("__import__('os')"), 2, "__import__"),
    "__builtins__": (simple("__builtins__"), 2, "__builtins__"),
    "globals": (simple("globals()"), 2, "globals"),
    "vars": (simple("vars(history)"), 2, "vars"),
    "type": (simple("type('X', (), {})"), 2, "type()"),
    "input": (simple("input()"), 2, "nobody"),
    "breakpoint": (simple("breakpoint()"), 2, "debugger"),
    "memoryview": (simple("memoryview(b'')"), 2, "memoryview"),
    "subclasses": (simple("().__class__"), 2, "__class__"),
    "function globals": (simple("execute_trade.__globals__"), 2, "__globals__"),
    "traceback": (
        simple("try:", "    1/0", "except Exception as e:", "    e.__traceback__"),
        5,
        "__traceback__",
    ),
    "traceback frame": (simple("e = None", "e.tb_frame"), 3, "tb_frame"),
    "generator frame": (simple("(x for x in ()).gi_frame"), 2, "gi_frame"),
    "frame back": (simple("x = 0", "x.f_back.f_globals"), 3, "f_back"),
    "mro": (simple("ValueError.mro()"), 2, "mro"),
    "getattr with a computed name": (simple("getattr(np, 'lo' + 'ad')"), 2, "plain text"),
    "getattr passed on": (simple("map(getattr, [np], ['load'])"), 2, "plain text"),
    "getattr of a hidden name": (simple("getattr(np, 'load')"), 2, "'load'"),
    "getattr of a dunder": (simple("getattr(np, '__dict__')"), 2, "dunder"),
    "setattr of a dunder": (simple("setattr(np, '__dict__', 1)"), 2, "dunder"),
    "another name for getattr": (simple("getattr = getattr", "getattr(np, 'x' + 'y')"), 2, "plain"),
    "format that reads": (simple("'{0.close}'.format(history)"), 2, "reads attributes"),
    "format that indexes": (simple("'{0[0]}'.format(history)"), 2, "reads attributes"),
    "format nested": (simple("'{:{0.x}}'.format(history)"), 2, "reads attributes"),
    "format of a variable": (simple("f = '{0.close}'", "f.format(history)"), 3, "written out"),
    "format passed on": (simple("f = '{0.close}'.format"), 2, "written out"),
    "str.format": (simple("str.format('{0.x}', 1)"), 2, "written out"),
    "format_map": (simple("'{x}'.format_map({})"), 2, "format_map"),
    "text of a dunder": (simple("x = '__class__'"), 2, "dunder"),
    "bytes of a dunder": (simple("x = b'__class__'"), 2, "dunder"),
    "private of another": (simple("pd.DataFrame()._mgr"), 2, "'_mgr'"),
    "pattern by attribute": (
        simple("match 1:", "    case object(gi_frame=x):", "        pass"),
        3,
        "gi_frame",
    ),
    "pattern by __match_args__": (
        "class A:\n    __match_args__ = ('x',)\n" + SIMPLE + HOLD,
        2,
        "__match_args__",
    ),
    "a dangerous method": ("class A:\n    def __del__(self): pass\n" + SIMPLE + HOLD, 2, "__del__"),
    "metaclass": ("class A(metaclass=M): pass\n" + SIMPLE + HOLD, 1, "metaclass"),
    "a dunder argument": (simple("f = lambda __class__: 1"), 2, "__class__"),
    "a dunder keyword": (simple("dict(__class__=1)"), 2, "__class__"),
    "a dunder global": (simple("global __name__"), 2, "__name__"),
    "a dunder alias": ("import math as __builtins__\n" + SIMPLE + HOLD, 1, "__builtins__"),
    "random": (simple("np.random.rand()"), 2, "random numbers"),
    "the clock": (simple("pd.Timestamp.now()"), 2, "the clock"),
    "import random": ("import random\n" + SIMPLE + HOLD, 1, "import of 'random'"),
    "time": ("import time\n" + SIMPLE + HOLD, 1, "import of 'time'"),
    "a coroutine": ("async def f(): pass\n" + SIMPLE + HOLD, 1, "coroutines"),
    "an async execute_trade": ("async " + SIMPLE + HOLD, 1, "coroutines"),
    "nothing": ("x = 'BUY'\n", 0, "execute_trade is missing"),
    "in a class": ("class A:\n    def execute_trade(self, a, b): return 'BUY'\n", 0, "top level"),
    "twice": (SIMPLE + HOLD + SIMPLE + HOLD, 3, "defined twice"),
    "empty": ("X = 'BUY'\n" + SIMPLE + "    pass\n", 2, "is empty"),
    "a doc text only": ("X = 'BUY'\n" + SIMPLE + "    'later'\n", 2, "is empty"),
    "only HOLD": ("X = 'BUY'\n" + SIMPLE + "    return 'HOLD'\n", 2, "is empty"),
    "no side at all": (SIMPLE + "    x = 1\n    return 'HOLD' if x else 'hold'\n", 1, "never"),
    "two arguments": ("def execute_trade(a, b):\n    return 'BUY' if a else 'SELL'\n", 1, "takes"),
    "any arguments": ("def execute_trade(*a):\n    return 'BUY' if a else 'SELL'\n", 1, "takes"),
    "a required keyword": (
        "def execute_trade(a, b, c, *, d):\n    return 'BUY' if a else 'SELL'\n",
        1,
        "takes",
    ),
    "syntax": (SIMPLE + "    return 'BUY\n", 2, "syntax"),
    "return outside": ("return 'BUY'\n" + SIMPLE + HOLD, 1, "syntax"),
    "too long": ("#" * MOST_BYTES + "\n" + SIMPLE + HOLD, 0, "64 KiB"),
    "too many nodes": (SIMPLE + HOLD + "x = [" + "1," * 25_000 + "]\n", 0, "nodes"),
    "too deep": (SIMPLE + HOLD + "x = " + "(" * 5_000 + ")" * 5_000 + "\n", 0, ""),
    "deep operators": (SIMPLE + HOLD + "x = " + "-" * 50_000 + "1\n", 0, ""),
    "a null byte": (SIMPLE + HOLD + "\0", 0, ""),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_line_and_reason(name: str) -> None:
    source, line, reason = REFUSED[name]
    found = refusals(source)
    assert any((not line or at == line) and reason in why for at, why in found), found


@pytest.mark.parametrize("name", ESCAPES)
def test_every_escape_is_refused_before_it_runs(name: str) -> None:
    assert refusals(ESCAPES[name][0])


def test_all_refusals_are_listed_in_order() -> None:
    found = refusals("import os\nimport sys\n" + simple("open('x')", "np.load('y')"))
    assert [line for line, _ in found] == [1, 2, 4, 5]


def test_a_refusal_survives_a_process_pool() -> None:
    with pytest.raises(RefusedCode) as caught:
        validate("import os\n" + SIMPLE + HOLD)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value)
    assert (copy.line, copy.reason) == (1, caught.value.reason)


@settings(max_examples=examples(100), deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_passed_or_refused(text: str) -> None:
    for source in (text, simple(text.replace("\n", " ")), in_call(repr(text), before="")):
        try:
            assert validate(source).source == source
        except RefusedCode as error:
            assert error.refusals
