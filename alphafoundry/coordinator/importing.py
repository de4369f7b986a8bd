"""Workflow files of ADMF-PC turned into ours, as far as they say what can be said here.

That program reads many shapes. What is known: a strategy by type with `params` or `parameters`, as
a list or as `strategy: {TYPE: {params}}`; symbols, days and a file; `mode`, `type` or `topology`;
an objective; capital, commission, slippage and the size of a position. The rest is named as left
out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from alphafoundry.coordinator.loading import load_workflow
from alphafoundry.errors import ConfigurationError
from alphafoundry.yaml_document import dotted, read_yaml

_WINDOW = {"period": "window", "window": "window", "lookback_period": "window"}
_FAST_SLOW = {"fast_period": "fast", "slow_period": "slow", "fast": "fast", "slow": "slow"}
_LEVELS = {"oversold": "low", "overbought": "high"}
_BANDS = {**_WINDOW, "std_dev": "width", "num_std": "width"}

_STRATEGIES: Mapping[str, tuple[str, Mapping[str, str], Mapping[str, Any]]] = {
    "sma_crossover": ("moving_average_cross", _FAST_SLOW, {}),
    "ma_crossover": ("moving_average_cross", _FAST_SLOW, {}),
    "moving_average_crossover": ("moving_average_cross", _FAST_SLOW, {}),
    "simple_momentum": ("momentum", {"lookback_period": "lookback"}, {}),
    "momentum": (
        "momentum",
        {"lookback_period": "lookback", "momentum_threshold": "threshold"},
        {},
    ),
    "price_momentum": ("momentum", {"period": "lookback", "threshold": "threshold"}, {}),
    "mean_reversion": ("mean_reversion", {**_WINDOW, "entry_std": "full"}, {}),
    "rsi_bands": ("rsi", {**_WINDOW, "rsi_period": "window", **_LEVELS}, {}),
    "rsi": ("rsi", {**_WINDOW, "rsi_period": "window", **_LEVELS}, {}),
    "bollinger_bands": ("bollinger", _BANDS, {"mode": "reversion"}),
    "bollinger_mean_reversion": ("bollinger", _BANDS, {"mode": "reversion"}),
    "bollinger_breakout": ("bollinger", _BANDS, {"mode": "breakout"}),
    "donchian_breakout": ("breakout", _WINDOW, {}),
    "breakout": ("breakout", {**_WINDOW, "breakout_period": "window"}, {}),
}
"""Their type to ours, the names of their parameters in ours, and what ours takes besides."""

_OBJECTIVES = {
    "sharpe_ratio": "sharpe",
    "sortino_ratio": "sortino",
    "calmar_ratio": "calmar",
    "returns": "total_return",
}
_MODES = {
    "backtest": "backtest",
    "signal_generation": "backtest",
    "optimization": "optimization",
    "walk_forward": "walk_forward",
}
_METHODS = {"grid_search": "grid", "random_search": "random", "bayesian": "tpe"}
_DAILY = ("1d", "1D", "daily", "day")


@dataclass
class Imported:
    """What was read.

    Attributes
    ----------
    document : a workflow of ours
    left_out : a line for each key that says nothing here, and why where that is known
    """

    document: dict[str, Any] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def put(self, value: Any, *key: str) -> None:
        """Set a nested key of the document."""
        inner = self.document
        for part in key[:-1]:
            inner = inner.setdefault(part, {})
        inner[key[-1]] = value

    def to_yaml(self) -> str:
        """Return the document as YAML, what was left out as comments above it."""
        head = "".join(f"# left out: {line}\n" for line in self.left_out)
        return head + yaml.safe_dump(self.document, sort_keys=False, allow_unicode=True)


def import_workflow(path: Path) -> Imported:
    """Return the file as a workflow of ours, which is checked.

    Raises ConfigurationError where the file is no YAML, has no strategy that is known here, or
    gives a workflow that is refused.
    """
    given = dict(read_yaml(path).values)
    found = Imported()
    _take_head(given, found)
    searched = _take_strategies(given, found, path)
    _take_data(given, found)
    _take_money(given, found)
    _take_search(given, found, searched=searched)
    found.left_out += [str(key) for key in given]
    load_workflow(found.document)
    return found


def _name(text: object) -> str:
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", str(text)).strip("_.-")[:100]
    return name or "imported"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _take_head(given: dict[str, Any], found: Imported) -> None:
    if "name" in given:
        found.put(_name(given.pop("name")), "name")
    if isinstance(given.get("description"), str):
        found.put(given.pop("description"), "description")


def _listed_strategies(given: dict[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return (key, section with `type`) of each strategy, whichever way it is written."""
    sections: list[tuple[str, Mapping[str, Any]]] = []
    for key in ("strategies", "strategy", "parameter_space"):
        written = given.get(key)
        if isinstance(written, Mapping) and isinstance(written.get("strategies"), list):
            written = written["strategies"]
        if isinstance(written, Mapping) and "type" not in written:
            written = [{name: value} for name, value in written.items()]
        for place, item in enumerate(written if isinstance(written, list) else [written]):
            if isinstance(item, Mapping) and "type" in item:
                sections.append((f"{key}[{place}]", item))
            elif isinstance(item, Mapping) and len(item) == 1:
                ((name, inner),) = item.items()
                inner = inner if isinstance(inner, Mapping) else {}
                sections.append((f"{key}[{place}]", {"type": name, **inner}))
        given.pop(key, None)
    return sections


