"""Automations by name: Prefect is given what `config/automations.yaml` describes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

from prefect.client.orchestration import PrefectClient, get_client
from prefect.events.actions import ActionTypes, SendNotification
from prefect.events.schemas.automations import (
    AutomationCore,
    CompoundTrigger,
    EventTrigger,
    MetricTrigger,
    SequenceTrigger,
)
from prefect.exceptions import ObjectNotFound
from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationError

from alphafoundry.configuration import load_yaml
from alphafoundry.errors import ConfigurationError

AUTOMATIONS = Path("config/automations.yaml")

BlockName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")]

_SUBJECT = "{{ automation.name }}"
_BODY = (
    "{{ automation.description }}\n{{ event.event }}: {{ event.resource.name }}\n"
    "{{ event.resource.id }}"
)


_TRIGGERS: Mapping[str, type[BaseModel]] = {
    one.model_fields["type"].default: one
    for one in (EventTrigger, MetricTrigger, CompoundTrigger, SequenceTrigger)
}
_ACTIONS: Mapping[str, type[BaseModel]] = {
    one.model_fields["type"].default: one for one in get_args(ActionTypes)
}


def _without_unknown_keys(given: object) -> object:
    """Refuse keys and actions that Prefect would pass over: a trigger without its `expect` fires
    at every event."""
    if isinstance(given, Mapping):
        _refuse_unknown(given, AutomationCore, "")
        _check_trigger(given.get("trigger"), "trigger")
        for key in ("actions", "actions_on_trigger", "actions_on_resolve"):
            found = given.get(key)
            for number, action in enumerate(found if isinstance(found, list) else ()):
                _check_action(action, f"{key}[{number}]")
    return given


def _check_trigger(given: object, where: str) -> None:
    if not isinstance(given, Mapping):
        return
    if (model := _TRIGGERS.get(str(given.get("type")))) is not None:
        _refuse_unknown(given, model, f"{where}.")
    inner = given.get("triggers")
    for number, one in enumerate(inner if isinstance(inner, list) else ()):
        _check_trigger(one, f"{where}.triggers[{number}]")


def _check_action(given: object, where: str) -> None:
    kind = given.get("type") if isinstance(given, Mapping) else None
    model = _ACTIONS.get(str(kind))
    if not isinstance(given, Mapping) or model is None:
        raise ValueError(f"{where}: {kind!r} is no action; choose one of {', '.join(_ACTIONS)}")
    _refuse_unknown(given, model, f"{where}.")
    try:
        model.model_validate(given)
    except ValidationError as problem:
        first = problem.errors()[0]
        key = "".join(f".{part}" for part in first["loc"])
        raise ValueError(f"{where}{key}: {first['msg']}") from None


def _refuse_unknown(given: Mapping[Any, Any], model: type[BaseModel], where: str) -> None:
    unknown = [str(key) for key in given if key not in model.model_fields]
    if unknown:
        known = ", ".join(model.model_fields)
        raise ValueError(f"{where}{unknown[0]}: is an unknown key; choose one of {known}")


Automation = Annotated[AutomationCore, BeforeValidator(_without_unknown_keys)]


class AutomationsFile(BaseModel):
    """Everything in `config/automations.yaml`.

    Attributes
    ----------
    notify : a notification block as TYPE/NAME, None tells nobody
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    notify: BlockName | None = None
    automations: tuple[Automation, ...] = ()


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
