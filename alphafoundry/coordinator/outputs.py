"""What a phase gives, as a frozen dataclass: to JSON for its checkpoint, and back.

Any frozen dataclass will do whose fields are plain JSON values, mappings and sequences of such,
other such dataclasses, or values that have `to_json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeAlias, TypeVar

from pydantic import TypeAdapter, ValidationError

from alphafoundry.errors import UnreadableCheckpoint

Outputs = TypeVar("Outputs")

Shape: TypeAlias = "Mapping[str, Shape] | None"
"""What is inside an output: a mapping with these keys, or None where only the run can tell."""


def outputs_to_json(value: Any) -> Any:
    """Return plain JSON values; the fields of a dataclass keep their order."""
    if hasattr(value, "to_json"):
        return value.to_json()
    if is_dataclass(value):
        return {item.name: outputs_to_json(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {name: outputs_to_json(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [outputs_to_json(inner) for inner in value]
    return value


def outputs_from_json(model: type[Outputs], given: object) -> Outputs:
    """Return the dataclass that `outputs_to_json` made plain.

    Raises UnreadableCheckpoint where the values are not those of `model`: a checkpoint of other
    code, or a damaged one.
    """
    try:
        found: Outputs = _adapter(model).validate_python(given)
    except (ValidationError, KeyError, TypeError, ValueError) as problem:
        said = " ".join(str(problem).split())
        raise UnreadableCheckpoint(f"not the {model.__name__} of this code: {said}") from None
    return found


def output_keys(model: type[Any]) -> dict[str, Shape]:
    """Return the fields of the dataclass as keys whose inside only the run can tell."""
    return dict.fromkeys(item.name for item in fields(model))


_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}


def _adapter(model: type[Any]) -> TypeAdapter[Any]:
    if model not in _ADAPTERS:
        _ADAPTERS[model] = TypeAdapter(model)
    return _ADAPTERS[model]
