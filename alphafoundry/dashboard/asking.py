"""What a request asks for: its filters, its form, and an action that is recorded before it is done.

What is done here is done once: a form that arrives again shows what came of the first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, cast
from urllib.parse import parse_qsl

from fastapi import Request
from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.engine import Connection
from starlette.responses import RedirectResponse, Response

from alphafoundry.dashboard.access import Access, Session
from alphafoundry.dashboard.sources import Sources
from alphafoundry.dashboard.tables import Page, Table, read_page
from alphafoundry.errors import FoundryError
from alphafoundry.store.marks import record_action, settle_action

MOST_FIELDS = 60


class MissingPage(FoundryError):
    """Nothing has this address."""


class Refused(FoundryError):
    """A session may not do this, or a form is not one of ours."""


def sources_of(request: Request) -> Sources:
    """Return what pages read."""
    return cast(Sources, request.app.state.sources)


def given_of(request: Request) -> dict[str, str]:
    """Return the query string, the last value of each name."""
    return dict(request.query_params)


def read_table(request: Request, table: Table, **fixed: str) -> Page:
    """Return the page of a table that a request asks for, with what its rows get later.

    fixed : filters that the address sets, whatever the query string says
    """
    with sources_of(request).connect(table.database) as connection:
        page = read_page(connection, table, given_of(request) | fixed)
        if table.later is not None:
            table.later(request.app.state, connection, page.rows)
    return page


def row_number(number: int) -> int:
    """Return a number of a row as databases take it; one out of their range becomes one of none."""
    return number if 0 < number < 2**31 else 0


def require(connection: Connection, condition: ColumnElement[bool], what: str) -> None:
    """Raise MissingPage, which says that there is no such thing, where no row has it."""
    if not connection.scalar(select(exists().where(condition))):
        raise MissingPage(f"there is no {what}")


async def read_fields(request: Request) -> dict[str, str]:
    """Return the fields of a form, the last value of each name.

    Raises Refused for what is none.
    """
    body = await request.body()
    try:
        pairs = parse_qsl(
            body.decode("utf-8"),
            keep_blank_values=True,
            max_num_fields=MOST_FIELDS,
            errors="strict",
        )
    except ValueError:
        raise Refused("this is no form of the dashboard") from None
    return dict(pairs)


async def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a form of ours.

    Raises Refused for a session that only reads, for a nonce that was not made for it, and for a
    NUL, which no database keeps.
    """
    session: Session = request.state.session
    access: Access = request.app.state.access
    form = await read_fields(request)
    if session.role != "acts":
        raise Refused("this session only reads; sign in with the token to act")
    if not access.is_nonce(session, form.get("nonce", "")):
        raise Refused("the form is too old or not of this session; open the page again")
    if any("\0" in text for text in form.values()):
        raise Refused("a text of the form has a NUL")
    return form


async def act(
    request: Request,
    form: Mapping[str, str],
    *,
    action: str,
    subject: str,
    parameters: Mapping[str, Any],
    do: Callable[[], tuple[str, str | None]],
) -> Response:
    """Record an action, do it, record what came of it, and show that.

    do : does it, in a thread; returns a line about it and an address to follow, or raises
        FoundryError
    """
    sources = sources_of(request)
    session: Session = request.state.session

    def once() -> int:
        number, new = record_action(
            sources.store,
            nonce=form["nonce"],
            actor=session.name,
            action=action,
            subject=subject,
            parameters=parameters,
            now=sources.now(),
        )
        if new:
            try:
                told, link = do()
            except FoundryError as problem:
                settle_action(sources.store, number, "refused", str(problem), now=sources.now())
            else:
                settle_action(sources.store, number, "done", told, link=link, now=sources.now())
        return number

    return RedirectResponse(f"/actions/{await asyncio.to_thread(once)}", 303)
