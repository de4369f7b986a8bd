"""50 more odd answers with a program and 50 without, held back until what the first 200 showed was
mended, and then measured once.

Written from the prompt and docs/algorithms.md, before the code that reads answers was looked at.
"""

# ruff: noqa: E501 - an answer on a line of its own is easier to find.
from __future__ import annotations

import html
import json

from .odd_answers import (
    ALWAYS,
    BODY,
    FULL,
    FULL_ALWAYS,
    HEAD,
    IMPORTS,
    SIMPLE,
    answering,
    deciding,
    each_line,
    fenced,
    numbered,
    sized,
)

RULE = (
    "if shares_held == 0 and last > mean:\n    return 'BUY'\n"
    "if shares_held > 0 and last < mean:\n    return 'SELL'\nreturn 'HOLD'"
)
CARD = (
    "{0} = 'HOLD'\nif shares_held == 0 and last > mean:\n    {0} = 'BUY'\n"
    "elif shares_held > 0 and last < mean:\n    {0} = 'SELL'\nreturn {0}"
)

USABLE: dict[str, str] = {
    # Where the program stands.
    "fence pycon": fenced(each_line(SIMPLE, ">>> ").replace(">>>     ", "...     "), "pycon"),
    "fence with line numbers": fenced(SIMPLE, "python {linenos=true}"),
    "fence with a path": fenced(FULL, "python:strategies/mean.py"),
    "fence ipython": fenced(SIMPLE, "ipython3"),
    "fence PYTHON": fenced(FULL, "PYTHON"),
    "fence of a tool": fenced(SIMPLE, "tool_code"),
    "fence in a quotation": each_line("Here:\n" + fenced(SIMPLE), "> "),
    "details": f"<details><summary>Code</summary>\n\n{fenced(SIMPLE)}\n</details>",
    "table before": f"| a | b |\n|---|---|\n| 1 | 2 |\n\n{fenced(FULL)}",
    "horizontal rules": f"---\n{SIMPLE}---\n",
    "prose without a blank line": f"Here is the code (Python 3):\n{SIMPLE}",
    "numbered steps behind": SIMPLE + "\n1. It computes a mean.\n2. It compares.\n",
    "comment on top": f"#!/usr/bin/env python3\n# -*- coding: utf-8 -*-\n# mean.py\n{SIMPLE}",
    "begin and end": f"# BEGIN CODE\n{SIMPLE}# END CODE\n",
    "markers of words": f"===BEGIN===\n{SIMPLE}===END===\n",
    "boxed": "\\boxed{\n" + fenced(SIMPLE) + "}\n",
    "reasoning tags": f"<reasoning>\nIf x: y\n</reasoning>\n<output>\n{SIMPLE}</output>",
    "channels": f"<|channel|>analysis<|message|>Use a mean.<|end|><|start|>assistant<|channel|>final<|message|>{SIMPLE}<|return|>",
    "instruction tokens": f"[/INST] {SIMPLE}</s>",
    "python tag closed": f"<python>\n{SIMPLE}</python>",
    "file tag": f'<file path="mean.py">\n{FULL}</file>',
    "attachments": f'{{"files": [{{"path": "mean.py", "content": {json.dumps(SIMPLE)}}}]}}',
    "keys in capitals": json.dumps({"Explanation": "A mean.", "Python_Code": SIMPLE}),
    "nested json": json.dumps({"result": {"algorithm": {"source": FULL}}}),
    "list of json": json.dumps([{"type": "text", "text": "Hi"}, {"type": "code", "text": SIMPLE}]),
    "json lines": json.dumps({"thought": "mean"}) + "\n" + json.dumps({"code": SIMPLE}),
    "json behind prose": "The answer:\n" + json.dumps({"code": SIMPLE}) + "\nEnjoy.",
    "json with comma at the end": '{"code": ' + json.dumps(FULL) + ",}",
    "toml": f"name = 'mean'\ncode = '''\n{SIMPLE}'''\n",
    "yaml folded in a fence": fenced("strategy:\n  code: |-\n" + each_line(SIMPLE, "    "), "yaml"),
    "breaks of html": html.escape(SIMPLE, quote=False).replace("\n", "<br>\n"),
    "paragraph of html": "<p>Code:</p>\n<pre>" + html.escape(SIMPLE) + "</pre>\n<p>End</p>",
    "escaped twice": json.dumps(json.dumps({"code": SIMPLE})),
    "print of a text": f"print('''{SIMPLE}''')\n",
    "colours": "\x1b[32m" + SIMPLE.replace("\n", "\x1b[0m\n\x1b[32m") + "\x1b[0m",
    "line separators": SIMPLE.replace("\n", "\u2028"),
    "wide spaces": SIMPLE.replace("    ", "\u3000\u3000"),
    "soft hyphens": SIMPLE.replace("execute_trade", "execute_\u00adtrade"),
    "spaces at the ends": SIMPLE.replace("\n", "   \n"),
    "listing with brackets": numbered(SIMPLE, "[{}] "),
    # Shapes of the program.
    "chosen first": deciding(CARD.format("action")),
    "by a conditional": deciding(
        "return 'BUY' if shares_held == 0 and last > mean else "
        "('SELL' if shares_held > 0 and last < mean else 'HOLD')"
    ),
    "match": deciding(
        "match (shares_held > 0, last > mean, last < mean):\n"
        "    case (False, True, _):\n        return 'BUY'\n"
        "    case (True, _, True):\n        return 'SELL'\n"
        "    case _:\n        return 'HOLD'"
    ),
    "enumeration with values": answering(
        "Action.BUY.value",
        "Action.SELL.value",
        "Action.HOLD.value",
        before='from enum import Enum\nclass Action(Enum):\n    BUY = "BUY"\n    SELL = "SELL"\n    HOLD = "HOLD"',
    )
    .replace("from enum import Enum\nclass Action(Enum):", "class Action:")
    .replace(".value", ""),
    "dataclass": sized(
        'Order("BUY", q)',
        'Order("SELL", shares_held)',
        'Order("HOLD", 0)',
        before="from dataclasses import dataclass\n@dataclass\nclass Order:\n    action: str\n    quantity: int",
    ),
    "numpy quantity": sized(
        '("BUY", np.floor(0.5 * cash_balance / last))', '("SELL", np.int64(shares_held))'
    ),
    "text with quantity": sized('f"BUY {q}"', 'f"SELL {shares_held}"', '"HOLD 0"'),
    "static method": f"{IMPORTS}\n\n\nclass Mean:\n    @staticmethod\n{each_line(BODY, '    ')}",
    "history declared": SIMPLE.replace(
        "WINDOW = 20", "WINDOW = 20\nhistory = None  # given by the arena"
    ),
    "checks at the end": SIMPLE
    + '\n\nassert execute_trade("A", 1.0, 0) in ("BUY", "SELL", "HOLD")\n',
}

