"""Every operator of the registry against Python written the slow, obvious way.

Panels are drawn with ties, gaps, constant and empty days and instruments; those that cross a day
or work cell by cell have infinities too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alphafoundry.expressions import OPERATORS, Evaluator, VectorField
from tests.library.expressions import reference as ref
from tests.property_tests import examples

NAN = math.nan
Panel = np.ndarray
Panels = dict[str, Panel]
Reference = Callable[[Panels], Panel]
References = dict[str, Reference]


def draw_panels(seed: int, days: int, names: int) -> Panels:
    """x, y, z for windows; a, b with infinities; p positive; c of few values; g, h groups."""
    random = np.random.default_rng(seed)
    shape = (days, names)
    panels = {name: np.round(random.normal(size=shape) * 3, 4) for name in "xyzab"}
    panels["p"] = np.exp(random.normal(size=shape))
    panels["c"] = random.integers(-1, 2, size=shape).astype(float)
    for name, panel in panels.items():
        if name in "xyzab":
            whole = random.random(shape) < 0.4
            panel[whole] = np.round(panel[whole])
        if random.random() < 0.3:
            panel[random.integers(days)] = random.choice([1.0, 0.1, NAN])
        if random.random() < 0.3:
            panel[:, random.integers(names)] = random.choice([1.0, 0.1, NAN])
        panel[random.random(shape) < random.choice([0.0, 0.1, 0.4])] = NAN
        if name in "ab":
            panel[random.random(shape) < 0.05] = math.inf
            panel[random.random(shape) < 0.05] = -math.inf
    panels["close"], panels["returns"] = panels["p"], panels["y"] / 100
    panels |= {name: random.integers(-1, 3, size=shape).astype(np.int32) for name in "gh"}
    panels["counts"] = random.integers(0, 5, size=shape)
    panels["v"] = np.round(random.normal(size=int(panels["counts"].sum())) * 3, 1)
    panels["v"][random.random(len(panels["v"])) < 0.1] = NAN
    return panels


def evaluator(panels: Panels) -> Evaluator:
    offsets = np.concatenate([[0], np.cumsum(panels["counts"])]).astype(np.int64)
    fields = {
        name: panels[name] for name in ("x", "y", "z", "a", "b", "p", "c", "close", "returns")
    }
    vector = VectorField(panels["v"], offsets, panels["x"].shape)
    return Evaluator(fields, {"g": panels["g"], "h": panels["h"]}, vectors={"v": vector})


def cells(function: Callable[..., float], *names: str) -> Reference:
    """Apply to each cell."""

    def run(panels: Panels) -> Panel:
        inputs = [panels[name] for name in names]
        out = np.empty(inputs[0].shape)
        for place in np.ndindex(*out.shape):
            out[place] = function(*(float(panel[place]) for panel in inputs))
        return out

    return run


def known(function: Callable[..., float]) -> Callable[..., float]:
    """NaN where an input is NaN."""
    return lambda *values: NAN if any(map(math.isnan, values)) else function(*values)


def ieee(function: Callable[..., float]) -> Callable[..., float]:
    """What NumPy says of numbers that mathematics leaves out."""

    def run(*values: float) -> float:
        with np.errstate(all="ignore"):
            return float(function(*map(np.float64, values)))

    return run


def windows(
    function: Callable[..., float], d: int, *names: str, gaps: bool = False, lag: int = 0
) -> Reference:
    """Apply to the last d values of each instrument, where none is missing unless gaps."""

    def run(panels: Panels) -> Panel:
        inputs = [panels[name] for name in names]
        out = np.full(inputs[0].shape, NAN)
        for t, j in np.ndindex(*out.shape):
            if t < d - 1 + lag:
                continue
            parts = [panel[t - d + 1 - lag : t + 1, j] for panel in inputs]
            if gaps or not any(np.isnan(part).any() for part in parts):
                out[t, j] = function(*parts)
        return out

    return run


def histories(function: Callable[..., Sequence[float]], *names: str) -> Reference:
    """Apply to the whole history of each instrument."""

    def run(panels: Panels) -> Panel:
        inputs = [panels[name] for name in names]
        columns = [function(*(list(p[:, j]) for p in inputs)) for j in range(inputs[0].shape[1])]
        return np.array(columns).T.reshape(inputs[0].shape)

    return run


def days(function: Callable[..., Sequence[float]], *names: str, finite: bool = True) -> Reference:
    """Apply to the names of each day whose inputs are there (and finite)."""
    keep = np.isfinite if finite else lambda panel: ~np.isnan(panel)

    def run(panels: Panels) -> Panel:
        inputs = [panels[name] for name in names]
        out = np.full(inputs[0].shape, NAN)
        for t in range(len(out)):
            inside = np.all([keep(panel[t]) for panel in inputs], axis=0)
            if inside.any():
                out[t, inside] = function(*(panel[t, inside] for panel in inputs))
        return out

    return run


def groups(
    function: Callable[..., Sequence[float]], *names: str, finite: bool = True, label: str = "g"
) -> Reference:
    """Apply to the members of each day's groups whose inputs are there."""

    def run(panels: Panels) -> Panel:
        out = np.full(panels[names[0]].shape, NAN)
        for value in range(panels[label].max(initial=-1) + 1):
            member = panels[label] == value
            only = {name: np.where(member, panels[name], NAN) for name in names}
            part = days(function, *names, finite=finite)(only)
            out[member] = part[member]
        return out

    return run


