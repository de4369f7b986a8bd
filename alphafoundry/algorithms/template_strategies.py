"""Working strategies composed from pieces, as the directives of a model ask for them."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import indent

from alphafoundry.algorithms.prompt_directives import Directives

_CUTS = {
    "fixed numbers": "0.02 * (days / 20.0) ** 0.5",
    "multiples of the recent standard deviation": "0.5 * {p}deviation(close) * days ** 0.5",
    "quantiles of the recent past": "{p}typical_move(close, days)",
}

_DEVIATION = '''
def {p}deviation(close):
    """Standard deviation of the daily returns of the last {slow} days."""
    recent = close[-({slow} + 1):]
    return float(np.std(np.diff(recent) / recent[:-1]))
'''

_TYPICAL_MOVE = '''
def {p}typical_move(close, days):
    """The move over so many days that two of three were smaller than, in the last year."""
    recent = close[-(252 + days):]
    if len(recent) <= days:
        return 0.02
    return float(np.quantile(np.abs(recent[days:] / recent[:-days] - 1.0), 0.66))
'''

_CUT = '''
def {p}cut(close, days):
    """The move over so many days that counts as one."""
    return max({cut}, 0.001)
'''

_RSI = '''
def {p}strength(close):
    """Relative strength index of the last {rsi} days, 0 to 100."""
    moves = np.diff(close[-({rsi} + 1):])
    gained = float(np.sum(moves[moves > 0]))
    lost = -float(np.sum(moves[moves < 0]))
    return 50.0 if gained + lost <= 0 else 100.0 * gained / (gained + lost)
'''

_SIGNALS: Mapping[str, str] = {
    "trend following": """
        fast = float(np.mean(close[-{fast_average}:]))
        slow = float(np.mean(close[-{slow_average}:]))
        gap = 0.25 * {p}cut(close, {fast_average})
        enter, leave = fast > slow * (1.0 + gap), fast < slow * (1.0 - gap)
    """,
    "momentum": """
        change = float(close[-1] / close[-{slow}] - 1.0)
        cut = {p}cut(close, {slow})
        enter, leave = change > cut, change < 0.0
    """,
    "mean reversion": """
        average = float(np.mean(close[-{slow}:]))
        gap = float(close[-1]) / average - 1.0
        cut = {p}cut(close, {fast})
        enter, leave = gap < -cut, gap > 0.5 * cut
    """,
    "breakout": """
        enter = close[-1] >= np.max(close[-{slow}:-1])
        leave = close[-1] <= np.min(close[-{fast}:-1])
    """,
    "oscillator": """
        strength = {p}strength(close)
        enter = strength < 40.0 and close[-1] > close[-2]
        leave = strength > 65.0
    """,
    "bands": """
        recent = close[-{band}:]
        middle, width = float(np.mean(recent)), float(np.std(recent))
        enter = close[-1] < middle - 1.25 * width
        leave = close[-1] > middle + 1.25 * width
    """,
    "volatility regime": """
        moves = np.diff(np.log(close[-(2 * {slow} + 1):]))
        now, usual = float(np.std(moves[-{fast}:])), float(np.std(moves))
        enter, leave = now < 0.95 * usual, now > 1.35 * usual
    """,
    "volume confirmation": """
        change = float(close[-1] / close[-{fast}] - 1.0)
        cut = 0.5 * {p}cut(close, {fast})
        usual = float(np.mean(history.volume[-{volume}:]))
        busy = not np.isfinite(usual) or history.volume[-1] >= usual
        enter, leave = change > cut and busy, change < -cut
    """,
    "acceleration": """
        now = float(close[-1] / close[-{fast}] - 1.0) / {fast}
        before = float(close[-{fast}] / close[-{slow}] - 1.0) / ({slow} - {fast})
        enter, leave = now > before and now > 0.0, now < before and now < 0.0
    """,
    "pullback": """
        slow = float(np.mean(close[-{slow}:]))
        earlier = float(np.mean(close[-({slow} + {fast}):-{fast}]))
        dip = close[-1] < float(np.mean(close[-{fast}:]))
        enter, leave = slow > earlier and dip and close[-1] > slow, close[-1] < 0.98 * slow
    """,
}

_FILTERS = {
    "use_volume": """
        volume = float(np.mean(history.volume[-{volume}:]))
        if np.isfinite(volume) and float(np.mean(history.volume[-5:])) < 0.6 * volume:
            enter = False
    """,
    "use_volatility": """
        if {p}deviation(close) > 0.05:
            enter = False
    """,
    "use_trend": """
        if close[-1] < 0.9 * float(np.mean(close[-{longest}:])):
            enter = False
    """,
}

_STOP = """
        if shares_held > 0 and {p}entry[0] > 0.0 and close[-1] < 0.88 * {p}entry[0]:
            leave = True
