"""Automations by name: Prefect is given what `config/automations.yaml` describes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from prefect.client.orchestration import PrefectClient, get_client
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import AutomationCore
from prefect.exceptions import ObjectNotFound
from pydantic import BaseModel, ConfigDict, StringConstraints

from alphafoundry.configuration import load_yaml
from alphafoundry.errors import ConfigurationError

AUTOMATIONS = Path("config/automations.yaml")

BlockName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")]

_SUBJECT = "{{ automation.name }}"
_BODY = (
    "{{ automation.description }}\n{{ event.event }}: {{ event.resource.name }}\n"
    "{{ event.resource.id }}"
)


class AutomationsFile(BaseModel):
    """Everything in `config/automations.yaml`.

    Attributes
    ----------
    notify : a notification block as TYPE/NAME, None tells nobody
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    notify: BlockName | None = None
    automations: tuple[AutomationCore, ...] = ()


def load_automations(path: Path = AUTOMATIONS) -> AutomationsFile:
    """Return the automations of a file.

    Raises
    ------
    ConfigurationError : file, line and key of a mistake, or a name that stands twice
    """
    found = load_yaml(path, AutomationsFile)
    names = [one.name for one in found.automations]
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(f"{path}: automations: {name!r} stands twice")
    return found


async def ensure_automations(found: AutomationsFile) -> list[str]:
    """Create or update each automation by its name; return what was done, a line for each change.

    One that was switched off in the UI stays off, and nothing else is touched.

    Raises
    ------
    ConfigurationError : there is no block of the name in `notify`
    """
    done: list[str] = []
    async with get_client() as client:
        notice = await _notice(client, found.notify)
        for one in found.automations:
            wanted = one.model_copy(update={"actions": [*one.actions, *notice]})
            before = await client.read_automations_by_name(one.name)
            if not before:
                await client.create_automation(wanted)
                done.append(f"created {one.name!r}")
                continue
            wanted = wanted.model_copy(update={"enabled": before[0].enabled})
            if _content(before[0]) != _content(wanted):
                await client.update_automation(before[0].id, _whole(wanted))
                done.append(f"updated {one.name!r}")
    return done


def _whole(one: AutomationCore) -> AutomationCore:
    """Return it with every field set that may be: the client sends only those that are."""
    return AutomationCore.model_validate(one.model_dump(exclude={"owner_resource"}))


def _content(one: AutomationCore) -> object:
    """Return what two automations are compared by: sets in order, without ids of the server's."""
    return _comparable(one.model_dump(include=set(AutomationCore.model_fields)))


def _comparable(value: object) -> object:
    if isinstance(value, dict):
        return {key: _comparable(one) for key, one in value.items() if key != "id"}
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    return [_comparable(one) for one in value] if isinstance(value, list) else value


async def _notice(client: PrefectClient, block: str | None) -> list[SendNotification]:
    if block is None:
        return []
    kind, _, name = block.partition("/")
    try:
        document = await client.read_block_document_by_name(name=name, block_type_slug=kind)
    except ObjectNotFound:
        raise ConfigurationError(
            f"{AUTOMATIONS}: notify: there is no block {block!r}; make it in Prefect's UI under "
            "Blocks, or write null"
        ) from None
    return [SendNotification(block_document_id=document.id, subject=_SUBJECT, body=_BODY)]
