"""One sign-in for all concurrent calls: renewed when it expires, and biometric when asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from alphafoundry.brain.addresses import absolute_location, is_worldquant
from alphafoundry.brain.credentials import Credentials
from alphafoundry.brain.responses import detail_of, read_object, refusal, trouble
from alphafoundry.errors import (
    AuthenticationError,
    BrainError,
    BrainUnavailable,
    ConfigurationError,
    PersonaRequired,
)
from alphafoundry.retry_after import retry_after

RENEW_BEFORE_SECONDS = 60.0
"""A token is renewed this long before it expires, or at a tenth of a shorter life."""

PERSONA_POLL_SECONDS = 5.0

Transmit = Callable[..., Awaitable[httpx.Response]]


class Session:
    """The sign-in of a client.

    Parameters
    ----------
    base : address of the service
    credentials : None signs in without any, which only a local server accepts
    transmit : sends one request and returns the answer, raising BrainUnavailable without one
    on_persona : gets the message with the link for the person; None raises PersonaRequired
    persona_timeout : seconds that the person has
    """

    def __init__(
        self,
        base: httpx.URL,
        credentials: Credentials | None,
        transmit: Transmit,
        *,
        on_persona: Callable[[str], None] | None,
        persona_timeout: float,
        persona_poll: float = PERSONA_POLL_SECONDS,
    ) -> None:
        self._base = base
        self._credentials = credentials
        self._transmit = transmit
        self._on_persona = on_persona
        self._persona_timeout = persona_timeout
        self._persona_poll = persona_poll
        self._lock = asyncio.Lock()
        self._sign_ins = 0
        self._renew_at = 0.0
        self._ended_tries = 0
        self._failure: BrainError | None = None
        self._refused: str | None = None
        self.account: dict[str, Any] = {}

    async def sign_in(self) -> None:
        """Sign in now, also where a session exists or an earlier attempt was refused."""
        async with self._lock:
            self._refused = None
            await self._try()

    async def ready(self) -> int:
        """Make sure that there is a session that lasts; return its number."""
        number = self._sign_ins
        if number == 0 or time.monotonic() >= self._renew_at:
            return await self.renew(number)
        return number

    async def renew(self, number: int) -> int:
        """Replace session `number`, unless another task has done so; return the new number.

        Tasks that wait for one attempt share its failure. A refusal is remembered, so that wrong
        credentials are sent once.
        """
        ended = self._ended_tries
        async with self._lock:
            if self._sign_ins == number:
                if self._ended_tries != ended and self._failure is not None:
                    raise self._failure
                await self._try()
            return self._sign_ins

    async def _try(self) -> None:
        try:
            await self._sign_in()
            self._failure = None
        except BrainError as problem:
            self._failure = problem
            raise
        finally:
            self._ended_tries += 1

    async def _sign_in(self) -> None:
        if self._refused is not None:
            raise AuthenticationError(self._refused)
        if self._credentials is None and is_worldquant(self._base):
            raise ConfigurationError(
                f"{self._base} needs credentials; give a file with --credentials, or set "
                "FOUNDRY_BRAIN_EMAIL and FOUNDRY_BRAIN_PASSWORD"
            )
        response = await self._post(httpx.URL(f"{self._base}/authentication"))
        if response.status_code == 401 and "persona" in response.headers.get(
            "www-authenticate", ""
        ):
            response = await self._confirmed_by_a_person(response)
        problem = trouble(response, once_only=False)
        if problem is not None:
            raise problem
        if response.status_code == 401:
            self._refused = _refusal_text(self._base, response)
            raise AuthenticationError(self._refused)
        if response.status_code not in (200, 201, 204):
            raise refusal(response)
        self._accept(response)

    async def _post(self, url: httpx.URL) -> httpx.Response:
        auth = self._credentials.basic_auth() if self._credentials is not None else None
        return await self._transmit("POST", url, auth=auth)

    def _accept(self, response: httpx.Response) -> None:
        self.account = read_object(response) if response.content else {}
        token = self.account.get("token")
        life = token.get("expiry") if isinstance(token, dict) else None
        seconds = float(life) if isinstance(life, int | float) else float("inf")
        self._renew_at = time.monotonic() + seconds - min(RENEW_BEFORE_SECONDS, seconds / 10)
        self._sign_ins += 1

    async def _confirmed_by_a_person(self, response: httpx.Response) -> httpx.Response:
        location = response.headers.get("location")
        if location is None:
            raise AuthenticationError(
                f"{self._base.host} asks for a biometric check without saying where; sign in "
                "once with a browser, then try again"
            )
        url = absolute_location(location, self._base)
        wanted = PersonaRequired(str(url))
        if self._on_persona is None:
            raise wanted
        self._on_persona(str(wanted))
        deadline = time.monotonic() + self._persona_timeout
        pause = 0.0
        while (remaining := deadline - time.monotonic()) > 0:
            await asyncio.sleep(min(pause, remaining))
            pause = self._persona_poll
            try:
                response = await self._post(url)
            except BrainUnavailable:
                continue
            if response.status_code == 201:
                return response
            pause = retry_after(response.headers) or pause
        raise wanted


def _refusal_text(base: httpx.URL, response: httpx.Response) -> str:
    detail = detail_of(response)
    if isinstance(detail, dict) and "recaptcha" in detail:
        return (
            f"{base.host} refused the sign-in and wants a captcha after many attempts; sign in "
            "with a browser, then try again"
        )
    return (
        f"{base.host} refused the email and password; check the credentials file or "
        "FOUNDRY_BRAIN_EMAIL and FOUNDRY_BRAIN_PASSWORD"
    )
