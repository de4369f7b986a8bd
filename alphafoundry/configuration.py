"""Read a YAML file into a typed model; every mistake is told, in a line that says where it is.

Values come from the file, then from environment variables, then from flags; the later win. A
message names what the value came from: `file:line: key.path`, the variable, or the flag.
"""

from __future__ import annotations

import difflib
import json
import re
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails

from alphafoundry.errors import ConfigurationError
from alphafoundry.yaml_document import KeyPath, YamlDocument, dotted, parse_yaml, read_yaml

Model = TypeVar("Model", bound=BaseModel)

MOST_MISTAKES = 30
"""Mistakes of one file that are shown."""


def load_yaml(
    path: Path | str,
    model: type[Model],
    *,
    required: bool = True,
    environment: Mapping[str, str] | None = None,
    prefix: str = "FOUNDRY_",
    reserved: Iterable[str] = (),
    overrides: Mapping[str, object] | None = None,
    override_keys: Mapping[str, str] | None = None,
) -> Model:
    """Return `model` filled from the YAML file at `path`, the environment and `overrides`.

    Parameters
    ----------
    required : False takes the model's defaults where the file does not exist
    environment : variables to read, None reads none. `{prefix}A__B` is the key `a.b`; a
        variable that is set but empty counts as not set
    reserved : variables with the prefix that are read elsewhere
    overrides : flag to value; None as a value changes nothing
    override_keys : flag to dotted key; a flag that is left out is the key itself

    Raises
    ------
    ConfigurationError : the file is missing, is not YAML, has an unknown key or a value that
        the model refuses; or an environment variable with the prefix is unknown
    """
    layers = _Layers(model, Path(path), environment_prefix=prefix)
    layers.add_file(required=required)
    if environment is not None:
        layers.add_environment(environment, frozenset(reserved))
    layers.add_overrides(overrides or {}, override_keys or {})
    try:
        return model.model_validate(layers.values)
    except ValidationError as error:
        raise ConfigurationError(layers.describe(error)) from None


def number_only(value: object) -> object:
    """Return what is given for a number; true and false are none, though Python has it so.

    Raises ValueError, as validators of pydantic do.
    """
    if isinstance(value, bool):
        raise ValueError("is not a number")
    return value


class NumbersOnly(BaseModel):
    """Base of a form in which true and false are no numbers, nor items of a list of numbers."""

    @field_validator("*", mode="before")
    @classmethod
    def _no_true_or_false(cls, given: object, info: ValidationInfo) -> object:
        annotation: Any = cls.model_fields[info.field_name or ""].annotation
        if _kinds(annotation) <= {int, float, type(None)}:
            for one in given if isinstance(given, list | tuple) else (given,):
                number_only(one)
        return given


