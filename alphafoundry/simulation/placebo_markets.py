"""Markets made of real ones in which what can be found is known: nothing, or what was planted.

A mirrored market keeps the covariances, fat tails, volatility and volume of its prices and loses
every direction that could be foreseen, so what a search finds there is luck. Effects planted into a
mirrored market are all that can be found, so a search is judged there without luck in the judge.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import MarketError
from alphafoundry.evidence import mirror_prices
from alphafoundry.evidence.mirror import Kind
from alphafoundry.market.effects import HISTORY_DAYS, PlantedEffect, planted_signals
from alphafoundry.market.panel import Panel
from alphafoundry.market.returns import simple_returns

Array = NDArray[np.float64]

_PRICES = ("open", "high", "low", "close", "vwap")
_LARGEST_LOSS = -0.95


def mirrored_market(panel: Panel, seed: int, *, kind: Kind = "all") -> Panel:
    """Return the panel with each day's moves turned by a random sign of the day.

    Volume, adv20, cap and groups stay as they are; returns follow from the mirrored close. See
    `alphafoundry.evidence.mirror_prices` for `kind`. The label says so, and how many days could not
    be turned. It is a market of its own, and nothing planted is left in it.
    """
    generator = np.random.default_rng(np.random.SeedSequence([seed, 0]))
    found = mirror_prices(_prices(panel), generator=generator, kind=kind)
    way = "" if kind == "all" else ", the market's own way kept"
    kept = f", {found.kept} days not turned" if found.kept else ""
    return _with_prices(panel, found.prices, f"MIRRORED {kind} {seed}", f"(seed {seed}{way}{kept})")


def planted_market(panel: Panel, effects: Sequence[PlantedEffect]) -> Panel:
    """Return the panel with `effects` added to the returns of its names, and `truth` to know them.

    Each day's expected return is made from the days before it, on the new prices themselves. A name
    takes part from its first bar to its last; on a day without a bar nothing is added.

    Raises MarketError where the market has no volume, industry or sector, which the effects need.
    """
    for needed, where in (
        ("volume", panel.fields),
        ("industry", panel.groups),
        ("sector", panel.groups),
    ):
        if needed not in where:
            raise MarketError(f"{panel.label}: effects cannot be planted without {needed}")
    returns = np.nan_to_num(simple_returns(panel.fields["close"]), nan=0.0)
    present = ~np.isnan(panel.fields["close"])
    volume = _filled(np.where(panel.fields["volume"] > 0, panel.fields["volume"], np.nan))
    codes = {name: _codes(panel.groups[name]) for name in ("industry", "sector")}
    days, names = panel.shape
    truth = {effect.name: np.zeros((days, names)) for effect in effects}
    path = np.ones((days, names))
    listed = np.zeros(names, dtype=np.intp)
    for day in range(1, days):
        listed = np.where(present[:day].any(axis=0), listed + 1, 0)
        past = slice(max(0, day - HISTORY_DAYS), day)
        signals = planted_signals(path[past], volume[past], codes, listed)
        added = np.zeros(names)
        for effect in effects:
            part = effect.strength_on(day) * signals[effect.name] * present[day]
            truth[effect.name][day] = part
            added += part
        path[day] = path[day - 1] * (1.0 + np.maximum(returns[day] + added, _LARGEST_LOSS))
    before = np.cumprod(1.0 + returns, axis=0)
    ratio = path / before
    prices = {name: array * ratio for name, array in _prices(panel).items()}
    planted = ", ".join(f"{effect.name} {effect.strength:g}" for effect in effects)
    changed = _with_prices(panel, prices, f"PLANTED {planted}", f"with {planted}")
    return replace(changed, truth=truth)


def _prices(panel: Panel) -> dict[str, Array]:
    return {name: panel.fields[name] for name in _PRICES if name in panel.fields}


def _with_prices(panel: Panel, prices: Mapping[str, Array], content: str, note: str) -> Panel:
    fields = {**panel.fields, **prices, "returns": simple_returns(prices["close"])}
    for array in fields.values():
        array.flags.writeable = False
    digest = hashlib.blake2b(f"{panel.fingerprint} {content}".encode(), digest_size=8).hexdigest()
    head = "SYNTHETIC from " if not panel.synthetic else ""
    return replace(
        panel,
        fields=fields,
        label=f"{head}{panel.label}, {content.split(maxsplit=1)[0].lower()} {note}",
        synthetic=True,
        fingerprint=digest,
        source=f"{panel.source} {content}",
        market=None,
        truth={},
    )


def _filled(values: Array) -> Array:
    """Return values with NaN replaced by the last known one, and by 1 before the first."""
    rows = np.where(np.isnan(values), 0, np.arange(len(values))[:, None])
    np.maximum.accumulate(rows, axis=0, out=rows)
    filled = np.take_along_axis(values, rows, axis=0)
    return np.where(np.isnan(filled), 1.0, filled)


def _codes(groups: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the last day's labels, names without one in a group of their own."""
    last = groups[-1]
    codes: NDArray[np.int32] = np.where(last < 0, last.max(initial=-1) + 1, last).astype(np.int32)
    return codes
