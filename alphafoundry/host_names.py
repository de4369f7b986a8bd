"""Which `Host` a request to a server on this machine may name.

A page whose own name an attacker points at this machine (DNS rebinding) shows that name there.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable

_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^:\[\]/@\s]+)(?::\d{1,5})?")


class HostNames:
    """The names of this machine: loopback addresses, `localhost`, its own name, and those given.

    The port is free: a tunnel changes it.

    Parameters
    ----------
    further : names without port, such as that of a team's server or of a proxy
    """

    def __init__(self, further: Iterable[str] = ()) -> None:
        own = ("localhost", socket.gethostname(), *further)
        self._names = frozenset(_bare(name.lower()) for name in own)

    def includes(self, host: str, address: str | None) -> bool:
        """Tell whether a lower-case `Host` header is one of them.

        address : at which the connection came in; it may be named, too
        """
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = _bare(found["name"])
        if name in self._names:
            return True
        try:
            named = ipaddress.ip_address(name)
        except ValueError:
            return False
        return named.is_loopback or str(named) == address


def _bare(name: str) -> str:
    """Return a host's name without the dot of a full name, an address without its brackets."""
    return name.rstrip(".").strip("[]")
