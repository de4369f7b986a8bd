"""FASTEXPR expressions with placeholders as strategies."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from alphafoundry.backtest.columns import columns_of
from alphafoundry.backtest.strategy import Parameter, Strategy, Values
from alphafoundry.compilation import FloatMatrix
from alphafoundry.errors import WrongParameter
from alphafoundry.expressions import DEFAULT_FIELDS, Evaluator, FieldInfo, check, parse
from alphafoundry.finance.bars import FIELDS, Bars

Mode = Literal["sign", "cross_section"]
CACHE_BYTES = 64 * 2**20
"""Most memory of sub-expressions that are kept; a grid shares many."""

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_GROUPS = ("sector", "industry", "subindustry")
_KNOWN: Mapping[str, FieldInfo] = {
    name: DEFAULT_FIELDS[name] for name in (*FIELDS, "returns", "market", *_GROUPS)
}


def expression_strategy(
    template: str,
    parameters: Mapping[str, Parameter | float | int] | None = None,
    *,
    mode: Mode = "sign",
) -> Strategy:
    """Return a strategy whose signal is an expression's value.

    Parameters
    ----------
    template : FASTEXPR with placeholders, as in "ts_mean(close, {fast}) - ts_mean(close, {slow})".
        It may use open, high, low, close, volume, returns, and the groups market, sector,
        industry and subindustry where the market knows them
    parameters : placeholder to Parameter, or to its default: a whole number makes an "int" from 1
        on, another number a "float". A placeholder that is not listed is a required "float"
    mode : "sign" is long where the value is positive and short where it is negative;
        "cross_section" subtracts the day's mean and divides by the day's largest absolute value,
        so that long and short are of equal size before limits

    NaN gives 0. Rounding noise has a sign too: two averages of a price that never moves may differ
    in the last digit. Raises WrongParameter where the braces and the parameters do not fit, and
    ExpressionError where the expression cannot run; both before any data is there.
    """
    if mode not in get_args(Mode):
        raise WrongParameter(
            f"{template}: unknown mode {mode!r}; choose one of {', '.join(get_args(Mode))}"
        )
    names = list(dict.fromkeys(_PLACEHOLDER.findall(template)))
    wrong = next((name for name in names if not _NAME.fullmatch(name)), None)
    if wrong is not None or set("{}") & set(_PLACEHOLDER.sub("", template)):
        raise WrongParameter(f"{template}: write a placeholder as {{name}}")
    given = dict(parameters or {})
    unused = next((name for name in given if name not in names), None)
    if unused is not None:
        raise WrongParameter(f"{template}: parameter {unused!r} has no placeholder {{{unused}}}")
    declared = {name: _declared(given.get(name)) for name in names}
    example = _filled(template, {name: _example(item) for name, item in declared.items()})
    parsed = parse(example)
    check(parsed, _KNOWN)
    used = tuple(name for name in (*FIELDS, *_GROUPS) if name in parsed.fields)
    returns = "returns" in parsed.fields
    return Strategy(
        name=template,
        parameters=declared,
        description=f"{'sign' if mode == 'sign' else 'cross-section'} of {template}",
        fill=ExpressionFill(template, mode),
        needs=(*used, *(() if set(used) & set(FIELDS) and not returns else ("close",))),
        identity=f"{mode}:{template}",
    )


@dataclass(frozen=True)
class ExpressionFill:
    """Evaluates a template with its placeholders filled; see `expression_strategy`."""

    template: str
    mode: Mode

    def __call__(self, bars: Bars, values: Values, out: FloatMatrix) -> None:
        """Fill out, shape (n_instruments, n_days)."""
        found = _evaluator(bars).evaluate(_filled(self.template, values))
        if self.mode == "sign":
            signal = np.sign(found)
        else:
            count = np.maximum(np.isfinite(found).sum(axis=1, keepdims=True), 1)
            known = np.where(np.isfinite(found), found, 0.0)
            away = np.where(np.isfinite(found), found - known.sum(axis=1, keepdims=True) / count, 0)
            largest = np.abs(away).max(axis=1, keepdims=True)
            signal = np.divide(away, largest, out=np.zeros_like(away), where=largest > 0.0)
        out[:] = signal.T
        # A position needs a price to trade at, whatever the expression makes of a missing one.
        out[np.isnan(out) | np.isnan(columns_of(bars).close)] = 0.0


def _evaluator(bars: Bars) -> Evaluator:
    def make() -> Evaluator:
        fields = {name: getattr(bars, name) for name in FIELDS if bars.has(name)}
        fields["returns"] = np.ascontiguousarray(columns_of(bars).series("returns").T)
        groups = {"market": np.zeros(bars.shape, dtype=np.int32), **bars.groups}
        return Evaluator(fields, groups, cache_bytes=CACHE_BYTES, threads=1)

    return columns_of(bars).kept(("evaluator",), make)  # type: ignore[no-any-return]


def _declared(item: Parameter | float | int | None) -> Parameter:
    if item is None:
        return Parameter("float", None, -math.inf, math.inf)
    if isinstance(item, Parameter):
        return item
    if isinstance(item, int):
        return Parameter("int", item, 1, math.inf)
    return Parameter("float", item, -math.inf, math.inf)


def _example(item: Parameter) -> float | int | str:
    if item.default is not None:
        return item.default
    if item.choices:
        return item.choices[0]
    return 10 if item.low is None or not math.isfinite(item.low) else int(item.low) or 1


def _filled(template: str, values: Mapping[str, float | int | str]) -> str:
    def written(found: re.Match[str]) -> str:
        value = values[found[1]]
        if isinstance(value, str):
            return value
        return _number(float(value))

    return _PLACEHOLDER.sub(written, template)


def _number(value: float) -> str:
    """Return the shortest decimal text that reads back as the value, without an exponent.

    A negative one is in parentheses, so that `2-{x}` stays a difference.
    """
    text = str(int(value)) if value.is_integer() else np.format_float_positional(value, trim="0")
    return f"({text})" if value < 0 else text