def lists(function: Callable[[Panel], float], *, gaps: bool = False) -> Reference:
    """Apply to the list of values of each cell."""

    def run(panels: Panels) -> Panel:
        ends = np.cumsum(panels["counts"])
        out = np.empty(panels["counts"].size)
        for cell, end in enumerate(ends):
            values = panels["v"][end - panels["counts"].ravel()[cell] : end]
            values = values if gaps else values[~np.isnan(values)]
            out[cell] = function(values) if len(values) else NAN
        return out.reshape(panels["counts"].shape)

    return run


def flat(values: Panel) -> bool:
    return bool(np.ptp(values) == 0)


def standardized(values: Panel) -> Panel:
    return np.full(len(values), NAN) if flat(values) else (values - values.mean()) / values.std()


def moment(values: Panel, power: int) -> float:
    return float((standardized(values) ** power).mean())


def fit(y: Panel, *xs: Panel) -> Panel:
    """Residuals of a least-squares fit with intercept; NaN where no x varies."""
    if all(flat(x) for x in xs):
        return np.full(len(y), NAN)
    design = np.column_stack([np.ones(len(y)), *(x - x.mean() for x in xs)])
    return y - design @ np.linalg.lstsq(design, y, rcond=None)[0]


def projection(x: Panel, y: Panel) -> Panel:
    return y * (x @ y) / (y @ y) if (y @ y) > 0 else np.full(len(x), NAN)


def polynomial(y: Panel, x: Panel, order: int) -> float:
    valid = ~np.isnan(x) & ~np.isnan(y)
    if not valid[-1] or len(set(x[valid])) <= order:
        return NAN
    a, b = x[valid], y[valid]
    fitted = np.polynomial.Polynomial.fit(a, b, order)
    return float(b[-1] - fitted(a[-1]))


def geometric_gap(ranks: Sequence[Panel]) -> Panel:
    return np.prod(ranks, axis=0) ** (1 / len(ranks)) - np.mean(ranks, axis=0)


def side_ranks(row: Panel, total: float) -> Panel:
    out = np.zeros(len(row))
    for sign in (1, -1):
        inside = sign * row > 0
        if inside.any():
            out[inside] = sign * np.array(ref.day_rank(sign * row[inside]))
    if total == 0:
        return out
    size = np.abs(out).sum()
    return out * total / size if size > 0 else np.full(len(row), NAN)


def pair_ranks(row: Panel, m: float) -> list[float]:
    return [sum(float(np.sign(a - b)) * abs(a - b) ** m for b in row if a != b) + 0.0 for a in row]


def clipped_mean(values: Panel, std: float) -> float:
    spread = values.std(ddof=1) if len(values) > 1 else 0.0
    return float(np.clip(values, *(values.mean() + np.array([-1, 1]) * std * spread)).mean())


def backfilled(panels: Panels, d: int) -> Panel:
    x, g = panels["x"], panels["g"]
    out = x.copy()
    for t, j in zip(*np.nonzero(np.isnan(x) & (g >= 0)), strict=True):
        part = x[max(t - d + 1, 0) : t + 1, g[t] == g[t, j]]
        values = part[~np.isnan(part)]
        out[t, j] = clipped_mean(values, 4.0) if len(values) else NAN
    return out


def limited(x: list[float], limits: list[float], *, small_moves: bool) -> list[float]:
    """x that moves at most the limit a day from its own last answer."""
    out: list[float] = []
    for value, limit in zip(x, limits, strict=True):
        before = out[-1] if out else NAN
        if math.isnan(value) or math.isnan(limit):
            out.append(NAN)
        elif math.isnan(before):
            out.append(value)
        elif abs(value - before) > limit:
            out.append(before + math.copysign(limit, value - before))
        else:
            out.append(value if small_moves else before)
    return out


def hump(panels: Panels) -> Panel:
    totals = 0.1 * np.nansum(np.abs(panels["x"]), axis=1)
    return histories(lambda x: limited(x, list(totals), small_moves=False), "x")(panels)


def since_change(x: list[float]) -> list[float]:
    out, before, changed = [], NAN, 0
    for t, value in enumerate(x):
        if not math.isnan(value) and value != before:
            before, changed = value, t
        out.append(NAN if math.isnan(value) else float(t - changed))
    return out


def held(trigger: list[float], alpha: list[float], leave: list[float]) -> list[float]:
    out: list[float] = []
    for t, a, e in zip(trigger, alpha, leave, strict=True):
        out.append(NAN if e > 0 else a if t > 0 else out[-1] if out else NAN)
    return out


