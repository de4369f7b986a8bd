"""Other ways to read a model's answer, where the text as it stands holds no usable program.

Models and the services between put programs into JSON, escape them, quote them, number their
lines, show them as a diff or a session, and typeset their quotes. Each reading here undoes one of
these. None is a guess about the program's meaning: what comes out is checked like any other.
"""

from __future__ import annotations

import ast
import bisect
import html
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from alphafoundry.algorithms.typography import plain_typography

LONGEST_READ: Final = 200_000
"""Characters of an answer that is read in another way; a longer one is taken as it stands."""

_DEPTH: Final = 3
_MOST_READINGS: Final = 60
_MOST_JSON: Final = 20
_DEEPEST_JSON: Final = 8

_FENCE_LINE: Final = re.compile(
    r"^[ \t>]*(?:`{3,}|~{3,}|'''(?=\w*$)|``(?=\w*$))[^\n`]*$", re.MULTILINE
)
_TAG: Final = re.compile(
    r"</?(?:pre|code|br|p|div|span|python|answer|artifact|program|algorithm)\b[^<>\n]*>"
    # Any other name with attributes, or alone between its signs.
    r"|</?[a-z][\w:-]*(?:\s+[\w:-]+\s*=\s*(?:\"[^\"\n]*\"|'[^'\n]*'))*\s*/?>"
    r"|<!\[CDATA\[|\]\]>|<\|[\w ]+\|>|\[/?(?:code|python)(?:=\w+)?\]",
    re.IGNORECASE,
)
_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "t": "\t", "r": "\n", '"': '"', "'": "'", "\\": "\\", "/": "/"}
_SESSION: Final = re.compile(r"^[ \t]*(?:>>>|\.\.\.|In ?\[\d*\]:|\.\.\.:)(?: (.*)|)$")
_NUMBERED: Final = re.compile(r"^ *(?:\d+(?:[:.|)]| {1,3}\||(?=  |$))|\[\d+\]) ?(.*)$")
_COUNTED: Final = re.compile(r"^ *(\d+)(?:[ \t](.*)|)$")
_QUOTED: Final = re.compile(r"(\"{3}|'{3}|(?<!`)`{1,2}(?!`))\\?(.*?)\1", re.DOTALL)
_YAML_TEXT: Final = re.compile(
    # Nothing here can match a character in two ways: a long answer costs as much as it is long.
    r"^[ \t-]*[\w\"'][\w \"']*:[ \t]*[|>][-+\d]*[ \t]*\n((?:[ \t]+[^\n]*\n|\n)+)",
    re.MULTILINE,
)
_OPTION: Final = re.compile(r"^ +:[\w-]+:(?: .*)?$")
"""What a directive of reStructuredText says of the block below it."""

_HUNK: Final = re.compile(r"^@@ .* @@")
_HEREDOC: Final = re.compile(r"<<-?[ ]*['\"]?(\w+)")


def readings(text: str) -> Iterator[str]:
    """Yield the answer read in other ways, one step undone, then two, then three."""
    if len(text) > LONGEST_READ:
        return
    seen = {text}
    level = [text]
    for _ in range(_DEPTH):
        following = []
        for one in level:
            for read in _READINGS:
                other = read(one)
                if other and other not in seen and len(other) <= 2 * LONGEST_READ:
                    seen.add(other)
                    following.append(other)
                    yield other
                    if len(seen) > _MOST_READINGS:
                        return
        level = following


def _without_fences(text: str) -> str | None:
    """Make every line that is a fence the border of a block, however the fences are paired."""
    pieces = _FENCE_LINE.split(text)
    if len(pieces) < 2:
        return None
    return "\n".join(f"~~~~~~~\n{piece}\n~~~~~~~\n" for piece in pieces if piece.strip())


