"""Prefect's server: guarded, and with patience for its own database where that is SQLite.

On SQLite a request for a slot of a limit that meets another write is answered 503, and Prefect's
client then sleeps 2 s or more. The other write is over within milliseconds, so the server asks
its database again before it answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from alphafoundry.asgi import Application, Message, Receive, Scope, Send, replaying
from tasks.prefect.access import GuardedApplication

SLOTS = "/v2/concurrency_limits/"
BUSY = 503
TRIES = 25
FIRST_WAIT = 0.01
LONGEST_WAIT = 0.2


class PatientApplication:
    """Passes requests on to an ASGI application; repeats those for slots that find it busy.

    For SQLite only. There a request that was answered 503 has changed nothing: the lock was
    refused before the commit, its transaction was rolled back, and a lease is made or revoked
    after it. On PostgreSQL a 503 can also mean that the connection was lost while a commit was
    under way, and a repeated request could take or free a slot twice.

    After `TRIES`, about 4 s, the last 503 is passed on.
    """

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or SLOTS not in scope["path"]:
            await self._application(scope, receive, send)
            return
        body = await _body(receive)
        wait = FIRST_WAIT
        answer: list[Message] = []
        for turn in range(TRIES):
            if turn:
                await asyncio.sleep(wait)
                wait = min(2 * wait, LONGEST_WAIT)
            answer = []
            try:
                await self._application(dict(scope), replaying(body, receive), _into(answer))
            except Exception:
                # The outermost error handler answers 503 and then raises what it answered for.
                if not answer:
                    raise
            if answer and answer[0].get("status") != BUSY:
                break
        for message in answer:
            await send(message)


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _into(answer: list[Message]) -> Send:
    async def keep(message: Message) -> None:
        answer.append(message)

    return keep


def create_application(*, hosts: Iterable[str] = ()) -> Application:
    """Return Prefect's server for the database, and the allowed origins, of Prefect's settings.

    Prefect's own default for the origins, all of them, is taken for none.

    hosts : names for which it answers besides those of this machine
    """
    from prefect.server.api.server import create_app
    from prefect.server.utilities.database import get_dialect
    from prefect.settings import (
        PREFECT_API_DATABASE_CONNECTION_URL,
        PREFECT_SERVER_CORS_ALLOWED_ORIGINS,
        temporary_settings,
    )

    given = PREFECT_SERVER_CORS_ALLOWED_ORIGINS.value().split(",")
    origins = [one.strip() for one in given if one.strip() not in ("", "*")]
    with temporary_settings({PREFECT_SERVER_CORS_ALLOWED_ORIGINS: ",".join(origins)}):
        application: Application = create_app()
    if get_dialect(PREFECT_API_DATABASE_CONNECTION_URL.value()).name == "sqlite":
        application = PatientApplication(application)
    return GuardedApplication(application, hosts=hosts, origins=origins)