def jumps(x: list[float], *, stddev: bool) -> list[float]:
    out = []
    for t, value in enumerate(x):
        before = x[t - 1] if t else NAN
        limit = 0.5
        if stddev:
            limit *= float(np.std(x[t - 3 : t + 1])) if t >= 3 else NAN
        jump = abs(value - before) > limit
        out.append(before + 0.1 * (value - before) if jump else value)
    return out


def filtered(x: list[float], h: list[float], back: list[float]) -> list[float]:
    out: list[float] = []
    for t in range(len(x)):
        total = sum(w * x[t - i] for i, w in enumerate(h)) if t >= len(h) - 1 else NAN
        for k, w in enumerate(back):
            if t - 1 - k >= 0 and not math.isnan(out[t - 1 - k]):
                total += w * out[t - 1 - k]
        out.append(total)
    return out


def entropy(window: Panel) -> float:
    low, high = min(window), max(window)
    buckets = [min(int((v - low) / (high - low) * 10), 9) if high > low else 0 for v in window]
    counts = [buckets.count(bucket) for bucket in set(buckets)]
    return math.log(len(window)) - sum(n * math.log(n) for n in counts) / len(window)


def median_slope(x: Panel, y: Panel) -> float:
    pairs = [(i, k) for i, k in combinations(range(len(x)), 2) if x[i] != x[k]]
    return float(np.median([(y[k] - y[i]) / (x[k] - x[i]) for i, k in pairs])) if pairs else NAN


def partial(x: Panel, y: Panel, z: Panel) -> float:
    xy, xz, yz = ref.correlation(x, y), ref.correlation(x, z), ref.correlation(y, z)
    left = (1 - xz**2) * (1 - yz**2)
    whole = min(1 - xz**2, 1 - yz**2) < 1e-12
    return NAN if whole else (xy - xz * yz) / math.sqrt(left)


def joint(*parts: Panel) -> float:
    return float(np.prod([standardized(part) for part in parts], axis=0).mean())


def share_of(x: Panel, y: Panel) -> float:
    squares = float(y @ y)
    return float(y[-1] * (x @ y) / squares) if squares > 0 else NAN


def exponential(window: Panel) -> float:
    weights = 0.5 ** np.arange(len(window))[::-1]
    today = math.isnan(window[-1])
    return NAN if today else float(np.nansum(weights * window) / weights.sum())


def turned(panels: Panels) -> Panel:
    """Turnover of 0.1 a day by decay: s is what meets it, within 0 to 1."""
    x = panels["x"]
    out = np.full(x.shape, NAN)
    for t in range(len(x)):
        known_before = ~np.isnan(out[t - 1]) if t else np.zeros(x.shape[1], bool)
        both = known_before & ~np.isnan(x[t])
        held_total = np.abs(out[t - 1][both]).sum()
        gap = np.abs(x[t][both] - out[t - 1][both]).sum()
        s = min(max(1 - 0.1 * held_total / gap, 0), 1) if gap > 0 else 0.0
        out[t] = np.where(both, s * out[t - 1] + (1 - s) * x[t], x[t])
    return out


def relabelled(make: Callable[[Panels, tuple[int, int]], object]) -> Reference:
    """Sum x inside groups that are equal where `make` gives the same; None is unknown."""

    def run(panels: Panels) -> Panel:
        x = panels["x"]
        out = np.full(x.shape, NAN)
        for t, j in np.ndindex(*x.shape):
            label = make(panels, (t, j))
            if label is None or math.isnan(x[t, j]):
                continue
            same = [k for k in range(x.shape[1]) if make(panels, (t, k)) == label]
            out[t, j] = np.nansum(x[t, same])
        return out

    return run


def pair_label(panels: Panels, place: tuple[int, int]) -> object:
    pair = (int(panels["g"][place]), int(panels["h"][place]))
    return None if min(pair) < 0 else pair


def first_label(panels: Panels, place: tuple[int, int]) -> object:
    found = [(name, int(panels[name][place])) for name in "gh" if panels[name][place] >= 0]
    return found[0] if found else None


def interval(panels: Panels, place: tuple[int, int]) -> object:
    value = panels["y"][place]
    return None if math.isnan(value) else sum(value > edge for edge in (-1.0, 0.0, 2.5))


def of_last(function: Callable[[Panel], Sequence[float]]) -> Callable[[Panel], float]:
    return lambda window: float(function(window)[-1])


def percentile(share: float) -> Callable[[Panel], float]:
    return lambda values: float(np.quantile(values, share))


def every(value: float, row: Panel) -> list[float]:
    return [value] * len(row)


def weighted(x: Panel, w: Panel) -> list[float]:
    return every(float(x @ w / w.sum()) if w.sum() else NAN, x)


def scaled_sides(row: Panel) -> Panel:
    above, below = row[row > 0].sum(), -row[row < 0].sum()
    with np.errstate(all="ignore"):
        return np.where(row > 0, row / above * 2, np.where(row < 0, row / below * 3, 0.0))


def size_one(row: Panel) -> Panel:
    total = np.abs(row).sum()
    return row / total if total else np.full(len(row), NAN)


def between(row: Panel) -> list[float]:
    return [ref.scaled([*row, value]) for value in row]


