"""Turn typeset characters of a program back into those that Python reads.

What stands in texts and comments stays as it is.
"""

from __future__ import annotations

import unicodedata
from typing import Final

_SPACES: Final = (
    "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f"
)
_INVISIBLE: Final = (
    "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2066\u2067\u2068\u2069\ufeff"
)
_PLAIN: Final = {
    **dict.fromkeys(_SPACES, " "),
    **dict.fromkeys(_INVISIBLE, ""),
    **dict.fromkeys("\u2028\u2029\u0085\x0b", "\n"),
    "\u3000": "  ",
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-"),
    "\u2264": "<=",
    "\u2265": ">=",
    "\u2260": "!=",
    "\u00d7": "*",
    "\u00f7": "/",
}
_DOUBLE: Final = "\u201c\u201d\u201e\u201f\u00ab\u00bb\uff02\u2033"
_SINGLE: Final = "\u2018\u2019\u201a\u201b\uff07\u2032"


def plain_typography(code: str) -> str:
    """Return the code with plain quotes, spaces, signs and line ends, texts and comments kept.

    A typeset quote opens a text where the same line has one of its kind that closes it.
    """
    parts: list[str] = []
    position = 0
    while position < len(code):
        character = code[position]
        if character == "#":
            end = _line_end(code, position)
            parts.append(code[position:end])
        elif character in "\"'":
            end = _end_of_text(code, position)
            parts.append(code[position:end])
        elif character in _DOUBLE or character in _SINGLE:
            kind, quote = (_DOUBLE, '"') if character in _DOUBLE else (_SINGLE, "'")
            line_end = _line_end(code, position)
            closing = (p for p in range(position + 1, line_end) if code[p] in kind + quote)
            end = next(closing, -1) + 1
            if end:
                parts.append(
                    quote + code[position + 1 : end - 1].replace(quote, "\\" + quote) + quote
                )
            else:
                end = position + 1
                parts.append(character)
        else:
            end = position + 1
            parts.append(_plain(character))
        position = end
    return "".join(parts)


def _plain(character: str) -> str:
    if character.isascii() and character != "\x0b":
        return character
    if character in _PLAIN:
        return _PLAIN[character]
    if "\uff01" <= character <= "\uff5e":
        return unicodedata.normalize("NFKC", character)
    return character


def _line_end(code: str, position: int) -> int:
    ends = (code.find(mark, position) for mark in "\n\u2028\u0085")
    return min((end for end in ends if end >= 0), default=len(code))


def _end_of_text(code: str, start: int) -> int:
    """Return where the text that opens at `start` ends: one line, or as far as three quotes go."""
    quote = code[start]
    mark = quote * 3 if code.startswith(quote * 3, start) else quote
    position = start + len(mark)
    while position < len(code):
        if code[position] == "\\":
            position += 2
        elif code.startswith(mark, position):
            return position + len(mark)
        elif len(mark) == 1 and code[position] in "\n\u2028\u0085":
            return position
        else:
            position += 1
    return len(code)
