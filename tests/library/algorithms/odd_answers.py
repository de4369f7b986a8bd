"""102 odd answers with a program that a person would take, and 98 that hold none that can be run.

Written from the prompt and docs/algorithms.md, before the code that reads answers was looked at.
"""

# ruff: noqa: E501 - an answer on a line of its own is easier to find.
from __future__ import annotations

import html
import json

SIMPLE = """\
import numpy as np

WINDOW = 20


def execute_trade(ticker, cash_balance, shares_held):
    close = history.close
    if len(close) < WINDOW:
        return "HOLD"
    mean = float(np.mean(close[-WINDOW:]))
    last = float(close[-1])
    if shares_held == 0 and last > mean:
        return "BUY"
    if shares_held > 0 and last < mean:
        return "SELL"
    return "HOLD"
"""

FULL = """\
import numpy as np

WINDOW = 20


def execute_trade(ticker, price, tick, cash_balance, shares_held):
    close = history.close
    if len(close) < WINDOW:
        return "HOLD"
    mean = float(np.mean(close[-WINDOW:]))
    if shares_held == 0 and price > mean:
        return ("BUY", int(0.5 * cash_balance / price))
    if shares_held > 0 and price < mean:
        return ("SELL", shares_held)
    return "HOLD"
"""

IMPORTS, BODY = SIMPLE.split("\n\n\n")
HEAD = "def execute_trade(ticker, cash_balance, shares_held):"
FULL_HEAD = "def execute_trade(ticker, price, tick, cash_balance, shares_held):"


def fenced(code: str, language: str = "python", fence: str = "```") -> str:
    """The code between fences."""
    return f"{fence}{language}\n{code.rstrip()}\n{fence}\n"


def each_line(code: str, prefix: str) -> str:
    """The code with a text before every line."""
    return "".join(f"{prefix}{line}\n" for line in code.splitlines())


def numbered(code: str, form: str) -> str:
    """The code with the number of every line."""
    return "".join(form.format(n) + line + "\n" for n, line in enumerate(code.splitlines(), 1))


def deciding(body: str, *, head: str = HEAD, before: str = "import numpy as np\n\n\n") -> str:
    """A program whose function has this body, written below `mean`, `last` and `held`."""
    lines = [
        "close = history.close",
        "if len(close) < 20:",
        '    return "HOLD"',
        "mean = float(np.mean(close[-20:]))",
        "last = float(close[-1])",
        *body.strip("\n").splitlines(),
    ]
    return before + head + "\n" + each_line("\n".join(lines), "    ")


def answering(buy: str, sell: str, hold: str = '"HOLD"', *, before: str = "") -> str:
    """A simple program with these three answers."""
    return deciding(
        f"if shares_held == 0 and last > mean:\n    return {buy}\n"
        f"if shares_held > 0 and last < mean:\n    return {sell}\nreturn {hold}",
        before=f"import numpy as np\n{before}\n\n",
    )


def sized(buy: str, sell: str, hold: str = '"HOLD"', *, before: str = "") -> str:
    """A full program with these three answers, of which `q` is the quantity."""
    return deciding(
        "q = int(0.5 * cash_balance / last)\n"
        f"if shares_held == 0 and last > mean:\n    return {buy}\n"
        f"if shares_held > 0 and last < mean:\n    return {sell}\nreturn {hold}",
        head=FULL_HEAD,
        before=f"import numpy as np\n{before}\n\n",
    )


CONDITIONS = (
    "if shares_held == 0 and last > mean:\n    return 'BUY'\n"
    "if shares_held > 0 and last < mean:\n    return 'SELL'\nreturn 'HOLD'"
)
METHOD = each_line(BODY.replace("(ticker", "(self, ticker"), "    ")
TWO_LINES = SIMPLE.replace("mean = float", "mean = \\\n        float")
DRAFT = "def execute_trade(ticker, cash_balance, shares_held):\n    ...  # work this out\n"