def winsorized(row: Panel) -> Panel:
    return np.clip(row, row.mean() - row.std(), row.mean() + row.std())


def truncated(row: Panel) -> Panel:
    limit = 0.3 * np.abs(row).sum()
    return np.clip(row, -limit, limit)


def quantiles(row: Panel) -> list[float]:
    n = len(row)
    return [NormalDist().inv_cdf(1 / n + r * (1 - 2 / n)) if n > 1 else 0.0 for r in row]


def day_quantiles(row: Panel) -> list[float]:
    ranks = np.array(ref.day_rank(row))
    n = len(row)
    shares = 1 / n + ranks * (1 - 2 / n)
    return [NormalDist().inv_cdf(share) for share in shares]


def normalized_group(row: Panel) -> Panel:
    return size_one(row)


def regression(y: Panel, x: Panel) -> float:
    valid = ~np.isnan(x) & ~np.isnan(y)
    if not valid[-1] or valid.sum() < 2 or flat(x[valid]):
        return NAN
    return float(fit(y[valid], x[valid])[-1])


def last_pair(function: Callable[[float, float], float], lag: int = 1) -> Callable[[Panel], float]:
    return lambda window: function(float(window[-1]), float(window[-1 - lag]))


ARITHMETIC: References = {
    "abs(a)": cells(abs, "a"),
    "add(a, b, x)": cells(ieee(lambda a, b, x: a + b + x), "a", "b", "x"),
    "add(a, b, filter=true)": cells(
        ieee(lambda a, b: (0 if a != a else a) + (0 if b != b else b)), "a", "b"
    ),
    "group_sum(x, densify(g))": relabelled(
        lambda p, place: int(p["g"][place]) if p["g"][place] >= 0 else None
    ),
    "divide(a, b)": cells(ieee(lambda a, b: a / b), "a", "b"),
    "inverse(a)": cells(ieee(lambda a: 1 / a), "a"),
    "log(a)": cells(ieee(np.log), "a"),
    "max(a, b, x)": cells(known(lambda *v: max(v)), "a", "b", "x"),
    "min(a, b, x)": cells(known(lambda *v: min(v)), "a", "b", "x"),
    "multiply(a, b, x)": cells(ieee(lambda a, b, x: a * b * x), "a", "b", "x"),
    "multiply(a, b, filter=true)": cells(
        ieee(lambda a, b: (1 if a != a else a) * (1 if b != b else b)), "a", "b"
    ),
    "power(a, c)": cells(known(ieee(lambda a, c: a**c)), "a", "c"),
    "power(a, 2)": cells(ieee(lambda a: a * a), "a"),
    "reverse(a)": cells(lambda a: -a, "a"),
    "sign(a)": cells(ieee(np.sign), "a"),
    "signed_power(x, 0.5)": cells(lambda x: math.copysign(math.sqrt(abs(x)), x), "x"),
    "sqrt(a)": cells(ieee(np.sqrt), "a"),
    "subtract(a, b)": cells(ieee(lambda a, b: a - b), "a", "b"),
    "subtract(a, b, filter=true)": cells(
        ieee(lambda a, b: (0 if a != a else a) - (0 if b != b else b)), "a", "b"
    ),
    "to_nan(x, value=1)": cells(lambda x: NAN if x == 1 else x, "x"),
    "to_nan(x, value=1, reverse=true)": cells(lambda x: 1.0 if x != x else x, "x"),
    "s_log_1p(x)": cells(lambda x: math.copysign(math.log1p(abs(x)), x), "x"),
    "nan_mask(a, y)": cells(lambda a, y: NAN if y < 0 else a, "a", "y"),
    "nan_out(a, lower=-1, upper=2)": cells(lambda a: a if -1 <= a <= 2 else NAN, "a"),
    "pasteurize(a)": cells(lambda a: a if math.isfinite(a) else NAN, "a"),
    "purify(a)": cells(lambda a: a if math.isfinite(a) else NAN, "a"),
    "exp(a)": cells(ieee(np.exp), "a"),
    "tanh(a)": cells(math.tanh, "a"),
    "sigmoid(a)": cells(ieee(lambda a: 1 / (1 + np.exp(-a))), "a"),
    "arc_sin(a)": cells(ieee(np.arcsin), "a"),
    "arc_cos(a)": cells(ieee(np.arccos), "a"),
    "arc_tan(a)": cells(math.atan, "a"),
    "round(x)": cells(known(lambda x: float(round(x))), "x"),
    "floor(x)": cells(known(lambda x: float(math.floor(x))), "x"),
    "ceiling(x)": cells(known(lambda x: float(math.ceil(x))), "x"),
    "fraction(x)": cells(known(lambda x: math.modf(x)[0]), "x"),
    "round_down(x, f=0.5)": cells(known(lambda x: math.floor(x / 0.5) * 0.5), "x"),
    "clamp(a, lower=-1, upper=2)": cells(known(lambda a: min(max(a, -1), 2)), "a"),
    'replace(c, target="-1, 1, nan", dest="1, nan, 7")': cells(
        lambda c: 7.0 if c != c else {-1.0: 1.0, 1.0: NAN, 0.0: 0.0}.get(c, c), "c"
    ),
    "convert(x)": cells(lambda x, close: x / close, "x", "close"),
    "convert(x, mode=share2dollar)": cells(lambda x, close: x * close, "x", "close"),
}

