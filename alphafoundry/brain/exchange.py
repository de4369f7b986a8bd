"""One request to the BRAIN API and its answer: session, load and lost connections handled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar
from urllib.parse import unquote

import httpx

from alphafoundry.brain.addresses import LOOPBACK_HOSTS, is_worldquant
from alphafoundry.brain.credentials import Credentials
from alphafoundry.brain.responses import call, session_is_missing, trouble
from alphafoundry.brain.served_data import ServedData
from alphafoundry.brain.session import Session
from alphafoundry.errors import AuthenticationError, BrainUnavailable

MOST_WAITS = 3
"""How often a request is sent again after a short Retry-After, before the caller is told."""

MOST_RENEWALS = 3
"""How often a request signs in anew while each new session is refused."""

CONNECTIONS = 20

T = TypeVar("T")

_IDENTITY = b"x-foundry-"

_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class Exchange:
    """Sends requests to one service, signed in, and judges whether an answer is usable.

    Parameters
    ----------
    base : address of the service
    credentials : None for a local server that wants none
    transport : in place of the network, for a server in this process
    timeout : seconds until an answer must have come
    max_wait_retry_after : longest Retry-After in seconds that is waited here
    on_persona, persona_timeout : as of Session
    """

    def __init__(
        self,
        base: httpx.URL,
        credentials: Credentials | None,
        *,
        transport: httpx.AsyncBaseTransport | None,
        timeout: float,
        max_wait_retry_after: float,
        on_persona: Callable[[str], None] | None,
        persona_timeout: float,
    ) -> None:
        self._base = base
        self._max_wait = max_wait_retry_after
        self._http = httpx.AsyncClient(
            transport=transport,
            http2=True,
            timeout=timeout,
            limits=httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS),
            headers={"Accept": "application/json"},
            # A proxy of the environment cannot reach this machine's own ports.
            trust_env=base.host not in LOOPBACK_HOSTS,
        )
        self.session = Session(
            base,
            credentials,
            self._transmit,
            on_persona=on_persona,
            persona_timeout=persona_timeout,
        )
        self.service = "worldquant" if is_worldquant(base) else base.netloc.decode()
        self.market_label: str | None = None
        self.data: ServedData | None = None
        self._told: list[tuple[bytes, bytes]] = []

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(
        self,
        method: str,
        path: str | httpx.URL,
        *,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        once_only: bool = False,
    ) -> httpx.Response:
        """Return the answer to one request; any status but 401, 429 and 5xx.

        Parameters
        ----------
        path : below the base address, with its query; or an absolute address of the service
        json : body
        headers : besides those of every request
        once_only : the request must not be carried out twice. It is then sent again only where
            the service surely did not carry it out (401, 429)

        Raises
        ------
        AuthenticationError : credentials refused, or still refused after a new sign-in
        RateLimited, BrainUnavailable : after at most three waits of max_wait_retry_after
        """
        url = path if isinstance(path, httpx.URL) else httpx.URL(f"{self._base}{path}")

        async def attempt() -> httpx.Response:
            response = await self._signed_in(method, url, json, headers, once_only)
            problem = trouble(response, once_only=once_only)
            if problem is not None:
                raise problem
            return response

        return await self._patiently(attempt)

    async def sign_in(self) -> dict[str, Any]:
        """Sign in now; return BRAIN's description of the account."""
        await self._patiently(self.session.sign_in)
        return dict(self.session.account)

    async def _patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try again after a short Retry-After, three times at most."""
        for tried in range(MOST_WAITS + 1):
            try:
                return await attempt()
            except BrainUnavailable as problem:
                pause = problem.retry_after
                if not problem.transient or pause is None or pause > self._max_wait:
                    raise
                if tried == MOST_WAITS:
                    raise
            await asyncio.sleep(pause)
        raise AssertionError("the last try returns or raises")

    async def _signed_in(
        self,
        method: str,
        url: httpx.URL,
        json: Any,
        headers: Mapping[str, str] | None,
        once_only: bool,
    ) -> httpx.Response:
        for renewed in range(MOST_RENEWALS + 1):
            number = await self.session.ready()
            response = await self._transmit(
                method, url, json=json, headers=headers, once_only=once_only
            )
            refused = response.status_code in (400, 401)
            if not session_is_missing(response) or (renewed > 0 and not refused):
                return response
            if renewed < MOST_RENEWALS:
                await self.session.renew(number)
        raise AuthenticationError(
            f"{call(response)}: {self._base.host} does not accept the session that it has just "
            "opened"
        )

    async def _transmit(
        self,
        method: str,
        url: httpx.URL,
        *,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        auth: httpx.Auth | None = None,
        once_only: bool = False,
    ) -> httpx.Response:
        try:
            response = await self._http.request(method, url, json=json, headers=headers, auth=auth)
        except httpx.TransportError as problem:
            reason = str(problem) or type(problem).__name__
            sent = not isinstance(problem, _NEVER_SENT)
        except httpx.HTTPError as problem:
            reason, sent = str(problem) or type(problem).__name__, True
        else:
            self._note_identity(response)
            return response
        # Raised after the handlers: a caught httpx error refers to the request, and a sign-in
        # request holds the password.
        raise BrainUnavailable(
            f"{method} {url.path}: no answer from {self._base.netloc.decode()} ({reason})",
            fate_unknown=once_only and sent,
        )

    def _note_identity(self, response: httpx.Response) -> None:
        if is_worldquant(self._base):
            return
        told = [pair for pair in response.headers.raw if pair[0].lower().startswith(_IDENTITY)]
        if told == self._told:
            return
        self._told = told
        self.service = response.headers.get("X-Foundry-Service", self.service)
        label = response.headers.get("X-Foundry-Market")
        if label is not None:
            self.market_label = unquote(label)
            self.data = ServedData.from_headers(response.headers) or self.data
