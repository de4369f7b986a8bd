"""Import what a user or an installed package names, or say in one line why that fails."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from alphafoundry.errors import ConfigurationError, FoundryError


def imported(
    load: Callable[[], Any],
    what: str,
    advice: str,
    *,
    refused: type[FoundryError] = ConfigurationError,
) -> Any:
    """Return what `load` imports.

    Parameters
    ----------
    what : what is imported, as the message calls it
    advice : what to do where that fails
    refused : the error that is raised, whose message has the reason; a ConfigurationError of the
        module itself passes
    """
    try:
        return load()
    except ConfigurationError:
        raise
    except Exception as problem:
        said = " ".join(f"{type(problem).__name__}: {problem}".split())
        raise refused(f"{what} cannot be imported ({said}); {advice}") from None


def imported_by_name(
    reference: str, what: str, *, refused: type[FoundryError] = ConfigurationError
) -> Any:
    """Return what `reference`, a module:name, names; errors are those of `imported`."""
    module_name, _, name = reference.partition(":")
    return imported(
        lambda: getattr(importlib.import_module(module_name), name),
        f"{what} {reference!r}",
        "write module:name of a module that Python finds",
        refused=refused,
    )