def _from_json(text: str) -> str | None:
    """Return the texts of the JSON in the answer, each as a block."""
    found: list[str] = []
    for document in _documents(text):
        found.extend(_texts(document, 0))
    whole = "\n".join(
        piece if "```" in piece or "~~~" in piece else f"~~~~~~~\n{piece}\n~~~~~~~"
        for piece in found
        if "\n" in piece or "=" in piece or "import" in piece
    )
    return whole or None


def _documents(text: str) -> Iterator[Any]:
    decoder = json.JSONDecoder(strict=False)
    stripped = text.strip()
    if stripped[:1] in "{[" and stripped[-1:] in "}]" and "'" in stripped:
        try:
            yield ast.literal_eval(stripped)
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            pass
        else:
            return
    position = 0
    starts = re.compile(r'[{\[]|^[^\S\n]*"', re.MULTILINE)
    for _ in range(_MOST_JSON):
        start = starts.search(text, position)
        if start is None:
            return
        begin = start.end() - 1
        try:
            document, position = decoder.raw_decode(text, begin)
        except (ValueError, RecursionError):
            position = begin + 1
            continue
        if isinstance(document, (dict, list, str)):
            yield document


def _texts(document: Any, depth: int) -> Iterator[str]:
    if depth > _DEEPEST_JSON:
        return
    if isinstance(document, str):
        if document.lstrip()[:1] in ("{", "["):
            try:
                yield from _texts(json.loads(document, strict=False), depth + 1)
            except (ValueError, RecursionError):
                pass
            else:
                return
        yield document
    elif isinstance(document, dict):
        for value in document.values():
            yield from _texts(value, depth + 1)
    elif isinstance(document, list) and document and all(isinstance(x, str) for x in document):
        ended = sum(line.endswith("\n") for line in document) * 2 >= len(document)
        yield ("" if ended else "\n").join(document)
    elif isinstance(document, list):
        for value in document:
            yield from _texts(value, depth + 1)


def _from_stream(text: str) -> str | None:
    """Join the pieces of an answer that came as a stream of events, one JSON on each line."""
    pieces = []
    for line in text.split("\n"):
        event = line.strip().removeprefix("data:").lstrip()
        if event.startswith("{"):
            try:
                pieces.append("".join(_pieces(json.loads(event, strict=False), 0)))
            except (ValueError, RecursionError):
                continue
    return "".join(pieces) if len(pieces) >= 3 else None


def _pieces(event: Any, depth: int) -> Iterator[str]:
    values = event.items() if isinstance(event, dict) else enumerate(event)
    for key, value in values:
        if isinstance(value, str) and key in ("content", "text", "response"):
            yield value
        elif isinstance(value, (dict, list)) and depth < _DEEPEST_JSON:
            yield from _pieces(value, depth + 1)


def _unescaped(text: str) -> str | None:
    r"""Undo \n, \t and \" where they stand for line breaks, tabs and quotes."""
    if "\\n" not in text and '\\"' not in text:
        return None
    stripped = text.strip()
    if stripped[:1] == stripped[-1:] == '"':
        text = stripped[1:-1]

    def undo(found: re.Match[str]) -> str:
        mark = found.group(1)
        if mark[0] == "u" and len(mark) == 5:
            return chr(int(mark[1:], 16))
        return _ESCAPED.get(mark, found.group(0))

    return _ESCAPE.sub(undo, text)


def _from_html(text: str) -> str | None:
    """Drop tags and special tokens, and read entities."""
    return html.unescape(_TAG.sub("\n", text))


def _from_markdown(text: str) -> str | None:
    return re.sub(r"\\([_*#<>\[\]()])", r"\1", text)


def _from_session(text: str) -> str | None:
    """Return what was typed in a session of Python or IPython."""
    return _kept(text, _SESSION)


def _without_line_numbers(text: str) -> str | None:
    return _kept(text, _NUMBERED)


def _without_a_count(text: str) -> str | None:
    """Drop the numbers before lines, one blank or tab behind each, where they count up by one."""
    found = [one for line in text.split("\n") if (one := _COUNTED.match(line))]
    # A listing has no more lines than digits of this length can count.
    numbers = [int(one.group(1)) if len(one.group(1)) < 7 else -1 for one in found]
    if len(found) < 3 or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        return None
    return "\n".join(one.group(2) or "" for one in found) + "\n"


