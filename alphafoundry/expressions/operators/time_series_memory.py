"""Operators whose answer depends on what was long ago: changes, earlier answers, values skipped.

Limits on how far an answer may move from the one of the day before, and choices among the most
recent values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from alphafoundry.expressions.compiled import across, along_time
from alphafoundry.expressions.conventions import Conventions
from alphafoundry.expressions.operators.declaration import declares, flag, number
from alphafoundry.expressions.operators.time_series_windows import deviation
from alphafoundry.expressions.registry import Input, Kernel, Keyword, KeywordKind, Kind, Option
from alphafoundry.expressions.units import (
    dimensionless,
    of_first,
)

FloatPanel = NDArray[np.float64]
X = Input("x")
Y = Input("y")
D = Input("d", Kind.LOOKBACK)
_filtered = along_time("filters", "recursive_filter")
_changed = along_time("memory", "days_since_change")
_kth = along_time("memory", "kth_recent")
_jump = along_time("memory", "jump_decay")
_humped = along_time("memory", "hump")


def _hump(x: FloatPanel, hump: float) -> FloatPanel:
    totals = np.empty((len(x), 1))
    across("cross_section", "day_totals").fill(totals, x)
    return _humped(x, totals, hump)


def _hump_by_amount(x: FloatPanel, hump: float) -> FloatPanel:
    return _humped(x, np.ones((len(x), 1)), hump)


def _with_turnover(function: str) -> Callable[..., FloatPanel]:
    """Return a kernel that goes through the days one after another, all columns at a time."""
    compiled = across("turnover", function)

    def kernel(*inputs: FloatPanel, **options: float) -> FloatPanel:
        out = np.empty(inputs[0].shape)
        compiled.kernel(*inputs, *options.values(), out)
        return out

    return kernel


def _wrong_strengths(values: Mapping[str, Option]) -> str | None:
    least, most = values["lambda_min"], values["lambda_max"]
    if isinstance(least, float) and isinstance(most, float) and least > most:
        return 'Got invalid value for attribute "lambda_min", must be at most lambda_max'
    return None


def _days_since_change(conventions: Conventions) -> Kernel:
    return (lambda x: _changed(x) + 1.0) if conventions.last_change == "one" else _changed


def _filter(x: FloatPanel, h: tuple[float, ...], t: tuple[float, ...]) -> FloatPanel:
    return _filtered(x, np.array(h), np.array(t, dtype=np.float64))


def _wrong_filter(values: Mapping[str, Option]) -> str | None:
    if not isinstance(values["h"], tuple) or not values["h"]:
        return 'Required attribute "h" must have a value'
    for name in ("h", "t"):
        given = values[name]
        if isinstance(given, tuple) and any(map(math.isnan, given)):
            return f'Got invalid value for attribute "{name}", must be numbers separated by commas'
    return None


def _keep(x: FloatPanel, condition: FloatPanel, period: float) -> FloatPanel:
    kept: FloatPanel = np.where(_changed(condition) <= period, x, np.nan)
    return kept


def _split_ignored(ignore: tuple[float, ...]) -> tuple[FloatPanel, bool]:
    values = np.array([value for value in ignore if not math.isnan(value)])
    return values, any(map(math.isnan, ignore))


def _kth_element(x: FloatPanel, d: int, k: float, ignore: tuple[float, ...]) -> FloatPanel:
    return _kth(x, d, int(k), *_split_ignored(ignore), False)


def _backfill(x: FloatPanel, d: int, k: float, ignore: tuple[float, ...]) -> FloatPanel:
    return _kth(x, d, int(k), *_split_ignored(ignore), True)


def _jump_decay(
    x: FloatPanel, d: int, sensitivity: float, force: float, stddev: bool
) -> FloatPanel:
    return _jump(x, deviation(x, d), sensitivity, force, stddev)


def _strengths() -> tuple[Keyword, ...]:
    """Return the keywords of operators that meet a turnover."""
    share = {"minimum": 0.0, "maximum": 1.0}
    return (
        number("lambda_min", 0.0, **share),
        number("lambda_max", 1.0, **share),
        number("target_tvr", 0.1, 0.0),
    )


def _ignore() -> Keyword:
    return Keyword("ignore", KeywordKind.NUMBERS, (math.nan,))


_operator = declares("Time Series", unit=of_first, keeps_nan=True)

OPERATORS = (
    _operator(
        "days_from_last_change",
        (X,),
        _changed,
        "Days since x last changed, 0 on the day of the change as in the article; the catalogue's "
        "example counts one more (convention last_change). The first value counts as a change, a "
        "NaN as none.",
        dimensionless,
        conventions=("last_change",),
        under=_days_since_change,
    ),
    _operator(
        "hump",
        (X,),
        _hump,
        "x, moving at most hump times the day's sum of |x| from its own last answer; a smaller "
        "change is followed not at all. How the limit follows from hump is not published: this "
        "form fits the official example (convention hump).",
        keywords=(number("hump", 0.01, 0.0),),
        reads_day=True,
        conventions=("hump",),
        under=lambda c: _hump_by_amount if c.hump == "amount" else _hump,
    ),
    _operator(
        "hump_decay",
        (X,),
        along_time("memory", "hump_decay"),
        "Yesterday's x unless it changed by more than p (relative=true: p times |x + yesterday's "
        "x|).",
        keywords=(number("p", 0.0, 0.0), flag("relative")),
        tier="ext",
        extra_days=1,
    ),
    _operator(
        "jump_decay",
        (X, D),
        _jump_decay,
        "x, with a change of more than sensitivity times its deviation over d days reduced to "
        "force times its size; stddev=false compares with sensitivity itself.",
        keywords=(
            number("sensitivity", 0.5, 0.0),
            number("force", 0.1),
            flag("stddev", True),
        ),
        tier="ext",
        extra_days=1,
    ),
    _operator(
        "kth_element",
        (X, D, Input("k", Kind.NUMBER)),
        _kth_element,
        "The k-th most recent value of the last d days that is not in ignore; uses what history "
        "there is.",
        keywords=(_ignore(),),
        keeps_nan=False,
    ),
    _operator(
        "last_diff_value",
        (X, D),
        along_time("memory", "last_different"),
        "The most recent value of the last d days that differs from today's; NaN where there is "
        "none or today is NaN. Uses what history there is.",
    ),
    _operator(
        "ts_backfill",
        (X, D),
        _backfill,
        "Where today is NaN (or in ignore), the k-th most recent other value of the last d days; "
        "uses what history there is.",
        keywords=(number("k", 1.0, 1.0, whole=True), _ignore()),
        keeps_nan=False,
    ),
    _operator(
        "ts_delta_limit",
        (X, Y),
        along_time("memory", "limited_change"),
        "x, moving at most limit_volume times |y| a day from its own last answer.",
        keywords=(number("limit_volume", 0.1, 0.0),),
        tier="ext",
    ),
    _operator(
        "ts_target_tvr_decay",
        (X,),
        _with_turnover("target_decay"),
        "s times its own last answer plus (1 - s) times x. Each day s is what makes the turnover, "
        "sum of |changes| over sum of |last answers|, equal to target_tvr, within lambda_min to "
        "lambda_max. How the strength is chosen is not published; this form looks at no later day.",
        keywords=_strengths(),
        tier="ext",
        reads_day=True,
        check=_wrong_strengths,
    ),
    _operator(
        "ts_target_tvr_delta_limit",
        (X, Y),
        _with_turnover("target_delta_limit"),
        "x, moving at most s times |y| a day from its own last answer; s is chosen each day as in "
        "ts_target_tvr_decay.",
        keywords=_strengths(),
        tier="ext",
        reads_day=True,
        check=_wrong_strengths,
    ),
    _operator(
        "ts_target_tvr_hump",
        (X,),
        _with_turnover("target_hump"),
        "hump(x, hump=s); s is chosen each day as in ts_target_tvr_decay, the least that meets "
        "target_tvr, or where none does that with the most turnover.",
        keywords=_strengths(),
        tier="ext",
        reads_day=True,
        check=_wrong_strengths,
    ),
    _operator(
        "filter",
        (X,),
        _filter,
        'h0 * x + h1 * (yesterday\'s x) + ..., for h="h0, h1, ...", plus t0 * (its own answer of '
        'yesterday) + ..., for t="t0, ...". NaN as long as an x that counts is; an earlier answer '
        "that is NaN counts as 0.",
        keywords=(
            Keyword("h", KeywordKind.NUMBERS, None, days=True),
            Keyword("t", KeywordKind.NUMBERS, ()),
        ),
        tier="legacy",
        check=_wrong_filter,
    ),
    _operator(
        "keep",
        (X, Input("condition")),
        _keep,
        "x on the day on which condition changes and for period days after, then NaN until it "
        "changes again. The first value counts as a change; NaN where condition is.",
        keywords=(number("period", 5.0, 0.0, whole=True),),
        tier="legacy",
    ),
)
