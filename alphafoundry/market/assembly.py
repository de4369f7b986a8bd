"""From raw bars to a panel: validate, derive fields, name it, fingerprint it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alphafoundry.errors import MarketError
from alphafoundry.market.bars import Bars
from alphafoundry.market.delistings import Delisting, with_last_prices
from alphafoundry.market.fields import derive_fields
from alphafoundry.market.groups import Grouping, market_group
from alphafoundry.market.members import Membership, members_by_day, members_of_column
from alphafoundry.market.panel import Panel
from alphafoundry.market.revisions import Revisions
from alphafoundry.market.validation import validate

Progress = Callable[[str], None]

AS_GIVEN = ("close", "raw_close", "dividend", "split_factor", "universe")
"""Columns that are wanted as the source gives them, besides what validation makes of them."""


def build_panel(
    bars: Bars,
    *,
    source: str,
    name: str,
    groupings: Mapping[str, Grouping],
    progress: Progress,
    stays: Sequence[Membership] | None = None,
    delistings: Sequence[Delisting] = (),
    synthetic: bool = False,
) -> Panel:
    """Return the panel of a market from its raw bars, whose arrays it uses up.

    Parameters
    ----------
    source : what the user asked for
    name : starts the panel's label
    groupings : sector, industry and subindustry where they are known; market is added. Those that
        change by day have the days of `bars`
    stays : who belonged to the market when; None where only a column of the bars may tell
    delistings : what a holder got at the end of a name
    synthetic : True where the prices were generated; the label begins with SYNTHETIC then

    Raises MarketError where no usable price is left after validation.
    """
    progress(f"{name}: checking {len(bars.symbols)} series of {len(bars.dates)} days")
    given = {name: bars.values[name].copy() for name in AS_GIVEN if name in bars.values}
    adjusted = "adj_close" in bars.values
    clean = validate(bars, reuse=True)
    if not np.isfinite(clean.values["close"]).any():
        found = Counter(issue.kind for issue in clean.issues)
        told = "; ".join(
            f"{kind} in {count} series, such as {example.symbol or 'the file'}: {example.detail}"
            for kind, count in found.most_common(2)
            for example in [next(issue for issue in clean.issues if issue.kind == kind)]
        )
        raise MarketError(
            f"{name}: no usable close price is left after validation"
            f"{f' ({told})' if told else ''}; give daily bars with positive prices that change"
        )
    ends = with_last_prices(clean.values, clean.dates, clean.symbols, delistings)
    fields, descriptions = derive_fields(clean.values)
    members = (
        members_of_column(replace(bars, values=given), clean.dates)
        if stays is None
        else members_by_day(clean.dates, clean.symbols, stays)
    )
    if members is not None:
        members.flags.writeable = False
    kept = np.isin(bars.dates, clean.dates)
    groupings = {name: by_day.on_days(kept) for name, by_day in groupings.items()}
    return assemble(
        members=members,
        dates=clean.dates,
        symbols=clean.symbols,
        fields=fields,
        groupings={"market": market_group(len(clean.symbols)), **groupings},
        descriptions=descriptions,
        source=source,
        label=describe(f"SYNTHETIC {name}" if synthetic else name, clean.dates, len(clean.symbols)),
        synthetic=synthetic,
        issues=(*clean.issues, *ends),
        revisions=_of_fields(clean.revisions),
        raw=_raw(given, kept, adjusted=adjusted or _is_split(clean)),
        notes=clean.notes,
    )


def assemble(
    *,
    dates: NDArray[np.datetime64],
    symbols: NDArray[np.str_],
    fields: Mapping[str, NDArray[np.float64]],
    groupings: Mapping[str, Grouping],
    descriptions: Mapping[str, str],
    **rest: Any,
) -> Panel:
    """Return a panel with read-only arrays, groups spread over all days, and a fingerprint."""
    days = len(dates)
    groups = {
        name: np.ascontiguousarray(np.broadcast_to(grouping.codes, (days, len(symbols))))
        for name, grouping in groupings.items()
    }
    group_names = {name: grouping.names for name, grouping in groupings.items()}
    panel = Panel(
        dates=dates,
        symbols=symbols,
        fields=dict(fields),
        groups=groups,
        group_names=group_names,
        descriptions={
            **descriptions,
            **{name: grouping.description for name, grouping in groupings.items()},
        },
        fingerprint=_fingerprint(dates, symbols, fields, groupings, rest.get("members")),
        **rest,
    )
    extra = (*panel.truth.values(), *panel.raw.values())
    for array in (dates, symbols, *panel.fields.values(), *groups.values(), *extra):
        array.flags.writeable = False
    return panel


def _raw(
    given: Mapping[str, NDArray[np.float64]], kept: NDArray[np.bool_], *, adjusted: bool
) -> dict[str, NDArray[np.float64]]:
    """Return what the source gives beside adjusted prices, as it gives it, on the days kept."""
    raw = {name: given[name] for name in ("dividend", "split_factor") if name in given}
    if "raw_close" in given:
        raw["close"] = given["raw_close"]
    elif adjusted:
        raw["close"] = given["close"]
    return {name: np.ascontiguousarray(array[kept]) for name, array in raw.items()}


def _is_split(clean: Bars) -> bool:
    return any(found.kind == "split" for found in clean.revisions.breaks)


def _of_fields(revisions: Revisions) -> Revisions:
    """Return revisions of bars as revisions of the fields that derive from one day's bar."""
    if not len(revisions):
        return revisions
    one_day = {name: before[None, :] for name, before in revisions.before.items()}
    fields, _ = derive_fields(one_day)
    return revisions.renamed(
        {name: fields[name][0] for name in fields if name not in ("returns", "adv20")}
    )


def describe(name: str, dates: NDArray[np.datetime64], names: int) -> str:
    """Return a panel's label: name, size and dates on one line."""
    return f"{name}: {names} names, {dates[0]} to {dates[-1]} ({len(dates)} days)"


def _fingerprint(
    dates: NDArray[np.datetime64],
    symbols: NDArray[np.str_],
    fields: Mapping[str, NDArray[np.float64]],
    groupings: Mapping[str, Grouping],
    members: NDArray[np.bool_] | None,
) -> str:
    digest = hashlib.blake2b(digest_size=8)
    digest.update(np.ascontiguousarray(dates).view(np.int64).data)
    digest.update("\n".join(symbols.tolist()).encode())
    for name in sorted(fields):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(fields[name]).data)
    for name in sorted(groupings):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(groupings[name].codes).data)
        digest.update("\n".join(groupings[name].names).encode())
    if members is not None:
        digest.update(b"members")
        digest.update(np.ascontiguousarray(members).data)
    return digest.hexdigest()