def _kept(text: str, pattern: re.Pattern[str]) -> str | None:
    """Return what the pattern leaves of the lines that match it; None where there are few."""
    lines = [found.group(1) or "" for line in text.split("\n") if (found := pattern.match(line))]
    return "\n".join(lines) + "\n" if len(lines) >= 3 else None


def _without_quote_marks(text: str) -> str | None:
    """Drop the mark that stands before every line of a quotation or a table."""
    for mark in ("> ", "| "):
        lines = [line.lstrip(" ") for line in text.split("\n")]
        marked = [line.startswith(mark) or line == mark.strip() for line in lines]
        if sum(marked) >= 3:
            kept = [line[len(mark) :] for line, one in zip(lines, marked, strict=True) if one]
            return "\n".join(kept) + "\n"
    return None


def _from_diff(text: str) -> str | None:
    """Return the text after a diff: lines with a plus or a blank, none with a minus."""
    lines = text.split("\n")
    hunks = any(_HUNK.match(line) for line in lines)
    if not hunks and sum(line.startswith("+") for line in lines) < 3:
        return None
    kept = []
    for line in lines:
        if line.startswith(("+++", "---", "diff ", "index ", "new file")) or _HUNK.match(line):
            continue
        if line.startswith(("+", " ")):
            kept.append(line[1:])
        elif not line:
            kept.append("")
    return "\n".join(kept) + "\n"


def _from_strings(text: str) -> str | None:
    """Return the texts between triple quotes or backticks, each as a block."""
    found = [inner for _, inner in _QUOTED.findall(text) if "execute_trade" in inner]
    return "\n".join(f"~~~~~~~\n{inner}\n~~~~~~~" for inner in found) or None


def _from_yaml(text: str) -> str | None:
    """Return the texts that stand indented below a key, each as a block."""
    found = [inner for inner in _YAML_TEXT.findall(text + "\n") if "execute_trade" in inner]
    return "\n".join(f"~~~~~~~\n{inner}\n~~~~~~~" for inner in found) or None


def _without_shell(text: str) -> str | None:
    """Return the file that a shell command or a notebook's cell writes."""
    lines = text.split("\n")
    ends: dict[str, list[int]] = {}
    for place, line in enumerate(lines):
        ends.setdefault(line.strip(" \t"), []).append(place)
    for place, line in enumerate(lines):
        begins = _HEREDOC.search(line)
        if begins:
            last = ends.get(begins.group(1), [])
            later = bisect.bisect_right(last, place + 1)
            if later < len(last):
                return "\n".join(lines[place + 1 : last[later]]) + "\n"
    return re.sub(r"^[ \t]*[%!][a-zA-Z%][^\n]*$", "", text, flags=re.MULTILINE)


def _indented_part(text: str) -> str | None:
    """Return the lines that stand indented between lines of prose."""
    lines = [line.expandtabs(4) for line in text.split("\n")]
    kept = [line for line in lines if not line.strip() or line.startswith("  ")]
    kept = [line for line in kept if not _OPTION.match(line)]
    return "\n".join(kept) + "\n" if any(line.strip() for line in kept) else None


def _wide_tabs(text: str) -> str | None:
    """Take a tab for eight columns, as Python does, instead of four."""
    return text.expandtabs(8) if "\t" in text else None


_READINGS: Final[tuple[Callable[[str], str | None], ...]] = (
    _without_fences,
    plain_typography,
    _from_json,
    _from_stream,
    _unescaped,
    _from_html,
    _from_markdown,
    _without_quote_marks,
    _from_session,
    _without_line_numbers,
    _without_a_count,
    _from_diff,
    _from_strings,
    _from_yaml,
    _without_shell,
    _indented_part,
    _wide_tabs,
)
