"""Kinds of answers of language models, and whether a person would take them."""

# ruff: noqa: E501, UP031 - an answer is as long as it is

from __future__ import annotations

import html
import json

SIMPLE = """import numpy as np

WINDOW = 20


def average(values):
    return float(np.mean(values[-WINDOW:]))


def execute_trade(ticker, cash_balance, shares_held):
    close = history.close
    if len(close) < WINDOW:
        return "HOLD"
    level = average(close)
    if shares_held == 0 and close[-1] > level and cash_balance > 0:
        return "BUY"
    if shares_held > 0 and close[-1] < level:
        return "SELL"
    return "HOLD"
"""
FULL = """import numpy as np


def execute_trade(ticker, price, tick, cash_balance, shares_held):
    close = history.close
    if len(close) < 20:
        return "HOLD"
    level = float(np.mean(close[-20:]))
    if shares_held == 0 and price > level:
        quantity = int(cash_balance / price)
        return ("BUY", quantity)
    if shares_held > 0 and price < level:
        return ("SELL", shares_held)
    return "HOLD"
"""
IMPORTS, REST = SIMPLE.split("\n\n\n", 1)[0], SIMPLE.split("\n\n\n", 1)[1]
HELPER, MAIN = REST.split("\n\n\n")
PROSE = "Here is a trading algorithm that follows the directives.\n\n"
AFTER = "\nIt buys above the mean of twenty days and sells below it.\n"


def fenced(
    code: str, language: str = "python", fence: str = "```", close: str | None = None
) -> str:
    return f"{fence}{language}\n{code}{fence if close is None else close}\n"


def indented(text: str, by: str = "    ") -> str:
    return "".join(by + line if line.strip() else line for line in text.splitlines(True))


def lines_with(text: str, prefix: str) -> str:
    return "".join(prefix + line for line in text.splitlines(True))


SIMPLE_HEAD = "def execute_trade(ticker, cash_balance, shares_held):"
FULL_HEAD = "def execute_trade(ticker, price, tick, cash_balance, shares_held):"


def function(body: str, before: str = "", head: str = SIMPLE_HEAD) -> str:
    return fenced(before + head + "\n" + indented(body))


def full(body: str, before: str = "") -> str:
    return function(body, before, FULL_HEAD)


TAKEN: dict[str, str] = {}
"""Answers whose program decides as SIMPLE or FULL does."""

