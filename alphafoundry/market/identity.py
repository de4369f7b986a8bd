"""What a market is, whatever day its data end on, and which content a panel holds.

A *market* is a source, a universe and a rule of adjustment: it stays the same when a day is
added. A *data version* is one content of it: a fingerprint, a first and a last day. Results refer
to both, so that they are found again tomorrow and still say what they were computed from.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import date

AS_GIVEN = "as the source gives"


@dataclass(frozen=True)
class Market:
    """The lasting identity of a market.

    Attributes
    ----------
    source : where its bars are from, in one form however the user wrote it: a name, a resolved
        path, or the id of a market folder
    universe : which names it holds, for people
    adjustment : how its prices are adjusted for splits and dividends, for people
    """

    source: str
    universe: str = "every name of the source"
    adjustment: str = AS_GIVEN

    @property
    def id(self) -> str:
        """16 hex digits: equal for equal source, universe and adjustment."""
        text = json.dumps([self.source, self.universe, self.adjustment])
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class DataVersion:
    """One content of a market.

    Attributes
    ----------
    fingerprint : 16 hex digits of every bar and group
    first, last : first and last day
    """

    fingerprint: str
    first: date
    last: date

    def __str__(self) -> str:
        return f"{self.first} to {self.last}, version {self.fingerprint}"
