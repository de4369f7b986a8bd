"""Which market a run works on, for its rows."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from alphafoundry.store import DataOrigin

if TYPE_CHECKING:
    from alphafoundry.market import Panel


def panel_origin(
    panel: Panel, *, sealed_from: date | None = None, sealed_to: date | None = None
) -> DataOrigin:
    """Return the market and data version of a panel, for the rows of a run on it.

    sealed_from, sealed_to : days after the panel's that the run may not see; None where there are
        none
    """
    version = panel.version
    return DataOrigin(
        market_id=panel.market_id,
        source=panel.source,
        fingerprint=version.fingerprint,
        first=version.first,
        last=version.last,
        label=panel.label,
        sealed_from=sealed_from,
        sealed_to=sealed_to,
    )
