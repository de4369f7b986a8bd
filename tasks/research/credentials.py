"""Where BRAIN credentials come from: the environment, a file, or a Prefect Secret block."""

from __future__ import annotations

import json
import os
from typing import Any

from prefect.blocks.system import Secret

from alphafoundry.brain.credentials import Credentials
from alphafoundry.errors import ConfigurationError
from alphafoundry.research.checks import credentials_at_hand
from alphafoundry.settings import FoundrySettings

SECRET_BLOCK = "brain-credentials"  # noqa: S105 - the name of a block


async def brain_credentials(settings: FoundrySettings) -> Credentials | None:
    """Return the credentials for the service of `settings`; None where none are needed.

    The first that is there: FOUNDRY_BRAIN_EMAIL and FOUNDRY_BRAIN_PASSWORD, the file of
    `credentials`, the Secret block. A local server on a port may do without.

    Raises
    ------
    ConfigurationError : the WorldQuant service needs them and none were found, or they are
        malformed; the message never repeats what was read
    """
    if settings.brain == "local":
        return None
    found = credentials_at_hand(settings, os.environ)
    if found is not None:
        return found
    secret = await _from_block()
    if secret is None and settings.brain == "worldquant":
        raise ConfigurationError(
            f'no BRAIN credentials: put ["email", "password"] into {settings.credentials}, or set '
            "FOUNDRY_BRAIN_EMAIL and FOUNDRY_BRAIN_PASSWORD, or save the same list as a Prefect "
            f"Secret block named {SECRET_BLOCK!r}"
        )
    return secret


async def _from_block() -> Credentials | None:
    try:
        block: Any = await Secret.aload(SECRET_BLOCK)
    except ValueError:
        return None
    value = block.get()
    try:
        email, password = json.loads(value) if isinstance(value, str) else value
        return Credentials(str(email), str(password))
    except (TypeError, ValueError):
        # Raised outside this handler, so that no exception chain holds the value.
        pass
    raise ConfigurationError(
        f"the Prefect Secret block {SECRET_BLOCK!r} does not hold the JSON list "
        '["email", "password"]'
    )