BROKEN: dict[str, str] = {
    # No program.
    "dots": "...",
    "null": "null",
    "apology in json": json.dumps({"error": "I can't do that."}),
    "refusal with an example": "I can't. Something like `execute_trade(...)` would be risky.",
    "questions": "Which broker do you use? What is your `execute_trade` meant to do?",
    "only a call": fenced('execute_trade("AAPL", 1000, 0)'),
    "only a test": fenced(
        "def test_execute_trade():\n    assert execute_trade('A', 1, 0) == 'BUY'"
    ),
    "only a docstring": fenced(f'{HEAD}\n    """Buy above the mean, sell below."""'),
    "a plan": "## Plan\n1. Load history\n2. def execute_trade\n3. return BUY/SELL/HOLD",
    "java": fenced('public String executeTrade(String t) { return "BUY"; }', "java"),
    "sql": fenced("SELECT CASE WHEN close > mean THEN 'BUY' END FROM history", "sql"),
    "rust": fenced('fn execute_trade(t: &str) -> &str { "BUY" }', "rust"),
    "program without the function": fenced("import numpy as np\nprint(np.mean([1, 2, 3]))"),
    "rate limit": '{"error": {"code": 429, "message": "Rate limit exceeded"}}',
    "empty json": "{}",
    "stack trace": "Traceback (most recent call last):\n  File \"a.py\", line 1\nNameError: name 'history'",
    "same word on and on": "HOLD " * 4000,
    # Cut or damaged.
    "cut in a fence": "```python\n" + SIMPLE[: SIMPLE.index("< mean")],
    "cut in a docstring": f'{HEAD}\n    """Buys when',
    "cut in a listing": numbered(SIMPLE, "{:>2} | ")[:250],
    "every second line": "\n".join(SIMPLE.splitlines()[::2]),
    "first letters lost": "\n".join(line[3:] for line in SIMPLE.splitlines()),
    "in one line": " ".join(SIMPLE.split()),
    "names in brackets": SIMPLE.replace("WINDOW", "{WINDOW}"),
    "jinja": SIMPLE.replace("20", "{{ window }}"),
    "dollar names": SIMPLE.replace("close", "$close"),
    "keyword as a name": SIMPLE.replace("mean", "lambda"),
    "then": SIMPLE.replace("last > mean:", "last > mean then:"),
    "left out in the middle": SIMPLE.replace(
        "    mean = float(np.mean(close[-WINDOW:]))", "    ...  # compute mean"
    ),
    "braces": SIMPLE.replace("shares_held):", "shares_held) {") + "}\n",
    # Not the contract.
    "prices as an argument": "def execute_trade(ticker, prices, cash_balance, shares_held):\n    return 'BUY'\n",
    "list of stocks": "def execute_trade(tickers, cash_balance, shares_held, weights, date):\n    return 'BUY'\n",
    "cash and shares exchanged by other names": "def execute_trade(shares_held, ticker):\n    return 'BUY' if shares_held == 0 else 'HOLD'\n",
    "class without it": "class Strategy:\n    def decide(self, ticker, cash_balance, shares_held):\n        return 'BUY'\n",
    "only declared": "from typing import Callable\n\nexecute_trade: Callable\n",
    "a number instead": "execute_trade = 1\n",
    "returns itself": ALWAYS + "execute_trade\n",
    "returns a list of days": ALWAYS + "['BUY'] * len(history.close)\n",
    "answers text of a number": ALWAYS + "'10'\n",
    "two orders": FULL_ALWAYS + '[("BUY", 1), ("SELL", 1)]\n',
    "nan shares": FULL_ALWAYS + '("BUY", float("nan"))\n',
    "endless shares": FULL_ALWAYS + '("BUY", float("inf"))\n',
    "short": FULL_ALWAYS + '("SHORT", 10)\n',
    "part as a percentage": FULL_ALWAYS + '"BUY 50%"\n',
    # What is not allowed or fails.
    "pickle": SIMPLE.replace("    last =", "    pickle.loads(b'')\n    last =").replace(
        "import numpy", "import pickle\nimport numpy"
    ),
    "ctypes": SIMPLE.replace("    last =", "    ctypes.CDLL(None)\n    last =").replace(
        "import numpy", "import ctypes\nimport numpy"
    ),
    "by format": SIMPLE.replace("    last =", "    '{0.__class__}'.format(close)\n    last ="),
    "frame of a generator": SIMPLE.replace(
        "    last =", "    (x for x in []).gi_frame.f_back\n    last ="
    ),
    "index beyond": SIMPLE.replace("close[-1]", "close[len(close)]"),
    "gigabytes": SIMPLE.replace("    last =", "    np.ones((60000, 60000))\n    last ="),
}
