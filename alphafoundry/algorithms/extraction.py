"""Find the Python code in a language model's answer."""

from __future__ import annotations

import ast
import itertools
import re
import textwrap
from collections.abc import Iterator
from typing import Final

from alphafoundry.algorithms.answer_readings import readings
from alphafoundry.algorithms.contract import NoCode, RefusedCode
from alphafoundry.algorithms.contract_syntax import parse
from alphafoundry.algorithms.program_shape import defines, in_contract_shape
from alphafoundry.algorithms.validation import validate

LONGEST_ANSWER: Final = 1_000_000
"""Characters of an answer that are looked at; an algorithm has at most 64 KiB."""

_FUNCTION: Final = "execute_trade"
_DEFINITION: Final = re.compile(rf"def {_FUNCTION}|^{_FUNCTION}\s*(?::[^=\n]+)?=[^=]", re.MULTILINE)
_FENCE: Final = re.compile(
    # At the start of a line, with anything behind it; or behind prose, with a language or nothing.
    r"^(?:[ \t]*(`{3,}|~{3,})[ \t]*([\w+.-]*)[^\n`]*"
    r"|(?:(?!```|~~~)[^\n])+(`{3,}|~{3,})[ \t]*([\w+.-]*)[ \t]*)$",
    re.MULTILINE,
)
_THINKING: Final = re.compile(
    r"<(think|thinking|thought|reasoning)>.*?(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE
)
_THOUGHT_BEFORE: Final = re.compile(r"\A.*</(?:think|thinking)>", re.DOTALL | re.IGNORECASE)
_ANALYSIS: Final = re.compile(r"<\|channel\|>analysis<\|message\|>.*?(?:<\|end\|>|\Z)", re.DOTALL)
_COLOURS: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
"""What tells a terminal the colour of the text behind it."""

_CODE_START: Final = re.compile(
    r"^(?:import |from \S+ import |def |class |@\w|#|[A-Za-z_]\w*(?:\s*:\s*[^=\n]+)?\s*=[^=])"
)
_NO_CODE: Final = frozenset(
    {"bash", "sh", "shell", "console", "json", "yaml", "toml", "diff", "csv"}
)
_MOST_LINES: Final = 3_000
_MOST_BLOCKS_CHECKED: Final = 20
_MOST_CHARACTERS_TRIED: Final = 20_000_000
_MOST_CHARACTERS_JOINED: Final = 500_000


def extract_code(answer: str) -> str:
    """Return the code of an answer, whole: imports, helpers, globals and execute_trade.

    The code may be fenced, cut off before the closing fence, spread over several fenced blocks, or
    stand in prose without a fence; a fence may stand behind prose on its line. Of several complete
    blocks the last that `validate` accepts is taken, because models correct themselves, and then
    show a stub or a variant that cannot run; where none is accepted, the last one. Where the text
    as it stands holds no program, it is read in other ways (`answer_readings`), and a program
    whose meaning is plain is brought into the shape of the contract (`program_shape`).

    Raises `NoCode` where the answer holds no definition of execute_trade. The code is not checked
    here: what Python cannot parse is returned as it stands, for `validate` to say where.
    """
    text = answer[:LONGEST_ANSWER].replace("\r\n", "\n").replace("\r", "\n")
    text = _COLOURS.sub("", text.replace("\ufeff", "").replace("\0", ""))
    thought = _THINKING.search(text) is not None
    text = _THINKING.sub("", text)
    text = _ANALYSIS.sub("", _THOUGHT_BEFORE.sub("", text))
    if not text.strip():
        raise NoCode(
            "it is thinking alone, with no answer behind it" if thought else "the answer is empty"
        )
    as_it_stands: str | None = None
    for reading in itertools.chain([text], readings(text)):
        try:
            code = _extract(reading)
        except NoCode:
            continue
        if reading is text:
            as_it_stands = code
        reasons = _refusals(code)
        if not reasons or (reading is text and not any(map(_of_another_form, reasons))):
            return code
    if as_it_stands is None:
        raise NoCode(f"it has no definition of {_FUNCTION}")
    return as_it_stands


def _accepted(code: str) -> bool:
    return not _refusals(code)


def _refusals(code: str) -> list[str]:
    """Return why the check refuses the code; nothing where it does not."""
    try:
        validate(code)
    except RefusedCode as error:
        return [each.reason for each in error.refusals]
    return []


def _of_another_form(reason: str) -> bool:
    """Return whether a refusal may come from the way in which the code is written down."""
    starts = ("syntax", "execute_trade is", "never answers")
    return reason.startswith(starts) or reason.endswith("is not defined")


def _extract(text: str) -> str:
    raw = _continued([block for language, block in _fenced(text) if language not in _NO_CODE])
    blocks = [_tidy(block) for block in raw]
    for candidate in _candidates(text, raw, blocks):
        tree = _parsed(candidate)
        if tree is not None and defines(tree):
            return _tidy(in_contract_shape(candidate))
    unparsed = [block for block in (*blocks, _unfenced(text)) if _defines_in(block)]
    if unparsed:
        return _tidy(unparsed[0])
    if _defines_in(text):
        return _tidy(text)
    raise NoCode(f"it has no definition of {_FUNCTION}")


