"""YAML text to plain values, with the line of every key."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from alphafoundry.errors import ConfigurationError

KeyPath = tuple[str | int, ...]


def dotted(key: KeyPath) -> str:
    """Return the path as people write it: `ollama.models[0].name`."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


@dataclass(frozen=True)
class YamlDocument:
    """A mapping read from a file.

    Attributes
    ----------
    values : plain Python values
    lines : 1-based line of each key and list item
    """

    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[KeyPath, int] = field(default_factory=dict)


MOST_NODES = 20_000
"""Keys, values and list items of the largest document that is read, aliases written out."""

MOST_BYTES = 2_000_000
"""Bytes of the largest file that is read."""


class _Loader(yaml.SafeLoader):
    """Safe loader where ON, OFF, yes and 14:30 stay text, as in YAML 1.2; stops at MOST_NODES."""

    composed = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Return the next node, which counts."""
        self.composed += 1
        if self.composed > MOST_NODES:
            raise _TooLargeError
        return super().compose_node(parent, index)

    def construct_yaml_timestamp(self, node: yaml.ScalarNode) -> Any:
        """Return a date; one that no calendar has is a mistake with its place."""
        try:
            return super().construct_yaml_timestamp(node)
        except ValueError as error:
            raise yaml.constructor.ConstructorError(
                problem=f"{node.value} is no date ({error})", problem_mark=node.start_mark
            ) from None


_Loader.add_constructor("tag:yaml.org,2002:timestamp", _Loader.construct_yaml_timestamp)


class _TooLargeError(Exception):
    """A document has more nodes than are read."""


_Loader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if not pair[0].endswith((":bool", ":int", ":float"))]
    for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9_]*)$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)


def read_yaml(path: Path) -> YamlDocument:
    """Return the mapping in the file; an empty file is an empty mapping.

    Raises
    ------
    ConfigurationError : no such file, not text, not YAML, a key twice, or not a mapping
    """
    try:
        with path.open("rb") as file:
            read = file.read(MOST_BYTES + 1)
        if len(read) > MOST_BYTES:
            raise ConfigurationError(
                f"{path}: larger than {MOST_BYTES // 10**6} MB; make it smaller"
            )
        text = read.decode("utf-8-sig")
    except FileNotFoundError:
        raise ConfigurationError(f"{path}: no such file") from None
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: byte {error.start + 1} is not UTF-8 text") from None
    values, lines = _parse(text, source=str(path))
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise ConfigurationError(f"{path}: the file is not a mapping of keys to values")
    return YamlDocument(values, lines)


def parse_yaml(text: str, *, source: str) -> Any:
    """Return the value of a YAML text; ConfigurationError names `source`, line and column."""
    return _parse(text, source=source)[0]


def _parse(text: str, *, source: str) -> tuple[Any, dict[KeyPath, int]]:
    try:
        loader = _Loader(text)
        try:
            node = loader.get_single_node()
            lines: dict[KeyPath, int] = {}
            if node is None:
                return None, lines
            if _written_out(node, {}) > MOST_NODES:
                raise _TooLargeError
            _walk(node, (), lines, set(), source)
            return loader.construct_document(node), lines
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = source if mark is None else f"{source}:{mark.line + 1}:{mark.column + 1}"
        problem = " ".join(str(error.problem or error.context).split())
        raise ConfigurationError(f"{where}: not YAML: {problem}") from None
    except yaml.reader.ReaderError as error:
        raise ConfigurationError(
            f"{source}: not YAML: character {error.position + 1} is not allowed"
        ) from None
    except _TooLargeError:
        raise ConfigurationError(
            f"{source}: more than {MOST_NODES} keys, values and list items, aliases written out; "
            "make it smaller"
        ) from None
    except RecursionError:
        raise ConfigurationError(f"{source}: not YAML: nested too deeply") from None
    except ValueError as error:
        raise ConfigurationError(f"{source}: not YAML: {error}") from None


def _written_out(node: yaml.Node, known: dict[int, int]) -> int:
    """Return how many nodes the document has with its aliases written out."""
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = MOST_NODES + 1  # what holds itself has no end
    children: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        children = [child for pair in node.value for child in pair]
    elif isinstance(node, yaml.SequenceNode):
        children = node.value
    known[id(node)] = 1 + sum(_written_out(child, known) for child in children)
    return known[id(node)]


def _walk(
    node: yaml.Node, key: KeyPath, lines: dict[KeyPath, int], seen: set[int], source: str
) -> None:
    """Note the line of every key once, and refuse a key that stands twice in a mapping."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for name_node, value_node in node.value:
            name = (*key, str(name_node.value))
            line = name_node.start_mark.line + 1
            if name in lines:
                raise ConfigurationError(
                    f"{source}:{line}: {dotted(name)}: stands twice; first in line {lines[name]}"
                )
            lines[name] = line
            _walk(value_node, name, lines, seen, source)
    elif isinstance(node, yaml.SequenceNode):
        for position, item in enumerate(node.value):
            lines[(*key, position)] = item.start_mark.line + 1
            _walk(item, (*key, position), lines, seen, source)