USABLE: dict[str, str] = {
    # Where the program stands.
    "nothing around it": SIMPLE,
    "fence": fenced(FULL),
    "fence py": fenced(SIMPLE, "py"),
    "fence Python3": fenced(FULL, "Python3"),
    "fence with title": fenced(SIMPLE, 'python title="algorithm.py"'),
    "fence in braces": fenced(SIMPLE, "{python}"),
    "fence of pandoc": fenced(FULL, "{.python .numberLines}"),
    "fence of tildes": fenced(SIMPLE, "python", "~~~"),
    "fence of four": fenced(SIMPLE, "python", "````"),
    "fence in a fence": fenced(fenced(SIMPLE), "markdown", "````"),
    "fence twice": "```python\n" + fenced(SIMPLE) + "```\n",
    "fence of quotes": f"'''python\n{FULL}'''\n",
    "fence not closed": f"Here you go:\n```python\n{SIMPLE}",
    "fence not opened": f"{SIMPLE}```\nThis buys above the average.",
    "fence closed on the last line": f"```python\n{SIMPLE.rstrip()}```",
    "fence opened on the first line": f"```python {SIMPLE}```",
    "fence with spaces": f"   ```python   \n{SIMPLE}   ```   \n",
    "item of a list": "1. The algorithm:\n\n" + each_line(fenced(SIMPLE), "   ") + "\n2. Run it.",
    "bullet": "- Code:\n" + each_line(fenced(FULL), "  ") + "- Notes: none.",
    "indented by four": "The algorithm:\n\n" + each_line(SIMPLE, "    ") + "\nGood luck!",
    "prose before": "Sure! Here is an algorithm that trades around its average.\n\n" + SIMPLE,
    "prose behind": SIMPLE + "\nThis algorithm buys when the price is above its 20-day mean.\n",
    "prose on both sides": f"Certainly: a mean rule.\n\n{FULL}\nLet me know if it's unclear.\n",
    "heading": f"# Trading algorithm\n\n## Code\n\n{fenced(SIMPLE)}\n## Notes\n\n* simple\n",
    "final answer": f"**Final Answer:**\n\n{SIMPLE}",
    "one backtick": f"`{SIMPLE.strip()}`",
    # What a template or a renderer leaves.
    "thoughts": f"<think>\nMaybe a mean? {DRAFT}\nYes.\n</think>\n\n{fenced(SIMPLE)}",
    "thoughts without beginning": f"Use the mean.\n{DRAFT}</think>\n{FULL}",
    "thinking with a fence": f"<thinking>\n{fenced(DRAFT)}\n</thinking>\n{fenced(SIMPLE)}",
    "answer tag": f"<answer>\n{SIMPLE}</answer>",
    "code tag": f"<code>\n{FULL}</code>",
    "html": f'<pre><code class="language-python">{html.escape(SIMPLE)}</code></pre>',
    "bbcode": f"[CODE]\n{SIMPLE}[/CODE]",
    "code llama": f"[PYTHON]\n{FULL}[/PYTHON]\n[TESTS]\nassert True\n[/TESTS]",
    "python tag": f"<|python_tag|>{SIMPLE}",
    "chat markup": f"<|im_start|>assistant\n{fenced(SIMPLE)}<|im_end|>",
    "end of sequence": f"{SIMPLE}</s>",
    "end of turn": f"{fenced(FULL)}<|eot_id|>",
    "artifact": f'<artifact identifier="a" language="python" title="A">\n{SIMPLE}</artifact>',
    "cdata": f"<algorithm><![CDATA[\n{SIMPLE}]]></algorithm>",
    "copy button": f"python\nCopy code\n{SIMPLE}",
    "language alone": f"python\n{SIMPLE}",
    "latex listing": f"\\begin{{lstlisting}}[language=Python]\n{SIMPLE}\\end{{lstlisting}}",
    "latex verbatim": f"\\begin{{verbatim}}\n{FULL}\\end{{verbatim}}",
    "restructured text": f"Code\n====\n\n.. code-block:: python\n\n{each_line(SIMPLE, '   ')}\nEnd.",
    "org mode": f"* Algorithm\n#+begin_src python\n{SIMPLE}#+end_src\n",
    "escaped underscores": fenced(SIMPLE.replace("_", "\\_"), ""),
    # Other formats around it.
    "json": json.dumps({"code": SIMPLE}),
    "json in a fence": fenced(json.dumps({"language": "python", "code": FULL}, indent=2), "json"),
    "json of lines": json.dumps({"code": SIMPLE.splitlines()}, indent=1),
    "json with a fence inside": json.dumps({"answer": fenced(SIMPLE)}),
    "json with raw line ends": '{"code": "' + SIMPLE.replace('"', '\\"') + '"}',
    "json text": json.dumps(SIMPLE),
    "dict of python": repr({"code": SIMPLE, "note": "mean"}),
    "tool call": "<tool_call>\n"
    + json.dumps({"name": "submit", "arguments": {"code": FULL}})
    + "\n</tool_call>",
    "notebook": json.dumps(
        {
            "cells": [
                {"cell_type": "markdown", "source": ["# Mean"]},
                {"cell_type": "code", "source": SIMPLE.splitlines(keepends=True)},
            ]
        }
    ),
    "yaml": "name: mean\ncode: |\n" + each_line(SIMPLE, "  "),
    "escaped line ends": SIMPLE.replace("\n", "\\n"),
    "text in quotes": f'code = """\n{SIMPLE}"""\n'.replace('"HOLD"', "'HOLD'"),
    "here document": f"cat > algorithm.py << 'EOF'\n{SIMPLE}EOF\n",
    "cell magic": fenced(f"%%writefile algorithm.py\n{SIMPLE}"),
    "shell line": fenced(f"!pip install numpy\n{FULL}"),
    "session": each_line(SIMPLE, ">>> ").replace(">>>     ", "...     "),
    "new file of a diff": "--- /dev/null\n+++ b/algorithm.py\n@@ -0,0 +1,17 @@\n"
    + each_line(SIMPLE, "+"),
    "patch": "*** Begin Patch\n*** Add File: algorithm.py\n"
    + each_line(FULL, "+")
    + "*** End Patch\n",
    "search and replace": "algorithm.py\n<<<<<<< SEARCH\n=======\n" + SIMPLE + ">>>>>>> REPLACE\n",
    "quotation": "You asked for:\n\n" + each_line(SIMPLE, "> "),
    "listing": numbered(SIMPLE, "{:>3}  "),
    "listing with one blank": numbered(SIMPLE, "{:>3} "),
    "listing with tabs": numbered(FULL, "{:>6}\t"),
    "listing with bars": numbered(FULL, "{:>2} | "),
    "listing with colons": numbered(SIMPLE, "{}: "),
    # Characters.
    "windows": fenced(SIMPLE).replace("\n", "\r\n"),
    "old mac": SIMPLE.replace("\n", "\r"),
    "byte order mark": "\ufeff" + SIMPLE,
    "tabs": SIMPLE.replace("    ", "\t"),
    "no-break spaces": SIMPLE.replace("    ", "\u00a0" * 4),
    "zero width": SIMPLE.replace("def ", "\u200bdef "),
    "typeset quotes": SIMPLE.replace('"HOLD"', "\u201cHOLD\u201d").replace(
        '"BUY"', "\u2018BUY\u2019"
    ),
    "typeset minus": SIMPLE.replace("-", "\u2212"),
    "wide signs": SIMPLE.replace(":\n", "\uff1a\n").replace(", ", "\uff0c"),
    # Several blocks.
    "imports apart": f"First:\n{fenced(IMPORTS)}\nThen the function:\n{fenced(BODY)}",
    "usage behind": fenced(SIMPLE) + "\nUse:\n" + fenced("backtest(execute_trade, data)\n"),
    "worse version behind": fenced(FULL) + "\nOr, not done yet:\n" + fenced(DRAFT),
    "configuration behind": fenced(SIMPLE) + "\n" + fenced("window: 20\n", "yaml"),
    # Other shapes of one program.
    "types": SIMPLE.replace(HEAD, HEAD.replace("ticker", "ticker: str").replace(":\n", "")).replace(
        "shares_held):\n", "shares_held: int) -> str:\n", 1
    ),
    "defaults": SIMPLE.replace("cash_balance, shares_held)", "cash_balance=0.0, shares_held=0)"),
    "by name only": SIMPLE.replace("(ticker, cash", "(ticker, *, cash"),
    "by place only": SIMPLE.replace("shares_held):", "shares_held, /):"),
    "parameter more": SIMPLE.replace("shares_held):", "shares_held, window=20):"),
    "rest of names": FULL.replace("shares_held):", "shares_held, **kwargs):"),
    "other order": FULL.replace("(ticker, price, tick, cash_", "(price, ticker, tick, cash_"),
    "method": f"{IMPORTS}\n\n\nclass MeanStrategy:\n{METHOD}",
    "method of an object": f"{IMPORTS}\n\n\nclass Mean:\n{METHOD}\n\nexecute_trade = Mean().execute_trade\n",
    "made by a function": f"{IMPORTS}\n\n\ndef make():\n{each_line(BODY, '    ')}\n"
    "    return execute_trade\n\n\nexecute_trade = make()\n",
    "lower case": answering('"buy"', '"sell"', '"hold"'),
    "names of orders": answering(
        "BUY", "SELL", "HOLD", before='BUY, SELL, HOLD = "BUY", "SELL", "HOLD"'
    ),
    "dict with reason": answering(
        '{"action": "BUY", "reason": "above"}', '{"action": "SELL"}', "None"
    ),
    "quantity first": sized('(q, "BUY")', '(shares_held, "SELL")', '(0, "HOLD")'),
    "named tuple": sized(
        'Order("BUY", q)',
        'Order("SELL", shares_held)',
        'Order("HOLD", 0)',
        before='from collections import namedtuple\nOrder = namedtuple("Order", "action quantity")',
    ),
    "dict with shares": sized(
        '{"side": "BUY", "shares": q}',
        '{"side": "SELL", "shares": shares_held}',
        '{"side": "HOLD"}',
    ),
    "example of use": SIMPLE
    + '\n\nif __name__ == "__main__":\n    print(execute_trade("A", 1, 0))\n',
    # First taken for broken: NumPy is given to every program, and a text that is only executed is
    # read as the program that it is.
    "import forgotten": SIMPLE.replace("import numpy as np\n", ""),
    "text that is executed": f"exec({SIMPLE!r})\n",
}