@cache
def _kinds(annotation: Any) -> frozenset[Any]:
    """Return what a value or an item of a list may be; what has a validator is its own kind."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated and not any(isinstance(one, BeforeValidator) for one in inner):
        return _kinds(inner[0])
    if origin in (Union, types.UnionType, list, tuple):
        return frozenset().union(*(_kinds(one) for one in inner if one is not ...))
    return frozenset((annotation,))


def read_part(
    document: YamlDocument, model: type[Model], *, path: Path | str, key: KeyPath = ()
) -> Model:
    """Return `model` filled from the part of a YAML document at `key`; () is the whole.

    For a part whose model depends on what stands elsewhere in the file. A part that is absent
    takes the model's defaults.

    Raises
    ------
    ConfigurationError : as `load_yaml`, with the key written from the top of the file
    """
    layers = _Layers(model, Path(path), environment_prefix="", above=key)
    layers.values, layers.lines = document.values, document.lines
    for part in key:
        found: Any = layers.values
        inside = isinstance(found, list) or part in found
        layers.values = (found[part] if inside else None) or {}
    layers.lines = {
        line_key[len(key) :]: line
        for line_key, line in document.lines.items()
        if line_key[: len(key)] == key
    }
    try:
        return model.model_validate(layers.values)
    except ValidationError as error:
        raise ConfigurationError(layers.describe(error)) from None


class Mistakes:
    """Collects the ConfigurationErrors of checks that do not need each other.

    `with mistakes:` around a check keeps its error and goes on behind the block.
    """

    def __init__(self) -> None:
        self._texts: list[str] = []

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if not isinstance(error, ConfigurationError):
            return False
        self._texts.extend(str(error).split("\n"))
        return True

    def raise_any(self) -> None:
        """Raise one ConfigurationError with a line for each mistake, if there are any."""
        if self._texts:
            raise ConfigurationError(_lines(self._texts))


def _lines(mistakes: Iterable[str]) -> str:
    """Return the mistakes, each once, as lines, at most MOST_MISTAKES of them."""
    lines = list(dict.fromkeys(mistakes))
    shown = lines[:MOST_MISTAKES]
    if len(lines) > len(shown):
        shown.append(f"and {len(lines) - len(shown)} more mistakes")
    return "\n".join(shown)


def mistake(
    document: YamlDocument, path: Path | str, key: KeyPath, complaint: str
) -> ConfigurationError:
    """Return the error "file:line: key: complaint" for a mistake that a model does not see."""
    lines = (document.lines.get(key[:length]) for length in range(len(key), 0, -1))
    line = next((line for line in lines if line is not None), None)
    where = f"{path}{'' if line is None else f':{line}'}"
    return ConfigurationError(f"{where}: {dotted(key) or 'file'}: {complaint}")


@dataclass
class _Layers:
    """Values of all layers merged, with what each one came from."""

    model: type[BaseModel]
    path: Path
    environment_prefix: str
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[KeyPath, int] = field(default_factory=dict)
    origins: dict[KeyPath, str] = field(default_factory=dict)
    above: KeyPath = ()

    def add_file(self, *, required: bool) -> None:
        if not required and not self.path.exists():
            return
        document = read_yaml(self.path)
        self.values, self.lines = document.values, document.lines

    def add_environment(self, environment: Mapping[str, str], reserved: frozenset[str]) -> None:
        known = {self.environment_prefix + "__".join(key).upper(): key for key in _keys(self.model)}
        for name in sorted(environment):
            text = environment[name]
            if not name.startswith(self.environment_prefix) or name in reserved or not text:
                continue
            if name not in known:
                raise ConfigurationError(
                    f"{name}: unknown environment variable; {suggest(name, known)}"
                )
            key = known[name]
            structured = _is_structured(_annotation(self.model, key))
            self._put(key, parse_yaml(text, source=name) if structured else text, origin=name)

    def add_overrides(self, overrides: Mapping[str, object], keys: Mapping[str, str]) -> None:
        for name, value in overrides.items():
            if value is not None:
                key = tuple(keys.get(name, name).split("."))
                self._put(key, value, origin="--" + name.replace("_", "-"))

    def _put(self, key: tuple[str, ...], value: object, *, origin: str) -> None:
        parent: dict[str, Any] = self.values
        model: Any = self.model
        for depth, part in enumerate(key):
            alias = model.model_fields[part].alias if part in model.model_fields else None
            if alias is not None and alias != part and alias in parent:
                parent[part] = parent.pop(alias)
            if depth == len(key) - 1:
                parent[part] = value
                break
            inner = parent.setdefault(part, {})
            if not isinstance(inner, dict):
                raise ConfigurationError(
                    f"{origin}: {dotted(key[: depth + 1])} already has the single value "
                    f"{_shown(inner)}; write its keys out in {self.path}, or leave {origin} out"
                )
            parent[part] = dict(inner)
            parent = parent[part]
            model = _inner_model(model.model_fields[part].annotation) or BaseModel
        self.origins[key] = origin

    def describe(self, error: ValidationError) -> str:
        """Return a line for each mistake."""
        return _lines(map(self._describe_one, error.errors(include_url=False)))

    def _describe_one(self, detail: ErrorDetails) -> str:
        key = self._as_written(detail["loc"])
        for length in range(len(key), 0, -1):
            origin = self.origins.get(key[:length])
            if origin is not None:
                rest = dotted(key[length:])
                where = f"{origin}: {rest}" if rest else origin
                break
        else:
            lines = (self.lines.get(key[:length]) for length in range(len(key), -1, -1))
            line = next((line for line in lines if line is not None), None)
            written = dotted((*self.above, *key)) or "file"
            where = f"{self.path}{'' if line is None else f':{line}'}: {written}"
        return f"{where}: {self._complaint(detail, key)}"

    def _as_written(self, location: KeyPath) -> KeyPath:
        """Return the path with the key spelled as in the file where pydantic gives its alias."""
        key: KeyPath = ()
        model: type[BaseModel] | None = self.model
        for part in location:
            if part == "[key]":
                continue
            name = part
            if model is not None and isinstance(part, str):
                found = _field_name(model, part)
                written = (*key, part) in self.lines
                name = found if found is not None and not written else part
                annotation = None if found is None else model.model_fields[found].annotation
                model = _inner_model(annotation)
            key = (*key, name)
        return key

    def _complaint(self, detail: ErrorDetails, key: KeyPath) -> str:
        if detail["type"] == "extra_forbidden":
            parent = _annotation(self.model, key[:-1]) if key[:-1] else self.model
            model = _inner_model(parent) or self.model
            return f"unknown key {str(key[-1])!r}; {suggest(str(key[-1]), model.model_fields)}"
        if detail["type"] == "missing":
            return "is missing"
        secret = _holds_secret(_annotation(self.model, key))
        shown = "the value" if secret else _shown(detail["input"])
        if isinstance(detail["input"], Mapping) and shown.endswith("...'"):
            return _reason(detail, key)  # the key says where; the beginning of it all says nothing
        return f"{shown} {_reason(detail, key)}"


def _reason(detail: ErrorDetails, key: KeyPath) -> str:
    context = detail.get("ctx", {})
    kind = detail["type"]
    if kind == "literal_error":
        choices = str(context["expected"]).replace(" or ", ", ").replace("'", "")
        noun = next((part for part in reversed(key) if isinstance(part, str)), "value")
        return f"is not a valid {noun}; choose one of {choices}"
    if kind == "value_error":
        return str(context["error"])
    if kind.endswith("too_short") and context["min_length"] == 1:
        return "is empty"
    if kind == "string_pattern_mismatch":
        return f"is not of the form {context['pattern']}"
    for start, text in _REASONS.items():
        if kind.startswith(start):
            return text.format_map(context)
    return f"is not valid: {detail['msg']}"


_REASONS = {
    "int_": "is not a whole number",
    "float_": "is not a number",
    "finite_number": "is not a finite number",
    "bool_": "is not true or false",
    "date_": "is not a date; write it as 2024-01-31",
    "string_type": "is not text; put it in quotes",
    "string_too_short": "is not long enough; at least {min_length} characters are needed",
    "greater_than_equal": "is not at least {ge}",
    "greater_than": "is not greater than {gt}",
    "less_than_equal": "is not at most {le}",
    "less_than": "is not less than {lt}",
    "too_short": "is not long enough; at least {min_length} are needed",
    "too_long": "is too long; at most {max_length} are taken",
    "model_": "is not a mapping of keys to values",
    "dict_type": "is not a mapping of keys to values",
    "tuple_type": "is not a list",
    "list_type": "is not a list",
    "set_type": "is not a list; write it as [A, B]",
    "frozen_set_type": "is not a list; write it as [A, B]",
    "invalid_key": "has a key that is not text; put it in quotes",
}


_LOGIN = re.compile(r"//[^/@]*@")
"""User and password in an address, which no message may repeat."""


def _shown(value: object) -> str:
    if isinstance(value, str):
        text = value
    else:
        try:
            text = json.dumps(value, ensure_ascii=False)
        except (TypeError, ValueError, RecursionError):
            text = str(value)
    text = _LOGIN.sub("//***@", " ".join(text.split()))
    return f"'{text if len(text) <= 80 else text[:77] + '...'}'"


def suggest(name: str, choices: Iterable[str]) -> str:
    """Return "did you mean 'x'?", or the whole list where nothing is near; may be empty."""
    known = sorted(choices)
    if not known:
        return "there is none to choose"
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    return f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(known)}"


def _keys(model: type[BaseModel], parent: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, info in model.model_fields.items():
        yield (*parent, name)
        inner = _inner_model(info.annotation)
        if inner is not None:
            yield from _keys(inner, (*parent, name))


def _field_name(model: type[BaseModel], key: str) -> str | None:
    for name, info in model.model_fields.items():
        if key in (name, info.alias):
            return name
    return None


def _annotation(model: type[BaseModel], key: KeyPath) -> Any:
    """Return the type of the key or of the item of a list or mapping, None where unknown."""
    current: Any = model
    for part in key:
        owner = _inner_model(current)
        if owner is None:
            current = _item(current)
        else:
            name = _field_name(owner, part) if isinstance(part, str) else None
            current = None if name is None else owner.model_fields[name].annotation
        if current is None:
            return None
    return current


def _item(annotation: Any) -> Any:
    """Return the type of the items of a list or mapping, None where it is neither."""
    for member in _members(annotation):
        origin, inside = get_origin(member), get_args(member)
        if origin in (list, tuple, dict) and inside:
            item = inside[1] if origin is dict else inside[0]
            return get_args(item)[0] if get_origin(item) is Annotated else item
    return None


def _members(annotation: Any) -> tuple[Any, ...]:
    if get_origin(annotation) in (Union, types.UnionType):
        return get_args(annotation)
    return (annotation,)


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    for member in _members(annotation):
        if isinstance(member, type) and issubclass(member, BaseModel):
            return member
    return None


def _is_structured(annotation: Any) -> bool:
    if _inner_model(annotation) is not None:
        return True
    return any(get_origin(member) in (dict, list, tuple) for member in _members(annotation))


def _holds_secret(annotation: Any) -> bool:
    return any(member is SecretStr for member in _members(annotation))