TAKEN |= {
    "kept_in_a_text": fenced('ALGORITHM = """\n' + FULL + '"""\n'),
    "starred": fenced(
        FULL.replace(
            "def execute_trade(ticker, price, tick, cash_balance, shares_held):\n",
            "def execute_trade(*args):\n"
            "    ticker, price, tick, cash_balance, shares_held = args\n",
        )
    ),
    "starred_over_lines": fenced(
        FULL.replace(
            "def execute_trade(ticker, price, tick, cash_balance, shares_held):\n",
            "def execute_trade(\n    * args,\n):\n"
            "    ticker, price, tick, cash_balance, shares_held = args\n",
        )
    ),
    "lambda_without_a_fence": PROSE
    + IMPORTS
    + "\n\n\n"
    + HELPER
    + "\n\n"
    + "execute_trade = lambda ticker, cash_balance, shares_held: (\n"
    "    'HOLD' if len(history.close) < WINDOW\n"
    "    else 'BUY' if shares_held == 0 and history.close[-1] > average(history.close)"
    " and cash_balance > 0\n"
    "    else 'SELL' if shares_held > 0 and history.close[-1] < average(history.close)\n"
    "    else 'HOLD'\n)\n" + AFTER,
    "about_itself": fenced('__all__ = ["execute_trade"]\n__version__ = "1.0"\n' + FULL),
    "order_of_its_own": fenced(
        "from dataclasses import dataclass\n"
        + FULL.replace(
            "\n\n\ndef",
            "\n\n\n@dataclass\nclass Order:\n    action: str\n    quantity: int = 0\n\n\ndef",
        )
        .replace('("BUY", quantity)', 'Order("BUY", quantity)')
        .replace('return "HOLD"', 'return Order("HOLD")')
    ),
    "partly_applied": fenced(
        "import functools\n"
        + FULL.replace("def execute_trade(ticker", "def _decide(window, ticker")
        .replace("-20:]", "-window:]")
        .replace("< 20", "< window")
        + "\n\nexecute_trade = functools.partial(_decide, 20)\n"
    ),
    "silenced": fenced(
        "import warnings\n"
        + FULL.replace(
            "    level = float(np.mean(close[-20:]))\n",
            "    with warnings.catch_warnings():\n"
            "        warnings.simplefilter('ignore')\n"
            "        level = float(np.mean(close[-20:]))\n",
        )
    ),
    "compiled": fenced(
        "from numba import njit\n" + SIMPLE.replace("def average", "@njit(cache=True)\ndef average")
    ),
    "kinds_of_collections": fenced(
        "from collections.abc import Sequence\nfrom typing import cast\n"
        + SIMPLE.replace(
            "def average(values)", "def average(values: Sequence[float]) -> float"
        ).replace("average(close)", "cast(float, average(close))")
    ),
    "members_by_name": fenced(
        "from enum import Enum, auto\n"
        + SIMPLE.replace(
            "\n\n\ndef average",
            "\n\n\nclass Order(Enum):\n    BUY = auto()\n    SELL = auto()\n    HOLD = auto()\n\n\n"
            "def average",
        )
        .replace('"BUY"', "Order.BUY")
        .replace('"SELL"', "Order.SELL")
        .replace('"HOLD"', "Order.HOLD")
    ),
    "order_of_a_plain_class": fenced(
        FULL.replace(
            "\n\n\ndef",
            "\n\n\nclass Order:\n    def __init__(self, action, quantity=0):\n"
            "        self.action = action\n        self.quantity = quantity\n\n\ndef",
        )
        .replace('("BUY", quantity)', 'Order("BUY", quantity)')
        .replace('return "HOLD"', 'return Order("HOLD")')
    ),
    "order_of_a_class_with_slots": fenced(
        FULL.replace(
            "\n\n\ndef",
            '\n\n\nclass Side:\n    __slots__ = "action"\n\n\nclass Order(Side):\n'
            '    __slots__ = ("quantity", "note")\n\n    def __init__(self, action, quantity=0):\n'
            "        self.action = action\n        self.quantity = quantity\n\n\ndef",
        )
        .replace('("BUY", quantity)', 'Order("BUY", quantity)')
        .replace('return "HOLD"', 'return Order("HOLD")')
    ),
    "orders_with_a_type": fenced(
        FULL.replace(
            '("BUY", quantity)', '{"action": "BUY", "type": "market", "quantity": quantity}'
        ).replace('("SELL", shares_held)', '{"type": "SELL", "quantity": shares_held}')
    ),
    "slots_and_formats": fenced(
        SIMPLE.replace(
            "\n\n\ndef average",
            '\n\n\nclass Note:\n    __slots__ = ("text",)\n\n    def __init__(self, value):\n'
            '        self.text = format(value, ".2f")\n\n\ndef average',
        ).replace("    level = average(close)\n", "    level = average(close)\n    Note(level)\n")
    ),
    "tag_with_attributes": '<file path="a.py">' + FULL + "</file>",
    "tool_of_xml": '<invoke name="write"><parameter name="content">'
    + SIMPLE
    + "</parameter></invoke>",
    "restructured_with_options": ".. code-block:: python\n   :linenos:\n\n" + indented(FULL),
    "bbcode_with_a_language": "[code=python]\n" + SIMPLE + "[/code]\n",
    "stream": "".join(
        "data: " + json.dumps({"choices": [{"delta": {"content": FULL[at : at + 40]}}]}) + "\n\n"
        for at in range(0, len(FULL), 40)
    )
    + "data: [DONE]\n",
    "stream_of_ollama": "".join(
        json.dumps({"response": fenced(FULL)[at : at + 9], "done": False}) + "\n"
        for at in range(0, len(fenced(FULL)), 9)
    ),
    "starred_by_names": fenced(
        SIMPLE.replace(
            "def execute_trade(ticker, cash_balance, shares_held)",
            "def execute_trade(*args, **more)",
        )
        .replace(
            "    close = history.close\n",
            '    given = dict(zip(["ticker", "cash_balance", "shares_held"], args), **more)\n    close = history.close\n',
        )
        .replace("shares_held == 0", 'given["shares_held"] == 0')
        .replace("cash_balance > 0", 'given["cash_balance"] > 0')
        .replace("shares_held > 0", 'given["shares_held"] > 0')
    ),
    "defaults_and_more": fenced(
        FULL.replace(
            "(ticker, price, tick, cash_balance, shares_held)",
            '(ticker="", price=0.0, tick=0, cash_balance=0.0, shares_held=0, data=None, *, n=20)',
        )
    ),
    "lines_with_the_ticker": fenced(
        FULL.replace('("BUY", quantity)', 'f"BUY|{ticker}|{quantity}"')
        .replace('("SELL", shares_held)', 'f"SELL|{ticker}|{shares_held}"')
        .replace('"HOLD"', 'f"HOLD|{ticker}|0"')
    ),
    "letters_of_others": fenced(
        SIMPLE.replace("level", "均线").replace("average", "durchschnitt_é")
    ),
    "latex": "\\begin{lstlisting}[language=Python]\n" + FULL + "\\end{lstlisting}\n",
    "restructured": PROSE + ".. code-block:: python\n\n" + indented(FULL) + AFTER,
    "org_mode": "* Algorithm\n#+begin_src python\n" + FULL + "#+end_src\n",
    "asciidoc": "[source,python]\n----\n" + FULL + "----\n",
}

