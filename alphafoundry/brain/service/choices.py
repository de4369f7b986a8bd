"""What POST /simulations takes on this market: validation in BRAIN's words, and OPTIONS."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alphafoundry.brain.service.replies import NOT_PERMITTED, RefusedError
from alphafoundry.market.panel import Panel
from alphafoundry.market.universe import UNIVERSE_SIZES
from alphafoundry.simulation.settings import REGIONS, SimulationSettings
from alphafoundry.simulation.super_settings import FEWEST_SELECTED, MOST_SELECTED, SuperSettings

OTHER_REGIONS = frozenset(REGIONS[1:])
"""Regions that the service has and an ordinary account may not use."""

MOST_DECAY = 512
LONGEST_EXPRESSION = 100_000

TEXTS_OF = {"REGULAR": ("regular",), "SUPER": ("combo", "selection")}
"""Type of an alpha to the texts that it is written with."""

_REQUIRED = "This field is required."
_NULL = "This field may not be null."
_ON_OFF = ("ON", "OFF")
_HANDLINGS = ("POSITIVE", "NON_ZERO", "NON_NAN")
_TEST_PERIOD = re.compile(r"P[0-6]Y([0-9]|1[01])M([0-9]{1,3}D)?")

Reader = Callable[[Any], Any]


@dataclass(frozen=True)
class SimulationRequest:
    """A request that was understood.

    Attributes
    ----------
    expression : FASTEXPR text, not parsed yet; of a SUPER alpha its combo
    body : the request as BRAIN echoes it in the answer
    selection : FASTEXPR text of a SUPER alpha's selection; None for a regular alpha
    """

    settings: SimulationSettings
    expression: str
    body: dict[str, Any]
    selection: str | None = None


class _Invalid(Exception):
    pass


@dataclass(frozen=True)
class Choices:
    """The settings that one market allows.

    Attributes
    ----------
    neutralizations : NONE and the groups that the market knows
    """

    universes: tuple[str, ...]
    neutralizations: tuple[str, ...]

    @classmethod
    def of(cls, panel: Panel) -> Choices:
        """Return what `panel` allows."""
        known = ("MARKET", "SECTOR", "INDUSTRY", "SUBINDUSTRY")
        groups = tuple(name for name in known if name.lower() in panel.groups)
        return cls(tuple(UNIVERSE_SIZES), ("NONE", *groups))

    def read(self, body: Any) -> SimulationRequest:
        """Return the request that `body` makes.

        Raises RefusedError: 403 for other regions, 400 with an array of messages per property
        for everything else.
        """
        if not isinstance(body, dict):
            raise RefusedError(400, {"errors": [_no_dictionary(body)]})
        errors: dict[str, Any] = {}
        kind = body.get("type")
        if "type" not in body:
            errors["type"] = [_REQUIRED]
        elif kind not in TEXTS_OF:
            errors["type"] = [_no_choice(kind)]
        texts = TEXTS_OF.get(kind if isinstance(kind, str) else "", ("regular",))
        settings = self._settings(
            body.get("settings"), "settings" in body, errors, of_super=kind == "SUPER"
        )
        written = {name: _expression(name, body, errors) for name in texts}
        if errors:
            raise RefusedError(400, errors)
        assert settings is not None
        echo = {"type": kind, "settings": settings.to_brain(), **written}
        return SimulationRequest(settings, written[texts[0]], echo, written.get("selection"))

    def _settings(
        self, given: Any, present: bool, errors: dict[str, Any], *, of_super: bool
    ) -> SimulationSettings | None:
        if not present:
            errors["settings"] = [_REQUIRED]
            return None
        if not isinstance(given, dict):
            errors["settings"] = {"errors": [_no_dictionary(given)]}
            return None
        if given.get("region") in OTHER_REGIONS and given.get("instrumentType") == "EQUITY":
            raise RefusedError(403, NOT_PERMITTED)
        values: dict[str, Any] = {}
        wrong: dict[str, list[str]] = {}
        readers = self._readers() | (_SUPER_READERS if of_super else {})
        for name, (required, reader) in readers.items():
            if name not in given:
                if required:
                    wrong[name] = [_REQUIRED]
                continue
            try:
                if given[name] is None:
                    raise _Invalid(_NULL)
                values[name] = reader(given[name])
            except _Invalid as problem:
                wrong[name] = [str(problem)]
        if given.get("instrumentType") == "CRYPTO":
            wrong["instrumentType"] = ["Instrument type CRYPTO is not available."]
            wrong["region"] = [
                f"Region {given.get('region')} is not available for instrument type CRYPTO."
            ]
        if wrong:
            errors["settings"] = wrong
            return None
        for name in ("maxPosition", "simulationMode"):
            values.pop(name, None)
        return (SuperSettings if of_super else SimulationSettings).model_validate(values)

    def _readers(self) -> dict[str, tuple[bool, Reader]]:
        return {
            "instrumentType": (True, _one_of("EQUITY")),
            "region": (True, _one_of("USA")),
            "universe": (True, _one_of(*self.universes)),
            "delay": (True, _delay),
            "decay": (True, _decay),
            "neutralization": (True, _one_of(*self.neutralizations)),
            "truncation": (True, _truncation),
            "pasteurization": (True, _one_of(*_ON_OFF)),
            "unitHandling": (True, _one_of("VERIFY")),
            "nanHandling": (True, _one_of(*_ON_OFF)),
            "language": (True, _one_of("FASTEXPR")),
            "maxTrade": (False, _one_of(*_ON_OFF)),
            "maxPosition": (False, _one_of("OFF")),
            "simulationMode": (False, _one_of("QUICK", "FULL")),
            "visualization": (False, _boolean),
            "testPeriod": (False, _test_period),
        }

    def options(self) -> dict[str, Any]:
        """Return the answer of OPTIONS /simulations: a tree of choices."""
        children: dict[str, Any] = {
            "instrumentType": _choice("Instrument type", _labelled(["EQUITY"])),
            "region": _choice("Region", {"instrumentType": {"EQUITY": _labelled(["USA"])}}),
            "universe": _choice("Universe", _in_usa(self.universes)),
            "delay": _choice("Delay", _in_usa([1, 0])),
            "decay": _number("Decay", "integer", 0, MOST_DECAY),
            "neutralization": _choice("Neutralization", _in_usa(self.neutralizations)),
            "truncation": _number("Truncation", "float", 0, 1),
            "pasteurization": _choice("Pasteurization", _labelled(_ON_OFF)),
            "unitHandling": _choice("Unit handling", _labelled(["VERIFY"])),
            "nanHandling": _choice("NaN handling", _labelled(_ON_OFF)),
            "maxTrade": _choice("Max trade", _labelled(_ON_OFF), required=False),
            "language": _choice("Language", _labelled(["FASTEXPR"])),
            "visualization": {"type": "boolean", "required": False, "label": "Visualization"},
            "testPeriod": {"type": "string", "required": False, "label": "Test period"},
            "selectionHandling": _choice(
                "Selection handling", _labelled(_HANDLINGS), required=False
            ),
            "selectionLimit": _number(
                "Selection limit", "integer", FEWEST_SELECTED, MOST_SELECTED, required=False
            ),
            "componentActivation": _choice(
                "Component activation", _labelled(["IS"]), required=False
            ),
        }
        return {
            "name": "Simulation List",
            "renders": ["application/json"],
            "parses": ["application/json"],
            "actions": {
                "POST": {
                    "type": _choice("Type", _labelled(list(TEXTS_OF))),
                    "settings": {
                        "type": "nested object",
                        "required": True,
                        "label": "Settings",
                        "children": children,
                    },
                    **{
                        name: {"type": "string", "required": False, "label": name.capitalize()}
                        for names in TEXTS_OF.values()
                        for name in names
                    },
                }
            },
        }


def _expression(name: str, body: Mapping[str, Any], errors: dict[str, Any]) -> str:
    given = body.get(name)
    if name not in body:
        errors[name] = [_REQUIRED]
    elif given is None:
        errors[name] = [_NULL]
    elif not isinstance(given, str):
        errors[name] = ["Not a valid string."]
    elif not given.strip():
        errors[name] = ["This field may not be blank."]
    elif len(given) > LONGEST_EXPRESSION:
        errors[name] = [f"Ensure this field has no more than {LONGEST_EXPRESSION} characters."]
    else:
        return given
    return ""


def _no_dictionary(given: object) -> str:
    return f"Invalid data. Expected a dictionary, but got {type(given).__name__}."


def _no_choice(given: object) -> str:
    return f'"{given}" is not a valid choice.'


def _one_of(*allowed: str) -> Reader:
    def read(given: Any) -> Any:
        if not isinstance(given, str) or given not in allowed:
            raise _Invalid(_no_choice(given))
        return given

    return read


def _whole(given: Any) -> int:
    if isinstance(given, float) and given.is_integer():
        return int(given)
    if isinstance(given, bool) or not isinstance(given, int):
        raise _Invalid("A valid integer is required.")
    return given


def _delay(given: Any) -> int:
    if isinstance(given, bool) or given not in (0, 1):
        raise _Invalid(_no_choice(given))
    return int(given)


def _decay(given: Any) -> int:
    return int(_within(_whole(given), 0, MOST_DECAY))


def _truncation(given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise _Invalid("A valid number is required.")
    return float(_within(given, 0, 1))


def _within(value: float, low: float, high: float) -> float:
    if value < low:
        raise _Invalid(f"Ensure this value is greater than or equal to {low}.")
    if value > high:
        raise _Invalid(f"Ensure this value is less than or equal to {high}.")
    return value


def _boolean(given: Any) -> bool:
    if not isinstance(given, bool):
        raise _Invalid("Must be a valid boolean.")
    return given


def _test_period(given: Any) -> str:
    if not isinstance(given, str) or not _TEST_PERIOD.fullmatch(given):
        raise _Invalid(_no_choice(given))
    return given


def _labelled(values: Sequence[Any]) -> list[dict[str, Any]]:
    return [{"value": value, "label": str(value)} for value in values]


def _in_usa(values: Sequence[Any]) -> dict[str, Any]:
    return {"instrumentType": {"EQUITY": {"region": {"USA": _labelled(values)}}}}


def _selection_limit(given: Any) -> int:
    return int(_within(_whole(given), FEWEST_SELECTED, MOST_SELECTED))


_SUPER_READERS: dict[str, tuple[bool, Reader]] = {
    "selectionHandling": (True, _one_of(*_HANDLINGS)),
    "selectionLimit": (True, _selection_limit),
    "componentActivation": (False, _one_of("IS")),
}


def _choice(label: str, choices: Any, *, required: bool = True) -> dict[str, Any]:
    return {"type": "choice", "required": required, "label": label, "choices": choices}


def _number(
    label: str, kind: str, low: float, high: float, *, required: bool = True
) -> dict[str, Any]:
    return {
        "type": kind,
        "required": required,
        "label": label,
        "min_value": low,
        "max_value": high,
    }
