"""Files that belong to a file or folder of bars by their names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path

from alphafoundry.market.assembly import build_panel
from alphafoundry.market.bars import Bars
from alphafoundry.market.cache import state_of
from alphafoundry.market.delistings import read_delistings
from alphafoundry.market.groups import read_sectors
from alphafoundry.market.members import read_members
from alphafoundry.market.panel import Panel

SECTORS, MEMBERS, DELISTINGS = "sectors.csv", "members.csv", "delistings.csv"
SIDE_FILES = (SECTORS, MEMBERS, DELISTINGS)


def find_side_file(data: Path, kind: str) -> Path | None:
    """Return the file of a kind that belongs to bars, None where there is none.

    Parameters
    ----------
    data : a file or folder of bars
    kind : one of SIDE_FILES

    It lies in a folder under its own name; or beside a file, or a folder that has none, as
    PREFIX_sectors.csv where PREFIX begins the name of the bars. The longest such prefix wins:
    us_top3000_2012_2017.parquet takes us_top3000_sectors.csv.
    """
    inside = data / kind
    if data.is_dir() and inside.is_file():
        return inside
    siblings = [
        path
        for path in data.parent.glob(f"*_{kind}")
        if path != data and data.name.startswith(path.name.removesuffix(f"_{kind}"))
    ]
    return max(siblings, key=lambda path: len(path.name), default=None)


@dataclass(frozen=True)
class SideFiles:
    """What belongs to a file or folder of bars: groups, members by day, delistings."""

    sectors: Path | None
    members: Path | None
    delistings: Path | None

    @classmethod
    def of(cls, data: Path, sectors: Path | None = None) -> SideFiles:
        """Return the files that belong to `data`; `sectors` stands in for its own sectors."""
        return cls(
            sectors or find_side_file(data, SECTORS),
            find_side_file(data, MEMBERS),
            find_side_file(data, DELISTINGS),
        )

    def states(self) -> list[str | None]:
        """Return what tells one state of these files from another."""
        return [state_of(path) for path in astuple(self)]

    def panel(
        self, bars: Bars, *, source: str, name: str, progress: Callable[[str], None]
    ) -> Panel:
        """Return the panel of bars with what these files say; see `build_panel`."""
        return build_panel(
            bars,
            source=source,
            name=name,
            groupings=read_sectors(self.sectors, bars.symbols, bars.dates) if self.sectors else {},
            progress=progress,
            stays=read_members(self.members) if self.members else None,
            delistings=read_delistings(self.delistings) if self.delistings else (),
        )