REFUSED: dict[str, str] = {
    "starred_without_a_body": fenced('def execute_trade(*args):\n    """Decide."""\n'),
}
"""Answers without a program that can be run."""


def take(**cases: str) -> None:
    TAKEN.update(cases)


def refuse(**cases: str) -> None:
    REFUSED.update(cases)


take(
    fence_four_closed_by_three=f"````python\n{SIMPLE}```\n",
    fence_tilde_mixed=f"~~~python\n{SIMPLE}```\n",
    fence_without_end=f"{PROSE}```python\n{SIMPLE}",
    fence_without_start=f"{SIMPLE}```\n",
    fence_without_start_prose=f"{PROSE}{SIMPLE}```\n{AFTER}",
    fence_in_quote=lines_with(fenced(SIMPLE), "> "),
    fence_close_with_language=f"```python\n{SIMPLE}```python\n",
    fence_nested=f"```markdown\n{fenced(SIMPLE)}```\n",
    fence_cr=fenced(SIMPLE).replace("\n", "\r"),
    fence_twice_opened="```\n```python\n" + SIMPLE + "```\n```\n",
    fence_pre_code=f'<pre><code class="language-python">{html.escape(SIMPLE)}</code></pre>',
    fence_docstring_has_fence=fenced(
        SIMPLE.replace(
            "    close = history.close\n",
            '    """Trade.\n\n    ```\n    execute_trade(t, c, s)\n    ```\n    """\n    close = history.close\n',
            1,
        )
    ),
)
take(
    prose_indented_block=PROSE + indented(SIMPLE) + AFTER,
    prose_tab_block=PROSE + indented(SIMPLE, "\t"),
    prose_apostrophe="It's a program that doesn't loop:\n"
    + SIMPLE
    + "\nThat's all; it isn't advice.\n",
)
take(
    think_with_code=f"<think>\nMaybe\n```python\ndef execute_trade(ticker, cash_balance, shares_held):\n    return 'BUY'\n```\n</think>\n{fenced(SIMPLE)}",
    think_channel=f"<|channel|>analysis<|message|>Need the mean.<|end|><|start|>assistant<|channel|>final<|message|>{fenced(SIMPLE)}",
)
take(
    json_code=json.dumps({"code": SIMPLE}),
    json_fenced=fenced(json.dumps({"code": SIMPLE}, indent=2) + "\n", "json"),
    json_other_key=json.dumps({"explanation": "mean", "algorithm": SIMPLE}),
    json_nested=json.dumps({"result": {"language": "python", "source": SIMPLE}}),
    json_parts=json.dumps(
        [{"type": "text", "text": PROSE}, {"type": "text", "text": fenced(SIMPLE)}]
    ),
    json_string=json.dumps(SIMPLE),
    json_string_fenced=json.dumps(fenced(SIMPLE)),
    json_code_fenced=json.dumps({"answer": fenced(SIMPLE)}),
    json_lines=json.dumps({"code": SIMPLE.splitlines()}),
    json_files=json.dumps({"files": [{"path": "algo.py", "content": SIMPLE}]}),
    json_prose=PROSE + json.dumps({"code": SIMPLE}) + AFTER,
    json_raw_newlines='{"code": "' + SIMPLE.replace('"', '\\"') + '"}',
    json_tool_call=json.dumps({"name": "write", "arguments": json.dumps({"code": SIMPLE})}),
    json_single_quotes=str({"code": SIMPLE}),
    json_split=json.dumps({"imports": IMPORTS, "code": HELPER + "\n\n\n" + MAIN}),
    escaped_newlines=SIMPLE.replace("\n", "\\n"),
    escaped_newlines_fenced="```python\n" + SIMPLE.replace("\n", "\\n") + "\n```",
    escaped_quotes=SIMPLE.replace("\n", "\\n").replace('"', '\\"'),
    escaped_quoted='"' + SIMPLE.replace("\n", "\\n").replace('"', '\\"') + '"',
    escaped_only_quotes=SIMPLE.replace('"', '\\"'),
    escaped_tabs=SIMPLE.replace("    ", "\\t").replace("\n", "\\n"),
)
take(
    bom="\ufeff" + SIMPLE,
    nbsp=fenced(SIMPLE.replace("    ", "\u00a0" * 4)),
    nbsp_mixed=fenced(SIMPLE.replace("    ", " \u00a0 \u00a0")),
    nbsp_inside=fenced(SIMPLE.replace(" == ", "\u00a0==\u00a0")),
    narrow_space=fenced(SIMPLE.replace(" > ", "\u202f>\u202f")),
    ideographic=fenced(SIMPLE.replace("    ", "\u3000\u3000")),
    curly=fenced(
        SIMPLE.replace('"HOLD"', "\u201cHOLD\u201d")
        .replace('"BUY"', "\u201cBUY\u201d")
        .replace('"SELL"', "\u201cSELL\u201d")
    ),
    curly_single=fenced(
        SIMPLE.replace('"HOLD"', "\u2018HOLD\u2019")
        .replace('"BUY"', "\u2018BUY\u2019")
        .replace('"SELL"', "\u2018SELL\u2019")
    ),
    curly_low=fenced(SIMPLE.replace('"HOLD"', "\u201eHOLD\u201c")),
    curly_one_side=fenced(SIMPLE.replace('"HOLD"', "\u201dHOLD\u201d")),
    zero_width=fenced(SIMPLE.replace("def ", "\u200bdef ").replace("return", "return\u200b")),
    word_joiner=fenced(SIMPLE.replace("(", "(\u2060")),
    soft_hyphen=fenced(SIMPLE.replace("average", "aver\u00adage")),
    minus_sign=fenced(SIMPLE.replace("[-1]", "[\u22121]")),
    en_dash=fenced(SIMPLE.replace("[-1]", "[\u20131]")),
    fullwidth=fenced(
        SIMPLE.replace("(", "\uff08")
        .replace(")", "\uff09")
        .replace(",", "\uff0c")
        .replace(":\n", "\uff1a\n")
    ),
    ge_sign=fenced(SIMPLE.replace("close[-1] < level", "close[-1] \u2264 level")),
    times_sign=fenced(SIMPLE.replace("close[-1] < level", "close[-1] < 1 \u00d7 level")),
    arrows_in_comment=fenced(SIMPLE.replace("WINDOW = 20", "WINDOW = 20  # → mean – “fast”")),
    tabs_mixed=fenced(SIMPLE.replace('        return "BUY"', '\treturn "BUY"')),
    tabs_mixed_body=fenced(
        SIMPLE.replace("    level = ", "\tlevel = ").replace(
            '        return "SELL"', '\t\treturn "SELL"'
        )
    ),
    line_separator=fenced(SIMPLE).replace("\n", "\u2028"),
    next_line=fenced(SIMPLE).replace("\n", "\u0085"),
    entities=html.escape(SIMPLE),
    entities_fenced=fenced(html.escape(SIMPLE)),
    entities_lt=fenced(SIMPLE.replace(">", "&gt;").replace("<", "&lt;")),
    entities_quot=fenced(SIMPLE.replace('"', "&#39;")),
    entities_nbsp=fenced(SIMPLE.replace("    ", "&nbsp;" * 4)),
    markdown_escape=SIMPLE.replace("_", "\\_"),
    br_tags=SIMPLE.replace("\n", "<br>\n"),
)
take(
    repl=fenced(
        "".join(
            (">>> " if line[:1] not in (" ", "\n") else "... ") + line
            for line in SIMPLE.splitlines(True)
        )
    ),
    repl_plain="".join(
        (">>> " if line[:1] not in (" ", "\n") else "... ") + line
        for line in SIMPLE.splitlines(True)
    ),
    ipython="".join(
        ("In [1]: " if n == 0 else "   ...: ") + line
        for n, line in enumerate(SIMPLE.splitlines(True))
    ),
    line_numbers=fenced(
        "".join(f"{n:3d}  {line}" for n, line in enumerate(SIMPLE.splitlines(True), 1))
    ),
    line_numbers_colon=fenced(
        "".join(f"{n}: {line}" for n, line in enumerate(SIMPLE.splitlines(True), 1))
    ),
    line_numbers_bar=fenced(
        "".join(f"{n:>4} | {line}" for n, line in enumerate(SIMPLE.splitlines(True), 1))
    ),
    diff_new="```diff\n--- /dev/null\n+++ b/algo.py\n@@ -0,0 +1,%d @@\n%s```\n"
    % (SIMPLE.count("\n"), lines_with(SIMPLE, "+")),
    diff_plain="```diff\n" + lines_with(SIMPLE, "+") + "```\n",
    diff_context="```diff\n--- a/algo.py\n+++ b/algo.py\n@@ -1,19 +1,19 @@\n"
    + "".join(
        ("-WINDOW = 50\n+" if line.startswith("WINDOW") else " ") + line
        for line in SIMPLE.splitlines(True)
    )
    + "```\n",
    git_diff="diff --git a/algo.py b/algo.py\nnew file mode 100644\n--- /dev/null\n+++ b/algo.py\n@@ -0,0 +1,%d @@\n%s"
    % (SIMPLE.count("\n"), lines_with(SIMPLE, "+")),
    heredoc="```bash\ncat > algo.py <<'EOF'\n" + SIMPLE + "EOF\n```\n",
    writefile="```python\n%%writefile algo.py\n" + SIMPLE + "```\n",
    pip_magic=fenced("!pip install numpy\n" + SIMPLE),
    notebook=json.dumps(
        {
            "cells": [
                {"cell_type": "markdown", "source": ["x"]},
                {"cell_type": "code", "source": SIMPLE.splitlines(True)},
            ],
            "nbformat": 4,
        }
    ),
    bullets=lines_with(SIMPLE, "| "),
)
take(
    blocks_imports_main="First the imports:\n"
    + fenced(IMPORTS + "\n")
    + "Then the helper:\n"
    + fenced(HELPER + "\n")
    + "And the function:\n"
    + fenced(MAIN),
    blocks_draft_final="Draft:\n"
    + fenced(SIMPLE.replace("20", "x x"))
    + "Fixed:\n"
    + fenced(SIMPLE),
    blocks_final_then_stub=fenced(SIMPLE)
    + "It is called so:\n"
    + fenced("def execute_trade(ticker, cash_balance, shares_held):\n    ...\n"),
    blocks_helper_after=fenced(IMPORTS + "\n\n\n" + MAIN) + fenced(HELPER + "\n"),
    blocks_split_no_end=fenced(IMPORTS + "\n\n\n" + HELPER + "\n") + "```python\n" + MAIN,
)
START = (
    "close = history.close\nif len(close) < 20:\n    return 'HOLD'\nlevel = close[-20:].mean()\n"
)
SELL = "if shares_held > 0 and close[-1] < level:\n    return 'SELL'\nreturn 'HOLD'\n"
BUY = "if shares_held == 0 and close[-1] > level:\n    return 'BUY'\n"
BODY = START + BUY + SELL
METHOD = indented("def execute_trade(self, ticker, cash_balance, shares_held):\n" + indented(BODY))
take(
    unused_sys_free=fenced("import warnings\nimport logging\n" + SIMPLE),
    unused_named_in_a_text=fenced(
        "import random\n"
        + SIMPLE.replace(
            "    close = history.close\n",
            '    """No random numbers."""\n    close = history.close\n',
        )
    ),
    unused_random=fenced("import random\n" + SIMPLE),
    unused_datetime=fenced("from datetime import datetime, timedelta\n" + SIMPLE),
    unused_talib_try=fenced(
        "try:\n    import talib\nexcept ImportError:\n    talib = None\n" + SIMPLE
    ),
    unused_scipy=fenced("from scipy import stats\n" + SIMPLE),
    unused_matplotlib=fenced("import matplotlib.pyplot as plt\n" + SIMPLE),
    unused_yfinance=fenced("import yfinance as yf\n" + SIMPLE),
    unused_abc_enum=fenced("from abc import ABC\nfrom enum import Enum\n" + SIMPLE),
    unused_inside=function("import random\n" + BODY),
    warnings_filter=fenced("import warnings\nwarnings.filterwarnings('ignore')\n" + SIMPLE),
    main_guard=fenced(
        SIMPLE + "\n\nif __name__ == \"__main__\":\n    print(execute_trade('AAPL', 10000, 0))\n"
    ),
    example_call=fenced(SIMPLE + "\n\n# Example usage\nprint(execute_trade('AAPL', 10000, 0))\n"),
    class_self=fenced("class Strategy:\n" + METHOD),
    class_state=fenced(
        "class Strategy:\n    def __init__(self):\n        self.window = 20\n\n"
        + METHOD.replace("[-20:]", "[-self.window:]")
    ),
    class_default=fenced(
        "class Strategy:\n    def __init__(self, window=20):\n        self.window = window\n\n"
        + METHOD
    ),
    class_static=fenced("class Strategy:\n    @staticmethod\n" + METHOD.replace("self, ", "")),
    class_classmethod=fenced(
        "class Strategy:\n    @classmethod\n" + METHOD.replace("self, ", "cls, ")
    ),
    class_and_instance=fenced("class Strategy:\n" + METHOD + "\n\nstrategy = Strategy()\n"),
    class_instance_alias=fenced(
        "class Strategy:\n" + METHOD + "\n\nexecute_trade = Strategy().execute_trade\n"
    ),
    class_wrapper_function=fenced(
        "class Strategy:\n"
        + METHOD.replace("execute_trade", "decide")
        + "\n\n_s = Strategy()\n\n\ndef execute_trade(ticker, cash_balance, shares_held):\n    return _s.decide(ticker, cash_balance, shares_held)\n"
    ),
    class_dataclass=fenced(
        "from dataclasses import dataclass\n\n\n@dataclass\nclass Strategy:\n    window: int = 20\n\n"
        + METHOD
    ),
    class_other_method_name=fenced(
        "class MeanStrategy:\n" + METHOD.replace("execute_trade", "decide")
    ),
    class_called=fenced(
        "class Strategy:\n"
        + METHOD.replace("execute_trade", "__call__")
        + "\n\nexecute_trade = Strategy()\n"
    ),
    unused_seed=fenced("import os\nimport numpy as np\n\nnp.random.seed(42)\n" + SIMPLE),
    yaml_block="strategy: mean\ncode: |\n" + indented(SIMPLE, "  "),
    async_plain=fenced(SIMPLE.replace("def execute_trade", "async def execute_trade")),
    async_helper=fenced(
        SIMPLE.replace("def ", "async def ").replace("level = average", "level = await average")
    ),
    lambda_form=fenced(
        "execute_trade = lambda ticker, cash_balance, shares_held: (\n    'HOLD' if len(history.close) < 20\n    else 'BUY' if shares_held == 0 and history.close[-1] > history.close[-20:].mean()\n    else 'SELL' if shares_held > 0 and history.close[-1] < history.close[-20:].mean()\n    else 'HOLD')\n"
    ),
    alias=fenced(
        SIMPLE.replace("def execute_trade", "def decide") + "\n\nexecute_trade = decide\n"
    ),
    typed_literal=fenced(
        "from typing import Literal\n"
        + SIMPLE.replace(
            "(ticker, cash_balance, shares_held)",
            "(ticker: str, cash_balance: float, shares_held: int) -> Literal['BUY', 'SELL', 'HOLD']",
        )
    ),
    args_kwargs=fenced(SIMPLE.replace("shares_held)", "shares_held, *args, **kwargs)")),
    keyword_only=fenced(SIMPLE.replace("(ticker, cash", "(*, ticker, cash")),
    no_import_np=function(BODY.replace("close[-20:].mean()", "np.mean(close[-20:])")),
    logging_used=function("logging.info('deciding')\n" + BODY, "import logging\n\n"),
    full_plain=fenced(FULL),
)