"""

_SIMPLE = """
        if leave and shares_held > 0:
            return "SELL"
        if enter and not leave and shares_held == 0:
            {p}entry[0] = float(close[-1])
            return "BUY"
        return "HOLD"
"""

_FULL = """
        if leave and shares_held > 0:
            return ("SELL", shares_held)
        if enter and not leave and {may_enter}:
            quantity = int({share} * cash_balance / (1.002 * price))
            if quantity > 0:
                {p}entry[0] = float(price)
                return ("BUY", quantity)
        return "HOLD"
"""

_SHARES = {
    "all in, all out": ("shares_held == 0", "0.98"),
    "enter with half of the cash, add once when the position is in profit": (
        "(shares_held == 0 or (price > 1.05 * {p}entry[0] "
        "and cash_balance > 0.3 * shares_held * price))",
        "(0.5 if shares_held == 0 else 0.95)",
    ),
    "size the position by the recent volatility": (
        "shares_held == 0",
        "min(0.98, 0.012 / max({p}deviation(close), 0.004))",
    ),
}


def compose(directives: Directives) -> str:
    """Return the program that follows these directives; the same directives, the same program."""
    values = _values(directives)

    def filled(text: str) -> str:
        return text.format_map(values)

    signal = _block(filled(_SIGNALS[directives.strategy]))
    for name, text in _FILTERS.items():
        if getattr(directives, name):
            signal += _block(filled(text))
    if "state machine" in directives.logic:
        signal += _block(filled(_STOP))
    signal += _block(filled(_SIMPLE if directives.signature == "simple" else _FULL))
    body = (
        f'close = history.close\nif len(close) < {values["needed"]}:\n    return "HOLD"\n' + signal
    )
    used = body
    functions: list[str] = []
    for name, text in reversed(list(_FUNCTIONS.items())):
        if f"{values['p']}{name}(" in used:
            functions.insert(0, filled(text))
            used += functions[0]
    arguments = (
        "ticker, cash_balance, shares_held"
        if directives.signature == "simple"
        else "ticker, price, tick, cash_balance, shares_held"
    )
    return (
        f'"""{directives.strategy.capitalize()}, composed from a template."""\n\n'
        "import numpy as np\n\n"
        f"{values['p']}entry = [0.0]\n\n"
        + "\n".join(functions)
        + f"\n\ndef execute_trade({arguments}):\n"
        + indent(body, "    ")
    )


_FUNCTIONS: Mapping[str, str] = {
    "deviation": _DEVIATION,
    "typical_move": _TYPICAL_MOVE,
    "strength": _RSI,
    "cut": _CUT,
}
"""Functions by name; a later one may call an earlier one."""


def _values(directives: Directives) -> dict[str, object]:
    p = directives.prefix
    fast, slow = directives.periods
    longest = 2 * slow + fast
    may_enter, share = _SHARES[directives.portfolio]
    return {
        "p": p,
        "fast": fast,
        "slow": slow,
        "longest": longest,
        "needed": max(longest, directives.slow_average, directives.volume_period) + 2,
        "fast_average": directives.fast_average,
        "slow_average": directives.slow_average,
        "rsi": directives.rsi_period,
        "band": directives.band_period,
        "volume": directives.volume_period,
        "cut": _CUTS[directives.threshold].replace("{p}", p),
        "may_enter": may_enter.replace("{p}", p),
        "share": share.replace("{p}", p),
    }


def _block(text: str) -> str:
    lines = text.strip("\n").split("\n")
    return "\n".join(line.removeprefix(" " * 8) for line in lines).rstrip() + "\n"
