"""What a person notes about alphas, and asks for on a page of the dashboard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import delete, select

from alphafoundry.clock import utc_now
from alphafoundry.errors import NotInStore, WrongText
from alphafoundry.store.database import Store, add_rows, insert
from alphafoundry.store.mark_tables import ActionRow, AlphaMarkRow, AlphaTagRow
from alphafoundry.store.tables import AlphaRow

LONGEST_NOTE = 10_000
LONGEST_TAG = 40
MOST_TAGS = 20


def mark_alpha(
    store: Store,
    service: str,
    alpha_id: str,
    *,
    favourite: bool,
    note: str,
    tags: Iterable[str],
    now: datetime | None = None,
) -> None:
    """Replace what a person has noted about an alpha.

    Raises
    ------
    NotInStore : there is no such alpha
    WrongText : the note or a tag is too long, or there are too many tags
    """
    kept = sorted({one.strip() for one in tags if one.strip()})
    if len(note) > LONGEST_NOTE:
        raise WrongText(f"the note has {len(note)} characters; at most {LONGEST_NOTE} are kept")
    if len(kept) > MOST_TAGS or any(len(one) > LONGEST_TAG for one in kept):
        raise WrongText(f"at most {MOST_TAGS} tags of at most {LONGEST_TAG} characters are kept")
    with store.write() as session:
        if session.get(AlphaRow, (service, alpha_id)) is None:
            raise NotInStore(f"{store.label}: there is no alpha {alpha_id} of {service}")
        values = {"favourite": favourite, "note": note, "changed_at": now or utc_now()}
        session.execute(
            insert(session, AlphaMarkRow)
            .values(service=service, alpha_id=alpha_id, **values)
            .on_conflict_do_update(index_elements=["service", "alpha_id"], set_=values)
        )
        session.execute(
            delete(AlphaTagRow).where(
                AlphaTagRow.service == service, AlphaTagRow.alpha_id == alpha_id
            )
        )
        add_rows(
            session,
            AlphaTagRow,
            [{"service": service, "alpha_id": alpha_id, "tag": tag} for tag in kept],
        )


def record_action(
    store: Store,
    *,
    nonce: str,
    actor: str,
    action: str,
    subject: str,
    parameters: Mapping[str, Any],
    now: datetime | None = None,
) -> tuple[int, bool]:
    """Record what a person asks for; return its id, and whether it was not recorded before.

    nonce : of the form: one that comes again is not to be done again
    """
    row = {
        "nonce": nonce,
        "at": now or utc_now(),
        "actor": actor,
        "action": action,
        "subject": subject,
        "parameters": dict(parameters),
        "status": "recorded",
    }
    with store.write() as session:
        made = session.scalar(
            insert(session, ActionRow)
            .values(**row)
            .on_conflict_do_nothing(index_elements=["nonce"])
            .returning(ActionRow.id)
        )
        if made is not None:
            return int(made), True
        return session.scalars(select(ActionRow.id).where(ActionRow.nonce == nonce)).one(), False


def settle_action(
    store: Store,
    action_id: int,
    status: Literal["done", "refused"],
    told: str,
    *,
    link: str | None = None,
    now: datetime | None = None,
) -> None:
    """Record what came of an action."""
    with store.write() as session:
        row = session.get_one(ActionRow, action_id)
        row.status, row.told, row.link, row.settled_at = status, told, link, now or utc_now()