def _take_strategies(given: dict[str, Any], found: Imported, path: Path) -> bool:
    """Put the strategies that are known here; return whether any parameter has choices."""
    strategies: list[dict[str, Any]] = []
    searched = False
    names: set[str] = set()
    for key, section in _listed_strategies(given):
        kind = str(section["type"]).lower()
        if kind not in _STRATEGIES:
            found.left_out.append(f"{key}: there is no strategy like {kind!r}")
            continue
        ours, parameters, fixed = _STRATEGIES[kind]
        taken: dict[str, Any] = {"type": ours}
        name = _name(section.get("name", kind))
        taken["name"] = name if name not in names else f"{name}_{len(names)}"
        names.add(taken["name"])
        written: dict[Any, Any] = {}
        for inner_key in ("params", "parameters", "param_overrides"):
            values = section.get(inner_key) or {}
            if isinstance(values, Mapping):
                written |= values
            else:
                found.left_out.append(f"{key}.{inner_key}: {values!r} is no mapping")
        params, choices = dict(fixed), {}
        for parameter, value in written.items():
            if parameter not in parameters:
                found.left_out.append(f"{key}.{parameter}: {ours} has no such parameter")
            elif isinstance(value, list) and value:
                choices[parameters[parameter]] = {"choices": value}
            elif _is_number(value):
                params[parameters[parameter]] = value
            else:
                found.left_out.append(f"{key}.{parameter}: {value!r} is no number and no list")
        taken |= {"params": params} if params else {}
        taken |= {"parameters": choices} if choices else {}
        searched = searched or bool(choices)
        kept = {"type", "name", "params", "parameters", "param_overrides"}
        found.left_out += [f"{key}.{other}" for other in section if other not in kept]
        strategies.append(taken)
    if not strategies:
        raise ConfigurationError(
            f"{path}: no strategy that is known here; known are {', '.join(sorted(_STRATEGIES))}"
        )
    found.put(strategies, "strategies")
    return searched


