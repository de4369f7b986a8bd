"""Addresses of Apprise that alerts go to: mail, chat, a webhook.

They hold passwords: no output or error here repeats one.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any, Literal

from alphafoundry.errors import ConfigurationError

_LOGIN = re.compile(r"//(?:[^/@:\s]*:\S*|[^/\s]*)@")


def open_addresses(given: Sequence[str], *, where: str = "for alerts") -> dict[str, Any]:
    """Return what Apprise sends by for each address, by a label without what is secret.

    Parameters
    ----------
    where : that the addresses were given, for the error

    Raises
    ------
    ConfigurationError : an address is none of Apprise's; it is told by its number
    """
    import apprise

    # Its lines tell addresses.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    found: dict[str, Any] = {}
    for number, address in enumerate(given, 1):
        service = apprise.Apprise.instantiate(address, suppress_exceptions=True)
        if service is None:
            raise ConfigurationError(
                f"address {number} of {len(given)} {where} is none that Apprise knows; "
                "https://appriseit.com/services/ lists their forms"
            )
        alone = apprise.Apprise()
        alone.add(service)
        found[f"address {number} ({service.service_name})"] = alone
    return found


def send(
    service: Any, title: str, body: str, *, kind: Literal["info", "warning", "failure"] = "info"
) -> bool:
    """Return whether an address has taken a message.

    Parameters
    ----------
    kind : most services show it by a colour
    """
    try:
        # Said to be text, it is quoted where a service sends HTML, as mail does.
        return bool(service.notify(body=body, title=title, notify_type=kind, body_format="text"))
    except Exception:  # a service that raises has not taken it, and its text may tell the address
        return False


def in_one_line(text: str) -> str:
    """Return a text in one line, without logins that a program may have printed."""
    return _LOGIN.sub("//***@", " ".join(text.split()))
