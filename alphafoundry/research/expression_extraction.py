"""Expressions out of the chatty answer of a language model."""

from __future__ import annotations

import heapq
import json
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from alphafoundry.errors import ExpressionError
from alphafoundry.expressions import Expression
from alphafoundry.research.proposals import Refusal

Judge = Callable[[str], Expression]
"""Parses and checks a text; raises ExpressionError where it is no alpha."""

_LONGEST_LINE = 2000
_MOST_ATTEMPTS = 300

_THOUGHT = re.compile(r"<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL | re.IGNORECASE)
_THOUGHT_BEGINS = re.compile(r"<think(?:ing)?>", re.IGNORECASE)
_THOUGHT_ENDS = re.compile(r"</think(?:ing)?>", re.IGNORECASE)
_FENCE = re.compile(r"^\s*(?:```|~~~)[\w+-]*\s*$")
_MARKER = re.compile(r"^\s*(?:[-*+•–—]\s+|\(?\d{1,3}[.):]\)?\s+|\(\d{1,3}\)\s*|[a-z][.)]\s+)")
_QUOTE = re.compile(r"^\s*(?:>\s+)+")
_EMPHASIS = re.compile(r"\*\*([^*]+)\*\*|__([^_]+)__")
_CODE_SPAN = re.compile(r"`+([^`]+)`+")
_COMMENT = re.compile(r"\s*(?://|#).*$")
_LABEL = re.compile(r"^[A-Za-z][\w\s#.'-]{0,60}?\s*(?::=|[:=](?!=))\s*")
_CALL = re.compile(r"[^\W\d]\d*\(")
"""The end of a function's name, with its parenthesis."""

_TOKEN = re.compile(r"[A-Za-z_]\w*|\d+(?:\.\d+)?|[-!]")
_STATEMENT = re.compile(r"^\s*\w+\s*=[^=].*;\s*$")
_PROSE_AFTER = re.compile(r"\s*(?:$|[.,;:]|[-–—]+\s+\w+\s+\w+\s|\(\s*\w|\w)")
_PROSE_BEFORE = re.compile(r"(?:^|[.,;:(]|[A-Za-z'’]|\w\s+\w+\s*[-–—])\Z")
_PROSE_LENGTH = 100
"""Characters before an expression that are looked at."""

_TYPOGRAPHY = str.maketrans(
    {
        "−": "-",
        "×": "*",
        "·": "*",
        "÷": "/",
        "“": '"',
        "”": '"',
        "\u00a0": " ",
        "≥": ">=",
        "≤": "<=",
    }
)


@dataclass(frozen=True)
class Reading:
    """What an answer holds.

    Attributes
    ----------
    kept : every valid expression, in order, repetitions included
    refused : every other line that is not empty, with the reason
    """

    kept: tuple[Expression, ...]
    refused: tuple[Refusal, ...]


def read_answer(answer: str, judge: Judge) -> Reading:
    """Return every valid expression of a model's answer, and why other lines are none.

    Hidden reasoning (`<think>`), code fences, bullets, numbers, labels ("Alpha 1:"),
    assignments ("alpha = ..."), comments and prose around an expression are taken off. Only what
    parses and passes `judge` decides; no word is forbidden. Part of an expression is never taken
    for the whole: `rank(foo(close)) + zscore(volume)` with an unknown `foo` is refused. A line
    that begins with a dash and a space is a list item; a sign has no space after it.
    """
    visible, refused = _without_thoughts(answer.translate(_TYPOGRAPHY))
    kept: list[Expression] = []
    for line in _lines(visible):
        expressions, reason = _read_line(line, judge)
        kept.extend(expressions)
        if not expressions:
            refused.append(Refusal(line.strip(), reason))
    return Reading(tuple(kept), tuple(refused))


def _without_thoughts(answer: str) -> tuple[str, list[Refusal]]:
    # Behind the last end, each beginning would be looked for its end in all that follows.
    ended = max((found.end() for found in _THOUGHT_ENDS.finditer(answer)), default=0)
    visible = _THOUGHT.sub("\n", answer[:ended]) + answer[ended:]
    last_end = max((found.end() for found in _THOUGHT_ENDS.finditer(visible)), default=0)
    visible = visible[last_end:]
    begins = _THOUGHT_BEGINS.search(visible)
    if begins is None:
        return visible, []
    unfinished = " ".join(visible[begins.start() :].split())[:80]
    refusal = Refusal(unfinished, "the answer ends inside the model's reasoning; raise num_predict")
    return visible[: begins.start()], [refusal]


def _lines(text: str) -> Iterator[str]:
    """Yield the lines that may hold an expression, broken expressions joined."""
    lines = [line for line in text.splitlines() if line.strip() and not _FENCE.match(line)]
    listed = _json_strings("\n".join(lines))
    if listed:
        yield from listed
        return
    waiting = ""
    for line in lines:
        if waiting and _MARKER.match(line):
            yield waiting
            waiting = ""
        waiting = f"{waiting} {line.strip()}" if waiting else line
        incomplete = _CALL.search(waiting) and waiting.count("(") > waiting.count(")")
        if not (incomplete or _STATEMENT.match(waiting)) or len(waiting) > _LONGEST_LINE:
            yield waiting
            waiting = ""
    if waiting:
        yield waiting


def _json_strings(text: str) -> list[str]:
    """Return the texts in a JSON list or object, empty where `text` is neither."""
    if not text.lstrip().startswith(("[", "{")):
        return []
    try:
        pending = deque([json.loads(text)])
    except (ValueError, RecursionError):
        return []
    found: list[str] = []
    while pending:
        item = pending.popleft()
        if isinstance(item, str):
            found.append(item)
        elif isinstance(item, list):
            pending.extend(item)
        elif isinstance(item, dict):
            pending.extend(item.values())
    return found


def _read_line(line: str, judge: Judge) -> tuple[list[Expression], str]:
    """Return the expressions of one line, or none and the reason."""
    if len(line) > _LONGEST_LINE:
        return [], f"longer than {_LONGEST_LINE} characters"
    spans = [span for span in _CODE_SPAN.findall(line) if _CALL.search(span)]
    texts = spans or [line.replace("`", " ")]
    expressions: list[Expression] = []
    reason = ""
    for text in texts:
        expression, against = _read_text(text, judge)
        if expression is not None:
            expressions.append(expression)
        reason = reason or against
    return expressions, reason


def _read_text(text: str, judge: Judge) -> tuple[Expression | None, str]:
    reason = "no expression in this line"
    for core in _cores(text):
        try:
            return judge(core), ""
        except ExpressionError as error:
            if _CALL.search(core):
                reason = error.message
    core = _strip(text)
    if _CALL.search(core):
        for span in _spans(core):
            try:
                return judge(span), ""
            except ExpressionError:
                continue
    return None, reason


def _cores(text: str) -> Iterator[str]:
    """Yield the text as an expression, from the gentlest reading to the boldest."""
    core = _strip(text)
    yield core
    without_label = _LABEL.sub("", core, count=1)
    if without_label != core:
        yield _strip(without_label)


def _strip(text: str) -> str:
    """Take off list markers, emphasis, comments, quotes and closing punctuation."""
    core = _EMPHASIS.sub(lambda found: found[1] or found[2], text)
    core = _COMMENT.sub("", _MARKER.sub("", _QUOTE.sub("", core), count=1)).strip()
    core = core.rstrip(" ,.")
    if len(core) > 1 and core[0] in "\"'" and core[-1] == core[0]:
        core = core[1:-1]
    return core.rstrip(" ,.;").strip()


def _spans(text: str) -> Iterator[str]:
    """Yield the longest parts of `text` first that prose on both sides may surround.

    Each holds every call of the text: what is left of it would not be the whole expression.
    """
    depths = _depths(text)
    calls = list(_CALL.finditer(text))
    tokens = [found for found in _TOKEN.finditer(text) if depths[found.start()] == 0]
    starts = [token.start() for token in tokens] + [
        index for index, character in enumerate(text) if character == "(" and depths[index] == 0
    ]
    ends = [token.end() for token in tokens] + [
        index + 1 for index, character in enumerate(text) if character == ")" and depths[index] == 0
    ]
    starts = [one for one in starts if one <= calls[0].start() and _prose_before(text[:one])]
    ends = [one for one in ends if one >= calls[-1].end() and _PROSE_AFTER.match(text, one)]
    ends.sort(reverse=True)
    # The next end of each start, the longest part first: there may be a million of parts.
    waiting = [(start - end, start, 0) for start in starts for end in ends[:1]]
    heapq.heapify(waiting)
    for _ in range(_MOST_ATTEMPTS):
        if not waiting:
            return
        _, start, place = waiting[0]
        yield text[start : ends[place]]
        if place + 1 < len(ends):
            heapq.heapreplace(waiting, (start - ends[place + 1], start, place + 1))
        else:
            heapq.heappop(waiting)


def _prose_before(text: str) -> bool:
    return _PROSE_BEFORE.search(text[-_PROSE_LENGTH:].rstrip()) is not None


def _depths(text: str) -> list[int]:
    """Return the depth of parentheses at each character; the parentheses count as outside."""
    depths: list[int] = []
    depth = 0
    for character in text:
        if character == ")":
            depth = max(0, depth - 1)
        depths.append(depth)
        if character == "(":
            depth += 1
    return depths