def _take_data(given: dict[str, Any], found: Imported) -> None:
    data = given.pop("data", None)
    inner = dict(data) if isinstance(data, Mapping) else {}
    file = data if isinstance(data, str) else None
    for key in ("file_path", "path", "file"):
        file = inner.pop(key, file)
    for key in ("type", "source"):
        if inner.get(key) in ("csv", "file"):
            inner.pop(key)
    if isinstance(file, str) and file.lower().endswith((".csv", ".parquet")):
        found.put(file, "data", "market")
    elif file is not None:
        found.left_out.append(f"data: {file!r} names no file of daily bars; set data.market")
    for key, our in (
        ("symbols", "symbols"),
        ("start_date",) * 2,
        ("end_date",) * 2,
        ("max_bars",) * 2,
    ):
        value = inner.pop(key, given.pop(key, None))
        if value is not None:
            value = [value] if key == "symbols" and isinstance(value, str) else value
            found.put(value if isinstance(value, list | int) else str(value), "data", our)
    for source in (inner, given):
        for key in ("timeframe", "timeframes", "frequency"):
            value = source.pop(key, None)
            value = value[0] if isinstance(value, list) and len(value) == 1 else value
            if value is not None and value not in _DAILY:
                found.left_out.append(f"{key}: {value!r}, since only daily bars are held")
    found.left_out += [dotted(("data", str(key))) for key in inner]


def _take_money(given: dict[str, Any], found: Imported) -> None:
    sections = {key: given.pop(key, None) for key in ("portfolio", "backtest", "execution", "risk")}
    capital = given.pop("initial_capital", None)
    for key, section in sections.items():
        inner = dict(section) if isinstance(section, Mapping) else {}
        capital = inner.pop("initial_capital", capital)
        commission, slippage = inner.get("commission"), inner.get("slippage")
        if isinstance(commission, Mapping):
            kind = commission.get("type")
            value = commission.get("value", 0.0) if kind == "per_share" else 0.0
            if kind in ("per_share", "zero", "none") and _is_number(value):
                found.put(float(value), "execution", "commission_per_share")
                inner.pop("commission")
        if isinstance(slippage, Mapping) and slippage.get("type") == "percentage":
            value = slippage.get("value", 0.0)
            if _is_number(value):
                found.put(float(value) * 1e4, "execution", "slippage_bps")
                inner.pop("slippage")
        sizers = inner.get("position_sizers")
        first = sizers[0] if isinstance(sizers, list) and sizers else None
        if isinstance(first, Mapping) and _is_number(first.get("size_pct")):
            size = float(first["size_pct"]) / 100.0
            found.put(size, "risk_management", "params", "position_size_pct")
            inner.pop("position_sizers")
        if section is not None and not isinstance(section, Mapping):
            found.left_out.append(key)
        found.left_out += [dotted((key, str(other))) for other in inner]
    if _is_number(capital):
        found.put(float(capital), "portfolio", "initial_capital")
    elif capital is not None:
        found.left_out.append(f"initial_capital: {capital!r} is no number")


def _take_search(given: dict[str, Any], found: Imported, *, searched: bool) -> None:
    written = given.pop("optimization", None)
    section = dict(written) if isinstance(written, Mapping) else {}
    mode = None
    for key in ("mode", "type", "topology"):
        value = given.pop(key, None)
        mode = mode or _MODES.get(str(value))
        if value is not None and str(value) not in _MODES:
            found.left_out.append(f"{key}: {value!r}")
    mode = mode or "backtest"
    if searched and mode == "backtest":
        mode = "optimization"
    objective = section.pop("objective", given.pop("objective", None))
    if isinstance(objective, str):
        found.put(_OBJECTIVES.get(objective, objective), "optimization", "objective")
    method = section.pop("method", "grid" if mode != "backtest" else None)
    if isinstance(method, str):
        found.put(_METHODS.get(method, method), "optimization", "method")
    for key in ("max_trials", "n_trials", "max_evaluations"):
        count = section.pop(key, None)
        if isinstance(count, int):
            found.put(count, "optimization", "n_trials")
    found.left_out += [dotted(("optimization", str(key))) for key in section]
    found.put([{"name": mode, "type": mode}], "phases")
