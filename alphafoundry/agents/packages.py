"""What installed packages bring to a desk by their entry points."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TypeVar

from alphafoundry.errors import ConfigurationError
from alphafoundry.importing import imported

Kind = TypeVar("Kind")


def add_installed(known: dict[str, Kind], group: str, kind: type[Kind], decorator: str) -> None:
    """Add to `known` what entry points of a group bring, by their names.

    Parameters
    ----------
    kind : what an entry point may name, besides a function that is decorated
    decorator : how such a function is decorated, with a place for the name

    Raises ConfigurationError, one line with the reason, where a module fails, or names neither.
    """
    for entry in entry_points(group=group):
        if entry.name in known:
            continue
        what = f"entry point {entry.name}: {entry.value}"
        found = imported(entry.load, what, "mend or uninstall the package")
        if isinstance(found, kind):
            known[entry.name] = found
        elif entry.name not in known:  # what is decorated has registered itself when loaded
            raise ConfigurationError(
                f"{what} is no {kind.__name__}, nor a function decorated by "
                f"{decorator.format(entry.name)}"
            )
