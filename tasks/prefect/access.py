"""Whose requests a Prefect server answers: not those of any page that a browser has open.

Prefect answers whatever `Host` a request names and, by default, lets pages of every origin in. A
page from the internet could so start flow runs on the server of the person who looks at it.
"""

from __future__ import annotations

from collections.abc import Iterable

from alphafoundry.asgi import (
    Application,
    Receive,
    Scope,
    Send,
    header_values,
    is_of_foreign_page,
    refuse,
    says_length_twice,
)
from alphafoundry.host_names import HostNames

TWO_LENGTHS = 400
WRONG_HOST = 421
WRONG_ORIGIN = 403


class GuardedApplication:
    """Passes on the requests that are meant for this server, and refuses the others.

    - `Host` must be a loopback address, `localhost`, the address at which the connection came in,
      this machine's own name, or one of `hosts`. A page whose name an attacker points at this
      machine (DNS rebinding) shows its own name there. The port is free: a tunnel changes it.
    - `Origin`, which browsers add and other clients do not, must be the server's own pages or one
      of `origins`. This holds for reading, too, and for WebSockets, which CORS leaves out.

    - What a page of another site embeds, such as an image, has no `Origin`: it is refused by
      `Sec-Fetch-Site`. So is a request that says its length in two ways.

    Starlette's `TrustedHostMiddleware` knows neither IPv6 addresses nor the address of the
    connection.

    Parameters
    ----------
    hosts : further names without port, such as that of a team's server or of a proxy
    origins : origins of other pages that may use this server, such as "https://tools.example"
    """

    def __init__(
        self, application: Application, *, hosts: Iterable[str] = (), origins: Iterable[str] = ()
    ) -> None:
        self._application = application
        self._hosts = HostNames(hosts)
        self._origins = frozenset(origin.lower().rstrip("/") for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] in ("http", "websocket") else None
        if refusal is None:
            await self._application(scope, receive, send)
        elif scope["type"] == "http":
            await refuse(send, *refusal)
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": refusal[1]})

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        hosts = header_values(scope, b"host")
        host = hosts[0] if len(hosts) == 1 else None
        if host is None or not self._hosts.includes(host, (scope.get("server") or ("",))[0]):
            return WRONG_HOST, (
                f"This Prefect server does not answer for the host {host!r}. If it should, add the "
                "name to `server_hosts` in config/foundry.yaml, or to FOUNDRY_SERVER_HOSTS, and "
                "start the server again."
            )
        if says_length_twice(scope):
            return TWO_LENGTHS, "The request says its length in two ways."
        origins = header_values(scope, b"origin")
        if not origins and is_of_foreign_page(scope):
            return WRONG_ORIGIN, (
                "Another site may open a page of this Prefect server, and nothing else."
            )
        own = (f"http://{host}", f"https://{host}")
        if all(one in self._origins or one in own for one in origins):
            return None
        return WRONG_ORIGIN, (
            f"This Prefect server does not take requests of pages from {', '.join(origins)}. If it "
            "should, add the origin to PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS and start the "
            "server again."
        )