ALWAYS = f"{HEAD}\n    return "
FULL_ALWAYS = f"{FULL_HEAD}\n    return "

BROKEN: dict[str, str] = {
    # No program.
    "nothing": "",
    "white space": " \n\t\n",
    "refusal": "I'm sorry, but I can't help with trading advice.",
    "prose": "Buy when the price is above its 20-day mean, sell below it, and hold otherwise.",
    "pseudocode": "FUNCTION execute_trade(ticker)\n  IF price > mean THEN RETURN BUY\nEND FUNCTION",
    "javascript": fenced("function execute_trade(ticker, cash) { return 'BUY'; }", "javascript"),
    "c++": fenced('std::string execute_trade(std::string t) { return "BUY"; }', "cpp"),
    "r": fenced("execute_trade <- function(ticker) { 'BUY' }", "r"),
    "pine": fenced('//@version=5\nstrategy("x")\nstrategy.entry("L", strategy.long)', ""),
    "empty fence": "```python\n```\n",
    "only a comment": fenced("# execute_trade goes here"),
    "only imports": fenced("import numpy as np\nimport pandas as pd"),
    "error of a gateway": "<html><body><h1>502 Bad Gateway</h1></body></html>",
    "json without code": '{"code": null, "error": "overloaded"}',
    "json with an order": '{"action": "BUY", "quantity": 10}',
    "order alone": "BUY",
    "echo of the contract": fenced(HEAD),
    "only an indicator": fenced("def rsi(close, n=14):\n    return close[-1]\n"),
    "other name": SIMPLE.replace("execute_trade", "trade"),
    "zipline": fenced(
        "def initialize(context):\n    pass\n\n\ndef handle_data(context, data):\n    order(1)"
    ),
    "backtrader": fenced(
        "import backtrader as bt\n\n\nclass S(bt.Strategy):\n    def next(self):\n        self.buy()"
    ),
    "lean": fenced(
        "class A(QCAlgorithm):\n    def OnData(self, data):\n        self.SetHoldings('SPY', 1)"
    ),
    # Cut or damaged.
    "cut in the head": SIMPLE[: SIMPLE.index("shares_held")],
    "cut behind the head": SIMPLE[: SIMPLE.index("    close")],
    "cut in an expression": SIMPLE[: SIMPLE.index("-WINDOW:]") + 2],
    "cut in a text": SIMPLE[: SIMPLE.index('"BUY"') + 2],
    "cut behind a colon": SIMPLE[: SIMPLE.index('        return "BUY"')],
    "cut in json": json.dumps({"code": SIMPLE})[:220],
    "no colon": SIMPLE.replace("shares_held):", "shares_held)"),
    "bracket left open": SIMPLE.replace("close[-WINDOW:]))", "close[-WINDOW:])"),
    "indentation lost": "\n".join(line.strip() for line in SIMPLE.splitlines()),
    "indentation wrong": SIMPLE.replace("    mean =", "      mean ="),
    "prose between the lines": SIMPLE.replace(
        "    mean =", "Now we compute the average.\n    mean ="
    ),
    "assignment for comparison": SIMPLE.replace("shares_held == 0", "shares_held = 0"),
    "c operators": SIMPLE.replace(" and ", " && "),
    "else if": SIMPLE.replace("    if shares_held > 0", "    else if shares_held > 0"),
    "python 2": SIMPLE.replace("    last =", '    print "mean", mean\n    last ='),
    "conflict": SIMPLE.replace("    last", "<<<<<<< a\n    last").replace(
        '    return "HOLD"\n', "=======\n    return 1\n>>>>>>> b\n"
    ),
    "hunk of a diff": "@@ -9,3 +9,3 @@\n     last = float(close[-1])\n-    x = 1\n+    x = 2\n",
    "rest left out": fenced(f"{HEAD}\n    close = history.close\n    # ... the rest as before\n"),
    "three dots": fenced(f"{HEAD}\n    ..."),
    "pass": fenced(f"{HEAD}\n    pass"),
    "not implemented": fenced(f"{HEAD}\n    raise NotImplementedError"),
    "placeholder in brackets": fenced(
        SIMPLE.replace("mean = float(np.mean(close[-WINDOW:]))", "mean = <your mean>")
    ),
    # Not the contract.
    "no arguments": "def execute_trade():\n    return 'BUY'\n",
    "two arguments": "def execute_trade(ticker, cash_balance):\n    return 'BUY'\n",
    "four arguments": "def execute_trade(ticker, price, cash_balance, shares_held):\n    return 'BUY'\n",
    "six arguments": FULL.replace("shares_held):", "shares_held, history):"),
    "a frame": "def execute_trade(df):\n    return 'BUY' if df.close.iloc[-1] > 1 else 'HOLD'\n",
    "price in the place of cash": "def execute_trade(ticker, price, shares_held):\n    return 'BUY' if price > 1 else 'HOLD'\n",
    "self without a class": SIMPLE.replace("(ticker,", "(self, ticker,"),
    "constructor with a need": f"{IMPORTS}\n\n\nclass Mean:\n    def __init__(self, broker):\n        self.broker = broker\n\n{METHOD}",
    "inside another function": f"{IMPORTS}\n\n\ndef outer():\n{each_line(BODY, '    ')}",
    "never defined": "import numpy as np\n\nif False:\n" + each_line(BODY, "    "),
    "overwritten": SIMPLE + "\n\nexecute_trade = None\n",
    "deleted": SIMPLE + "\n\ndel execute_trade\n",
    "text instead": 'execute_trade = "BUY"\n',
    "generator": SIMPLE.replace("return ", "yield "),
    "awaits": "import asyncio\n\n\nasync "
    + SIMPLE.replace("import numpy as np\n\nWINDOW = 20\n\n\n", "")
    .replace("    close =", "    await asyncio.sleep(1)\n    close =")
    .replace("WINDOW", "20")
    .replace("np.mean", "sum"),
    "nothing returned": SIMPLE.replace("return ", "order = "),
    "printed": "def execute_trade(ticker, cash_balance, shares_held):\n    print('BUY')\n",
    # Names that nothing gives.
    "unknown frame": SIMPLE.replace("history.close", "df['close'].values"),
    "unknown indicator": SIMPLE.replace(
        "float(np.mean(close[-WINDOW:]))", "talib.SMA(close, 20)[-1]"
    ),
    "capital": SIMPLE.replace("history.close", "History.close"),
    "unknown helper": SIMPLE.replace("float(np.mean(close[-WINDOW:]))", "sma(close, 20)"),
    "unknown attribute": SIMPLE.replace("history.close", "history.prices"),
    "misspelt": SIMPLE.replace("last < mean", "last < maen"),
    # What is not allowed.
    "os": SIMPLE.replace("    last =", "    os.system('ls')\n    last =").replace(
        "import numpy", "import os\nimport numpy"
    ),
    "subprocess": SIMPLE.replace("    last =", "    subprocess.run(['ls'])\n    last =").replace(
        "import numpy", "import subprocess\nimport numpy"
    ),
    "requests": SIMPLE.replace(
        "close = history.close", "close = requests.get('http://x/').json()"
    ).replace("import numpy", "import requests\nimport numpy"),
    "yfinance": SIMPLE.replace("history.close", "yf.download(ticker).Close.values").replace(
        "import numpy", "import yfinance as yf\nimport numpy"
    ),
    "scipy": SIMPLE.replace("float(np.mean(", "float(stats.gmean(").replace(
        "import numpy", "from scipy import stats\nimport numpy"
    ),
    "ta-lib": SIMPLE.replace("float(np.mean(close[-WINDOW:]))", "talib.SMA(close, 20)[-1]").replace(
        "import numpy", "import talib\nimport numpy"
    ),
    "sockets": SIMPLE.replace("    last =", "    socket.socket()\n    last =").replace(
        "import numpy", "import socket\nimport numpy"
    ),
    "threads": SIMPLE.replace("    last =", "    threading.Thread().start()\n    last =").replace(
        "import numpy", "import threading\nimport numpy"
    ),
    "clock": SIMPLE.replace("last > mean", "time.time() % 2 > 1").replace(
        "import numpy", "import time\nimport numpy"
    ),
    "chance": SIMPLE.replace("last > mean", "random.random() > 0.5").replace(
        "import numpy", "import random\nimport numpy"
    ),
    "open": SIMPLE.replace("    last =", "    open('/etc/passwd').read()\n    last ="),
    "read_csv": SIMPLE.replace("history.close", "pd.read_csv('x.csv').close.values").replace(
        "import numpy", "import pandas as pd\nimport numpy"
    ),
    "np.load": SIMPLE.replace("history.close", "np.load('x.npy')"),
    "savetxt": SIMPLE.replace("    last =", "    np.savetxt('x', close)\n    last ="),
    "eval": SIMPLE.replace("float(close[-1])", "eval('float(close[-1])')"),
    "dunder": SIMPLE.replace("    last =", "    x = ().__class__.__bases__\n    last ="),
    "imported by name": SIMPLE.replace("    last =", "    __import__('os')\n    last ="),
    "getattr": SIMPLE.replace("    last =", "    getattr(np, '__loader__')\n    last ="),
    "input": SIMPLE.replace("float(close[-1])", "float(input())"),
    "exit": SIMPLE.replace("    last =", "    raise SystemExit\n    last ="),
    # What fails when it runs.
    "endless": SIMPLE.replace("    last =", "    while True:\n        mean += 1\n    last ="),
    "bottomless": SIMPLE.replace(
        "    last =", "    execute_trade(ticker, cash_balance, shares_held)\n    last ="
    ),
    "divides by zero": SIMPLE.replace("float(close[-1])", "1 / (shares_held - shares_held)"),
    "writes into history": SIMPLE.replace("    last =", "    close[-1] = 0\n    last ="),
    "answers a number": ALWAYS + "1\n",
    "answers true": ALWAYS + "history.close[-1] > 0\n",
    "answers long": ALWAYS + "'LONG' if history.close[-1] > 1e9 else 'FLAT'\n",
    "answers advice": ALWAYS + "'I would BUY or SELL'\n",
    "quantity below zero": FULL_ALWAYS + '("BUY", -5)\n',
    "quantity in words": FULL_ALWAYS + '("BUY", "all")\n',
    "a part of the cash": FULL_ALWAYS + '{"action": "BUY", "size": 0.5}\n',
}