LOGICAL: References = {
    "and(c, x)": cells(known(lambda c, x: float(c != 0 and x != 0)), "c", "x"),
    "or(c, x)": cells(known(lambda c, x: float(c != 0 or x != 0)), "c", "x"),
    "not(c)": cells(known(lambda c: float(c == 0)), "c"),
    "negate(c)": cells(known(lambda c: float(c == 0)), "c"),
    "equal(c, a)": cells(known(lambda c, a: float(c == a)), "c", "a"),
    "not_equal(c, a)": cells(known(lambda c, a: float(c != a)), "c", "a"),
    "less(c, a)": cells(known(lambda c, a: float(c < a)), "c", "a"),
    "less_equal(c, a)": cells(known(lambda c, a: float(c <= a)), "c", "a"),
    "greater(c, a)": cells(known(lambda c, a: float(c > a)), "c", "a"),
    "greater_equal(c, a)": cells(known(lambda c, a: float(c >= a)), "c", "a"),
    "if_else(c, a, b)": cells(lambda c, a, b: NAN if c != c else a if c else b, "c", "a", "b"),
    "is_nan(a)": cells(lambda a: float(a != a), "a"),
    "is_not_nan(a)": cells(lambda a: float(a == a), "a"),
    "is_finite(a)": cells(lambda a: float(math.isfinite(a)), "a"),
    "is_not_finite(a)": cells(lambda a: float(not math.isfinite(a)), "a"),
}