def order(buy: str, sell: str = "'SELL'", hold: str = "'HOLD'", before: str = "") -> str:
    return function(
        BODY.replace("'BUY'", buy).replace("'SELL'", sell).replace("'HOLD'", hold), before
    )


FBODY = START + "quantity = int(cash_balance / price)\n" + BUY + SELL


def forder(buy: str, sell: str, hold: str = "'HOLD'", before: str = "") -> str:
    return full(FBODY.replace("'BUY'", buy).replace("'SELL'", sell).replace("'HOLD'", hold), before)


take(
    order_lower=order("'buy'", "'sell'", "'hold'"),
    order_title=order("'Buy'", "'Sell'", "'Hold'"),
    order_spaces=order("' BUY '", "'SELL\\n'"),
    order_none=order("'BUY'", hold="None"),
    order_bare_return=function(
        START.replace("return 'HOLD'", "return")
        + BUY
        + "if shares_held > 0 and close[-1] < level:\n    return 'SELL'\n"
    ),
    order_one_tuple=order("('BUY',)", "('SELL',)", "('HOLD',)"),
    order_list_one=order("['BUY']", "['SELL']"),
    order_enum=order(
        "Action.BUY",
        "Action.SELL",
        "Action.HOLD",
        "from enum import Enum\n\n\nclass Action(Enum):\n    BUY = 'BUY'\n    SELL = 'SELL'\n    HOLD = 'HOLD'\n\n\n",
    ),
    order_enum_value=order(
        "Action.BUY.value",
        "Action.SELL.value",
        "Action.HOLD.value",
        "from enum import Enum\n\n\nclass Action(Enum):\n    BUY = 'BUY'\n    SELL = 'SELL'\n    HOLD = 'HOLD'\n\n\n",
    ),
    order_dict_simple=order("{'action': 'BUY'}", "{'action': 'SELL'}", "{'action': 'HOLD'}"),
    order_reason=order("('BUY', 'above the mean')", "('SELL', 'below')", "('HOLD', 'nothing')"),
    order_full_dict=forder(
        "{'action': 'BUY', 'quantity': quantity}",
        "{'action': 'SELL', 'quantity': shares_held}",
        "{'action': 'HOLD', 'quantity': 0}",
    ),
    order_full_dict_side=forder(
        "{'side': 'BUY', 'shares': quantity}", "{'side': 'SELL', 'shares': shares_held}"
    ),
    order_full_swapped=forder("(quantity, 'BUY')", "(shares_held, 'SELL')"),
    order_full_text=forder("f'BUY {quantity}'", "f'SELL {shares_held}'"),
    order_full_lower=forder("('buy', quantity)", "('sell', shares_held)"),
    order_full_none=forder("('BUY', quantity)", "('SELL', shares_held)", "None"),
    order_full_namedtuple=forder(
        "Order('BUY', quantity)",
        "Order('SELL', shares_held)",
        before="from collections import namedtuple\n\nOrder = namedtuple('Order', 'side quantity')\n\n\n",
    ),
    order_full_fraction=forder("('BUY', quantity + 0.4)", "('SELL', shares_held)"),
    order_full_reason=forder("('BUY', quantity, 'above')", "('SELL', shares_held, 'below')"),
)
refuse(
    empty="",
    blank="  \n\n",
    sorry="I'm sorry, but I can't help with that.",
    prose_only=PROSE + AFTER,
    refusal_with_fence="I cannot write trading algorithms.\n```\nno code\n```\n",
    no_function=fenced("import numpy as np\nprint(np.mean([1, 2]))\n"),
    other_function=fenced(SIMPLE.replace("execute_trade", "trade")[: SIMPLE.find("def execute")]),
    two_functions=fenced(
        "def buy_signal(a, b, c):\n    return 'BUY'\n\n\ndef sell_signal(a, b, c):\n    return 'SELL'\n"
    ),
    pseudo=fenced(
        "function execute_trade(ticker, cash, shares):\n    IF price > mean THEN BUY\n    ELSE HOLD\n"
    ),
    javascript=fenced(
        "function execute_trade(ticker, cash, shares) {\n  return 'BUY';\n}\n", "javascript"
    ),
    syntax=fenced(SIMPLE.replace("if len(close) < WINDOW:", "if len(close) < WINDOW")),
    syntax_paren=fenced(SIMPLE.replace("average(close)", "average(close")),
    cut=fenced(SIMPLE[: SIMPLE.rfind("if shares_held > 0") + 20], close=""),
    cut_mid_string=SIMPLE[: SIMPLE.rfind('"HOLD"') + 3],
    cut_expression="```python\n" + SIMPLE[: SIMPLE.rfind("close[-1] < level") + 11],
    stub_pass=fenced("def execute_trade(ticker, cash_balance, shares_held):\n    pass\n"),
    stub_ellipsis=fenced("def execute_trade(ticker, cash_balance, shares_held):\n    ...\n"),
    stub_todo=fenced(
        "def execute_trade(ticker, cash_balance, shares_held):\n    # your logic here\n    return 'HOLD'\n"
    ),
    stub_not_implemented=fenced(
        "def execute_trade(ticker, cash_balance, shares_held):\n    raise NotImplementedError\n"
    ),
    undefined_helper=fenced(IMPORTS + "\n\n\n" + MAIN),
    undefined_name=function(BODY.replace("level)", "lvl)").replace("> level", "> lvl")),
    diff_partial="```diff\n@@ -10,3 +10,3 @@\n-    level = average(close)\n+    level = 2 * average(close)\n     if x:\n```\n",
    edit_marker=fenced(SIMPLE.replace(HELPER, "# ... existing code ...")),
    import_os=fenced("import os\n" + SIMPLE.replace('return "BUY"', 'return os.environ["HOME"]')),
    import_os_system=fenced("import os\nos.system('id')\n" + SIMPLE),
    import_subprocess=fenced("import subprocess\nsubprocess.run(['id'])\n" + SIMPLE),
    import_socket=fenced("import socket\ns = socket.socket()\n" + SIMPLE),
    import_requests=fenced(
        "import requests\n"
        + SIMPLE.replace("level = average(close)", "level = requests.get('http://x').json()")
    ),
    import_yfinance_used=fenced(
        "import yfinance as yf\n"
        + SIMPLE.replace("close = history.close", "close = yf.download(ticker)['Close'].values")
    ),
    import_talib_used=fenced(
        "import talib\n" + SIMPLE.replace("average(close)", "talib.SMA(close)[-1]")
    ),
    random_used=fenced("import random\n" + SIMPLE.replace("average(close)", "random.random()")),
    np_random=fenced(SIMPLE.replace("average(close)", "np.random.rand()")),
    eval_used=fenced(SIMPLE.replace("average(close)", "eval('1')")),
    exec_used=fenced(SIMPLE.replace("level = average(close)", "exec('level = 1')")),
    open_used=fenced(SIMPLE.replace("average(close)", "float(open('/etc/passwd').read())")),
    dunder=fenced(SIMPLE.replace("average(close)", "().__class__.__bases__[0]")),
    getattr_dunder=fenced(SIMPLE.replace("average(close)", "getattr(np, '__builtins__')")),
    import_call=fenced(SIMPLE.replace("average(close)", "__import__('os').getpid()")),
    input_used=fenced(SIMPLE.replace("average(close)", "float(input())")),
    wrong_arity=fenced(
        "def execute_trade(ticker):\n    return 'BUY' if history.close[-1] > 1 else 'SELL'\n"
    ),
    wrong_arity_seven=fenced(
        "def execute_trade(a, b, c, d, e, f, g):\n    return 'BUY' if history.close[-1] > 1 else 'SELL'\n"
    ),
    misplaced=fenced(
        SIMPLE.replace("(ticker, cash_balance, shares_held)", "(symbol, shares_held, cash)")
    ),
    class_two_methods=fenced(
        "class A:\n    def long(self, ticker, cash_balance, shares_held):\n        return 'BUY'\n\n    def short(self, ticker, cash_balance, shares_held):\n        return 'SELL'\n"
    ),
    class_needs_arguments=fenced(
        "class Strategy:\n    def __init__(self, window, broker):\n        self.window = window\n        self.broker = broker\n\n"
        + METHOD
    ),
    async_sleep=fenced(
        "import asyncio\n"
        + SIMPLE.replace("def execute_trade", "async def execute_trade").replace(
            "    level = average(close)\n",
            "    await asyncio.sleep(1)\n    level = average(close)\n",
        )
    ),
    generator=fenced(SIMPLE.replace("return", "yield")),
    curly_unbalanced=fenced(SIMPLE.replace('"HOLD"', "\u201cHOLD")),
    json_without_code=json.dumps({"strategy": "mean", "entry": "close > mean"}),
    json_error=json.dumps({"error": {"code": 500, "message": "overloaded"}}),
    html_error="<html><body><h1>502 Bad Gateway</h1></body></html>",
    think_only="<think>\n" + fenced(SIMPLE) + "I will now write the final version.\n</think>\n",
    think_unclosed="<think>\n" + PROSE + "def execute_trade would compute the mean",
    cut_in_second_block=fenced(IMPORTS + "\n\n\n" + HELPER + "\n")
    + "```python\n"
    + MAIN[: MAIN.find("level = ") + 8],
    conflicting_indent=fenced(SIMPLE.replace("    level = ", "   level = ")),
    constant_order_number=order("1", "-1", "0"),
)
