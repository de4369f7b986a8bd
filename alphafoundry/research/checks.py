"""Mistakes in the settings of a research run that can be told before anything is started."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from alphafoundry.brain.credentials import Credentials, load_credentials
from alphafoundry.errors import ConfigurationError
from alphafoundry.research.run import load_simulated_market
from alphafoundry.settings import FoundrySettings
from alphafoundry.simulation.settings import REGIONS


def check_research(
    settings: FoundrySettings, given: Mapping[str, Any], say: Callable[[str], None] | None = None
) -> None:
    """Load the market of the local simulator, or read the credentials of a service.

    Parameters
    ----------
    given : parameters of the flow that were given; a file that is named here must exist
    say : called with one line at each step that takes time

    Raises
    ------
    FoundryError : no such market, unreadable data, or malformed credentials
    """
    check_region(settings)
    if settings.brain == "local":
        load_simulated_market(settings, say)
    else:
        credentials_at_hand(settings, os.environ, must_exist="credentials" in given)


def check_region(settings: FoundrySettings) -> None:
    """Raise ConfigurationError where the region is none, or none of the simulator here."""
    region = settings.alpha.region
    known = REGIONS[:1] if settings.brain == "local" else REGIONS
    if region not in known:
        where = "a local market has USA alone" if region in REGIONS else "it is no region"
        raise ConfigurationError(
            f"alpha.region: {region!r}: {where}; choose {'one of ' * (len(known) > 1)}"
            f"{', '.join(known)}"
        )


def credentials_at_hand(
    settings: FoundrySettings, environment: Mapping[str, str], *, must_exist: bool = False
) -> Credentials | None:
    """Return the credentials of the environment or of the file of `settings`; None without any.

    Raises
    ------
    ConfigurationError : they are malformed, or the file must exist and does not; the message
        never repeats what was read
    """
    path = Path(settings.credentials)
    given = environment.get("FOUNDRY_BRAIN_EMAIL") or environment.get("FOUNDRY_BRAIN_PASSWORD")
    return load_credentials(path, environment) if given or must_exist or path.exists() else None


def check_placebo_research(
    settings: FoundrySettings, given: Mapping[str, Any], say: Callable[[str], None] | None = None
) -> None:
    """Find out whether the market can be mirrored, and load it; see `check_research`.

    Raises
    ------
    FoundryError : the prices are elsewhere, no such market, or unreadable data
    """
    check_placebo(settings)
    check_research(settings, given, say)


def check_placebo(settings: FoundrySettings) -> None:
    """Refuse what cannot be searched on mirrored prices.

    Raises ConfigurationError for a service elsewhere, whose prices nobody can turn, and for a
    language model, which has read what became of the true prices and would lose that knowledge on
    mirrored ones for another reason than luck.
    """
    if settings.brain != "local":
        raise ConfigurationError(
            f"placebo: the prices of {settings.brain} cannot be mirrored; choose brain local"
        )
    if settings.generator != "grammar":
        raise ConfigurationError(
            f"placebo: the generator {settings.generator} knows what became of the true prices, so "
            "mirrored ones are no fair comparison; choose generator grammar"
        )