TIME_SERIES: dict[str, Callable[[int], Reference]] = {
    "days_from_last_change(c)": lambda _: histories(since_change, "c"),
    "hump(x, hump=0.1)": lambda _: hump,
    "hump_decay(x, p=2)": lambda _: histories(
        lambda x: [b if abs(a - b) <= 2 else a for a, b in zip(x, [NAN, *x[:-1]], strict=True)],
        "x",
    ),
    "hump_decay(x, p=0.9, relative=true)": lambda _: histories(
        lambda x: [
            b if abs(a - b) <= 0.9 * abs(a + b) else a
            for a, b in zip(x, [NAN, *x[:-1]], strict=True)
        ],
        "x",
    ),
    "inst_tvr(p, {d})": lambda d: windows(
        lambda w: float(np.abs(np.diff(w)).sum() / w[1:].sum()), d, "p", lag=1
    ),
    "jump_decay(x, 4)": lambda _: histories(lambda x: jumps(x, stddev=True), "x"),
    "jump_decay(x, 4, stddev=false)": lambda _: histories(lambda x: jumps(x, stddev=False), "x"),
    "kth_element(x, {d}, 2)": lambda d: lambda p: ref.growing(lambda w: ref.kth(w, 2), d)(p["x"]),
    'kth_element(c, {d}, 2, ignore="0 nan")': lambda d: (
        lambda p: ref.growing(lambda w: ref.kth(w, 2), d)(np.where(p["c"] == 0, NAN, p["c"]))
    ),
    "last_diff_value(c, {d})": lambda d: lambda p: ref.growing(ref.last_different, d)(p["c"]),
    "ts_arg_max(x, {d})": lambda d: windows(lambda w: ref.arg_extreme(w, max), d, "x"),
    "ts_arg_min(x, {d})": lambda d: windows(lambda w: ref.arg_extreme(w, min), d, "x"),
    "ts_av_diff(x, {d})": lambda d: windows(ref.av_diff, d, "x", gaps=True),
    "ts_backfill(x, {d})": lambda d: lambda p: ref.growing(lambda w: ref.kth(w, 1), d)(p["x"]),
    "ts_corr(x, y, {d})": lambda d: windows(ref.correlation, d, "x", "y"),
    "ts_count_nans(x, {d})": lambda d: windows(
        lambda w: float(np.isnan(w).sum()), d, "x", gaps=True
    ),
    "ts_covariance(x, y, {d})": lambda d: windows(
        lambda x, y: float(np.cov(x, y, ddof=0)[0, 1]), d, "x", "y"
    ),
    "ts_decay_exp_window(x, {d}, factor=0.5)": lambda d: windows(exponential, d, "x", gaps=True),
    "ts_decay_linear(x, {d})": lambda d: windows(ref.decay, d, "x", gaps=True),
    "ts_decay_linear(x, {d}, dense=true)": lambda d: windows(ref.decay, d, "x"),
    "ts_delay(x, {d})": lambda d: lambda p: pd.DataFrame(p["x"]).shift(d).to_numpy(),
    "ts_delta(x, {d})": lambda d: lambda p: pd.DataFrame(p["x"]).diff(d).to_numpy(),
    "ts_delta_limit(x, p, limit_volume=0.5)": lambda _: histories(
        lambda x, p: limited(x, [0.5 * value for value in p], small_moves=True), "x", "p"
    ),
    "ts_max(x, {d})": lambda d: windows(max, d, "x"),
    "ts_min(x, {d})": lambda d: windows(min, d, "x"),
    "ts_mean(x, {d})": lambda d: windows(np.mean, d, "x"),
    "ts_median(x, {d})": lambda d: windows(np.median, d, "x"),
    "ts_product(x, {d})": lambda d: windows(np.prod, d, "x"),
    "ts_quantile(x, {d})": lambda d: windows(ref.quantile_today, d, "x"),
    "ts_rank(x, {d})": lambda d: windows(ref.rank_today, d, "x"),
    "ts_rank(x, {d}, constant=2)": lambda d: windows(lambda w: ref.rank_today(w) + 2, d, "x"),
    "ts_regression(y, x, {d})": lambda d: windows(regression, d, "y", "x", gaps=True),
    "ts_scale(x, {d}, constant=1)": lambda d: windows(lambda w: 1 + ref.scaled(w), d, "x"),
    "ts_std_dev(x, {d})": lambda d: windows(ref.std, d, "x"),
    "ts_step(2)": lambda _: lambda p: np.cumsum(np.full(p["x"].shape, 2.0), axis=0),
    "ts_sum(x, {d})": lambda d: windows(np.sum, d, "x"),
    "ts_zscore(x, {d})": lambda d: windows(ref.zscore, d, "x"),
    "ts_target_tvr_decay(x)": lambda _: turned,
    "ts_entropy(x, {d})": lambda d: windows(entropy, d, "x"),
    "ts_triple_corr(x, y, z, {d})": lambda d: windows(joint, d, "x", "y", "z"),
    "ts_co_skewness(y, x, {d})": lambda d: windows(lambda y, x: joint(y, x, x), d, "y", "x"),
    "ts_co_kurtosis(y, x, {d})": lambda d: windows(lambda y, x: joint(y, x, x, x), d, "y", "x"),
    "ts_theilsen(x, y, {d})": lambda d: windows(median_slope, d, "x", "y"),
    "ts_vector_proj(x, y, {d})": lambda d: windows(share_of, d, "x", "y"),
    "ts_vector_neut(x, y, {d})": lambda d: windows(
        lambda x, y: float(x[-1]) - share_of(x, y), d, "x", "y"
    ),
    "log_diff(p)": lambda _: windows(lambda w: math.log(w[1]) - math.log(w[0]), 2, "p"),
    "ts_returns(p, 2)": lambda _: windows(last_pair(lambda a, b: a / b - 1, 2), 3, "p", gaps=True),
    "ts_returns(p, 2, mode=2)": lambda _: windows(
        last_pair(lambda a, b: (a - b) / ((a + b) / 2), 2), 3, "p", gaps=True
    ),
    "ts_ir(x, {d})": lambda d: windows(
        lambda w: NAN if flat(w) else float(w.mean() / w.std()), d, "x"
    ),
    "ts_moment(x, {d}, k=3)": lambda d: windows(
        lambda w: float(((w - w.mean()) ** 3).mean()), d, "x"
    ),
    "ts_skewness(x, {d})": lambda d: windows(lambda w: moment(w, 3), d, "x"),
    "ts_kurtosis(x, {d})": lambda d: windows(lambda w: moment(w, 4) - 3, d, "x"),
    "ts_percentage(x, {d}, percentage=0.2)": lambda d: windows(percentile(0.2), d, "x"),
    "ts_weighted_decay(x, k=0.3)": lambda _: windows(
        last_pair(lambda a, b: 0.3 * a + 0.7 * b), 2, "x"
    ),
    # In short windows z nearly explains x by chance, and nothing is left of the digits.
    "ts_partial_corr(x, y, z, 12)": lambda _: windows(partial, 12, "x", "y", "z"),
    "ts_min_diff(x, {d})": lambda d: windows(lambda w: w[-1] - min(w), d, "x"),
    "ts_max_diff(x, {d})": lambda d: windows(lambda w: w[-1] - max(w), d, "x"),
    "ts_min_max_diff(x, {d})": lambda d: windows(lambda w: w[-1] - 0.5 * (min(w) + max(w)), d, "x"),
    "ts_min_max_cps(x, {d})": lambda d: windows(lambda w: min(w) + max(w) - 2 * w[-1], d, "x"),
    "ts_poly_regression(y, x, {d})": lambda d: windows(
        lambda y, x: polynomial(y, x, 1), d, "y", "x", gaps=True
    ),
    "ts_poly_regression(y, x, {d}, k=3)": lambda d: windows(
        lambda y, x: polynomial(y, x, 3), d, "y", "x", gaps=True
    ),
    "ts_rank_gmean_amean_diff(x, y, z, {d})": lambda d: windows(
        lambda *w: float(geometric_gap([np.array(ref.rank_today(part)) for part in w])),
        d,
        "x",
        "y",
        "z",
    ),
    'filter(x, h="2, 1, -0.5")': lambda _: histories(lambda x: filtered(x, [2, 1, -0.5], []), "x"),
    'filter(x, h="1, 0.5", t="0.5, 0.2")': lambda _: histories(
        lambda x: filtered(x, [1, 0.5], [0.5, 0.2]), "x"
    ),
    "keep(x, c, period=2)": lambda _: histories(
        lambda x, c: [a if age <= 2 else NAN for a, age in zip(x, since_change(c), strict=True)],
        "x",
        "c",
    ),
    "trade_when(c, x, y)": lambda _: histories(held, "c", "x", "y"),
    "inst_pnl(x)": lambda _: lambda p: pd.DataFrame(p["x"]).shift(1).to_numpy() * p["returns"],
}

