"""What installed packages bring to a desk by their entry points."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

from alphafoundry.errors import ConfigurationError


def loaded(entry: EntryPoint) -> Any:
    """Return what an entry point names.

    Raises ConfigurationError, one line with the reason, where its module fails or has no such name.
    """
    try:
        return entry.load()
    except ConfigurationError:
        raise
    except Exception as problem:
        said = " ".join(f"{type(problem).__name__}: {problem}".split())
        raise ConfigurationError(
            f"entry point {entry.name}: {entry.value} cannot be imported ({said}); mend or "
            "uninstall the package"
        ) from None
