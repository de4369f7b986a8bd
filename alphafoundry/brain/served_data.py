"""Which market and data version a local server works on, as the headers of its answers say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from alphafoundry.market.panel import Panel

_ID, _SOURCE, _VERSION, _CAUTIONS = (
    "X-Foundry-Market-Id",
    "X-Foundry-Market-Source",
    "X-Foundry-Data-Version",
    "X-Foundry-Cautions",
)


@dataclass(frozen=True)
class ServedData:
    """The data of a local server.

    Attributes
    ----------
    market_id, source : of the market, the same on every day that data are added
    fingerprint, first, last : of the content that it has now
    cautions : what flatters results on this market, one sentence each
    """

    market_id: str
    source: str
    fingerprint: str
    first: date
    last: date
    cautions: tuple[str, ...] = ()

    @classmethod
    def of(cls, panel: Panel) -> ServedData:
        """Return the data of a panel."""
        from alphafoundry.market.cautions import cautions

        version = panel.version
        source = panel.source if panel.market is None else panel.market.source
        days = version.first, version.last
        return cls(panel.market_id, source, version.fingerprint, *days, cautions(panel))

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> ServedData | None:
        """Return what the headers of an answer say, None where they say nothing of the kind."""
        try:
            fingerprint, first, last = headers[_VERSION].split()
            days = date.fromisoformat(first), date.fromisoformat(last)
            told = tuple(json.loads(unquote(headers.get(_CAUTIONS, "[]"))))
            return cls(headers[_ID], unquote(headers[_SOURCE]), fingerprint, *days, told)
        except (KeyError, ValueError):
            return None

    def to_headers(self) -> dict[str, str]:
        """Return the headers that `from_headers` reads."""
        return {
            _ID: self.market_id,
            _SOURCE: quote(self.source),
            _VERSION: f"{self.fingerprint} {self.first} {self.last}",
            _CAUTIONS: quote(json.dumps(self.cautions)),
        }
