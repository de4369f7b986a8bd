"""The register: every trial that was ever made on the same prices, over all runs and commands."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, or_, select

from alphafoundry.store.database import Store
from alphafoundry.store.tables import ScreenedRow, SimulationRow

_CHUNK = 1_000
_TURNING = ("reverse(", "multiply(-1, ", "subtract(0, ")


@dataclass(frozen=True)
class TrialCount:
    """How many different alphas were tried.

    Attributes
    ----------
    trials : all of them
    only_screened : those among them that were screened and never simulated
    """

    trials: int
    only_screened: int


def count_trials(store: Store, service: str, market_id: str | None) -> int:
    """Return how many different alphas were ever tried on these prices; see `read_trial_count`."""
    return read_trial_count(store, service, market_id).trials


def read_trial_count(store: Store, service: str, market_id: str | None) -> TrialCount:
    """Return how many different alphas were ever tried on these prices.

    Tried is what was simulated to the end, and what was screened, if only on some names or days. An
    alpha counts once however often that was, by whichever rules and on whichever part of the
    market's days; one and its reverse count once, since whoever sees one knows the other.

    Parameters
    ----------
    market_id : of a local market; None counts what was tried for this service
    """
    simulated = select(SimulationRow.canonical, SimulationRow.settings).where(
        SimulationRow.status.in_(("complete", "warning")), _here(SimulationRow, service, market_id)
    )
    screened = select(ScreenedRow.canonical, ScreenedRow.settings).where(
        or_(ScreenedRow.reason == "", ScreenedRow.days.is_not(None)),
        _here(ScreenedRow, service, market_id),
    )
    with store.session() as session:
        made, looked_at = (
            # In parts, and eight bytes of each: a hundred thousand rows at once are as many
            # dictionaries of settings, and as many texts are 20 MB. That two of a million share
            # their hash has a chance of one in ten million.
            np.unique(
                np.fromiter(
                    (
                        hash(trial_key(*row))
                        for row in session.execute(some.execution_options(yield_per=_CHUNK))
                    ),
                    np.int64,
                )
            )
            for some in (simulated, screened)
        )
    only_screened = len(np.setdiff1d(looked_at, made, assume_unique=True))
    return TrialCount(len(made) + only_screened, only_screened)


def _here(
    table: type[SimulationRow] | type[ScreenedRow], service: str, market_id: str | None
) -> ColumnElement[bool]:
    ours = table.service == service
    return ours if market_id is None else or_(ours, table.market_id == market_id)


def trial_key(canonical: str, settings: Mapping[str, Any]) -> tuple[str, str]:
    """Return what two simulations of one idea share, up to its sign.

    canonical : of the expression; its outermost operator comes first, so a turned one begins with
        what turns it
    """
    text = canonical
    while (turning := next((one for one in _TURNING if text.startswith(one)), None)) is not None:
        text = text[len(turning) : -1]
    plain = {
        name: float(value) if isinstance(value, int) and not isinstance(value, bool) else value
        for name, value in settings.items()
    }
    # Most trials share their settings, and a set of trials then keeps them once.
    return text, sys.intern(json.dumps(plain, sort_keys=True))