CROSS_SECTIONAL: References = {
    "normalize(a)": days(lambda a: a - a.mean(), "a"),
    "normalize(a, useStd=true, limit=1)": days(lambda a: np.clip(standardized(a), -1, 1), "a"),
    "quantile(x)": days(day_quantiles, "x"),
    "rank(a)": days(ref.day_rank, "a", finite=False),
    "scale(a, scale=2)": days(lambda a: 2 * size_one(a), "a"),
    "scale(a, longscale=2, shortscale=3)": days(
        lambda a: scaled_sides(a) if np.abs(a).sum() else np.full(len(a), NAN), "a"
    ),
    "scale_down(a, constant=1)": days(lambda a: np.array(between(a)) - 1, "a"),
    "truncate(a, maxPercent=0.3)": days(truncated, "a"),
    "vector_neut(a, b)": days(lambda a, b: a - projection(a, b), "a", "b"),
    "vector_proj(a, b)": days(projection, "a", "b"),
    "regression_neut(a, b)": days(fit, "a", "b"),
    "regression_proj(a, b)": days(lambda a, b: a - fit(a, b), "a", "b"),
    "winsorize(a, std=1)": days(winsorized, "a"),
    "zscore(a)": days(standardized, "a"),
    "rank_gmean_amean_diff(x, y)": lambda p: geometric_gap(
        [np.array([ref.day_rank(row) for row in p[name]]) for name in "xy"]
    ),
    "one_side(a)": days(lambda a: a - a.min(), "a"),
    "one_side(a, side=short)": days(lambda a: a - a.max(), "a"),
    "rank_by_side(x)": days(lambda x: side_ranks(x, 1), "x"),
    "rank_by_side(x, scale=0)": days(lambda x: side_ranks(x, 0), "x"),
    "generalized_rank(a)": days(lambda a: pair_ranks(a, 1), "a"),
    "generalized_rank(a, m=0)": days(lambda a: pair_ranks(a, 0), "a"),
    "generalized_rank(a, m=2)": days(lambda a: pair_ranks(a, 2), "a"),
    "generalized_rank(a, m=3)": days(lambda a: pair_ranks(a, 3), "a"),
    "generalized_rank(a, m=1.5)": days(lambda a: pair_ranks(a, 1.5), "a"),
    "multi_regression(a, x)": days(fit, "a", "x"),
    "multi_regression(a, x, b, c)": days(fit, "a", "x", "b", "c"),
}

VECTOR: References = {
    "vec_avg(v)": lists(np.mean),
    "vec_sum(v)": lists(np.sum),
    "vec_count(v)": lambda p: np.nan_to_num(lists(len)(p)),
    "vec_max(v)": lists(max),
    "vec_min(v)": lists(min),
    "vec_stddev(v)": lists(np.std),
    "vec_range(v)": lists(np.ptp),
    "vec_choose(v, nth=1)": lists(lambda v: v[1] if len(v) > 1 else NAN, gaps=True),
    "vec_ir(v)": lists(lambda v: NAN if flat(v) else v.mean() / v.std()),
    "vec_skewness(v)": lists(lambda v: moment(v, 3)),
    "vec_kurtosis(v)": lists(lambda v: moment(v, 4) - 3),
    "vec_norm(v)": lists(lambda v: np.abs(v).sum()),
    "vec_percentage(v, percentage=0.3)": lists(percentile(0.3)),
    "vec_powersum(v)": lists(lambda v: (v**2).sum()),
    "vec_powersum(v, constant=3)": lists(lambda v: (v**3).sum()),
    'vec_count(vec_filter(v, value="nan 0 0.1"))': lambda p: np.nan_to_num(
        lists(lambda v: float(np.sum((v != 0) & (v != 0.1))))(p)
    ),
    "vec_choose(vec_filter(v), nth=0)": lists(lambda v: v[0]),
}

TRANSFORMATIONAL: References = {
    'group_sum(x, bucket(y, buckets="-1, 0, 2.5"))': relabelled(interval),
    "left_tail(a, maximum=1)": cells(lambda a: NAN if a > 1 else a, "a"),
    "right_tail(a, minimum=1)": cells(lambda a: NAN if a < 1 else a, "a"),
    "tail(a, lower=-1, upper=2, newval=9)": cells(lambda a: 9.0 if -1 <= a <= 2 else a, "a"),
}