def _candidates(text: str, raw: list[str], blocks: list[str]) -> Iterator[str]:
    complete = [b for b in blocks if (t := _parsed(b)) is not None and defines(t)]
    if complete:
        # A later block with the function replaces an earlier one; blocks without it are helpers
        # where the chosen one needs their names, and examples of use where it does not.
        chosen = _last_accepted(complete, blocks)
        yield _with_helpers(chosen, blocks)
        yield chosen
    parsed = [block for block in blocks if _parsed(block) is not None]
    if parsed:
        yield "\n\n".join(_tidy(block) for block in parsed)
    if blocks:
        yield _tidy("\n".join(block.strip("\n") for block in raw))
    if not blocks:
        yield from _runs_of_code(text)
    for block in blocks:
        if _defines_in(block) and _parsed(block) is None:
            # Prose stands in the block too.
            runs = _runs_of_code(block)
            yield from (run for run in runs if _accepted(in_contract_shape(run)))


def _last_accepted(complete: list[str], blocks: list[str]) -> str:
    for block in complete[: -_MOST_BLOCKS_CHECKED - 1 : -1]:
        if _accepted(in_contract_shape(_with_helpers(block, blocks))):
            return block
    return complete[-1]


def _fenced(text: str) -> Iterator[tuple[str, str]]:
    position = 0
    while opening := _FENCE.search(text, position):
        mark = opening.group(1) or opening.group(3)
        language = (opening.group(2) or opening.group(4) or "").lower()
        closing = _closing(mark, text, opening.end())
        end = closing.start() if closing else len(text)
        yield language, text[opening.end() : end]
        position = closing.end() if closing else len(text)


def _closing(mark: str, text: str, position: int) -> re.Match[str] | None:
    """Find the fence that closes a block: alone on its line, before prose, or behind code."""
    fence = rf"{re.escape(mark[0])}{{{len(mark)},}}"
    # A fence with a single word behind it opens a block; what else follows a fence is prose.
    own_line = re.compile(rf"^[ \t]*{fence}(?![\w+.-]+[ \t]*$)[^\n`]*$", re.MULTILINE)
    behind_code = re.compile(rf"{fence}[ \t]*$", re.MULTILINE)
    return own_line.search(text, position) or behind_code.search(text, position)


def _continued(blocks: list[str]) -> list[str]:
    """Join a block that starts inside a function to the block before it."""
    joined: list[str] = []
    left = _MOST_CHARACTERS_JOINED
    for block in blocks:
        inside = block.strip("\n")[:1] in (" ", "\t")
        if joined and inside and left > 0 and not _defines_in(block):
            whole = f"{joined[-1]}\n{block}"
            left -= len(whole)
            if _parsed(_tidy(whole)) is not None:
                joined[-1] = whole
                continue
        joined.append(block)
    return joined


def _defines_in(block: str) -> bool:
    return _DEFINITION.search(block) is not None


def _with_helpers(chosen: str, blocks: list[str]) -> str:
    tree = parse(chosen)
    missing = _used(tree) - _bound(tree)
    helpers = []
    for block in blocks:
        other = _parsed(block)
        if block == chosen or other is None or defines(other):
            continue
        if _top_level(other) & missing:
            helpers.append(block)
    return "\n\n".join([*helpers, chosen])


def _runs_of_code(text: str) -> Iterator[str]:
    """Yield the longest parts of the text that parse, from each line that could start code."""
    lines = _tidy(text).split("\n")
    starts = [i for i, line in enumerate(lines) if _CODE_START.match(line)]
    left = _MOST_CHARACTERS_TRIED
    for start in starts:
        end = min(len(lines), start + _MOST_LINES)
        while True:
            candidate = "\n".join(lines[start:end])
            left -= len(candidate)
            if left < 0:
                return
            if not _defines_in(candidate):
                break
            error = _first_error(candidate)
            if error is None:
                yield candidate
                break
            # The text behind the code is what does not parse: cut there, then a line at a time.
            cut = start + error - 1
            end = cut if start < cut < end else end - 1
            while end > start and next((line for line in lines[end:] if line), "")[:1] == " ":
                # What is indented belongs to the code, and is not cut off from it.
                end -= 1


def _unfenced(text: str) -> str:
    lines = _tidy(text).split("\n")
    for index, line in enumerate(lines):
        if _CODE_START.match(line) and not line.startswith("# "):
            return "\n".join(lines[index:])
    return ""


def _first_error(code: str) -> int | None:
    try:
        parse(code)
    except SyntaxError as error:
        return error.lineno or 1
    except (ValueError, RecursionError, MemoryError, OverflowError):
        return 1
    return None


def _parsed(code: str) -> ast.Module | None:
    try:
        return parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return None


def _used(tree: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def _bound(tree: ast.Module) -> set[str]:
    inner = {
        n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)
    }
    inner |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    return inner | _top_level(tree)


def _top_level(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
                names.update((a.asname or a.name).partition(".")[0] for a in aliases)
            case ast.Assign() | ast.AnnAssign():
                names.update(
                    n.id
                    for n in ast.walk(node)
                    if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
                )
            case _:
                pass
    return names


def _tidy(code: str) -> str:
    lines = [line.rstrip() for line in code.expandtabs(4).split("\n")]
    return textwrap.dedent("\n".join(lines)).strip("\n") + "\n"