GROUP: References = {
    "group_backfill(x, g, 3)": lambda p: backfilled(p, 3),
    "group_sum(x, group_cartesian_product(g, h))": relabelled(pair_label),
    "group_sum(x, group_coalesce(g, h))": relabelled(first_label),
    "group_max(a, g)": groups(lambda a: every(max(a), a), "a"),
    "group_min(a, g)": groups(lambda a: every(min(a), a), "a"),
    "group_mean(a, 1, g)": groups(lambda a: every(a.mean(), a), "a"),
    "group_median(x, g)": groups(lambda a: every(float(np.median(a)), a), "x"),
    "group_neutralize(a, g)": groups(lambda a: a - a.mean(), "a"),
    "group_normalize(a, g, scale=2)": groups(lambda a: 2 * size_one(a), "a"),
    "group_normalize(a, g, constantCheck=true, tolerance=1)": groups(
        lambda a: np.full(len(a), NAN) if np.ptp(a) <= 1 else size_one(a), "a"
    ),
    "group_rank(a, g)": groups(ref.day_rank, "a", finite=False),
    "group_scale(a, g)": groups(between, "a"),
    "group_zscore(a, g)": groups(standardized, "a"),
    "group_count(a, g)": groups(lambda a: every(len(a), a), "a"),
    "group_sum(a, g)": groups(lambda a: every(a.sum(), a), "a"),
    "group_std_dev(a, g)": groups(lambda a: every(a.std(), a), "a"),
    "group_percentage(x, g, percentage=0.3)": groups(
        lambda a: every(float(np.quantile(a, 0.3)), a), "x"
    ),
    "group_extra(x, 1, g)": lambda p: np.where(
        np.isnan(p["x"]) & (p["g"] >= 0),
        relabelled_mean(p),
        p["x"],
    ),
    "group_vector_proj(x, y, g)": groups(projection, "x", "y"),
    "group_vector_neut(x, y, g)": groups(lambda x, y: x - projection(x, y), "x", "y"),
    "group_multi_regression(a, x, y, g)": groups(fit, "a", "x", "y"),
}


def relabelled_mean(panels: Panels) -> Panel:
    """The mean of x in each cell's group, members without x included."""
    out = np.full(panels["x"].shape, NAN)
    for t, j in np.ndindex(*out.shape):
        part = panels["x"][t, panels["g"][t] == panels["g"][t, j]]
        if not np.isnan(part).all():
            out[t, j] = np.nanmean(part)
    return out


ALL = ARITHMETIC | LOGICAL | CROSS_SECTIONAL | VECTOR | TRANSFORMATIONAL | GROUP
BY_TURNOVER = {"ts_target_tvr_delta_limit", "ts_target_tvr_hump"}
"""Compared with what they promise, a turnover, in test_legacy_operators."""


def test_every_operator_is_here() -> None:
    written = " ".join([*ALL, *TIME_SERIES])
    regular = {name for name, found in OPERATORS.items() if "REGULAR" in found.scope}
    without = {name for name in regular if f"{name}(" not in written}
    assert without == BY_TURNOVER, "give each other one a reference in ALL or TIME_SERIES above"


@pytest.mark.parametrize("text", ALL)
@settings(max_examples=examples(50), deadline=None)
@given(seed=st.integers(0, 10**6), size=st.tuples(st.integers(1, 14), st.integers(1, 8)))
def test_values_equal_the_obvious_computation(text: str, seed: int, size: tuple[int, int]) -> None:
    panels = draw_panels(seed, *size)
    found = evaluator(panels).evaluate(text)
    with np.errstate(all="ignore"):
        expected = ALL[text](panels)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("text", TIME_SERIES)
@settings(max_examples=examples(50), deadline=None)
@given(
    seed=st.integers(0, 10**6),
    size=st.tuples(st.integers(1, 16), st.integers(1, 6)),
    d=st.sampled_from([1, 2, 3, 4, 5, 12, 40]),
)
def test_windows_equal_the_obvious_computation(
    text: str, seed: int, size: tuple[int, int], d: int
) -> None:
    panels = draw_panels(seed, *size)
    found = evaluator(panels).evaluate(text.format(d=d))
    with np.errstate(all="ignore"):
        expected = TIME_SERIES[text](d)(panels)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


LOOKING_BACK = [
    text
    for text in TIME_SERIES
    if OPERATORS[text.split("(")[0]].has_lookback and "backfill" not in text
]


@pytest.mark.parametrize("text", LOOKING_BACK)
def test_an_infinity_is_gone_once_the_windows_have_passed_it(text: str) -> None:
    text = text.format(d=4)
    panels = draw_panels(3, 30, 4)
    clean = evaluator(panels).evaluate(text)
    for value in (math.inf, -math.inf):
        spoilt = {name: panel.copy() for name, panel in panels.items()}
        for name in "xyzpc":
            spoilt[name][10, 1] = value
        found = evaluator(spoilt).evaluate(text)
        np.testing.assert_array_equal(
            found[[*range(10), *range(17, 30)]], clean[[*range(10), *range(17, 30)]]
        )
        np.testing.assert_array_equal(np.delete(found, 1, axis=1), np.delete(clean, 1, axis=1))
